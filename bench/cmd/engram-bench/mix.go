package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// The kinds of the reference workload, in the order of its weights.
const (
	kindRemember = iota
	kindRecall
	kindSearch
)

// mix runs the reference workload: 1,000 operations a second for a minute,
// arriving independently of each other, on 1,000 memories that are there before.
func mix(ctx context.Context, b *bench) (err error) {
	plan, err := load.NewPlan(load.Recipe{
		Seed:    b.seed,
		Kinds:   []load.Kind{{Name: "remember", Weight: 500}, {Name: "recall", Weight: 425}, {Name: "search", Weight: 75}},
		Arrival: load.Poisson, Rate: 1000, Length: b.seconds(70),
	})
	if err != nil {
		return err
	}
	b.Parameters["plan"] = fmt.Sprintf("%d operations, %s arrivals, %.0f/s, SHA-256 %s", len(plan.Ops), plan.Arrival, plan.Rate, plan.Digest())
	db, err := engram.Open(ctx, filepath.Join(b.scratch, "db"), engram.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w, err := newWorkload(ctx, db, b.seed)
	if err != nil {
		return err
	}
	step("running the plan")
	r, err := load.Run(ctx, plan, load.Config{Workers: 16, WarmUp: b.seconds(10), Do: w.do, Verify: w.verify})
	if err != nil {
		return err
	}
	b.report(r)
	return nil
}

// workload is the space that the plan runs on.
type workload struct {
	space     *engram.Space
	pool      *pool
	questions []string
	queries   [][]float32
}

func newWorkload(ctx context.Context, db *engram.DB, seed uint64) (*workload, error) {
	step("storing 1,000 memories")
	p, err := newPool(seed, 1000)
	if err != nil {
		return nil, err
	}
	l := &library{db, p}
	if err := l.makeSpace(ctx, "mix"); err != nil {
		return nil, err
	}
	for i := range len(p.batches) {
		if err := l.rememberBatch(ctx, "mix", i); err != nil {
			return nil, err
		}
	}
	s, err := db.Space("mix")
	if err != nil {
		return nil, err
	}
	if err := waitForIndexes(ctx, s); err != nil {
		return nil, err
	}
	w := &workload{space: s, pool: p}
	if w.questions, err = answerable(ctx, s, makeQuestions(seed+1, 1500)); err != nil {
		return nil, err
	}
	src := prose.New(seed + 2)
	for range 1000 {
		w.queries = append(w.queries, src.Near(p.episodes[src.IntN(len(p.episodes))].Vector, 0.2))
	}
	return w, nil
}

// answerable keeps the questions that find something among the memories that
// are there before: during the run they must find something too.
func answerable(ctx context.Context, s *engram.Space, questions []string) (kept []string, err error) {
	for _, q := range questions {
		r, err := s.Recall(ctx, memory.Cue{Text: q})
		if err != nil {
			return nil, err
		}
		if len(r.Results) > 0 {
			kept = append(kept, q)
		}
	}
	if len(kept) < len(questions)/2 {
		return nil, fmt.Errorf("only %d of %d questions find anything", len(kept), len(questions))
	}
	return kept, nil
}

// do chooses by the operation's own seed, so that what it does is part of the plan.
func (w *workload) do(ctx context.Context, _ int, op load.Op) (any, error) {
	switch op.Kind {
	case kindRemember:
		return w.space.Remember(ctx, w.pool.episodes[op.Seed%uint64(len(w.pool.episodes))], engram.WriteOptions{})
	case kindRecall:
		return w.space.Recall(ctx, memory.Cue{Text: w.questions[op.Seed%uint64(len(w.questions))]})
	default:
		return w.space.Recall(ctx, memory.Cue{Vector: w.queries[op.Seed%uint64(len(w.queries))]})
	}
}

// verify refuses answers that could only be given by a database that lost something.
func (w *workload) verify(_ load.Op, answer any) error {
	switch a := answer.(type) {
	case engram.Written:
		if a.ID == "" || a.LSN == 0 {
			return fmt.Errorf("written as %+v", a)
		}
	case engram.Recollection:
		if len(a.Results) == 0 {
			return errors.New("nothing was found")
		}
	}
	return nil
}

func (b *bench) report(r *load.Result) {
	for _, k := range r.Kinds {
		n := int(k.Latency.Count())
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}} {
			b.Millis(k.Name+", "+q.name, k.Latency.At(q.at), n, nil)
		}
		if k.FirstError != nil {
			b.Note("%s: %d errors, %d wrong answers; the first: %v", k.Name, k.Errors, k.Wrong, k.FirstError)
		}
	}
	n := int(r.All.Count())
	b.Millis("all, p50", r.All.At(0.5), n, nil)
	b.Millis("all, p99", r.All.At(0.99), n, record.AtMost(50))
	b.Millis("all, p99.9", r.All.At(0.999), n, nil)
	b.Millis("all, max", r.All.Max(), n, nil)
	b.Millis("wait for a free worker, p99", r.Late.At(0.99), int(r.Late.Count()), nil)
	b.Add(record.Figure{Name: "answered", Value: r.Done, Unit: "/s", N: n}, record.AtLeast(800))
	b.Add(record.Figure{Name: "errors and wrong answers", Value: 100 * float64(r.Errors()) / max(1, float64(n)), Unit: "%", N: n}, record.AtMost(1))
	b.Note("Times count from when an operation was due (%v measured); what waits for the machine's timer is part of them.", r.Elapsed.Round(time.Millisecond))
}
