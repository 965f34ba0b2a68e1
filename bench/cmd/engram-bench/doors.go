package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server"
)

// doors measures what the ways in cost: the same operations in process, over gRPC
// and over REST, in one run; calls a second; import and export; a server at rest.
func doors(ctx context.Context, b *bench) error {
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"mix", b.doorsMix}, {"caller", b.doorsCaller}, {"rate", b.doorsRate}, {"transfer", b.doorsTransfer}, {"idle", b.doorsIdle}} {
		if !b.does(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.Note("Clients and server share the machine's cores; REST's bodies are encoded beforehand, gRPC's by the client.")
	b.Note("Of a server: from when it has read the request's headers until its answer is written, by its own log.")
	return nil
}

// doorNames are the ways in, in the order of the plan's kinds.
var doorNames = []string{"in process", "gRPC", "REST"}

// A call of a door; i chooses the memory or the question.
type entry struct {
	remember, recall func(ctx context.Context, i int) error
}

// entries are a database and its server, with a call of each door.
type entries struct {
	db      *engram.DB
	grpc    *engramclient.Client
	rest    *rest
	pool    *pool
	seen    *listener
	stop    func() error
	queries [][]float32
	cues    [][]byte // the same as REST bodies
	space   *engram.Space
}

const doorsSpace = "doors"

func (b *bench) newEntries(ctx context.Context, dir string) (w *entries, err error) {
	w = &entries{seen: &listener{on: map[string]*load.Latency{}}}
	if w.pool, err = newPool(b.seed, 1000); err != nil {
		return nil, err
	}
	if w.db, err = engram.Open(ctx, dir, engram.Options{}); err != nil {
		return nil, err
	}
	srv, err := server.New(w.db, server.Options{Logger: slog.New(w.seen), SlowRequest: time.Hour})
	if err != nil {
		return nil, errors.Join(err, w.db.Close())
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, w.db.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }() // ends with Shutdown, in stop
	w.stop = func() error {
		w.grpc.Close()
		w.rest.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return errors.Join(srv.Shutdown(ctx), <-ended, w.db.Close())
	}
	w.rest = restAt(ln.Addr().String(), w.pool)
	if w.grpc, err = engramclient.New(ln.Addr().String(), w.options()); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	if err := w.fill(ctx, b.seed); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

// fill stores the pool once, and makes up the questions.
func (w *entries) fill(ctx context.Context, seed uint64) error {
	l := &library{w.db, w.pool}
	if err := l.makeSpace(ctx, doorsSpace); err != nil {
		return err
	}
	for i := range len(w.pool.batches) {
		if err := l.rememberBatch(ctx, doorsSpace, i); err != nil {
			return err
		}
	}
	var err error
	if w.space, err = w.db.Space(doorsSpace); err != nil {
		return err
	}
	src := prose.New(seed + 2)
	for range 1000 {
		v := src.Near(w.pool.episodes[src.IntN(len(w.pool.episodes))].Vector, 0.2)
		body, err := json.Marshal(map[string]any{"vector": v})
		if err != nil {
			return err
		}
		w.queries, w.cues = append(w.queries, v), append(w.cues, body)
	}
	return waitForIndexes(ctx, w.space)
}

var errNothing = errors.New("nothing was found")

// all are the doors, as doorNames names them.
func (w *entries) all() []entry {
	return []entry{
		{
			func(ctx context.Context, i int) error {
				_, err := w.space.Remember(ctx, w.pool.episodes[i%len(w.pool.episodes)], engram.WriteOptions{})
				return err
			},
			func(ctx context.Context, i int) error {
				r, err := w.space.Recall(ctx, memory.Cue{Vector: w.queries[i%len(w.queries)]})
				if err == nil && len(r.Results) == 0 {
					err = errNothing
				}
				return err
			},
		},
		w.over(w.grpc),
		{
			func(ctx context.Context, i int) error { return w.rest.remember(ctx, doorsSpace, i) },
			func(ctx context.Context, i int) error {
				return w.rest.call(ctx, "POST", doorsSpace+"/recall", w.cues[i%len(w.cues)])
			},
		},
	}
}

// over are the calls of a client.
func (w *entries) over(c *engramclient.Client) entry {
	return entry{
		func(ctx context.Context, i int) error {
			e := &w.pool.episodes[i%len(w.pool.episodes)]
			_, err := c.Remember(ctx, &engramv1.RememberRequest{Space: doorsSpace, Memory: &engramv1.MemoryInput{Text: e.Text, Vector: e.Vector}})
			return err
		},
		func(ctx context.Context, i int) error {
			r, err := c.Recall(ctx, &engramv1.RecallRequest{Space: doorsSpace, Cue: &engramv1.Cue{Vector: w.queries[i%len(w.queries)]}})
			if err == nil && len(r.GetResults()) == 0 {
				err = errNothing
			}
			return err
		},
	}
}

// options are those of the gRPC client: each call once and as it is.
func (*entries) options() engramclient.Options {
	return engramclient.Options{Protocol: engramclient.GRPC, Timeout: -1, Retries: -1, NoIdempotencyKeys: true, StaleReads: true}
}

// doorsMix runs 1,000 operations a second, half of them writes, each through a
// door that chance chooses: what disturbs one disturbs all.
func (b *bench) doorsMix(ctx context.Context) (err error) {
	step("storing 1,000 memories of 768 numbers")
	w, err := b.newEntries(ctx, filepath.Join(b.scratch, "mix"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	recipe := load.Recipe{Seed: b.seed, Arrival: load.Poisson, Rate: 1000, Length: b.seconds(70)}
	for _, d := range doorNames {
		recipe.Kinds = append(recipe.Kinds, load.Kind{Name: d + ", remember", Weight: 1}, load.Kind{Name: d + ", recall", Weight: 1})
	}
	plan, err := load.NewPlan(recipe)
	if err != nil {
		return err
	}
	b.Parameters["plan"] = fmt.Sprintf("%d operations, %s arrivals, %.0f/s, SHA-256 %s", len(plan.Ops), plan.Arrival, plan.Rate, plan.Digest())
	doors := w.all()
	step("1,000 operations a second")
	warm := b.seconds(10)
	begin := time.Now()
	r, err := load.Run(ctx, plan, load.Config{Workers: 16, WarmUp: warm, Do: func(ctx context.Context, _ int, op load.Op) (any, error) {
		if op.Due >= warm {
			w.seen.listening.Store(true)
		}
		d := doors[op.Kind/2]
		if op.Kind%2 == 0 {
			return nil, d.remember(ctx, int(op.Seed%1000))
		}
		return nil, d.recall(ctx, int(op.Seed%1000))
	}})
	if err != nil {
		return err
	}
	step("done in %v", time.Since(begin).Round(time.Millisecond))
	b.reportDoors(r, w.seen)
	return nil
}

// quantiles are those of every table.
var quantiles = []struct {
	name string
	at   float64
}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}}

func (b *bench) reportDoors(r *load.Result, seen *listener) {
	for _, k := range r.Kinds {
		n := int(k.Latency.Count())
		for _, q := range quantiles {
			b.Millis(k.Name+", client, "+q.name, k.Latency.At(q.at), n, nil)
		}
		if l := seen.of(k.Name); l != nil {
			for _, q := range quantiles {
				b.Millis(k.Name+", server, "+q.name, l.At(q.at), int(l.Count()), nil)
			}
		}
		if k.FirstError != nil {
			b.Note("%s: %d errors; the first: %v", k.Name, k.Errors, k.FirstError)
		}
	}
	b.Add(record.Figure{Name: "answered", Value: r.Done, Unit: "/s", N: int(r.All.Count())}, record.AtLeast(990))
	b.Add(record.Figure{Name: "errors", Value: 100 * float64(r.Errors()) / max(1, float64(r.All.Count())), Unit: "%"}, record.AtMost(0))
	b.Millis("all, p99", r.All.At(0.99), int(r.All.Count()), record.AtMost(50))
	b.Millis("wait for a free worker, p99", r.Late.At(0.99), int(r.Late.Count()), nil)
}

// A listener hears how long the server's calls took from its log.
type listener struct {
	listening atomic.Bool
	mu        sync.Mutex
	on        map[string]*load.Latency // by door and verb; guarded by mu
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return l.listening.Load() }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *listener) WithGroup(string) slog.Handler            { return l }

func (l *listener) Handle(_ context.Context, r slog.Record) error {
	var door, verb string
	var took time.Duration
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "door":
			door = a.Value.String()
		case "verb":
			verb = a.Value.String()
		case "took":
			took = a.Value.Duration()
		}
		return true
	})
	name := strings.ToLower(door) + ", " + verb
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on[name] == nil {
		l.on[name] = load.NewLatency()
	}
	l.on[name].Add(took)
	return nil
}

