package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sets "github.com/engramdb/engram/bench/quality"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/embed/static"
	"github.com/engramdb/engram/memory"
	pipeline "github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/text"
)

// way is one way to answer by likeness: legs and how they are fused.
type way struct {
	name  string
	model string // "": words alone
	bare  bool   // words are not widened
	mute  bool   // no words: the model alone
	fuse  fuser  // nil: as the pipeline does
	w     pipeline.Weights
}

// fuser ranks the union of two legs' best. Scores and places are in the order of the
// union; a place is 0 for the best of a leg, -1 for what is not among its best.
type fuser func(w pipeline.Weights, words, near leg) []float64

type leg struct {
	scores []float64
	places []int
}

// theDefault is what a server does in mode similar; withStatic, one whose model is static.
const (
	theDefault = "z-scores 2:3, widened + minilm"
	withStatic = "z-scores over all 1:0.7, widened + static"
)

func ways() []way {
	all := []way{
		{name: "words", bare: true},
		{name: "words, widened"},
		{name: "static", model: static.Name, mute: true},
		{name: "minilm", model: minilm.Name, mute: true},
		{name: theDefault, model: minilm.Name},
		{name: withStatic, model: static.Name},
	}
	for _, x := range []float64{0.3, 0.5, 0.6, 0.8, 1, 1.2, 1.5} {
		all = append(all, way{name: fmt.Sprintf("z-scores over all 1:%v, widened + static", x), model: static.Name, w: pipeline.Weights{Text: 1, Vector: x, Space: true}})
	}
	for _, x := range []struct {
		says string
		w    pipeline.Weights
	}{{"2:3, nothing taken off", pipeline.Weights{Text: 2, Vector: 3}}, {"1:1, nothing taken off", pipeline.Weights{Text: 1, Vector: 1}}} {
		all = append(all, way{name: "z-scores " + x.says + ", widened + minilm", model: minilm.Name, w: x.w})
	}
	for _, x := range []float64{1, 1.5, 2} {
		all = append(all, way{name: fmt.Sprintf("z-scores over all 1:%v, widened + minilm", x), model: minilm.Name, w: pipeline.Weights{Text: 1, Vector: x, Space: true}})
	}
	for _, bare := range []bool{false, true} {
		words := "widened"
		if bare {
			words = "words"
		}
		for _, r := range []struct {
			says string
			w    pipeline.Weights
		}{{"1:1", pipeline.Weights{Text: 1, Vector: 1, Apart: true}}, {"2:3", pipeline.SimilarWeights}, {"1:2", pipeline.Weights{Text: 1, Vector: 2, Apart: true}}} {
			if bare || r.says != "2:3" {
				all = append(all, way{name: "z-scores " + r.says + ", " + words + " + minilm", model: minilm.Name, bare: bare, w: r.w})
			}
			all = append(all, way{name: "min-max " + r.says + ", " + words + " + minilm", model: minilm.Name, bare: bare, w: r.w, fuse: minMax})
		}
		for _, k := range []float64{1, 10, 60, 100} {
			all = append(all, way{name: fmt.Sprintf("reciprocal ranks k=%v, %s + minilm", k, words), model: minilm.Name, bare: bare, fuse: reciprocalRanks(k)})
		}
		all = append(all, way{name: "z-scores 2:3, " + words + " + static", model: static.Name, bare: bare, w: pipeline.SimilarWeights})
	}
	return all
}

// minMax is the weighted sum of scores that lie between 0 for the least candidate and
// 1 for the best.
func minMax(w pipeline.Weights, words, near leg) []float64 {
	a, b := stretched(words.scores), stretched(near.scores)
	for i := range a {
		a[i] = w.Text*a[i] + w.Vector*b[i]
	}
	return a
}

func stretched(xs []float64) []float64 {
	least, most := math.Inf(1), math.Inf(-1)
	for _, x := range xs {
		if x == x {
			least, most = min(least, x), max(most, x)
		}
	}
	out := make([]float64, len(xs))
	for i, x := range xs {
		if most > least && x == x {
			out[i] = (x - least) / (most - least)
		}
	}
	return out
}

