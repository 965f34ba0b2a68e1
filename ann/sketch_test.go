package ann_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// Scans that look at 1-bit codes first find what exact search finds, under filters that
// allow what is far from the query too, with rows in all states and a tail; a graph that
// was loaded has none at first, and finds the same before and after it makes them.
func TestGraphSketches(t *testing.T) {
	const n, dim = 5000, 130
	for _, m := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		t.Run(string(m), func(t *testing.T) {
			g, c := ann.NewGraph(dim, m), newCloud(9, 30, dim)
			same := c.vector()
			put := func(slot uint32) {
				v := c.vector()
				switch {
				case slot%100 == 7:
					v = same
				case slot%1000 == 9:
					v[0] = 3e25
				}
				g.Put(slot, v)
			}
			for slot := range uint32(n) {
				put(slot)
			}
			settle(t, g, 2)
			for slot := range uint32(900) {
				g.Delete(slot * 5)
			}
			settle(t, g, 2)
			for slot := range uint32(1200) {
				put(n + slot)
			}
			b := saved(t, g)
			loaded, err := ann.LoadGraph(b, dim, m)
			if err != nil {
				t.Fatal(err)
			}
			if ann.Sketched(loaded) || !ann.Sketched(g) {
				t.Fatal("what is loaded has sketches, or the other has none")
			}
			check := func(g *ann.Graph, when string) {
				t.Helper()
				if r := sketchRecall(t, g, c, n+1200); r < 0.995 {
					t.Errorf("%s: recall %.4f", when, r)
				}
			}
			check(g, "with a tail")
			check(loaded, "loaded")
			loaded.Put(2, c.vector())
			loaded.Delete(1001)
			settle(t, loaded, 2)
			if !ann.Sketched(loaded) {
				t.Error("no plan made sketches")
			}
			check(loaded, "sketched")
		})
	}
}

// What comes and goes while a plan makes sketches has the right ones.
func TestGraphSketchesWhileChanged(t *testing.T) {
	const n, dim = 2500, 130
	c := newCloud(3, 10, dim)
	g := ann.NewGraph(dim, memory.MetricL2)
	for slot := range uint32(n) {
		g.Put(slot, c.vector())
	}
	settle(t, g, 1)
	loaded, err := ann.LoadGraph(saved(t, g), dim, memory.MetricL2)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); !ann.Sketched(loaded); i++ {
		p := loaded.Plan()
		for done := false; !done; {
			done = p.Step(1)
			loaded.Delete(i)
			loaded.Delete(i + 700)
			loaded.Put(n+i, c.vector())
			i++
		}
		loaded.Place(p)
	}
	if r := sketchRecall(t, loaded, c, 2*n); r < 0.995 {
		t.Errorf("recall %.4f", r)
	}
}

// sketchRecall is recall@10 under filters of half of all slots: any, those near the
// query, those far from it.
func sketchRecall(t *testing.T, g *ann.Graph, c *cloud, slots int) float64 {
	t.Helper()
	found, all := 0, 0
	for range 12 {
		q := c.vector()
		every := make([]uint32, slots)
		for i := range every {
			every[i] = uint32(i)
		}
		scores := g.Scores(q, every)
		slices.SortFunc(every, func(a, b uint32) int {
			switch x, y := scores[a], scores[b]; {
			case math.IsNaN(x) && math.IsNaN(y), x == y:
				return int(a) - int(b)
			case math.IsNaN(y), x > y:
				return -1
			}
			return 1
		})
		for _, half := range [][]uint32{nil, every[:slots/2], every[slots/2:]} {
			allow := bitset.New(uint(slots))
			for i, slot := range every {
				if half == nil && i%2 == 0 || slices.Contains(half, slot) {
					allow.Set(uint(slot))
				}
			}
			got, _, err := g.Search(context.Background(), q, 10, allow, ann.Options{})
			want, _, err2 := g.Search(context.Background(), q, 10, allow, ann.Options{Exact: true})
			if err != nil || err2 != nil || len(got) != len(want) {
				t.Fatal(err, err2, len(got), len(want))
			}
			for _, h := range want {
				all++
				found += oneIf(h.Score <= got[len(got)-1].Score || slices.Contains(got, h))
			}
		}
	}
	return float64(found) / float64(all)
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Sketches spare codes: a scan under a filter of half of all looks at each sketch, and at
// the codes of few; where most are equally near, it sees that and lets the sketches be.
func TestSketchesSpareCodes(t *testing.T) {
	const n, dim = 12 << 10, 256
	c, g := newCloud(4, 30, dim), ann.NewGraph(dim, memory.MetricCosine)
	half := bitset.New(n)
	for slot := range uint32(n) {
		g.Put(slot, c.vector())
		half.SetTo(uint(slot), slot%2 == 0)
	}
	_, codes, err := g.Search(context.Background(), c.vector(), 10, half, ann.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if codes > n/2/4 {
		t.Errorf("%d were compared of the %d that are allowed", codes, n/2)
	}
	other := make([]float32, dim) // all are about at a right angle to it
	for i := range other {
		other[i] = float32(1 - 2*(i&1))
	}
	_, compared, err := g.Search(context.Background(), other, 500, half, ann.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if compared > n {
		t.Errorf("%d were compared though no sketch tells anything", compared)
	}
}
