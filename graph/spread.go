package graph

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// Seed is a node that the cue wakes, and how much.
type Seed struct {
	Node       memory.Ordinal
	Activation float64 // 0 to SeedMost; 0 is no seed
}

// SeedMost is the greatest activation of a seed. Recall's are at most 1; the bound
// keeps sums finite.
const SeedMost = 1e12

// Flow says how well a type of link carries activation, from 0 (not) to 1: Out
// with the arrow, In against it.
type Flow struct {
	Out, In float64
}

// Fan says how activation divides over the links of one type and direction of a
// node, n of them with the weights w.
type Fan uint8

// The ways to divide. With equal weights one link gets 1/n, 1/sqrt(n) or
// 1/(1+ln n) of it.
const (
	FanLinear Fan = iota // w/sum: nothing is made, a walk of chance (PageRank)
	FanSqrt              // w/sum * sqrt(n)
	FanLog               // w/sum * n/(1+ln n): as slowly as ACT-R's S - ln(fan)
)

// Options of Spread. Zero means default.
type Options struct {
	// Flows are the types of link that carry activation; "" stands for those that
	// are not named, which without it carry nothing. Default DefaultFlows.
	Flows map[string]Flow
	// Fan is FanLinear by default.
	Fan Fan
	// Decay is what is left of activation after each hop, above 0 and at most 1.
	// Default DefaultDecay.
	Decay float64
	// Hops is how many links it goes at most. Default DefaultHops, at most MaxHops.
	Hops int
	// Threshold is the least activation that a link carries: less does not travel.
	// It is in units of the seeds. Default DefaultThreshold; at least minThreshold.
	Threshold float64
	// MaxWork bounds the links that are looked at. Default DefaultMaxWork.
	MaxWork int
	// Limit is how many nodes are returned. Default DefaultActivated.
	Limit int
	// Paths is how many of the strongest paths are returned for each node, at most
	// MaxPaths. Default none.
	Paths int
	// Allow says which nodes may be activated, and so pass it on; nil is all. It
	// is asked once for each node that would be. Seeds are not asked about.
	Allow func(memory.Ordinal) bool
	// Only says which nodes are returned; nil is all. The others are activated and
	// pass it on all the same.
	Only func(memory.Ordinal) bool
}

// Defaults and bounds of Options.
const (
	DefaultDecay     = 0.5
	DefaultHops      = 3
	MaxHops          = 8
	DefaultThreshold = 1e-3
	DefaultMaxWork   = 1 << 20
	DefaultActivated = 1000
	MaxPaths         = 64

	minThreshold = 1e-12 // above what rounding leaves behind
)

func (o Options) withDefaults() (Options, error) {
	if o.Flows == nil {
		o.Flows = defaultFlows
	}
	o.Decay = cmp.Or(o.Decay, DefaultDecay)
	o.Hops = cmp.Or(o.Hops, DefaultHops)
	o.Threshold = cmp.Or(o.Threshold, DefaultThreshold)
	o.MaxWork = cmp.Or(o.MaxWork, DefaultMaxWork)
	o.Limit = cmp.Or(o.Limit, DefaultActivated)
	switch {
	case o.Fan > FanLog:
		return o, memory.Invalid("fan_unknown", "fan", "fan is %d; it is linear (0), sqrt (1) or log (2)", o.Fan)
	case !(o.Decay > 0 && o.Decay <= 1):
		return o, memory.Invalid("decay_out_of_range", "decay", "decay is %v; it is above 0 and at most 1", o.Decay)
	case o.Hops < 0 || o.Hops > MaxHops:
		return o, memory.Invalid("hops_out_of_range", "hops", "hops is %d; it lies between 1 and %d", o.Hops, MaxHops)
	case !(o.Threshold >= minThreshold) || math.IsInf(o.Threshold, 1):
		return o, memory.Invalid("threshold_out_of_range", "threshold", "threshold is %v; it is finite and at least %v", o.Threshold, minThreshold)
	case o.MaxWork < 0 || o.Limit < 0:
		return o, memory.Invalid("bound_negative", "max_work", "max_work is %d and limit %d; neither is negative", o.MaxWork, o.Limit)
	case o.Paths < 0 || o.Paths > MaxPaths:
		return o, memory.Invalid("paths_out_of_range", "paths", "paths is %d; it lies between 0 and %d", o.Paths, MaxPaths)
	}
	for _, t := range slices.Sorted(maps.Keys(o.Flows)) {
		f := o.Flows[t]
		if !(f.Out >= 0 && f.Out <= 1 && f.In >= 0 && f.In <= 1) {
			return o, memory.Invalid("flow_out_of_range", "flows."+t, "the flow of %q is %v out and %v in; both lie between 0 and 1", t, f.Out, f.In)
		}
	}
	return o, nil
}

