package ann

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// The format is drawn in docs/format/ann.md.
const (
	saveMagic   = "ENGRNEAR"
	saveVersion = 1

	savePage = 4096 // parts begin at multiples of it
	headSize = 88

	isFlat      = 1 // flags of a head
	hasPassages = 2
)

var (
	// ErrCorrupt is the error of LoadGraph, Adopt and Verify for bytes that Save did
	// not write: make the index anew from the vectors.
	ErrCorrupt = errors.New("index of nearest vectors is corrupt")
	// ErrVersion is the error for an index of another dimension or metric, of a later
	// format, or on a processor that keeps numbers the other way round.
	ErrVersion = errors.New("index of nearest vectors is of another format")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var metrics = []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2}

// A head is the first part of a snapshot; from it follows where all others are.
type head struct {
	Magic   [8]byte
	Version uint32
	Flags   uint32
	Dim     uint32
	Metric  uint32
	Count   uint32 // rows
	Listed  uint32 // numbers in the lists
	Stamp   uint64
	Unit    float32
	Below   uint32 // of entries
	Reach   float64
	Next    uint32 // of a sweep
	Dead    uint32
	Placed  uint64
	_       [16]byte
}

// The parts of a snapshot, in order. The sums of the vectors, chunk by chunk, and
// the others' come last.
const (
	partHead = iota
	partCentre
	partSlots
	partStates
	partFactors
	partLifts
	partLinks
	partLists
	partCodes
	partVectors
	partSums
	parts
)

// part is where a part lies.
type part64 struct{ from, size int }

func (p part64) of(b []byte) []byte { return b[p.from : p.from+p.size : p.from+p.size] }

// layout is where all parts of a snapshot with this head lie, and its whole size.
func (h *head) layout() (at [parts]part64, size int) {
	c := newCoder(metrics[h.Metric], int(h.Dim))
	n := int(h.Count)
	chunks := (n + vector.CodedChunk - 1) / vector.CodedChunk
	rows := chunks * vector.CodedChunk
	sizes := [parts]int{
		partHead: headSize, partCentre: 4 * len(c.centre), partSlots: 4 * n, partStates: n,
		partFactors: 8 * rows, partLinks: 4 * degree * rows, partLists: 4 * int(h.Listed),
		partCodes: c.stride * rows, partVectors: 4 * int(h.Dim) * rows, partSums: 4 * (chunks + parts),
	}
	if c.metric == memory.MetricDot {
		sizes[partLifts] = 8 * rows
	}
	if h.Flags&isFlat != 0 {
		sizes = [parts]int{partHead: headSize, partSlots: 4 * n, partLists: 4 * int(h.Listed), partVectors: 4 * int(h.Dim) * n, partSums: 4 * parts}
	}
	for i, s := range sizes {
		at[i] = part64{size, s}
		size += (s + savePage - 1) / savePage * savePage
	}
	return at, size
}

// Save writes the index, so that LoadGraph makes an equal one; the same calls
// before make the same bytes. Nothing that was deleted is in it. The caller holds the
// lock for reading, or is alone with the graph, until it is done; Saving lets
// others write meanwhile. Other errors than w's are not known, but for ErrVersion.
func (g *Graph) Save(w io.Writer) error { return g.Saving().Write(w, alone{}) }

// alone is the lock of one who needs none.
type alone struct{}

func (alone) Lock()   {}
func (alone) Unlock() {}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// saver writes parts; after the first error it does nothing.
type saver struct {
	w    io.Writer
	err  error
	sums [parts]uint32
	of   int // the part
	size int // of it, so far
}

func (s *saver) write(b []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
	s.size += len(b)
	if s.of != partVectors {
		s.sums[s.of] = crc32.Update(s.sums[s.of], castagnoli, b)
	}
}

// end fills the part up.
func (s *saver) end() {
	if rest := s.size % savePage; rest > 0 && s.err == nil {
		_, s.err = s.w.Write(make([]byte, savePage-rest))
	}
	s.of, s.size = s.of+1, 0
}

func (s *saver) head(h head) {
	h.Magic, h.Version = [8]byte([]byte(saveMagic)), saveVersion
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil || len(b) != headSize {
		panic("ann: the head of a snapshot has another size")
	}
	s.write(b)
	s.end()
}

func (g *Graph) head(passages []uint32) head {
	var flags uint32
	if passages != nil {
		flags = hasPassages
	}
	return head{Flags: flags, Dim: uint32(g.dim), Metric: uint32(slices.Index(metrics, g.metric)), Stamp: g.stamp, Placed: g.placed}
}

