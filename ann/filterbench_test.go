package ann

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
)

// BenchmarkCrossover gives what a walk and a scan take under filters that allow
// any slots, in turns: where they cross is what walkCost, filterCost and walkRows
// say.
func BenchmarkCrossover(b *testing.B) {
	const n, dim = 60_000, 384
	r := rand.New(rand.NewPCG(1, 1))
	centres := make([][]float32, 600)
	vec := func(centre []float32) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64())
			if centre != nil {
				v[i] = centre[i] + .9*v[i]
			}
		}
		return v
	}
	for i := range centres {
		centres[i] = vec(nil)
	}
	g := NewGraph(dim, memory.MetricCosine)
	for slot := range uint32(n) {
		g.Put(slot, vec(centres[r.IntN(len(centres))]))
	}
	if err := g.Settle(b.Context(), 2); err != nil {
		b.Fatal(err)
	}
	var queries [][]float32
	for range 50 {
		queries = append(queries, vec(centres[r.IntN(len(centres))]))
	}
	for _, share := range []float64{1, .5, .2, .1, .05, .02, .01} {
		allow := bitset.New(n)
		for slot := range uint(n) {
			if r.Float64() < share {
				allow.Set(slot)
			}
		}
		for _, filtered := range []bool{false, true} {
			if !filtered && share < 1 {
				continue
			}
			set := allow
			if !filtered {
				set = nil
			}
			b.Run(fmt.Sprintf("share=%g/filter=%v", share, filtered), func(b *testing.B) {
				var walk, scan way
				for b.Loop() {
					for _, q := range queries {
						walk.add(g, q, set, (*finder).onlyWalk)
						scan.add(g, q, set, (*finder).onlyScan)
					}
				}
				walk.report(b, "walk")
				scan.report(b, "scan")
			})
		}
	}
}

func (f *finder) onlyWalk() (Found, error) {
	if f.allow == nil {
		if err := f.walk(f.ctx, f.effort()); err != nil {
			return f.failed(err)
		}
		return f.finish()
	}
	if _, err := f.walkAllowed(f.ctx, f.effort(), math.MaxInt, 0, f.allow); err != nil {
		return f.failed(err)
	}
	return f.finish()
}

func (f *finder) onlyScan() (Found, error) { return f.scanAll() }

// way sums up searches of one kind.
type way struct {
	least    time.Duration
	total    time.Duration
	compared int
	times    int
}

func (w *way) add(g *Graph, q []float32, allow *bitset.BitSet, run func(*finder) (Found, error)) {
	began := time.Now()
	s := g.borrow()
	defer g.giveBack(s)
	f := &finder{scratch: s, ctx: &never{}, k: 10, allow: allow, work: g.plan(allow), options: Options{Workers: 1}}
	g.code.aim(&f.probe, q, f.room)
	found, err := run(f)
	if err != nil {
		panic(err)
	}
	took := time.Since(began)
	if w.times == 0 || took < w.least {
		w.least = took
	}
	w.total += took
	w.times++
	w.compared += found.Compared
}

func (w *way) report(b *testing.B, name string) {
	b.ReportMetric(float64(w.total.Microseconds())/float64(w.times), name+"-us")
	b.ReportMetric(float64(w.least.Nanoseconds())*float64(w.times)/float64(w.compared), name+"-least-ns/row")
	b.ReportMetric(float64(w.compared)/float64(w.times), name+"-rows")
}

// never is a context that is never done.
type never struct{}

func (never) Deadline() (t time.Time, ok bool) { return }
func (never) Done() <-chan struct{}            { return nil }
func (never) Err() error                       { return nil }
func (never) Value(any) any                    { return nil }
