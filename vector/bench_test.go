package vector

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

var sink float32

func BenchmarkDot(b *testing.B) {
	for _, dim := range []int{384, 768} {
		r := rand.New(rand.NewPCG(1, 2))
		x, y := random(r, dim), random(r, dim)
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			for b.Loop() {
				sink += Dot(x, y)
			}
		})
	}
}

func BenchmarkSquaredL2(b *testing.B) {
	for _, dim := range []int{384, 768} {
		r := rand.New(rand.NewPCG(1, 2))
		x, y := random(r, dim), random(r, dim)
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			for b.Loop() {
				sink += SquaredL2(x, y)
			}
		})
	}
}

// The rows do not fit in the cache, as in a scan.
func BenchmarkBatch(b *testing.B) {
	for _, dim := range []int{384, 768} {
		r := rand.New(rand.NewPCG(1, 2))
		const rows = 10_000
		q, all, out := random(r, dim), random(r, dim*rows), make([]float32, rows)
		b.Run(fmt.Sprintf("Dots/%dx%d", rows, dim), func(b *testing.B) {
			b.SetBytes(int64(4 * len(all)))
			for b.Loop() {
				Dots(q, all, dim, out)
			}
		})
		b.Run(fmt.Sprintf("SquaredL2s/%dx%d", rows, dim), func(b *testing.B) {
			b.SetBytes(int64(4 * len(all)))
			for b.Loop() {
				SquaredL2s(q, all, dim, out)
			}
		})
	}
}

func BenchmarkNormalize(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	v := random(r, 768)
	dst := make([]float32, 768)
	for b.Loop() {
		Normalize(dst, v)
	}
}
