package text

import (
	"maps"
	"slices"
	"strings"
)

// core is the data of an index without its locks. Compaction makes a new one, so that whoever reads the old is left
// alone.
type core struct {
	dict  map[string]uint32 // term to its place in names and lists
	names []string
	lists []postings

	docs    []uint32 // by slot: the document in it, dead or alive
	lengths []uint32 // by slot: its length in tokens
	dead    slotSet  // by slot: whether its document was deleted or put again
	deaths  []uint32 // the dead slots in the order in which they died

	slots  docSlots // by document: its live slot
	tokens uint64   // sum of the lengths of all live documents
	count  uint64   // postings, dead ones included
	bytes  int      // of postings, skips and names
	mixed  bool     // documents were not put in order
}

// live returns the number of live documents.
func (c *core) live() int { return len(c.docs) - len(c.deaths) }

// put appends a document in a slot of its own.
func (c *core) put(doc uint32, d Document) {
	slot, length := uint32(len(c.docs)), clampLength(d.Length)
	c.hold(doc, length)
	c.tokens += uint64(length)
	c.slots.set(doc, slot, c.live())
	for _, t := range d.Terms {
		if t.Count > 0 {
			c.add(t, slot)
		}
	}
}

// hold gives a document the next slot.
func (c *core) hold(doc, length uint32) {
	if n := len(c.docs); n > 0 && doc <= c.docs[n-1] {
		c.mixed = true
	}
	c.docs, c.lengths = append(c.docs, doc), append(c.lengths, length)
}

// clampLength fits a length into the 31 bits that a snapshot has for it.
func clampLength(n int) uint32 { return uint32(min(max(n, 0), 1<<31-1)) }

// add appends one posting, making the term if it is new.
func (c *core) add(t Term, slot uint32) {
	id, ok := c.dict[t.Text]
	if !ok {
		id = c.newTerm(strings.Clone(t.Text))
	}
	p := &c.lists[id]
	if p.n > 0 && p.last == slot {
		return // a term twice in a document that no Analyzer made: the first stands
	}
	before := cap(p.data) + 8*cap(p.skips)
	p.add(slot, uint32(min(t.Count, 1<<31-1)))
	c.bytes += cap(p.data) + 8*cap(p.skips) - before
	c.count++
}

// newTerm makes room for a term and returns its place.
func (c *core) newTerm(name string) uint32 {
	if c.dict == nil {
		c.dict = make(map[string]uint32)
	}
	id := uint32(len(c.names))
	c.dict[name] = id
	c.names = append(c.names, name)
	c.lists = append(c.lists, postings{})
	c.bytes += len(name)
	return id
}

// bury declares the slot of a document dead, if it has one. Its postings stay until compaction.
func (c *core) bury(doc uint32) {
	slot, ok := c.slots.get(doc)
	if !ok {
		return
	}
	c.slots.delete(doc)
	c.dead.set(slot)
	c.deaths = append(c.deaths, slot)
	c.tokens -= uint64(c.lengths[slot])
}

// df returns in how many live documents a term occurs. There is no list of a document's terms to correct the counts
// by when it dies (it would double the memory), so each term catches up with the deaths when it is next asked for: a
// few deaths are looked up one by one, many in one pass over the postings.
func (c *core) df(p *postings) uint32 {
	settled := p.settled.Load()
	seen, dead := int(settled>>32), uint32(settled)
	if seen == len(c.deaths) {
		return p.n - dead
	}
	if fresh := c.deaths[seen:]; len(fresh) < int(p.n)/blockLen {
		dead += countIn(p, fresh)
	} else {
		dead = c.countDead(p)
	}
	p.settled.Store(uint64(len(c.deaths))<<32 | uint64(dead))
	return p.n - dead
}

// countIn returns how many of the slots are among the postings.
func countIn(p *postings, slots []uint32) uint32 {
	n := uint32(0)
	for _, slot := range slots {
		var at cursor
		at.begin(p)
		at.seek(uint64(slot))
		if at.slot == uint64(slot) {
			n++
		}
	}
	return n
}

