package graph

import (
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/engramdb/engram/memory"
)

// Graph is the links of one space. See the package doc for who locks it.
type Graph struct {
	out, in adjacency // every link stands in both
	types   []string  // by typeID
	ids     map[string]typeID

	pool sync.Pool // *spread, of this graph: as large as its ordinals
}

// New makes an empty graph.
func New() *Graph {
	return &Graph{out: newAdjacency(true), in: newAdjacency(false), ids: map[string]typeID{}}
}

// typesMost is how many types have a number of their own. Those beyond share
// the last one, whose name is otherType: types are words that people choose for
// kinds of link, not data.
const (
	typesMost = math.MaxUint16
	otherType = "~other"
)

// typeOf gives the number of a type, a new one if need be.
func (g *Graph) typeOf(name string) typeID {
	if t, ok := g.ids[name]; ok {
		return t
	}
	if len(g.types) >= typesMost-1 {
		name = otherType
		if t, ok := g.ids[name]; ok {
			return t
		}
	}
	return g.addType(strings.Clone(name))
}

func (g *Graph) addType(name string) typeID {
	t := typeID(len(g.types))
	g.types = append(g.types, name)
	g.ids[name] = t
	return t
}

// known is typeOf for a reader: it changes nothing.
func (g *Graph) known(name string) (typeID, bool) {
	t, ok := g.ids[name]
	if !ok {
		t, ok = g.ids[otherType]
	}
	return t, ok
}

// Put adds a link, or gives a new weight to the one that is there. The strings
// of l are copied. ErrLink for what is not a link; then nothing changed. A link has
// a type: "" stands for all of them elsewhere.
func (g *Graph) Put(l Link) error {
	if l.From == 0 || l.To == 0 || l.Type == "" || !(l.Weight >= 0) || math.IsInf(l.Weight, 1) {
		return ErrLink
	}
	t, w := g.typeOf(l.Type), weightOf(l.Weight)
	e := entryOf(t, l.To, w)
	if old, ok := g.out.get(l.From, e, l.Tag); ok {
		if old == e {
			return nil
		}
		g.drop(l.From, old, l.Tag)
	}
	g.out.insert(l.From, e, l.Tag)
	g.in.insert(l.To, entryOf(t, l.From, w), 0)
	return nil
}

// End takes a link out; its Weight is not looked at. It says whether it was there.
func (g *Graph) End(l Link) bool {
	t, ok := g.known(l.Type)
	if !ok {
		return false
	}
	e, ok := g.out.get(l.From, entryOf(t, l.To, 0), l.Tag)
	if ok {
		g.drop(l.From, e, l.Tag)
	}
	return ok
}

// drop takes an entry out at both ends.
func (g *Graph) drop(from memory.Ordinal, e entry, tag uint32) {
	g.out.remove(from, e, tag)
	g.in.remove(e.other(), entryOf(e.kind(), from, e.weight()), 0)
}

// EndNode takes out all links of a node and says how many there were.
func (g *Graph) EndNode(n memory.Ordinal) int {
	ended := 0
	for {
		entries, tags := g.out.part(g.out.list(n), 0)
		if len(entries) == 0 {
			break
		}
		last := len(entries) - 1 // from the end: nothing has to be moved
		g.drop(n, entries[last], tags[last])
		ended++
	}
	for {
		entries, _ := g.in.part(g.in.list(n), 0)
		if len(entries) == 0 {
			return ended
		}
		ended += g.endParallels(n, entries[len(entries)-1])
	}
}

// endParallels takes out the links of one type from another node to n. They are
// told apart at the other end only, so they go together.
func (g *Graph) endParallels(n memory.Ordinal, e entry) int {
	from, ended := e.other(), 0
	for {
		var at entry
		var tag uint32
		found := false
		g.eachParallel(from, entryOf(e.kind(), n, 0), func(p entry, t uint32) bool {
			at, tag, found = p, t, true
			return false
		})
		if !found {
			return ended
		}
		g.drop(from, at, tag)
		ended++
	}
}

