package recall

import (
	"context"
	"math"
	"sort"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/text"
)

// Recognition asks whether something is familiar, not what it brings back. Its measure is
// absolute, where recall's scores only order one answer: how like the cue the best match
// is, between 0 (nothing of it is known) and 1 (it is there word for word). See the
// package doc's "Recognition".

// FamiliarFrom is the familiarity from which on a cue is familiar. See DESIGN.md for what
// it was chosen on.
const FamiliarFrom = 0.44

// recognise ranks the candidates by how like the cue they are.
func (r *run) recognise(ctx context.Context) {
	r.byText()
	r.byVector(ctx)
	r.byPassage(ctx)
	slots, _ := r.union()
	words, meaning := r.covered(slots), r.alike(slots)
	for i, slot := range slots {
		x := Ranked{Slot: slot}
		x.Score, x.Parts = familiarity(words[i], meaning[i], r.hasWords(), r.hasMeaning())
		r.answer.Ranked = append(r.answer.Ranked, x)
	}
	sort.SliceStable(r.answer.Ranked, func(i, j int) bool {
		a, b := r.answer.Ranked[i], r.answer.Ranked[j]
		return a.Score > b.Score || a.Score == b.Score && a.Slot < b.Slot
	})
	r.answer.Ranked = r.answer.Ranked[:min(len(r.answer.Ranked), r.Limit)]
	r.explain()
	r.cite()
}

func (r *run) hasWords() bool { return len(r.query.Terms) > 0 }
func (r *run) hasMeaning() bool {
	return r.Vectors != nil && len(r.Cue.Vector) > 0 && !r.Cue.Stages.NoVector
}

// familiarity is the mean of what words and meaning say; of one of them alone, when the
// cue or the space has not the other.
func familiarity(words, meaning float64, hasWords, hasMeaning bool) (float64, []Part) {
	w, m := 0.5, 0.5
	switch {
	case !hasMeaning:
		w, m = 1, 0
	case !hasWords:
		w, m = 0, 1
	}
	var parts []Part
	if w > 0 {
		parts = append(parts, Part{Stage: "text", Value: w * words})
	}
	if m > 0 {
		parts = append(parts, Part{Stage: "vector", Value: m * meaning})
	}
	return w*words + m*meaning, parts
}

// covered is how much of what the cue says each slot says too: the share of the cue's
// information, each word counting as much as it is rare here (its IDF). A word that no
// memory has counts the most.
func (r *run) covered(slots []uint32) []float64 {
	shares := make([]float64, len(slots))
	total := 0.0
	docs := float64(r.Words.Stats().Docs)
	for _, t := range r.query.Terms {
		df := float64(r.Words.Frequency(text.Query{Terms: []text.Term{t}}))
		total += math.Log(1 + (docs-df+0.5)/(df+0.5))
	}
	if total == 0 {
		return shares
	}
	for i, slot := range slots {
		for _, t := range r.Words.Explain(r.query, slot) {
			shares[i] += t.IDF
		}
		shares[i] = min(1, shares[i]/total)
	}
	return shares
}

// alike is how near the cue's vector each slot's is, 0 to 1: the cosine; under the inner
// product and the distance, 1 for the cue's own vector and 0 for one that is as far as
// none (the zero vector).
func (r *run) alike(slots []uint32) []float64 {
	if !r.hasMeaning() {
		return make([]float64, len(slots))
	}
	near := r.nearness(r.Cue.Vector, slots)
	length := 0.0
	for _, x := range r.Cue.Vector {
		length += float64(x) * float64(x)
	}
	for i, x := range near {
		switch r.Metric {
		case memory.MetricDot:
			x /= length
		case memory.MetricL2:
			x = 1 + x/length
		}
		if math.IsNaN(x) {
			x = 0
		}
		near[i] = min(1, max(0, x))
	}
	return near
}
