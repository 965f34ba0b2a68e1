package facet

import (
	"math"

	"github.com/engramdb/engram/memory"
)

const (
	blockSlots = 1024
	blockWords = blockSlots / 64
)

// block holds the columns of 1024 slots. A column is as long as the greatest
// place that was written; past its end, and in a column that is nil, stands the
// value that most slots have. A slot that is not in use has ordinal 0.
type block struct {
	used    int // entries
	ord     []uint32
	kind    []memory.Kind
	born    []memory.LSN
	stored  times
	version []uint32     // else 1
	prev    []uint32     // slot of the version before, else noSlot
	died    []memory.LSN // else 0: it stands
	expires []instant    // else never

	happened *happened  // nil: unknown for all
	position *positions // nil: none

	terms   []uint32 // of all entries, one after the other
	termEnd []uint32 // where those of each end

	kinds    uint8 // 1<<kind of all entries
	maxBorn  memory.LSN
	minStore int64
	maxStore int64
}

// times is a column of instants; seconds and nanoseconds lie apart, as the
// nanoseconds are looked at only where the seconds are equal.
type times struct {
	sec  []int64
	nsec []uint32 // else 0
}

func (c *times) at(i int) instant { return instant{c.sec[i], valueAt(c.nsec, i, 0)} }

func (c *times) set(i int, t instant) {
	c.sec = put(c.sec, i, t.sec, 0)
	c.nsec = putUnless(c.nsec, i, t.nsec, 0)
}

// happened is the column of valid times. to is empty while all are instants.
type happened struct {
	known          [blockWords]uint64
	from, to       times
	minFrom, maxTo int64
	maxFrom, minTo int64
}

func (h *happened) has(i int) bool { return h.known[i>>6]>>(i&63)&1 == 1 }

func (h *happened) set(i int, from, to instant) {
	if from != to && h.to.sec == nil {
		h.to.sec = append([]int64{}, h.from.sec...) // not nil, even when empty
		h.to.nsec = append(h.to.nsec, h.from.nsec...)
	}
	h.from.set(i, from)
	if h.to.sec != nil {
		h.to.set(i, to)
	}
	h.known[i>>6] |= 1 << (i & 63)
	h.minFrom, h.maxFrom = min(h.minFrom, from.sec), max(h.maxFrom, from.sec)
	h.minTo, h.maxTo = min(h.minTo, to.sec), max(h.maxTo, to.sec)
}

func (h *happened) at(i int) (from, to instant) {
	from = h.from.at(i)
	if h.to.sec == nil {
		return from, from
	}
	return from, h.to.at(i)
}

// ends gives the columns of both ends, the same one while all are instants.
func (h *happened) ends() (from, to []int64) {
	if h.to.sec == nil {
		return h.from.sec, h.from.sec
	}
	return h.from.sec, h.to.sec
}

func (h *happened) wipe(i int) {
	h.known[i>>6] &^= 1 << (i & 63)
	if i < len(h.from.sec) {
		h.from.set(i, instant{})
	}
	if i < len(h.to.sec) {
		h.to.set(i, instant{})
	}
}

// rezone looks for the bounds again.
func (h *happened) rezone() {
	h.minFrom, h.minTo, h.maxFrom, h.maxTo = math.MaxInt64, math.MaxInt64, math.MinInt64, math.MinInt64
	for i := range h.from.sec {
		if h.has(i) {
			from, to := h.at(i)
			h.minFrom, h.maxFrom = min(h.minFrom, from.sec), max(h.maxFrom, from.sec)
			h.minTo, h.maxTo = min(h.minTo, to.sec), max(h.maxTo, to.sec)
		}
	}
}

// positions is the column of places: unit vectors from the middle of the Earth,
// NaN where there is none.
type positions struct {
	at [][3]float64
}

var nowhere = [3]float64{math.NaN(), math.NaN(), math.NaN()}

// put writes v at place i of a column and fills the places before with fill.
func put[T any](col []T, i int, v, fill T) []T {
	if i < len(col) {
		col[i] = v
		return col
	}
	if col == nil {
		col = make([]T, 0, max(4, min(i+1, blockSlots)))
	}
	for len(col) < i {
		col = append(col, fill)
	}
	return append(col, v)
}

// putUnless is put for a column that need not be there for the usual value.
func putUnless[T comparable](col []T, i int, v, usual T) []T {
	if v == usual && i >= len(col) {
		return col
	}
	return put(col, i, v, usual)
}

func valueAt[T any](col []T, i int, usual T) T {
	if i < len(col) {
		return col[i]
	}
	return usual
}

func newBlock() *block {
	return &block{minStore: math.MaxInt64, maxStore: math.MinInt64}
}

func (b *block) holds(i int) bool { return i < len(b.ord) && b.ord[i] != 0 }

