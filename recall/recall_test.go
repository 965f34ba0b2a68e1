package recall

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/text"
)

// shelf is a few memories in indexes of their own: no store, no database.
type shelf struct {
	Indexes
	flat *ann.Flat
	last uint32
}

func newShelf(t testing.TB, metric memory.Metric) *shelf {
	a, err := text.NewAnalyzer("en")
	if err != nil {
		t.Fatal(err)
	}
	flat := ann.NewFlat(2, metric)
	return &shelf{Indexes: Indexes{Facets: facet.New(), Words: text.NewIndex(text.Params{Analysis: a.Version()}), Vectors: flat, Metric: metric, Analyzer: a}, flat: flat}
}

func (s *shelf) put(words string, v []float32, tags ...string) uint32 {
	slot := s.Facets.Next()
	s.last++
	at := time.Date(2026, 1, 1, 0, 0, int(s.last), 0, time.UTC)
	s.Facets.Put(facet.Entry{Slot: slot, Ordinal: memory.Ordinal(s.last), Version: 1, Kind: memory.KindEpisode, Born: memory.LSN(s.last), Stored: at, Tags: tags})
	s.Words.Put(slot, s.Analyzer.Analyze("", words))
	if v != nil {
		s.flat.Put(slot, v)
	}
	return slot
}

func (s *shelf) run(t testing.TB, c memory.Cue, named ...uint32) Answer {
	t.Helper()
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	a, err := Run(context.Background(), s.Indexes, Question{Cue: &c, View: memory.LSN(s.last), Now: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), Named: named, Limit: c.Limit})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func slots(a Answer) []uint32 {
	var l []uint32
	for _, r := range a.Ranked {
		l = append(l, r.Slot)
	}
	return l
}

// TestOneLeg: alone, a leg scores as it is; a leg that is switched off says nothing.
func TestOneLeg(t *testing.T) {
	s := newShelf(t, memory.MetricDot)
	a := s.put("red apple", []float32{1, 0})
	b := s.put("green apple and pear", []float32{2, 0})
	c := s.put("plum", []float32{-1, 0})
	for name, x := range map[string]struct {
		cue   memory.Cue
		named []uint32
		want  []uint32
	}{
		"text":              {memory.Cue{Text: "apple"}, nil, []uint32{a, b}},
		"vector":            {memory.Cue{Vector: []float32{1, 0}}, nil, []uint32{b, a, c}},
		"text off":          {memory.Cue{Text: "apple", Vector: []float32{1, 0}, Stages: memory.Stages{NoText: true}}, nil, []uint32{b, a, c}},
		"vector off":        {memory.Cue{Text: "apple", Vector: []float32{1, 0}, Stages: memory.Stages{NoVector: true}}, nil, []uint32{a, b}},
		"both off":          {memory.Cue{Text: "apple", Vector: []float32{1, 0}, Stages: memory.Stages{NoText: true, NoVector: true}}, nil, nil},
		"nothing said":      {memory.Cue{Text: "violin"}, nil, nil},
		"one leg is silent": {memory.Cue{Text: "violin", Vector: []float32{1, 0}}, nil, []uint32{b, a, c}},
		"limit":             {memory.Cue{Vector: []float32{1, 0}, Limit: 1}, nil, []uint32{b}},
		"named":             {memory.Cue{IDs: []memory.ID{"x"}, Text: "apple"}, []uint32{c}, []uint32{c, a, b}},
		"named above all":   {memory.Cue{IDs: []memory.ID{"x"}, Vector: []float32{1e30, 0}}, []uint32{c}, []uint32{c, b, a}},
		"named twice":       {memory.Cue{IDs: []memory.ID{"x"}, Text: "apple"}, []uint32{b, b}, []uint32{b, a}},
		"recent":            {memory.Cue{Mode: memory.ModeRecent}, nil, []uint32{c, b, a}},
		"recent by text":    {memory.Cue{Mode: memory.ModeRecent, Text: "apple"}, nil, []uint32{b, a}},
		"recent by vector":  {memory.Cue{Mode: memory.ModeRecent, Vector: []float32{1, 0}}, nil, []uint32{c, b, a}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := slots(s.run(t, x.cue, x.named...)); !slices.Equal(got, x.want) {
				t.Errorf("got %v, want %v", got, x.want)
			}
		})
	}
	if got := s.run(t, memory.Cue{Text: "apple"}); got.Ranked[0].Score != got.Ranked[0].Parts[0].Value || got.Exact || got.Compared != 0 {
		t.Errorf("%+v", got)
	}
}

// TestBothLegs: a memory that both legs know is above one that only one does; the
// scores are weighted z-scores, so they sum to nothing over the candidates.
func TestBothLegs(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	both := s.put("otter", []float32{1, 0.1})
	word := s.put("otter", []float32{-1, 0})
	near := s.put("plum", []float32{1, 0})
	bare := s.put("otter otter", nil)
	a := s.run(t, memory.Cue{Text: "otter", Vector: []float32{1, 0}, Explain: true})
	if len(a.Ranked) != 4 || a.Ranked[0].Slot != both || !a.Exact || a.Compared != 3 {
		t.Fatalf("%+v", a)
	}
	sum := 0.0
	for _, r := range a.Ranked {
		sum += r.Score
		if r.Slot == near && r.Parts[0].Note != "" || r.Slot != near && r.Parts[0].Note != "otter" {
			t.Errorf("slot %d: %+v", r.Slot, r.Parts)
		}
		if r.Slot == bare && r.Parts[1].Value >= 0 {
			t.Errorf("a memory without a vector counts as the farthest: %+v", r.Parts)
		}
	}
	if math.Abs(sum) > 1e-9 {
		t.Errorf("z-scores sum to %v", sum)
	}
	_ = word
}

