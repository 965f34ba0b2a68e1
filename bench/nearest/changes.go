package nearest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/engramdb/engram/ann"
)

// Inserting is what happens to searches while vectors come in.
type Inserting struct {
	Before, Burst int
	Put           float64 // vectors a second, acknowledged
	Settled       time.Duration
	Asked, Missed int // vectors that were asked for right after, and those not found
	IdleP99       time.Duration
	DuringP99     time.Duration
	Searches      int
}

// Changing is an index that is changed while others search in it: it holds the
// lock that the index's owner holds.
type changing struct {
	mu    sync.RWMutex
	index *ann.Graph
	set   *Set
}

func (c *changing) search(ctx context.Context, o *Ours, q []float32) ([]uint32, time.Duration, error) {
	began := time.Now()
	c.mu.RLock()
	hits, _, err := c.index.Search(ctx, q, K, nil, o.defaults())
	c.mu.RUnlock()
	return slotsOf(hits), time.Since(began), err
}

// together is how many vectors are put under one lock, as the database does.
const together = 64

// put puts rows of the set from one on, up to an end.
func (c *changing) put(from, to int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := from; i < to; i++ {
		c.index.Put(uint32(i), c.set.row(i))
	}
}

// link makes links as an owner does, in steps between which others come in, until
// the tail is empty or stop closes. Writers wait while the tail is too long.
func (c *changing) link(stop chan struct{}, news chan struct{}) {
	for {
		c.mu.RLock()
		p := c.index.Plan()
		c.mu.RUnlock()
		if p == nil {
			select {
			case <-news:
				continue
			case <-stop:
				return
			}
		}
		for done := false; !done; {
			c.mu.RLock()
			done = p.Step(1)
			c.mu.RUnlock()
			runtime.Gosched() // as the database does
		}
		c.mu.Lock()
		c.index.Place(p)
		c.mu.Unlock()
	}
}

func (c *changing) waiting() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.index.Tail() > 0
}

