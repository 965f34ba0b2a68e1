package engram

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
)

// SpreadQuery asks where activation goes from some nodes. Zero means default. At
// least one of IDs, Seeds, Text and Vector is given.
type SpreadQuery struct {
	// IDs and Seeds are nodes that are active to begin with, those of IDs with 1; both
	// together are at most MaxSpreadSeeds.
	IDs   []memory.ID
	Seeds []SpreadSeed
	// Text and Vector make seeds of the memories that are like them and stand out
	// from the rest, as in a recall, and of what the text names, with 1.
	Text   string
	Vector []float32
	// Filter says which memories activation may touch; entities always let it
	// through. Its Kinds say which nodes are answered.
	Filter memory.Filter
	// Types are the types of link that carry activation; none is all.
	Types []string
	// Flows say how well types carry it; "" stands for those that are not named. Those
	// that are left out have graph.DefaultFlows.
	Flows map[string]Flow
	// Direction is Both by default; Out goes with the arrows only, In against them.
	Direction memory.Direction
	Fan       Fan
	Decay     float64 // left after each link; default graph.DefaultDecay
	Threshold float64 // the least that a link carries; default graph.DefaultThreshold
	Hops      int     // links at most; default graph.DefaultHops, at most MaxSpreadHops
	MaxWork   int     // links looked at; default and at most MaxSpreadWork
	Limit     int     // nodes answered; default memory.DefaultLimit, at most memory.MaxLimit
	Paths     int     // of each; at most graph.MaxPaths, default none
	// AsOf takes the links that held in the world then; zero: all that stand.
	AsOf time.Time
}

// SpreadSeed is a node and how active it is to begin with.
type SpreadSeed struct {
	ID     memory.ID
	Weight float64 // 0 to graph.SeedMost
}

// MaxSpreadSeeds bounds the seeds of a query.
const MaxSpreadSeeds = 1000

// MaxSpreadHops and MaxSpreadWork bound the links of a path, and the links that a
// query looks at.
const (
	MaxSpreadHops = graph.MaxHops
	MaxSpreadWork = graph.DefaultMaxWork
)

// Flow says how well a type of link carries activation, along its arrow and against it.
type Flow = graph.Flow

// Fan says how a node's activation is divided over its links.
type Fan = graph.Fan

// ParseFan reads the word for a fan; "" is linear. The error is word_unknown.
func ParseFan(word string) (Fan, error) {
	switch word {
	case "", "linear":
		return graph.FanLinear, nil
	case "sqrt":
		return graph.FanSqrt, nil
	case "log":
		return graph.FanLog, nil
	}
	return 0, memory.Invalid("word_unknown", "fan", "fan is %.32q; it can be linear, sqrt, log", word)
}

// Spreading is the answer of a spread.
type Spreading struct {
	Nodes   []ActiveNode // the most active first
	LSN     memory.LSN
	Reached int      // nodes that became active, of those that may be answered
	Work    int      // links looked at
	Hops    int      // of the farthest activation
	Bounds  []string // what was left out: BoundWork, BoundLinks
	Took    []recall.StageTime
}

// The bounds that a spread may meet.
const (
	BoundWork  = "max_work"   // the weakest nodes did not pass on what they got
	BoundLinks = "links_read" // the links were read from the store, and not all of them
)

// ActiveNode is a node that was activated.
type ActiveNode struct {
	ID         memory.ID
	Kind       memory.Kind
	Label      string  // an entity's name, a memory's title or the beginning of its text
	Activation float64 // Seed and what came over links
	Seed       float64 // what it had to begin with
	Paths      []SpreadPath
	Rest       float64 // what came by paths that are not in Paths
}

// SpreadPath is a way by which activation came, from a seed.
type SpreadPath struct {
	Seed       memory.ID
	Activation float64 // the seed's, times the factors of the steps
	Steps      []SpreadStep
}

// SpreadStep is a link on a path: Out is with its arrow, In against it. With equal
// weights its factor is decay * flow / Fan.
type SpreadStep struct {
	Link     memory.ID // "" for one among more parallel links of two hubs than are looked through
	From, To memory.ID // the ends of the link, whichever way it was walked
	Type     string
	Rule     string
	// RuleVersion is as in memory.Link.
	RuleVersion uint32
	Weight      float64 // the graph keeps 9 bits of it: factors are up to 0.2 % off
	Direction   memory.Direction
	Fan         int     // links of this type and direction at the node it came from
	Factor      float64 // the part of the activation of that node that it carried
}

