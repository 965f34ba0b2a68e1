package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/onnx"
	sets "github.com/engramdb/engram/bench/quality"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/embed/static"
	"github.com/engramdb/engram/memory"
)

// embedding measures the models in the binary: alone, against onnxruntime, under
// writes, and under recalls.
func embedding(ctx context.Context, b *bench) error {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		return errors.New("ENGRAM_DATA is not set; it names the folder that holds locomo")
	}
	turns, questions, err := sets.Turns(filepath.Join(data, "locomo/locomo_dev.json"))
	if err != nil {
		return err
	}
	e := &embedBench{bench: b, turns: ofWords(turns, 20, 28), cues: ofWords(questions, 11, 13), rng: rand.New(rand.NewPCG(b.seed, 7))}
	b.Parameters["turns"] = fmt.Sprintf("%d of LoCoMo, of 20 to 28 words", len(e.turns))
	b.Parameters["cues"] = fmt.Sprintf("%d of LoCoMo, of 11 to 13 words", len(e.cues))
	if len(e.turns) == 0 || len(e.cues) == 0 {
		return errors.New("there are no turns or no questions of the length that is measured")
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"models", e.models}, {"onnx", e.onnx}, {"remember", e.remember}, {"recall", e.recall}} {
		if b.does(part.name) {
			step("%s", part.name)
			if err := part.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return nil
}

type embedBench struct {
	*bench
	turns, cues []string
	rng         *rand.Rand
}

func ofWords(texts []string, least, most int) (fit []string) {
	for _, t := range texts {
		if n := len(strings.Fields(t)); least <= n && n <= most {
			fit = append(fit, t)
		}
	}
	return fit
}

// some are n texts, drawn.
func (e *embedBench) some(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = e.turns[e.rng.IntN(len(e.turns))]
	}
	return out
}

// batch is how many texts a model is given at once.
const batch = 64

// models measures each alone, on one core.
func (e *embedBench) models(ctx context.Context) error {
	transformer, err := warmMiniLM()
	if err != nil {
		return err
	}
	l := load.NewLatency()
	n := e.n(2000)
	for i := range n {
		began := time.Now()
		if _, err := embed.Cues(ctx, transformer, e.cues[i%len(e.cues):i%len(e.cues)+1]); err != nil {
			return err
		}
		l.Add(time.Since(began))
	}
	e.Millis("transformer, a cue of 12 words, p50", l.At(0.5), n, record.AtMost(3))
	e.Millis("transformer, a cue of 12 words, p99", l.At(0.99), n, nil)
	table, err := static.Open()
	if err != nil {
		return err
	}
	if err := table.Warm(); err != nil {
		return err
	}
	rounds := e.n(500)
	took, err := timeOf(ctx, table, func() []string { return e.some(batch) }, rounds)
	if err != nil {
		return err
	}
	e.Add(record.Figure{Name: "static table, turns a second on a core", Value: float64(rounds*batch) / took.Seconds(), Unit: "/s", N: rounds * batch}, record.AtLeast(30_000))
	return nil
}

// warmMiniLM opens the transformer for one core.
func warmMiniLM() (*bert.Model, error) {
	m, err := minilm.Open(bert.Options{Threads: 1})
	if err == nil {
		err = m.Warm()
	}
	return m, err
}

func timeOf(ctx context.Context, m embed.Model, texts func() []string, rounds int) (took time.Duration, err error) {
	for range rounds {
		ts := texts()
		began := time.Now()
		if _, err := m.Embed(ctx, ts); err != nil {
			return 0, err
		}
		took += time.Since(began)
	}
	return took, nil
}

// onnx compares the transformer with onnxruntime's int8 of the same weights, on the
// same texts in turns, both on one core and each with its tokens. What it needs is
// installed at the first time (bench/onnx); where that cannot be, a note says so.
func (e *embedBench) onnx(ctx context.Context) error {
	command, why, err := onnx.Command(ctx, e.nearest.cache, e.scratch, step)
	if err != nil {
		return err
	}
	if why != "" {
		e.Note("onnxruntime was not compared: it could not be installed (%s).", why)
		return nil
	}
	ours, err := warmMiniLM()
	if err != nil {
		return err
	}
	theirs, err := startOther(ctx, command)
	if err != nil {
		return err
	}
	defer theirs.stop()
	if err := e.alike(ctx, ours, theirs); err != nil {
		return err
	}
	for _, size := range []int{batch, 1} {
		if err := e.against(ctx, ours, theirs, size); err != nil {
			return err
		}
	}
	e.Note("The other is %s, with tokens by its own tokenizer.", theirs.name)
	return nil
}