// Result is what a spread did.
type Result struct {
	Activated []Activated // best first, equal ones by ordinal
	Reached   int         // nodes with activation, of those that Only lets through; Activated may be fewer
	Work      int         // links looked at
	Hops      int         // of the farthest activation
	Truncated bool        // nodes were left out that would have taken Work beyond MaxWork, the weakest first
}

// Activated is a node and what it got.
type Activated struct {
	Node       memory.Ordinal
	Activation float64 // Own + Received
	Own        float64 // as a seed
	Received   float64 // over links: the paths and Rest sum to it
	Paths      []Path  // the strongest, if asked for
	Rest       float64 // of the paths that are not listed
}

// Path is a way by which activation came from a seed.
type Path struct {
	Contribution float64 // the seed's activation times the factors
	Seed         memory.Ordinal
	Steps        []Step
}

// Step is a link on a path. From and To are those of the link; walked against
// the arrow (In), activation went from To to From.
type Step struct {
	From, To  memory.Ordinal
	Type      string
	Tag       uint32
	Direction memory.Direction
	Fan       int     // links of this type and direction at the node that passed it on
	Factor    float64 // which part of the activation it passed on
}

// Spread lets the activation of the seeds run along the links; see the package
// doc for the rule. The order of seeds does not matter, and of two seeds of one
// node the sum counts. The answer depends on the links alone, not on the order
// in which they came. Errors: the codes of memory.Invalid for options and seeds
// out of range; ctx's, when it ends.
func (g *Graph) Spread(ctx context.Context, seeds []Seed, o Options) (Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Result{}, err
	}
	s := g.acquire(&o)
	defer g.release(s)
	if err := s.run(ctx, seeds); err != nil {
		return Result{}, err
	}
	return s.result(), nil
}

// spread is the scratch of one Spread. Nodes that were touched have a local
// number, from 0; ranges of local numbers depend on the seeds and the links only.
type spread struct {
	g     *Graph
	o     *Options
	flows []Flow   // by typeID, decay included
	local []uint32 // by ordinal: local number + 1
	nodes []touched
	waves []wave // by hop; 0 is of the seeds and has no messages

	sent  []message // of this hop, in the order of sending
	woken []uint32  // local numbers of the nodes that fire next, ascending
	runs  []run
	work  int
	cut   bool

	explain explanation
}

type touched struct {
	node     memory.Ordinal
	blocked  bool    // Allow said no
	taken    bool    // see Activation
	own      float64 // as a seed
	received float64
	inflow   float64 // of the last wave
	back     float64 // while a node fires: what it got from this one
}

// message is activation that went over a link.
type message struct {
	from, to  uint32 // local
	amount    float64
	kind      typeID
	weight    weight
	direction memory.Direction
}

// wave is the messages of a hop by receiver, and in the order of sending for each.
type wave struct {
	messages []message
	first    []uint32 // by local number: where its messages begin; the next one's begin is their end
}

