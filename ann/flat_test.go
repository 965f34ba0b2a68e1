package ann_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/ann/anntest"
	"github.com/engramdb/engram/memory"
	"pgregory.net/rapid"
)

func TestFlat(t *testing.T) {
	anntest.TestIndex(t, func(dim int, m memory.Metric) anntest.Index { return ann.NewFlat(dim, m) })
}

// Small whole numbers are exact in float32, so here the answer is the naive one
// to the bit, ties and all.
func TestFlatIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.IntRange(1, 9).Draw(t, "dim")
		metric := rapid.SampledFrom([]memory.Metric{memory.MetricDot, memory.MetricL2}).Draw(t, "metric")
		vec := func(name string) []float32 {
			v := make([]float32, dim)
			for i := range v {
				v[i] = float32(rapid.IntRange(-3, 3).Draw(t, name))
			}
			return v
		}
		f, vectors := ann.NewFlat(dim, metric), map[uint32][]float32{}
		for range rapid.IntRange(0, 150).Draw(t, "writes") {
			slot := rapid.Uint32Range(0, 200).Draw(t, "slot")
			if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				f.Delete(slot)
				delete(vectors, slot)
				continue
			}
			v := vec("v")
			f.Put(slot, v)
			vectors[slot] = v
		}
		q, k := vec("q"), rapid.IntRange(1, 20).Draw(t, "k")
		allow := bitset.New(0)
		for _, slot := range rapid.SliceOf(rapid.UintRange(0, 300)).Draw(t, "allow") {
			allow.Set(slot)
		}
		if rapid.Bool().Draw(t, "all") {
			allow = nil
		}
		want := naive(vectors, q, k, allow, metric)
		got, compared, err := f.Search(context.Background(), q, k, allow, ann.Options{Workers: rapid.IntRange(0, 2).Draw(t, "workers")})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("Search = %v, %v, want %v", got, err, want)
		}
		if compared < len(want) || compared > len(vectors) {
			t.Fatalf("compared %d of %d", compared, len(vectors))
		}
	})
}

func naive(vectors map[uint32][]float32, q []float32, k int, allow *bitset.BitSet, m memory.Metric) []ann.Hit {
	hits := []ann.Hit{}
	for _, slot := range slices.Sorted(maps.Keys(vectors)) {
		if allow != nil && !allow.Test(uint(slot)) {
			continue
		}
		h := ann.Hit{Slot: slot}
		for i, x := range vectors[slot] {
			if m == memory.MetricDot {
				h.Score += float64(x) * float64(q[i])
			} else {
				h.Score -= float64(x-q[i]) * float64(x-q[i])
			}
		}
		hits = append(hits, h)
	}
	slices.SortStableFunc(hits, func(a, b ann.Hit) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return hits[:min(k, len(hits))]
}

// stopped is a context that is done after it was asked a few times.
type stopped struct {
	context.Context
	asks int
}

func (s *stopped) Err() error {
	if s.asks--; s.asks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestSearchStops(t *testing.T) {
	f := filled(20_000, 2, memory.MetricDot)
	every := bitset.New(20_000).SetAll()
	for _, allow := range []*bitset.BitSet{nil, every} {
		ctx := &stopped{context.Background(), 3}
		hits, compared, err := f.Search(ctx, []float32{1, 2}, 10, allow, ann.Options{Workers: 1})
		if !errors.Is(err, context.DeadlineExceeded) || hits != nil || compared == 0 || compared > 5000 {
			t.Errorf("stopped after %d of 20000 with %d hits: %v", compared, len(hits), err)
		}
	}
}

func TestNarrowFilterComparesFew(t *testing.T) {
	f := filled(5000, 8, memory.MetricCosine)
	_, compared, err := f.Search(context.Background(), random(rand.New(rand.NewPCG(1, 1)), 8), 10, bitset.New(5000).Set(17).Set(4000), ann.Options{})
	if err != nil || compared != 2 {
		t.Errorf("compared %d, %v; want 2", compared, err)
	}
}

func TestBytes(t *testing.T) {
	if n := ann.NewFlat(768, memory.MetricCosine).Bytes(); n > 100 {
		t.Errorf("an empty index takes %d bytes", n)
	}
	if n := filled(3, 768, memory.MetricCosine).Bytes(); n > 4*4*768+5000 {
		t.Errorf("three vectors take %d bytes", n)
	}
	n, want := filled(10_000, 64, memory.MetricCosine).Bytes(), 10_000*64*4
	if float64(n) > 1.1*float64(want) {
		t.Errorf("10000 vectors of 64 take %d bytes, the numbers alone %d", n, want)
	}
}

func TestBugsOfTheCallerPanic(t *testing.T) {
	f := ann.NewFlat(3, memory.MetricDot)
	for name, call := range map[string]func(){
		"dimension 0":    func() { ann.NewFlat(0, memory.MetricDot) },
		"unknown metric": func() { ann.NewFlat(3, "near") },
		"Put":            func() { f.Put(1, []float32{1}) },
		"Scores":         func() { f.Scores([]float32{1}, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			call()
		}()
	}
}

func TestCosineIsAtMostOne(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	f := ann.NewFlat(37, memory.MetricCosine)
	for slot := range uint32(500) {
		v := random(r, 37)
		f.Put(slot, v)
		if s := f.Scores(v, []uint32{slot})[0]; s > 1 || math.Abs(s-1) > 1e-6 {
			t.Fatalf("a vector scores %v with itself", s)
		}
	}
}
