package recall

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// TestStandardise: z-scores of candidates are those over all, when the sample stands for the
// rest; one without a score is the lowest of all, and in the sample counts for nothing.
func TestStandardise(t *testing.T) {
	nan := math.NaN()
	for name, x := range map[string]struct {
		xs   []float64
		n    int
		each float64
		want []float64
	}{
		"candidates alone":         {[]float64{1, 2, 3}, 3, 0, []float64{-math.Sqrt(1.5), 0, math.Sqrt(1.5)}},
		"all alike":                {[]float64{5, 5}, 2, 0, []float64{0, 0}},
		"one without a score":      {[]float64{3, nan, 1}, 3, 0, []float64{math.Sqrt2, -math.Sqrt2 / 2, -math.Sqrt2 / 2}},
		"the lowest of all":        {append([]float64{-100}, slices.Repeat([]float64{0}, 99)...), 1, 1, []float64{lowestZ}},
		"a sample of 1 for 3":      {[]float64{4, 0, 0}, 2, 3, []float64{2, -0.5}}, // 4 and four times 0: mean .8, deviation 1.6
		"a sample of no score":     {[]float64{3, 1, nan}, 2, 7, []float64{1, -1}},
		"an endless one is finite": {[]float64{math.Inf(1), 0}, 2, 0, []float64{1, -1}},
	} {
		if got := standardise(slices.Clone(x.xs), x.n, x.each); !near(got, x.want) {
			t.Errorf("%s: got %v, want %v", name, got, x.want)
		}
	}
}

func near(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) < 1e-9 })
}

// TestSample: what stands for the rest is let through, no candidate, spread over all, and
// stands for all.
func TestSample(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	for i := range 5000 {
		tag := "odd"
		if i%2 == 0 {
			tag = "even"
		}
		s.put("plum", []float32{1, 0}, tag)
	}
	for name, x := range map[string]struct {
		filter     memory.Filter
		candidates []uint32
		most       int
		all        float64
	}{
		"all":       {memory.Filter{}, []uint32{0, 1, 2, 3}, sampleMost + 1, 4996},
		"a half":    {memory.Filter{Tags: []string{"even"}}, []uint32{0, 2}, sampleMost + 1, 2498},
		"none left": {memory.Filter{Tags: []string{"none"}}, nil, 0, 0},
	} {
		c := memory.Cue{Filter: x.filter}
		r := run{Indexes: s.Indexes, Question: Question{Cue: &c, View: memory.LSN(s.last), Weights: Weights{Text: 1, Vector: 1, Space: true}}}
		r.filter()
		got, each := r.sample(x.candidates)
		if n := float64(len(got)) * each; math.Abs(n-x.all) > 1e-6 || len(got) > x.most {
			t.Errorf("%s: %d stand for %v, want at most %d for %v", name, len(got), n, x.most, x.all)
		}
		for i, slot := range got {
			if !r.allowed.Test(uint(slot)) || slices.Contains(x.candidates, slot) || i > 0 && got[i-1] >= slot {
				t.Fatalf("%s: %d is not to be in the sample", name, slot)
			}
		}
		if len(got) > 0 && (got[0] > 20 || got[len(got)-1] < 4980) {
			t.Errorf("%s: the sample lies from %d to %d", name, got[0], got[len(got)-1])
		}
		r.Weights.Space = false
		if got, _ := r.sample(x.candidates); got != nil {
			t.Errorf("%s: a sample where none is wanted", name)
		}
	}
}

// TestFusionOfModel: what the model says holds for likeness; a question's own weights come
// before it, and association has its own.
func TestFusionOfModel(t *testing.T) {
	says := embed.Fusion{Vector: 3, Space: true}
	own := Weights{Text: 1}
	for name, x := range map[string]struct {
		question Weights
		fusion   embed.Fusion
		mode     memory.Mode
		want     Weights
	}{
		"nothing said":         {Weights{}, embed.Fusion{}, memory.ModeSimilar, SimilarWeights},
		"the model":            {Weights{}, says, memory.ModeSimilar, Weights{Text: 0.25, Vector: 0.75, Space: true}},
		"the question":         {own, says, memory.ModeSimilar, own},
		"association":          {Weights{}, says, memory.ModeAssociative, AssociativeWeights},
		"its question":         {own, says, memory.ModeAssociative, own},
		"association, nothing": {Weights{}, embed.Fusion{}, memory.ModeAssociative, AssociativeWeights},
	} {
		c := memory.Cue{Mode: x.mode}
		r := run{Indexes: Indexes{Fusion: x.fusion, Links: graph.New()}, Question: Question{Cue: &c, Weights: x.question}}
		if got := r.weights(); got != x.want {
			t.Errorf("%s: got %+v, want %+v", name, got, x.want)
		}
	}
}

// TestFusionOverSpace: of a fused score the nearness is measured against all memories, also
// where a sample stands for them; the parts sum to the score.
func TestFusionOverSpace(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		s.put("plum", []float32{1, float32(rng.NormFloat64())})
	}
	rare := s.put("otter", []float32{1, -1})
	q := []float32{1, 0}
	all := make([]uint32, s.last)
	for i := range all {
		all[i] = uint32(i)
	}
	sum, square := 0.0, 0.0
	cosines := s.flat.Scores(q, all)
	for _, x := range cosines {
		sum, square = sum+x, square+x*x
	}
	mean := sum / float64(len(all))
	want := (cosines[rare] - mean) / math.Sqrt(square/float64(len(all))-mean*mean)
	s.Fusion = embed.Fusion{Vector: 1, Space: true}
	a := s.run(t, memory.Cue{Text: "otter", Vector: q, Mode: memory.ModeSimilar, Limit: 300})
	found := false
	for _, x := range a.Ranked {
		text, vector := x.Parts[0].Value, x.Parts[1].Value
		if math.Abs(text+vector-x.Score) > 1e-9 {
			t.Fatalf("parts of %+v", x)
		}
		if x.Slot == rare {
			found = true
			if got := 2 * vector; math.Abs(got-want) > 0.1 {
				t.Errorf("its nearness is %.2f deviations, want %.2f", got, want)
			}
		}
	}
	if !found {
		t.Error("the one that holds the word was not found")
	}
}