// reciprocalRanks is the sum of 1 / (k + rank), ranks from 1 (Cormack, Clarke and
// Büttcher, SIGIR 2009, with k = 60).
func reciprocalRanks(k float64) fuser {
	return func(_ pipeline.Weights, words, near leg) []float64 {
		out := make([]float64, len(words.places))
		for _, l := range []leg{words, near} {
			for i, p := range l.places {
				if p >= 0 {
					out[i] += 1 / (k + float64(p+1))
				}
			}
		}
		return out
	}
}

// legsBest is how many candidates a leg gives, as in the pipeline.
const legsBest = 200

// fused answers by one way; the shelves stay from way to way.
type fused struct {
	way
	analyzer  *text.Analyzer
	thesaurus embed.Thesaurus
	models    map[string]embed.Model
	shelves   map[string]*shelf
}

// Remember implements sets.Engine.
func (f *fused) Remember(ctx context.Context, space string, es []memory.Episode) (err error) {
	if f.shelves[space] == nil {
		f.shelves[space], err = fill(ctx, es, f.analyzer, f.models)
	}
	return err
}

// Recall implements sets.Engine.
func (f *fused) Recall(ctx context.Context, space string, c memory.Cue) ([]memory.ID, error) {
	s := f.shelves[space]
	c.Mode, c.Stages = memory.ModeSimilar, memory.Stages{NoText: f.mute, NoWidening: f.bare}
	if f.model != "" {
		v, err := s.cue(ctx, f.model, f.models[f.model], c.Text)
		if err != nil {
			return nil, err
		}
		c.Vector = v
	}
	if err := c.Normalize(); err != nil {
		return nil, err
	}
	ix := s.indexes(f.analyzer, f.thesaurus, f.model)
	slots, err := f.slots(ctx, ix, s, &c)
	ids := make([]memory.ID, min(len(slots), c.Limit))
	for i := range ids {
		ids[i] = s.ids[slots[i]]
	}
	return ids, err
}

func (f *fused) slots(ctx context.Context, ix pipeline.Indexes, s *shelf, c *memory.Cue) ([]uint32, error) {
	if f.fuse == nil {
		return likest(ctx, ix, s, *c, c.Limit, f.w)
	}
	one := *c
	one.Vector = nil
	words, err := likest(ctx, ix, s, one, legsBest, pipeline.Weights{})
	if err != nil {
		return nil, err
	}
	one = *c
	one.Stages.NoText = true
	near, err := likest(ctx, ix, s, one, legsBest, pipeline.Weights{})
	if err != nil {
		return nil, err
	}
	union := slices.Concat(words, near)
	slices.Sort(union)
	union = slices.Compact(union)
	scores := f.fuse(f.w, leg{ix.Words.Scores(ix.Query(c), union), placesIn(words, union)}, leg{ix.Vectors.Scores(c.Vector, union), placesIn(near, union)})
	at := make(map[uint32]float64, len(union))
	for i, slot := range union {
		at[slot] = scores[i]
	}
	slices.SortStableFunc(union, func(a, b uint32) int {
		switch {
		case at[a] > at[b]:
			return -1
		case at[a] < at[b]:
			return 1
		}
		return 0
	})
	return union, nil
}

func placesIn(ranked, union []uint32) []int {
	at := make(map[uint32]int, len(ranked))
	for i, slot := range ranked {
		at[slot] = i
	}
	places := make([]int, len(union))
	for i, slot := range union {
		places[i] = -1
		if p, ok := at[slot]; ok {
			places[i] = p
		}
	}
	return places
}

// likest asks the pipeline for the best by likeness.
func likest(ctx context.Context, ix pipeline.Indexes, s *shelf, c memory.Cue, limit int, w pipeline.Weights) ([]uint32, error) {
	a, err := pipeline.Run(ctx, ix, pipeline.Question{Cue: &c, View: s.at, Now: time.Unix(1, 0), Limit: limit, Weights: w})
	slots := make([]uint32, len(a.Ranked))
	for i, r := range a.Ranked {
		slots[i] = r.Slot
	}
	return slots, err
}