// forget lets go of what was heard.
func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = map[string]*load.Latency{}
}

func (l *listener) of(name string) *load.Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on[strings.ToLower(name)]
}

// doorsRate asks for a memory of 1 KB as often as callers can, over every protocol.
func (b *bench) doorsRate(ctx context.Context) (err error) {
	w, err := b.newEntries(ctx, filepath.Join(b.scratch, "rate"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	text := prose.New(b.seed).Passage(1, 400)[:1000]
	wrote, err := w.space.Remember(ctx, memory.Episode{Text: text}, engram.WriteOptions{})
	if err != nil {
		return err
	}
	id := string(wrote.ID)
	simple, err := engramclient.New(w.grpc.Address(), engramclient.Options{Timeout: -1, Retries: -1, NoIdempotencyKeys: true, StaleReads: true})
	if err != nil {
		return err
	}
	defer simple.Close()
	by := func(c *engramclient.Client) func(context.Context, int, int) error {
		return func(ctx context.Context, _, _ int) error {
			_, err := c.GetMemory(ctx, &engramv1.GetMemoryRequest{Space: doorsSpace, Id: id})
			return err
		}
	}
	for _, c := range []struct {
		name string
		ask  func(context.Context, int, int) error
		bar  *record.Bar
	}{
		{"gRPC", by(w.grpc), record.AtLeast(10_000)},
		{"Connect", by(simple), nil},
		{"REST", func(ctx context.Context, _, _ int) error {
			return w.rest.call(ctx, "GET", doorsSpace+"/memories/"+id, nil)
		}, nil},
	} {
		for _, callers := range []int{1, 64} {
			step("%s, %d callers", c.name, callers)
			r, err := load.Repeat(ctx, callers, 0, b.seconds(8), c.ask)
			if err != nil {
				return err
			}
			bar := c.bar
			if callers == 1 {
				bar = nil
			}
			name := c.name + ", 1 KB read by " + strconv.Itoa(callers)
			b.Add(record.Figure{Name: name, Value: r.Rate, Unit: "/s", N: int(r.Latency.Count())}, bar)
			b.Millis(name+", p50", r.Latency.At(0.5), int(r.Latency.Count()), nil)
			b.Millis(name+", p99", r.Latency.At(0.99), int(r.Latency.Count()), nil)
		}
	}
	return nil
}

// drain reads an answer to its end and counts.
func drain(r io.ReadCloser) (int64, error) {
	defer r.Close()
	return io.Copy(io.Discard, r)
}