// Spread lets activation run from nodes along links, and says where it came to and
// by which links. Nothing is stored: activation is a number of this answer. In a
// space whose links are not in memory (Options.AutoLinks is off), or with AsOf, the
// links round the seeds are read from the store. Errors: seeds_empty;
// node_not_found for a seed; the codes of graph.Spread and of memory.Cue.Normalize
// for what is out of range.
func (s *Space) Spread(ctx context.Context, q SpreadQuery) (Spreading, error) {
	a, err := steady(s, func() (Spreading, error) { return s.spread(ctx, q) })
	return a, memory.InOp("spread", err)
}

func (s *Space) spread(ctx context.Context, q SpreadQuery) (Spreading, error) {
	x := spreading{space: s, q: &q}
	if err := x.check(); err != nil {
		return Spreading{}, err
	}
	var err error
	x.stage("embed", func() { s.cueVector(ctx, &x.cue) })
	defer s.db.calls.enter()()
	if x.tower, err = s.current(ctx); err != nil {
		return Spreading{}, err
	}
	defer s.db.towers.release(x.tower)
	x.tower.waitAssociated(ctx)
	if x.view, err = s.view(); err != nil {
		return Spreading{}, err
	}
	defer x.view.Close()
	x.stage("seeds", func() { err = x.plant(ctx) })
	if err == nil {
		x.stage("spread", func() { err = x.run(ctx) })
	}
	if err == nil {
		x.stage("load", func() { err = x.load(ctx) })
	}
	x.out.Took = x.took
	return x.out, err
}

// spreading is one spread on its way.
type spreading struct {
	space *Space
	q     *SpreadQuery
	cue   memory.Cue
	kinds []memory.Kind
	tower *tower
	view  *store.View

	visible *bitset.BitSet // slots that anyone may see
	allowed *bitset.BitSet // of them, those that the filter lets through
	seeds   []graph.Seed
	links   *graph.Graph
	carries func(memory.Ordinal) bool // says whether a node is an entity
	result  graph.Result
	finder  *linkFinder

	out  Spreading
	took []recall.StageTime
}

func (x *spreading) stage(name string, f func()) {
	began := time.Now() // stage times are told, never decided on
	f()
	x.took = append(x.took, recall.StageTime{Stage: name, Took: time.Since(began)})
}

// check refuses what cannot be asked and fills in the defaults.
func (x *spreading) check() error {
	q := x.q
	if len(q.IDs)+len(q.Seeds) == 0 && q.Text == "" && len(q.Vector) == 0 {
		return memory.Invalid("seeds_empty", "seeds", "activation starts nowhere; give ids or seeds, text, or a vector")
	}
	if n := len(q.IDs) + len(q.Seeds); n > MaxSpreadSeeds {
		return memory.Invalid("list_too_long", "seeds", "there are %d ids and seeds; a spread has at most %d", n, MaxSpreadSeeds)
	}
	for i := range len(q.IDs) + len(q.Seeds) {
		seed, field := q.seed(i)
		if err := seed.ID.Check(field); err != nil {
			return err
		}
		if !(seed.Weight >= 0 && seed.Weight <= graph.SeedMost) {
			at := fmt.Sprintf("seeds[%d].weight", i-len(q.IDs))
			return memory.Invalid("seed_invalid", at, "%s is %v; it lies between 0 and %v", at, seed.Weight, graph.SeedMost)
		}
	}
	if q.Limit == 0 {
		q.Limit = memory.DefaultLimit
	}
	if q.Limit < 1 || q.Limit > memory.MaxLimit {
		return memory.Invalid("limit_out_of_range", "limit", "limit is %d; it lies between 1 and %d", q.Limit, memory.MaxLimit)
	}
	if q.MaxWork < 0 || q.MaxWork > graph.DefaultMaxWork {
		return memory.Invalid("max_work_out_of_range", "max_work", "max_work is %d; it lies between 1 and %d", q.MaxWork, graph.DefaultMaxWork)
	}
	if len(q.Types) > memory.MaxFilterList || len(q.Flows) > memory.MaxFilterList {
		return memory.Invalid("list_too_long", "types", "types and flows name %d and %d types of link; each names at most %d", len(q.Types), len(q.Flows), memory.MaxFilterList)
	}
	if _, err := graph.New().Spread(context.Background(), nil, x.options()); err != nil {
		return err // before anything is read
	}
	x.kinds = q.Filter.Kinds
	q.Filter.Kinds = nil
	x.cue = memory.Cue{Text: q.Text, Vector: q.Vector, Filter: q.Filter, Mode: memory.ModeSimilar, Limit: graph.CandidatesMost}
	if !x.cue.HasLikeness() {
		return x.cue.Filter.Normalize()
	}
	if err := x.cue.Normalize(); err != nil {
		return err
	}
	return memory.CheckVectorFor("vector", q.Vector, x.space.name, x.space.Settings().Vector)
}

