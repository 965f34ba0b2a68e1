package graph

import (
	"cmp"
	"slices"

	"github.com/engramdb/engram/internal/best"
	"github.com/engramdb/engram/memory"
)

// result ranks what was activated and explains it.
func (s *spread) result() Result {
	r := Result{Work: s.work, Truncated: s.cut}
	for hop := 1; hop <= s.o.Hops && len(s.waves[hop].messages) > 0; hop++ {
		r.Hops = hop
	}
	kept := best.Of[uint32]{Limit: s.o.Limit, Compare: s.compare, Items: make([]uint32, 0, min(s.o.Limit, len(s.nodes)))}
	for n := range s.nodes {
		if s.nodes[n].blocked || s.o.Only != nil && !s.o.Only(s.nodes[n].node) {
			continue
		}
		r.Reached++
		kept.Add(uint32(n))
	}
	r.Activated = make([]Activated, len(kept.Items))
	for i, n := range kept.Sorted() {
		t := &s.nodes[n]
		r.Activated[i] = Activated{Node: t.node, Activation: t.own + t.received, Own: t.own, Received: t.received, Rest: t.received}
		if s.o.Paths > 0 {
			r.Activated[i].Paths, r.Activated[i].Rest = s.explain.paths(s, n)
		}
	}
	return r
}

func (s *spread) activation(n uint32) float64 { return s.nodes[n].own + s.nodes[n].received }

// compare puts the more activated before, of equal ones the lower ordinal.
func (s *spread) compare(a, b uint32) int {
	x, y := s.activation(a), s.activation(b)
	switch {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return cmp.Compare(s.nodes[a].node, s.nodes[b].node)
}

// explanation finds the strongest paths to a node, from its end: a suffix of
// paths is worth what all paths that end with it bring, which is at least what
// any one of them does. So suffixes are made longer in order of their worth, and
// one that has come to a seed is the strongest path that is left.
type explanation struct {
	suffixes []suffix
	heap     []uint32 // of suffixes, the one worth most first
	order    []uint32
}

type suffix struct {
	worth float64
	hop   int
	at    uint32 // its first message, among those of the hop
	next  int    // the suffix without that message; noSuffix: there is none
}

const noSuffix = -1

// Bounds of an explanation: of the suffixes for a node, and of the messages into
// one node that are followed, the strongest. What is beyond them is in Rest.
const (
	suffixesMost = 1 << 13
	inboxMost    = 128
)

// paths gives the strongest paths to a node, and what the others bring.
func (x *explanation) paths(s *spread, n uint32) (paths []Path, rest float64) {
	x.suffixes, x.heap = x.suffixes[:0], x.heap[:0]
	for hop := 1; hop <= s.o.Hops; hop++ {
		rest += x.extend(s, n, hop, noSuffix)
	}
	for len(x.heap) > 0 && len(paths) < s.o.Paths {
		id := x.pop()
		f := &x.suffixes[id]
		if f.hop == 1 {
			paths = append(paths, x.path(s, int(id)))
			continue
		}
		rest += x.extend(s, s.waves[f.hop].messages[f.at].from, f.hop-1, int(id))
	}
	for _, id := range x.heap {
		rest += x.suffixes[id].worth
	}
	return paths, rest
}

// extend adds the suffixes that begin with a message to node n at a hop, before
// the suffix next. What it leaves out it returns.
func (x *explanation) extend(s *spread, n uint32, hop, next int) (rest float64) {
	w := &s.waves[hop]
	inbox := w.inbox(n)
	share, back := 1.0, n // no node has a message from itself
	if next != noSuffix {
		f := &x.suffixes[next]
		back = s.waves[f.hop].messages[f.at].to
		share = f.worth / inflowBut(inbox, back)
	}
	followed := 0
	for _, i := range x.strongest(inbox) {
		m := &inbox[i]
		switch {
		case m.from == back:
		case followed < inboxMost && len(x.suffixes) < suffixesMost:
			followed++
			x.push(suffix{worth: m.amount * share, hop: hop, at: w.first[n] + i, next: next})
		default:
			rest += m.amount * share
		}
	}
	return rest
}

// inflowBut is what a node got and did not get from one of its neighbours.
func inflowBut(inbox []message, back uint32) float64 {
	sum := 0.0
	for i := range inbox {
		if inbox[i].from != back {
			sum += inbox[i].amount
		}
	}
	return sum
}

// strongest gives the places of an inbox, those of the strongest messages first
// when they cannot all be followed.
func (x *explanation) strongest(inbox []message) []uint32 {
	x.order = x.order[:0]
	for i := range inbox {
		x.order = append(x.order, uint32(i))
	}
	if len(inbox) > inboxMost {
		slices.SortStableFunc(x.order, func(a, b uint32) int { return cmp.Compare(inbox[b].amount, inbox[a].amount) })
	}
	return x.order
}

// path is a suffix that begins at a seed.
func (x *explanation) path(s *spread, id int) Path {
	p := Path{Contribution: x.suffixes[id].worth}
	for first := true; id != noSuffix; id, first = x.suffixes[id].next, false {
		f := &x.suffixes[id]
		w := &s.waves[f.hop]
		m := &w.messages[f.at]
		got := s.nodes[m.from].own
		if first {
			p.Seed = s.nodes[m.from].node
		} else {
			got = inflowBut(s.waves[f.hop-1].inbox(m.from), m.to)
		}
		step := s.step(w, f.at)
		step.Factor = m.amount / got
		p.Steps = append(p.Steps, step)
	}
	return p
}

// step says which link a message went over. Of parallel links of one weight each
// carries the same, and they sent in order of their tags.
func (s *spread) step(w *wave, at uint32) Step {
	m := &w.messages[at]
	before := 0
	for i := int(at) - 1; i >= 0 && w.messages[i].to == m.to && w.messages[i].from == m.from; i-- {
		if o := &w.messages[i]; o.kind == m.kind && o.direction == m.direction && o.weight == m.weight {
			before++
		}
	}
	from, to := s.nodes[m.from].node, s.nodes[m.to].node
	fan := s.side(m.direction).fan(from, m.kind)
	if m.direction == memory.In {
		from, to = to, from
	}
	step := Step{From: from, To: to, Type: s.g.types[m.kind], Direction: m.direction, Fan: fan}
	s.g.eachParallel(from, entryOf(m.kind, to, 0), func(e entry, tag uint32) bool {
		step.Tag = tag
		if e.weight() == m.weight {
			before--
		}
		return before >= 0
	})
	return step
}

// compare puts what is worth most last, which is the top of the heap; the order of
// equal ones must not be left to chance.
func (x *explanation) compare(a, b uint32) int {
	f, g := &x.suffixes[a], &x.suffixes[b]
	switch {
	case f.worth > g.worth:
		return 1
	case f.worth < g.worth:
		return -1
	}
	return cmp.Compare(b, a)
}

func (x *explanation) push(f suffix) {
	x.suffixes = append(x.suffixes, f)
	x.heap = append(x.heap, uint32(len(x.suffixes)-1))
	best.Up(x.heap, x.compare)
}

func (x *explanation) pop() uint32 {
	h := x.heap
	first, last := h[0], len(h)-1
	h[0], x.heap = h[last], h[:last]
	best.Down(x.heap, x.compare)
	return first
}