// countDead returns how many of the postings are of dead slots.
func (c *core) countDead(p *postings) uint32 {
	n := uint32(0)
	var at cursor
	for at.begin(p); at.slot != noSlot; at.next() {
		if c.dead.has(uint32(at.slot)) {
			n++
		}
	}
	return n
}

// compacted returns a core of the living only, their slots close together and in the same order.
func (c *core) compacted() *core {
	n := &core{
		dict:    make(map[string]uint32, len(c.dict)),
		docs:    make([]uint32, 0, c.live()),
		lengths: make([]uint32, 0, c.live()),
		tokens:  c.tokens,
	}
	moved := make([]uint32, len(c.docs)) // by old slot: the new one
	for slot, doc := range c.docs {
		if !c.dead.has(uint32(slot)) {
			moved[slot] = uint32(len(n.docs))
			n.hold(doc, c.lengths[slot])
			n.slots.set(doc, moved[slot], c.live())
		}
	}
	var buf postings // grown once and copied out, so that no list keeps room it does not use
	for id := range c.lists {
		buf.data, buf.skips, buf.last, buf.n = buf.data[:0], buf.skips[:0], 0, 0
		var at cursor
		for at.begin(&c.lists[id]); at.slot != noSlot; at.next() {
			if !c.dead.has(uint32(at.slot)) {
				buf.add(moved[at.slot], uint32(at.count))
			}
		}
		if buf.n > 0 {
			p := &n.lists[n.newTerm(c.names[id])]
			p.data, p.skips, p.last, p.n = slices.Clone(buf.data), slices.Clone(buf.skips), buf.last, buf.n
			n.count += uint64(p.n)
			n.bytes += cap(p.data) + 8*cap(p.skips)
		}
	}
	return n
}

// slotSet is a set of slots.
type slotSet []uint64

// has says whether a slot is in the set.
func (b slotSet) has(slot uint32) bool {
	w := int(slot >> 6)
	return w < len(b) && b[w]&(1<<(slot&63)) != 0
}

// set puts a slot into the set.
func (b *slotSet) set(slot uint32) {
	for int(slot>>6) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[slot>>6] |= 1 << (slot & 63)
}

// docSlots maps documents to slots. Documents are numbered by a space's ordinals, so they lie close together, and four
// bytes each do; one far beyond the others goes into a map, so that a number alone cannot ask for gigabytes.
type docSlots struct {
	near []uint32 // by document: slot + 1, 0 for none
	far  map[uint32]uint32
}

// nearShare is how thinly the near table may be filled: entries a live document.
const nearShare = 4

func (s *docSlots) get(doc uint32) (uint32, bool) {
	if int(doc) < len(s.near) {
		return s.near[doc] - 1, s.near[doc] != 0
	}
	return s.getFar(doc)
}

// getFar is apart so that get is inlined.
func (s *docSlots) getFar(doc uint32) (uint32, bool) {
	slot, ok := s.far[doc]
	return slot, ok
}

// set maps a document. The number of live documents says how large the near table may be.
func (s *docSlots) set(doc, slot uint32, live int) {
	if int(doc) >= len(s.near) {
		if int(doc) >= nearShare*live+64 {
			if s.far == nil {
				s.far = make(map[uint32]uint32)
			}
			s.far[doc] = slot
			return
		}
		s.near = append(s.near, make([]uint32, int(doc)+1-len(s.near))...)
		maps.DeleteFunc(s.far, func(d, at uint32) bool {
			if int(d) < len(s.near) {
				s.near[d] = at + 1
				return true
			}
			return false
		})
	}
	s.near[doc] = slot + 1
}

func (s *docSlots) delete(doc uint32) {
	if int(doc) < len(s.near) {
		s.near[doc] = 0
	} else {
		delete(s.far, doc)
	}
}
