package engram_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios in testdata answer into them; read the difference")

// TestScenarios plays testdata/*.txt: a line is a verb with its arguments, the
// indented lines below it are what it answers. Lines of a batch begin with "-",
// "eventually" repeats a verb until it answers what is written, moving the clock
// on by a minute each time. Ids that the engine makes show as <made>.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			playFile(t, f)
		})
	}
}

func playFile(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := i
		var items, want []string
		for ; i < len(lines) && strings.HasPrefix(lines[i], "- "); i++ {
			items = append(items, lines[i][2:])
			out.WriteString(lines[i] + "\n")
		}
		for ; i < len(lines) && strings.HasPrefix(lines[i], "  "); i++ {
			want = append(want, lines[i][2:])
		}
		got := s.play(line, items, want)
		for _, l := range got {
			out.WriteString("  " + l + "\n")
		}
		if !slices.Equal(got, want) && !*rewrite {
			t.Errorf("%s:%d: %s\ngot:\n  %s\nwant:\n  %s", path, at, line, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	s.close()
	if *rewrite && out.String() != string(b) {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stage is a database on a virtual disk and clock.
type stage struct {
	t     *testing.T
	ctx   context.Context
	fs    *vfs.MemFS
	clock *clock.Virtual
	opts  engram.Options
	db    *engram.DB
	space *engram.Space
	name  memory.SpaceName
	token string // of the last page
	marks map[string]time.Time
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, ctx: context.Background(), fs: vfs.NewCrashableMem(), name: engram.DefaultSpace, marks: make(map[string]time.Time)}
	s.clock = clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	s.open()
	return s
}

func (s *stage) open() {
	o := s.opts
	o.FS, o.Clock, o.Fatal = s.fs, s.clock, func(err error) { s.t.Error(err) }
	db, err := engram.Open(s.ctx, "data", o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.db = db
	s.space, _ = db.Space(s.name) // a scenario may have dropped it
}

func (s *stage) close() {
	if err := s.db.Close(); err != nil {
		s.t.Error(err)
	}
}

// crash goes on with what a power cut leaves; the old process ends afterwards, on
// the old disk.
func (s *stage) crash() {
	after := s.fs.CrashClone(vfs.CrashCloneCfg{})
	s.close()
	s.fs = after
	s.open()
}

func (s *stage) play(line string, items, want []string) []string {
	verb, rest, _ := strings.Cut(line, " ")
	if verb != "eventually" {
		return s.answer(verb, parseArgs(s.t, rest), items)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := s.play(rest, items, nil)
		if slices.Equal(got, want) || time.Now().After(deadline) || *rewrite && want == nil {
			return got
		}
		s.clock.Advance(time.Minute)
		<-time.After(time.Millisecond)
	}
}

var madeID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (s *stage) answer(verb string, a args, items []string) []string {
	do, ok := verbs[verb]
	if !ok {
		s.t.Fatalf("no verb %q", verb)
	}
	var out bytes.Buffer
	if err := do(s, a, items, &out); err != nil {
		out.WriteString(sayError(err) + "\n")
	}
	if out.Len() == 0 {
		return nil
	}
	text := madeID.ReplaceAllString(strings.TrimRight(out.String(), "\n"), "<made>")
	return strings.Split(text, "\n")
}

func sayError(err error) string {
	var e *memory.Error
	if !errors.As(err, &e) {
		return "! untyped: " + err.Error()
	}
	return fmt.Sprintf("! %s %s [%s] %s", e.Kind, e.Code, e.Field, e.Message)
}

// args are what stands behind a verb: words, and key=value.
type args struct {
	t     *testing.T
	words []string
	named map[string]string
}

func parseArgs(t *testing.T, line string) args {
	a := args{t: t, named: make(map[string]string)}
	for _, w := range splitWords(line) {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.named[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

// splitWords cuts at spaces outside of quotes (' or ") and takes the quotes off.
func splitWords(line string) (words []string) {
	var word strings.Builder
	quote, any := rune(0), false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, any = r, true
		case quote == 0 && r == ' ':
			if any {
				words = append(words, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	return words
}

func (a args) id() memory.ID {
	if len(a.words) == 0 {
		return ""
	}
	return memory.ID(a.words[0])
}

func (a args) ids() (ids []memory.ID) {
	for _, w := range a.words {
		ids = append(ids, memory.ID(w))
	}
	return ids
}

func (a args) list(key string) []string {
	if v, ok := a.named[key]; ok {
		return strings.Split(v, ",")
	}
	return nil
}

func (a args) int(key string) int {
	v, ok := a.named[key]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

func (a args) json(key string, to any) {
	if v, ok := a.named[key]; ok {
		if err := json.Unmarshal([]byte(v), to); err != nil {
			a.t.Fatalf("%s: %v", v, err)
		}
	}
}

func (a args) time(key string) *time.Time {
	v, ok := a.named[key]
	if !ok {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		a.t.Fatal(err)
	}
	return &t
}

func (a args) vector(key string) (v []float32) {
	for _, w := range a.list(key) {
		x, err := strconv.ParseFloat(w, 32)
		if err != nil {
			a.t.Fatal(err)
		}
		v = append(v, float32(x))
	}
	return v
}

func (a args) options() engram.WriteOptions {
	o := engram.WriteOptions{IdempotencyKey: a.named["key"], Caller: a.named["caller"], IfMatch: uint32(a.int("if_match"))}
	conflict, err := memory.ParseOnConflict(a.named["on_conflict"])
	if err != nil {
		a.t.Fatal(err)
	}
	o.OnConflict = conflict
	return o
}

func (a args) filter() memory.Filter {
	f := memory.Filter{Tags: a.list("tags"), AnyTags: a.list("any_tags"), NotTags: a.list("not_tags"), People: a.list("people"), Stream: a.named["stream"]}
	from, to := a.time("from"), a.time("to")
	if from != nil || to != nil {
		f.Happened = &memory.Range{}
		if from != nil {
			f.Happened.From = *from
		}
		if to != nil {
			f.Happened.To = *to
		}
	}
	if v, ok := a.named["place"]; ok {
		f.Place = &memory.PlaceFilter{Name: v}
	}
	var equal map[string]any
	a.json("metadata", &equal)
	for k, v := range equal {
		if f.Metadata == nil {
			f.Metadata = make(map[string]memory.Condition)
		}
		f.Metadata[k] = condition(v)
	}
	return f
}

func condition(v any) memory.Condition {
	m, ok := v.(map[string]any)
	if !ok {
		return memory.Condition{Equals: v}
	}
	c := memory.Condition{GTE: m["gte"], GT: m["gt"], LTE: m["lte"], LT: m["lt"]}
	c.In, _ = m["in"].([]any)
	if x, ok := m["exists"].(bool); ok {
		c.Exists = &x
	}
	return c
}

// episode is a memory as a line says it.
func (a args) episode() memory.Episode {
	e := memory.Episode{ID: memory.ID(a.named["id"]), Title: a.named["title"], Text: a.named["text"], Vector: a.vector("vector"),
		People: a.list("people"), Tags: a.list("tags"), Stream: a.named["stream"], ExpiresAt: a.time("expires")}
	a.json("metadata", &e.Metadata)
	if t := a.time("happened"); t != nil {
		e.Happened = memory.At(*t)
	}
	if p := a.named["place"]; p != "" {
		e.Place = &memory.Place{Name: p}
	}
	if f := a.list("fact"); f != nil {
		e.Fact = &memory.Fact{Subject: f[0], Attribute: f[1], Value: f[2]}
	}
	if v := a.named["salience"]; v != "" {
		x, _ := strconv.ParseFloat(v, 64)
		e.Salience = &x
	}
	for _, ref := range a.list("entities") { // type:name, or @id
		if id, ok := strings.CutPrefix(ref, "@"); ok {
			e.Entities = append(e.Entities, memory.EntityRef{ID: memory.ID(id)})
			continue
		}
		typ, name, _ := strings.Cut(ref, ":")
		e.Entities = append(e.Entities, memory.EntityRef{Type: typ, Name: name})
	}
	for _, l := range a.list("links") { // type:to
		typ, to, _ := strings.Cut(l, ":")
		e.Links = append(e.Links, memory.LinkDraft{Type: typ, To: memory.ID(to)})
	}
	return e
}

func (a args) link() memory.Link {
	l := memory.Link{ID: memory.ID(a.named["id"]), Type: a.named["type"], Weight: 1}
	if len(a.words) == 2 {
		l.From, l.To = memory.ID(a.words[0]), memory.ID(a.words[1])
	}
	if v := a.named["weight"]; v != "" {
		l.Weight, _ = strconv.ParseFloat(v, 64)
	}
	a.json("metadata", &l.Metadata)
	if from, to := a.time("from"), a.time("to"); from != nil || to != nil {
		l.Valid = &memory.Validity{From: from, To: to}
	}
	return l
}
