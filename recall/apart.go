package recall

import (
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// To a transformer every text is somewhat near to every other, and those of one space more
// so: they have speakers, a subject, a style in common. What says little else is near to
// that, and so to every cue: "Thanks, Caroline!" to whatever is asked of Caroline. So where words
// and vectors are joined, a share of the mean of the vectors is taken off the cue's, and
// what counts is what sets a memory apart. The share is how alike they are, the mean of
// their cosines with each other: 0.4 for the turns of a conversation, 0.04 for paragraphs
// of an encyclopedia, whose mean means nothing. It costs no index, for a few memories tell
// mean and share well enough.

// commonOf is of how many memories the mean is at most. Of all, or of 32, it finds as much.
const commonOf = 128

// apart is the cue's vector, at length 1, without what the memories among which the
// candidates lie have in common; nil where that is nothing. Products and distances of
// other lengths know no such share.
func (r *run) apart(candidates []uint32) []float32 {
	if !r.Weights.Apart || r.Metric != memory.MetricCosine {
		return nil
	}
	sum := make([]float32, len(r.Cue.Vector))
	n := float64(r.Vectors.Sum(sum, r.among(candidates)))
	if n < 2 {
		return nil
	}
	alike := (vector.DotWide(sum, sum) - n) / (n * (n - 1)) // each is 1 with itself, which does not count
	if !(alike > 0) {
		return nil
	}
	q := make([]float32, len(sum))
	vector.Normalize(q, r.Cue.Vector)
	share := float32(alike / n)
	for i, x := range sum {
		q[i] -= float32(share * x) // the conversion keeps compilers from fusing the two, which not all platforms do
	}
	return q
}

// commonLooked is how many memories are looked at for one that has a vector.
const commonLooked = 16

// among are commonOf memories with vectors or up to about half of that fewer, evenly drawn
// from the oldest candidate to the latest by their numbers: these a memory keeps,
// so that an index that is built anew gives the same answer. Fewer memories are all of them.
func (r *run) among(candidates []uint32) []uint32 {
	first, last := r.Facets.Ordinal(candidates[0]), memory.Ordinal(0)
	for _, slot := range candidates {
		o := r.Facets.Ordinal(slot)
		first, last = min(first, o), max(last, o)
	}
	step := memory.Ordinal(1)
	for last/step-first/step >= commonOf {
		step *= 2
	}
	slots := make([]uint32, 0, commonOf)
	for o := first - first%step; o <= last; o += step {
		for i := range min(step, commonLooked) {
			if slot, ok := r.Facets.Live(o + i); ok && r.Vectors.Has(slot) {
				slots = append(slots, slot)
				break
			}
		}
	}
	return slots
}
