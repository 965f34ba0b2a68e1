package recall

import (
	"math"
	"testing"

	"github.com/engramdb/engram/memory"
)

// TestRecognise: what is there word for word is fully familiar, what nothing is like not
// at all, and a rare word that is missing takes more away than a common one.
func TestRecognise(t *testing.T) {
	for _, metric := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		s := newShelf(t, metric)
		s.put("red apple pie", []float32{2, 0})
		s.put("green apple", []float32{0, 2})
		s.put("apple tree", nil)
		ask := func(c memory.Cue) float64 {
			t.Helper()
			c.Mode = memory.ModeRecognise
			a := s.run(t, c)
			parted(t, a)
			if len(a.Ranked) == 0 {
				return 0
			}
			return a.Ranked[0].Score
		}
		same := ask(memory.Cue{Text: "red apple pie", Vector: []float32{2, 0}})
		half := ask(memory.Cue{Text: "red apple pie", Vector: []float32{0, -2}})
		part := ask(memory.Cue{Text: "red apple violin", Vector: []float32{2, 0}})
		none := ask(memory.Cue{Text: "violin", Vector: []float32{-2, 0}})
		if math.Abs(same-1) > 1e-6 || !(part < same && part > none) || half < 0.5-1e-6 || half > 0.8 || none > 1e-6 {
			t.Errorf("%s: %v, %v, %v, %v", metric, same, half, part, none)
		}
		if words := ask(memory.Cue{Text: "red apple pie"}); math.Abs(words-1) > 1e-6 {
			t.Errorf("words alone: %v", words)
		}
		if meaning := ask(memory.Cue{Vector: []float32{0, 2}}); math.Abs(meaning-1) > 1e-6 {
			t.Errorf("meaning alone: %v", meaning)
		}
		if rare, common := ask(memory.Cue{Text: "apple violin"}), ask(memory.Cue{Text: "green violin"}); rare >= common {
			t.Errorf("a common word known: %v, a rare one: %v", rare, common)
		}
	}
}
