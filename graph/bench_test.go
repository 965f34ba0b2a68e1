package graph

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
)

// scaleFree makes links as they grow in the world: from every node some, half to
// nodes of chance and half to the other end of a link that is there, so that a
// few nodes have very many.
func scaleFree(nodes, links int) *Graph {
	g, r := New(), rand.New(rand.NewPCG(9, 9))
	ends := make([]memory.Ordinal, 0, links)
	for i := range links {
		to := memory.Ordinal(r.IntN(nodes) + 1)
		if i%2 == 1 {
			to = ends[r.IntN(len(ends))]
		}
		ends = append(ends, to)
		l := Link{From: memory.Ordinal(i%nodes + 1), To: to, Type: kinds[r.IntN(3)], Tag: uint32(i), Weight: float64(r.IntN(4)+1) / 4}
		if err := g.Put(l); err != nil {
			panic(err)
		}
	}
	return g
}

var sizes = []struct{ nodes, links int }{{100_000, 1_000_000}, {1_000_000, 10_000_000}}

var made = map[int]func() *Graph{
	sizes[0].nodes: sync.OnceValue(func() *Graph { return scaleFree(sizes[0].nodes, sizes[0].links) }),
	sizes[1].nodes: sync.OnceValue(func() *Graph { return scaleFree(sizes[1].nodes, sizes[1].links) }),
}

func BenchmarkSpread(b *testing.B) {
	all := map[string]Flow{"": {1, 1}}
	for _, size := range sizes {
		for _, o := range []Options{
			{Hops: 1}, {Hops: 2}, {}, {Paths: 3, Limit: 100}, {Flows: all}, {Flows: all, Threshold: 1e-5}, {Flows: all, Threshold: 1e-9},
		} {
			name := fmt.Sprintf("nodes=%d/hops=%d/all=%v/threshold=%g/paths=%d", size.nodes, o.Hops, o.Flows != nil, o.Threshold, o.Paths)
			b.Run(name, func(b *testing.B) {
				g := made[size.nodes]()
				var took []time.Duration
				cpu := cpuTime()
				work := 0
				for i := 0; b.Loop(); i++ {
					seeds := seedsAt(size.nodes, 50, uint64(i))
					began := time.Now()
					r, err := g.Spread(ctx, seeds, o)
					took = append(took, time.Since(began))
					if err != nil {
						b.Fatal(err)
					}
					work += r.Work
				}
				slices.Sort(took)
				b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000/float64(len(took)), "cpu-ms/op")
				b.ReportMetric(float64(work)/float64(len(took)), "links/op")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// cpuTime is what the process has used: on a machine that is shared, it tells
// more than the clock on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkPut(b *testing.B) {
	for _, size := range sizes[:1] {
		b.Run(fmt.Sprint(size.nodes), func(b *testing.B) {
			for b.Loop() {
				g := scaleFree(size.nodes, size.links)
				b.ReportMetric(float64(g.Stats().Bytes)/float64(g.Stats().Links), "B/link")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.links), "ns/link")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range sizes[:1] {
		b.Run(fmt.Sprint(size.links), func(b *testing.B) {
			var w bytes.Buffer
			if err := made[size.nodes]().Save(&w); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(w.Len()))
			for b.Loop() {
				g, err := Load(bytes.NewReader(w.Bytes()))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(g.Stats().Bytes)/float64(g.Stats().Links), "B/link")
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	g := made[sizes[0].nodes]()
	var w bytes.Buffer
	for b.Loop() {
		w.Reset()
		if err := g.Save(&w); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(w.Len()))
}

func BenchmarkEnd(b *testing.B) {
	g := scaleFree(sizes[0].nodes, sizes[0].links)
	ls := linksOf(g, memory.Out)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(ls), func(i, j int) { ls[i], ls[j] = ls[j], ls[i] })
	for i := 0; b.Loop(); i++ {
		l := ls[i%len(ls)]
		if !g.End(l) {
			b.Fatal("it was not there")
		}
		if err := g.Put(l); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBytes keeps the promise on memory: 24 bytes a link in all, however it came.
func TestBytes(t *testing.T) {
	links := 200_000
	grown := scaleFree(links/10, links)
	for name, g := range map[string]*Graph{"grown": grown, "loaded": reloaded(t, grown)} {
		per := float64(g.Stats().Bytes) / float64(links)
		t.Logf("%s: %.1f bytes a link", name, per)
		if math.IsNaN(per) || per > 27 || name == "loaded" && per > 24 {
			t.Errorf("%s: %.1f bytes a link", name, per)
		}
	}
}
