package ann

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engramdb/engram/memory"
)

// TestSum: the sum is over the vectors that are there, flat or graph, under cosine at length 1.
func TestSum(t *testing.T) {
	const dim, n = 8, 300
	for _, metric := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		rng := rand.New(rand.NewPCG(1, 2))
		flat, graph := NewFlat(dim, metric), newGraph(dim, metric, 50)
		want := make([]float64, dim)
		var slots []uint32
		count := 0
		for i := range uint32(n) {
			v, norm := make([]float32, dim), 0.0
			for j := range v {
				v[j] = rng.Float32() - 0.3
				norm += float64(v[j]) * float64(v[j])
			}
			if metric != memory.MetricCosine {
				norm = 1
			}
			flat.Put(2*i, v)
			graph.Put(2*i, v)
			if i%10 == 0 {
				flat.Delete(2 * i)
				graph.Delete(2 * i)
			} else if i%3 == 0 {
				count++
				for j := range v {
					want[j] += float64(v[j]) / math.Sqrt(norm)
				}
			}
			if i%3 == 0 {
				slots = append(slots, 2*i, 2*i+1) // the second never had one
			}
		}
		for name, x := range map[string]interface {
			Sum([]float32, []uint32) int
		}{"flat": flat, "graph": graph} {
			got := make([]float32, dim)
			if k := x.Sum(got, slots); k != count {
				t.Errorf("%s, %s: %d vectors, want %d", metric, name, k, count)
			}
			for j := range want {
				if math.Abs(float64(got[j])-want[j]) > 1e-3 {
					t.Errorf("%s, %s: got %v, want %v", metric, name, got, want)
					break
				}
			}
		}
	}
}
