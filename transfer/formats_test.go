package transfer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server/wirejson"
	"github.com/engramdb/engram/transfer"
)

// shown is a walk as text: a line for each item.
func shown(t *testing.T, items transfer.Items) string {
	t.Helper()
	var b strings.Builder
	for i, err := range items {
		switch {
		case err != nil:
			fmt.Fprintf(&b, "stopped: %v\n", err)
		case i.Err != nil:
			fmt.Fprintf(&b, "%d bad: %v\n", i.Line, i.Err)
		case i.Memory != nil:
			fmt.Fprintf(&b, "%d %s\n", i.Line, plain(wirejson.Append(nil, i.Memory)))
		case i.Entity != nil:
			fmt.Fprintf(&b, "%d entity %s %s\n", i.Line, i.Entity.GetId(), i.Entity.GetName())
		case i.Link != nil:
			fmt.Fprintf(&b, "%d link %s %s %s\n", i.Line, i.Link.GetFrom(), i.Link.GetType(), i.Link.GetTo())
		case i.Header != nil:
			fmt.Fprintf(&b, "%d header %d %s %d\n", i.Line, i.Header.Version, i.Header.Space, i.Header.LSN)
		case i.End != nil:
			fmt.Fprintf(&b, "%d end %+v\n", i.Line, *i.End)
		}
	}
	return b.String()
}

// plain leaves out of a memory what is empty.
func plain(body []byte) string {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return err.Error()
	}
	for k, v := range m {
		switch x := v.(type) {
		case []any:
			if len(x) == 0 {
				delete(m, k)
			}
		case map[string]any:
			if len(x) == 0 {
				delete(m, k)
			}
		}
	}
	out, _ := json.Marshal(m)
	return string(out)
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimLeft(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestJSONL(t *testing.T) {
	want(t, shown(t, transfer.JSONL("f", strings.NewReader("\ufeff"+`{"engram":{"version":1,"space":"notes","lsn":"12","settings":{"language":"en"}}}
 {"text":"a"}

{ "entity" : {"id":"m","name":"Mara"}}
{"entity":{"id":"m","name":"Mara","version":3}}
{"link":{"from":"a","to":"b","type":"t"},"text":"x"}
{"link":{"from":"a","to":"b","type":"t"}}
{"id":"x","text":"as shown","kind":"episode","version":2,"stored_at":"2026-01-01T00:00:00Z","lsn":"9","suppressed":false,"links":[{"id":"l","from":"x","to":"y","type":"t","weight":0.5,"rule":"caller"},{"id":"m","from":"z","to":"x","type":"t","weight":1,"rule":"caller"}]}
{"id":"x","text":"as shown","kind":"episode","colour":"red"}
{"end":{"memories":1,"entities":1,"links":1,"digest":"sha256:00"}}
[1]
{"engram":{"version":0}}
{"text":`))), `
1 header 1 notes 12
2 {"text":"a"}
4 entity m Mara
5 bad: entity.version is not a field that is known here
6 bad: a line of "link" has no other key
7 link a t b
8 {"id":"x","links":[{"to":"y","type":"t","weight":0.5}],"text":"as shown"}
9 bad: colour is not a field that is known here
10 end {Memories:1 Entities:1 Links:1 Digest:sha256:00}
11 bad: the line is a list; it must be an object
12 bad: engram.version is 0; this program reads versions 1 to 1
13 bad: the line is not JSON: a value is missing at byte 8
`)
}

func TestCSV(t *testing.T) {
	want(t, shown(t, transfer.CSV("films.csv", strings.NewReader("\ufefftitle,text,happened_at,people,year,code\n"+
		"Alien,\"In space, nobody\nhears you\",1979-05-25,Ripley; Ash,1979,007\nHeat,Bank,,,,\nBad,x,yesterday,,,\nshort,row\nSplash,Mermaid,1984,,true,1e3\n"), transfer.CSVOptions{})), `
2 {"happened":{"from":"1979-05-25T00:00:00Z","precision":"day","to":"1979-05-26T00:00:00Z"},"metadata":{"code":"007","year":1979},"people":["Ripley","Ash"],"text":"In space, nobody\nhears you","title":"Alien"}
4 {"text":"Bank","title":"Heat"}
5 bad: happened_at is "yesterday", which is not a time
6 bad: the row has 2 values; the file has 6 columns
7 {"happened":{"from":"1984-01-01T00:00:00Z","precision":"year","to":"1985-01-01T00:00:00Z"},"metadata":{"code":"1e3","year":true},"text":"Mermaid","title":"Splash"}
`)
	want(t, shown(t, transfer.CSV("f.tsv", strings.NewReader("body\twhen\tla\tlo\tstars\tx\nhello\t1700000000.5\t58.1\t8.0\t4.5\ty\n"), transfer.CSVOptions{Comma: '\t',
		Map: map[string]string{"text": "body", "happened_at": "when", "lat": "la", "lon": "lo", "metadata.rating": "stars", "metadata": "*"}})), `
2 {"happened_at":"2023-11-14T22:13:20.5Z","metadata":{"rating":4.5,"x":"y"},"place":{"lat":58.1,"lon":8},"text":"hello"}
`)
	want(t, shown(t, transfer.CSV("f", strings.NewReader("a,b\n1,2\n"), transfer.CSVOptions{Map: map[string]string{"text": "c"}})), "stopped: there is no column \"c\" for text\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader("a,b\n1,2\n"), transfer.CSVOptions{Map: map[string]string{"txt": "a"}})), "stopped: \"txt\" is not a field that a column can go into\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader("a,b\n1,2\n"), transfer.CSVOptions{})), "stopped: no column is called text\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader("text,b\n1,2\n"), transfer.CSVOptions{Map: map[string]string{"title": "b"}})), "stopped: no column goes into the text: with --map, columns that it does not name are left out\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader("text\n\"a\" b\nc\n"), transfer.CSVOptions{})), "2 bad: parse error on line 2, column 3: extraneous or missing \" in quoted-field\n3 {\"text\":\"c\"}\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader(""), transfer.CSVOptions{})), "")
}

