package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// laterIn commits a write that can wait, on a goroutine of its own, and returns once the
// committer holds it.
func laterIn(t *testing.T, s *Shard, space memory.SpaceID, decide func(*Tx) error) (out chan error) {
	t.Helper()
	out, decided := make(chan error, 1), make(chan struct{})
	go func() {
		_, err := s.Commit(bg, &Write{Space: space, Later: true, Decide: func(tx *Tx) error { defer close(decided); return decide(tx) }})
		out <- err
	}()
	<-decided
	return out
}

// patient is a shard whose callers have just written, so that it holds what can wait, for
// as long as the test takes.
func patient(t *testing.T, fs vfs.FS) (s *Shard, space memory.SpaceID) {
	t.Helper()
	s = open(t, "d", small(fs))
	space = mustSpace(t, s, "s")
	s.later.wait = 1 << 60
	return s, space
}

func found(t *testing.T, s *Shard, space memory.SpaceID, id memory.ID) bool {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	n, err := v.Lookup(space, id)
	if err != nil {
		t.Error(err)
	}
	return n != nil
}

// TestLaterRides: what can wait is on disk with the next write, in one sync, in order, and
// neither seen nor acknowledged before.
func TestLaterRides(t *testing.T) {
	s, space := patient(t, vfs.NewMem())
	syncs := s.Stats().Groups
	first, second := laterIn(t, s, space, create("a", episode("text", nil))), laterIn(t, s, space, create("b", episode("text", nil)))
	select {
	case err := <-first:
		t.Fatalf("it is acknowledged before any sync: %v", err)
	default:
	}
	if found(t, s, space, "a") {
		t.Error("a reader sees what is not on disk")
	}
	c := must1(t, s, space, func(tx *Tx) error {
		if n, err := tx.Lookup("b"); err != nil || n == nil {
			t.Errorf("a write does not see what is held: %v", err)
		}
		return create("c", episode("text", nil))(tx)
	})
	for _, err := range []error{<-first, <-second} {
		if err != nil {
			t.Error(err)
		}
	}
	if n := s.Stats().Groups - syncs; n != 1 || c.LSN != 3 {
		t.Errorf("%d syncs, and the write that came last has LSN %d; want 1 and 3", n, c.LSN)
	}
	for _, id := range []memory.ID{"a", "b", "c"} {
		if !found(t, s, space, id) {
			t.Errorf("%s is not seen", id)
		}
	}
	sound(t, s)
	closed(t, s)
}

// TestLaterInAHurry: who waits for it gets it without a write of a caller; and so does who
// closes the store.
func TestLaterInAHurry(t *testing.T) {
	fs := vfs.NewMem()
	s, space := patient(t, fs)
	out := laterIn(t, s, space, create("a", episode("text", nil)))
	s.Hurry()
	if err := <-out; err != nil || !found(t, s, space, "a") {
		t.Errorf("it is not there: %v", err)
	}
	s.Hurry() // with nothing held
	out = laterIn(t, s, space, create("b", episode("text", nil)))
	closed(t, s)
	if err := <-out; err != nil {
		t.Error(err)
	}
	s = open(t, "d", small(fs))
	if !found(t, s, space, "b") {
		t.Error("what was held when the store closed is lost")
	}
	sound(t, s)
	closed(t, s)
}

// TestLaterAlone: where no caller writes nothing waits, and what waits does not for ever.
func TestLaterAlone(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	space := mustSpace(t, s, "s")
	for i := range 5 {
		if err := <-laterIn(t, s, space, create(memory.ID(fmt.Sprint(i)), episode("text", nil))); err != nil {
			t.Error(err)
		}
	}
	sound(t, s)
	closed(t, s)
}

// TestRefusalWaits: a refusal that rests on what is held is told when that is on disk.
func TestRefusalWaits(t *testing.T) {
	s, space := patient(t, vfs.NewMem())
	syncs := s.Stats().Groups
	out := laterIn(t, s, space, create("a", episode("text", nil)))
	_, err := do(s, space, func(tx *Tx) error {
		if n, err := tx.Lookup("a"); err != nil || n == nil {
			t.Errorf("a write does not see what is held: %v", err)
		}
		return errGone
	})
	if err != errGone || !found(t, s, space, "a") || s.Stats().Groups != syncs+1 {
		t.Errorf("it was refused (%v) before its reason was on disk", err)
	}
	if err := <-out; err != nil {
		t.Error(err)
	}
	sound(t, s)
	closed(t, s)
}

// TestLaterIsBounded: where callers write without a pause, what can wait has its turn.
func TestLaterIsBounded(t *testing.T) {
	s, space, release := held(t, 64)
	done := make(chan error, 1)
	go func() {
		_, err := s.Commit(bg, &Write{Space: space, Later: true, Decide: create("later", episode("text", nil))})
		done <- err
	}()
	for len(s.later.queue) == 0 {
		<-clock.System.After(1)
	}
	seen := 0
	var next func(tx *Tx) error // puts itself into the queue again before it ends
	put := func() error {
		return s.enqueue(&request{w: &Write{Space: space, Decide: next}, done: make(chan struct{})})
	}
	next = func(tx *Tx) error {
		if n, err := tx.Lookup("later"); err != nil || n != nil {
			return err
		}
		if seen++; seen > 3*laterSkips {
			return nil
		}
		return put()
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if seen > laterSkips+1 {
		t.Errorf("%d groups went before it", seen)
	}
	closed(t, s)
}

// TestLaterFails: when the sync of a group fails that others wait for, none is acknowledged.
func TestLaterFails(t *testing.T) {
	s, space := patient(t, vfs.NewMem())
	var told []error
	s.opts.Fatal = func(err error) { told = append(told, err) }
	out := laterIn(t, s, space, create("a", episode("text", nil)))
	failed := fmt.Errorf("the disk is gone")
	s.fatal.Store(&failed)
	s.Hurry()
	if err := <-out; err == nil || len(told) == 0 {
		t.Errorf("it is acknowledged (%v) after a failed sync (%v)", err, told)
	}
	_ = s.Close() // the process would have ended
}