// inbox gives the messages to a node.
func (w *wave) inbox(n uint32) []message {
	if int(n)+1 >= len(w.first) {
		return nil
	}
	return w.messages[w.first[n]:w.first[n+1]]
}

// keepMost is the most messages or nodes for which scratch is kept: some 50 MB.
const keepMost = 1 << 20

func (g *Graph) acquire(o *Options) *spread {
	s, ok := g.pool.Get().(*spread)
	if !ok {
		s = &spread{g: g}
	}
	s.o = o
	s.flows = s.flows[:0]
	for _, t := range g.types {
		f, ok := o.Flows[t]
		if !ok {
			f = o.Flows[""]
		}
		s.flows = append(s.flows, Flow{o.Decay * f.Out, o.Decay * f.In})
	}
	if n := g.nodes(); n > len(s.local) {
		s.local = make([]uint32, n+n/8)
	}
	for len(s.waves) <= o.Hops {
		s.waves = append(s.waves, wave{})
	}
	return s
}

func (g *Graph) release(s *spread) {
	for i := range s.nodes {
		if n := int(s.nodes[i].node); n < len(s.local) {
			s.local[n] = 0
		}
	}
	held := len(s.nodes)
	for i := range s.waves {
		w := &s.waves[i]
		held = max(held, len(w.messages))
		w.messages, w.first = w.messages[:0], w.first[:0]
	}
	if held > keepMost {
		return // a rare giant must not be kept for ever
	}
	s.nodes, s.woken, s.work, s.cut, s.o = s.nodes[:0], s.woken[:0], 0, false, nil
	g.pool.Put(s)
}

// plant wakes the seeds, in order of ordinal.
func (s *spread) plant(seeds []Seed) error {
	seeds = slices.Clone(seeds)
	slices.SortFunc(seeds, func(a, b Seed) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Activation, b.Activation))
	})
	for _, x := range seeds {
		if x.Node == 0 || !(x.Activation >= 0 && x.Activation <= SeedMost) {
			return memory.Invalid("seed_invalid", "seeds", "the seed of node %d has the activation %v; a node is not 0, an activation between 0 and %v", x.Node, x.Activation, SeedMost)
		}
		if x.Activation == 0 {
			continue
		}
		if k := len(s.nodes); k > 0 && s.nodes[k-1].node == x.Node {
			s.nodes[k-1].own += x.Activation
			s.nodes[k-1].inflow = s.nodes[k-1].own
			continue
		}
		s.touch(x.Node)
		last := &s.nodes[len(s.nodes)-1]
		last.own, last.inflow = x.Activation, x.Activation
		s.woken = append(s.woken, uint32(len(s.nodes)-1))
	}
	return nil
}

// touch gives a node a local number.
func (s *spread) touch(n memory.Ordinal) uint32 {
	s.nodes = append(s.nodes, touched{node: n})
	if int(n) < len(s.local) {
		s.local[n] = uint32(len(s.nodes))
	}
	return uint32(len(s.nodes) - 1)
}

// ctxEvery is how many nodes fire between two looks at ctx.
const ctxEvery = 1024

// fire lets every node that the last wave woke pass on what it got.
func (s *spread) fire(ctx context.Context, hop int) error {
	s.choose()
	for i, u := range s.woken {
		if i%ctxEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if i+fetchAhead < len(s.woken) {
			s.fetchLinks(s.woken[i+fetchAhead])
		}
		inbox := s.waves[hop-1].inbox(u)
		for i := range inbox {
			s.nodes[inbox[i].from].back += inbox[i].amount
		}
		s.pass(u, &s.g.out, memory.Out)
		s.pass(u, &s.g.in, memory.In)
		for i := range inbox {
			s.nodes[inbox[i].from].back = 0
		}
	}
	return nil
}

// fetchAhead is for which of the nodes that fire next links are asked for: they lie
// anywhere, and waiting for them is half of what firing takes.
const fetchAhead = 4

