package recall

import (
	"math"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/embed"
)

// weights are what the question says; else those of the mode, for likeness alone what the
// space's model says of its vectors.
func (r *run) weights() Weights {
	switch {
	case r.Weights != (Weights{}):
		return r.Weights
	case r.associates():
		return AssociativeWeights
	case r.Fusion != (embed.Fusion{}):
		words := 1 / (1 + r.Fusion.Vector)
		return Weights{Text: words, Vector: 1 - words, Space: r.Fusion.Space}
	}
	return SimilarWeights
}

// sampleMost is how many memories stand for those that are no candidates: the mean of a
// leg is known to 3 % of its deviation, and the deviation to 2 %.
const sampleMost = 1000

// sample draws memories that the filter lets through and that are no candidates, evenly
// over the slots, and says how many each stands for. With few memories it is all of them.
func (r *run) sample(candidates []uint32) (slots []uint32, each float64) {
	if !r.Weights.Space {
		return nil, 0
	}
	known := bitset.New(r.allowed.Len())
	for _, slot := range candidates {
		known.Set(uint(slot))
	}
	left := r.allowed.DifferenceCardinality(known)
	if left == 0 {
		return nil, 0
	}
	step := 1.0
	if left > sampleMost {
		step = float64(r.allowed.Len()) / sampleMost
	}
	last := uint(0)
	for at := 0.0; ; at = max(at+step, float64(last+1)) {
		slot, ok := r.allowed.NextSet(uint(at))
		if !ok {
			break
		}
		if last = slot; !known.Test(slot) {
			slots = append(slots, uint32(slot))
		}
	}
	return slots, float64(left) / float64(max(1, len(slots)))
}

// standardise turns the scores of n candidates, the first of xs, into z-scores in place. The
// rest are of a sample, and each counts as so many. NaN is the lowest score; in the sample
// it counts for nothing.
func standardise(xs []float64, n int, each float64) []float64 {
	lowest := math.Inf(1)
	for _, x := range xs {
		if x < lowest {
			lowest = x
		}
	}
	weight := func(i int) float64 {
		switch {
		case i < n:
			return 1
		case math.IsNaN(xs[i]):
			return 0
		}
		return each
	}
	sum, count := 0.0, 0.0
	for i, x := range xs {
		if w := weight(i); w > 0 {
			if math.IsNaN(x) {
				x = lowest
			}
			xs[i] = finite(x)
			sum, count = sum+w*xs[i], count+w
		}
	}
	mean := sum / count
	square := 0.0
	for i, x := range xs {
		if w := weight(i); w > 0 {
			square += w * (x - mean) * (x - mean)
		}
	}
	deviation := math.Sqrt(square / count)
	xs = xs[:n]
	for i, x := range xs {
		xs[i] = 0
		if deviation > 0 {
			xs[i] = max((x-mean)/deviation, lowestZ)
		}
	}
	return xs
}
