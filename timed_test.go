package engram

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// TestTimedBlocksNobody: while the links that hold for a time are read, the indexes can be
// written and read, and what is written then is known afterwards.
func TestTimedBlocksNobody(t *testing.T) {
	ctx := context.Background()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	link := func(id memory.ID, valid *memory.Validity) *store.Link {
		return &store.Link{ID: id, From: 1, To: 2, Type: "t", Weight: 1, Version: 1, Valid: valid}
	}
	timed := func(id memory.ID) *store.Link { return link(id, &memory.Validity{From: &from}) }
	w := &tower{assoc: newAssociations()}
	write := func(f func(a *associations)) {
		t.Helper()
		if !w.mu.TryLock() {
			t.Fatal("the indexes are locked while links are read")
		}
		f(w.assoc)
		w.mu.Unlock()
	}
	read := func(f func(*store.Link) (bool, error)) error {
		write(func(a *associations) { a.link(timed("new")); a.link(timed("seen")); a.link(timed("gone")) })
		for _, l := range []*store.Link{timed("stays"), timed("ends"), timed("seen"), timed("turns"), link("ever", nil), link("limited", nil)} {
			if _, err := f(l); err != nil {
				return err
			}
		}
		write(func(a *associations) {
			a.unlink([]*store.Link{timed("ends"), timed("gone")})
			a.link(link("turns", nil))
			a.link(timed("limited"))
		})
		waits, cancel := context.WithCancel(ctx)
		cancel()
		if err := w.knowTimed(waits); memory.KindOf(err) != memory.KindCancelled {
			t.Errorf("a second reader: %v", err)
		}
		return nil
	}
	failure := errors.New("a bad disk")
	if err := w.learnTimed(ctx, func(func(*store.Link) (bool, error)) error { return failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if err := w.learnTimed(ctx, read); err != nil {
		t.Fatal(err)
	}
	if err := w.knowTimed(ctx); err != nil { // it is known: nothing is read
		t.Fatal(err)
	}
	w.assoc.unlink([]*store.Link{timed("new")})
	w.assoc.link(timed("later"))
	if got, want := slices.Sorted(maps.Keys(w.assoc.timed)), []memory.ID{"later", "limited", "seen", "stays"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
