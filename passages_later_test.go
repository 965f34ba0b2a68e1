package engram_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
)

// beforePassages is a model under which nothing was long, and later is: as a program
// before texts were cut would have left them.
type beforePassages struct {
	shortSighted
	later *atomic.Bool
}

func (m beforePassages) Tokens(text string) int {
	if !m.later.Load() {
		return 1
	}
	return m.shortSighted.Tokens(text)
}

// wordOf is a word of a book's last paragraph, which the fake model tells from the others.
func wordOf(book int) string {
	for n := 100 * book; ; n++ {
		w, apart := fmt.Sprintf("word%d", n), true
		for _, other := range []string{"plum", "pear", "fig", "end"} {
			apart = apart && !slices.Equal(hashed([]string{w}), hashed([]string{other}))
		}
		if apart {
			return w
		}
	}
}

// olderSpace has long texts without passages, and others; the database is closed.
func olderSpace(t *testing.T, long int, others ...memory.Episode) (beforePassages, *vfs.MemFS, engram.Options) {
	t.Helper()
	m := beforePassages{shortSighted{&fakeModel{name: fmt.Sprintf("fake-%d", fakes.Add(1))}}, new(atomic.Bool)}
	embed.Register(m.name, func() (embed.Model, error) { return m, nil })
	fs, o := vfs.NewCrashableMem(), engram.Options{DefaultModel: m.name}
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	for i := range long {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprintf("book%d", i)), Text: book("plum", "pear", "fig", wordOf(i)), Tags: []string{wordOf(i)}})
	}
	rememberWaiting(t, s, memory.Episode{ID: "note", Text: "plum pear fig"})
	for part := range slices.Chunk(others, 400) {
		_, err := s.RememberBatch(context.Background(), part, false, waiting)
		check(t, err)
	}
	given := make([]float32, fakeDimension)
	given[0] = 1
	remember(t, s, memory.Episode{ID: "given", Text: book("plum", "pear", "fig", "quince"), Vector: given})
	if long > 0 {
		_, err := s.Update(context.Background(), "book0", func(e *memory.Episode) error { e.Tags = append(e.Tags, "new"); return nil }, engram.WriteOptions{})
		check(t, err) // a version of the same text has the vector of the one before
		if citesByMeaning(t, s, 0) {
			t.Fatal("a text was cut too early")
		}
	}
	check(t, db.Close())
	m.later.Store(true)
	return m, fs, o
}

// citesByMeaning says whether a book is cited by what its last paragraph means.
func citesByMeaning(t *testing.T, s *engram.Space, i int) bool {
	t.Helper()
	c := memory.Cue{Text: wordOf(i), Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}, Filter: memory.Filter{Tags: []string{wordOf(i)}}}
	id, word := cites(t, s, c)
	return id == memory.ID(fmt.Sprintf("book%d", i)) && word == c.Text
}

// TestOlderTextsAreCut: long texts that were stored before they were cut get their passages
// when the space opens, without being changed; a caller's own vector stays what it is, and
// the next opening has nothing to do.
func TestOlderTextsAreCut(t *testing.T) {
	const long = 5
	m, fs, o := olderSpace(t, long)
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	for i := range long {
		eventually(t, "passages are made", func() bool { return citesByMeaning(t, s, i) })
	}
	got, err := s.Get(context.Background(), "book1", engram.ReadOptions{})
	check(t, err)
	if got.Version != 1 {
		t.Errorf("the text has version %d", got.Version)
	}
	if given := memoryOf(t, s, "given"); given.Made || len(given.Vector) == 0 || given.Vector[0] != 1 || m.sawText("quince") > 0 {
		t.Errorf("a caller's vector became %v", given.Vector)
	}
	nothingWaits(t, s)
	clean(t, db)
	check(t, db.Close())
	calls := m.called()
	db = openWith(t, fs, o)
	s = mainSpace(t, db)
	for i := range long {
		if !citesByMeaning(t, s, i) {
			t.Errorf("after a restart book%d is not cited", i)
		}
	}
	nothingWaits(t, s)
	if made := m.called() - calls; made != long { // the cues
		t.Errorf("the model was asked %d times after a restart, want %d", made, long)
	}
}

// nothingWaits waits until nothing waits for a vector.
func nothingWaits(t *testing.T, s *engram.Space) {
	t.Helper()
	eventually(t, "nothing waits", func() bool {
		i, err := s.Info(context.Background())
		check(t, err)
		for _, x := range i.Indexes {
			if x.Tail > 0 {
				return false
			}
		}
		return true
	})
}

// TestCuttingOlderTextsGoesOn: what waits is counted, new texts do not wait behind it, and
// after a crash in the middle the rest follows.
func TestCuttingOlderTextsGoesOn(t *testing.T) {
	const long = 40
	m, fs, o := olderSpace(t, long)
	asked, release := m.hang()
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	recalled(t, s, memory.Cue{Mode: memory.ModeRecent}) // opens it
	<-asked
	eventually(t, "the texts are counted as waiting", func() bool {
		for _, x := range db.ModelStats() {
			if x.Name == m.name {
				return x.Waiting >= long/2
			}
		}
		return false
	})
	release()
	eventually(t, "some have their passages", func() bool { return citesByMeaning(t, s, 0) })
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	check(t, db.Close())
	db = openWith(t, crashed, o)
	s = mainSpace(t, db)
	for i := range long {
		eventually(t, fmt.Sprintf("book%d is cut after the crash", i), func() bool { return citesByMeaning(t, s, i) })
	}
	nothingWaits(t, s)
	clean(t, db)
}

// TestLookingForOlderTextsEnds: a large space is looked through once, which it keeps.
func TestLookingForOlderTextsEnds(t *testing.T) {
	var plums []memory.Episode
	for i := range 1200 {
		plums = append(plums, memory.Episode{Text: fmt.Sprintf("plum %d", i)})
	}
	m, fs, o := olderSpace(t, 0, plums...)
	ctx := context.Background()
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	before, err := s.Info(ctx)
	check(t, err)
	recalled(t, s, memory.Cue{Text: "plum", Limit: 1})
	eventually(t, "the end of the search is kept", func() bool {
		now, err := s.Info(ctx)
		check(t, err)
		return now.LSN == before.LSN+1
	})
	check(t, db.Close())
	m.later.Store(false) // nothing is long in its eyes: who looks finds nothing, and keeps nothing
	db = openWith(t, fs, o)
	s = mainSpace(t, db)
	recalled(t, s, memory.Cue{Text: "plum", Limit: 1})
	nothingWaits(t, s)
	if now, err := s.Info(ctx); err != nil || now.LSN != before.LSN+1 {
		t.Errorf("looked through again: LSN %d, %v", now.LSN, err)
	}
}
