package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/record"
)

// arm is one of two ways to do the same, which are compared.
type arm struct {
	name   string
	do     func(ctx context.Context, i int) error // operation i; they are the same for both arms
	settle func(ctx context.Context) error        // waits until nothing is left to do behind it
	db     *engram.DB
}

// The load under which arms are compared: what comes from many callers who do not wait for
// each other. Turns are short, so that what else happens on the machine hits both alike.
const (
	turnRate    = 200 // operations a second, Poisson
	turnLength  = 1250 * time.Millisecond
	turnWorkers = 8
	// turnsBeyond is how many operations compare does beyond what it was asked for, at most:
	// those that warm up, the rest of a turn, and what chance adds.
	turnsBeyond = 1200
)

// paced is what one arm took, a list for each turn.
type paced struct {
	due  [][]time.Duration // from when the operation was due
	call [][]time.Duration // of the call alone, without what it waited for a processor before
	// syncs of the disk in all turns, with those of what is done behind the operations.
	syncs uint64
}

// late is how long operations waited for a processor and a worker before their calls.
func (p paced) late() (all []time.Duration) {
	for turn, due := range p.due {
		for i := range due {
			all = append(all, due[i]-p.call[turn][i])
		}
	}
	return all
}

// compare lets two arms take turns under the same arrivals. n is how many operations
// each does at least, beside those that warm up.
func (b *bench) compare(ctx context.Context, n int, arms [2]arm) (took [2]paced, err error) {
	const warm = 1 // turns
	turns, i := warm+(n+turnRate-1)*int(time.Second)/int(turnRate*turnLength), 0
	for turn := range turns {
		plan, err := load.NewPlan(load.Recipe{Seed: b.seed + uint64(turn), Kinds: []load.Kind{{Name: "op", Weight: 1}}, Arrival: load.Poisson, Rate: turnRate, Length: turnLength})
		if err != nil {
			return took, err
		}
		for k := range arms {
			a := k ^ turn&1 // who is first changes
			before := syncsOf(arms[a].db)
			due, call, err := arms[a].turn(ctx, plan, i)
			if err != nil {
				return took, fmt.Errorf("%s: %w", arms[a].name, err)
			}
			if turn >= warm {
				took[a].syncs += syncsOf(arms[a].db) - before
				took[a].due, took[a].call = append(took[a].due, due), append(took[a].call, call)
			}
		}
		i += len(plan.Ops)
	}
	return took, nil
}

func syncsOf(db *engram.DB) (n uint64) {
	for _, count := range db.Stats().SyncCounts {
		n += count
	}
	return n
}

// backToBack lets each arm have one writer that asks as soon as it has its answer: the two
// take turns of so many operations, numbered from first.
func (b *bench) backToBack(ctx context.Context, first, n, each int, arms [2]arm) (took [2]paced, err error) {
	for from := 0; from < n; from += each {
		for a := range arms {
			call := make([]time.Duration, min(each, n-from))
			for i := range call {
				began := time.Now()
				if err := arms[a].do(ctx, first+from+i); err != nil {
					return took, fmt.Errorf("%s: %w", arms[a].name, err)
				}
				call[i] = time.Since(began)
			}
			if err := arms[a].settle(ctx); err != nil {
				return took, err
			}
			took[a].call = append(took[a].call, call)
		}
	}
	return took, nil
}

// turn runs a plan; its operations are numbered from first.
func (a arm) turn(ctx context.Context, plan *load.Plan, first int) (due, call []time.Duration, err error) {
	due, call = make([]time.Duration, len(plan.Ops)), make([]time.Duration, len(plan.Ops))
	began := time.Now()
	var failed sync.Map
	_, err = load.Run(ctx, plan, load.Config{Workers: turnWorkers, Clock: load.Precise{}, Do: func(ctx context.Context, _ int, op load.Op) (any, error) {
		started := time.Now()
		if err := a.do(ctx, first+op.N); err != nil {
			failed.Store(op.N, err)
			return nil, err
		}
		done := time.Now()
		due[op.N], call[op.N] = done.Sub(began.Add(op.Due)), done.Sub(started)
		return nil, nil
	}})
	failed.Range(func(_, e any) bool { err = e.(error); return false })
	if err == nil {
		err = a.settle(ctx)
	}
	return due, call, err
}

