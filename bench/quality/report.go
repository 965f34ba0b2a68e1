package quality

import (
	"math/rand/v2"
	"sort"
)

// resamples and bootSeed fix the intervals: the same values give the same ones.
const (
	resamples = 1000
	bootSeed  = 7
)

// Report gathers the values of metrics, question by question.
type Report struct {
	order  []string
	values map[string][]float64
}

// NewReport makes an empty one.
func NewReport() *Report { return &Report{values: map[string][]float64{}} }

// Add counts one question's value, 0 to 1, for a metric.
func (r *Report) Add(metric string, value float64) {
	if _, ok := r.values[metric]; !ok {
		r.order = append(r.order, metric)
	}
	r.values[metric] = append(r.values[metric], value)
}

// Metric is the mean of a metric in percent, with its 95 % interval.
type Metric struct {
	Name            string
	Mean, Low, High float64
	N               int
}

// Metrics lists the means in the order in which metrics were first added.
func (r *Report) Metrics() []Metric {
	rng := rand.New(rand.NewPCG(bootSeed, 0))
	var ms []Metric
	for _, name := range r.order {
		xs := r.values[name]
		low, high := interval(rng, xs)
		ms = append(ms, Metric{Name: name, Mean: 100 * mean(xs), Low: 100 * low, High: 100 * high, N: len(xs)})
	}
	return ms
}

// interval draws as many questions as there are, with putting back, again and
// again; 95 % of the means lie between the two.
func interval(rng *rand.Rand, xs []float64) (low, high float64) {
	means := make([]float64, resamples)
	for i := range means {
		sum := 0.0
		for range xs {
			sum += xs[rng.IntN(len(xs))]
		}
		means[i] = sum / float64(len(xs))
	}
	sort.Float64s(means)
	return means[resamples*25/1000], means[resamples*975/1000]
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
