package facet

import (
	"math"
	"math/bits"
	"slices"
)

// numbers is a column of the slots that have a number, in the order of slots. A
// slot may have several, when they came from a list. A number that went is NaN,
// which no range holds, until the column is packed.
type numbers struct {
	slots []uint32
	vals  []float64
	gone  int
}

func (c *numbers) add(slot uint32, v float64) {
	c.slots = append(c.slots, slot)
	c.vals = append(c.vals, v)
}

// remove takes out all numbers of a slot.
func (c *numbers) remove(slot uint32) {
	i, _ := slices.BinarySearch(c.slots, slot)
	for ; i < len(c.slots) && c.slots[i] == slot; i++ {
		if c.vals[i] == c.vals[i] {
			c.vals[i] = math.NaN()
			c.gone++
		}
	}
	if c.gone > len(c.slots)/2 {
		c.pack()
	}
}

func (c *numbers) pack() {
	live := len(c.slots) - c.gone
	slots, vals := make([]uint32, 0, live), make([]float64, 0, live)
	for i, v := range c.vals {
		if v == v {
			slots, vals = append(slots, c.slots[i]), append(vals, v)
		}
	}
	*c = numbers{slots: slots, vals: vals}
}

// write sets the bits of the slots whose number lies in [lo, hi].
func (c *numbers) write(words []uint64, lo, hi float64) {
	vals := c.vals[:len(c.slots)]
	for i, s := range c.slots {
		v := vals[i]
		words[s>>6] |= (bit(v >= lo) & bit(v <= hi)) << (s & 63)
	}
}

// writeEqual sets the bits of the slots that have one of the values.
func (c *numbers) writeEqual(words []uint64, values []float64) {
	if len(values) <= 2 {
		for _, v := range values {
			c.write(words, v, v)
		}
		return
	}
	set := newFloatSet(values)
	vals := c.vals[:len(c.slots)]
	for i, s := range c.slots {
		words[s>>6] |= bit(set.has(vals[i])) << (s & 63)
	}
}

// floatSet is a hash table of numbers with room to spare: a look into it is one
// comparison nearly always, where a map takes ten times as long.
type floatSet struct {
	cells []float64 // NaN is free
	shift uint
}

func newFloatSet(values []float64) floatSet {
	size := uint(bits.Len(uint(4 * len(values))))
	s := floatSet{cells: make([]float64, 1<<size), shift: 64 - size}
	for i := range s.cells {
		s.cells[i] = math.NaN()
	}
	for _, v := range values {
		i := s.home(v)
		for s.cells[i] == s.cells[i] && s.cells[i] != v {
			i = (i + 1) % len(s.cells)
		}
		s.cells[i] = v
	}
	return s
}

func (s *floatSet) home(v float64) int {
	return int(math.Float64bits(v) * 0x9e3779b97f4a7c15 >> s.shift)
}

func (s *floatSet) has(v float64) bool {
	for i := s.home(v); s.cells[i] == s.cells[i]; i = (i + 1) & (len(s.cells) - 1) {
		if s.cells[i] == v {
			return true
		}
	}
	return false
}

// each shows the numbers of one slot, from the position that a walk in the
// order of slots has reached; it returns the position after.
func (c *numbers) each(at int, slot uint32, show func(v float64)) int {
	for at < len(c.slots) && c.slots[at] <= slot {
		if c.slots[at] == slot && c.vals[at] == c.vals[at] {
			show(c.vals[at])
		}
		at++
	}
	return at
}

func (c *numbers) bytes() int { return 4*cap(c.slots) + 8*cap(c.vals) }

// texts is a column of the slots whose value is a string, in the order of
// slots, with the term of each. One that went is noTerm until the column is packed.
type texts struct {
	slots []uint32
	terms []uint32
	gone  int
}

func (c *texts) add(slot, id uint32) {
	c.slots = append(c.slots, slot)
	c.terms = append(c.terms, id)
}

func (c *texts) remove(slot uint32) {
	i, ok := slices.BinarySearch(c.slots, slot)
	if !ok || c.terms[i] == noTerm {
		return
	}
	c.terms[i] = noTerm
	if c.gone++; c.gone > len(c.slots)/2 {
		c.pack()
	}
}

func (c *texts) pack() {
	live := len(c.slots) - c.gone
	slots, terms := make([]uint32, 0, live), make([]uint32, 0, live)
	for i, id := range c.terms {
		if id != noTerm {
			slots, terms = append(slots, c.slots[i]), append(terms, id)
		}
	}
	*c = texts{slots: slots, terms: terms}
}

// write sets the bits of the slots whose term is marked.
func (c *texts) write(words, marked []uint64) {
	terms := c.terms[:len(c.slots)]
	for i, s := range c.slots {
		if id := terms[i]; id != noTerm {
			words[s>>6] |= marked[id>>6] >> (id & 63) & 1 << (s & 63)
		}
	}
}

func (c *texts) bytes() int { return 4 * (cap(c.slots) + cap(c.terms)) }

// bit is 1 for true. The compiler makes it a set instruction, so a scan has no
// branch that data decides.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