// lineEntries is how many lie together in memory: fewer are not asked for.
const lineEntries = 8

// fetchLinks asks for the links of a node, but for a hub's.
func (s *spread) fetchLinks(u uint32) {
	for _, a := range []*adjacency{&s.g.out, &s.g.in} {
		if l := a.list(s.nodes[u].node); 0 < l.n && l.n <= listMost {
			vector.Fetch(a.entries[l.at:min(int(l.at+max(l.n, lineEntries)), len(a.entries))])
		}
	}
}

// choose drops from woken what the bound on work leaves no room for: the nodes
// with the least activation, and hubs that are too large by themselves.
func (s *spread) choose() {
	need := 0
	for _, u := range s.woken {
		need += s.cost(u)
	}
	left := s.o.MaxWork - s.work
	if need <= left {
		return
	}
	s.cut = true
	slices.SortFunc(s.woken, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(s.nodes[b].inflow, s.nodes[a].inflow), cmp.Compare(s.nodes[a].node, s.nodes[b].node))
	})
	s.woken = slices.DeleteFunc(s.woken, func(u uint32) bool {
		c := s.cost(u)
		if c > left {
			return true
		}
		left -= c
		return false
	})
	slices.Sort(s.woken)
}

// cost is how many links of a node will be looked at: all of a list, and of a
// hub those types that can carry something.
func (s *spread) cost(u uint32) int {
	n := 0
	for _, d := range []memory.Direction{memory.Out, memory.In} {
		a := s.side(d)
		l := a.list(s.nodes[u].node)
		if l.n <= listMost {
			n += int(l.n)
			continue
		}
		for i := range a.hubs[l.at].types {
			t := &a.hubs[l.at].types[i]
			if s.carries(u, s.share(t.kind, d, t.n, t.sum.float()), t.most) {
				n += int(t.n)
			}
		}
	}
	return n
}

func (s *spread) side(d memory.Direction) *adjacency {
	if d == memory.Out {
		return &s.g.out
	}
	return &s.g.in
}

// share is how much of activation goes over the links of one type and direction,
// and how much for each unit of their weight.
type share struct{ most, unit float64 }

func (s *spread) share(t typeID, d memory.Direction, n uint32, sum float64) share {
	flow := s.flows[t].Out
	if d == memory.In {
		flow = s.flows[t].In
	}
	if flow == 0 || sum == 0 {
		return share{}
	}
	spreads := 1.0
	switch s.o.Fan {
	case FanSqrt:
		spreads = math.Sqrt(float64(n))
	case FanLog:
		spreads = float64(n) / (1 + math.Log(float64(n)))
	}
	return share{most: flow, unit: flow * spreads / sum}
}

// factor is the part that goes over a link of some weight.
func (x share) factor(w weight) float64 { return min(x.most, x.unit*w.float()) }

// carries says whether a link of a weight could carry enough of what a node got.
func (s *spread) carries(u uint32, x share, w weight) bool {
	return s.nodes[u].inflow*x.factor(w) >= s.o.Threshold
}

// run is the entries of one type in a list.
type run struct {
	kind     typeID
	from, to int
}

// pass sends what a node got over its links in one direction, type by type, in
// the order of their names: so the order in which messages arrive does not depend
// on which type came to the graph first.
func (s *spread) pass(u uint32, a *adjacency, d memory.Direction) {
	l := a.list(s.nodes[u].node)
	if l.n == 0 {
		return
	}
	if l.n > listMost {
		s.passHub(u, a.hubs[l.at], d)
		return
	}
	entries, _ := a.piece(l)
	s.work += len(entries)
	for _, r := range s.runsOf(entries) {
		part := entries[r.from:r.to]
		sum, most := 0.0, weight(0)
		for _, e := range part {
			sum += e.weight().float()
			most = max(most, e.weight())
		}
		x := s.share(r.kind, d, uint32(len(part)), sum)
		if s.carries(u, x, most) {
			s.send(u, part, x, d)
		}
	}
}

