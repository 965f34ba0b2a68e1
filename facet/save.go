package facet

import (
	"fmt"
	"io"
	"math"

	"github.com/engramdb/engram/internal/saved"
	"github.com/engramdb/engram/memory"
)

// The format is drawn in docs/format/facet.md.
const (
	saveMagic   = "ENGFACET"
	saveVersion = 1

	frameTerms = 'T'
	frameSlots = 'S'

	frameMost = 64 << 20 // a larger frame is corrupt
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
	ErrCorrupt = saved.ErrCorrupt
	// ErrVersion is the error of Load for a format of a later release.
	ErrVersion = saved.ErrVersion
)

// Save writes the index, so that Load makes an equal one. Nothing that was
// purged or erased is in it. Other errors than w's are not known.
func (x *Index) Save(w io.Writer) error {
	s := saver{Writer: saved.NewWriter(w, saveMagic, saveVersion), index: x, place: make([]uint32, x.dict.count), cursors: map[uint32]*[2]int{}}
	s.head()
	s.terms()
	s.slots()
	if err := s.Finish(); err != nil {
		return fmt.Errorf("save facets: %w", err)
	}
	return nil
}

type saver struct {
	*saved.Writer
	index *Index

	place    []uint32           // number in the file of each term
	cursors  map[uint32]*[2]int // how far the columns of each key are written
	lastSlot int64
	lastSec  int64
}

// head writes the rest of the head.
func (s *saver) head() {
	s.Uint(uint64(s.index.newest))
	s.Uint(uint64(s.index.floor))
	s.Uint(uint64(s.index.next))
	s.Uint(s.index.latest.end())
	s.Uint(uint64(s.index.dict.terms()))
	s.Uint(uint64(s.index.slots))
	s.End()
}

// terms writes the words, keys before their values, and numbers them anew.
func (s *saver) terms() {
	s.Begin(frameTerms)
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
	s.End()
}

func (s *saver) term(t *term) {
	s.Next(frameTerms)
	s.Byte(byte(t.field))
	if t.field > fieldKey {
		s.Uint(uint64(s.place[t.key]))
	}
	s.Text(t.text)
}

func (s *saver) slots() {
	s.Begin(frameSlots)
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
	s.End()
}

func (s *saver) slot(b *block, i int, slot uint32) {
	s.Next(frameSlots)
	s.Uint(uint64(int64(slot) - s.lastSlot))
	s.lastSlot = int64(slot)
	s.Uint(uint64(b.ord[i]))
	s.Uint(uint64(valueAt(b.version, i, 1)))
	s.Byte(byte(b.kind[i]))
	s.Uint(uint64(b.born[i]))
	s.when(b.stored.at(i))
	s.optional(b, i, slot)
	s.slotTerms(b.termsOf(i), slot)
}

// when writes a time; its seconds as the step from the time before.
func (s *saver) when(t instant) {
	s.Int(t.sec - s.lastSec)
	s.Uint(uint64(t.nsec))
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
	s.Byte(byte(flags))
	if died != 0 {
		s.Uint(uint64(died))
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
			s.Float(v)
		}
	}
}

// slotTerms writes the terms of a slot, each key followed by its numbers.
func (s *saver) slotTerms(terms []uint32, slot uint32) {
	s.Uint(uint64(len(terms)))
	for _, id := range terms {
		s.Uint(uint64(s.place[id]))
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
		s.Uint(uint64(len(values)))
		for _, v := range values {
			s.Float(v)
		}
	}
}

// Load reads what Save wrote, and not a byte more. Damaged bytes give ErrCorrupt,
// a format from a later release ErrVersion, an error of r itself. Memory is taken
// in proportion to what was read, and to what the head announces of slots and
// ordinals ever given: a bit for each.
func Load(r io.Reader) (*Index, error) {
	l := loader{Reader: saved.NewReader(r, frameMost), index: New()}
	if err := l.run(); err != nil {
		return nil, fmt.Errorf("load facets: %w", err)
	}
	return l.index, nil
}

