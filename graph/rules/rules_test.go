package rules

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// plainFind is the plain twin of Find: all names at all places.
func plainFind(names map[string][]memory.Ordinal, text string) (found []Mention) {
	wordsOf := func(s string) (ws []word) {
		for x := (scanner{text: s}); x.next(); {
			ws = append(ws, x.word)
		}
		return ws
	}
	known := map[string][]memory.Ordinal{} // by words
	key := func(ws []word) string {
		k := ""
		for _, w := range ws {
			k += fmt.Sprintf("%x ", w.hash)
		}
		return k
	}
	for name, nodes := range names {
		ws, letters := wordsOf(name), 0
		for _, w := range ws {
			letters += w.letters
		}
		if len(ws) <= nameWordsMost && letters >= nameLettersLeast {
			for _, n := range nodes {
				if !slices.Contains(known[key(ws)], n) {
					known[key(ws)] = append(known[key(ws)], n)
				}
			}
		}
	}
	ws := wordsOf(text)
	for i := 0; i < len(ws); {
		best := 0
		for n := 1; i+n <= len(ws) && n <= nameWordsMost; n++ {
			if k := len(known[key(ws[i:i+n])]); k > 0 && k <= HoldersMost {
				best = n
			}
		}
		if best == 0 {
			i++
			continue
		}
		nodes := slices.Clone(known[key(ws[i:i+best])])
		slices.Sort(nodes)
		found = append(found, Mention{From: ws[i].from, To: ws[i+best-1].to, Words: best, Nodes: nodes})
		i += best
	}
	return found
}

func find(x *Names, text string) (found []Mention) {
	x.Find(text, func(m Mention) bool {
		slices.Sort(m.Nodes)
		m.Raised = false
		found = append(found, m)
		return true
	})
	return found
}

// TestNames adds and removes names and compares with the plain twin.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"new", "york", "New", "times", "o'brien", "Ada's", "Éa", "東", "京", "a", "7", "x1", "the", "-"})
		phrase := func(label string, most int) string {
			return strings.Join(rapid.SliceOfN(words, 1, most).Draw(t, label), rapid.SampledFrom([]string{" ", ", ", "-"}).Draw(t, "between"))
		}
		x, names := NewNames(), map[string][]memory.Ordinal{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name, node := phrase("name", 4), memory.Ordinal(rapid.IntRange(1, 12).Draw(t, "node"))
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				if x.Remove(name, node) {
					for other := range names { // another spelling of the same words
						if reflect.DeepEqual(pathOf(other), pathOf(name)) {
							names[other] = slices.DeleteFunc(names[other], func(n memory.Ordinal) bool { return n == node })
						}
					}
				}
			} else if x.Add(name, node) {
				names[name] = append(names[name], node)
			}
		}
		text := phrase("text", 30)
		if got, want := find(x, text), plainFind(names, text); !reflect.DeepEqual(got, want) {
			t.Fatalf("in %q found %v, want %v", text, got, want)
		}
		for name, nodes := range names {
			for _, n := range nodes {
				if !x.Remove(name, n) {
					t.Fatalf("%q of %d cannot be removed", name, n)
				}
			}
		}
		if x.Len() != 0 || len(x.prefixes) != 0 || len(x.shared) != 0 {
			t.Fatalf("%d names, %d beginnings are left", x.Len(), len(x.prefixes))
		}
	})
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Hello, world": "Hello|world", "O'Brien's cat": "O'Brien|s|cat", "Ada’s": "Ada|s", "'quoted'": "quoted",
		"x_1-2": "x|1|2", "東京 tower": "東|京|tower", "tower東": "tower|東", "why?”' New": "why||New", "café": "café", "": "", "---": "", "'": "", "é": "é", "a\xffb": "a|b", "́": "",
	} {
		var got []string
		for s := (scanner{text: text}); s.next(); {
			got = append(got, text[s.from:s.to])
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q has the words %q, want %q", text, got, want)
		}
	}
	same := func(a, b string) bool { return reflect.DeepEqual(pathOf(a), pathOf(b)) }
	for _, pair := range [][2]string{{"Ada LOVELACE", "ada lovelace"}, {"O’Brien", "obrien"}, {"Éa", "éa"}, {"ΣΑΣ", "σασ"}} {
		if !same(pair[0], pair[1]) {
			t.Errorf("%q and %q are not one name", pair[0], pair[1])
		}
	}
	if same("ab c", "a bc") || same("東京", "京東") {
		t.Error("words are not told apart")
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"New York Times in New York", "it's O'Brien's", "東京タワー", "a\xff\xfe\x00b", "’’'s é́", strings.Repeat("new ", 50)} {
		f.Add(s, "New York", "York Times")
	}
	f.Fuzz(func(t *testing.T, text, a, b string) {
		x := NewNames()
		names := map[string][]memory.Ordinal{}
		for i, name := range []string{a, b, "new york", "new"} {
			if x.Add(name, memory.Ordinal(i+1)) {
				names[name] = append(names[name], memory.Ordinal(i+1))
			}
		}
		if got, want := find(x, text), plainFind(names, text); !reflect.DeepEqual(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
		last := 0
		for _, s := range Spans(text) {
			if s.From < last || s.To <= s.From || s.To > len(text) {
				t.Fatalf("span %v after %d", s, last)
			}
			last = s.To
		}
		if len(Title(text)) > len(text) {
			t.Fatal("a title grew")
		}
	})
}