// What is not UTF-8 is refused, and never stored as something near to it.
func TestOtherEncodings(t *testing.T) {
	want(t, shown(t, transfer.CSV("f", strings.NewReader("text,by\ncaf\xe9,x\nok,y\n"), transfer.CSVOptions{})), "2 bad: the column \"text\" is not UTF-8 at byte 3\n3 {\"metadata\":{\"by\":\"y\"},\"text\":\"ok\"}\n")
	want(t, shown(t, transfer.CSV("f", strings.NewReader("text,pr\xe9nom\nx,y\n"), transfer.CSVOptions{})), "stopped: the row of names is not UTF-8 at byte 7\n")
	want(t, shown(t, transfer.Text("f.txt", strings.NewReader("first\n\ncaf\xe9\n\nlast\n"), transfer.ProseOptions{})), "1 {\"source\":\"f.txt#L1\",\"stream\":\"f.txt\",\"text\":\"first\",\"title\":\"f\"}\n3 bad: the line is not UTF-8 at byte 3\n")
	want(t, shown(t, transfer.Chat("f", strings.NewReader(`[{"role":"a","content":"caf`+"\xe9"+`"},{"role":"a","content":"ok"}]`))), "1 bad: the element is not UTF-8 at byte 26\n2 {\"metadata\":{\"role\":\"a\"},\"people\":[\"a\"],\"source\":\"f\",\"stream\":\"f\",\"text\":\"ok\"}\n")
}

func TestMarkdown(t *testing.T) {
	var o transfer.ProseOptions
	o.MaxBytes = 80
	want(t, shown(t, transfer.Markdown("log.md", strings.NewReader("Before.\n\n# Harbour\r\nThe crane needs a cable.\n\n## Cables ##\n\n```sh\n# no heading\n\nengram demo\n```\n\n#hashtag is text\n\n"+
		"# Boats\n"+strings.Repeat("A boat went by. ", 8)+"\n"), o)), `
1 {"source":"log.md#L1","stream":"log.md","text":"Before.","title":"log"}
4 {"source":"log.md#L4","stream":"log.md","text":"The crane needs a cable.","title":"Harbour"}
8 {"source":"log.md#L8","stream":"log.md","text":"`+"```sh\\n# no heading\\n\\nengram demo\\n```\\n\\n#hashtag is text"+`","title":"Harbour / Cables"}
17 {"source":"log.md#L17","stream":"log.md","text":"A boat went by. A boat went by. A boat went by. A boat went by. A boat went by.","title":"Boats"}
17 {"source":"log.md#L17","stream":"log.md","text":"A boat went by. A boat went by. A boat went by.","title":"Boats"}
`)
}