// alikeLeast is the cosine that two int8 forms of the same weights have at least.
const alikeLeast = 0.9

// alike makes sure that both do the same work.
func (e *embedBench) alike(ctx context.Context, ours embed.Model, theirs *other) error {
	texts := e.some(16)
	a, err := ours.Embed(ctx, texts)
	if err != nil {
		return err
	}
	x, err := theirs.ask(texts, true)
	if err != nil {
		return err
	}
	if len(x.Vectors) != len(a) {
		return fmt.Errorf("%d vectors of %d texts", len(x.Vectors), len(a))
	}
	for i := range a {
		cosine := 0.0
		for j := range min(len(a[i]), len(x.Vectors[i])) {
			cosine += float64(a[i][j]) * float64(x.Vectors[i][j])
		}
		if cosine < alikeLeast {
			return fmt.Errorf("its vector of %q is another: cosine %.3f", texts[i], cosine)
		}
	}
	return nil
}

// against lets both embed the same texts in turns, size at a time.
func (e *embedBench) against(ctx context.Context, ours embed.Model, theirs *other, size int) error {
	rounds := e.n(4000) / (4 * size)
	rounds = max(rounds, 15)
	var ratios []float64
	var mine, others time.Duration
	for i := range rounds + 3 {
		texts := e.some(size)
		a, err := timeOf(ctx, ours, func() []string { return texts }, 1)
		if err != nil {
			return err
		}
		x, err := theirs.ask(texts, false)
		if err != nil {
			return err
		}
		if i < 3 {
			continue // warm up
		}
		took := time.Duration(x.Seconds * float64(time.Second))
		mine, others = mine+a, others+took
		ratios = append(ratios, float64(took)/float64(a))
	}
	n := rounds * size
	name := fmt.Sprintf("turns a second on a core, %d at a time", size)
	e.Add(record.Figure{Name: "transformer, " + name, Value: float64(n) / mine.Seconds(), Unit: "/s", N: n}, nil)
	e.Add(record.Figure{Name: "onnxruntime int8, " + name, Value: float64(n) / others.Seconds(), Unit: "/s", N: n}, nil)
	e.Add(record.Figure{Name: fmt.Sprintf("transformer by onnxruntime, %d at a time (median of rounds)", size), Value: load.Median(ratios), Unit: "x", N: rounds}, record.AtLeast(0.8))
	return nil
}

// other is a program that embeds lines of JSON.
type other struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

type othersAnswer struct {
	Seconds float64     `json:"seconds"`
	Runtime string      `json:"runtime"`
	Vectors [][]float32 `json:"vectors"`
}