// TestFilterHolds: whatever the cue, nothing comes back that the filter does not
// let through, and with room for all every memory that matches does.
func TestFilterHolds(t *testing.T) {
	s := newShelf(t, memory.MetricL2)
	tagged := make(map[uint32]bool)
	for i := range 60 {
		tag := fmt.Sprint("t", i%3)
		slot := s.put(fmt.Sprintf("otter %d", i), []float32{float32(i), 1}, tag)
		tagged[slot] = tag == "t1"
	}
	s.Facets.Suppress(2, true, 61) // of tag t1
	s.last++
	rapid.Check(t, func(rt *rapid.T) {
		c := memory.Cue{Filter: memory.Filter{Tags: []string{"t1"}}, Limit: rapid.IntRange(1, 40).Draw(rt, "limit")}
		if rapid.Bool().Draw(rt, "text") {
			c.Text = "otter"
		}
		if rapid.Bool().Draw(rt, "vector") {
			c.Vector = []float32{rapid.Float32Range(-100, 100).Draw(rt, "x"), 0}
		}
		a := s.run(t, c)
		if len(a.Ranked) != min(c.Limit, 19) {
			rt.Fatalf("%d results for a limit of %d, of 19", len(a.Ranked), c.Limit)
		}
		for _, r := range a.Ranked {
			if !tagged[r.Slot] || r.Slot == 1 {
				rt.Fatalf("slot %d came through", r.Slot)
			}
		}
	})
}

// TestOutOfTime: a question whose time is over answers with what it has, and says so.
func TestOutOfTime(t *testing.T) {
	s := newShelf(t, memory.MetricDot)
	for range 3000 {
		s.put("otter", []float32{1, 0})
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	c := memory.Cue{Text: "otter", Vector: []float32{1, 0}, Limit: 10}
	a, err := Run(over, s.Indexes, Question{Cue: &c, View: memory.LSN(s.last), Limit: 10})
	if err != nil || !a.Partial || a.Exact || len(a.Ranked) != 10 {
		t.Errorf("%v partial=%v exact=%v of %d", err, a.Partial, a.Exact, len(a.Ranked))
	}
}

// TestEnormousNumbers: scores stay finite where the vectors' numbers do not allow
// it, so that they can be compared and written down.
func TestEnormousNumbers(t *testing.T) {
	for _, metric := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		s := newShelf(t, metric)
		for _, v := range [][]float32{{3e38, 3e38}, {-3e38, 3e38}, {3e38, -3e38}, {1, 0}, {1e-40, 1e-40}} {
			s.put("otter", v)
		}
		for _, q := range [][]float32{{3e38, 3e38}, {3e38, -3e38}, {1, 1}} {
			for _, c := range []memory.Cue{{Vector: q}, {Vector: q, Text: "otter"}} {
				for _, r := range s.run(t, c, 3).Ranked {
					if math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
						t.Errorf("%s of %v: slot %d scores %v", metric, q, r.Slot, r.Score)
					}
				}
			}
		}
	}
}

// TestFusedScores: what a leg has found is not asked for its score again, and fused with
// the score that it would be given.
func TestFusedScores(t *testing.T) {
	for _, metric := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		rapid.Check(t, func(rt *rapid.T) {
			s := newShelf(t, metric)
			words := []string{"apple", "pear", "plum"}
			for range rapid.IntRange(1, 600).Draw(rt, "memories") { // more than a leg finds
				text := ""
				for range rapid.IntRange(1, 4).Draw(rt, "words") {
					text += rapid.SampledFrom(words).Draw(rt, "word") + " "
				}
				var v []float32
				if rapid.IntRange(0, 3).Draw(rt, "has a vector") > 0 {
					v = []float32{rapid.Float32Range(-1, 1).Draw(rt, "x"), rapid.Float32Range(0.1, 1).Draw(rt, "y")}
				}
				s.put(text, v)
			}
			cue := memory.Cue{Text: "pear plum", Vector: []float32{0.3, 0.7}, Mode: memory.ModeSimilar, Limit: 10}
			r := run{Indexes: s.Indexes, Question: Question{Cue: &cue, View: memory.LSN(s.last), Limit: 10}}
			r.filter()
			r.byText()
			r.byVector(t.Context())
			slots, place := r.union()
			if got, want := r.wordScores(slots), r.Words.Scores(r.query, slots); !slices.Equal(got, want) {
				rt.Fatalf("%s: by words %v, want %v", metric, got, want)
			}
			got, want := r.nearScores(slots, place), r.Vectors.Scores(r.Cue.Vector, slots)
			if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
				rt.Fatalf("%s: by the vector %v, want %v", metric, got, want)
			}
		})
	}
}