// Two passages that begin at one line are two memories.
func TestPassagesOfOneLine(t *testing.T) {
	var o transfer.ProseOptions
	o.MaxBytes = 64
	f := newFake()
	tally, _ := load(t, f, transfer.Text("a.txt", strings.NewReader(strings.Repeat("The same thing again. ", 40)), o), transfer.ImportOptions{})
	if tally.Created < 10 || tally.Kept > 0 {
		t.Errorf("%+v", tally)
	}
}

// A long text is read in blocks, and nothing of it is lost.
func TestLongText(t *testing.T) {
	var b strings.Builder
	words := 0
	for p := range 4000 {
		for range 20 {
			fmt.Fprintf(&b, "w%d ", words)
			words++
		}
		b.WriteString("\n")
		if p%5 == 0 && p < 2000 {
			b.WriteString("\n")
		}
	}
	seen := map[string]bool{}
	for i, err := range transfer.Text("long.txt", strings.NewReader(b.String()), transfer.ProseOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for w := range strings.FieldsSeq(i.Memory.GetText()) {
			seen[w] = true
		}
	}
	if len(seen) != words {
		t.Errorf("%d of %d words came", len(seen), words)
	}
}

func TestFolder(t *testing.T) {
	dir := fstest.MapFS{
		"b.md": {Data: []byte("# B\nb")}, "a.txt": {Data: []byte("a")}, "sub/c.markdown": {Data: []byte("c")}, ".git/d.txt": {Data: []byte("d")},
		".hidden.txt": {Data: []byte("e")}, "f.pdf": {Data: []byte("f")}, "empty.txt": {},
		"link.md": {Data: []byte("b.md"), Mode: fs.ModeSymlink},
	}
	open := func(f fs.File) io.Reader { return f }
	want(t, shown(t, transfer.Folder(dir, transfer.ProseOptions{}, open)), `
1 {"source":"a.txt#L1","stream":"a.txt","text":"a","title":"a"}
2 {"source":"b.md#L2","stream":"b.md","text":"b","title":"B"}
1 {"source":"sub/c.markdown#L1","stream":"sub/c.markdown","text":"c","title":"c"}
`)
	for range transfer.Folder(dir, transfer.ProseOptions{}, open) {
		break // stops in the middle
	}
}

func TestChat(t *testing.T) {
	want(t, shown(t, transfer.Chat("talk.json", strings.NewReader(` [
	{"role":"user","content":"Where is the chart?","time":"2026-05-04T10:00:00Z"},
	{"role":"assistant","name":"Halvard","content":[{"type":"text","text":"In the"},{"type":"image"},{"type":"text","text":"boathouse."}],"timestamp":1777888800},
	{"role":"assistant","content":null}, {"role":"user","content":"x","time":"soon"}, 7,
	{"id":"c-1","title":"Boats","messages":[{"role":"user","content":"hi"},{"role":"user","content":"hi"}]} ]`))), `
1 {"happened_at":"2026-05-04T10:00:00Z","metadata":{"role":"user"},"people":["user"],"source":"talk.json","stream":"talk","text":"Where is the chart?"}
2 {"happened_at":"2026-05-04T10:00:00Z","metadata":{"role":"assistant"},"people":["Halvard"],"source":"talk.json","stream":"talk","text":"In the\n\nboathouse."}
3 bad: content is blank: there is nothing to remember
4 bad: happened_at is "soon", which is not a time
5 bad: the turn can not be read: json: cannot unmarshal number into Go value of type transfer.message
6 {"metadata":{"role":"user"},"people":["user"],"source":"talk.json","stream":"c-1","text":"hi","title":"Boats"}
6 {"metadata":{"role":"user"},"people":["user"],"source":"talk.json","stream":"c-1","text":"hi","title":"Boats"}
`)
	if got := shown(t, transfer.Chat("t", strings.NewReader(`[{"role":"user","content":"a"}`))); !strings.Contains(got, "stopped: read t: ") {
		t.Errorf("a file that is cut off: %s", got)
	}
	want(t, shown(t, transfer.Chat("lines.jsonl", strings.NewReader("{\"role\":\"u\",\"content\":\"a\"}\n{\"role\":\"u\",\"content\":\"b\"}\n"))), `
1 {"metadata":{"role":"u"},"people":["u"],"source":"lines.jsonl","stream":"lines","text":"a"}
2 {"metadata":{"role":"u"},"people":["u"],"source":"lines.jsonl","stream":"lines","text":"b"}
`)
	want(t, shown(t, transfer.Chat("t", strings.NewReader(""))), "")
}

