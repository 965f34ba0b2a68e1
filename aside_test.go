package engram

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/memory"
)

// TestAside: who works beside calls waits while one is being worked on, never for longer
// than three times what it has worked, nor than the bound at once. While none is, it sees to
// it that connections are attended to.
func TestAside(t *testing.T) {
	var c calls
	now := time.Unix(1_800_000_000, 0)
	slept := time.Duration(0)
	ends := func() {}
	waiting, idle, attended := false, false, 0
	a := &aside{calls: &c, processors: func() (bool, bool) { return waiting, idle }, now: func() time.Time { return now }, attend: func() { attended++ }, since: now}
	a.sleep = func(d time.Duration) { now = now.Add(d); slept += d; ends() }
	for _, x := range []struct {
		name    string
		worked  time.Duration
		calls   int
		waiting bool          // for a processor
		endsAt  time.Duration // when the calls end; 0: they do not
		standby time.Duration
	}{
		{"no call", time.Millisecond, 0, false, 0, 0},
		{"a call that goes on", time.Millisecond, 1, false, 0, asideTimes * time.Millisecond},
		{"a call that ends", time.Millisecond, 1, false, asideNap, asideNap},
		{"much work", time.Second, 2, false, 0, asideMost},
		{"none since", 0, 1, false, 0, 0},
		{"a goroutine that waits", time.Millisecond, 0, true, 0, asideTimes * time.Millisecond},
	} {
		a.may, a.since = 0, now
		now = now.Add(x.worked)
		slept, waiting = 0, x.waiting
		var leave []func()
		for range x.calls {
			leave = append(leave, c.enter())
		}
		ended := false
		end := func() {
			for _, f := range leave {
				f()
			}
			ended = true
		}
		ends = func() {
			if x.endsAt > 0 && slept >= x.endsAt && !ended {
				end()
			}
		}
		a.step()
		if slept < x.standby || slept >= x.standby+asideNap {
			t.Errorf("%s: it stood aside for %v, want %v", x.name, slept, x.standby)
		}
		if !ended {
			end()
		}
		if c.n.Load() != 0 {
			t.Fatalf("%s: %d calls are left", x.name, c.n.Load())
		}
	}
	waiting = false
	for _, x := range []struct {
		name   string
		worked time.Duration
		idle   bool // a processor is
		times  int
	}{
		{"an idle processor", attendEvery, true, 1},
		{"a moment later", attendEvery / 2, true, 0},
		{"a moment later again", attendEvery / 2, true, 1},
		{"none is idle", time.Second, false, 0},
	} {
		idle, attended, now = x.idle, 0, now.Add(x.worked)
		if a.step(); attended != x.times {
			t.Errorf("%s: connections were attended to %d times, want %d", x.name, attended, x.times)
		}
	}
}

// TestAsideOfGoroutines: where all processors are busy, a goroutine that is ready runs before
// the next piece of work.
func TestAsideOfGoroutines(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a := new(DB).aside()
	for i := range 20 {
		a.since = time.Now().Add(-time.Second) // it has worked
		var ran atomic.Bool
		go ran.Store(true)
		if a.step(); !ran.Load() {
			t.Fatalf("goroutine %d is ready and waits for a second piece of work", i)
		}
	}
}

// TestAsideEnds: vectors and links are made also where calls never end.
func TestAsideEnds(t *testing.T) {
	ctx := context.Background()
	db, err := Open(ctx, t.TempDir(), Options{DefaultModel: "minilm", AutoLinks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	defer db.calls.enter()()
	if _, _, err := db.CreateSpace(ctx, "s", memory.Settings{}); err != nil {
		t.Fatal(err)
	}
	s, err := db.Space("s")
	if err != nil {
		t.Fatal(err)
	}
	var last Written
	for _, text := range []string{"The bridge was closed in May.", "It opens again next week."} {
		if last, err = s.Remember(ctx, memory.Episode{Text: text, Stream: "talk"}, WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.waitPending(ctx, &last, false); len(last.Pending) > 0 {
		t.Error("its vector was not made")
	}
	for {
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.Counts.Links > 0 {
			break
		}
		if err := s.WaitFor(ctx, info.LSN+1); err != nil {
			t.Fatal(err)
		}
	}
	if n := db.calls.n.Load(); n != 1 {
		t.Errorf("%d calls are counted, want the one that goes on", n)
	}
}
