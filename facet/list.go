package facet

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/internal/best"
	"github.com/engramdb/engram/memory"
)

// Order says in which order Page lists.
type Order uint8

// The orders of a listing. Equal times go by ordinal.
const (
	ByStored   Order = 1 // in which nodes were first stored: by ordinal
	ByHappened Order = 2 // by when it began to happen; unknown last, also when descending
	ByTime     Order = 3 // by when it began to happen, else when the version was stored
)

// Position is a place in a listing: that of one slot. The zero Position is
// before the first. It stays right while the space is written to, as it is made
// of the slot's own values.
type Position struct {
	Slot    uint32
	Ordinal memory.Ordinal
	unknown bool
	at      instant
}

// positionSize is the length of a position as bytes: flag, seconds, nanoseconds,
// ordinal, slot, big endian.
const positionSize = 1 + 8 + 4 + 4 + 4

// ErrPosition is the error of bytes that are no position.
var ErrPosition = errors.New("not a position in a listing")

// AppendBinary appends the position as bytes, for a page token.
func (p Position) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, byte(bit(p.unknown)))
	b = binary.BigEndian.AppendUint64(b, uint64(p.at.sec))
	b = binary.BigEndian.AppendUint32(b, p.at.nsec)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Ordinal))
	return binary.BigEndian.AppendUint32(b, p.Slot), nil
}

// ParsePosition reads what AppendBinary wrote; ErrPosition when it is not that.
func ParsePosition(b []byte) (Position, error) {
	if len(b) != positionSize || b[0] > 1 {
		return Position{}, ErrPosition
	}
	p := Position{
		unknown: b[0] == 1,
		at:      instant{int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint32(b[9:])},
		Ordinal: memory.Ordinal(binary.BigEndian.Uint32(b[13:])),
		Slot:    binary.BigEndian.Uint32(b[17:]),
	}
	if p.at.nsec >= 1e9 {
		return Position{}, ErrPosition
	}
	return p, nil
}

// Page lists up to n slots of a selection in order, after a position; fewer only
// at the end. sel is what Select or Visible gave; walking with selections at one
// view (and the same filter) neither skips nor repeats what was there, whatever
// is written meanwhile. The positions belong to the caller.
func (x *Index) Page(sel *bitset.BitSet, order Order, ascending bool, after Position, n int) []Position {
	if n <= 0 {
		return nil
	}
	w := walk{index: x, words: sel.Words(), order: order, ascending: ascending, after: after, n: n}
	if order == ByStored && w.dense() {
		return w.byOrdinal()
	}
	return w.byScan()
}

// walk is one page on its way.
type walk struct {
	index     *Index
	words     []uint64
	order     Order
	ascending bool
	after     Position
	n         int
	first     best.Of[Position] // the first n so far

	// What may still come onto the page: times of these seconds, both ends
	// included, and whether unknown ones. Most slots are refused by these alone.
	lo, hi  int64
	unknown bool
}

// dense says whether going from ordinal to ordinal meets a page full of selected
// ones sooner than a scan of the selection would be done.
func (w *walk) dense() bool {
	count := countBits(w.words)
	return count > w.n && float64(w.n)*float64(len(w.index.latest.pages)*tableSlots) < float64(count)*float64(count)
}

// byOrdinal goes through the ordinals after the position. At most one version
// of a node is in a selection.
func (w *walk) byOrdinal() []Position {
	x := w.index
	end := int64(len(x.latest.pages) * tableSlots)
	ord, step := int64(w.after.Ordinal)+1, int64(1)
	if !w.ascending {
		ord, step = min(int64(w.after.Ordinal), end)-1, -1
		if w.after.Ordinal == 0 {
			ord = end - 1
		}
	}
	list := make([]Position, 0, w.n)
	for ; ord > 0 && ord < end && len(list) < w.n; ord += step {
		x.versions(memory.Ordinal(ord), func(slot uint32) {
			if w.has(slot) {
				list = append(list, Position{Slot: slot, Ordinal: memory.Ordinal(ord)})
			}
		})
	}
	return list
}

func (w *walk) has(slot uint32) bool {
	i := int(slot >> 6)
	return i < len(w.words) && w.words[i]>>(slot&63)&1 == 1
}

