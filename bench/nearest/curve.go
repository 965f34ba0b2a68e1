package nearest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Point is what one effort gave.
type Point struct {
	Effort Effort
	Recall float64
	Each   float64 // queries a second, one a call
	Block  float64 // all in one call; 0 where that is not possible
}

// Rate is the better of the two.
func (p Point) Rate() float64 { return max(p.Each, p.Block) }

// Curve is an engine on a set.
type Curve struct {
	Engine, Codes, Version string
	Built                  Built
	Points                 []Point
	Failed                 string // why there is nothing
	Note                   string
}

// enough is the recall beyond which no effort is added.
const enough = 0.997

// Compare builds every engine's index of a set and runs all, interleaved, in so
// many rounds. An engine that fails is in the answer with the reason. then, when it
// is not nil, is called while the indexes stand.
func Compare(ctx context.Context, s *Set, engines []Engine, rounds int, least time.Duration, say func(string, ...any), then func([]*Curve) error) (curves []*Curve, err error) {
	var started []Engine
	defer func() {
		for _, e := range started {
			err = errors.Join(err, e.Close())
		}
	}()
	var runs []*timing
	for _, e := range engines {
		say("%s: building %s", s.Name, e.Name())
		c := &Curve{Engine: e.Name(), Codes: e.Codes()}
		curves, started = append(curves, c), append(started, e)
		built, err := e.Build(ctx, s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			c.Failed = err.Error()
			continue
		}
		c.Built, c.Version = built, e.Version()
		say("%s: %s in %.1f s, %d MB", s.Name, e.Name(), built.Took.Seconds(), built.Bytes>>20)
		if err := c.efforts(ctx, s, e); err != nil {
			c.Failed = err.Error()
			continue
		}
		for i := range c.Points {
			runs = append(runs, &timing{engine: e, point: &c.Points[i]})
		}
	}
	say("%s: timing %d points in %d rounds", s.Name, len(runs), rounds)
	for range rounds {
		for _, r := range runs {
			if err := r.round(ctx, least); err != nil {
				return nil, fmt.Errorf("%s: %w", r.engine.Name(), err)
			}
		}
	}
	for _, r := range runs {
		r.point.Each, r.point.Block = median(r.each), median(r.block)
	}
	if then != nil {
		return curves, then(curves)
	}
	return curves, nil
}

// efforts finds the recall of each effort, from the least one, until it is enough.
func (c *Curve) efforts(ctx context.Context, s *Set, e Engine) error {
	full := 0 // the second number of the efforts that are done with
	for _, effort := range e.Efforts() {
		if len(effort) > 1 && effort[1] == full {
			continue
		}
		ids, err := e.IDs(ctx, effort)
		if err != nil {
			return err
		}
		p := Point{Effort: effort, Recall: s.recall(s.Queries, s.Truth, ids)}
		c.Points = append(c.Points, p)
		switch {
		case p.Recall < enough:
		case len(effort) > 1:
			full = effort[1]
		default:
			return nil
		}
	}
	return nil
}

// timing collects the rounds of one point.
type timing struct {
	engine      Engine
	point       *Point
	each, block []float64
}

func (t *timing) round(ctx context.Context, least time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	each, block, err := t.engine.Time(ctx, t.point.Effort, least)
	t.each, t.block = append(t.each, each), append(t.block, block)
	return err
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	xs = slices.Sorted(slices.Values(xs))
	return (xs[len(xs)/2] + xs[(len(xs)-1)/2]) / 2
}

// Frontier gives the points that no other beats in both recall and rate, by
// recall.
func (c *Curve) Frontier() []Point {
	ps := slices.Clone(c.Points)
	slices.SortFunc(ps, func(a, b Point) int {
		return cmp.Or(cmp.Compare(b.Recall, a.Recall), cmp.Compare(b.Rate(), a.Rate()))
	})
	var best []Point
	for _, p := range ps {
		if len(best) == 0 || p.Rate() > best[len(best)-1].Rate() {
			best = append(best, p)
		}
	}
	slices.Reverse(best)
	return best
}

// At gives the queries a second at a recall, between two points on a straight
// line in the logarithm of the rate. When even the least effort has more recall,
// it is that one's rate, a lower bound (floor); when none reaches it, 0.
func (c *Curve) At(recall float64) (rate float64, floor bool) {
	ps := c.Frontier()
	i := slices.IndexFunc(ps, func(p Point) bool { return p.Recall >= recall })
	switch {
	case i < 0:
		return 0, false
	case i == 0:
		return ps[0].Rate(), ps[0].Recall > recall
	}
	a, b := ps[i-1], ps[i]
	share := (recall - a.Recall) / (b.Recall - a.Recall)
	return math.Exp(math.Log(a.Rate())*(1-share) + math.Log(b.Rate())*share), false
}
