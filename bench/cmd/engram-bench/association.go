package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// perStream is how many passages a conversation has.
const perStream = 20

// associationDimension is that of the built-in model, whose vectors are made up here: it
// would read for five minutes.
const associationDimension = 384

// recallByAssociation measures recall with spreading over 100,000 memories in conversations,
// with the links that the engine makes by itself: by words, and by words and vectors.
func (b *bench) recallByAssociation(ctx context.Context) (err error) {
	db, err := engram.Open(ctx, filepath.Join(b.scratch, "association"), engram.Options{AutoLinks: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n := b.n(100_000)
	s, cues, err := b.fillStreams(ctx, db, n)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	b.Parameters["association"] = fmt.Sprintf("%d passages of about 60 words in streams of %d, %d links, vectors of %d in 64 clusters", n, perStream, info.Counts.Links, associationDimension)
	for _, legs := range []struct {
		name    string
		vectors bool
	}{{"words and links", false}, {"words, vectors and links", true}} {
		if err := b.associationClients(ctx, s, "association, "+legs.name, func(i int) memory.Cue {
			c := cues[i%len(cues)]
			if !legs.vectors {
				c.Vector = nil
			}
			return c
		}); err != nil {
			return err
		}
	}
	return nil
}

// fillStreams makes the space, waits for its links, and gives questions about it.
func (b *bench) fillStreams(ctx context.Context, db *engram.DB, n int) (*engram.Space, []memory.Cue, error) {
	step("storing %d passages in streams", n)
	settings := memory.Settings{Vector: memory.VectorSettings{Dimension: associationDimension}}
	if _, _, err := db.CreateSpace(ctx, "streams", settings); err != nil {
		return nil, nil, err
	}
	s, err := db.Space("streams")
	if err != nil {
		return nil, nil, err
	}
	src := prose.New(b.seed)
	var centres [][]float32
	for range 64 {
		centres = append(centres, src.Centre(associationDimension))
	}
	batch := make([]memory.Episode, 0, 500)
	topic := 0
	for i := range n {
		if i%perStream == 0 {
			topic = src.Topic()
		}
		e := memory.Episode{ID: memory.ID(fmt.Sprintf("p%d", i)), Text: src.Passage(topic, 60), People: []string{src.Name()}, Happened: memory.At(src.When()),
			Stream: fmt.Sprint("stream ", i/perStream), Vector: src.Near(centres[topic%len(centres)], 0.4)}
		batch = append(batch, e)
		if len(batch) == cap(batch) || i == n-1 {
			if _, err := s.RememberBatch(ctx, batch, false, engram.WriteOptions{}); err != nil {
				return nil, nil, err
			}
			batch = batch[:0]
		}
	}
	step("waiting for its links")
	if err := linked(ctx, s); err != nil {
		return nil, nil, err
	}
	cues := make([]memory.Cue, 2000)
	for i := range cues {
		t := src.Topic()
		cues[i] = memory.Cue{Text: src.Question(t, 6+src.IntN(5)), Vector: src.Near(centres[t%len(centres)], 0.4)}
	}
	return s, cues, nil
}

// linked returns once the rules have been asked about all that is stored: a recall by
// association waits a little for links, so when two in a row see the same state, none are made.
func linked(ctx context.Context, s *engram.Space) error {
	if err := waitForIndexes(ctx, s); err != nil {
		return err
	}
	for last := memory.LSN(0); ; {
		r, err := s.Recall(ctx, memory.Cue{Text: "x"})
		if err != nil || r.LSN == last {
			return err
		}
		last = r.LSN
	}
}

// associationClients asks one after the other. Recalls a second of a core are
// by the processor's time, which others on the machine do not take.
func (b *bench) associationClients(ctx context.Context, s *engram.Space, name string, cue func(i int) memory.Cue) error {
	stages := map[string]time.Duration{}
	var order []string
	ask := func(ctx context.Context, caller, i int) error {
		r, err := s.Recall(ctx, cue(i))
		if err != nil {
			return err
		}
		if len(r.Results) == 0 {
			return fmt.Errorf("nothing was found for %q", cue(i).Text)
		}
		for _, t := range r.Took {
			if _, ok := stages[t.Stage]; !ok {
				order = append(order, t.Stage)
			}
			stages[t.Stage] += t.Took
		}
		return nil
	}
	if _, err := load.Repeat(ctx, 1, b.n(300), 0, ask); err != nil { // warm up
		return err
	}
	clear(stages)
	order = nil
	step("%s", name)
	before := processorTime(os.Getpid())
	r, err := load.Repeat(ctx, 1, 0, b.seconds(10), ask)
	if err != nil {
		return err
	}
	used := processorTime(os.Getpid()) - before
	n := int(r.Latency.Count())
	b.Millis(name+", p50", r.Latency.At(0.5), n, nil)
	b.Millis(name+", p99", r.Latency.At(0.99), n, record.AtMost(10))
	if used > 0 { // there is a /proc
		b.Add(record.Figure{Name: name + ", of one core", Value: float64(n) / used.Seconds(), Unit: "/s", N: n}, record.AtLeast(1000))
	}
	for _, stage := range order {
		b.Millis(name+", stage "+stage+", mean", stages[stage]/time.Duration(n), n, nil)
	}
	return nil
}