// Insert puts a burst into an index that holds the rest of the set, while one
// goroutine searches all the time, and one makes links; of each group that is put the
// first is asked for right after.
func Insert(ctx context.Context, s *Set, burst int, say func(string, ...any)) (Inserting, error) {
	burst = min(burst, s.N/2)
	r := Inserting{Before: s.N - burst, Burst: burst}
	o := &Ours{set: s, index: newIndex(s)}
	c := &changing{index: o.index, set: s}
	say("%s: %d vectors before the burst", s.Name, r.Before)
	c.put(0, r.Before)
	if err := o.settle(ctx); err != nil {
		return r, err
	}
	idle, err := c.searchFor(ctx, o, 2*time.Second, nil)
	if err != nil {
		return r, err
	}
	say("%s: a burst of %d", s.Name, burst)
	stop, news := make(chan struct{}), make(chan struct{}, 1)
	var during []time.Duration
	var failed, searched error
	var wg sync.WaitGroup
	wg.Go(func() { during, searched = c.searchFor(ctx, o, time.Hour, stop) })
	wg.Go(func() { c.link(stop, news) })
	began := time.Now()
	for i := r.Before; i < s.N && failed == nil; i += together {
		c.put(i, min(i+together, s.N))
		select {
		case news <- struct{}{}:
		default:
		}
		var found bool
		found, failed = c.finds(ctx, o, i)
		if r.Asked++; !found {
			r.Missed++
		}
	}
	took := time.Since(began)
	for failed == nil && c.waiting() {
		if failed = ctx.Err(); failed == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	r.Settled = time.Since(began)
	close(stop)
	wg.Wait()
	r.Put = float64(burst) / took.Seconds()
	r.IdleP99, r.DuringP99, r.Searches = p99(idle), p99(during), len(during)
	return r, errors.Join(failed, searched)
}

// finds says whether a search for a vector finds it, or one that is equal.
func (c *changing) finds(ctx context.Context, o *Ours, i int) (bool, error) {
	ids, _, err := c.search(ctx, o, c.set.row(i))
	itself := [][]Near{{{uint32(i), c.set.self(i)}}}
	return slices.Contains(ids, uint32(i)) || c.set.recall(c.set.row(i), itself, [][]uint32{ids}) == 1, err
}

// self is the score of a vector with itself.
func (s *Set) self(i int) float32 {
	var one [1]float32
	s.compare(s.row(i), s.row(i), one[:])
	return one[0]
}

// searchFor asks one query after the other until the time is over or stop closes.
func (c *changing) searchFor(ctx context.Context, o *Ours, most time.Duration, stop chan struct{}) ([]time.Duration, error) {
	var took []time.Duration
	for began, i := time.Now(), 0; time.Since(began) < most; i++ {
		select {
		case <-stop:
			return took, nil
		default:
		}
		ids, t, err := c.search(ctx, o, c.set.query(i%c.set.queries()))
		if err != nil {
			return took, err
		}
		if len(ids) != K {
			return took, fmt.Errorf("a search gave %d of %d", len(ids), K)
		}
		took = append(took, t)
	}
	return took, nil
}

func p99(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Churned is recall after rounds of replacing half of an index's vectors.
type Churned struct {
	Rounds          int
	Recall, Fresh   float64 // of the churned index, and of one built anew from the same vectors
	Bytes, NewBytes int
}

// Churn fills an index with half of the set and replaces half of what it holds by
// what it does not, ten times. In the end it is asked beside a fresh one.
func Churn(ctx context.Context, s *Set, say func(string, ...any)) (Churned, error) {
	const rounds = 10
	r := Churned{Rounds: rounds}
	rng := rand.New(rand.NewPCG(9, 9))
	o := &Ours{set: s, index: newIndex(s)}
	order := rng.Perm(s.N) // the first half is in
	half := s.N / 2
	slot := uint32(0)
	slots := make([]uint32, s.N)
	put := func(i int) {
		slots[i] = slot
		o.index.Put(slot, s.row(i))
		slot++ // a slot is never used again
	}
	for _, i := range order[:half] {
		put(i)
	}
	for round := range rounds {
		say("%s: churn, round %d of %d", s.Name, round+1, rounds)
		rng.Shuffle(half, func(a, b int) { order[a], order[b] = order[b], order[a] })
		rest := order[half:]
		rng.Shuffle(len(rest), func(a, b int) { rest[a], rest[b] = rest[b], rest[a] })
		for j := range half / 2 {
			o.index.Delete(slots[order[j]])
			order[j], rest[j] = rest[j], order[j]
			put(order[j])
		}
		if err := o.settle(ctx); err != nil {
			return r, err
		}
	}
	fresh := &Ours{set: s, index: newIndex(s)}
	allowed, back := make([]byte, s.N), make(map[uint32]uint32, half)
	for _, i := range order[:half] {
		fresh.index.Put(uint32(i), s.row(i))
		allowed[i], back[slots[i]] = 1, uint32(i)
	}
	if err := fresh.settle(ctx); err != nil {
		return r, err
	}
	truth := s.exactAll(s.Queries, allowed)
	churned, err := o.IDs(ctx, nil)
	if err != nil {
		return r, err
	}
	for _, ids := range churned {
		for j := range ids {
			ids[j] = back[ids[j]]
		}
	}
	anew, err := fresh.IDs(ctx, nil)
	if err != nil {
		return r, err
	}
	r.Recall, r.Fresh = s.recall(s.Queries, truth, churned), s.recall(s.Queries, truth, anew)
	r.Bytes, r.NewBytes = o.index.Bytes(), fresh.index.Bytes()
	return r, nil
}

// Opened is what saving an index and opening it again took.
type Opened struct {
	Size        int64
	Saved, Took time.Duration
}

// Reopen saves the index of a set, which has been built, into a file and opens it
// again, until the first answer. The file is in the system's page cache.
func Reopen(ctx context.Context, o *Ours, dir string, say func(string, ...any)) (Opened, error) {
	say("%s: snapshot", o.set.Name)
	name := filepath.Join(dir, "reopen.near")
	began := time.Now()
	if err := save(o.index, name); err != nil {
		return Opened{}, err
	}
	r := Opened{Saved: time.Since(began)}
	began = time.Now()
	b, err := mapFile(name)
	if err != nil {
		return r, err
	}
	g, err := ann.LoadGraph(b, o.set.Dim, o.set.Metric)
	if err != nil {
		return r, err
	}
	if _, _, err := g.Search(ctx, o.set.query(0), K, nil, o.defaults()); err != nil {
		return r, err
	}
	r.Took, r.Size = time.Since(began), int64(len(b))
	return r, nil
}
