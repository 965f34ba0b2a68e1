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
	"github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/memory"
)

// perStream is how many passages a conversation has.
const perStream = 20

// clusters is how many vectors of passages the others are made up round: the built-in
// transformer would read all passages for an hour.
const clusters = 64

// recallByAssociation measures recall with spreading over 100,000 memories in conversations,
// with the links that the engine makes by itself: by words, by words and a vector, and by
// words of which the transformer makes the vector.
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
	b.Parameters["association"] = fmt.Sprintf("%d passages of about 60 words in streams of %d, %d links, vectors round %d of the transformer's", n, perStream, info.Counts.Links, clusters)
	for _, legs := range []struct {
		name  string
		cues  []memory.Cue
		least *record.Bar // of recalls a second
	}{
		{"words and links", cues.words, record.AtLeast(1000)},
		{"words, vectors and links", cues.vectors, record.AtLeast(1000)},
		{"12 words, transformer and links", cues.texts, nil}, // the transformer takes more than that by itself
	} {
		if err := b.associationClients(ctx, s, "association, "+legs.name, legs.cues, legs.least); err != nil {
			return err
		}
	}
	return nil
}

// streamCues are questions about the streams: without a vector, with one that is made up,
// and as words for the transformer.
type streamCues struct{ words, vectors, texts []memory.Cue }

// fillStreams makes the space, waits for its links, and gives questions about it.
func (b *bench) fillStreams(ctx context.Context, db *engram.DB, n int) (*engram.Space, *streamCues, error) {
	step("storing %d passages in streams", n)
	s, err := spaceWith(ctx, db, minilm.Name)
	if err != nil {
		return nil, nil, err
	}
	src := prose.New(b.seed)
	centres, err := passageVectors(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	batch := make([]memory.Episode, 0, 500)
	topic := 0
	for i := range n {
		if i%perStream == 0 {
			topic = src.Topic()
		}
		e := memory.Episode{ID: memory.ID(fmt.Sprintf("p%d", i)), Text: src.Passage(topic, 60), People: []string{src.Name()}, Happened: memory.At(src.When()),
			Stream: fmt.Sprint("stream ", i/perStream), Vector: src.Near(centres[topic%clusters], 0.4)}
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
	cues := new(streamCues)
	for range 2000 {
		t := src.Topic()
		c := memory.Cue{Text: src.Question(t, 6+src.IntN(5)), Stages: memory.Stages{NoVector: true}}
		cues.words = append(cues.words, c)
		c.Vector, c.Stages = src.Near(centres[t%clusters], 0.4), memory.Stages{}
		cues.vectors = append(cues.vectors, c)
		cues.texts = append(cues.texts, memory.Cue{Text: src.Question(t, 12)})
	}
	return s, cues, nil
}

// passageVectors are the transformer's vectors of passages, of a topic each.
func passageVectors(ctx context.Context, src *prose.Source) ([][]float32, error) {
	m, err := warmMiniLM()
	if err != nil {
		return nil, err
	}
	texts := make([]string, clusters)
	for t := range texts {
		texts[t] = src.Passage(t, 60)
	}
	return m.Embed(ctx, texts)
}

// linked returns once the rules have been asked about all that is stored, and their links
// are in the graph: that is an index too. The recall opens a space that is closed.
func linked(ctx context.Context, s *engram.Space) error {
	if _, err := s.Recall(ctx, memory.Cue{Text: "x"}); err != nil {
		return err
	}
	return waitForIndexes(ctx, s)
}

// associationClients asks one after the other. Recalls a second of a core are
// by the processor's time, which others on the machine do not take.
func (b *bench) associationClients(ctx context.Context, s *engram.Space, name string, cues []memory.Cue, least *record.Bar) error {
	stages := map[string]time.Duration{}
	var order []string
	ask := func(ctx context.Context, caller, i int) error {
		cue := cues[i%len(cues)]
		r, err := s.Recall(ctx, cue)
		if err != nil {
			return err
		}
		if len(r.Results) == 0 {
			return fmt.Errorf("nothing was found for %q", cue.Text)
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
		b.Add(record.Figure{Name: name + ", of one core", Value: float64(n) / used.Seconds(), Unit: "/s", N: n}, least)
	}
	for _, stage := range order {
		b.Millis(name+", stage "+stage+", mean", stages[stage]/time.Duration(n), n, nil)
	}
	return nil
}