// seed is one of IDs and Seeds, and the field that names it.
func (q *SpreadQuery) seed(i int) (SpreadSeed, string) {
	if i < len(q.IDs) {
		return SpreadSeed{q.IDs[i], 1}, fmt.Sprintf("ids[%d]", i)
	}
	i -= len(q.IDs)
	return q.Seeds[i], fmt.Sprintf("seeds[%d].id", i)
}

func (x *spreading) options() graph.Options {
	q := x.q
	return graph.Options{Flows: q.flows(), Fan: q.Fan, Decay: q.Decay, Hops: q.Hops, Threshold: q.Threshold, MaxWork: q.MaxWork, Limit: q.Limit, Paths: q.Paths}
}

// flows are those that the query means, for the types and the direction that it
// names.
func (q *SpreadQuery) flows() map[string]graph.Flow {
	all := graph.DefaultFlows()
	for t, f := range q.Flows {
		all[t] = f
	}
	if len(q.Types) > 0 {
		some := make(map[string]graph.Flow, len(q.Types))
		for _, t := range q.Types {
			f, ok := all[t]
			if !ok {
				f = all[""]
			}
			some[t] = f
		}
		all = some
	}
	for t, f := range all {
		switch q.Direction {
		case memory.Out:
			f.In = 0
		case memory.In:
			f.Out = 0
		}
		all[t] = f
	}
	return all
}

// plant finds the seeds: the nodes that are named, and what the cue wakes.
func (x *spreading) plant(ctx context.Context) error {
	nodes := make([]*store.Node, len(x.q.IDs)+len(x.q.Seeds))
	for i := range nodes {
		seed, _ := x.q.seed(i)
		n, err := x.view.Lookup(x.space.id, seed.ID)
		if err != nil {
			return err
		}
		if n == nil {
			return x.notFound(i)
		}
		nodes[i] = n
	}
	t := x.tower
	t.mu.RLock()
	defer t.mu.RUnlock()
	x.out.LSN = t.applied
	x.see()
	for i, n := range nodes {
		if n.Kind != memory.KindEntity && !x.in(x.visible, n.Ordinal) {
			return x.notFound(i) // suppressed, or its time is over
		}
		seed, _ := x.q.seed(i)
		x.seeds = append(x.seeds, graph.Seed{Node: n.Ordinal, Activation: seed.Weight})
	}
	if x.cue.HasLikeness() {
		return x.wakeLocked(ctx)
	}
	return nil
}

func (x *spreading) notFound(i int) error {
	seed, field := x.q.seed(i)
	e := memory.NotFound("node_not_found", "%s: there is no memory or entity %q in space %q", field, seed.ID, x.space.name)
	e.Field = field
	return e
}

// see finds out which memories activation may touch. The caller holds the tower's
// lock.
func (x *spreading) see() {
	t, now := x.tower, x.space.db.Now()
	x.visible, _ = t.facets.Visible(t.applied, now)
	x.allowed = x.visible
	if !x.q.Filter.IsEmpty() {
		x.allowed, _ = t.facets.Select(&x.cue.Filter, t.applied, now)
	}
}

// in says whether a memory is in a set of slots.
func (x *spreading) in(set *bitset.BitSet, n memory.Ordinal) bool {
	slot, ok := x.tower.facets.Live(n)
	return ok && set.Test(uint(slot))
}

// wakeLocked makes seeds of what is like the cue, and of what it names.
func (x *spreading) wakeLocked(ctx context.Context) error {
	t := x.tower
	found, err := recall.Run(ctx, t.indexes(), recall.Question{Cue: &x.cue, View: t.applied, Now: x.space.db.Now(), Limit: x.cue.Limit})
	if err == nil {
		err = ctx.Err() // half of the candidates would be other seeds
	}
	if err != nil {
		return err
	}
	var like []graph.Candidate
	for _, r := range found.Ranked {
		row, _ := t.facets.At(r.Slot)
		like = append(like, graph.Candidate{Node: row.Ordinal, Score: r.Score})
	}
	x.seeds = append(x.seeds, graph.Wake(like)...)
	if t.assoc == nil || x.cue.Text == "" {
		return nil
	}
	k := known{t, 0}
	for _, n := range rules.NamedBy(x.cue.Text, k) {
		if k.Carries(n) || x.in(x.allowed, n) {
			x.seeds = append(x.seeds, graph.Seed{Node: n, Activation: 1})
		}
	}
	return nil
}