func (s *spread) runsOf(entries []entry) []run {
	runs, from, kind, last := s.runs[:0], 0, entries[0].kind(), len(entries)
	if entries[last-1].kind() == kind { // most lists have one type
		s.runs = append(runs, run{kind, 0, last})
		return s.runs
	}
	for i, e := range entries {
		if e.kind() != kind {
			runs = append(runs, run{kind, from, i})
			from, kind = i, e.kind()
		}
	}
	runs = append(runs, run{kind, from, last})
	s.runs = runs
	s.byName(runs)
	return runs
}

func (s *spread) byName(runs []run) {
	if len(runs) > 1 {
		slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(s.g.types[a.kind], s.g.types[b.kind]) })
	}
}

func (s *spread) passHub(u uint32, h *hub, d memory.Direction) {
	runs := s.runs[:0]
	for i := range h.types {
		runs = append(runs, run{kind: h.types[i].kind, from: i})
	}
	s.runs = runs
	s.byName(runs)
	for _, r := range runs {
		t := &h.types[r.from]
		x := s.share(t.kind, d, t.n, t.sum.float())
		if !s.carries(u, x, t.most) {
			continue // a hub whose links would carry too little costs nothing
		}
		s.work += int(t.n)
		h.eachOf(t.kind, func(part []entry) { s.send(u, part, x, d) })
	}
}

// ofKind is the part of sorted entries that has one type.
func ofKind(entries []entry, t typeID) []entry {
	byKind := func(e entry, t typeID) int { return cmp.Compare(e.kind(), t) }
	from, _ := slices.BinarySearchFunc(entries, t, byKind)
	to, _ := slices.BinarySearchFunc(entries, t+1, byKind) // no type has the greatest number
	return entries[from:to]
}

// send is the inner loop: a message for each link that carries enough. What came
// from a node never goes straight back to it, and a self-loop carries nothing.
func (s *spread) send(u uint32, part []entry, x share, d memory.Direction) {
	inflow, self := s.nodes[u].inflow, s.nodes[u].node
	for _, e := range part {
		v := e.other()
		at := s.local[v]
		got := inflow
		if at != 0 {
			if s.nodes[at-1].blocked {
				continue
			}
			got -= s.nodes[at-1].back
		}
		amount := got * x.factor(e.weight())
		if amount < s.o.Threshold || v == self {
			continue
		}
		if at == 0 {
			at = s.touch(v) + 1
			if s.o.Allow != nil && !s.o.Allow(v) {
				s.nodes[at-1].blocked = true
				continue
			}
		}
		s.sent = append(s.sent, message{u, at - 1, amount, e.kind(), e.weight(), d})
	}
}

// deliver sorts the messages of a hop by receiver and adds them up, each receiver's
// in the order of sending.
func (s *spread) deliver(hop int) {
	w, sent := &s.waves[hop], s.sent
	s.sent = sent[:0]
	first := slices.Grow(w.first[:0], len(s.nodes)+2)[:len(s.nodes)+2]
	clear(first)
	for i := range sent {
		first[sent[i].to+2]++
	}
	for i := 2; i < len(first); i++ {
		first[i] += first[i-1]
	}
	w.messages = slices.Grow(w.messages[:0], len(sent))[:len(sent)]
	for i := range sent {
		at := &first[sent[i].to+1]
		w.messages[*at] = sent[i]
		*at++
	}
	w.first = first[:len(s.nodes)+1]
	s.woken = s.woken[:0]
	for n := range s.nodes {
		inbox := w.messages[w.first[n]:w.first[n+1]]
		if len(inbox) == 0 {
			continue
		}
		inflow := 0.0
		for i := range inbox {
			inflow += inbox[i].amount
		}
		s.nodes[n].inflow = inflow
		s.nodes[n].received += inflow
		s.woken = append(s.woken, uint32(n))
	}
}