func (s *saver) flat(g *Graph, passages []uint32) {
	f, h := g.flat, g.head(passages)
	h.Flags |= isFlat
	h.Count, h.Listed = uint32(len(f.slots)), uint32(len(passages))
	s.head(h)
	for s.of < partVectors {
		switch s.of {
		case partSlots:
			s.write(raw(f.slots))
		case partLists:
			s.write(raw(passages))
		}
		s.end()
	}
	for i := range f.slots {
		s.write(raw(f.row(i)))
		s.sums[partVectors] = crc32.Update(s.sums[partVectors], castagnoli, raw(f.row(i)))
	}
	s.end()
	s.write(raw(s.sums[:]))
	s.end()
}

func writeAll[T any](s *saver, chunks [][]T) {
	for _, c := range chunks {
		s.write(raw(c))
	}
	s.end()
}

// raw is the memory of numbers.
func raw[T any](v []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(one)))
}

// lists are the rows in queues and sets, each list after its length; that of
// twins is for each row that has some: the row, how many, they.
func (g *Graph) lists() []uint32 {
	var all []uint32
	for _, l := range [][]uint32{g.tail.all(), g.apart.all(), g.dead, g.entries.rows} {
		all = append(append(all, uint32(len(l))), l...)
	}
	all = append(all, uint32(len(g.twins)))
	for _, row := range slices.Sorted(maps.Keys(g.twins)) {
		all = append(append(all, row, uint32(len(g.twins[row]))), g.twins[row]...)
	}
	return all
}

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// LoadGraph makes the graph that Save wrote to b. The vectors stay in b, all else
// is copied: b is best the mapping of a file, private and writable (MAP_PRIVATE),
// since the graph writes to it what is put and deleted later. Otherwise it is the
// file's bytes. Either way b is the graph's as long as the graph is in use, or
// until another is adopted. All but the vectors is checked here; Verify checks
// those. The errors are ErrCorrupt and ErrVersion.
func LoadGraph(b []byte, dim int, m memory.Metric) (*Graph, error) {
	return loadGraph(b, dim, m, nil)
}

// loadGraph makes a graph, and that of passages with what says where they stand.
func loadGraph(b []byte, dim int, m memory.Metric, of *passagesLoader) (*Graph, error) {
	g := NewGraph(dim, m)
	h, at, err := g.open(b)
	if err != nil {
		return nil, err
	}
	if (h.Flags&hasPassages != 0) != (of != nil) {
		return nil, corrupt("head")
	}
	if err := checkSums(b, &at); err != nil {
		return nil, err
	}
	g.stamp, g.placed = h.Stamp, h.Placed
	l := &loader{Graph: g, b: b, head: h, at: &at, of: of}
	if h.Flags&isFlat != 0 {
		return g, l.loadFlat()
	}
	return g, l.load()
}

// open reads the head of a snapshot of such a graph.
func (g *Graph) open(b []byte) (h *head, at [parts]part64, err error) {
	h = new(head)
	switch {
	case !littleEndian():
		return nil, at, ErrVersion
	case len(b) < savePage:
		return nil, at, corrupt("cut short")
	}
	if _, err := binary.Decode(b, binary.LittleEndian, h); err != nil || string(h.Magic[:]) != saveMagic {
		return nil, at, corrupt("head")
	}
	switch {
	case h.Version != saveVersion:
		return nil, at, fmt.Errorf("%w: version %d", ErrVersion, h.Version)
	case int(h.Dim) != g.dim || int(h.Metric) >= len(metrics) || metrics[h.Metric] != g.metric:
		return nil, at, fmt.Errorf("%w: of other vectors", ErrVersion)
	case h.Count >= maxRows || h.Flags&^(isFlat|hasPassages) != 0:
		return nil, at, corrupt("head")
	}
	at, size := h.layout()
	if size != len(b) {
		return nil, at, corrupt("cut short")
	}
	return h, at, nil
}

// checkSums checks all parts but the vectors of a graph.
func checkSums(b []byte, at *[parts]part64) error {
	sums := at[partSums].of(b)
	own := sums[len(sums)-4*parts:]
	for i := range partSums {
		if i == partVectors && len(sums) > 4*parts {
			continue
		}
		if crc32.Checksum(at[i].of(b), castagnoli) != binary.LittleEndian.Uint32(own[4*i:]) {
			return corrupt(fmt.Sprintf("part %d", i))
		}
	}
	return nil
}

// loader reads the parts of a graph.
type loader struct {
	*Graph
	b        []byte
	head     *head
	at       *[parts]part64
	of       *passagesLoader // whose graph it is; nil: nobody's
	passages []uint32        // the list of them
}

