package text

import (
	"encoding/binary"
	"sort"
	"sync/atomic"
)

// blockLen is how many postings lie between two entries of a skip list: a search that looks for single slots decodes
// at most as many before it meets its own.
const blockLen = 128

// postings are the slots in which a term occurs and how often, in increasing order of slot:
//
//	uvarint(step << 1 | more) [uvarint(count) if more]    count is 1 where more is 0
//
// A step is the distance from the slot before (from 0 for the first). Most are one byte long. Bytes once written are
// never changed, only followed by others, so whoever holds a slice of them may go on reading without a lock.
type postings struct {
	data  []byte
	skips []skip // one at every blockLen-th posting but the first
	last  uint32 // slot of the last posting
	n     uint32 // postings, those of dead slots included
	// settled is how many of the postings are dead (low half), counted up to which entry of core.deaths (high half).
	// Searches move it forward under the read lock; they agree on every value, so who stores last does not matter.
	settled atomic.Uint64
}

// skip is where a block of postings begins.
type skip struct {
	slot   uint32 // last slot before the block, from which its first step counts
	offset uint32 // into data
}

// add appends a posting. The slot must be beyond the last.
func (p *postings) add(slot uint32, count uint32) {
	if p.n > 0 && p.n%blockLen == 0 {
		p.skips = append(p.skips, skip{p.last, uint32(len(p.data))})
	}
	step := uint64(slot-p.last) << 1
	if count > 1 {
		p.data = binary.AppendUvarint(p.data, step|1)
		p.data = binary.AppendUvarint(p.data, uint64(count))
	} else {
		p.data = binary.AppendUvarint(p.data, step)
	}
	p.last, p.n = slot, p.n+1
}

// noSlot is beyond all slots: where a cursor stands when its postings have ended.
const noSlot = 1 << 62

// cursor reads postings forward. It stands on one at any time.
type cursor struct {
	data   []byte
	skips  []skip
	pos    int     // behind the posting that it stands on
	slot   uint64  // of the posting, or noSlot
	count  uint64  // of the posting
	weight float64 // of the term: its idf times its count in the query
}

// begin puts the cursor on the first posting.
func (c *cursor) begin(p *postings) {
	c.data, c.skips, c.pos, c.slot = p.data, p.skips, 0, 0
	c.next()
}

// next steps to the next posting. The postings are well formed: Put wrote them or LoadIndex has walked them.
func (c *cursor) next() {
	if c.pos >= len(c.data) {
		c.slot = noSlot
		return
	}
	step, n := uvarint(c.data, c.pos)
	c.pos = n
	c.slot += step >> 1
	c.count = 1
	if step&1 != 0 {
		c.count, c.pos = uvarint(c.data, c.pos)
	}
}

// seek steps to the first posting at or beyond a slot. It never steps back.
func (c *cursor) seek(slot uint64) {
	if c.slot >= slot {
		return
	}
	if len(c.skips) > 0 && uint64(c.skips[0].slot) < slot {
		c.skip(slot)
	}
	for c.slot < slot {
		c.next()
	}
}

// skip jumps to the last block that begins before the slot, if that is ahead, and forgets the skips it has passed.
func (c *cursor) skip(slot uint64) {
	i := 1
	for i < len(c.skips) && uint64(c.skips[i].slot) < slot { // gallop, then bisect: the next target is most often near
		i *= 2
	}
	lo, hi := i/2, min(i, len(c.skips))
	i = lo + sort.Search(hi-lo, func(j int) bool { return uint64(c.skips[lo+j].slot) >= slot })
	s := c.skips[i-1]
	c.skips = c.skips[i:]
	if int(s.offset) >= c.pos {
		c.pos, c.slot = int(s.offset), uint64(s.slot)
		c.next()
	}
}

// uvarint is binary.Uvarint from an offset, returning the offset behind the number. It is short enough to be inlined
// for the one byte that most numbers are.
func uvarint(data []byte, pos int) (uint64, int) {
	if b := data[pos]; b < 0x80 {
		return uint64(b), pos + 1
	}
	return longUvarint(data, pos)
}

func longUvarint(data []byte, pos int) (uint64, int) {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := data[pos]
		pos++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, pos
		}
	}
}
