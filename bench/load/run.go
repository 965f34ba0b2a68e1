package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is what a run needs of time.
type Clock interface {
	Now() time.Time
	// Until waits until t, or at once when t has passed; false when ctx ended.
	Until(ctx context.Context, t time.Time) bool
}

// Config says how a plan is run.
type Config struct {
	Workers int           // operations at once; default 16
	WarmUp  time.Duration // what is due earlier is done and not counted
	Clock   Clock         // default the machine's
	// Do carries an operation out. What it returns goes to Verify.
	Do func(ctx context.Context, worker int, op Op) (any, error)
	// Verify looks at an answer, outside the measured time; an error counts as
	// a wrong answer. May be nil.
	Verify func(op Op, answer any) error
}

// Result is what a run measured.
type Result struct {
	Kinds   []KindResult
	All     *Latency
	Offered float64 // operations a second that were due
	Done    float64 // operations a second that were answered without error
	Elapsed time.Duration
	Late    *Latency // how long operations waited for a free worker
}

// KindResult is what a run measured of one kind of operation.
type KindResult struct {
	Name          string
	Latency       *Latency // of the answers without error
	Errors, Wrong int64
	FirstError    error
}

// Errors counts what failed and what was wrong over all kinds.
func (r *Result) Errors() (n int64) {
	for _, k := range r.Kinds {
		n += k.Errors + k.Wrong
	}
	return n
}

// Run follows a plan to its end or until ctx is done; then the error is ctx's.
// It returns when all its workers have.
func Run(ctx context.Context, p *Plan, c Config) (*Result, error) {
	if c.Do == nil {
		return nil, errors.New("nothing to do")
	}
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Clock == nil {
		c.Clock = machineClock{}
	}
	r := &run{plan: p, Config: c, begin: c.Clock.Now()}
	tallies := make([]*tally, c.Workers)
	var workers sync.WaitGroup
	for w := range tallies {
		tallies[w] = newTally(len(p.Kinds))
		workers.Go(func() { r.work(ctx, w, tallies[w]) })
	}
	workers.Wait()
	return r.sum(tallies), ctx.Err()
}

type run struct {
	plan *Plan
	Config
	begin time.Time
	next  atomic.Int64 // the operation that the next free worker takes
}

// work takes the next operation of the plan, waits until it is due, does it. A
// worker that is late does not wait, and the operation is charged with that.
func (r *run) work(ctx context.Context, worker int, t *tally) {
	for {
		n := r.next.Add(1) - 1
		if n >= int64(len(r.plan.Ops)) {
			return
		}
		op := r.plan.Ops[n]
		due := r.begin.Add(op.Due)
		if !r.Clock.Until(ctx, due) {
			return
		}
		started := r.Clock.Now()
		answer, err := r.Do(ctx, worker, op)
		done := r.Clock.Now()
		if op.Due >= r.WarmUp {
			t.add(op, started.Sub(due), done.Sub(due), err)
			t.end = done
		}
		if err == nil && r.Verify != nil {
			t.verified(op, r.Verify(op, answer))
		}
	}
}

// tally is what one worker counts; it is the worker's alone until it ends.
type tally struct {
	kinds []KindResult
	late  *Latency
	end   time.Time
}

func newTally(kinds int) *tally {
	t := &tally{kinds: make([]KindResult, kinds), late: NewLatency()}
	for i := range t.kinds {
		t.kinds[i].Latency = NewLatency()
	}
	return t
}

func (t *tally) add(op Op, late, took time.Duration, err error) {
	k := &t.kinds[op.Kind]
	t.late.Add(late)
	if err != nil {
		k.Errors++
		k.note(err)
		return
	}
	k.Latency.Add(took)
}

// verified counts wrong answers, also of the warm-up: they are wrong all the same.
func (t *tally) verified(op Op, err error) {
	if err != nil {
		t.kinds[op.Kind].Wrong++
		t.kinds[op.Kind].note(err)
	}
}

func (k *KindResult) note(err error) {
	if k.FirstError == nil {
		k.FirstError = err
	}
}

func (r *run) sum(tallies []*tally) *Result {
	out := &Result{All: NewLatency(), Late: NewLatency(), Offered: r.plan.Rate}
	for _, k := range r.plan.Kinds {
		out.Kinds = append(out.Kinds, KindResult{Name: k.Name, Latency: NewLatency()})
	}
	end := r.begin.Add(r.WarmUp)
	for _, t := range tallies {
		out.Late.Merge(t.late)
		if t.end.After(end) {
			end = t.end
		}
		for i, k := range t.kinds {
			o := &out.Kinds[i]
			o.Latency.Merge(k.Latency)
			out.All.Merge(k.Latency)
			o.Errors += k.Errors
			o.Wrong += k.Wrong
			if k.FirstError != nil {
				o.note(k.FirstError)
			}
		}
	}
	out.Elapsed = end.Sub(r.begin.Add(r.WarmUp))
	if out.Elapsed > 0 {
		out.Done = float64(out.All.Count()) / out.Elapsed.Seconds()
	}
	return out
}

// machineClock waits by the machine's timers, which wake up to a millisecond
// late; that is charged to the system, so figures near it are upper bounds.
type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Until(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
