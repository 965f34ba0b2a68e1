package graph

import (
	"slices"
	"sort"
)

// hub is a list too long to be moved or looked through as a whole: sorted chunks,
// and for each type how many there are and what they weigh.
type hub struct {
	chunks []chunk
	types  []typeTotal // by type
}

// chunkMost is how many entries a chunk holds.
const chunkMost = 512

type chunk struct {
	entries []entry
	tags    []uint32 // nil unless tagged
}

// typeTotal is what the links of one type come to.
type typeTotal struct {
	kind  typeID
	most  weight // the greatest
	n     uint32
	mosts uint32 // how many have the greatest weight
	sum   total
}

func (h *hub) part(i int) ([]entry, []uint32) {
	if i >= len(h.chunks) {
		return nil, nil
	}
	return h.chunks[i].entries, h.chunks[i].tags
}

// fill takes over sorted entries.
func (h *hub) fill(entries []entry, tags []uint32) {
	for i, e := range entries {
		h.count(e)
		if k := len(h.chunks); k == 0 || len(h.chunks[k-1].entries) == chunkMost {
			h.chunks = append(h.chunks, chunk{})
		}
		c := &h.chunks[len(h.chunks)-1]
		c.entries = append(c.entries, e)
		if tags != nil {
			c.tags = append(c.tags, tags[i])
		}
	}
}

func (h *hub) total(t typeID) *typeTotal {
	i, ok := slices.BinarySearchFunc(h.types, t, func(x typeTotal, t typeID) int { return int(x.kind) - int(t) })
	if !ok {
		return nil
	}
	return &h.types[i]
}

func (h *hub) count(e entry) {
	t := h.total(e.kind())
	if t == nil {
		i := sort.Search(len(h.types), func(i int) bool { return h.types[i].kind > e.kind() })
		h.types = slices.Insert(h.types, i, typeTotal{kind: e.kind()})
		t = &h.types[i]
	}
	t.n++
	t.sum.add(e.weight())
	t.note(e.weight())
}

func (t *typeTotal) note(w weight) {
	if w > t.most {
		t.most, t.mosts = w, 0
	}
	if w == t.most {
		t.mosts++
	}
}

// uncount follows the removal of an entry. When the last of the greatest weight
// has gone, the next one is looked for: a millisecond for a million links.
func (h *hub) uncount(e entry) {
	t := h.total(e.kind())
	t.n--
	t.sum.sub(e.weight())
	if e.weight() == t.most {
		t.mosts--
	}
	switch {
	case t.n == 0:
		h.types = slices.DeleteFunc(h.types, func(x typeTotal) bool { return x.n == 0 })
	case t.mosts == 0:
		t.most = 0
		h.eachOf(t.kind, func(part []entry) {
			for _, e := range part {
				t.note(e.weight())
			}
		})
	}
}

// eachOf gives the entries of one type, a piece at a time.
func (h *hub) eachOf(t typeID, give func(part []entry)) {
	first := entryOf(t, 0, 0)
	for i := h.chunkFor(first, 0); i < len(h.chunks); i++ {
		part := ofKind(h.chunks[i].entries, t)
		if len(part) == 0 && h.chunks[i].entries[0] > first {
			return
		}
		give(part)
	}
}

// chunkFor is the last chunk that begins at or before an entry.
func (h *hub) chunkFor(e entry, tag uint32) int {
	after := sort.Search(len(h.chunks), func(i int) bool {
		c := &h.chunks[i]
		if c.tags == nil {
			return c.entries[0] > e
		}
		first := c.entries[0].place()
		return first > e.place() || first == e.place() && c.tags[0] > tag
	})
	return max(after-1, 0)
}

func (h *hub) get(e entry, tag uint32) (entry, bool) {
	c := &h.chunks[h.chunkFor(e, tag)]
	i, ok := find(c.entries, c.tags, e, tag)
	if !ok {
		return 0, false
	}
	return c.entries[i], true
}

func (h *hub) insert(e entry, tag uint32) {
	h.count(e)
	at := h.chunkFor(e, tag)
	c := &h.chunks[at]
	i, _ := find(c.entries, c.tags, e, tag)
	if len(c.entries) == chunkMost {
		cut := chunkMost / 2
		if at == len(h.chunks)-1 && i == chunkMost {
			cut = chunkMost // most links come in order: leave full chunks behind
		}
		h.split(at, cut)
		if i > cut || cut == chunkMost {
			at, i = at+1, i-cut
		}
		c = &h.chunks[at]
	}
	c.entries = slices.Insert(c.entries, i, e)
	if c.tags != nil {
		c.tags = slices.Insert(c.tags, i, tag)
	}
}

// split moves the entries from cut on into a chunk of their own.
func (h *hub) split(at, cut int) {
	c := &h.chunks[at]
	var next chunk
	next.entries = slices.Clone(c.entries[cut:])
	clear(c.entries[cut:])
	c.entries = c.entries[:cut]
	if c.tags != nil {
		next.tags = slices.Clone(c.tags[cut:])
		clear(c.tags[cut:])
		c.tags = c.tags[:cut]
	}
	h.chunks = slices.Insert(h.chunks, at+1, next)
}

func (h *hub) remove(e entry, tag uint32) bool {
	at := h.chunkFor(e, tag)
	c := &h.chunks[at]
	i, ok := find(c.entries, c.tags, e, tag)
	if !ok {
		return false
	}
	gone := c.entries[i]
	c.entries = slices.Delete(c.entries, i, i+1) // clears what it leaves
	if c.tags != nil {
		c.tags = slices.Delete(c.tags, i, i+1)
	}
	h.merge(at)
	h.uncount(gone)
	return true
}

// merge joins a chunk that has become short with the one after it, or before.
func (h *hub) merge(at int) {
	if len(h.chunks[at].entries) == 0 {
		h.chunks = slices.Delete(h.chunks, at, at+1)
		return
	}
	if at == len(h.chunks)-1 {
		at--
	}
	if at < 0 || len(h.chunks[at].entries)+len(h.chunks[at+1].entries) > chunkMost/2 {
		return
	}
	c, next := &h.chunks[at], h.chunks[at+1]
	c.entries = append(c.entries, next.entries...)
	if c.tags != nil {
		c.tags = append(c.tags, next.tags...)
	}
	h.chunks = slices.Delete(h.chunks, at+1, at+2)
}

func (h *hub) bytes() int {
	n := 48 + 48*cap(h.chunks) + 56*cap(h.types)
	for i := range h.chunks {
		n += 8*cap(h.chunks[i].entries) + 4*cap(h.chunks[i].tags)
	}
	return n
}
