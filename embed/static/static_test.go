package static

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/vector"
)

// digest is that of table.bin: a change of the table is a change of the model, and is said here and in PROVENANCE.md.
const digest = "7040cee1d0757f4691ad09c12993652fd9afea48ff0f3648e6d61534fd29bb4b"

func theTable(tb testing.TB) *Table {
	tb.Helper()
	t, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// made is a table of two numbers a word that one can check by hand.
func made(tb testing.TB, change func(*About)) []byte {
	tb.Helper()
	vocabulary := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\nkitten\nstone\n##s\n"
	a := About{Kind: Kind, Name: "made", Version: "1", Dimension: 2, First: 5, Words: 9}
	if change != nil {
		change(&a)
	}
	var w tensors.Writer
	w.AddText("vocabulary", vocabulary)
	w.AddInt8("rows", []int8{100, 0, 80, 60, 0, -100, 0, 0}, 2)
	w.AddFloat32("rows.scale", []float32{1, .5, 1, 1}, 4)
	var b bytes.Buffer
	if err := w.Write(&b, a); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func mustEmbed(tb testing.TB, m embed.Model, texts ...string) [][]float32 {
	tb.Helper()
	v, err := m.Embed(context.Background(), texts)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestSumOfRows(t *testing.T) {
	m, err := Read(made(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]float64{
		"cat":                  {1, 0},
		"Cats [SEP] 🙂":         {1, 0},
		"kitten":               {.8, .6},
		"stone, kitten kitten": {80, -40},
	} {
		norm := math.Hypot(want[0], want[1])
		if got := mustEmbed(t, m, text)[0]; math.Abs(float64(got[0])-want[0]/norm) > 1e-6 || math.Abs(float64(got[1])-want[1]/norm) > 1e-6 {
			t.Errorf("%q gave %v, want %v", text, got, want)
		}
	}
	near := m.Neighbours("CAT", 5)
	if len(near) != 1 || near[0].Word != "kitten" || math.Abs(float64(near[0].Cosine)-.8) > 2e-3 || math.Abs(float64(near[0].Weight)-.8*.4/.6) > 2e-3 {
		t.Errorf("near cat: %+v", near)
	}
	if near := m.Neighbours("stone", 5); len(near) != 0 {
		t.Errorf("near stone: %+v", near)
	}
}

func TestRefusedTables(t *testing.T) {
	for name, change := range map[string]func(*About){
		"another kind":        func(a *About) { a.Kind = "bert-int8" },
		"no dimension":        func(a *About) { a.Dimension = 0 },
		"first behind all":    func(a *About) { a.First = 9 },
		"a first below zero":  func(a *About) { a.First = -1 },
		"a million dimension": func(a *About) { a.Dimension = 1 << 20 },
	} {
		if _, err := Read(made(t, change)); !errors.Is(err, embed.ErrUnsupported) {
			t.Errorf("%s gave %v", name, err)
		}
	}
	for name, change := range map[string]func(*About){
		"another dimension": func(a *About) { a.Dimension = 4 },
		"more words":        func(a *About) { a.Words = 10 },
	} {
		m, err := Read(made(t, change))
		if err == nil {
			_, err = m.Embed(context.Background(), []string{"cat"})
		}
		if !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

func TestDamage(t *testing.T) {
	whole := made(t, nil)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		m, err := Read(b)
		if err == nil {
			_, err = m.Embed(context.Background(), []string{"cat"})
		}
		if err != nil && !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("a change at byte %d gave %v", i, err)
		}
	}
}

func TestInfo(t *testing.T) {
	m, err := embed.Open(Name)
	if err != nil {
		t.Fatal(err)
	}
	want := embed.Info{Name: "static-minilm-256", Version: "int8-1", Digest: digest, Dimension: 256, MaxTokens: 512}
	if m.Info() != want {
		t.Errorf("%+v, want %+v", m.Info(), want)
	}
	if len(table) > 8_000_000 {
		t.Errorf("the table has %d bytes", len(table))
	}
}

func TestMeaning(t *testing.T) {
	m := theTable(t)
	v := mustEmbed(t, m, "who repaired the telescope", "Ada fixed the lens of her spyglass and we saw Saturn", "The invoice was paid on Monday")
	if a, b := vector.Dot(v[0], v[1]), vector.Dot(v[0], v[2]); a < b+.1 {
		t.Errorf("the spyglass is at %v, the invoice at %v", a, b)
	}
}

func TestEmptyTexts(t *testing.T) {
	m := theTable(t)
	for _, text := range []string{"", " \n\t", "\x00\u200b", "\xff", "🙂🙃"} {
		_, err := m.Embed(context.Background(), []string{"cat", text})
		var te *embed.TextError
		if !errors.As(err, &te) || te.Index != 1 || !errors.Is(err, embed.ErrEmpty) {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func TestLongText(t *testing.T) {
	m := theTable(t)
	long := strings.Repeat("the cat sat there. ", 20_000)
	if v := mustEmbed(t, m, long, long[:5*19*103]); !slices.Equal(v[0], v[1]) {
		t.Error("what lies beyond the limit changed the vector")
	}
	if n := m.Tokens(long); n != 100_000 {
		t.Errorf("%d tokens", n)
	}
}

func TestNeighbours(t *testing.T) {
	m := theTable(t)
	for word, want := range map[string]string{"dog": "canine", "doctor": "physician", "Painting": "painter", "lake": "pond"} {
		near := m.Neighbours(word, 40)
		if !slices.ContainsFunc(near, func(n Neighbour) bool { return n.Word == want }) {
			t.Errorf("near %s: %+v", word, near)
		}
		for i, n := range near {
			if n.Word == strings.ToLower(word) || n.Cosine <= floor || n.Cosine > 1 || n.Weight < 0 || n.Weight > counts || i > 0 && n.Cosine > near[i-1].Cosine {
				t.Errorf("neighbour %d of %s is %+v", i, word, n)
			}
		}
	}
	for _, word := range []string{"", "🙂", "\x00", " "} {
		if near := m.Neighbours(word, 15); len(near) != 0 {
			t.Errorf("near %q: %+v", word, near)
		}
	}
	if n := len(m.Neighbours("dog", 3)); n != 3 {
		t.Errorf("%d of 3", n)
	}
	if n := len(m.Neighbours("dog", -1)); n != 0 {
		t.Errorf("%d of none", n)
	}
}

func TestThesaurusOfStems(t *testing.T) {
	m := theTable(t)
	th, err := m.Thesaurus(func(word string) string {
		if word == "hound" || word == "hounds" {
			return ""
		}
		return strings.TrimSuffix(word, "s")
	})
	if err != nil {
		t.Fatal(err)
	}
	near := th.Near("dog", 15)
	has := func(word string) bool {
		return slices.ContainsFunc(near, func(n Neighbour) bool { return n.Word == word })
	}
	if !has("canine") || has("dogs") || has("dog") || has("hound") {
		t.Errorf("near the stem dog: %+v", near)
	}
	if near := th.Near("dogs", 15); near != nil {
		t.Errorf("near what is no stem: %+v", near)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	for i := range 3 * cacheWords {
		c.put(string(rune(0x100+i)), nil)
		if len(c.mu.near) > cacheWords {
			t.Fatalf("%d words", len(c.mu.near))
		}
	}
}

func TestConcurrently(t *testing.T) {
	m := theTable(t)
	want := mustEmbed(t, m, "the cat sat on the mat")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got, err := m.Embed(context.Background(), []string{"the cat sat on the mat"}); err != nil || !slices.Equal(got[0], want[0]) {
					t.Errorf("another answer beside others: %v", err)
				}
				m.Neighbours("cat", 15)
			}
		})
	}
	all.Wait()
}

func BenchmarkTurn(b *testing.B) {
	m := theTable(b)
	texts := []string{"Bea: we finally booked the cabin by the lake for the first week of July, so tell your brother to bring the old canoe along"}
	for b.Loop() {
		if _, err := m.Embed(context.Background(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
}

func BenchmarkThesaurus(b *testing.B) {
	m := theTable(b)
	for b.Loop() {
		if _, err := m.Thesaurus(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNear(b *testing.B) {
	th, err := theTable(b).Thesaurus(nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		th.find(th.at["telescope"])
	}
}