const locomo = `[{"sample_id":"conv-1","conversation":{"speaker_a":"Ann","session_10_date_time":"1:56 pm on 8 May, 2023","session_10":[{"speaker":"Ann","dia_id":"D10:1","text":"Later"}],
"session_2_date_time":"noon","session_2":[{"speaker":"Bob","dia_id":"D2:1","text":"Look","blip_caption":"a boat"},{"speaker":"Bob","dia_id":"","text":"?"}]},"qa":[]},{"qa":[]}]`

func TestLocomo(t *testing.T) {
	want(t, shown(t, transfer.Locomo("l.json", strings.NewReader(locomo))), `
1 {"id":"conv-1:D2:1","metadata":{"dia_id":"D2:1"},"people":["Bob"],"source":"LoCoMo conv-1 D2:1","stream":"conv-1/session_2","tags":["conv-1"],"text":"Bob: Look [shares a photo: a boat]"}
1 {"metadata":{"dia_id":""},"people":["Bob"],"source":"LoCoMo conv-1 ","stream":"conv-1/session_2","tags":["conv-1"],"text":"Bob: ?"}
1 {"happened_at":"2023-05-08T13:56:00Z","id":"conv-1:D10:1","metadata":{"dia_id":"D10:1"},"people":["Ann"],"source":"LoCoMo conv-1 D10:1","stream":"conv-1/session_10","tags":["conv-1"],"text":"Ann: Later"}
2 bad: the conversation can not be read: it has no conversation
`)
}

// TestLocomoWhole reads the benchmark itself, where it is there.
func TestLocomoWhole(t *testing.T) {
	f, err := os.Open("../../shared/data/locomo/locomo_dev.json")
	if err != nil {
		t.Skip("the benchmark is not here")
	}
	defer f.Close() //nolint:errcheck // it was only read
	n, ids := 0, map[string]bool{}
	for i, err := range transfer.Locomo("locomo_dev.json", f) {
		if err != nil || i.Err != nil {
			t.Fatal(err, i.Err)
		}
		if i.Memory.GetHappenedAt() == nil || memory.ID(i.Memory.GetId()).Check("id") != nil || ids[i.Memory.GetId()] {
			t.Errorf("%v", i.Memory)
		}
		ids[i.Memory.GetId()] = true
		n++
	}
	if n < 2000 {
		t.Errorf("only %d turns", n)
	}
}

// A line that is too long is told, and the one behind it is read.
func TestLongLine(t *testing.T) {
	long := strings.Repeat("x", transfer.MaxLine+1)
	got := shown(t, transfer.JSONL("f", strings.NewReader(`{"text":"a"}`+"\n"+long+"\n"+`{"text":"b"}`)))
	want(t, got, "1 {\"text\":\"a\"}\n2 bad: the line has more than 33554432 bytes, which is the most\n3 {\"text\":\"b\"}\n")
	if got := shown(t, transfer.CSV("f", strings.NewReader("text\n\""+long+strings.Repeat("y", 1<<20)), transfer.CSVOptions{})); !strings.Contains(got, "stopped") {
		t.Errorf("an open quote: %.200s", got)
	}
	if got := shown(t, transfer.Chat("f", strings.NewReader(`[{"content":"`+long+strings.Repeat("y", 1<<20)))); !strings.Contains(got, "stopped") {
		t.Errorf("an endless turn: %.200s", got)
	}
}

