package best

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestKeepsTheBest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{0, 1, 2, 3, 10, 100} {
		for _, n := range []int{0, 1, 2, 9, 10, 11, 500} {
			k := Of[int]{Limit: limit, Compare: cmp.Compare[int]}
			var all []int
			for range n {
				x := r.IntN(n) // some of them equal
				all = append(all, x)
				k.Add(x)
				if k.Full() != (len(all) >= limit) || len(k.Items) > 0 && *k.Worst() != slices.Max(k.Items) {
					t.Fatalf("of %v, %v are kept of at most %d", all, k.Items, limit)
				}
			}
			slices.Sort(all)
			if got, want := k.Sorted(), all[:min(limit, n)]; !slices.Equal(got, want) {
				t.Errorf("the best %d of %v: %v, want %v", limit, all, got, want)
			}
		}
	}
}

func TestHeap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var h, all []int
	for range 200 {
		x := r.IntN(50)
		all, h = append(all, x), append(h, x)
		Up(h, cmp.Compare[int])
	}
	slices.Sort(all)
	for len(h) > 0 { // each time the last by order is on top
		if h[0] != all[len(h)-1] {
			t.Fatalf("%d is on top where %d comes last", h[0], all[len(h)-1])
		}
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		Down(h, cmp.Compare[int])
	}
}

type hit struct {
	doc   uint32
	score float64
}

func compareHits(a, b hit) int {
	if a.score != b.score {
		return cmp.Compare(b.score, a.score)
	}
	return cmp.Compare(a.doc, b.doc)
}

// BenchmarkAdd shows hits of random scores.
func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	hits := make([]hit, 10_000)
	for i := range hits {
		hits[i] = hit{uint32(i), r.Float64()}
	}
	for _, limit := range []int{10, 200} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			k := Of[hit]{Limit: limit, Compare: compareHits, Items: make([]hit, 0, limit)}
			for b.Loop() {
				k.Items = k.Items[:0]
				for _, h := range hits {
					k.Add(h)
				}
			}
		})
	}
}