// reportBackToBack shows what one writer took who does nothing else; a ratio of such has
// no bar, as nobody can be served while the other half of the machine is kept busy.
func (b *bench) reportBackToBack(what string, arms [2]arm, took [2]paced) {
	for _, share := range []float64{0.5, 0.99} {
		var at [2]time.Duration
		n := 0
		for i := range arms {
			all := slices.Concat(took[i].call...)
			n, at[i] = len(all), quantile(all, share)
		}
		b.Add(record.Figure{Name: fmt.Sprintf("%s %s by %s, one writer back to back, p%.0f", what, arms[1].name, arms[0].name, 100*share),
			Value: float64(at[1]) / float64(at[0]), Unit: "x", N: n}, nil)
	}
}

// reportTurns shows p50, p95 and p99 of both arms and the second by the first, with the
// interval of what the turns, drawn again, would have given. The p99 from when
// operations were due has the bar.
func (b *bench) reportTurns(what string, arms [2]arm, took [2]paced, bar *record.Bar) {
	for i := range arms {
		n := len(slices.Concat(took[i].call...))
		b.Add(record.Figure{Name: fmt.Sprintf("%s %s, syncs of the disk", what, arms[i].name), Value: float64(took[i].syncs) / float64(n), Unit: "a write", N: n}, nil)
		b.Millis(fmt.Sprintf("%s %s, before the call, p99", what, arms[i].name), quantile(took[i].late(), 0.99), n, nil)
	}
	for _, from := range []struct {
		name string
		of   func(paced) [][]time.Duration
		bar  *record.Bar
	}{{"", func(p paced) [][]time.Duration { return p.due }, bar}, {", the call alone", func(p paced) [][]time.Duration { return p.call }, nil}} {
		both := [2][][]time.Duration{from.of(took[0]), from.of(took[1])}
		for _, share := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}} {
			var at [2]time.Duration
			n := 0
			for i, turns := range both {
				all := slices.Concat(turns...)
				n, at[i] = len(all), quantile(all, share.at)
				b.Millis(fmt.Sprintf("%s %s%s, %s", what, arms[i].name, from.name, share.name), at[i], n, nil)
			}
			low, high := drawn(b.seed, both, share.at)
			f := record.Figure{Name: fmt.Sprintf("%s %s by %s%s, %s", what, arms[1].name, arms[0].name, from.name, share.name),
				Value: float64(at[1]) / float64(at[0]), Low: low, High: high, Unit: "x", N: n}
			if share.at != 0.99 {
				b.Add(f, nil)
			} else {
				b.Add(f, from.bar)
			}
		}
	}
}

// quantile sorts.
func quantile(all []time.Duration, share float64) time.Duration {
	slices.Sort(all)
	return all[min(int(share*float64(len(all))), len(all)-1)]
}

// drawn is the 95 % interval of the ratio of a quantile, over turns drawn with
// replacement, the same of both arms.
func drawn(seed uint64, both [2][][]time.Duration, share float64) (low, high float64) {
	const draws = 400
	r := rand.New(rand.NewPCG(seed, 95))
	ratios := make([]float64, draws)
	for d := range ratios {
		var all [2][]time.Duration
		for range both[0] {
			turn := r.IntN(len(both[0]))
			for i := range both {
				all[i] = append(all[i], both[i][turn]...)
			}
		}
		ratios[d] = float64(quantile(all[1], share)) / float64(quantile(all[0], share))
	}
	slices.Sort(ratios)
	return ratios[draws/40], ratios[draws-1-draws/40]
}
