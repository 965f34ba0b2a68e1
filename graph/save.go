package graph

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/engramdb/engram/internal/saved"
	"github.com/engramdb/engram/memory"
)

// The format is drawn in docs/format/graph.md.
const (
	saveMagic   = "ENGGRAPH"
	saveVersion = 1

	frameTypes = 'T'
	frameLists = 'L'

	frameMost = 1 << 20 // a larger frame is corrupt
)

var (
	// ErrCorrupt is the error of Load for bytes that Save did not write: rebuild
	// the graph from the state.
	ErrCorrupt = saved.ErrCorrupt
	// ErrVersion is the error of Load for a format of a later release.
	ErrVersion = saved.ErrVersion
)

// Save writes the graph, so that Load makes an equal one. Nothing that has ended
// is in it, but for the name of a type that no link has any more. Other errors
// than w's are not known.
func (g *Graph) Save(w io.Writer) error {
	s := saver{saved.NewWriter(w, saveMagic, saveVersion)}
	s.Uint(uint64(len(g.types)))
	s.Uint(uint64(g.nodes()))
	s.Uint(uint64(g.out.links))
	s.End()
	s.types(g)
	s.lists(g)
	if err := s.Finish(); err != nil {
		return fmt.Errorf("save graph: %w", err)
	}
	return nil
}

type saver struct{ *saved.Writer }

func (s *saver) types(g *Graph) {
	s.Begin(frameTypes)
	for _, t := range g.types {
		s.Text(t)
		s.Next(frameTypes)
	}
	s.End()
}

// lists writes the links out of each node; those into it follow from them.
func (s *saver) lists(g *Graph) {
	s.Begin(frameLists)
	for n := range g.nodes() {
		l := g.out.list(memory.Ordinal(n))
		s.Uint(uint64(l.n))
		var kind, other uint64 // of the entry before
		for i := 0; ; i++ {
			entries, tags := g.out.part(l, i)
			if len(entries) == 0 {
				break
			}
			for j, e := range entries {
				k, o := uint64(e.kind()), uint64(e.other())
				s.Uint(k - kind)
				if k != kind {
					other = 0
				}
				s.Uint(o - other)
				kind, other = k, o
				s.Uint16(uint16(e.weight()))
				s.Uint32(tags[j])
				s.Next(frameLists)
			}
		}
		if n&0xff == 0 {
			s.Next(frameLists)
		}
	}
	s.End()
}

// Load reads what Save wrote. ErrCorrupt, ErrVersion, or r's errors. It takes
// memory only for bytes that are there.
func Load(r io.Reader) (*Graph, error) {
	l := loader{Reader: saved.NewReader(r, frameMost), g: New()}
	if err := l.run(); err != nil {
		return nil, fmt.Errorf("load graph: %w", err)
	}
	return l.g, nil
}

type loader struct {
	*saved.Reader
	g *Graph

	types, nodes, links uint64 // announced

	left    uint64 // entries of the last list that have not come
	entries []entry
	tags    []uint32
	kind    uint64 // of the entry before
	other   uint64
}

func (l *loader) run() error {
	if err := l.head(); err != nil {
		return err
	}
	lists := false
	err := l.Frames(func(kind byte) func() {
		switch {
		case kind == frameTypes && !lists:
			return l.oneType
		case kind == frameLists:
			lists = true
			return l.oneEntry
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.finish()
}

func (l *loader) head() error {
	if err := l.Head(saveMagic, saveVersion); err != nil {
		return err
	}
	const most = 1<<32 - 1
	l.types, l.nodes, l.links = l.Uint(typesMost), l.Uint(1<<32), l.Uint(most)
	return l.HeadEnd()
}

func (l *loader) oneType() {
	name := l.Text()
	if _, twice := l.g.ids[name]; l.Bad() || twice || name == "" || uint64(len(l.g.types)) >= l.types {
		l.Refuse(true)
		return
	}
	l.g.addType(name)
}

// oneEntry reads the beginning of a list, or an entry of the one that has begun.
func (l *loader) oneEntry() {
	if l.left == 0 {
		l.left = l.Uint(l.links)
		l.kind, l.other = 0, 0
		nodes := len(l.g.out.lists)
		if l.Bad() || uint64(nodes) >= l.nodes || nodes == 0 && l.left > 0 {
			l.Refuse(true) // more nodes than announced, or links of node 0, which is none
			return
		}
		l.g.out.lists = append(l.g.out.lists, list{})
		return
	}
	l.left--
	k := l.kind + l.Uint(typesMost)
	if k != l.kind {
		l.other = 0
	}
	o := l.other + l.Uint(1<<32-1)
	fixed := l.Take(6)
	if l.Bad() || k >= l.types || o == 0 || o >= l.nodes || o >= 1<<32 {
		l.Refuse(true)
		return
	}
	l.kind, l.other = k, o
	l.add(entryOf(typeID(k), memory.Ordinal(o), weight(binary.LittleEndian.Uint16(fixed))), binary.LittleEndian.Uint32(fixed[2:]))
}

// add puts an entry at the end of its list, where it must belong.
func (l *loader) add(e entry, tag uint32) {
	if n := len(l.entries); n > 0 {
		last := l.entries[n-1].place()
		l.Refuse(e.place() < last || e.place() == last && tag <= l.tags[n-1])
	}
	if l.Refuse(e.weight() > weightMost); l.Bad() {
		return
	}
	l.entries, l.tags = append(l.entries, e), append(l.tags, tag)
	if l.left == 0 {
		l.g.out.place(memory.Ordinal(len(l.g.out.lists)-1), l.entries, l.tags)
		l.entries, l.tags = l.entries[:0], l.tags[:0]
	}
}

// finish checks that all is there that was announced, and turns the links round.
func (l *loader) finish() error {
	g := l.g
	if l.left != 0 || uint64(len(g.types)) != l.types || uint64(len(g.out.lists)) != l.nodes || uint64(g.out.links) != l.links {
		return fmt.Errorf("%w: %d types, %d nodes and %d links, announced are %d, %d and %d", ErrCorrupt,
			len(g.types), len(g.out.lists), g.out.links, l.types, l.nodes, l.links)
	}
	g.turn()
	return nil
}

// turn makes the lists of links into nodes from those of links out of them.
func (g *Graph) turn() {
	ends := make([]uint32, len(g.out.lists)+1) // where the list of a node ends in flat
	flat := make([]entry, g.out.links)
	g.eachLink(func(_ memory.Ordinal, e entry) { ends[e.other()+1]++ })
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	g.eachLink(func(from memory.Ordinal, e entry) {
		flat[ends[e.other()]] = entryOf(e.kind(), from, e.weight())
		ends[e.other()]++
	})
	g.in.lists = make([]list, len(g.out.lists))
	from := uint32(0)
	for n := range g.in.lists {
		part := flat[from:ends[n]]
		from = ends[n]
		slices.Sort(part)
		g.in.place(memory.Ordinal(n), part, nil)
	}
}

func (g *Graph) eachLink(give func(from memory.Ordinal, e entry)) {
	for n, l := range g.out.lists {
		for i := 0; ; i++ {
			entries, _ := g.out.part(l, i)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				give(memory.Ordinal(n), e)
			}
		}
	}
}
