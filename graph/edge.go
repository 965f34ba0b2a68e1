package graph

import (
	"errors"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/engramdb/engram/memory"
)

// ErrLink is the error of Put for a link that memory would have refused: an end
// that is no node, no type, or a weight that is negative or not finite.
var ErrLink = errors.New("graph: not a link")

// Link is what the graph keeps of a memory.Link. (From, To, Type, Tag) tells it
// from every other; see TagOf.
type Link struct {
	From, To memory.Ordinal
	Type     string
	Tag      uint32
	Weight   float64 // kept to 9 bits: at most 0.2 % off
}

// TagOf is the tag of a link: 32 bits of its id. It tells parallel links apart,
// so only links of one type between the same two nodes must differ in it.
//
// BUG(graph): of n such links two share a tag with a chance of n*n/2^33, and
// count as one. A link lost this way still stands in the store.
func TagOf(id memory.ID) uint32 { return uint32(xxhash.Sum64String(string(id))) }

// entry is one end of a link as its list holds it: type, other end and weight in
// one word, so that a sorted list has the links of a type side by side, and
// among them those to one node.
//
//	| type 16 | other end 32 | weight 16 |
type entry uint64

func entryOf(t typeID, other memory.Ordinal, w weight) entry {
	return entry(t)<<48 | entry(other)<<16 | entry(w)
}

func (e entry) kind() typeID          { return typeID(e >> 48) }
func (e entry) other() memory.Ordinal { return memory.Ordinal(e >> 16) }
func (e entry) weight() weight        { return weight(e) }

// place is the entry without its weight.
func (e entry) place() entry { return e &^ 0xffff }

// typeID is the number of a type of link in this graph.
type typeID uint16

// weight is a float32 without its sign and its last 15 bits: the whole range of
// float32 with 9 bits of precision. A float16 would end at 65504, and amounts of
// money are weights too.
type weight uint16

const weightMost = 0xfeff // the greatest finite one

func weightOf(f float64) weight {
	b := math.Float32bits(float32(f))
	if b >= weightMost<<15 {
		return weightMost
	}
	w := weight((b + 1<<14) >> 15)
	if w == 0 && f > 0 {
		return 1 // what carries little is not what carries nothing
	}
	return w
}

func (w weight) float() float64 { return float64(math.Float32frombits(uint32(w) << 15)) }

// total is a sum of weights that does not depend on the order in which they came
// and went, nor on those that have gone: a fixed-point number that is wide enough
// for every weight (its unit is the least one) and for 2^32 of the greatest.
type total [5]uint64

// parts gives a weight as m * 2^shift units.
func (w weight) parts() (m uint64, shift uint) {
	exp := uint(w >> 8)
	m = uint64(w & 0xff)
	if exp == 0 {
		return m, 0
	}
	return m | 0x100, exp - 1
}

func (t *total) add(w weight) {
	m, shift := w.parts()
	i, lo, hi := shifted(m, shift)
	var c uint64
	t[i], c = bits.Add64(t[i], lo, 0)
	t[i+1], c = bits.Add64(t[i+1], hi, c)
	for i += 2; c > 0 && i < len(t); i++ {
		t[i], c = bits.Add64(t[i], 0, c)
	}
}

func (t *total) sub(w weight) {
	m, shift := w.parts()
	i, lo, hi := shifted(m, shift)
	var c uint64
	t[i], c = bits.Sub64(t[i], lo, 0)
	t[i+1], c = bits.Sub64(t[i+1], hi, c)
	for i += 2; c > 0 && i < len(t); i++ {
		t[i], c = bits.Sub64(t[i], 0, c)
	}
}

// float is the sum as a float64.
func (t *total) float() float64 {
	sum := 0.0
	for i := len(t) - 1; i >= 0; i-- {
		sum += math.Ldexp(float64(t[i]>>11), 64*i+11) + math.Ldexp(float64(t[i]&0x7ff), 64*i)
	}
	return math.Ldexp(sum, unitExponent)
}

// unitExponent is that of the least weight: the last bit kept of a float32
// subnormal.
const unitExponent = -149 + 15

func shifted(m uint64, shift uint) (i int, lo, hi uint64) {
	i, shift = int(shift/64), shift%64
	return i, m << shift, m >> 1 >> (63 - shift)
}
