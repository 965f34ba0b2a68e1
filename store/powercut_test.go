package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// event is what a writer knows: what it is about to do (acked false), and what
// it was told is done.
type event struct {
	space memory.SpaceID
	what  string // create, batch, revise, end, drop
	ids   []memory.ID
	value uint64 // the version of revise
	lsn   memory.LSN
	acked bool
}

// witness is the log of events in the order that they were known.
type witness struct {
	mu  sync.Mutex
	all []event // only appended to
}

func (w *witness) add(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, e)
}

func (w *witness) now() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[:len(w.all):len(w.all)]
}

// seedOf is the seed of a test: printed, and set with STORE_SEED.
func seedOf(t testing.TB) uint64 {
	seed := uint64(20260301)
	if s, err := strconv.ParseUint(os.Getenv("STORE_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("STORE_SEED=%d", seed)
	return seed
}

// workload is writers and maintenance on one shard, until stop is closed or the
// shard fails.
type workload struct {
	s      *Shard
	w      *witness
	clock  *clock.Virtual
	spaces []memory.SpaceID
	stop   chan struct{}
	done   sync.WaitGroup
	tries  atomic.Int64
	failed atomic.Bool // an error of Commit that is not errGone
}

const testWriters = 8

func (l *workload) start(seed uint64) {
	for i := range testWriters {
		l.done.Go(func() { l.write(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	l.done.Go(func() { l.maintain(rand.New(rand.NewPCG(seed, 100))) })
}

func (l *workload) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.failed.Load()
	}
}

// try notes the event, commits, and notes what was acknowledged.
func (l *workload) try(e event, w *Write) bool {
	l.w.add(e)
	w.Space, w.Later = e.space, l.tries.Add(1)%4 == 0
	c, err := l.s.Commit(bg, w)
	if err != nil {
		if !errors.Is(err, errGone) {
			l.failed.Store(true)
		}
		return false
	}
	e.acked, e.lsn = true, c.LSN
	l.w.add(e)
	return true
}

func (l *workload) write(writer int, r *rand.Rand) {
	mine := make(map[memory.SpaceID][]memory.ID)
	versions := make(map[memory.ID]uint64)
	for i := 0; !l.over(); i++ {
		sp := l.spaces[r.IntN(len(l.spaces))]
		id := memory.ID(fmt.Sprintf("w%d-%d", writer, i))
		p := episode(words(r, 20+r.IntN(300)), nil)
		if r.IntN(3) == 0 {
			p.Vector = EncodeVector(vectorOf(r))
		}
		own := mine[sp]
		var pick memory.ID
		if len(own) > 2 {
			pick = own[r.IntN(len(own))]
		}
		switch op := r.IntN(12); {
		case op < 4 || pick == "":
			w := &Write{Decide: create(id, p)}
			if op == 0 {
				w.Keyed, w.Key, w.Body = true, DigestKey([]byte(id)), DigestKey(p.Head)
			}
			if l.try(event{space: sp, what: "create", ids: []memory.ID{id}}, w) {
				mine[sp] = append(own, id)
			}
		case op < 6:
			e := event{space: sp, what: "batch"}
			for j := range 2 + r.IntN(8) {
				e.ids = append(e.ids, memory.ID(fmt.Sprintf("%s-%d", id, j)))
			}
			l.try(e, &Write{Decide: func(tx *Tx) error {
				for _, id := range e.ids {
					if err := create(id, p)(tx); err != nil {
						return err
					}
				}
				return nil
			}})
		case op < 8:
			versions[pick]++
			l.try(event{space: sp, what: "revise", ids: []memory.ID{pick}, value: versions[pick] + 1}, &Write{Decide: revise(pick, words(r, 60))})
		case op < 9:
			l.try(event{space: sp, what: "link"}, &Write{Decide: link("l"+id, pick, own[0], words(r, 30))})
		case op < 10:
			l.try(event{space: sp, what: "suppress"}, &Write{Decide: end(memory.Suppress, pick)})
		default:
			mode := memory.Delete
			if op == 11 {
				mode = memory.Erase
			}
			e := event{space: sp, what: "end", ids: []memory.ID{own[len(own)-1]}}
			mine[sp] = own[:len(own)-1]
			l.try(e, &Write{Decide: end(mode, e.ids[0])})
		}
	}
}

// maintain moves horizons, wipes, drops spaces and lets time pass.
func (l *workload) maintain(r *rand.Rand) {
	for i := 0; !l.over(); i++ {
		l.clock.Advance(time.Duration(r.IntN(7200)) * time.Second)
		sp := l.spaces[r.IntN(len(l.spaces))]
		v, err := l.s.View()
		if err != nil {
			return
		}
		m, err := v.Meta(sp)
		v.Close()
		if err == nil && m.LSN > 40 {
			_, err = l.s.Truncate(bg, sp, m.LSN-memory.LSN(r.IntN(40)))
		}
		if err == nil && i%3 == 0 {
			_, err = l.s.Wipe(bg, sp, func() error { return nil })
		}
		if err == nil && i%5 == 4 {
			err = l.drop(i)
		}
		if err != nil {
			l.failed.Store(true)
			return
		}
	}
}

func (l *workload) drop(i int) error {
	name := memory.SpaceName(fmt.Sprint("dropped", i))
	id, err := newSpace(l.s, name)
	if err != nil {
		return err
	}
	if _, err := do(l.s, id, create("x", episode("in a dropped space", nil))); err != nil {
		return err
	}
	st := SpaceState{ID: id, Name: name}
	if _, err := do(l.s, 0, func(tx *Tx) error { return tx.DropSpace(&st) }); err != nil {
		return err
	}
	return l.s.WipeSpace(bg, st)
}

func startWorkload(t testing.TB, fs vfs.FS, seed uint64) *workload {
	t.Helper()
	l := &workload{w: new(witness), clock: clock.NewVirtual(epoch), stop: make(chan struct{})}
	o := small(fs)
	o.Clock = l.clock
	l.s = open(t, "d", o)
	for i := range 3 {
		l.spaces = append(l.spaces, mustSpace(t, l.s, memory.SpaceName(fmt.Sprint("s", i))))
	}
	l.start(seed)
	return l
}

// cut is the disk as a power cut leaves it.
type cut struct {
	fs           *vfs.MemFS
	acked, known []event // acknowledged before, and known after
	op           int64
}

// TestPowerCut cuts the power at random file operations under concurrent
// writers, and looks at what is left.
func TestPowerCut(t *testing.T) {
	runs, cutsPerRun := 25, 41
	if testing.Short() {
		runs = 1
	}
	seed := seedOf(t)
	cuts, flushes, compactions := 0, int64(0), int64(0)
	for run := range runs {
		m := powerCuts(t, seed+uint64(run), cutsPerRun)
		cuts, flushes, compactions = cuts+cutsPerRun, flushes+m.Flush.Count, compactions+m.Compact.Count
		if t.Failed() {
			t.Fatalf("seed %d", seed+uint64(run))
		}
	}
	t.Logf("%d power cuts, among %d flushes and %d compactions", cuts, flushes, compactions)
	if flushes < 2*int64(runs) || compactions < int64(runs) {
		t.Error("the tables hardly changed")
	}
}

func powerCuts(t *testing.T, seed uint64, n int) *pebble.Metrics {
	r := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	var ops, next atomic.Int64
	next.Store(1 << 60)
	var w *witness
	cuts := make(chan cut) // the writers wait while a cut is looked at
	var mu sync.Mutex
	taken := 0
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || ops.Add(1) < next.Load() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if at := ops.Load(); at >= next.Load() && taken < n {
			taken++
			c := cut{acked: w.now(), op: at}
			c.fs = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 70, 100}[r.IntN(4)], RNG: r})
			c.known = w.now()
			next.Store(at + 1 + r.Int64N(120))
			cuts <- c
		}
		return nil
	})
	l := startWorkload(t, errorfs.Wrap(disk, inject), seed)
	w = l.w
	next.Store(ops.Load() + 1 + r.Int64N(120))
	for range n {
		c := <-cuts
		checkCut(t, seed, c, l.spaces)
	}
	close(l.stop)
	l.done.Wait()
	m := l.s.db.Metrics()
	closed(t, l.s)
	return m
}