func TestSpans(t *testing.T) {
	kind := map[SpanKind]string{SpanName: "name", SpanDate: "date", SpanNumber: "number", SpanID: "id"}
	for text, want := range map[string]string{
		"We met on 8 May 2023 and on May 9th, 2023, then 2024-01-02.": "date 8 May 2023, date May 9th, 2023, date 2024-01-02",
		"The Joe Schmo Show was new. He liked it.":                    "name Joe Schmo Show",
		"She read The Lord of the Rings in Oxford.":                   "name Lord of the Rings in Oxford",
		"Error ERR-1001 from ada@example.com, order 123456":           "id ERR-1001, id ada@example.com, number 123456",
		"May I ask? In May 20 people came.":                           "",
		"call file_name and a3f9":                                     "id file_name, id a3f9",
		"Rome. Paris. London Calling":                                 "name London Calling",
		"":                                                            "",
	} {
		var got []string
		for _, s := range Spans(text) {
			got = append(got, kind[s.Kind]+" "+text[s.From:s.To])
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
}

// shelf is a space of plain texts.
type shelf struct {
	texts    []string // of the memories 1, 2, ...
	names    *Names
	previous map[string]memory.Ordinal
	people   map[string]memory.Ordinal
}

func (s *shelf) Previous(stream string) memory.Ordinal      { return s.previous[stream] }
func (s *shelf) Asks(n memory.Ordinal) bool                 { return Asks(s.texts[n-1]) }
func (s *shelf) Named(text string, give func(Mention) bool) { s.names.Find(text, give) }
func (s *shelf) WithPerson(name string) memory.Ordinal      { return s.people[name] }
func (s *shelf) AtPlace(name string) memory.Ordinal         { return s.people["at "+name] }
func (s *shelf) Frequency(words string) (have, of int) {
	return s.standing(words), len(s.texts)
}
func (s *shelf) Holding(words string, most int) (ns []memory.Ordinal) {
	for i := len(s.texts) - 1; i >= 0 && len(ns) < most; i-- {
		if Holds(s.texts[i], words) {
			ns = append(ns, memory.Ordinal(i+1))
		}
	}
	return ns
}

// standing counts memories with the words in any case.
func (s *shelf) standing(words string) (n int) {
	x := NewNames()
	x.Add(words, 1)
	for _, text := range s.texts {
		x.Find(text, func(Mention) bool { n++; return false })
	}
	return n
}

func TestPropose(t *testing.T) {
	s := &shelf{names: NewNames(), previous: map[string]memory.Ordinal{"chat": 3}, people: map[string]memory.Ordinal{"Ada": 3, "Bob": 2, "at Rome": 1}}
	s.texts = []string{"A trip to Rome with the Blue Mountain band.", "Bob bought Mercury, the metal.", "it is may?"}
	for i := range 30 {
		s.texts = append(s.texts, fmt.Sprintf("note %d about Work", i))
	}
	s.names.Add("Rome", 40)
	s.names.Add("Work", 41) // stands everywhere
	s.names.Add("May", 42)  // a word
	s.names.Add("Mercury", 43)
	s.names.Add("Mercury", 44)
	e := &memory.Episode{Title: "Blue Mountain (band)", Text: "I may Work in Rome on Mercury. Rome!", Stream: "chat", People: []string{"Ada", "Bob"}, Place: &memory.Place{Name: "Rome"}}
	want := []Proposal{
		{Other: 3, Back: true, Type: graph.TypeNext, Rule: RuleNext, Weight: 1, Because: "chat"},
		{Other: 3, Back: true, Type: graph.TypeAnswer, Rule: RuleAnswer, Weight: 1, Because: "?"},
		{Other: 40, Type: graph.TypeMentions, Rule: RuleMentions, Weight: 1, Because: "Rome"},
		{Other: 43, Type: graph.TypeMentions, Rule: RuleMentions, Weight: 0.5, Because: "Mercury"},
		{Other: 44, Type: graph.TypeMentions, Rule: RuleMentions, Weight: 0.5, Because: "Mercury"},
		{Other: 1, Back: true, Type: graph.TypeMentions, Rule: RuleMentions, Weight: 1, Because: "Blue Mountain"},
		{Other: 2, Type: graph.TypePeople, Rule: RulePeople, Weight: 1, Because: "Bob"},
	}
	for i := range want {
		want[i].Version = Version
	}
	if got := (Set{}).Propose(e, s); !reflect.DeepEqual(got, want) {
		t.Errorf("proposed\n%+v, want\n%+v", got, want)
	}
	if got := (Set{Off: []string{RuleMentions}, Most: 1}).Propose(e, s); len(got) != 1 || got[0].Rule != RuleNext {
		t.Errorf("with one link and no mentions proposed %+v", got)
	}
	if got := NamedBy("did I Work in rome, in Rome or on Mercury?", s); !slices.Equal(got, []memory.Ordinal{40, 43, 44}) {
		t.Errorf("the cue names %v", got)
	}
	if got := (Set{}).Propose(&memory.Episode{}, s); len(got) != 0 {
		t.Errorf("of nothing proposed %+v", got)
	}
}

// TestProposeFlood: a text that names everything gets eight links.
func TestProposeFlood(t *testing.T) {
	s := &shelf{names: NewNames(), people: map[string]memory.Ordinal{}}
	text := ""
	for i := range 2000 {
		s.names.Add(fmt.Sprintf("Thing %d", i), memory.Ordinal(i+1))
		text += fmt.Sprintf("Thing %d. ", i)
	}
	got := (Set{Shares: true}).Propose(&memory.Episode{Text: text, Title: "Thing 1"}, s)
	if len(got) == 0 || len(got) > LinksMost {
		t.Errorf("%d links", len(got))
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		text, words string
		want        bool
	}{{"it was May, or may be", "May", true}, {"it may be", "May", false}, {"the new york times", "New York", true}, {"new old york", "New York", false}, {"x", "", false}} {
		if got := Holds(c.text, c.words); got != c.want {
			t.Errorf("%q holds %q: %v", c.text, c.words, got)
		}
	}
}

func TestTitle(t *testing.T) {
	for title, want := range map[string]string{"Mercury (planet)": "Mercury", "Mercury": "Mercury", "(x)": "(x)", "f(x)": "f(x)", "a (b) (c)": "a (b)", ")": ")"} {
		if got := Title(title); got != want {
			t.Errorf("Title(%q) is %q, want %q", title, got, want)
		}
	}
}

// BenchmarkFind matches 100,000 names of one to three words against text whose
// words are as often as words are (Zipf).
func BenchmarkFind(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 4, 60_000)
	vocabulary := make([]string, 60_001)
	for i := range vocabulary {
		w := make([]byte, 2+r.IntN(9))
		for j := range w {
			w[j] = byte('a' + r.IntN(26))
		}
		vocabulary[i] = string(w)
	}
	x := NewNames()
	for i := 0; x.Len() < 100_000; i++ {
		name := vocabulary[100+r.IntN(59_000)]
		for range 1 + i%2 {
			name += " " + vocabulary[zipf.Uint64()]
		}
		x.Add(name, memory.Ordinal(i+1))
	}
	var text strings.Builder
	for text.Len() < 1<<20 {
		text.WriteString(vocabulary[zipf.Uint64()])
		text.WriteString(" ")
	}
	b.ReportMetric(float64(x.Bytes())/1e6, "MB")
	b.SetBytes(int64(text.Len()))
	found := 0
	for b.Loop() {
		x.Find(text.String(), func(Mention) bool { found++; return true })
	}
	b.ReportMetric(float64(found)/float64(b.N), "names/op")
}
