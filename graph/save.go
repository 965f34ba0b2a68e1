package graph

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/engramdb/engram/memory"
)

// The format is drawn in docs/format/graph.md.
const (
	saveMagic   = "ENGGRAPH"
	saveVersion = 1

	frameHead  = 'H'
	frameTypes = 'T'
	frameLists = 'L'
	frameEnd   = 'E'

	frameFull = 64 << 10 // a frame is written out when it is larger
	frameMost = 1 << 20  // a larger one is corrupt
)

var (
	// ErrCorrupt is the error of Load for bytes that Save did not write: rebuild
	// the graph from the state.
	ErrCorrupt = errors.New("graph is corrupt")
	// ErrVersion is the error of Load for a format of a later release.
	ErrVersion = errors.New("graph has an unknown format version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes the graph, so that Load makes an equal one. Nothing that has ended
// is in it, but for the name of a type that no link has any more. Other errors
// than w's are not known.
func (g *Graph) Save(w io.Writer) error {
	s := saver{w: w}
	s.crc = crc32.Update(0, castagnoli, []byte(saveMagic))
	s.write([]byte(saveMagic))
	s.begin(frameHead)
	s.uint(saveVersion)
	s.uint(uint64(len(g.types)))
	s.uint(uint64(g.nodes()))
	s.uint(uint64(g.out.links))
	s.end()
	s.types(g)
	s.lists(g)
	s.begin(frameEnd)
	s.end()
	if s.err != nil {
		return fmt.Errorf("save graph: %w", s.err)
	}
	return nil
}

// saver writes frames; after the first error it does nothing.
type saver struct {
	w   io.Writer
	err error
	crc uint32 // of all bytes so far, checksums left out
	buf []byte // the frame, after 4 bytes for its length
}

func (s *saver) write(b []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
}

func (s *saver) begin(kind byte) { s.buf = append(s.buf[:0], 0, 0, 0, 0, kind) }

// end writes the frame. Its checksum goes over all frames before too, so that
// frames cannot be swapped or left out.
func (s *saver) end() {
	binary.LittleEndian.PutUint32(s.buf, uint32(len(s.buf)-4))
	s.crc = crc32.Update(s.crc, castagnoli, s.buf)
	s.buf = binary.LittleEndian.AppendUint32(s.buf, s.crc)
	s.write(s.buf)
}

// next begins a new frame of the same kind when this one is full.
func (s *saver) next(kind byte) {
	if len(s.buf) >= frameFull {
		s.end()
		s.begin(kind)
	}
}

func (s *saver) uint(v uint64) { s.buf = binary.AppendUvarint(s.buf, v) }

func (s *saver) types(g *Graph) {
	s.begin(frameTypes)
	for _, t := range g.types {
		s.uint(uint64(len(t)))
		s.buf = append(s.buf, t...)
		s.next(frameTypes)
	}
	s.end()
}

// lists writes the links out of each node; those into it follow from them.
func (s *saver) lists(g *Graph) {
	s.begin(frameLists)
	for n := range g.nodes() {
		l := g.out.list(memory.Ordinal(n))
		s.uint(uint64(l.n))
		var kind, other uint64 // of the entry before
		for i := 0; ; i++ {
			entries, tags := g.out.part(l, i)
			if len(entries) == 0 {
				break
			}
			for j, e := range entries {
				k, o := uint64(e.kind()), uint64(e.other())
				s.uint(k - kind)
				if k != kind {
					other = 0
				}
				s.uint(o - other)
				kind, other = k, o
				s.buf = binary.LittleEndian.AppendUint16(s.buf, uint16(e.weight()))
				s.buf = binary.LittleEndian.AppendUint32(s.buf, tags[j])
				s.next(frameLists)
			}
		}
		if n&0xff == 0 {
			s.next(frameLists)
		}
	}
	s.end()
}

// Load reads what Save wrote. ErrCorrupt, ErrVersion, or r's errors. It takes
// memory only for bytes that are there.
func Load(r io.Reader) (*Graph, error) {
	l := loader{g: New(), r: r}
	if err := l.run(); err != nil {
		return nil, fmt.Errorf("load graph: %w", err)
	}
	return l.g, nil
}

// loader reads frames. Reading past the end of a frame marks it bad, so that the
// code that takes it apart need not ask each time.
type loader struct {
	g    *Graph
	r    io.Reader
	crc  uint32
	body bytes.Buffer
	buf  []byte // what is left of the frame
	bad  bool

	types, nodes, links uint64 // announced

	left    uint64 // entries of the last list that have not come
	entries []entry
	tags    []uint32
	kind    uint64 // of the entry before
	other   uint64
}

func (l *loader) run() error {
	magic := make([]byte, len(saveMagic))
	if err := l.full(magic); err != nil {
		return err
	}
	if string(magic) != saveMagic {
		return ErrCorrupt
	}
	l.crc = crc32.Update(0, castagnoli, magic)
	if err := l.head(); err != nil {
		return err
	}
	for lists := false; ; {
		kind, err := l.frame()
		if err != nil {
			return err
		}
		switch {
		case kind == frameTypes && !lists:
			l.each(l.oneType)
		case kind == frameLists:
			lists = true
			l.each(l.oneEntry)
		case kind == frameEnd && len(l.buf) == 0:
			return l.finish()
		default:
			return ErrCorrupt
		}
		if l.bad {
			return ErrCorrupt
		}
	}
}

func (l *loader) each(part func()) {
	for len(l.buf) > 0 && !l.bad {
		part()
	}
}

func (l *loader) full(b []byte) error {
	_, err := io.ReadFull(l.r, b)
	return cutShort(err)
}

func cutShort(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it is cut short", ErrCorrupt)
	}
	return err
}

// frame reads the next frame into l.buf and gives its kind. The buffer grows as
// bytes come, so a false length takes no memory.
func (l *loader) frame() (byte, error) {
	var word [4]byte
	if err := l.full(word[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(word[:])
	if n == 0 || n > frameMost {
		return 0, ErrCorrupt
	}
	l.crc = crc32.Update(l.crc, castagnoli, word[:])
	l.body.Reset()
	if _, err := io.CopyN(&l.body, l.r, int64(n)); err != nil {
		return 0, cutShort(err)
	}
	l.crc = crc32.Update(l.crc, castagnoli, l.body.Bytes())
	if err := l.full(word[:]); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(word[:]) != l.crc {
		return 0, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	l.buf = l.body.Bytes()[1:]
	return l.body.Bytes()[0], nil
}

func (l *loader) uint(most uint64) uint64 {
	v, n := binary.Uvarint(l.buf)
	if n <= 0 || v > most {
		l.bad, l.buf = true, nil
		return 0
	}
	l.buf = l.buf[n:]
	return v
}

func (l *loader) take(n uint64) []byte {
	if n > uint64(len(l.buf)) {
		l.bad, l.buf = true, nil
		return nil
	}
	b := l.buf[:n]
	l.buf = l.buf[n:]
	return b
}

func (l *loader) head() error {
	kind, err := l.frame()
	if err != nil {
		return err
	}
	const most = 1<<32 - 1
	if version := l.uint(1<<64 - 1); kind != frameHead || l.bad {
		return ErrCorrupt
	} else if version != saveVersion {
		return fmt.Errorf("%w %d; this release knows %d", ErrVersion, version, saveVersion)
	}
	l.types, l.nodes, l.links = l.uint(typesMost), l.uint(1<<32), l.uint(most)
	if l.bad || len(l.buf) > 0 {
		return ErrCorrupt
	}
	return nil
}

func (l *loader) oneType() {
	name := string(l.take(l.uint(frameMost)))
	if _, twice := l.g.ids[name]; l.bad || twice || name == "" || uint64(len(l.g.types)) >= l.types {
		l.bad = true
		return
	}
	l.g.addType(name)
}

// oneEntry reads the beginning of a list, or an entry of the one that has begun.
func (l *loader) oneEntry() {
	if l.left == 0 {
		l.left = l.uint(l.links)
		l.kind, l.other = 0, 0
		nodes := len(l.g.out.lists)
		if l.bad || uint64(nodes) >= l.nodes || nodes == 0 && l.left > 0 {
			l.bad = true // more nodes than announced, or links of node 0, which is none
			return
		}
		l.g.out.lists = append(l.g.out.lists, list{})
		return
	}
	l.left--
	k := l.kind + l.uint(typesMost)
	if k != l.kind {
		l.other = 0
	}
	o := l.other + l.uint(1<<32-1)
	fixed := l.take(6)
	if l.bad || k >= l.types || o == 0 || o >= l.nodes || o >= 1<<32 {
		l.bad = true
		return
	}
	l.kind, l.other = k, o
	l.add(entryOf(typeID(k), memory.Ordinal(o), weight(binary.LittleEndian.Uint16(fixed))), binary.LittleEndian.Uint32(fixed[2:]))
}

// add puts an entry at the end of its list, where it must belong.
func (l *loader) add(e entry, tag uint32) {
	if n := len(l.entries); n > 0 {
		last := l.entries[n-1].place()
		l.bad = e.place() < last || e.place() == last && tag <= l.tags[n-1]
	}
	if l.bad = l.bad || e.weight() > weightMost; l.bad {
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
