package quality

import (
	"fmt"
	"math/rand/v2"
)

// Paired is how much higher a metric is in a than in b, in percent points, with the
// 95 % interval of the difference: both were asked the same questions in the same
// order, so the questions are drawn in pairs, and what makes a question hard for
// both does not widen the interval.
func Paired(a, b *Report, metric string) (Metric, error) {
	xs, ys := a.values[metric], b.values[metric]
	if len(xs) == 0 || len(xs) != len(ys) {
		return Metric{}, fmt.Errorf("%s has %d values and %d: no pairs", metric, len(xs), len(ys))
	}
	less := make([]float64, len(xs))
	for i := range xs {
		less[i] = xs[i] - ys[i]
	}
	low, high := interval(rand.New(rand.NewPCG(bootSeed, 0)), less)
	return Metric{Name: metric, Mean: 100 * mean(less), Low: 100 * low, High: 100 * high, N: len(less)}, nil
}

// Metric is one of Metrics by its name; the zero value when nothing was counted for it.
func (r *Report) Metric(name string) Metric {
	xs := r.values[name]
	if len(xs) == 0 {
		return Metric{Name: name}
	}
	low, high := interval(rand.New(rand.NewPCG(bootSeed, 0)), xs)
	return Metric{Name: name, Mean: 100 * mean(xs), Low: 100 * low, High: 100 * high, N: len(xs)}
}