// measures are the columns: a set, its metric, and bars on some ways.
var measures = []struct {
	set, metric, title string
	bars               map[string]float64
}{
	{"LoCoMo", "R@10", "LoCoMo R@10", map[string]float64{"words": 64.2, theDefault: 70.5, withStatic: 68.5}},
	{"LoCoMo", "R@10.conversations 1-3", "1-3", nil},
	{"LoCoMo", "R@10.conversations 4-5", "4-5", nil},
	// With static the bar is what words alone find.
	{"HotpotQA", "R@5", "HotpotQA R@5", map[string]float64{"words": 78, theDefault: 84.5, withStatic: 79.2}},
	{"NPL", "nDCG@10", "NPL nDCG@10", map[string]float64{"words": 45, theDefault: 51.5, withStatic: 45.0}},
}

// fusion compares ways to fuse the legs of likeness, on the same candidates and
// questions.
func fusion(ctx context.Context, b *bench) error {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		return errors.New("ENGRAM_DATA is not set; it names the folder that holds locomo, multihop and npl")
	}
	f, err := newFused()
	if err != nil {
		return err
	}
	found := map[string]map[string]*sets.Report{} // by way, by set
	for _, w := range ways() {
		step("%s", w.name)
		f.way = w
		found[w.name] = map[string]*sets.Report{}
		for _, q := range questions {
			if !b.does(q.name) {
				continue
			}
			rep := sets.NewReport()
			if err := q.ask(ctx, f, filepath.Join(data, q.file), rep); err != nil {
				return err
			}
			found[w.name][q.name] = rep
		}
	}
	for _, m := range measures {
		for _, w := range ways() {
			b.figure(m.title+", "+w.name, found[w.name][m.set], m.metric, m.bars, w.name)
		}
	}
	for _, to := range []string{theDefault, "words", "z-scores over all 1:1.2, widened + static"} {
		table, err := against(found, to)
		if err != nil {
			return err
		}
		b.Note("%s", table)
	}
	b.Note("Mode similar, no links. Words are BM25 over title and text; z-scores and min-max are over the union of the best %d of each leg, where both scores are known, or, over all, over the space (a sample of 1,000 beside the candidates); a bare ratio is words to vectors. From the cue of z-scores over the candidates is taken what all vectors have in common, but where nothing is; z-scores over all, min-max and ranks are of the cue as it is. The weights were chosen by conversations 1-3: for minilm the best, for static the least whose interval against the best, 1:1.2, has 0 in it.", legsBest)
	return nil
}

func newFused() (*fused, error) {
	a, err := text.NewAnalyzer("en")
	if err != nil {
		return nil, err
	}
	table, err := static.Open()
	if err != nil {
		return nil, err
	}
	transformer, err := minilm.Open(bert.Options{})
	if err != nil {
		return nil, err
	}
	th, err := table.Thesaurus(a.Stem)
	return &fused{analyzer: a, thesaurus: th, models: map[string]embed.Model{static.Name: table, minilm.Name: transformer}, shelves: map[string]*shelf{}}, err
}

// figure adds the mean of a metric with its interval.
func (b *bench) figure(name string, rep *sets.Report, metric string, bars map[string]float64, way string) {
	if rep == nil {
		return
	}
	m := rep.Metric(metric)
	var bar *record.Bar
	if x, ok := bars[way]; ok {
		bar = record.AtLeast(x)
	}
	b.Add(record.Figure{Name: name, Value: m.Mean, Unit: "%", Low: m.Low, High: m.High, N: m.N}, bar)
}

// against is a table of how much less or more each way finds than one of them.
func against(found map[string]map[string]*sets.Report, to string) (string, error) {
	var t strings.Builder
	fmt.Fprintf(&t, "Less or more than %q, points, with 95 %% intervals (paired bootstrap over questions):\n\n%-42s", to, "")
	for _, m := range measures {
		fmt.Fprintf(&t, "  %-22s", m.title)
	}
	for _, w := range ways() {
		fmt.Fprintf(&t, "\n%-42s", w.name)
		for _, m := range measures {
			a, b := found[w.name][m.set], found[to][m.set]
			if a == nil {
				continue
			}
			d, err := sets.Paired(a, b, m.metric)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&t, "  %-22s", fmt.Sprintf("%+.1f [%.1f, %.1f]", d.Mean, d.Low, d.High))
		}
	}
	return t.String(), nil
}