// byScan looks at all slots of the selection and keeps the first n after the
// position, leaving out blocks that cannot have one.
func (w *walk) byScan() []Position {
	w.first = best.Of[Position]{Limit: w.n, Compare: w.compare}
	w.open()
	for n := range w.index.blocks {
		if !w.ascending { // the latest first, so that the page fills with what stays
			n = len(w.index.blocks) - 1 - n
		}
		b, from := w.index.blocks[n], n*blockWords
		if b == nil || from >= len(w.words) {
			continue
		}
		words := w.words[from:min(from+blockWords, len(w.words))]
		if w.order == ByStored {
			w.scanOrdinals(b, n, words)
		} else if !w.cannotHave(b) {
			w.scanTimes(b, n, words)
		}
	}
	return w.first.Sorted()
}

func (w *walk) scanOrdinals(b *block, n int, words []uint64) {
	for i, word := range words {
		for ; word != 0; word &= word - 1 {
			w.show(w.position(b, n, i*64+bits.TrailingZeros64(word)))
		}
	}
}

func (w *walk) scanTimes(b *block, n int, words []uint64) {
	for i, word := range words {
		var known uint64
		if b.happened != nil {
			known = b.happened.known[i]
		}
		for ; word != 0; word &= word - 1 {
			j := bits.TrailingZeros64(word)
			at := i*64 + j
			switch {
			case known>>j&1 == 1:
				if sec := b.happened.from.sec[at]; sec < w.lo || sec > w.hi {
					continue
				}
			case w.order == ByTime:
				if sec := b.stored.sec[at]; sec < w.lo || sec > w.hi {
					continue
				}
			case !w.unknown:
				continue
			}
			w.show(w.position(b, n, at))
		}
	}
}

// open says what may come onto the page before any has.
func (w *walk) open() {
	w.lo, w.hi, w.unknown = beginning.sec, never.sec, true
	switch {
	case w.after.Ordinal == 0:
	case w.after.unknown: // all known ones were before
		w.lo, w.hi = never.sec, beginning.sec
	case w.ascending:
		w.lo = w.after.at.sec
	default:
		w.hi = w.after.at.sec
	}
}

// narrow says what may come onto a page that is full: what is not behind its
// last.
func (w *walk) narrow() {
	last := w.first.Worst()
	if last.unknown {
		return
	}
	w.unknown = false
	if w.ascending {
		w.hi = last.at.sec
	} else {
		w.lo = last.at.sec
	}
}

// cannotHave says whether no time of a block may come onto the page.
func (w *walk) cannotHave(b *block) bool {
	lo, hi, known := never.sec, beginning.sec, 0
	if b.happened != nil {
		lo, hi = b.happened.minFrom, b.happened.maxFrom
		known = countBits(b.happened.known[:])
	}
	if w.order == ByTime {
		lo, hi, known = min(lo, b.minStore), max(hi, b.maxStore), b.used
	}
	return (hi < w.lo || lo > w.hi) && (!w.unknown || known == b.used)
}

func (w *walk) position(b *block, n, i int) Position {
	p := Position{Slot: uint32(n*blockSlots + i), Ordinal: memory.Ordinal(b.ord[i])}
	if w.order == ByStored {
		return p
	}
	if b.happened != nil && b.happened.has(i) {
		p.at = b.happened.from.at(i)
	} else if w.order == ByTime {
		p.at = b.stored.at(i)
	} else {
		p.unknown = true
	}
	return p
}

// compare is the order of the walk. Positions of different nodes are never equal.
func (w *walk) compare(a, b Position) int {
	if a.unknown != b.unknown {
		return int(bit(a.unknown)) - int(bit(b.unknown))
	}
	c := a.at.compare(b.at)
	if c == 0 {
		c = cmp.Compare(a.Ordinal, b.Ordinal)
	}
	if !w.ascending {
		c = -c
	}
	return c
}

// show offers a position to the page.
func (w *walk) show(p Position) {
	if w.after.Ordinal != 0 && w.compare(p, w.after) <= 0 {
		return
	}
	if w.first.Full() && w.compare(p, *w.first.Worst()) >= 0 {
		return
	}
	if w.first.Add(p); w.first.Full() {
		w.narrow()
	}
}
