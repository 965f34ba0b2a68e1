package text

import (
	"fmt"
	"math"
	"testing"
)

// TestNear: a neighbour stands in for a term, by its weight and with the term's idf; both together count as the better.
func TestNear(t *testing.T) {
	a := analyzer(t, "en")
	x := NewIndex(Params{})
	for doc, words := range []string{"car of mine", "automobile of mine", "car automobile mine", "boat of mine", "automobile automobile automobile"} {
		x.Put(uint32(doc), a.Analyze("", words))
	}
	q := a.Query("car")
	q.Near = [][]Near{{{Text: a.Stem("automobile"), Weight: 0.5}, {Text: a.Stem("coach"), Weight: 0.7}}}
	scores := x.Scores(q, []uint32{0, 1, 2, 3, 4})
	bare := x.Scores(a.Query("car"), []uint32{0, 1, 2, 3, 4})
	if scores[0] != bare[0] || scores[2] != bare[2] {
		t.Errorf("who holds the term scores %v and %v, want %v and %v as without neighbours", scores[0], scores[2], bare[0], bare[2])
	}
	if !(scores[1] > 0 && scores[1] < scores[0]) || scores[3] != 0 || !(scores[4] > scores[1]) {
		t.Errorf("scores %v", scores)
	}
	part := x.Explain(q, 1)
	if len(part) != 1 || part[0].Term != "car" || part[0].By != a.Stem("automobile") || part[0].Count != 1 || part[0].Docs != 2 || math.Abs(part[0].Score-scores[1]) > 1e-12 {
		t.Errorf("the part is %+v", part)
	}
	if part := x.Explain(q, 2); len(part) != 1 || part[0].By != "" {
		t.Errorf("by %+v where the term itself stands", part)
	}
	if hits := x.Search(q, SearchOptions{}); len(hits) != 4 {
		t.Errorf("hits %v", hits)
	}
}

// TestNearOfNothing: weights that are none count nothing, and those above 1 count 1.
func TestNearOfNothing(t *testing.T) {
	a := analyzer(t, "en")
	x := NewIndex(Params{})
	x.Put(1, a.Analyze("", "automobile"))
	for weight, found := range map[float64]bool{0: false, -1: false, math.NaN(): false, 0.1: true, 7: true} {
		q := a.Query("car")
		q.Near = [][]Near{{{Text: a.Stem("automobile"), Weight: weight}}}
		if got := len(x.Search(q, SearchOptions{})) == 1; got != found {
			t.Errorf("weight %v finds: %v", weight, got)
		}
		if got := len(x.Explain(q, 1)) == 1; got != found {
			t.Errorf("weight %v is told of: %v", weight, got)
		}
	}
}

func TestStem(t *testing.T) {
	a := analyzer(t, "en")
	for word, want := range map[string]string{"telescopes": "telescop", "the": "", "": "", "  ": "", "it's": "", "Café": "cafe", "snake_case": ""} {
		if got := a.Stem(word); got != want {
			t.Errorf("the stem of %q is %q, want %q", word, got, want)
		}
	}
}

// BenchmarkSearchNear asks BenchmarkSearch's questions with 15 neighbours a term.
func BenchmarkSearchNear(b *testing.B) {
	x, a, c := benchIndex(), analyzer(b, "en"), newCorpus(3)
	for _, n := range []int{0, 5, 15} {
		queries := make([]Query, 1000)
		for i := range queries {
			queries[i] = a.Query(c.question())
			for range queries[i].Terms {
				var near []Near
				for len(near) < n {
					for _, t := range a.Query(c.question()).Terms {
						near = append(near, Near{t.Text, 0.3})
					}
				}
				queries[i].Near = append(queries[i].Near, near[:n])
			}
		}
		b.Run(fmt.Sprintf("near=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				x.Search(queries[i%len(queries)], SearchOptions{})
			}
		})
	}
}
