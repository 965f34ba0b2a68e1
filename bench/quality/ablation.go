package quality

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/engramdb/engram/memory"
)

// Variant is a way of asking: all questions are asked with it.
type Variant struct {
	Name   string
	Change func(*memory.Cue)
}

// Set is one of the sets of questions, as Locomo, Hotpot and NPL.
type Set func(ctx context.Context, e Engine, file string, rep *Report) error

// Ablate asks a set's questions in every variant of memories that are stored once, and
// gives a report for each.
func Ablate(ctx context.Context, e Engine, ask Set, file string, vs []Variant) ([]*Report, error) {
	reports := make([]*Report, len(vs))
	for i, v := range vs {
		reports[i] = NewReport()
		if err := ask(ctx, varied{e, v, i > 0}, file, reports[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	return reports, nil
}

// varied is an engine that is asked in one way.
type varied struct {
	Engine
	Variant
	stored bool // by an earlier variant
}

// Remember implements Engine.
func (v varied) Remember(ctx context.Context, space string, es []memory.Episode) error {
	if v.stored {
		return nil
	}
	return v.Engine.Remember(ctx, space, es)
}

// Recall implements Engine.
func (v varied) Recall(ctx context.Context, space string, c memory.Cue) ([]memory.ID, error) {
	if v.Change != nil {
		v.Change(&c)
	}
	return v.Engine.Recall(ctx, space, c)
}

// Gain is how much higher a metric is in a than in b, in percent points, with the 95 %
// interval of the mean of the differences, question by question: both were asked the
// same questions in the same order. False when they have not the same questions.
func Gain(a, b *Report, metric string) (Metric, bool) {
	xs, ys := a.values[metric], b.values[metric]
	if len(xs) == 0 || len(xs) != len(ys) {
		return Metric{}, false
	}
	differences := make([]float64, len(xs))
	for i := range xs {
		differences[i] = xs[i] - ys[i]
	}
	low, high := interval(rand.New(rand.NewPCG(bootSeed, 0)), differences)
	return Metric{Name: metric, Mean: 100 * mean(differences), Low: 100 * low, High: 100 * high, N: len(xs)}, true
}