func startOther(ctx context.Context, command []string) (*other, error) {
	o := &other{cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	o.cmd.Stderr = os.Stderr
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	o.out = bufio.NewReader(out)
	return o, o.cmd.Start()
}

func (o *other) ask(texts []string, vectors bool) (a othersAnswer, err error) {
	if err := json.NewEncoder(o.in).Encode(map[string]any{"texts": texts, "vectors": vectors}); err != nil {
		return a, err
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("it ended: %w", err)
	}
	err = json.Unmarshal(line, &a)
	o.name = a.Runtime
	return a, err
}

// stop ends the program; its end of input is the sign.
func (o *other) stop() {
	o.in.Close()
	_ = o.cmd.Wait() // what it says at its end is nobody's concern
}

// remember writes turns into a space without a model and into one with the
// transformer. They take turns, and one begins when no vector of the other is being made.
func (e *embedBench) remember(ctx context.Context) (err error) {
	n, writer := e.n(20_000), e.n(4000)
	texts := e.some(n + turnsBeyond + writer)
	var arms [2]arm
	for i, m := range []string{engram.ModelNone, minilm.Name} {
		db, err2 := engram.Open(ctx, filepath.Join(e.scratch, "remember-"+m), engram.Options{})
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		s, err2 := spaceWith(ctx, db, m)
		if err2 != nil {
			return err2
		}
		arms[i] = arm{name: []string{"without a model", "with the transformer"}[i],
			do: func(ctx context.Context, i int) error {
				_, err := s.Remember(ctx, memory.Episode{Text: texts[i]}, engram.WriteOptions{})
				return err
			},
			settle: func(ctx context.Context) error { return waitForIndexes(ctx, s) }, db: db,
		}
	}
	took, err := e.compare(ctx, n, arms)
	if err != nil {
		return err
	}
	e.reportTurns("remember", arms, took, record.AtMost(1.1))
	took, err = e.backToBack(ctx, n+turnsBeyond, writer, 100, arms)
	if err == nil {
		e.reportBackToBack("remember", arms, took)
	}
	return err
}

func spaceWith(ctx context.Context, db *engram.DB, model string) (*engram.Space, error) {
	name := memory.SpaceName("with-" + model)
	if _, _, err := db.CreateSpace(ctx, name, memory.Settings{Vector: memory.VectorSettings{Model: model}}); err != nil {
		return nil, err
	}
	return db.Space(name)
}

// recall asks 100,000 memories in words: the transformer embeds each cue, likeness alone.
// A memory is two turns; its vector is made of theirs, for to embed as many takes
// minutes and changes nothing for the index.
func (e *embedBench) recall(ctx context.Context) (err error) {
	db, err := engram.Open(ctx, filepath.Join(e.scratch, "recall"), engram.Options{Thesaurus: static.Name})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := spaceWith(ctx, db, minilm.Name)
	if err != nil {
		return err
	}
	n := e.n(100_000)
	if err := e.fillPairs(ctx, s, n); err != nil {
		return err
	}
	widened, bare, asked := load.NewLatency(), load.NewLatency(), e.n(2000)
	for i := range asked + 50 { // the first 50 warm up
		for _, l := range []*load.Latency{widened, bare} {
			c := memory.Cue{Text: e.cues[i%len(e.cues)], Mode: memory.ModeSimilar, Stages: memory.Stages{NoWidening: l == bare}}
			began := time.Now()
			r, err := s.Recall(ctx, c)
			took := time.Since(began)
			if err != nil {
				return err
			}
			if len(r.Results) == 0 || r.Compared == 0 {
				return fmt.Errorf("%q found %d, of %d vectors compared", c.Text, len(r.Results), r.Compared)
			}
			if i >= 50 {
				l.Add(took)
			}
		}
	}
	name := fmt.Sprintf("recall in words, %d memories", n)
	e.Millis(name+", p50", widened.At(0.5), asked, nil)
	e.Millis(name+", p99", widened.At(0.99), asked, record.AtMost(10))
	e.Millis(name+", words not widened, p50", bare.At(0.5), asked, nil)
	e.Millis(name+", words not widened, p99", bare.At(0.99), asked, nil)
	return nil
}

// fillPairs stores memories of two turns each.
func (e *embedBench) fillPairs(ctx context.Context, s *engram.Space, n int) error {
	transformer, err := minilm.Open(bert.Options{})
	if err != nil {
		return err
	}
	turns := e.turns[:min(len(e.turns), e.n(len(e.turns)))]
	vectors, err := embedMany(ctx, transformer, turns)
	if err != nil {
		return err
	}
	part := make([]memory.Episode, 0, 500)
	for i := range n {
		a, b := e.rng.IntN(len(turns)), e.rng.IntN(len(turns))
		part = append(part, memory.Episode{Text: turns[a] + " " + turns[b], Vector: between(vectors[a], vectors[b])})
		if len(part) == cap(part) || i == n-1 {
			if _, err := s.RememberBatch(ctx, slices.Clone(part), false, engram.WriteOptions{}); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	return waitForIndexes(ctx, s)
}

// between is the sum of two vectors; only its direction matters.
func between(a, b []float32) []float32 {
	v := make([]float32, len(a))
	for i := range v {
		v[i] = a[i] + b[i]
	}
	return v
}
