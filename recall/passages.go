package recall

import (
	"context"
	"errors"
	"slices"

	"github.com/engramdb/engram/ann"
)

// A memory whose text is longer than its model reads has vectors of its passages
// (ann.Passages), and is as near to a cue as the nearest of them.

func (r *run) hasPassages() bool {
	n, _ := r.Passages.Len()
	return n > 0
}

// byPassage adds what is near by its passages to what is near as a whole.
func (r *run) byPassage(ctx context.Context) {
	if !r.hasPassages() || len(r.Cue.Vector) == 0 || r.Cue.Stages.NoVector || r.err != nil || r.answer.Partial {
		return
	}
	found, err := r.Passages.Find(ctx, r.Cue.Vector, r.candidates(), r.allow, searchOf(r.Cue.Exact, r.candidates()))
	r.answer.Compared += found.Compared
	r.answer.Exact = r.answer.Exact && found.Exact
	if err != nil {
		if r.answer.Partial = errors.Is(err, ctx.Err()); !r.answer.Partial {
			r.err = err
		}
		return
	}
	at := make(map[uint32]int, len(r.near))
	for i, h := range r.near {
		at[h.Slot] = i
	}
	for _, h := range found.Hits {
		if i, ok := at[h.Slot]; ok {
			r.near[i].Score = max(r.near[i].Score, h.Score)
		} else {
			r.near = append(r.near, ann.Hit{Slot: h.Slot, Score: h.Score})
		}
	}
	slices.SortFunc(r.near, func(a, b ann.Hit) int {
		switch {
		case a.Score > b.Score || a.Score == b.Score && a.Slot < b.Slot:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	r.near = r.near[:min(len(r.near), r.candidates())]
}

// nearness is how near memories are to a vector, NaN for one without any.
func (r *run) nearness(q []float32, slots []uint32) []float64 {
	scores := r.Vectors.Scores(q, slots)
	if r.hasPassages() {
		r.Passages.Raise(q, slots, scores)
	}
	return scores
}

// cite gives the results their passages, by which a caller can tell what in a long text
// was meant.
func (r *run) cite() {
	if !r.hasPassages() || len(r.near) == 0 {
		return
	}
	for i := range r.answer.Ranked {
		x := &r.answer.Ranked[i]
		x.Passages = r.Passages.Of(r.Cue.Vector, x.Slot)
	}
}
