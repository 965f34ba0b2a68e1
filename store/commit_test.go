package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// TestOrder: under many writers the numbers of each space are dense, records are
// published in their order, readers see them by then, and only then is a write
// acknowledged.
func TestOrder(t *testing.T) {
	const writers, each, spaces = 16, 40, 3
	var s *Shard
	last := make(map[memory.SpaceID]memory.LSN)
	var mu sync.Mutex
	published := make(map[string]bool)
	o := small(vfs.NewMem())
	o.Publish = func(ps []Published) {
		mu.Lock()
		defer mu.Unlock()
		v, err := s.View()
		if err != nil {
			t.Error(err)
			return
		}
		defer v.Close()
		for _, p := range ps {
			if p.Record.LSN != last[p.Space]+1 {
				t.Errorf("space %d: record %d is published after %d", p.Space, p.Record.LSN, last[p.Space])
			}
			last[p.Space] = p.Record.LSN
			if n := p.Record.Node; n != nil {
				published[fmt.Sprint(p.Space, n.ID)] = true
				if got, err := v.Lookup(p.Space, n.ID); err != nil || got == nil {
					t.Errorf("a reader does not see %s when it is published: %v", n.ID, err)
				}
			}
		}
	}
	s = open(t, "d", o)
	defer closed(t, s)
	var ids []memory.SpaceID
	for i := range spaces {
		ids = append(ids, mustSpace(t, s, memory.SpaceName(fmt.Sprint("s", i))))
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				space, id := ids[(w+i)%spaces], memory.ID(fmt.Sprintf("%d-%d", w, i))
				c, err := s.Commit(bg, &Write{Space: space, Later: i%4 == 3, Decide: create(id, episode("text", nil))})
				mu.Lock()
				if err != nil || !published[fmt.Sprint(space, id)] || last[space] < c.LSN {
					t.Errorf("%s is acknowledged before it is published: %v", id, err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	total := memory.LSN(0)
	for _, id := range ids {
		total += last[id]
	}
	if total != writers*each {
		t.Errorf("%d records for %d writes", total, writers*each)
	}
	if st := s.Stats(); st.Records != uint64(total)+spaces || st.Groups > st.Records {
		t.Errorf("stats: %+v", st)
	}
	sound(t, s)
}

// held is a shard whose committer stands still in the decision of a first write
// until release is called.
func held(t *testing.T, bound int) (s *Shard, space memory.SpaceID, release func()) {
	t.Helper()
	o := small(vfs.NewMem())
	o.QueueBound = bound
	s = open(t, "d", o)
	space = mustSpace(t, s, "s")
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = do(s, space, func(*Tx) error { close(in); <-out; return nil })
	}()
	<-in
	return s, space, func() { close(out); <-done }
}

func TestQueueBound(t *testing.T) {
	s, space, release := held(t, 2)
	var queued sync.WaitGroup
	for i := range 2 {
		queued.Go(func() {
			if _, err := do(s, space, create(memory.ID(fmt.Sprint("q", i)), episode("text", nil))); err != nil {
				t.Error(err)
			}
		})
	}
	for len(s.queue) < 2 { // they come in at their own time
		<-clock.System.After(time.Microsecond)
	}
	_, err := do(s, space, create("more", episode("text", nil)))
	var e *memory.Error
	if !errors.Is(err, ErrBusy) || !errors.As(err, &e) || e.RetryAfter == 0 || !strings.Contains(e.Message, "2 writes") {
		t.Errorf("a full queue gives %v", err)
	}
	release()
	queued.Wait()
	closed(t, s)
}

// TestAnsweredFirst: who was answered runs before the next write is decided, also where
// there is one processor for all.
func TestAnsweredFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	o := small(vfs.NewMem())
	var s *Shard
	var next *request
	o.Publish = func([]Published) {
		if next != nil && !next.taken.Load() {
			if err := s.enqueue(next); err != nil {
				t.Error(err)
			}
		}
	}
	s = open(t, "d", o)
	space := mustSpace(t, s, "s")
	const writes = 20
	late := 0
	for i := range writes {
		var answered, first atomic.Bool
		r := &request{done: make(chan struct{}), w: &Write{Space: space, Decide: func(*Tx) error { first.Store(answered.Load()); return nil }}}
		next = r
		must1(t, s, space, create(memory.ID(fmt.Sprint("m", i)), episode("text", nil)))
		answered.Store(true)
		<-r.done
		next = nil
		if !first.Load() {
			late++
		}
	}
	if late > writes/4 { // Go lets others go first now and then, to be fair
		t.Errorf("%d of %d were answered, and waited for the next to be decided", late, writes)
	}
	closed(t, s)
}

func TestCancelled(t *testing.T) {
	s, space, release := held(t, 8)
	ctx, cancel := context.WithCancel(bg)
	got := make(chan error)
	go func() {
		_, err := s.Commit(ctx, &Write{Space: space, Decide: create("late", episode("text", nil))})
		got <- err
	}()
	for len(s.queue) < 1 {
		<-clock.System.After(time.Microsecond)
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("it gives %v", err)
	}
	release()
	must1(t, s, space, create("next", episode("text", nil)))
	v := view(t, s)
	if n, err := v.Lookup(space, "late"); err != nil || n != nil {
		t.Errorf("a cancelled write was done: %v", err)
	}
	v.Close()
	closed(t, s)
}

// TestCloseUnderWriters: each write gets its acknowledgement or ErrClosed, and
// the acknowledged ones are there afterwards.
func TestCloseUnderWriters(t *testing.T) {
	for round := range 10 {
		fs := vfs.NewMem()
		s := open(t, "d", small(fs))
		space := mustSpace(t, s, "s")
		var mu sync.Mutex
		var acked []memory.ID
		var all sync.WaitGroup
		started := make(chan struct{}, 8)
		for w := range 8 {
			all.Go(func() {
				for i := 0; ; i++ {
					id := memory.ID(fmt.Sprintf("%d-%d", w, i))
					if _, err := do(s, space, create(id, episode("text", nil))); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					acked = append(acked, id)
					mu.Unlock()
					if i == round {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		closed(t, s)
		all.Wait()
		if _, err := s.View(); !errors.Is(err, ErrClosed) {
			t.Errorf("a view of a closed shard gives %v", err)
		}
		s = open(t, "d", small(fs))
		v := view(t, s)
		m, err := v.Meta(space)
		if err != nil || int(m.LSN) != len(acked) {
			t.Errorf("%d records for %d acknowledged writes: %v", m.LSN, len(acked), err)
		}
		v.Close()
		closed(t, s)
	}
}

// TestFailedDecision leaves no trace, also of what it had added before.
func TestFailedDecision(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	must1(t, s, space, create("a", episode("text", nil)))
	before := digest(t, s, space)
	_, err := do(s, space, func(tx *Tx) error {
		if err := create("b", episode("text", nil))(tx); err != nil {
			return err
		}
		if n, err := tx.Lookup("b"); err != nil || n == nil {
			t.Error("a write does not see what it added")
		}
		return errGone
	})
	if err != errGone {
		t.Errorf("the error is %v", err)
	}
	if digest(t, s, space) != before {
		t.Error("it left a trace")
	}
	big := make([]*Node, 0, 3)
	_, err = do(s, space, func(tx *Tx) error {
		for _, id := range []memory.ID{"x", "y"} {
			n, err := tx.Create(id, memory.KindEpisode, episode("t", nil), strings.Repeat("m", MaxRecordBytes), nil, nil)
			if err != nil {
				return err
			}
			big = append(big, n)
		}
		n := big[0]
		p := episode("t", []float32{1})
		_, err := tx.Revise(n, p, 0, strings.Repeat("m", MaxRecordBytes), nil, nil)
		return err
	})
	if !errors.Is(err, ErrRecordTooBig) || digest(t, s, space) != before {
		t.Errorf("a record over the limit gives %v", err)
	}
	sound(t, s)
}

// TestSteppedClock: system time never steps back.
func TestSteppedClock(t *testing.T) {
	c := clock.NewVirtual(epoch)
	o := small(vfs.NewMem())
	o.Clock = c
	s := open(t, "d", o)
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	first := must1(t, s, space, create("a", episode("text", nil)))
	c.Advance(-time.Hour)
	second := must1(t, s, space, create("b", episode("text", nil)))
	if second.Time.Before(first.Time) {
		t.Errorf("time steps back from %v to %v", first.Time, second.Time)
	}
	sound(t, s)
}

// TestIdempotency: the same key and body give the first answer, another body a
// mismatch, and after AnswerTTL the key is free.
func TestIdempotency(t *testing.T) {
	c := clock.NewVirtual(epoch)
	fs := vfs.NewMem()
	o := small(fs)
	o.Clock = c
	s := open(t, "d", o)
	space := mustSpace(t, s, "s")
	keyed := func(key, body string, f func(*Tx) error) (Committed, error) {
		return s.Commit(bg, &Write{Space: space, Keyed: true, Key: DigestKey([]byte(key)), Body: DigestKey([]byte(body)), Decide: f})
	}
	answered := func(id memory.ID, answer string) func(*Tx) error {
		return func(tx *Tx) error { tx.Answer([]byte(answer)); return create(id, episode("text", nil))(tx) }
	}
	never := func(*Tx) error { t.Error("a repeat is decided"); return nil }
	first, err := keyed("k", "body", answered("a", "one"))
	if err != nil || first.Replayed {
		t.Fatal(err)
	}
	for range 2 {
		again, err := keyed("k", "body", never)
		if err != nil || !again.Replayed || string(again.Answer) != "one" || !again.Time.Equal(first.Time) {
			t.Errorf("a repeat gives %+v, %v", again, err)
		}
		if _, err := keyed("k", "other", never); !errors.Is(err, ErrMismatch) {
			t.Errorf("another body gives %v", err)
		}
		closed(t, s)
		s = open(t, "d", o) // and after a restart
	}
	if _, err := keyed("failed", "body", func(*Tx) error { return errGone }); err != errGone {
		t.Errorf("it gives %v", err)
	}
	if again, err := keyed("failed", "body", answered("b", "two")); err != nil || again.Replayed {
		t.Errorf("a failed write keeps its key: %v", err)
	}
	c.Advance(AnswerTTL - time.Nanosecond)
	if again, err := keyed("k", "body", never); err != nil || !again.Replayed {
		t.Errorf("just before its time is over: %+v, %v", again, err)
	}
	c.Advance(time.Nanosecond)
	if again, err := keyed("k", "other", answered("c", "three")); err != nil || again.Replayed || string(again.Answer) != "three" {
		t.Errorf("after its time: %+v, %v", again, err)
	}
	sound(t, s)
	closed(t, s)
}

// TestAnswersAreDropped: old answers go, a few with each new one.
func TestAnswersAreDropped(t *testing.T) {
	c := clock.NewVirtual(epoch)
	o := small(vfs.NewMem())
	o.Clock = c
	s := open(t, "d", o)
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	n := 0
	keyed := func() {
		n++
		if _, err := s.Commit(bg, &Write{Space: space, Keyed: true, Key: DigestKey(fmt.Append(nil, n)), Decide: func(*Tx) error { return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (answers int) {
		v := view(t, s)
		defer v.Close()
		prefix := key(space, tableAnswer)
		if err := scanRange(v.d.r, prefix, prefixEnd(prefix), func(_, _ []byte) bool { answers++; return true }); err != nil {
			t.Fatal(err)
		}
		return answers
	}
	for range 50 {
		keyed()
	}
	c.Advance(AnswerTTL + time.Second)
	want := 50
	for range 10 {
		keyed()
		want = max(want+1-answersDropped, n-50)
		if got := count(); got != want {
			t.Fatalf("%d answers after %d writes, want %d", got, n, want)
		}
	}
	sound(t, s)
}

func TestViews(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	space := mustSpace(t, s, "s")
	must1(t, s, space, create("a", episode("text", nil)))
	v := view(t, s)
	must1(t, s, space, create("b", episode("text", nil)))
	if n, err := v.Lookup(space, "b"); err != nil || n != nil {
		t.Error("a view changes under its reader")
	}
	var ids []memory.ID
	if err := v.Nodes(space, 1, func(n *Node) (bool, error) { ids = append(ids, n.ID); return true, nil }); err != nil || !slices.Equal(ids, []memory.ID{"a"}) {
		t.Errorf("it lists %v, %v", ids, err)
	}
	done := make(chan struct{})
	go func() { closed(t, s); close(done) }()
	select {
	case <-done:
		t.Error("Close does not wait for a view")
	default:
	}
	v.Close()
	<-done
}