// run spreads, on the links in memory or on those round the seeds from the store.
func (x *spreading) run(ctx context.Context) error {
	t := x.tower
	if t.assoc == nil || !x.q.AsOf.IsZero() {
		if err := x.readLinks(ctx); err != nil {
			return err
		}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if x.links == nil {
		x.links, x.carries = t.assoc.links, known{t, 0}.Carries
	}
	o := x.options()
	o.Allow = func(n memory.Ordinal) bool { return x.carries(n) || x.in(x.allowed, n) }
	o.Only = x.answered
	var err error
	if x.result, err = x.links.Spread(ctx, x.seeds, o); err != nil {
		if ctx.Err() != nil {
			err = contextError(ctx, "the activation did not spread in time")
		}
		return err
	}
	x.out.Reached, x.out.Work, x.out.Hops = x.result.Reached, x.result.Work, x.result.Hops
	if x.result.Truncated {
		x.out.Bounds = append(x.out.Bounds, BoundWork)
	}
	return nil
}

// answered says whether a node may stand in the answer.
func (x *spreading) answered(n memory.Ordinal) bool {
	kind := memory.KindEntity
	if !x.carries(n) {
		slot, ok := x.tower.facets.Live(n)
		if !ok || !x.allowed.Test(uint(slot)) {
			return false
		}
		row, _ := x.tower.facets.At(slot)
		kind = row.Kind
	}
	return len(x.kinds) == 0 || slices.Contains(x.kinds, kind)
}

// load turns ordinals into nodes and links. What has gone meanwhile is left out, and
// a path over it is told as rest.
func (x *spreading) load(ctx context.Context) error {
	x.finder = &linkFinder{space: x.space, view: x.view, at: everything, degree: x.degree, found: make(map[graph.Step]*store.Link)}
	x.out.Nodes = make([]ActiveNode, 0, len(x.result.Activated))
	for i := range x.result.Activated {
		if ctx.Err() != nil {
			return contextError(ctx, "the nodes were not read in time")
		}
		one, found, err := x.node(&x.result.Activated[i])
		if err != nil {
			return err
		}
		if found {
			x.out.Nodes = append(x.out.Nodes, one)
		}
	}
	return nil
}

func (x *spreading) node(a *graph.Activated) (one ActiveNode, found bool, err error) {
	n, err := x.view.Node(x.space.id, a.Node)
	if err != nil || n == nil {
		return one, false, err
	}
	one = ActiveNode{ID: n.ID, Kind: n.Kind, Activation: a.Activation, Seed: a.Own, Rest: a.Rest}
	if one.Label, found, err = x.label(n); err != nil || !found {
		return one, false, err
	}
	for i := range a.Paths {
		p, whole, err := x.path(&a.Paths[i])
		if err != nil {
			return one, false, err
		}
		if !whole {
			one.Rest += a.Paths[i].Contribution
			continue
		}
		one.Paths = append(one.Paths, p)
	}
	return one, true, nil
}

// labelRunes is how much of a text a label has.
const labelRunes = 80

// label is what people call a node.
func (x *spreading) label(n *store.Node) (string, bool, error) {
	if n.Kind == memory.KindEntity {
		e, err := x.space.loadEntity(x.view, n)
		if memory.KindOf(err) == memory.KindNotFound {
			return "", false, nil
		}
		return e.Name, true, err
	}
	m, found, err := x.space.load(x.view, n, ReadOptions{})
	if err != nil || !found {
		return "", false, err
	}
	label := m.Title
	if label == "" {
		label = strings.TrimSpace(searched(&m.Episode))
	}
	if utf8.RuneCountInString(label) > labelRunes {
		label = string([]rune(label)[:labelRunes-1]) + "…"
	}
	return label, true, nil
}

func (x *spreading) path(p *graph.Path) (out SpreadPath, whole bool, err error) {
	seed, err := x.view.Node(x.space.id, p.Seed)
	if err != nil || seed == nil {
		return out, false, err
	}
	out = SpreadPath{Seed: seed.ID, Activation: p.Contribution}
	for i := range p.Steps {
		s, whole, err := x.finder.step(p.Steps[i])
		if err != nil || !whole {
			return out, false, err
		}
		out.Steps = append(out.Steps, s)
	}
	return out, true, nil
}

func (x *spreading) degree(n memory.Ordinal, d memory.Direction) int {
	x.tower.mu.RLock()
	defer x.tower.mu.RUnlock()
	return x.links.Degree(n, d)
}
