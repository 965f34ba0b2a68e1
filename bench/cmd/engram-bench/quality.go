package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/engramdb/engram"
	sets "github.com/engramdb/engram/bench/quality"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// questions are the sets, each with the bars on its metrics.
var questions = []struct {
	name string
	file string
	ask  func(context.Context, sets.Engine, string, *sets.Report) error
	bars map[string]float64
}{
	{"LoCoMo", "locomo/locomo_dev.json", sets.Locomo, map[string]float64{"R@5": 56.8, "R@10": 64.2, "R@20": 70.2}},
	{"HotpotQA", "multihop/hotpotqa_dev.jsonl", sets.Hotpot, map[string]float64{"R@5": 78}},
	{"NPL", "npl", sets.NPL, map[string]float64{"nDCG@10": 45}},
}

// quality asks every set of a database with default options and settings.
func quality(ctx context.Context, b *bench) error {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		return errors.New("ENGRAM_DATA is not set; it names the folder that holds locomo, multihop and npl")
	}
	for _, q := range questions {
		if !b.does(q.name) {
			continue
		}
		step("%s", q.name)
		db, err := engram.Open(ctx, filepath.Join(b.scratch, q.name), engram.Options{})
		if err != nil {
			return err
		}
		rep := sets.NewReport()
		err = q.ask(ctx, engine{db}, filepath.Join(data, q.file), rep)
		if err := errors.Join(err, db.Close()); err != nil {
			return err
		}
		for _, m := range rep.Metrics() {
			var bar *record.Bar
			if x, ok := q.bars[m.Name]; ok {
				bar = record.AtLeast(x)
			}
			b.Add(record.Figure{Name: q.name + " " + m.Name, Value: m.Mean, Unit: "%", Low: m.Low, High: m.High, N: m.N}, bar)
		}
	}
	b.Note("Means over questions with 95 %% bootstrap intervals (1,000 resamples, fixed seed). Every set is asked with the defaults.")
	return nil
}

// engine is the database as the sets see it.
type engine struct{ db *engram.DB }

// Remember implements sets.Engine, in batches as a client would.
func (e engine) Remember(ctx context.Context, space string, es []memory.Episode) error {
	if _, _, err := e.db.CreateSpace(ctx, memory.SpaceName(space), memory.Settings{}); err != nil {
		return err
	}
	s, err := e.db.Space(memory.SpaceName(space))
	if err != nil {
		return err
	}
	for len(es) > 0 {
		n := min(len(es), 200)
		if _, err := s.RememberBatch(ctx, es[:n], false, engram.WriteOptions{}); err != nil {
			return err
		}
		es = es[n:]
	}
	return nil
}

// Recall implements sets.Engine.
func (e engine) Recall(ctx context.Context, space string, c memory.Cue) ([]memory.ID, error) {
	s, err := e.db.Space(memory.SpaceName(space))
	if err != nil {
		return nil, err
	}
	r, err := s.Recall(ctx, c)
	if err != nil {
		return nil, err
	}
	ids := make([]memory.ID, len(r.Results))
	for i, x := range r.Results {
		ids[i] = x.Memory.ID
	}
	return ids, nil
}
