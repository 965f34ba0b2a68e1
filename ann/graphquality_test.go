package ann_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// A cloud makes vectors of clusters, which may move.
type cloud struct {
	r       *rand.Rand
	centres [][]float32
}

func newCloud(seed uint64, clusters, dim int) *cloud {
	c := &cloud{r: rand.New(rand.NewPCG(seed, 1))}
	for range clusters {
		c.centres = append(c.centres, random(c.r, dim))
	}
	return c
}

func (c *cloud) vector() []float32 {
	centre := c.centres[c.r.IntN(len(c.centres))]
	v := random(c.r, len(centre))
	for i := range v {
		v[i] = centre[i] + .7*v[i]
	}
	return v
}

// move takes all clusters some of the way to somewhere else.
func (c *cloud) move() {
	for _, centre := range c.centres {
		for i, x := range random(c.r, len(centre)) {
			centre[i] += .5 * x
		}
	}
}

// recallOf is which part of the 10 nearest of some queries a search finds.
func recallOf(t *testing.T, g *ann.Graph, queries [][]float32, allow *bitset.BitSet, o ann.Options) float64 {
	t.Helper()
	found, wanted := 0, 0
	for _, q := range queries {
		truth, _, err := g.Search(context.Background(), q, 10, allow, ann.Options{Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		hits, _, err := g.Search(context.Background(), q, 10, allow, o)
		if err != nil {
			t.Fatal(err)
		}
		wanted += len(truth)
		for _, h := range hits {
			if h.Score >= truth[len(truth)-1].Score {
				found++
			}
		}
	}
	return float64(found) / float64(max(1, wanted))
}

// Ten rounds (three with -short) in which half of all is replaced cost no recall, also while what
// comes is somewhere else than what goes.
func TestGraphChurn(t *testing.T) {
	const n, dim = 1200, 64
	for _, drift := range []bool{false, true} {
		t.Run(fmt.Sprintf("drift=%v", drift), func(t *testing.T) {
			c := newCloud(5, 20, dim)
			g := ann.NewSmallGraph(dim, memory.MetricCosine, 200)
			now := map[uint32][]float32{}
			put := func(slot uint32) {
				now[slot] = c.vector()
				g.Put(slot, now[slot])
			}
			for slot := range uint32(n) {
				put(slot)
			}
			settle(t, g, 2)
			next := uint32(n)
			for range brief(10, 3) {
				if drift {
					c.move()
				}
				slots := sortedKeys(now)
				c.r.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
				for i, slot := range slots[:n/2] {
					g.Delete(slot)
					delete(now, slot)
					put(next)
					next++
					if i%100 == 99 {
						settle(t, g, 2)
					}
				}
			}
			settle(t, g, 2)
			fresh := ann.NewSmallGraph(dim, memory.MetricCosine, 200)
			for _, slot := range sortedKeys(now) {
				fresh.Put(slot, now[slot])
			}
			settle(t, fresh, 2)
			var queries [][]float32
			for range 400 {
				queries = append(queries, c.vector())
			}
			o := ann.Options{Walk: true, Effort: 10}
			got, want := recallOf(t, g, queries, nil, o), recallOf(t, fresh, queries, nil, o)
			t.Logf("recall %.4f after churn, %.4f fresh; %s", got, want, ann.Describe(g))
			if got < want-.01 {
				t.Errorf("recall is %.4f after churn, %.4f of a fresh graph", got, want)
			}
			if got, want := g.Bytes(), fresh.Bytes(); got > want*3/2 {
				t.Errorf("%d bytes after churn, %d fresh", got, want)
			}
		})
	}
}

func sortedKeys(m map[uint32][]float32) []uint32 {
	var keys []uint32
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Memory follows what there is, and not what there was.
func TestGraphShrinks(t *testing.T) {
	c := newCloud(16, 20, 64)
	g := ann.NewSmallGraph(64, memory.MetricCosine, 200)
	kept := ann.NewSmallGraph(64, memory.MetricCosine, 200)
	same := c.vector()
	for slot := range uint32(12_000) {
		v := c.vector()
		if slot%40 == 3 {
			v = same
		}
		g.Put(slot, v)
		if slot%10 == 3 {
			kept.Put(slot, v)
		}
		if slot%3000 == 2999 {
			settle(t, g, 2)
		}
	}
	most := g.Bytes()
	for slot := range uint32(12_000) {
		if slot%10 != 3 {
			g.Delete(slot)
		}
		if slot%2000 == 1999 {
			settle(t, g, 2)
		}
	}
	settle(t, kept, 2)
	if got := g.Bytes(); got > most/2 || got > 4*kept.Bytes() {
		t.Errorf("it takes %d bytes, %d before, and %d for a new one", got, most, kept.Bytes())
	}
	var queries [][]float32
	for range 50 {
		queries = append(queries, c.vector())
	}
	if got := recallOf(t, g, queries, nil, ann.Options{Walk: true, Effort: 40}); got < .99 {
		t.Errorf("recall is %.4f", got)
	}
	for range 20 {
		q := c.vector()
		x, _, _ := g.Search(context.Background(), q, 10, nil, ann.Options{Exact: true})
		y, _, _ := kept.Search(context.Background(), q, 10, nil, ann.Options{Exact: true})
		if !slices.Equal(x, y) {
			t.Fatalf("exactly: %v and %v", x, y)
		}
	}
}

// When nearly all go at once, the work ends: rows that moved leave fewer dead ones than
// a sweep is worth, which all the same keep the last chunks.
func TestGraphSettlesWithFewLeft(t *testing.T) {
	g, r := lived(t, 3, memory.MetricCosine, 1), rand.New(rand.NewPCG(4, 4))
	for slot := range uint32(2500) {
		g.Put(600+slot, random(r, 3))
	}
	settle(t, g, 1)
	for slot := range uint32(2900) {
		g.Delete(slot)
	}
	settle(t, g, 1)
	if states := ann.States(g); g.Len() != 200 || states[0] > 2*1024 {
		t.Errorf("%d vectors, and %d places are free", g.Len(), states[0])
	}
}

// While half of all is dead and not mended, walks find the rest.
func TestGraphWalksThroughTheDead(t *testing.T) {
	c := newCloud(6, 20, 64)
	g := ann.NewSmallGraph(64, memory.MetricL2, 200)
	for slot := range uint32(2000) {
		g.Put(slot, c.vector())
	}
	settle(t, g, 2)
	for slot := range uint32(2000) {
		if hash(slot)%2 == 0 {
			g.Delete(slot)
		}
	}
	var queries [][]float32
	for range 50 {
		queries = append(queries, c.vector())
	}
	if got := recallOf(t, g, queries, nil, ann.Options{Walk: true, Effort: 40}); got < .99 {
		t.Errorf("recall is %.4f", got)
	}
}

func hash(x uint32) uint32 { return x * 2654435761 >> 7 }

// Thousands of equal vectors hide none of the others, nor themselves.
func TestGraphEqualVectors(t *testing.T) {
	c := newCloud(7, 5, 48)
	same := [][]float32{c.vector(), c.vector(), c.vector()}
	g := ann.NewSmallGraph(48, memory.MetricCosine, 100)
	for slot := range uint32(6000) {
		if slot%3 == 0 {
			g.Put(slot, c.vector())
		} else {
			g.Put(slot, same[slot%7%3])
		}
		if slot%500 == 499 {
			settle(t, g, 2)
		}
	}
	settle(t, g, 2)
	var queries [][]float32
	for range 60 {
		queries = append(queries, c.vector())
	}
	check := func(when string) {
		t.Helper()
		for _, set := range [][][]float32{queries, same} {
			if got := recallOf(t, g, set, nil, ann.Options{Walk: true, Effort: 40}); got < .99 {
				t.Errorf("%s: recall is %.4f", when, got)
			}
		}
	}
	check("at first")
	for slot := range uint32(6000) { // of the equal ones too, and those that others hang on
		if slot%3 > 0 && slot%5 > 0 {
			g.Delete(slot)
		}
	}
	check("after deletes")
	settle(t, g, 2)
	check("mended")
	hits, _, err := g.Search(context.Background(), same[0], 5, nil, ann.Options{Walk: true})
	if err != nil || len(hits) != 5 {
		t.Fatalf("%d hits, %v", len(hits), err)
	}
	if !slices.IsSortedFunc(hits, func(a, b ann.Hit) int { return cmp.Compare(a.Slot, b.Slot) }) {
		t.Errorf("equal ones do not come by slot: %v", hits)
	}
}

// Filters of every width cost no recall, also those that allow what is nearest, or
// what is farthest, alone.
func TestGraphFilters(t *testing.T) {
	const n, dim = 6000, 48
	c := newCloud(8, 30, dim)
	g := ann.NewSmallGraph(dim, memory.MetricCosine, 200)
	var all [][]float32
	for slot := range uint32(n) {
		all = append(all, c.vector())
		g.Put(slot, all[slot])
	}
	settle(t, g, 2)
	for range 100 { // a tail too
		all = append(all, c.vector())
		g.Put(uint32(len(all)-1), all[len(all)-1])
	}
	slots := make([]uint32, len(all))
	for i := range slots {
		slots[i] = uint32(i)
	}
	for _, share := range []float64{1, .5, .2, .1, .05, .01, .001} {
		for _, kind := range []string{"any", "near", "far"} {
			t.Run(fmt.Sprintf("%s/%g", kind, share), func(t *testing.T) {
				found, walks := 0.0, 0
				for range 12 {
					q := c.vector()
					allow := filter(kind, share, q, g, slots, c.r)
					for _, o := range []ann.Options{{}, {Walk: true}} {
						found += recallOf(t, g, [][]float32{q}, allow, o) / 24
					}
					f, err := g.Find(context.Background(), q, 10, allow, ann.Options{Effort: 16})
					if err != nil || f.Exact {
						t.Fatal(f, err)
					}
					if f.Compared < int(allow.Count()) {
						walks++
					}
				}
				if found < .99 {
					t.Errorf("recall is %.4f; %d of 12 walked", found, walks)
				}
				if kind == "any" && share >= .5 && walks == 0 {
					t.Error("a wide filter is never walked")
				}
			})
		}
	}
}

// filter allows a share of the slots: any, or those nearest to q, or farthest.
func filter(kind string, share float64, q []float32, g *ann.Graph, slots []uint32, r *rand.Rand) *bitset.BitSet {
	order := slices.Clone(slots)
	if kind == "any" {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	} else {
		scores := g.Scores(q, slots)
		slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(scores[b], scores[a]) })
	}
	if kind == "far" {
		slices.Reverse(order)
	}
	allow := bitset.New(0)
	for _, slot := range order[:max(1, int(share*float64(len(order))))] {
		allow.Set(uint(slot))
	}
	return allow
}

// What is put is found by the next search, and what is deleted by none.
func TestGraphFindsAtOnce(t *testing.T) {
	c := newCloud(9, 10, 64)
	g := ann.NewSmallGraph(64, memory.MetricCosine, 100)
	for slot := range uint32(3000) {
		v := c.vector()
		g.Put(slot, v)
		if slot%200 == 199 {
			settle(t, g, 1)
		}
		if slot%10 > 0 || slot < 200 {
			continue
		}
		for _, o := range []ann.Options{{}, {Walk: true}} {
			hits, _, err := g.Search(context.Background(), v, 1, nil, o)
			if err != nil || len(hits) == 0 || hits[0].Slot != slot {
				t.Fatalf("slot %d, just put, is not found: %v, %v", slot, hits, err)
			}
		}
		g.Delete(slot - 150)
		if hits, _, err := g.Search(context.Background(), v, 300, nil, ann.Options{}); err != nil || g.Has(slot-150) ||
			slices.ContainsFunc(hits, func(h ann.Hit) bool { return h.Slot == slot-150 }) {
			t.Fatalf("slot %d, deleted, is still there: %v", slot-150, err)
		}
	}
	if g.Tail() != 3000-2801+1 && g.Tail() > 200 || g.TailBound() < 1_000_000 {
		t.Errorf("the tail is %d of %d", g.Tail(), g.TailBound())
	}
}

// Searches, writes and plans side by side, as the package says. Run it with -race.
func TestGraphSideBySide(t *testing.T) {
	c := newCloud(10, 10, 64)
	g := ann.NewSmallGraph(64, memory.MetricCosine, 100)
	var vectors [][]float32
	for range 1500 {
		vectors = append(vectors, c.vector())
	}
	var lock sync.RWMutex
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		q := vectors[i]
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				lock.RLock()
				_, _, err := g.Search(context.Background(), q, 5, nil, ann.Options{Walk: true, Workers: 2})
				lock.RUnlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() { // the linker
		for {
			lock.RLock()
			p := g.Plan()
			lock.RUnlock()
			for ready := p == nil; !ready; {
				lock.RLock()
				ready = p.Step(2)
				lock.RUnlock()
			}
			lock.Lock()
			g.Place(p)
			lock.Unlock()
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i, v := range vectors {
		lock.Lock()
		g.Put(uint32(i), v)
		if i%3 == 2 {
			g.Delete(uint32(i - 2))
		}
		if i%50 == 49 {
			g.Put(uint32(i-1), vectors[i-1])
		}
		lock.Unlock()
	}
	close(done)
	wg.Wait()
	settle(t, g, 2)
	if g.Len() != 1000 {
		t.Errorf("Len() = %d", g.Len())
	}
	if got := recallOf(t, g, vectors[:50], nil, ann.Options{Walk: true, Effort: 40}); got < .99 {
		t.Errorf("recall is %.4f", got)
	}
}

// A million vectors of 768 take at most 1.2 GB beside the snapshot.
func TestGraphBytes(t *testing.T) {
	const n, dim = 4096, 768
	g := ann.NewGraph(dim, memory.MetricCosine)
	r := rand.New(rand.NewPCG(1, 1))
	v := make([]float32, dim)
	for slot := range uint32(n) {
		for i := range v {
			v[i] = r.Float32() - .5
		}
		g.Put(slot, v)
	}
	if each := g.Bytes() / n; each > 768*5+370 {
		t.Errorf("it takes %d bytes a vector", each)
	}
	if err := g.Adopt(saved(t, g)); err != nil {
		t.Fatal(err)
	}
	if each := g.Bytes() / n; each > 1080 {
		t.Errorf("it takes %d bytes a vector beside the snapshot", each)
	}
}

func TestGraphStops(t *testing.T) {
	c := newCloud(11, 10, 48)
	g := ann.NewSmallGraph(48, memory.MetricDot, 100)
	for slot := range uint32(4000) {
		g.Put(slot, c.vector())
	}
	settle(t, g, 2)
	every := bitset.New(4000).SetAll()
	for name, search := range map[string]struct {
		allow *bitset.BitSet
		o     ann.Options
	}{
		"exact":         {nil, ann.Options{Exact: true}},
		"walk":          {nil, ann.Options{Walk: true, Effort: 2000}},
		"allowed":       {every, ann.Options{Walk: true, Effort: 900}},
		"scan":          {nil, ann.Options{Workers: 1}},
		"scan, allowed": {every, ann.Options{Workers: 1}},
	} {
		k := 10
		if search.o.Workers == 1 {
			k = 3000
		}
		ctx := &stopped{context.Background(), 1}
		hits, compared, err := g.Search(ctx, c.vector(), k, search.allow, search.o)
		if !errors.Is(err, context.DeadlineExceeded) || hits != nil || compared == 0 || compared > 3900 {
			t.Errorf("%s: stopped after %d with %d hits: %v", name, compared, len(hits), err)
		}
	}
}

// Coordinates far from zero, and vectors of very different lengths.
func TestGraphOddData(t *testing.T) {
	eachKind(t, func(t *testing.T, dim int, m memory.Metric) {
		for name, change := range map[string]func(c *cloud, v []float32, i int) float32{
			"far from zero":  func(c *cloud, v []float32, i int) float32 { return v[i] + 50 },
			"tiny":           func(c *cloud, v []float32, i int) float32 { return v[i] * 1e-30 },
			"huge":           func(c *cloud, v []float32, i int) float32 { return v[i] * 1e30 },
			"of all lengths": func(c *cloud, v []float32, i int) float32 { return v[i] * (.2 + v[0]*v[0]) },
			"few values":     func(c *cloud, v []float32, i int) float32 { return float32(int(v[i])) },
		} {
			c := newCloud(12, 20, dim)
			next := func() []float32 {
				v, w := c.vector(), make([]float32, dim)
				for i := range v {
					w[i] = change(c, v, i)
				}
				return w
			}
			g := ann.NewSmallGraph(dim, m, 100)
			for slot := range uint32(brief(1500, 600)) {
				g.Put(slot, next())
			}
			settle(t, g, 2)
			var queries [][]float32
			for range 40 {
				queries = append(queries, next())
			}
			if got := recallOf(t, g, queries, nil, ann.Options{Walk: true}); got < .98 {
				t.Errorf("%s: recall is %.4f", name, got)
			}
		}
	})
}