func (l *loader) loadFlat() error {
	l.slots, l.passages = copied[uint32](l.at[partSlots].of(l.b)), copied[uint32](l.at[partLists].of(l.b))
	if l.of == nil && len(l.passages) > 0 {
		return corrupt("lists")
	}
	if err := l.number(func(int) bool { return true }); err != nil {
		return err
	}
	vectors := l.at[partVectors].of(l.b)
	for i, slot := range l.slots {
		if l.flat.Has(slot) {
			return corrupt("a slot comes twice")
		}
		copy(raw(l.flat.row(l.flat.addRow(slot))), vectors[4*l.dim*i:])
	}
	l.slots = nil
	return nil
}

func (l *loader) load() error {
	l.flat = nil
	l.count = int(l.head.Count)
	l.code = newCoder(l.metric, l.dim)
	l.code.unit, l.code.reach = l.head.Unit, l.head.Reach
	l.coded.Stride, l.room = l.code.stride, make([]float32, l.code.stride)
	copy(raw(l.code.centre), l.at[partCentre].of(l.b))
	l.slots = copied[uint32](l.at[partSlots].of(l.b))
	l.states = copied[state](l.at[partStates].of(l.b))
	l.born = make([]uint32, l.count)
	for range l.at[partLinks].size / (4 * degree * vector.CodedChunk) {
		l.addTables()
	}
	l.sketch = missingSketches(&l.code, len(l.links))
	fillChunks(l.coded.Factors, l.at[partFactors].of(l.b))
	fillChunks(l.lifts, l.at[partLifts].of(l.b))
	fillChunks(l.links, l.at[partLinks].of(l.b))
	fillChunks(l.coded.Codes, l.at[partCodes].of(l.b))
	l.vectors = l.viewVectors(l.b, l.at)
	l.heap, l.changed = make([]bool, len(l.links)), make([]uint64, len(l.links))
	if err := l.readLists(); err != nil {
		return err
	}
	if err := l.number(func(row int) bool { return l.states[row] != free && l.states[row] != dead }); err != nil {
		return err
	}
	return l.check()
}

// copied is numbers, out of their memory.
func copied[T any](b []byte) []T {
	var one T
	v := make([]T, len(b)/int(unsafe.Sizeof(one)))
	copy(raw(v), b)
	return v
}

// fillChunks copies a part into its chunks.
func fillChunks[T any](chunks [][]T, b []byte) {
	for _, c := range chunks {
		b = b[copy(raw(c), b):]
	}
}

// viewVectors is the vectors in a snapshot, where they lie if they can be read
// there.
func (g *Graph) viewVectors(b []byte, at *[parts]part64) (chunks [][]float32) {
	b = at[partVectors].of(b)
	n := vector.CodedChunk * g.dim
	for ; len(b) > 0; b = b[4*n:] {
		first := unsafe.Pointer(unsafe.SliceData(b))
		if uintptr(first)%4 == 0 {
			chunks = append(chunks, unsafe.Slice((*float32)(first), n))
		} else {
			chunks = append(chunks, copied[float32](b[:4*n]))
		}
	}
	return chunks
}

func (l *loader) readLists() error {
	rest := copied[uint32](l.at[partLists].of(l.b))
	ok := true
	take := func(n int) []uint32 {
		if n > len(rest) {
			ok, n = false, len(rest)
		}
		list := slices.Clone(rest[:n])
		rest = rest[n:]
		return list
	}
	length := func() int {
		if v := take(1); len(v) == 1 {
			return int(v[0])
		}
		return 0
	}
	for _, to := range []*[]uint32{&l.tail.rows, &l.apart.rows, &l.dead, &l.entries.rows} {
		*to = take(length())
	}
	for n := length(); n > 0 && ok; n-- {
		row := length()
		list := take(length())
		if _, twice := l.twins[uint32(row)]; twice || len(list) == 0 {
			return corrupt("twins")
		}
		if l.twins == nil {
			l.twins = map[uint32][]uint32{}
		}
		l.twins[uint32(row)] = list
		l.twinned += len(list)
	}
	if l.of != nil {
		l.passages, rest = rest, nil
	}
	if !ok || len(rest) > 0 {
		return corrupt("lists")
	}
	l.entries.below = l.head.Below
	l.sweep = sweep{int(l.head.Next), int(l.head.Dead)}
	return nil
}

