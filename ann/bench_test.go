package ann_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

func random(r *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func filled(n, dim int, m memory.Metric) *ann.Flat {
	r := rand.New(rand.NewPCG(1, 2))
	f := ann.NewFlat(dim, m)
	for i := range n {
		f.Put(uint32(i), random(r, dim))
	}
	return f
}

func BenchmarkSearch(b *testing.B) {
	for _, size := range []struct{ n, dim int }{{10_000, 768}, {100_000, 384}} {
		f := filled(size.n, size.dim, memory.MetricCosine)
		q := random(rand.New(rand.NewPCG(3, 4)), size.dim)
		for _, share := range []float64{1, 0.5, 0.1, 0.01, 0.001} {
			r := rand.New(rand.NewPCG(5, 6))
			allow := bitset.New(uint(size.n))
			for i := range size.n {
				if r.Float64() < share {
					allow.Set(uint(i))
				}
			}
			if share == 1 {
				allow = nil
			}
			for workers := 1; workers <= 2; workers++ {
				b.Run(fmt.Sprintf("%dx%d/allow=%g/workers=%d", size.n, size.dim, share, workers), func(b *testing.B) {
					for b.Loop() {
						if _, _, err := f.Search(context.Background(), q, 10, allow, ann.Options{Workers: workers}); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func BenchmarkPut(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	v := random(r, 768)
	f := ann.NewFlat(768, memory.MetricCosine)
	slot := uint32(0)
	for b.Loop() {
		f.Put(slot, v)
		if slot >= 10_000 {
			f.Delete(slot - 10_000)
		}
		slot++
	}
}
