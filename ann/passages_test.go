package ann

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"pgregory.net/rapid"

	"github.com/engramdb/engram/memory"
)

// TestPassages drives passages and a plain map through the same changes: with room for
// all, both find the same slots in the same order, under every filter.
func TestPassages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vectors := rapid.SliceOfN(rapid.SliceOfN(rapid.Float32Range(-2, 2), 2, 2), 1, 5)
		p := newPassages(newGraph(2, memory.MetricDot, 8))
		plain := map[uint32][][]float32{}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				slot, vs := rapid.Uint32Range(0, 20).Draw(t, "slot"), vectors.Draw(t, "vectors")
				spans := make([]Span, len(vs))
				for i := range spans {
					spans[i] = Span{uint32(10 * i), uint32(10*i + 9)}
				}
				p.Put(slot, spans, vs)
				plain[slot] = vs
			},
			"delete": func(t *rapid.T) {
				slot := rapid.Uint32Range(0, 20).Draw(t, "slot")
				p.Delete(slot)
				delete(plain, slot)
			},
			"link": func(*rapid.T) { _ = p.Links().Settle(context.Background(), 1) }, // without an end it has no error
			"search": func(t *rapid.T) {
				q, allow := []float32{rapid.Float32Range(-2, 2).Draw(t, "x"), 1}, bitset.New(0)
				for _, slot := range rapid.SliceOf(rapid.UintRange(0, 25)).Draw(t, "allow") {
					allow.Set(slot)
				}
				if rapid.Bool().Draw(t, "all") {
					allow = nil
				}
				got, err := p.Find(context.Background(), q, 100, allow, Options{Exact: rapid.Bool().Draw(t, "exact")})
				if err != nil {
					t.Fatal(err)
				}
				compareHits(t, got.Hits, wanted(plain, q, allow))
			},
			"": func(t *rapid.T) {
				n := 0
				for _, vs := range plain {
					n += len(vs)
				}
				if passages, slots := p.Len(); passages != n || slots != len(plain) {
					t.Fatalf("%d passages of %d, want %d of %d", passages, slots, n, len(plain))
				}
			},
		})
	})
}

// wanted are the hits as one would write them down.
func wanted(plain map[uint32][][]float32, q []float32, allow *bitset.BitSet) (want []PassageHit) {
	for slot, vs := range plain {
		if allow != nil && !allow.Test(uint(slot)) {
			continue
		}
		best := PassageHit{Slot: slot, Score: math.Inf(-1)}
		for i, v := range vs {
			if s := float64(v[0]*q[0] + v[1]*q[1]); s > best.Score {
				best.Score, best.Span = s, Span{uint32(10 * i), uint32(10*i + 9)}
			}
		}
		want = append(want, best)
	}
	slices.SortFunc(want, func(a, b PassageHit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Slot, b.Slot))
	})
	return want
}

func compareHits(t *rapid.T, got, want []PassageHit) {
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	at := map[uint32]float64{}
	for _, w := range want {
		at[w.Slot] = w.Score
	}
	for i, g := range got {
		if math.Abs(g.Score-at[g.Slot]) > 1e-5 || math.Abs(g.Score-want[i].Score) > 1e-5 {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestPassagesOf(t *testing.T) {
	p := NewPassages(2, memory.MetricDot)
	p.Put(7, []Span{{0, 5}, {6, 9}}, [][]float32{{1, 0}, {3, 0}})
	got := p.Of([]float32{2, 0}, 7)
	if want := []PassageHit{{7, Span{0, 5}, 2}, {7, Span{6, 9}, 6}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	scores := []float64{math.NaN(), 1, 9}
	p.Raise([]float32{2, 0}, []uint32{7, 8, 7}, scores)
	if !slices.Equal(scores, []float64{6, 1, 9}) {
		t.Errorf("raised to %v", scores)
	}
	if p.Of([]float32{1, 0}, 8) != nil {
		t.Error("passages of a slot that has none")
	}
	if n, slots := (*Passages)(nil).Len(); n != 0 || slots != 0 {
		t.Error("nil is not empty")
	}
}

// manyPassages are of n slots, three of each, in a graph with all its links.
func manyPassages(tb testing.TB, n, dim int) (*Passages, func() []float32) {
	r := rand.New(rand.NewPCG(3, 4))
	draw := func() []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	topics := make([][]float32, 50)
	for i := range topics {
		topics[i] = draw()
	}
	near := func() []float32 {
		v := draw()
		for i, x := range topics[r.IntN(len(topics))] {
			v[i] += x
		}
		return v
	}
	p := NewPassages(dim, memory.MetricCosine)
	for slot := range n {
		p.Put(uint32(slot), []Span{{0, 1}, {1, 2}, {2, 3}}, [][]float32{near(), near(), near()})
	}
	if err := p.Links().Settle(context.Background(), 2); err != nil {
		tb.Fatal(err)
	}
	return p, near
}

// TestManyPassages: where not all are compared, nearly all of the nearest are found, under
// a filter as well, and what is found has its true score and its best span.
func TestManyPassages(t *testing.T) {
	const n, k = 2_000, 3
	ctx := context.Background()
	p, draw := manyPassages(t, n, 48)
	half := bitset.New(n)
	for slot := uint(0); slot < n; slot += 2 {
		half.Set(slot)
	}
	full := bitset.New(n).FlipRange(0, n)
	for name, allow := range map[string]*bitset.BitSet{"no filter": nil, "all": full, "half": half} {
		found, all, compared := 0, 0, 0
		for range 40 {
			q := draw()
			got, err := p.Find(ctx, q, k, allow, Options{Walk: true})
			if err != nil {
				t.Fatal(err)
			}
			want, err := p.Find(ctx, q, k, allow, Options{Exact: true})
			if err != nil || !want.Exact || got.Exact {
				t.Fatal(err, want.Exact, got.Exact)
			}
			compared += got.Compared
			for i, h := range got.Hits {
				of := p.Of(q, h.Slot)
				best := slices.MaxFunc(of, func(a, b PassageHit) int { return cmp.Compare(a.Score, b.Score) })
				if h != best || allow != nil && !allow.Test(uint(h.Slot)) || i > 0 && got.Hits[i-1].Score < h.Score {
					t.Fatalf("%s: got %v of %v", name, h, of)
				}
				if slices.Contains(want.Hits, h) {
					found++
				}
			}
			all += len(want.Hits)
		}
		if found < all*98/100 {
			t.Errorf("%s: found %d of %d", name, found, all)
		}
		if most := 40 * 3 * n / 2; name != "half" && compared > most {
			t.Errorf("%s: compared %d, more than the half of all", name, compared)
		}
	}
}

func BenchmarkPassages(b *testing.B) {
	const n = 33_334
	p, draw := manyPassages(b, n, 384)
	full := bitset.New(n).FlipRange(0, n)
	for name, o := range map[string]Options{"links": {}, "exact": {Exact: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Find(context.Background(), draw(), 200, full, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