// check is what must hold of whatever a reader makes of whatever it is given.
func check(t *testing.T, items func() transfer.Items) {
	t.Helper()
	var first []string
	for i, err := range items() {
		if err != nil {
			first = append(first, "stopped")
			break
		}
		set := 0
		for _, is := range []bool{i.Memory != nil, i.Entity != nil, i.Link != nil, i.Header != nil, i.End != nil, i.Err != nil} {
			if is {
				set++
			}
		}
		if set != 1 || i.Line < 1 {
			t.Fatalf("%+v", i)
		}
		if i.Err != nil {
			var m *memory.Error
			if ok := asMemoryError(i.Err, &m); !ok || m.Code == "" || m.Message == "" {
				t.Fatalf("%#v", i.Err)
			}
		}
		if i.Memory != nil {
			line := wirejson.Append(nil, i.Memory)
			again := transfer.ParseLine("f", 1, line)
			if again.Memory == nil {
				t.Fatalf("%s is not read again: %v", line, again.Err)
			}
			first = append(first, string(line))
		}
	}
	n := 0
	for i, err := range items() {
		if err != nil {
			if first[n] != "stopped" {
				t.Fatal(err)
			}
			return
		}
		if i.Memory != nil {
			if string(wirejson.Append(nil, i.Memory)) != first[n] {
				t.Fatal("a second reading differs")
			}
			n++
		}
	}
}

func asMemoryError(err error, into **memory.Error) bool {
	m, ok := err.(*memory.Error)
	*into = m
	return ok
}

func FuzzJSONL(f *testing.F) {
	for _, s := range []string{`{"text":"a"}`, `{"entity":{"id":"m","name":"n"}}`, `{"link":{}}`, `{"engram":{"version":1}}`, `{"end":{}}`, `{"kind":"episode","text":"x","links":[{}]}`, "\ufeff{}\n\n[", `{"link":null}`, `{"entity":7}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check(t, func() transfer.Items { return transfer.JSONL("f", strings.NewReader(s)) })
	})
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"text,title\na,b\n", "text\n\"a\nb\"\n", "\"", "a,b\n1\n", "id;lat\n", "text,happened_at,lat,salience,people\nx,2020,1,0.5,a;b\n"} {
		f.Add(s, ",", "")
		f.Add(s, ";", "text")
	}
	f.Fuzz(func(t *testing.T, s, comma, column string) {
		o := transfer.CSVOptions{}
		for _, r := range comma {
			o.Comma = r
			break
		}
		if column != "" {
			o.Map = map[string]string{"text": column, "metadata": "*"}
		}
		check(t, func() transfer.Items { return transfer.CSV("f", strings.NewReader(s), o) })
	})
}

func FuzzProse(f *testing.F) {
	for _, s := range []string{"# a\nb\n\nc", "```\n# x\n", "###### deep ##\nt", "\xff\xfe", "a\r\n\r\nb", strings.Repeat("word ", 300)} {
		f.Add(s, 64)
		f.Add(s, 1000)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		var o transfer.ProseOptions
		o.MaxBytes = most % 4096
		check(t, func() transfer.Items { return transfer.Markdown("f.md", strings.NewReader(s), o) })
		check(t, func() transfer.Items { return transfer.Text("f.txt", strings.NewReader(s), o) })
	})
}

func FuzzChat(f *testing.F) {
	for _, s := range []string{`[{"role":"user","content":"a","time":"2026-01-01"}]`, `{"messages":[{"content":[{"text":"x"}]}]}`, `[`, `[1,2`, "{\"content\":\"a\"}\n{}", `[{"content":"x","time":1e300}]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check(t, func() transfer.Items { return transfer.Chat("f", strings.NewReader(s)) })
	})
}

func FuzzLocomo(f *testing.F) {
	f.Add(locomo)
	f.Add(`[{"conversation":{"session_1":{}}}]`)
	f.Fuzz(func(t *testing.T, s string) {
		check(t, func() transfer.Items { return transfer.Locomo("f", strings.NewReader(s)) })
	})
}
