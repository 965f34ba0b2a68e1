package recall

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
)

// TestCommonSaysNothing: a memory that is near to everything does not come before one that
// is near to the cue alone. Words find both alike.
func TestCommonSaysNothing(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	for range 8 {
		s.put("plum", []float32{1, 0})
	}
	common, own := s.put("pear", []float32{0.96, 0.28}), s.put("pear", []float32{0, 1})
	c := memory.Cue{Text: "pear", Vector: []float32{0.8, 0.6}, Mode: memory.ModeSimilar}
	if got := slots(s.run(t, c))[:2]; !slices.Equal(got, []uint32{own, common}) {
		t.Errorf("found %v first, want %v", got, []uint32{own, common})
	}
	c.Text = "" // alone, a leg scores as it is
	if got := slots(s.run(t, c))[0]; got != common {
		t.Errorf("by the vector alone found %d first, want %d", got, common)
	}
}

// TestApart: what is taken off is the mean, by the mean cosine of two.
func TestApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newShelf(t, memory.MetricCosine)
		angle := rapid.Float64Range(-3, 3)
		var vectors [][]float64
		for range rapid.IntRange(2, 40).Draw(rt, "memories") {
			a, size := angle.Draw(rt, "angle"), rapid.Float64Range(0.1, 10).Draw(rt, "size")
			vectors = append(vectors, []float64{math.Cos(a), math.Sin(a)})
			s.put("pear", []float32{float32(size * math.Cos(a)), float32(size * math.Sin(a))})
		}
		a := angle.Draw(rt, "cue")
		cue := memory.Cue{Vector: []float32{float32(5 * math.Cos(a)), float32(5 * math.Sin(a))}}
		r := run{Indexes: s.Indexes, Question: Question{Cue: &cue, View: memory.LSN(s.last), Weights: Weights{Apart: true}}}
		r.filter()
		want := []float64{math.Cos(a), math.Sin(a)}
		share := alike(vectors)
		if share < 1e-6 {
			if got := r.apart(all(s.last)); got != nil && share < -1e-6 {
				rt.Fatalf("took off %v, where two are alike by %v", got, share)
			}
			return
		}
		for _, v := range vectors {
			want[0] -= share * v[0] / float64(len(vectors))
			want[1] -= share * v[1] / float64(len(vectors))
		}
		got := r.apart(all(s.last))
		for i := range want {
			if math.Abs(float64(got[i])-want[i]) > 1e-5 {
				rt.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

// alike is the mean cosine of two.
func alike(vectors [][]float64) float64 {
	sum, n := 0.0, 0.0
	for i, a := range vectors {
		for _, b := range vectors[:i] {
			sum, n = sum+a[0]*b[0]+a[1]*b[1], n+1
		}
	}
	return sum / n
}

// TestNothingTakenOff: where nothing is common, or none of it is to be taken off, the cue
// stays as it is; and where nothing is left of it, there is an answer all the same.
func TestNothingTakenOff(t *testing.T) {
	for name, x := range map[string]struct {
		metric  memory.Metric
		apart   bool
		vectors [][]float32
		cut     bool
	}{
		"two alike":       {memory.MetricCosine, true, [][]float32{{1, 2}, {1, 1}}, true},
		"not wanted":      {memory.MetricCosine, false, [][]float32{{1, 2}, {1, 1}}, false},
		"no vectors":      {memory.MetricCosine, true, [][]float32{nil, nil}, false},
		"one":             {memory.MetricCosine, true, [][]float32{{1, 2}, nil}, false},
		"opposites":       {memory.MetricCosine, true, [][]float32{{1, 2}, {-1, -2}}, false},
		"products":        {memory.MetricDot, true, [][]float32{{1, 2}, {1, 1}}, false},
		"distances":       {memory.MetricL2, true, [][]float32{{1, 2}, {1, 1}}, false},
		"nothing is left": {memory.MetricCosine, true, [][]float32{{2, 1}, {4, 2}}, true},
		"zero":            {memory.MetricCosine, true, [][]float32{{0, 0}, {0, 0}}, false},
	} {
		s := newShelf(t, x.metric)
		for _, v := range x.vectors {
			s.put("pear", v)
		}
		cue := memory.Cue{Text: "pear", Vector: []float32{2, 1}, Limit: 10}
		q := Question{Cue: &cue, View: memory.LSN(s.last), Limit: 10, Weights: Weights{Text: 1, Vector: 1, Apart: x.apart}}
		r := run{Indexes: s.Indexes, Question: q}
		r.filter()
		if got := r.apart(all(s.last)); (got != nil) != x.cut {
			t.Errorf("%s: got %v", name, got)
		}
		a, err := Run(t.Context(), s.Indexes, q)
		if err != nil || len(a.Ranked) != 2 {
			t.Errorf("%s: %v, %+v", name, err, a.Ranked)
		}
		for _, x := range a.Ranked {
			if math.IsNaN(x.Score) || math.IsInf(x.Score, 0) {
				t.Errorf("%s: scores %v", name, x.Score)
			}
		}
	}
}

// all are the slots of a shelf with so many memories.
func all(n uint32) []uint32 {
	slots := make([]uint32, n)
	for i := range slots {
		slots[i] = uint32(i)
	}
	return slots
}

// TestAmong: they are even over the memories from the first candidate to the last, at most
// so many, none without a vector, and the same when the index was built in another order.
func TestAmong(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 1500).Draw(rt, "memories")
		each := rapid.SampledFrom([]int{1, 2, 3}).Draw(rt, "vectors")
		s, back := newShelf(t, memory.MetricCosine), newShelf(t, memory.MetricCosine)
		entry := func(o int) facet.Entry {
			return facet.Entry{Ordinal: memory.Ordinal(o), Version: 1, Kind: memory.KindEpisode, Born: memory.LSN(n), Stored: time.Unix(0, 0)}
		}
		put := func(s *shelf, o int) {
			e := entry(o)
			e.Slot = s.Facets.Next()
			s.Facets.Put(e)
			if o%each == 0 {
				s.flat.Put(e.Slot, []float32{1, float32(o)})
			}
		}
		for o := 1; o <= n; o++ {
			put(s, o)
			put(back, n+1-o)
		}
		low := rapid.IntRange(1, n).Draw(rt, "first")
		high := rapid.IntRange(low, n).Draw(rt, "last")
		drawn := func(s *shelf) (os []int) {
			r := run{Indexes: s.Indexes}
			a, _ := s.Facets.Live(memory.Ordinal(low))
			b, _ := s.Facets.Live(memory.Ordinal(high))
			for _, slot := range r.among([]uint32{b, a}) {
				os = append(os, int(s.Facets.Ordinal(slot)))
			}
			return os
		}
		got := drawn(s)
		if again := drawn(back); !slices.Equal(got, again) {
			rt.Fatalf("got %v, and %v when put the other way round", got, again)
		}
		step := 1
		for high/step-low/step >= commonOf {
			step *= 2
		}
		if len(got) > commonOf || len(got) < (high-low)/max(step, each)-1 {
			rt.Fatalf("%d from %d to %d", len(got), low, high)
		}
		for i, o := range got {
			if o%each != 0 || o < low-low%step || o > high+step || i > 0 && o-got[i-1] > 2*max(step, each) {
				rt.Fatalf("not even from %d to %d: %v", low, high, got)
			}
		}
	})
}
