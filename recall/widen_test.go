package recall

import (
	"slices"
	"testing"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
)

// pairs is a thesaurus of what it was told.
type pairs map[string][]embed.Neighbour

func (p pairs) Near(class string, n int) []embed.Neighbour { return p[class][:min(n, len(p[class]))] }

// TestWidening: a near word finds what the cue's own does not, below what holds that, and
// explain tells by which; it is a stage that can be switched off, and listings are exact.
func TestWidening(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	far := s.put("an automobile at the pier", nil)
	own := s.put("a car at the pier", nil)
	s.put("a boat at the quay", nil)
	s.Thesaurus = pairs{"car": {{Word: "automobil", Weight: 0.5}, {Word: "unheard", Weight: 0.7}}}
	a := s.run(t, memory.Cue{Text: "cars", Explain: true})
	if got := slots(a); !slices.Equal(got, []uint32{own, far}) {
		t.Fatalf("found %v", got)
	}
	if a, b := a.Ranked[0].Parts[0].Note, a.Ranked[1].Parts[0].Note; a != "car" || b != "car~automobil" {
		t.Errorf("explained by %q and %q", a, b)
	}
	for name, c := range map[string]memory.Cue{
		"switched off": {Text: "cars", Stages: memory.Stages{NoWidening: true}},
		"a listing":    {Text: "cars", Mode: memory.ModeRecent},
	} {
		if got := slots(s.run(t, c)); !slices.Equal(got, []uint32{own}) {
			t.Errorf("%s: found %v", name, got)
		}
	}
	s.Thesaurus = nil
	if got := slots(s.run(t, memory.Cue{Text: "cars"})); !slices.Equal(got, []uint32{own}) {
		t.Errorf("without a thesaurus: found %v", got)
	}
}

// TestWidenedFusion: the words' leg of a fused score is the widened one.
func TestWidenedFusion(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	s.Thesaurus = pairs{"car": {{Word: "automobil", Weight: 0.5}}}
	near := s.put("an automobile", []float32{1, 0})
	s.put("a boat", []float32{1, 0})
	s.put("a car", []float32{-1, 0})
	a := s.run(t, memory.Cue{Text: "car", Vector: []float32{1, 0}, Explain: true})
	if a.Ranked[0].Slot != near || a.Ranked[0].Parts[0].Stage != "text" || a.Ranked[0].Parts[0].Value <= 0 {
		t.Errorf("%+v", a.Ranked)
	}
}

// TestWeights: a question may bring its own.
func TestWeights(t *testing.T) {
	s := newShelf(t, memory.MetricCosine)
	word := s.put("otter", []float32{-1, 0})
	near := s.put("plum", []float32{1, 0})
	s.put("pear", []float32{0, 1})
	for _, x := range []struct {
		weights Weights
		first   uint32
	}{{Weights{Text: 1}, word}, {Weights{Vector: 1}, near}, {Weights{Text: 3, Vector: 1}, word}, {Weights{Text: 1, Vector: 3}, near}} {
		c := memory.Cue{Text: "otter", Vector: []float32{1, 0}}
		if err := c.Normalize(); err != nil {
			t.Fatal(err)
		}
		a, err := Run(t.Context(), s.Indexes, Question{Cue: &c, View: memory.LSN(s.last), Limit: 3, Weights: x.weights})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Ranked[0].Slot; got != x.first {
			t.Errorf("with %+v slot %d is first, want %d", x.weights, got, x.first)
		}
	}
}