func checkCut(t *testing.T, seed uint64, c cut, spaces []memory.SpaceID) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("seed %d, op %d: %s", seed, c.op, fmt.Sprintf(format, args...))
	}
	s, err := Open("d", small(c.fs))
	if err != nil {
		fail("%v", err)
		return
	}
	rep, err := s.Verify(bg, VerifyOptions{MaxFindings: 5})
	if err != nil || !rep.Sound() {
		fail("verify: %s", said(rep, err))
	}
	checkEvents(s, c, fail)
	before := ""
	for _, sp := range spaces {
		before += digest(t, s, sp)
	}
	closed(t, s)
	s = open(t, "d", small(c.fs))
	defer closed(t, s)
	after := ""
	for _, sp := range spaces {
		after += digest(t, s, sp)
	}
	if before != after {
		fail("reopening gives another state")
	}
	if c.op%5 == 0 {
		finish(t, s, spaces, fail)
	}
}

// finish checks that what was under way goes on: erasures are finished, dropped
// spaces wiped, and new writes follow.
func finish(t *testing.T, s *Shard, spaces []memory.SpaceID, fail func(string, ...any)) {
	t.Helper()
	v := view(t, s)
	dropping, err := v.Dropping()
	v.Close()
	for _, st := range dropping {
		err = errors.Join(err, s.WipeSpace(bg, st))
	}
	for _, sp := range spaces {
		_, wipeErr := s.Wipe(bg, sp, func() error { return nil })
		_, writeErr := do(s, sp, create("after", episode("after the cut", nil)))
		err = errors.Join(err, wipeErr, writeErr)
	}
	v = view(t, s)
	for _, sp := range spaces {
		left, eraseErr := v.Erasing(sp)
		if err = errors.Join(err, eraseErr); len(left) > 0 {
			fail("erasures %v are left", left)
		}
	}
	v.Close()
	rep, verifyErr := s.Verify(bg, VerifyOptions{MaxFindings: 5})
	if err = errors.Join(err, verifyErr); err != nil || !rep.Sound() {
		fail("going on: %v %s", err, said(rep, nil))
	}
}

