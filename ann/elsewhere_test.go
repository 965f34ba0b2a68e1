package ann_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// A filter that lets through half of all, but nothing near the query: what is allowed
// lies about equally far in many clusters, and a walk would end in one of them.
func TestFilterElsewhere(t *testing.T) {
	const n, dim, clusters = 12_000, 96, 40
	r := rand.New(rand.NewPCG(1, 1))
	centres := make([][]float32, clusters)
	for i := range centres {
		centres[i] = random(r, dim)
	}
	near := func(k int) []float32 {
		v := random(r, dim)
		for i := range v {
			v[i] = centres[k][i] + 1.2*v[i]
		}
		return v
	}
	g, allow := ann.NewGraph(dim, memory.MetricCosine), bitset.New(n)
	for i := range uint32(n) {
		k := r.IntN(clusters)
		if k < clusters/2 {
			allow.Set(uint(i))
		}
		g.Put(i, near(k))
	}
	settle(t, g, 2)
	const queries = 50
	for _, o := range []ann.Options{{}, {Walk: true}, {Walk: true, Effort: 12}} {
		found := 0
		for range queries {
			q := near(clusters - 1)
			hits, _, err := g.Search(context.Background(), q, 10, allow, o)
			if err != nil {
				t.Fatal(err)
			}
			right, _, err := g.Search(context.Background(), q, 10, allow, ann.Options{Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hits {
				if slices.Contains(right, h) {
					found++
				}
			}
		}
		if share := float64(found) / (10 * queries); share < 0.99 {
			t.Errorf("with %+v, %.3f of the nearest were found", o, share)
		}
	}
}
