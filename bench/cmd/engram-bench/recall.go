package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// selectivities are tags that 1 in so many passages has.
var selectivities = []struct {
	tag  string
	one  int
	says string
}{{"all", 1, "100 %"}, {"half", 2, "50 %"}, {"tenth", 10, "10 %"}, {"hundredth", 100, "1 %"}, {"thousandth", 1000, "0.1 %"}}

// recall measures recall by text over 100,000 passages, the exact vector scan
// over 10,000, what filters cost, and recall by association over 100,000.
func recall(ctx context.Context, b *bench) (err error) {
	db, err := engram.Open(ctx, filepath.Join(b.scratch, "db"), engram.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if b.does("text") || b.does("filters") {
		if err := b.recallByText(ctx, db); err != nil {
			return err
		}
	}
	if b.does("vector") {
		if err := b.recallByVector(ctx, db); err != nil {
			return err
		}
	}
	if b.does("association") {
		return b.recallByAssociation(ctx)
	}
	return nil
}

func (b *bench) recallByText(ctx context.Context, db *engram.DB) error {
	n := b.n(100_000)
	s, err := fillPassages(ctx, db, "passages", b.seed, n)
	if err != nil {
		return err
	}
	b.Parameters["passages"] = fmt.Sprintf("%d of about 60 words", n)
	questions := makeQuestions(b.seed+1, 2000)
	if b.does("text") {
		if err := b.textClients(ctx, s, questions); err != nil {
			return err
		}
	}
	if b.does("filters") {
		return b.filters(ctx, "text", 2000, s, func(i int) memory.Cue { return memory.Cue{Text: questions[i%len(questions)]} })
	}
	return nil
}

// fillPassages makes a space of passages with tags of all selectivities, and
// waits until its indexes have them.
func fillPassages(ctx context.Context, db *engram.DB, name string, seed uint64, n int) (*engram.Space, error) {
	step("storing %d passages", n)
	if _, _, err := db.CreateSpace(ctx, memory.SpaceName(name), memory.Settings{}); err != nil {
		return nil, err
	}
	s, err := db.Space(memory.SpaceName(name))
	if err != nil {
		return nil, err
	}
	src := prose.New(seed)
	batch := make([]memory.Episode, 0, 500)
	for i := range n {
		batch = append(batch, passage(src, i))
		if len(batch) == cap(batch) || i == n-1 {
			if _, err := s.RememberBatch(ctx, batch, false, engram.WriteOptions{}); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	return s, waitForIndexes(ctx, s)
}

func passage(src *prose.Source, i int) memory.Episode {
	e := memory.Episode{
		ID: memory.ID(fmt.Sprintf("p%d", i)), Text: src.Passage(src.Topic(), 60), People: []string{src.Name()},
		Happened: memory.At(src.When()), Metadata: memory.Metadata{"n": float64(i)},
	}
	for _, s := range selectivities {
		// A draw, not every n-th: a filter's passages lie as they may.
		if src.IntN(s.one) == 0 {
			e.Tags = append(e.Tags, s.tag)
		}
	}
	return e
}

func makeQuestions(seed uint64, n int) []string {
	src := prose.New(seed)
	qs := make([]string, n)
	for i := range qs {
		qs[i] = src.Question(src.Topic(), 6+src.IntN(5))
	}
	return qs
}

// waitForIndexes returns once no acknowledged change waits for an index, so
// that the tail is not measured with the index.
func waitForIndexes(ctx context.Context, s *engram.Space) error {
	for {
		info, err := s.Info(ctx)
		if err != nil {
			return err
		}
		tail := 0
		for _, i := range info.Indexes {
			tail += i.Tail
		}
		if tail == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *bench) textClients(ctx context.Context, s *engram.Space, questions []string) error {
	ask := func(ctx context.Context, _, i int) error {
		r, err := s.Recall(ctx, memory.Cue{Text: questions[i%len(questions)]})
		if err == nil && len(r.Results) == 0 {
			err = fmt.Errorf("nothing was found for %q", questions[i%len(questions)])
		}
		return err
	}
	if _, err := load.Repeat(ctx, 1, b.n(500), 0, ask); err != nil { // warm up
		return err
	}
	for _, clients := range []int{1, 2, 16} {
		step("recall by text, clients: %d", clients)
		r, err := load.Repeat(ctx, clients, 0, b.seconds(10), ask)
		if err != nil {
			return err
		}
		n := int(r.Latency.Count())
		name := fmt.Sprintf("recall by text, %d clients", clients)
		if clients == 1 {
			name = "recall by text, 1 client"
			b.Millis(name+", p50", r.Latency.At(0.5), n, nil)
			b.Millis(name+", p99", r.Latency.At(0.99), n, record.AtMost(5))
		}
		b.Add(record.Figure{Name: name, Value: r.Rate, Unit: "/s", N: n}, nil)
	}
	return nil
}

// filters asks each question without a filter and with each, one after the
// other, so that what else happens on the machine hits all alike. The order is
// drawn anew for each question: who comes after one that touched the same
// postings finds them in the processor's cache.
func (b *bench) filters(ctx context.Context, what string, n int, s *engram.Space, cue func(i int) memory.Cue) error {
	step("filters, by %s", what)
	n = b.n(n)
	tags := []string{""} // none
	for _, sel := range selectivities {
		tags = append(tags, sel.tag)
	}
	each := make([]*load.Latency, len(tags))
	for k := range each {
		each[k] = load.NewLatency()
	}
	rng := rand.New(rand.NewPCG(b.seed, 3))
	warm := n / 10
	for i := range warm + n {
		if i == warm {
			for k := range each {
				each[k] = load.NewLatency()
			}
		}
		for _, k := range rng.Perm(len(tags)) {
			if err := timed(ctx, s, cue(i), tags[k], each[k]); err != nil {
				return err
			}
		}
	}
	none := each[0].At(0.5)
	b.Millis("by "+what+", no filter, p50", none, n, nil)
	for k, sel := range selectivities {
		ratio := float64(each[k+1].At(0.5)) / float64(none)
		b.Add(record.Figure{Name: fmt.Sprintf("by %s, filter of %s, p50 by none's", what, sel.says), Value: ratio, Unit: "x", N: n}, record.AtMost(1.2))
	}
	for k, sel := range selectivities {
		ratio := float64(each[k+1].Mean()) / float64(each[0].Mean())
		b.Add(record.Figure{Name: fmt.Sprintf("by %s, filter of %s, mean by none's", what, sel.says), Value: ratio, Unit: "x", N: n}, nil)
	}
	return nil
}

// timed asks once and looks whether the answer obeys the filter.
func timed(ctx context.Context, s *engram.Space, c memory.Cue, tag string, l *load.Latency) error {
	if tag != "" {
		c.Filter.Tags = []string{tag}
	}
	begin := time.Now()
	r, err := s.Recall(ctx, c)
	l.Add(time.Since(begin))
	if err != nil {
		return err
	}
	for _, x := range r.Results {
		if tag != "" && !slices.Contains(x.Memory.Tags, tag) {
			return fmt.Errorf("%s came back and does not have the tag %s", x.Memory.ID, tag)
		}
	}
	return nil
}

func (b *bench) recallByVector(ctx context.Context, db *engram.DB) error {
	v, err := fillVectors(ctx, db, b.seed, b.n(10_000))
	if err != nil {
		return err
	}
	b.Parameters["vectors"] = fmt.Sprintf("%d of %d, in 100 clusters", len(v.all), dimension)
	step("exact scan")
	l, n := load.NewLatency(), b.n(1000)
	for i := range n + 20 {
		q := v.query(i)
		begin := time.Now()
		r, err := v.space.Recall(ctx, v.cue(i))
		took := time.Since(begin)
		if err != nil {
			return err
		}
		if i < 20 { // warm up, and see that the scan finds what is there
			if err := v.check(r, q); err != nil {
				return err
			}
			continue
		}
		l.Add(took)
	}
	name := fmt.Sprintf("exact scan of %d x %d", len(v.all), dimension)
	b.Millis(name+", p50", l.At(0.5), n, record.AtMost(8))
	b.Millis(name+", p99", l.At(0.99), n, nil)
	return b.filters(ctx, "vector", 300, v.space, v.cue)
}

// vectors is a space of vectors and what is needed to check its answers.
type vectors struct {
	space   *engram.Space
	all     [][]float32
	queries [][]float32
}

func (v *vectors) query(i int) []float32 { return v.queries[i%len(v.queries)] }

func (v *vectors) cue(i int) memory.Cue {
	exact := true
	return memory.Cue{Vector: v.query(i), Exact: &exact}
}

func fillVectors(ctx context.Context, db *engram.DB, seed uint64, n int) (*vectors, error) {
	step("storing %d vectors", n)
	if _, _, err := db.CreateSpace(ctx, "vectors", memory.Settings{Vector: memory.VectorSettings{Dimension: dimension}}); err != nil {
		return nil, err
	}
	s, err := db.Space("vectors")
	if err != nil {
		return nil, err
	}
	v := &vectors{space: s}
	src := prose.New(seed)
	var centres [][]float32
	for range 100 {
		centres = append(centres, src.Centre(dimension))
	}
	batch := make([]memory.Episode, 0, 200)
	for i := range n {
		e := passage(src, i)
		e.Vector = src.Near(centres[i%len(centres)], 0.4)
		v.all = append(v.all, e.Vector)
		batch = append(batch, e)
		if len(batch) == cap(batch) || i == n-1 {
			if _, err := s.RememberBatch(ctx, batch, false, engram.WriteOptions{}); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	for i := range 200 {
		v.queries = append(v.queries, src.Near(centres[i%len(centres)], 0.4))
	}
	return v, waitForIndexes(ctx, s)
}

// check compares an answer with a plain scan in double precision.
func (v *vectors) check(r engram.Recollection, q []float32) error {
	type near struct {
		id  memory.ID
		dot float64
	}
	plain := make([]near, len(v.all))
	for i, x := range v.all {
		plain[i].id = memory.ID(fmt.Sprintf("p%d", i))
		for j := range x {
			plain[i].dot += float64(x[j]) * float64(q[j])
		}
	}
	sort.Slice(plain, func(i, j int) bool { return plain[i].dot > plain[j].dot })
	if len(r.Results) != min(memory.DefaultLimit, len(plain)) {
		return fmt.Errorf("an exact scan gave %d results", len(r.Results))
	}
	for i, x := range r.Results {
		// Two that are as near as float32 can tell may change places.
		if x.Memory.ID != plain[i].id && !closeTo(v, x.Memory.ID, q, plain[i].dot) {
			return fmt.Errorf("place %d of an exact scan is %s, want %s", i, x.Memory.ID, plain[i].id)
		}
	}
	return nil
}

func closeTo(v *vectors, id memory.ID, q []float32, want float64) bool {
	var i int
	if _, err := fmt.Sscanf(string(id), "p%d", &i); err != nil || i >= len(v.all) {
		return false
	}
	sum := 0.0
	for j, x := range v.all[i] {
		sum += float64(x) * float64(q[j])
	}
	return sum > want-1e-5
}
