package engram_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// notes stores so many short texts, each with a word of its own, without waiting for
// vectors.
func notes(t *testing.T, s *engram.Space, name string, n int) {
	t.Helper()
	for from := 0; from < n; from += 100 {
		var batch []memory.Episode
		for i := from; i < min(from+100, n); i++ {
			batch = append(batch, memory.Episode{ID: memory.ID(fmt.Sprint(name, i)), Text: fmt.Sprintf("%s%d of a kind", name, i)})
		}
		_, err := s.RememberBatch(context.Background(), batch, false, engram.WriteOptions{WaitNone: true})
		check(t, err)
	}
}

func foundByWord(t *testing.T, s *engram.Space, when, word string) {
	t.Helper()
	if got := recalled(t, s, memory.Cue{Text: word, Limit: 1, Stages: memory.Stages{NoVector: true}}); len(got) != 1 || got[0] != memory.ID(word) {
		t.Errorf("%s: by %q: %v", when, word, got)
	}
}

// A text for whose vector there is no memory is stored and found by its words, in this
// space and in another; figures say how many wait; all get their vectors when there is
// room. No restart locks anyone out.
func TestVectorMemoryOfAModel(t *testing.T) {
	const many = 900
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	fs, m := vfs.NewMem(), newFake()
	o := engram.Options{DefaultModel: m.name, VectorMemory: 100_000, Clock: clk, IdleClose: 1000 * time.Hour}
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	recalled(t, s, memory.Cue{Text: "x"}) // it is open
	notes(t, s, "one", many)
	full := func(when string) {
		t.Helper()
		eventually(t, when+": texts wait for memory", func() bool { return db.Stats().Vectors.Delayed > 0 })
		if st := db.Stats().Vectors; st.Bytes > st.Bound || st.Delayed >= many {
			t.Errorf("%s: %+v", when, st)
		}
		for _, word := range []string{"one0", "one450", fmt.Sprint("one", many-1)} {
			foundByWord(t, s, when, word)
		}
		if got := recalled(t, s, memory.Cue{Text: "one7 of a kind", Mode: memory.ModeSimilar, Limit: 1, Stages: memory.Stages{NoText: true}}); len(got) != 1 {
			t.Errorf("%s: nothing is found by meaning", when)
		}
	}
	full("filled")
	refused := db.Stats().Vectors.Refused
	w, err := s.Remember(context.Background(), memory.Episode{ID: "late", Text: "late of a kind"}, waiting)
	check(t, err)
	if len(w.Pending) == 0 || db.Stats().Vectors.Refused != refused {
		t.Errorf("written %+v, %d were refused before, %d now", w, refused, db.Stats().Vectors.Refused)
	}
	foundByWord(t, s, "late", "late")

	// A second tenant, while the first is in use.
	_, _, err = db.CreateSpace(context.Background(), "two", memory.Settings{})
	check(t, err)
	two, err := db.Space("two")
	check(t, err)
	notes(t, two, "two", 50)
	foundByWord(t, two, "second tenant", "two49")
	full("beside the second tenant")

	check(t, db.Close())
	db = openWith(t, fs, o)
	s = mainSpace(t, db)
	foundByWord(t, s, "after a restart", "one3")
	full("after a restart")
	if two, err = db.Space("two"); err != nil {
		t.Fatal(err)
	}
	foundByWord(t, two, "after a restart", "two7")

	// Room comes back.
	for i := range many - 100 {
		_, err := s.Delete(context.Background(), memory.ID(fmt.Sprint("one", i)), memory.Delete, 0, engram.WriteOptions{})
		check(t, err)
	}
	foundByWord(t, s, "after many were forgotten", "late") // it is open, and has followed
	eventually(t, "the rest gets its vectors", func() bool {
		clk.Advance(time.Minute)
		foundByWord(t, s, "while vectors are made", "late")
		return memoryOf(t, s, "late").Made
	})
	clean(t, db)
}

// A long text whose passages do not fit gets neither part of them nor in the way of the
// bound.
func TestVectorMemoryOfPassages(t *testing.T) {
	m := newShortSighted()
	db := openWith(t, vfs.NewMem(), engram.Options{DefaultModel: m.name, VectorMemory: 60_000})
	s := mainSpace(t, db)
	recalled(t, s, memory.Cue{Text: "x"})
	ctx := context.Background()
	for i := range 6 {
		words := []string{fmt.Sprint("book", i)}
		for p := range 100 {
			words = append(words, fmt.Sprintf("p%dx%d", i, p))
		}
		_, err := s.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprint("book", i)), Text: book(words...)}, engram.WriteOptions{})
		check(t, err)
	}
	eventually(t, "texts wait for memory", func() bool { return db.Stats().Vectors.Delayed > 0 })
	if st := db.Stats().Vectors; st.Bytes > st.Bound || st.Bytes == 0 {
		t.Errorf("figures: %+v", st)
	}
	for i := range 6 {
		foundByWord(t, s, "full", fmt.Sprint("book", i))
	}
	clean(t, db)
}

// A quick model's vectors, which lie in the commit of the text, keep to the bound as well.
func TestVectorMemoryOfAQuickModel(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{DefaultModel: quickName, VectorMemory: 200_000})
	s := mainSpace(t, db)
	recalled(t, s, memory.Cue{Text: "x"})
	notes(t, s, "one", 1800)
	eventually(t, "texts wait for memory", func() bool { return db.Stats().Vectors.Delayed > 0 })
	if st := db.Stats().Vectors; st.Bytes > st.Bound || st.Bytes == 0 || st.Refused > 0 {
		t.Errorf("figures: %+v", st)
	}
	w, err := s.Remember(context.Background(), memory.Episode{ID: "late", Text: "late of a kind"}, engram.WriteOptions{})
	check(t, err)
	if len(w.Pending) == 0 {
		t.Error("its vector is not pending")
	}
	foundByWord(t, s, "full", "one1799")
	foundByWord(t, s, "full", "late")
	clean(t, db)
}
