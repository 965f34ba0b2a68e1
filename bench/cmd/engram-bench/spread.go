package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// spread measures activation: on graphs alone, friendly and hostile, in a space of a
// million links, and what links cost a writer.
func spread(ctx context.Context, b *bench) error {
	for _, part := range []struct {
		name    string
		measure func(context.Context, *bench) error
	}{{"graph", spreadGraphs}, {"hostile", spreadHostile}, {"remember", linkedWrites}, {"space", spreadSpace}} {
		if !b.does(part.name) {
			continue
		}
		if err := part.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.Note("Graphs are scale-free: half of the links go to the end of an earlier one. Activation starts at %d nodes of chance, with the defaults of a recall.", spreadSeeds)
	return nil
}

// spreadSeeds is how many nodes are active to begin with.
const spreadSeeds = 50

var linkTypes = []string{graph.TypeNext, graph.TypeMentions, "cites"}

// scaleFree calls make for links as they grow in the world: from every node some, half
// of them to nodes of chance and half to the end of one that is there, so that a few
// nodes have very many.
func scaleFree(seed uint64, nodes, links int, make1 func(i, from, to int, typ string, weight float64) error) error {
	r := rand.New(rand.NewPCG(seed, 9))
	ends := make([]int, 0, links)
	for i := range links {
		to := r.IntN(nodes) + 1
		if i%2 == 1 {
			to = ends[r.IntN(len(ends))]
		}
		ends = append(ends, to)
		if err := make1(i, i%nodes+1, to, linkTypes[r.IntN(len(linkTypes))], float64(r.IntN(4)+1)/4); err != nil {
			return err
		}
	}
	return nil
}

func scaleFreeGraph(seed uint64, nodes, links int) (*graph.Graph, error) {
	g := graph.New()
	err := scaleFree(seed, nodes, links, func(i, from, to int, typ string, weight float64) error {
		return g.Put(graph.Link{From: memory.Ordinal(from), To: memory.Ordinal(to), Type: typ, Tag: uint32(i), Weight: weight})
	})
	return g, err
}

// seedsIn draws nodes to start from.
func seedsIn(r *rand.Rand, nodes, n int) []graph.Seed {
	seeds := make([]graph.Seed, n)
	for i := range seeds {
		seeds[i] = graph.Seed{Node: memory.Ordinal(r.IntN(nodes) + 1), Activation: 1 / float64(i+1)}
	}
	return seeds
}

// spreads measures spreads of a graph, from other seeds each time.
func (b *bench) spreads(ctx context.Context, name string, g *graph.Graph, nodes, n int, o graph.Options, bar *record.Bar) error {
	step("%s", name)
	r := rand.New(rand.NewPCG(b.seed, 50))
	took, work := load.NewLatency(), 0
	for i := range n + n/10 {
		seeds := seedsIn(r, nodes, spreadSeeds)
		began := time.Now()
		a, err := g.Spread(ctx, seeds, o)
		if err != nil {
			return err
		}
		if i >= n/10 { // the first ones warm up
			took.Add(time.Since(began))
			work += a.Work
		}
	}
	b.Millis(name+", p50", took.At(0.5), n, nil)
	b.Millis(name+", p99", took.At(0.99), n, bar)
	b.Add(record.Figure{Name: name + ", links looked at", Value: float64(work) / float64(n), Unit: "a spread"}, nil)
	return nil
}

func spreadGraphs(ctx context.Context, b *bench) error {
	for _, size := range []struct {
		nodes, links int
		n            int
		three        float64 // milliseconds
		bars         bool
	}{{100_000, 1_000_000, 2000, 15, true}, {1_000_000, 10_000_000, 500, 50, false}} {
		nodes, links := b.n(size.nodes), b.n(size.links)
		step("a graph of %d links", links)
		began := time.Now()
		g, err := scaleFreeGraph(b.seed, nodes, links)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d nodes, %d links", nodes, links)
		b.Millis(name+", grown link by link", time.Since(began), 1, nil)
		b.Add(record.Figure{Name: name + ", memory", Value: float64(g.Stats().Bytes) / float64(links), Unit: "bytes a link"}, nil)
		for _, x := range []struct {
			name string
			o    graph.Options
			most float64
		}{{"1 hop", graph.Options{Hops: 1}, 1}, {"2 hops", graph.Options{Hops: 2}, 5}, {"3 hops", graph.Options{}, size.three},
			{"3 hops and paths of 100 nodes", graph.Options{Paths: 3, Limit: 100}, 0}} {
			var bar *record.Bar
			if x.most > 0 && (size.bars || x.o.Hops == 0) {
				bar = record.AtMost(x.most)
			}
			if err := b.spreads(ctx, name+": "+x.name, g, nodes, b.n(size.n), x.o, bar); err != nil {
				return err
			}
		}
	}
	return nil
}

// spreadHostile measures graphs that were made to hurt. No work may be without bound,
// whatever the links.
func spreadHostile(ctx context.Context, b *bench) error {
	const nodes = 1_000_000
	links := b.n(nodes)
	hub := func(i int) (from, to int) { return 1, i%(nodes-1) + 2 }
	loops := func(i int) (from, to int) { return i%1000 + 1, i%1000 + 1 }
	ring := func(i int) (from, to int) { return i%nodes + 1, (i+1)%nodes + 1 }
	mesh := func(i int) (from, to int) { return i%1000 + 1, (i*7919)%1000 + 1 } // everything is linked to everything
	for _, x := range []struct {
		name  string
		ends  func(i int) (from, to int)
		nodes int
		o     graph.Options
	}{
		{"a hub of all links", hub, 100, graph.Options{}},
		{"a hub of all links, no threshold", hub, 100, graph.Options{Threshold: 1e-12}},
		{"self-loops", loops, 1000, graph.Options{Hops: graph.MaxHops, Threshold: 1e-9}},
		{"a ring", ring, nodes, graph.Options{Hops: graph.MaxHops, Threshold: 1e-9}},
		{"a thousand nodes, all linked to all", mesh, 1000, graph.Options{Hops: graph.MaxHops, Threshold: 1e-12}},
	} {
		g := graph.New()
		for i := range links {
			from, to := x.ends(i)
			if err := g.Put(graph.Link{From: memory.Ordinal(from), To: memory.Ordinal(to), Type: "x", Tag: uint32(i), Weight: 1}); err != nil {
				return err
			}
		}
		bar := record.AtMost(250).Because("a million links looked at, which is the bound")
		if err := b.spreads(ctx, fmt.Sprintf("hostile, %d links: %s", links, x.name), g, x.nodes, b.n(50), x.o, bar); err != nil {
			return err
		}
	}
	return nil
}

// linkedWrites measures what automatic links cost who writes.
func linkedWrites(ctx context.Context, b *bench) (err error) {
	step("writes with and without automatic links")
	n, writer := b.n(8000), b.n(5000)
	src := prose.New(b.seed)
	texts := make([]memory.Episode, n+turnsBeyond+writer)
	for i := range texts {
		texts[i] = passage(src, i)
		texts[i].Stream = fmt.Sprint("s", i/20)
		if i%5 == 0 {
			texts[i].Title = src.Name()
		}
	}
	var arms [2]arm
	var spaces [2]*engram.Space
	for i, name := range []string{"without automatic links", "with automatic links"} {
		db, err2 := engram.Open(ctx, filepath.Join(b.scratch, fmt.Sprint("links", i)), engram.Options{AutoLinks: i == 1})
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		s, err2 := db.Space(engram.DefaultSpace)
		if err2 != nil {
			return err2
		}
		if _, err := s.Recall(ctx, memory.Cue{Text: "opened"}); err != nil { // both have their indexes open
			return err
		}
		spaces[i] = s
		arms[i] = arm{name: name,
			do: func(ctx context.Context, i int) error {
				_, err := s.Remember(ctx, texts[i], engram.WriteOptions{})
				return err
			},
			settle: func(ctx context.Context) error { return linksSettled(ctx, s) }, db: db,
		}
	}
	took, err := b.compare(ctx, n, arms)
	if err != nil {
		return err
	}
	b.reportTurns("remember", arms, took, record.AtMost(1.5))
	if took, err = b.backToBack(ctx, n+turnsBeyond, writer, 250, arms); err != nil {
		return err
	}
	b.reportBackToBack("remember", arms, took)
	info, err := spaces[1].Info(ctx)
	if err == nil && info.Counts.Links == 0 {
		err = errors.New("the rules made no links")
	}
	b.Add(record.Figure{Name: "links that the rules made of them", Value: float64(info.Counts.Links)}, nil)
	return err
}

// linksSettled waits until no more links come.
func linksSettled(ctx context.Context, s *engram.Space) error {
	for last := memory.LSN(0); ; {
		lsn, err := s.LSN()
		if err != nil || lsn == last {
			return err
		}
		last = lsn
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// spreadSpace measures spreads through the database, names and links of paths
// included, and how it opens with and without a snapshot of its links.
func spreadSpace(ctx context.Context, b *bench) error {
	nodes, links := b.n(100_000), b.n(1_000_000)
	dir := filepath.Join(b.scratch, "space")
	if err := fillLinked(ctx, dir, b.seed, nodes, links); err != nil {
		return err
	}
	name := fmt.Sprintf("a space of %d nodes and %d links", nodes, links)
	for _, snapshot := range []bool{true, false} {
		says := "from the snapshot"
		if !snapshot {
			says = "from the state"
			files, err := filepath.Glob(filepath.Join(dir, "index", "links.*"))
			if err != nil || len(files) != 1 {
				return errors.Join(err, fmt.Errorf("there are the snapshots %q", files))
			}
			if err := os.Remove(files[0]); err != nil {
				return err
			}
		}
		step("%s, links %s", name, says)
		began := time.Now()
		db, err := engram.Open(ctx, dir, engram.Options{AutoLinks: true})
		if err != nil {
			return err
		}
		s, err := db.Space(engram.DefaultSpace)
		if err == nil {
			_, err = s.Spread(ctx, engram.SpreadQuery{IDs: []memory.ID{"e1"}})
		}
		b.Millis(name+", open to first spread, links "+says, time.Since(began), 1, nil)
		if err == nil && snapshot {
			err = b.spaceSpreads(ctx, name, s, nodes)
		}
		if err := errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) spaceSpreads(ctx context.Context, name string, s *engram.Space, nodes int) error {
	for _, hops := range []int{1, 2, 3} {
		r := rand.New(rand.NewPCG(b.seed, 7))
		took := load.NewLatency()
		n := b.n(1000)
		for i := range n + n/10 {
			q := engram.SpreadQuery{IDs: []memory.ID{memory.ID(fmt.Sprint("e", r.IntN(nodes)+1))}, Hops: hops, Paths: 3}
			began := time.Now()
			if _, err := s.Spread(ctx, q); err != nil {
				return err
			}
			if i >= n/10 {
				took.Add(time.Since(began))
			}
		}
		b.Millis(fmt.Sprintf("%s: Spread from one, %d hops, 10 nodes with paths, p50", name, hops), took.At(0.5), n, nil)
		b.Millis(fmt.Sprintf("%s: Spread from one, %d hops, 10 nodes with paths, p99", name, hops), took.At(0.99), n, nil)
	}
	return nil
}

// fillLinked makes a database of entities and links, and closes it in order.
func fillLinked(ctx context.Context, dir string, seed uint64, nodes, links int) (err error) {
	step("storing %d nodes and %d links", nodes, links)
	db, err := engram.Open(ctx, dir, engram.Options{AutoLinks: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := db.Space(engram.DefaultSpace)
	if err != nil {
		return err
	}
	if _, err := s.Recall(ctx, memory.Cue{Text: "opened"}); err != nil {
		return err
	}
	o := engram.WriteOptions{Durability: memory.DurabilityProcess}
	if _, err := load.Repeat(ctx, 8, nodes, 0, func(ctx context.Context, _, i int) error {
		_, err := s.PutEntity(ctx, memory.Entity{ID: memory.ID(fmt.Sprint("e", i+1)), Name: fmt.Sprint("Number ", i+1)}, o)
		return err
	}); err != nil {
		return err
	}
	batch := make([]memory.Link, 0, memory.MaxBatch)
	return scaleFree(seed, nodes, links, func(i, from, to int, typ string, weight float64) error {
		batch = append(batch, memory.Link{From: memory.ID(fmt.Sprint("e", from)), To: memory.ID(fmt.Sprint("e", to)), Type: typ, Weight: weight})
		if len(batch) < cap(batch) && i < links-1 {
			return nil
		}
		_, err := s.LinkBatch(ctx, batch, false, o)
		batch = batch[:0]
		return err
	})
}