func checkEvents(s *Shard, c cut, fail func(string, ...any)) {
	v, err := s.View()
	if err != nil {
		fail("%v", err)
		return
	}
	defer v.Close()
	ended := make(map[memory.ID]bool) // perhaps
	for _, e := range c.known {
		if e.what == "end" {
			ended[e.ids[0]] = true
		}
	}
	has := func(sp memory.SpaceID, id memory.ID) *Node {
		n, err := v.Lookup(sp, id)
		if err != nil {
			fail("%v", err)
		}
		return n
	}
	for _, e := range c.known {
		if e.what == "batch" {
			there := 0
			for _, id := range e.ids {
				if has(e.space, id) != nil {
					there++
				}
			}
			if there != 0 && there != len(e.ids) {
				fail("%d of the %d memories of a batch are there", there, len(e.ids))
			}
		}
	}
	for _, e := range c.acked {
		if !e.acked {
			continue
		}
		if m, err := v.Meta(e.space); err != nil || m.LSN < e.lsn {
			fail("record %d was acknowledged, and %d is the newest (%v)", e.lsn, m.LSN, err)
		}
		switch e.what {
		case "create", "batch":
			for _, id := range e.ids {
				if has(e.space, id) == nil && !ended[id] {
					fail("%s was acknowledged and is gone", id)
				}
			}
		case "revise":
			if n := has(e.space, e.ids[0]); n != nil && uint64(n.Version) < e.value || n == nil && !ended[e.ids[0]] {
				fail("version %d of %s was acknowledged and is gone", e.value, e.ids[0])
			}
		case "end":
			if has(e.space, e.ids[0]) != nil {
				fail("%s was ended and is back", e.ids[0])
			}
		}
	}
}