// check sees to it that nothing in the graph leads anywhere else. The sums were
// right, so this is against a writer's mistakes; it makes the index safe to use
// whatever the file says.
func (l *loader) check() error {
	if !(l.code.unit > 0) || l.code.unit-l.code.unit != 0 || !(l.code.reach >= 0) || l.sweep.next > l.count || l.sweep.dead > len(l.dead) {
		return corrupt("head")
	}
	for _, x := range l.code.centre {
		if x-x != 0 {
			return corrupt("centre")
		}
	}
	if err := l.checkLists(); err != nil {
		return err
	}
	for i, state := range l.states {
		if err := l.checkRow(uint32(i), state); err != nil {
			return err
		}
	}
	if len(l.entries.rows) == 0 && slices.Contains(l.states, linked) {
		return corrupt("no entries")
	}
	return nil
}

// checkLists wants each row that is not linked in the list of its state, once.
func (l *loader) checkLists() error {
	listed := make([]bool, l.count)
	in := func(list []uint32, s state) bool {
		for _, row := range list {
			if int(row) >= l.count || listed[row] || l.states[row] != s {
				return false
			}
			listed[row] = true
		}
		return true
	}
	if !in(l.tail.rows, waiting) || !in(l.apart.rows, standing) || !in(l.dead, dead) || !in(l.entries.rows, linked) {
		return corrupt("a list")
	}
	for row, list := range l.twins {
		if int(row) >= l.count || l.states[row] != linked || !in(list, twin) {
			return corrupt("twins")
		}
		for _, t := range list {
			l.linksOf(t)[0] = row
		}
	}
	for _, q := range []*queued{&l.tail, &l.apart} {
		for i, row := range q.rows {
			l.linksOf(row)[0] = uint32(i)
		}
	}
	for i, s := range l.states {
		if s > dead || s != linked && s != free && !listed[i] {
			return corrupt("a row is in no list")
		}
		if s == free {
			l.free++
		}
	}
	return nil
}

func (l *loader) checkRow(row uint32, s state) error {
	f := l.coded.Factor(row)
	gone := s == free || s == dead
	if gone != (f.Bias > math.MaxFloat32) || f.Scale-f.Scale != 0 || !gone && f.Bias-f.Bias != 0 {
		return corrupt("factors")
	}
	if !gone {
		if l.rows.get(l.slots[row]) >= 0 {
			return corrupt("a slot comes twice")
		}
		l.rows.set(l.slots[row], int(row))
		l.live++
	}
	if s != linked && s != dead {
		return nil
	}
	for _, to := range l.linksOf(row) {
		if int(to) >= l.count || l.states[to] != linked && l.states[to] != dead {
			return corrupt("a link")
		}
	}
	return nil
}

// Adopt lets the graph read its vectors from b, to which Save wrote them, as far as
// they have not changed since: memory for them is then the system's to give and
// take. What lay in another snapshot lies there no more, so that one may go. b is
// kept as by LoadGraph; the caller holds the lock for writing, for about a
// microsecond a thousand vectors. After an error nothing has changed.
func (g *Graph) Adopt(b []byte) error {
	if g.flat != nil {
		return nil
	}
	h, at, err := g.open(b)
	if err != nil {
		return err
	}
	if h.Flags&isFlat != 0 || h.Stamp > g.stamp {
		return corrupt("not a snapshot of this index")
	}
	views := g.viewVectors(b, &at)
	for i := range g.vectors {
		switch {
		case i < len(views) && g.changed[i] <= h.Stamp:
			g.vectors[i], g.heap[i] = views[i], false
		case !g.heap[i]:
			g.vectors[i], g.heap[i] = slices.Clone(g.vectors[i]), true
		}
	}
	return nil
}

// Verify checks the vectors in a snapshot against their sums; b is its bytes as
// they lie on the disk (a mapping of its own, not one that a graph writes to). The
// errors are ErrCorrupt, ErrVersion and those of ctx, which is looked at every few
// milliseconds. Graphs may be in use meanwhile.
func Verify(ctx context.Context, b []byte, dim int, m memory.Metric) error {
	g := NewGraph(dim, m)
	h, at, err := g.open(b)
	if err != nil {
		return err
	}
	if err := checkSums(b, &at); err != nil || h.Flags&isFlat != 0 {
		return err
	}
	sums, vectors := at[partSums].of(b), at[partVectors].of(b)
	size := 4 * vector.CodedChunk * g.dim
	for i := 0; len(vectors) > 0; i, vectors = i+1, vectors[size:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if crc32.Checksum(vectors[:size], castagnoli) != binary.LittleEndian.Uint32(sums[4*i:]) {
			return corrupt(fmt.Sprintf("vectors, chunk %d", i))
		}
	}
	return nil
}
