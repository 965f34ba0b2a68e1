package facet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/engramdb/engram/memory"
)

// The format is drawn in docs/format/facet.md.
const (
	saveMagic   = "ENGFACET"
	saveVersion = 1

	frameHead  = 'H'
	frameTerms = 'T'
	frameSlots = 'S'
	frameEnd   = 'E'

	frameFull = 64 << 10 // a frame is written out when it is larger
	frameMost = 64 << 20 // a larger one is corrupt
)

// Flags of a slot.
const (
	flagDied = 1 << iota
	flagHappened
	flagInterval // the end is not the beginning
	flagExpires
	flagPlaced
	flagHidden
	flagsKnown = 1<<iota - 1
)

var (
	// ErrCorrupt is the error of Load for bytes that Save did not write: rebuild
	// the index from the state.
	ErrCorrupt = errors.New("facet index is corrupt")
	// ErrVersion is the error of Load for a format of a later release.
	ErrVersion = errors.New("facet index has an unknown format version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes the index, so that Load makes an equal one. Nothing that was
// purged or erased is in it. Other errors than w's are not known.
func (x *Index) Save(w io.Writer) error {
	s := saver{index: x, w: w, place: make([]uint32, x.dict.count), cursors: map[uint32]*[2]int{}}
	s.magic()
	s.head()
	s.terms()
	s.slots()
	s.begin(frameEnd)
	s.end()
	if s.err != nil {
		return fmt.Errorf("save facets: %w", s.err)
	}
	return nil
}

// saver writes frames; after the first error it does nothing.
type saver struct {
	index *Index
	w     io.Writer
	err   error
	crc   uint32 // of all bytes so far
	buf   []byte // the frame, after 4 bytes for its length

	place    []uint32           // number in the file of each term
	cursors  map[uint32]*[2]int // how far the columns of each key are written
	lastSlot int64
	lastSec  int64
}

func (s *saver) magic() {
	s.crc = crc32.Update(0, castagnoli, []byte(saveMagic))
	s.write([]byte(saveMagic))
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
func (s *saver) int(v int64)   { s.buf = binary.AppendVarint(s.buf, v) }
func (s *saver) float(v float64) {
	s.buf = binary.LittleEndian.AppendUint64(s.buf, math.Float64bits(v))
}

func (s *saver) head() {
	s.begin(frameHead)
	s.uint(saveVersion)
	s.uint(uint64(s.index.newest))
	s.uint(uint64(s.index.floor))
	s.uint(uint64(s.index.next))
	s.uint(s.index.latest.end())
	s.uint(uint64(s.index.dict.terms()))
	s.uint(uint64(s.index.slots))
	s.end()
}

// terms writes the words, keys before their values, and numbers them anew.
func (s *saver) terms() {
	s.begin(frameTerms)
	written := uint32(0)
	for _, below := range []bool{false, true} {
		for id := range uint32(s.index.dict.count) {
			t := s.index.dict.at(id)
			if t.n == 0 || t.field > fieldKey != below {
				continue
			}
			s.place[id] = written
			written++
			s.term(t)
		}
	}
	s.end()
}

func (s *saver) term(t *term) {
	s.next(frameTerms)
	s.buf = append(s.buf, byte(t.field))
	if t.field > fieldKey {
		s.uint(uint64(s.place[t.key]))
	}
	s.uint(uint64(len(t.text)))
	s.buf = append(s.buf, t.text...)
}

func (s *saver) slots() {
	s.begin(frameSlots)
	s.lastSlot = -1
	for n, b := range s.index.blocks {
		if b == nil {
			continue
		}
		for i := range b.ord {
			if b.holds(i) {
				s.slot(b, i, uint32(n*blockSlots+i))
			}
		}
	}
	s.end()
}

func (s *saver) slot(b *block, i int, slot uint32) {
	s.next(frameSlots)
	s.uint(uint64(int64(slot) - s.lastSlot))
	s.lastSlot = int64(slot)
	s.uint(uint64(b.ord[i]))
	s.uint(uint64(valueAt(b.version, i, 1)))
	s.buf = append(s.buf, byte(b.kind[i]))
	s.uint(uint64(b.born[i]))
	s.when(b.stored.at(i))
	s.optional(b, i, slot)
	s.slotTerms(b.termsOf(i), slot)
}

// when writes a time; its seconds as the step from the time before.
func (s *saver) when(t instant) {
	s.int(t.sec - s.lastSec)
	s.uint(uint64(t.nsec))
	s.lastSec = t.sec
}

func (s *saver) optional(b *block, i int, slot uint32) {
	died, expires := valueAt(b.died, i, 0), valueAt(b.expires, i, never)
	known := b.happened != nil && b.happened.has(i)
	var from, to instant
	if known {
		from, to = b.happened.at(i)
	}
	position := nowhere
	if b.position != nil {
		position = valueAt(b.position.at, i, nowhere)
	}
	placed := position[0] == position[0]
	flags := bit(died != 0)*flagDied | bit(known)*flagHappened | bit(from != to)*flagInterval |
		bit(expires != never)*flagExpires | bit(placed)*flagPlaced | bit(s.index.isHidden(slot))*flagHidden
	s.buf = append(s.buf, byte(flags))
	if died != 0 {
		s.uint(uint64(died))
	}
	if known {
		s.when(from)
	}
	if from != to {
		s.when(to)
	}
	if expires != never {
		s.when(expires)
	}
	if placed {
		for _, v := range position {
			s.float(v)
		}
	}
}

// slotTerms writes the terms of a slot, each key followed by its numbers.
func (s *saver) slotTerms(terms []uint32, slot uint32) {
	s.uint(uint64(len(terms)))
	for _, id := range terms {
		s.uint(uint64(s.place[id]))
		if s.index.dict.at(id).field == fieldKey {
			s.numbers(id, slot)
		}
	}
}

func (s *saver) numbers(key, slot uint32) {
	cursor := s.cursors[key]
	if cursor == nil {
		cursor = new([2]int)
		s.cursors[key] = cursor
	}
	k := s.index.dict.keys[key]
	for c, column := range []*numbers{&k.alone, &k.listed} {
		var values []float64
		cursor[c] = column.each(cursor[c], slot, func(v float64) { values = append(values, v) })
		s.uint(uint64(len(values)))
		for _, v := range values {
			s.float(v)
		}
	}
}

// Load reads what Save wrote, and not a byte more. Damaged bytes give ErrCorrupt,
// a format from a later release ErrVersion, an error of r itself. Memory is taken
// in proportion to what was read, and to what the head announces of slots and
// ordinals ever given: a bit for each.
func Load(r io.Reader) (*Index, error) {
	l := loader{index: New(), r: r}
	if err := l.run(); err != nil {
		return nil, fmt.Errorf("load facets: %w", err)
	}
	return l.index, nil
}

// loader reads frames. Reading past the end of a frame marks it bad, so that
// the code that takes it apart need not ask each time.
type loader struct {
	index *Index
	r     io.Reader
	crc   uint32
	body  bytes.Buffer
	buf   []byte // what is left of the frame
	bad   bool

	head     struct{ newest, floor, next, ordinals, terms, slots uint64 }
	terms    uint32
	lastSlot int64
	lastSec  int64
	row      row
}

func (l *loader) run() error {
	if err := l.magic(); err != nil {
		return err
	}
	if err := l.readHead(); err != nil {
		return err
	}
	l.lastSlot = -1
	for slots := false; ; {
		kind, err := l.frame()
		if err != nil {
			return err
		}
		switch {
		case kind == frameTerms && !slots:
			l.each(l.term)
		case kind == frameSlots:
			slots = true
			l.each(l.slot)
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

func (l *loader) magic() error {
	var b [len(saveMagic)]byte
	if err := l.full(b[:]); err != nil {
		return err
	}
	if string(b[:]) != saveMagic {
		return ErrCorrupt
	}
	l.crc = crc32.Update(0, castagnoli, b[:])
	return nil
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

func (l *loader) int() int64 {
	v, n := binary.Varint(l.buf)
	if n <= 0 {
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

func (l *loader) byte() byte {
	if b := l.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (l *loader) float() float64 {
	b := l.take(8)
	if b == nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(b))
	l.refuse(v-v != 0) // only finite ones are stored
	return v
}

func (l *loader) refuse(bad bool) { l.bad = l.bad || bad }

func (l *loader) readHead() error {
	kind, err := l.frame()
	if err != nil {
		return err
	}
	if version := l.uint(math.MaxUint64); kind != frameHead || l.bad {
		return ErrCorrupt
	} else if version != saveVersion {
		return fmt.Errorf("%w %d; this release knows %d", ErrVersion, version, saveVersion)
	}
	h := &l.head
	h.newest, h.floor, h.next = l.uint(math.MaxUint64), l.uint(math.MaxUint64), l.uint(math.MaxUint32)
	h.ordinals = l.uint(1 << 32)
	h.terms, h.slots = l.uint(math.MaxUint32), l.uint(math.MaxUint32)
	if l.bad || len(l.buf) > 0 {
		return ErrCorrupt
	}
	return nil
}

func (l *loader) term() {
	d := &l.index.dict
	f, key := field(l.byte()), uint64(0)
	l.refuse(f == 0 || f >= fieldEnd)
	if f > fieldKey {
		key = l.uint(math.MaxUint32)
		l.refuse(key >= uint64(l.terms) || d.at(uint32(key)).field != fieldKey)
	}
	text := l.take(l.uint(frameMost))
	l.refuse(f > fieldString && len(text) > 0)
	if l.bad {
		return
	}
	id := d.findOrAdd(f, uint32(key), string(text))
	l.refuse(id != l.terms) // it was there before
	l.terms++
}

func (l *loader) slot() {
	x, r := l.index, &l.row
	*r = row{terms: r.terms[:0], numbers: r.numbers[:0], expires: never}
	step := l.uint(math.MaxUint32)
	slot := l.lastSlot + int64(step)
	l.refuse(step == 0 || slot >= int64(l.head.next))
	l.lastSlot = slot
	r.slot = uint32(slot)
	r.ordinal = memory.Ordinal(l.uint(math.MaxUint32))
	r.version = uint32(l.uint(math.MaxUint32))
	r.kind = memory.Kind(l.byte())
	r.born = memory.LSN(l.uint(l.head.newest))
	r.stored = l.when()
	l.optional(r)
	l.slotTerms(r)
	l.refuse(r.ordinal == 0 || uint64(r.ordinal) >= l.head.ordinals)
	if l.bad || l.standsTwice(r) {
		l.bad = true
		return
	}
	x.insert(r)
}

// standsTwice says whether the version before still stands: then Save did not
// write this.
func (l *loader) standsTwice(r *row) bool {
	_, ok := l.index.Live(r.ordinal)
	return ok
}

func (l *loader) when() instant {
	t := instant{sec: l.lastSec + l.int(), nsec: uint32(l.uint(1e9 - 1))}
	l.lastSec = t.sec
	return t
}

func (l *loader) optional(r *row) {
	flags := l.byte()
	l.refuse(flags&^flagsKnown != 0 || flags&flagInterval != 0 && flags&flagHappened == 0)
	if flags&flagDied != 0 {
		r.died = memory.LSN(l.uint(l.head.newest))
		l.refuse(r.died == 0)
	}
	if flags&flagHappened != 0 {
		r.happened, r.from = true, l.when()
		r.to = r.from
	}
	if flags&flagInterval != 0 {
		r.to = l.when()
	}
	if flags&flagExpires != 0 {
		r.expires = l.when()
	}
	if flags&flagPlaced != 0 {
		r.placed, r.position = true, [3]float64{l.float(), l.float(), l.float()}
	}
	r.hidden = flags&flagHidden != 0
}

// slotTerms reads the terms of a slot. A value comes after its key.
func (l *loader) slotTerms(r *row) {
	key := noTerm // the last one read
	for n := l.uint(uint64(len(l.buf))); n > 0 && !l.bad; n-- {
		id := uint32(l.uint(math.MaxUint32))
		if l.bad || id >= l.terms {
			l.bad = true
			return
		}
		r.terms = append(r.terms, id)
		switch t := l.index.dict.at(id); {
		case t.field == fieldKey:
			key = id
			l.numbers(r, key)
		case t.field > fieldKey:
			l.refuse(t.key != key)
		}
	}
}

func (l *loader) numbers(r *row, key uint32) {
	for _, listed := range []bool{false, true} {
		for n := l.uint(uint64(len(l.buf) / 8)); n > 0 && !l.bad; n-- {
			r.numbers = append(r.numbers, number{key, listed, l.float() + 0})
		}
	}
}

// finish checks that all is there that was announced.
func (l *loader) finish() error {
	x, h := l.index, &l.head
	if uint64(l.terms) != h.terms || uint64(x.slots) != h.slots {
		return fmt.Errorf("%w: %d terms and %d slots, announced are %d and %d", ErrCorrupt, l.terms, x.slots, h.terms, h.slots)
	}
	for id := range l.terms {
		if x.dict.at(id).n == 0 {
			return fmt.Errorf("%w: a term without a slot", ErrCorrupt)
		}
	}
	x.newest, x.floor, x.next = memory.LSN(h.newest), memory.LSN(h.floor), uint32(h.next)
	return nil
}
