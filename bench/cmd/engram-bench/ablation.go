package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/engramdb/engram"
	sets "github.com/engramdb/engram/bench/quality"
	"github.com/engramdb/engram/bench/record"
	_ "github.com/engramdb/engram/embed/minilm" // the model that servers give to new spaces
	_ "github.com/engramdb/engram/embed/static" // the thesaurus of servers
	"github.com/engramdb/engram/memory"
)

// variants are ways of asking: first with everything, then without one stage each.
var variants = []sets.Variant{
	{Name: "all", Change: nil},
	{Name: "likeness alone", Change: func(c *memory.Cue) { c.Mode = memory.ModeSimilar }},
	{Name: "all but words", Change: func(c *memory.Cue) { c.Stages.NoText = true }},
	{Name: "all but vectors", Change: func(c *memory.Cue) { c.Stages.NoVector = true }},
	{Name: "all but widening", Change: func(c *memory.Cue) { c.Stages.NoWidening = true }},
	{Name: "all but links", Change: func(c *memory.Cue) { c.Stages.NoLinks = true }},
	{Name: "all but time", Change: func(c *memory.Cue) { c.Stages.NoTime = true }},
}

// shown are the metrics of the table, by set.
var shown = map[string][]string{
	"LoCoMo":   {"R@5", "R@10", "R@20", "in_2000_tokens", "R@10.conversations 1-3", "R@10.conversations 4-5", "R@10.one piece", "R@10.dated"},
	"HotpotQA": {"R@2", "R@5", "R@10", "R@5.bridge", "R@5.comparison"},
}

// mustNotLose are the metrics that association may not cost more than a point, at the lower
// end of the interval.
var mustNotLose = map[string][]string{"LoCoMo": {"R@10", "R@10.one piece", "R@10.dated"}, "HotpotQA": {"R@5", "R@5.bridge", "R@5.comparison"}}

// ablation asks the questions with and without each stage, with the built-in model and
// without: what each stage gives, with the intervals of the differences.
func ablation(ctx context.Context, b *bench) error {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		return errors.New("ENGRAM_DATA is not set; it names the folder that holds locomo and multihop")
	}
	for _, model := range []string{"minilm", engram.ModelNone} {
		for _, q := range questions {
			if shown[q.name] == nil || !b.does(q.name) {
				continue
			}
			if err := b.ablate(ctx, model, q.name, q.ask, filepath.Join(data, q.file)); err != nil {
				return fmt.Errorf("%s, model %s: %w", q.name, model, err)
			}
		}
	}
	b.Note("Means over questions with 95 %% intervals; gains are over the same questions in pairs, by bootstrap (1,000 resamples, fixed seed).")
	b.Note("Association (links, hints, time) was tuned on LoCoMo's conversations 1-3 and on HotpotQA; 4-5 stand beside.")
	return nil
}

func (b *bench) ablate(ctx context.Context, model, name string, ask sets.Set, file string) (err error) {
	db, err := engram.Open(ctx, filepath.Join(b.scratch, name+model), engram.Options{DefaultModel: model, Thesaurus: "static", AutoLinks: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	vs := variants
	if model == engram.ModelNone {
		vs = append(append([]sets.Variant{}, variants[:2]...), variants[4:]...)
	}
	step("%s, model %s: %d variants", name, model, len(vs))
	reports, err := sets.Ablate(ctx, settled{engine{db}}, ask, file, vs)
	if err != nil {
		return err
	}
	for i, r := range reports {
		title := fmt.Sprintf("%s, %s, %s", name, modelName(model), vs[i].Name)
		for _, m := range r.Metrics() {
			if slices.Contains(shown[name], m.Name) {
				b.Add(record.Figure{Name: title + ": " + m.Name, Value: m.Mean, Unit: "%", Low: m.Low, High: m.High, N: m.N}, nil)
			}
		}
	}
	return b.gains(name, modelName(model), vs, reports)
}

// gains are what each stage gives: all less the variant without it.
func (b *bench) gains(name, model string, vs []sets.Variant, reports []*sets.Report) error {
	for i := 1; i < len(vs); i++ {
		for _, metric := range shown[name] {
			g, ok := sets.Gain(reports[0], reports[i], metric)
			if !ok {
				return fmt.Errorf("%s of %s and of all has no pairs", metric, vs[i].Name)
			}
			title := fmt.Sprintf("%s, %s, all over %s: %s", name, model, vs[i].Name, metric)
			b.Add(record.Figure{Name: title, Value: g.Mean, Unit: "points", Low: g.Low, High: g.High, N: g.N}, nil)
			if i == 1 && slices.Contains(mustNotLose[name], metric) {
				b.Add(record.Figure{Name: title + ", lower end", Value: g.Low, Unit: "points", N: g.N}, record.AtLeast(-1))
			}
		}
	}
	return nil
}

func modelName(model string) string {
	if model == engram.ModelNone {
		return "words"
	}
	return "words and " + model
}

// settled is the engine once vectors and links have followed.
type settled struct{ engine }

// Remember implements sets.Engine.
func (e settled) Remember(ctx context.Context, space string, es []memory.Episode) error {
	if err := e.engine.Remember(ctx, space, es); err != nil {
		return err
	}
	s, err := e.db.Space(memory.SpaceName(space))
	if err != nil {
		return err
	}
	return linked(ctx, s)
}
