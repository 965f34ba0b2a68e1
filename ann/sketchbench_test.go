package ann

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/memory"
)

// BenchmarkWideScan compares scans with and without sketches, in turns, under filters
// that allow a half by chance, near the query, or far from it. Nothing is linked: all
// is in the tail.
func BenchmarkWideScan(b *testing.B) {
	const n, dim, topics = 80_000, 768, 200
	r := rand.New(rand.NewPCG(1, 2))
	random := func(scale float32) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = scale * float32(r.NormFloat64())
		}
		return v
	}
	var centres [topics][]float32
	for i := range centres {
		centres[i] = random(1)
	}
	member := func() []float32 {
		v, c := random(1), centres[r.IntN(topics)]
		for i := range v {
			v[i] += c[i]
		}
		return v
	}
	g := NewGraph(dim, memory.MetricCosine)
	for slot := range uint32(n) {
		g.Put(slot, member())
	}
	q := member()
	all := make([]uint32, n)
	for i := range all {
		all[i] = uint32(i)
	}
	scores := g.Scores(q, all)
	slices.SortFunc(all, func(a, b uint32) int {
		if scores[a] > scores[b] {
			return -1
		}
		return 1
	})
	for name, allowed := range map[string]func(place int, slot uint32) bool{
		"any":  func(_ int, slot uint32) bool { return hash(slot)&1 == 0 },
		"near": func(place int, _ uint32) bool { return place < n/2 },
		"far":  func(place int, _ uint32) bool { return place >= n/2 },
	} {
		allow := bitset.New(n)
		for place, slot := range all {
			if allowed(place, slot) {
				allow.Set(uint(slot))
			}
		}
		b.Run(name, func(b *testing.B) {
			var took [2][]time.Duration
			find := func(way int) {
				began := time.Now()
				if _, _, err := g.Search(context.Background(), q, 10, allow, Options{Workers: 1}); err != nil {
					b.Fatal(err)
				}
				took[way] = append(took[way], time.Since(began))
			}
			for b.Loop() {
				find(0)
				g.sketch.missing++ // scans then do without
				find(1)
				g.sketch.missing--
			}
			for way := range took {
				slices.Sort(took[way])
			}
			b.ReportMetric(float64(took[0][0].Microseconds()), "least-us")
			b.ReportMetric(float64(took[1][0].Microseconds()), "least-us-without")
			b.ReportMetric(float64(took[0][len(took[0])/2])/float64(took[1][len(took[1])/2]), "median/without")
		})
	}
}