// write puts the columns of a row into place i, which was empty; terms are
// written by the Index.
func (b *block) write(i int, r *row, prev uint32) {
	b.used++
	b.ord = put(b.ord, i, uint32(r.ordinal), 0)
	b.kind = put(b.kind, i, r.kind, 0)
	b.born = put(b.born, i, r.born, 0)
	b.stored.set(i, r.stored)
	b.version = putUnless(b.version, i, r.version, 1)
	b.prev = putUnless(b.prev, i, prev, noSlot)
	b.died = putUnless(b.died, i, r.died, 0)
	b.expires = putUnless(b.expires, i, r.expires, never)
	if r.happened {
		if b.happened == nil {
			b.happened = new(happened)
			b.happened.rezone()
		}
		b.happened.set(i, r.from, r.to)
	}
	if r.placed {
		if b.position == nil {
			b.position = new(positions)
		}
		b.position.at = put(b.position.at, i, r.position, nowhere)
	}
	b.kinds |= 1 << (r.kind & 7)
	b.maxBorn = max(b.maxBorn, r.born)
	b.minStore, b.maxStore = min(b.minStore, r.stored.sec), max(b.maxStore, r.stored.sec)
}

// rezone looks for the bounds again after wipes, so that they tell nothing of
// what went.
func (b *block) rezone() {
	b.minStore, b.maxStore = math.MaxInt64, math.MinInt64
	for i, sec := range b.stored.sec {
		if b.ord[i] != 0 {
			b.minStore, b.maxStore = min(b.minStore, sec), max(b.maxStore, sec)
		}
	}
	if b.happened != nil {
		b.happened.rezone()
	}
}

// wipe empties place i; rezone follows.
func (b *block) wipe(i int) {
	b.used--
	b.ord[i], b.kind[i], b.born[i] = 0, 0, 0
	b.stored.set(i, instant{})
	b.version = putUnless(b.version, i, 1, 1)
	b.prev = putUnless(b.prev, i, noSlot, noSlot)
	b.died = putUnless(b.died, i, 0, 0)
	b.expires = putUnless(b.expires, i, never, never)
	if b.happened != nil && b.happened.has(i) {
		b.happened.wipe(i)
	}
	if b.position != nil && i < len(b.position.at) {
		b.position.at[i] = nowhere
	}
	for j := range b.termsOf(i) {
		b.termsOf(i)[j] = noTerm
	}
}

// termsOf gives the terms of an entry; noTerm among them is one that went.
func (b *block) termsOf(i int) []uint32 {
	if i >= len(b.termEnd) {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = b.termEnd[i-1]
	}
	return b.terms[from:b.termEnd[i]]
}

// endTerms says that the terms appended so far are those of place i.
func (b *block) endTerms(i int) {
	last := uint32(0)
	if n := len(b.termEnd); n > 0 {
		last = b.termEnd[n-1]
	}
	b.termEnd = put(b.termEnd, i, uint32(len(b.terms)), last)
}

func (b *block) bytes() int {
	n := 400 + 4*(cap(b.ord)+cap(b.version)+cap(b.prev)+cap(b.terms)+cap(b.termEnd)+cap(b.stored.nsec)) +
		cap(b.kind) + 8*(cap(b.born)+cap(b.died)+cap(b.stored.sec)) + 16*cap(b.expires)
	if h := b.happened; h != nil {
		n += 260 + 8*(cap(h.from.sec)+cap(h.to.sec)) + 4*(cap(h.from.nsec)+cap(h.to.nsec))
	}
	if b.position != nil {
		n += 24 + 24*cap(b.position.at)
	}
	return n
}

// slotTable says which slot stands for an ordinal, in pages that go when they
// are empty.
type slotTable struct {
	pages []*slotPage
}

const tableSlots = 256

type slotPage struct {
	used int
	slot [tableSlots]uint32 // slot + 1; 0 is none
}

func (t *slotTable) get(ord memory.Ordinal) uint32 {
	i := int(ord / tableSlots)
	if i >= len(t.pages) || t.pages[i] == nil {
		return noSlot
	}
	return t.pages[i].slot[ord%tableSlots] - 1
}

func (t *slotTable) set(ord memory.Ordinal, slot uint32) {
	i := int(ord / tableSlots)
	for len(t.pages) <= i {
		t.pages = append(t.pages, nil)
	}
	if t.pages[i] == nil {
		t.pages[i] = new(slotPage)
	}
	p := t.pages[i]
	if p.slot[ord%tableSlots] == 0 {
		p.used++
	}
	p.slot[ord%tableSlots] = slot + 1
}

// remove forgets an ordinal that is in the table.
func (t *slotTable) remove(ord memory.Ordinal) {
	p := t.pages[ord/tableSlots]
	p.slot[ord%tableSlots] = 0
	if p.used--; p.used == 0 {
		t.pages[ord/tableSlots] = nil
	}
}

// end is one more than the greatest ordinal that there may be.
func (t *slotTable) end() uint64 {
	n := len(t.pages)
	for n > 0 && t.pages[n-1] == nil {
		n--
	}
	return uint64(n) * tableSlots
}
