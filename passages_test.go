package engram_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
)

// shortSighted is a fake model that reads no more than its first words of a text.
type shortSighted struct{ *fakeModel }

const readWords = 60

func (m shortSighted) Info() embed.Info {
	i := m.fakeModel.Info()
	i.MaxTokens = readWords
	return i
}

func (m shortSighted) Tokens(text string) int { return len(strings.Fields(text)) }

func (m shortSighted) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	read := make([]string, len(texts))
	for i, t := range texts {
		w := strings.Fields(t)
		read[i] = strings.Join(w[:min(len(w), readWords)], " ")
	}
	return m.fakeModel.Embed(ctx, read)
}

func newShortSighted() shortSighted {
	m := shortSighted{&fakeModel{name: fmt.Sprintf("fake-%d", fakes.Add(1))}}
	embed.Register(m.name, func() (embed.Model, error) { return m, nil })
	return m
}

// book has a paragraph of each word, in order.
func book(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(strings.Repeat(w+" ", 30) + "end.\n\n")
	}
	return b.String()
}

// cites recalls by a cue and gives the first result's id and the word of its passage.
func cites(t *testing.T, s *engram.Space, c memory.Cue) (memory.ID, string) {
	t.Helper()
	r, err := s.Recall(context.Background(), c)
	check(t, err)
	if len(r.Results) == 0 {
		return "", ""
	}
	x := r.Results[0]
	if x.Passage == nil {
		return x.Memory.ID, ""
	}
	word, _, _ := strings.Cut(x.Memory.Text[x.Passage.Start:x.Passage.End], " ")
	return x.Memory.ID, word
}

var byMeaning = memory.Cue{Text: "lutra lutra", Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}}

// TestPassages: a text that is longer than its model reads is found by what stands at its
// end, and the answer cites the place; it stays so when the database opens again from
// its state, from a snapshot and the journal, and when a new version has the same text.
func TestPassages(t *testing.T) {
	ctx := context.Background()
	m := newShortSighted()
	fs := vfs.NewCrashableMem()
	o := engram.Options{DefaultModel: m.name}
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	rememberWaiting(t, s, memory.Episode{ID: "book", Title: "Rivers", Text: book("plum", "pear", "fig", "otter", "lime", "date")})
	rememberWaiting(t, s, memory.Episode{ID: "note", Text: "plum pear fig"})
	rememberWaiting(t, s, memory.Episode{ID: "other", Text: book("quince", "medlar", "sloe", "hip")})
	is := func(when string) {
		t.Helper()
		if id, word := cites(t, s, byMeaning); id != "book" || word != "otter" {
			t.Errorf("%s: %s is first and cites %q", when, id, word)
		}
		if id, word := cites(t, s, memory.Cue{Text: "date", Mode: memory.ModeSimilar}); id != "book" || word != "date" {
			t.Errorf("%s, by words: %s is first and cites %q", when, id, word)
		}
	}
	is("at once")
	if m.sawText("Rivers. otter otter") == 0 {
		t.Error("passages are read without their title")
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{}) // no snapshot was saved yet
	check(t, db.Close())
	for when, from := range map[string]*vfs.MemFS{"built from the state": crashed, "from a snapshot": fs} {
		db = openWith(t, from, o)
		s = mainSpace(t, db)
		is(when)
		rememberWaiting(t, s, memory.Episode{ID: "late", Text: book("reed", "rush", "moss", "fern")})
		after := from.CrashClone(vfs.CrashCloneCfg{})
		check(t, db.Close())
		db = openWith(t, after, o)
		s = mainSpace(t, db)
		is(when + " and the journal")
		if id, word := cites(t, s, memory.Cue{Text: "fern", Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}}); id != "late" || word != "fern" {
			t.Errorf("%s and the journal: %s is first and cites %q", when, id, word)
		}
	}
	_, err := s.Update(ctx, "book", func(e *memory.Episode) error { e.Tags = []string{"new"}; return nil }, engram.WriteOptions{})
	check(t, err)
	is("in a new version of the same text")
	clean(t, db)
	_, err = s.Update(ctx, "book", func(e *memory.Episode) error { e.Text = "plum alone"; return nil }, waiting)
	check(t, err)
	if id, _ := cites(t, s, byMeaning); id == "book" {
		t.Error("passages of an old text are found")
	}
	clean(t, db)
}

// TestPassagesAreScreened: the filter holds for passages, too, and what is hidden, deleted
// or erased has none.
func TestPassagesAreScreened(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{DefaultModel: newShortSighted().name})
	s := mainSpace(t, db)
	for _, mode := range []memory.ForgetMode{memory.Suppress, memory.Delete, memory.Erase} {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(mode.String()), Text: book("plum", "pear", "fig", "otter"), Tags: []string{mode.String()}})
	}
	for _, mode := range []memory.ForgetMode{memory.Suppress, memory.Delete, memory.Erase} {
		c := byMeaning
		c.Filter.Tags = []string{mode.String()}
		if got := recalled(t, s, c); !slices.Equal(got, []memory.ID{memory.ID(mode.String())}) {
			t.Errorf("with the tag %s: %v", mode, got)
		}
		_, err := s.Delete(ctx, memory.ID(mode.String()), mode, 0, engram.WriteOptions{})
		check(t, err)
		if got := recalled(t, s, c); len(got) != 0 {
			t.Errorf("%s: %v", mode, got)
		}
	}
	clean(t, db)
}

// TestCitedByWords: where no model cut it, a long text is cited by the words of the cue; a
// short one is not.
func TestCitedByWords(t *testing.T) {
	s := mainSpace(t, openWith(t, vfs.NewMem(), engram.Options{}))
	remember(t, s, memory.Episode{ID: "book", Text: book("plum", "pear", "fig", "otter", "lime", "date", "sloe", "hip", "haw", "nut", "rye", "oat")})
	remember(t, s, memory.Episode{ID: "note", Text: "a fox"})
	r, err := s.Recall(context.Background(), memory.Cue{Text: "otters"})
	check(t, err)
	p := r.Results[0].Passage
	if p == nil || !strings.Contains(r.Results[0].Memory.Text[p.Start:p.End], "otter") || p.End-p.Start > 1000 {
		t.Errorf("cites %+v", p)
	}
	if id, word := cites(t, s, memory.Cue{Text: "fox"}); id != "note" || word != "" {
		t.Errorf("%s cites %q", id, word)
	}
	if id, word := cites(t, s, memory.Cue{Mode: memory.ModeRecent, Filter: memory.Filter{Kinds: []memory.Kind{memory.KindEpisode}}}); id != "note" || word != "" {
		t.Errorf("a listing cites %q of %s", word, id)
	}
}

// TestHugeText: a text of megabytes has so many passages and no more.
func TestHugeText(t *testing.T) {
	m := newShortSighted()
	db := openWith(t, vfs.NewMem(), engram.Options{DefaultModel: m.name})
	s := mainSpace(t, db)
	rememberWaiting(t, s, memory.Episode{ID: "huge", Text: book(slices.Repeat([]string{"plum", "pear"}, 1000)...) + book("otter")})
	if n := m.sawText("p"); n > 300 {
		t.Errorf("%d passages were made", n)
	}
	if id, _ := cites(t, s, memory.Cue{Text: "otter"}); id != "huge" {
		t.Errorf("found %q by a word at its end", id)
	}
	clean(t, db)
}