type loader struct {
	*saved.Reader
	index *Index

	head     struct{ newest, floor, next, ordinals, terms, slots uint64 }
	terms    uint32
	lastSlot int64
	lastSec  int64
	row      row
}

func (l *loader) run() error {
	if err := l.readHead(); err != nil {
		return err
	}
	l.lastSlot = -1
	slots := false
	err := l.Frames(func(kind byte) func() {
		switch {
		case kind == frameTerms && !slots:
			return l.term
		case kind == frameSlots:
			slots = true
			return l.slot
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.finish()
}

func (l *loader) readHead() error {
	if err := l.Head(saveMagic, saveVersion); err != nil {
		return err
	}
	h := &l.head
	h.newest, h.floor, h.next = l.Uint(math.MaxUint64), l.Uint(math.MaxUint64), l.Uint(math.MaxUint32)
	h.ordinals = l.Uint(1 << 32)
	h.terms, h.slots = l.Uint(math.MaxUint32), l.Uint(math.MaxUint32)
	return l.HeadEnd()
}

func (l *loader) term() {
	d := &l.index.dict
	f, key := field(l.Byte()), uint64(0)
	l.Refuse(f == 0 || f >= fieldEnd)
	if f > fieldKey {
		key = l.Uint(math.MaxUint32)
		l.Refuse(key >= uint64(l.terms) || d.at(uint32(key)).field != fieldKey)
	}
	text := l.Text()
	l.Refuse(f > fieldString && len(text) > 0)
	if l.Bad() {
		return
	}
	id := d.findOrAdd(f, uint32(key), text)
	l.Refuse(id != l.terms) // it was there before
	l.terms++
}

func (l *loader) slot() {
	x, r := l.index, &l.row
	*r = row{terms: r.terms[:0], numbers: r.numbers[:0], expires: never}
	step := l.Uint(math.MaxUint32)
	slot := l.lastSlot + int64(step)
	l.Refuse(step == 0 || slot >= int64(l.head.next))
	l.lastSlot = slot
	r.slot = uint32(slot)
	r.ordinal = memory.Ordinal(l.Uint(math.MaxUint32))
	r.version = uint32(l.Uint(math.MaxUint32))
	r.kind = memory.Kind(l.Byte())
	r.born = memory.LSN(l.Uint(l.head.newest))
	r.stored = l.when()
	l.optional(r)
	l.slotTerms(r)
	l.Refuse(r.ordinal == 0 || uint64(r.ordinal) >= l.head.ordinals)
	if l.Bad() || l.standsTwice(r) {
		l.Refuse(true)
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
	t := instant{sec: l.lastSec + l.Int(), nsec: uint32(l.Uint(1e9 - 1))}
	l.lastSec = t.sec
	return t
}

func (l *loader) optional(r *row) {
	flags := l.Byte()
	l.Refuse(flags&^flagsKnown != 0 || flags&flagInterval != 0 && flags&flagHappened == 0)
	if flags&flagDied != 0 {
		r.died = memory.LSN(l.Uint(l.head.newest))
		l.Refuse(r.died == 0)
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
		r.placed, r.position = true, [3]float64{l.Float(), l.Float(), l.Float()}
	}
	r.hidden = flags&flagHidden != 0
}

// slotTerms reads the terms of a slot. A value comes after its key.
func (l *loader) slotTerms(r *row) {
	key := noTerm // the last one read
	for n := l.Uint(uint64(l.Left())); n > 0 && !l.Bad(); n-- {
		id := uint32(l.Uint(math.MaxUint32))
		if l.Bad() || id >= l.terms {
			l.Refuse(true)
			return
		}
		r.terms = append(r.terms, id)
		switch t := l.index.dict.at(id); {
		case t.field == fieldKey:
			key = id
			l.numbers(r, key)
		case t.field > fieldKey:
			l.Refuse(t.key != key)
		}
	}
}

func (l *loader) numbers(r *row, key uint32) {
	for _, listed := range []bool{false, true} {
		for n := l.Uint(uint64(l.Left() / 8)); n > 0 && !l.Bad(); n-- {
			r.numbers = append(r.numbers, number{key, listed, l.Float() + 0})
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