// eachParallel gives the links out of a node that have the place of e, by tag.
func (g *Graph) eachParallel(from memory.Ordinal, e entry, give func(entry, uint32) bool) {
	l := g.out.list(from)
	first := 0
	if l.n > listMost {
		first = g.out.hubs[l.at].chunkFor(e, 0)
	}
	for i := first; ; i++ {
		entries, tags := g.out.part(l, i)
		if len(entries) == 0 {
			return
		}
		at, _ := find(entries, tags, e.place(), 0)
		for ; at < len(entries); at++ {
			if entries[at].place() != e.place() || !give(entries[at], tags[at]) {
				return
			}
		}
	}
}

// Degree is the number of links of a node, of a self-loop two in both directions.
func (g *Graph) Degree(n memory.Ordinal, d memory.Direction) int {
	switch d {
	case memory.Out:
		return g.out.degree(n)
	case memory.In:
		return g.in.degree(n)
	}
	return g.out.degree(n) + g.in.degree(n)
}

// Fan is the number of links of one type of a node. It looks at no more than 64
// entries, however many there are.
func (g *Graph) Fan(n memory.Ordinal, linkType string, d memory.Direction) int {
	t, ok := g.known(linkType)
	if !ok {
		return 0
	}
	fan := 0
	if d != memory.In {
		fan += g.out.fan(n, t)
	}
	if d != memory.Out {
		fan += g.in.fan(n, t)
	}
	return fan
}

func (a *adjacency) fan(n memory.Ordinal, t typeID) int {
	l := a.list(n)
	if l.n > listMost {
		if x := a.hubs[l.at].total(t); x != nil {
			return int(x.n)
		}
		return 0
	}
	entries, _ := a.piece(l)
	fan := 0
	for _, e := range entries {
		if e.kind() == t {
			fan++
		}
	}
	return fan
}

// Neighbour is a link as seen from one of its ends.
type Neighbour struct {
	Node      memory.Ordinal // the other end
	Type      string
	Direction memory.Direction // Out: the link begins here
	Weight    float64
	Tag       uint32 // 0 for In: the list of the other end has it, see Tags
}

// Neighbours gives the links of a node, those out of it first, each direction by
// type (in the order in which types came to the graph) and other end, until give
// returns false. A self-loop is given once a direction. The graph must not be
// changed meanwhile.
func (g *Graph) Neighbours(n memory.Ordinal, d memory.Direction, give func(Neighbour) bool) {
	if d != memory.In && !g.each(&g.out, n, memory.Out, give) {
		return
	}
	if d != memory.Out {
		g.each(&g.in, n, memory.In, give)
	}
}

func (g *Graph) each(a *adjacency, n memory.Ordinal, d memory.Direction, give func(Neighbour) bool) bool {
	l := a.list(n)
	for i := 0; ; i++ {
		entries, tags := a.part(l, i)
		if len(entries) == 0 {
			return true
		}
		for j, e := range entries {
			x := Neighbour{Node: e.other(), Type: g.types[e.kind()], Direction: d, Weight: e.weight().float()}
			if tags != nil {
				x.Tag = tags[j]
			}
			if !give(x) {
				return false
			}
		}
	}
}

// Tags gives the tags of the links of one type from one node to another, ascending.
func (g *Graph) Tags(from, to memory.Ordinal, linkType string) []uint32 {
	t, ok := g.known(linkType)
	if !ok {
		return nil
	}
	var tags []uint32
	g.eachParallel(from, entryOf(t, to, 0), func(_ entry, tag uint32) bool {
		tags = append(tags, tag)
		return true
	})
	return tags
}

// Stats describe a graph.
type Stats struct {
	Links int
	Types int
	Hubs  int // nodes with more than 64 links in one direction
	Bytes int // of memory, without scratch
}

// Stats returns the figures of this moment.
func (g *Graph) Stats() Stats {
	s := Stats{Links: g.out.links, Types: len(g.types), Bytes: g.out.bytes() + g.in.bytes()}
	for _, a := range []*adjacency{&g.out, &g.in} {
		s.Hubs += len(a.hubs) - len(a.gone)
	}
	for _, t := range g.types {
		s.Bytes += 2*len(t) + 64
	}
	return s
}

// nodes is one more than the greatest ordinal that has had a link.
func (g *Graph) nodes() int { return max(len(g.out.lists), len(g.in.lists)) }

// Types gives the types of link that there are or were, in the order in which
// they came.
func (g *Graph) Types() []string { return slices.Clone(g.types) }
