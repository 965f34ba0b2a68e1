package graph

import (
	"slices"
	"sort"

	"github.com/engramdb/engram/memory"
)

// adjacency is the links of all nodes in one direction. A list is sorted, so
// what is read from it does not depend on the order in which links came.
//
// A list of up to listMost entries lies in one piece of the two columns, which
// is exactly as long as its size class; a longer one is a hub. Pieces that are
// left wait in free for a list of their class. When the columns are full they are
// copied without the free pieces: that moves every entry, a tenth of a second
// for ten million, and happens once in an eighth of them that came.
//
// The links out of a node have tags beside them and are sorted by type, other
// end and tag. The links into it have none (the list at the other end has) and
// are sorted by type, other end and weight.
type adjacency struct {
	tagged  bool
	lists   []list // by ordinal
	entries []entry
	tags    []uint32 // beside entries; nil unless tagged
	free    [][]uint32
	freed   int // entries in free
	hubs    []*hub
	gone    []uint32 // places in hubs that are free
	links   int
}

// list says where the links of a node lie: n entries from at, or, when n is more
// than listMost, hub number at.
type list struct{ at, n uint32 }

// listMost is the longest list that is looked through as a whole: half a
// kilobyte, about what a random access costs.
const listMost = 64

// classes are the sizes of pieces: exact where most lists are.
var classes, classOf = func() (sizes []uint32, of [listMost + 1]uint8) {
	for n := uint32(1); n <= listMost; {
		sizes = append(sizes, n)
		switch {
		case n < 16:
			n++
		case n < 32:
			n += 2
		default:
			n += 4
		}
	}
	for n, class := uint32(1), 0; n <= listMost; n++ {
		if sizes[class] < n {
			class++
		}
		of[n] = uint8(class)
	}
	return sizes, of
}()

func newAdjacency(tagged bool) adjacency {
	return adjacency{tagged: tagged, free: make([][]uint32, len(classes))}
}

func (a *adjacency) list(n memory.Ordinal) list {
	if int(n) >= len(a.lists) {
		return list{}
	}
	return a.lists[n]
}

func (a *adjacency) degree(n memory.Ordinal) int { return int(a.list(n).n) }

// part gives the entries of a node in pieces, nil after the last; tags is nil
// unless tagged.
func (a *adjacency) part(l list, i int) ([]entry, []uint32) {
	if l.n > listMost {
		return a.hubs[l.at].part(i)
	}
	if i > 0 || l.n == 0 {
		return nil, nil
	}
	return a.piece(l)
}

func (a *adjacency) piece(l list) ([]entry, []uint32) {
	if !a.tagged {
		return a.entries[l.at : l.at+l.n], nil
	}
	return a.entries[l.at : l.at+l.n], a.tags[l.at : l.at+l.n]
}

// find gives where an entry stands or belongs, and whether one of the same
// identity stands there: of the same place and tag, or, without tags, an equal one.
func find(entries []entry, tags []uint32, e entry, tag uint32) (int, bool) {
	if tags == nil {
		return slices.BinarySearch(entries, e)
	}
	i := sort.Search(len(entries), func(i int) bool {
		p := entries[i].place()
		return p > e.place() || p == e.place() && tags[i] >= tag
	})
	return i, i < len(entries) && entries[i].place() == e.place() && tags[i] == tag
}

// get finds the entry with the place of e and a tag.
func (a *adjacency) get(n memory.Ordinal, e entry, tag uint32) (entry, bool) {
	l := a.list(n)
	if l.n > listMost {
		return a.hubs[l.at].get(e, tag)
	}
	entries, tags := a.piece(l)
	i, ok := find(entries, tags, e, tag)
	if !ok {
		return 0, false
	}
	return entries[i], true
}

// insert puts an entry into its place.
func (a *adjacency) insert(n memory.Ordinal, e entry, tag uint32) {
	for int(n) >= len(a.lists) {
		a.lists = append(a.lists, list{})
	}
	a.links++
	l := a.lists[n]
	if l.n >= listMost {
		a.hubFor(n).insert(e, tag)
		a.lists[n].n++
		return
	}
	entries, tags := a.piece(l)
	i, _ := find(entries, tags, e, tag)
	to := a.resized(n, l.n+1)
	a.shift(to, i, i+1, int(l.n)-i)
	a.entries[to.at+uint32(i)] = e
	if a.tagged {
		a.tags[to.at+uint32(i)] = tag
	}
}

// place gives a node without links a whole list, sorted, of which it keeps nothing.
func (a *adjacency) place(n memory.Ordinal, entries []entry, tags []uint32) {
	l := list{n: uint32(len(entries))}
	a.links += len(entries)
	switch {
	case l.n == 0:
		return
	case l.n > listMost:
		h := new(hub)
		h.fill(entries, tags)
		l.at = uint32(len(a.hubs))
		a.hubs = append(a.hubs, h)
	default:
		l.at = a.take(l.n)
		copy(a.entries[l.at:], entries)
		copy(a.tags[min(int(l.at), len(a.tags)):], tags)
	}
	a.lists[n] = l
}

// remove takes an entry out and says whether it was there.
func (a *adjacency) remove(n memory.Ordinal, e entry, tag uint32) bool {
	l := a.list(n)
	if l.n > listMost {
		return a.removeFromHub(n, l, e, tag)
	}
	entries, tags := a.piece(l)
	i, ok := find(entries, tags, e, tag)
	if !ok {
		return false
	}
	a.links--
	a.shift(l, i+1, i, int(l.n)-i-1)
	a.wipe(l.at+l.n-1, 1)
	a.resized(n, l.n-1)
	return true
}

// shift moves count entries of a list from one index to another.
func (a *adjacency) shift(l list, from, to, count int) {
	at := a.entries[l.at:]
	copy(at[to:to+count], at[from:from+count])
	if a.tagged {
		at := a.tags[l.at:]
		copy(at[to:to+count], at[from:from+count])
	}
}

// wipe clears entries that are no longer used: what is erased goes at once.
func (a *adjacency) wipe(at, n uint32) {
	clear(a.entries[at : at+n])
	if a.tagged {
		clear(a.tags[at : at+n])
	}
}

// resized gives the list of a node room for n entries, in another piece if need
// be, and keeps the entries that fit.
func (a *adjacency) resized(node memory.Ordinal, n uint32) list {
	l := a.lists[node]
	if n == 0 || l.n == 0 || classOf[n] != classOf[l.n] {
		was := l
		l.at = a.take(n) // may move all pieces
		was.at = a.lists[node].at
		keep := min(n, was.n)
		copy(a.entries[l.at:], a.entries[was.at:was.at+keep])
		if a.tagged {
			copy(a.tags[l.at:], a.tags[was.at:was.at+keep])
		}
		a.give(was)
	}
	l.n = n
	a.lists[node] = l
	return l
}

// take finds a piece for n entries.
func (a *adjacency) take(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	class := classOf[n]
	size := classes[class]
	if f := a.free[class]; len(f) > 0 {
		a.free[class] = f[:len(f)-1]
		a.freed -= int(size)
		return f[len(f)-1]
	}
	if len(a.entries)+int(size) > cap(a.entries) {
		a.rebuild(int(size))
	}
	at := len(a.entries)
	a.entries = a.entries[:at+int(size)]
	if a.tagged {
		a.tags = a.tags[:at+int(size)]
	}
	return uint32(at)
}

// give takes a piece back.
func (a *adjacency) give(l list) {
	if l.n == 0 {
		return
	}
	class := classOf[l.n]
	a.wipe(l.at, classes[class])
	a.free[class] = append(a.free[class], l.at)
	a.freed += int(classes[class])
}

// rebuild copies the pieces that are used into new columns with some room.
func (a *adjacency) rebuild(room int) {
	live := len(a.entries) - a.freed
	from := *a
	a.entries = make([]entry, 0, live+live/8+max(room, 16))
	if a.tagged {
		a.tags = make([]uint32, 0, cap(a.entries))
	}
	for i, l := range a.lists {
		if l.n == 0 || l.n > listMost {
			continue
		}
		size := classes[classOf[l.n]]
		a.lists[i].at = uint32(len(a.entries))
		a.entries = append(a.entries, from.entries[l.at:l.at+size]...)
		if a.tagged {
			a.tags = append(a.tags, from.tags[l.at:l.at+size]...)
		}
	}
	for class := range a.free {
		a.free[class] = nil
	}
	a.freed = 0
}

// hubFor gives the hub of a node, which has just too many links for a list.
func (a *adjacency) hubFor(n memory.Ordinal) *hub {
	l := a.lists[n]
	if l.n > listMost {
		return a.hubs[l.at]
	}
	h := new(hub)
	h.fill(a.piece(l))
	a.give(l)
	if k := len(a.gone); k > 0 {
		l.at, a.gone = a.gone[k-1], a.gone[:k-1]
		a.hubs[l.at] = h
	} else {
		l.at = uint32(len(a.hubs))
		a.hubs = append(a.hubs, h)
	}
	a.lists[n] = l
	return h
}

// removeFromHub is remove for a hub, which becomes a list again as soon as it is
// short enough: how a list lies, and so how its weights are summed, depends on
// what is in it and not on what was.
func (a *adjacency) removeFromHub(n memory.Ordinal, l list, e entry, tag uint32) bool {
	h := a.hubs[l.at]
	if !h.remove(e, tag) {
		return false
	}
	a.links--
	l.n--
	a.lists[n] = l
	if l.n > listMost {
		return true
	}
	a.hubs[l.at] = nil
	a.gone = append(a.gone, l.at)
	a.lists[n] = list{}
	to := list{at: a.take(l.n), n: l.n}
	a.lists[n] = to
	at := to.at
	for i := range h.chunks {
		copy(a.entries[at:], h.chunks[i].entries)
		if a.tagged {
			copy(a.tags[at:], h.chunks[i].tags)
		}
		at += uint32(len(h.chunks[i].entries))
	}
	return true
}

func (a *adjacency) bytes() int {
	n := 8*cap(a.lists) + 8*cap(a.entries) + 4*cap(a.tags) + 8*cap(a.hubs) + 4*cap(a.gone)
	for _, f := range a.free {
		n += 24 + 4*cap(f)
	}
	for _, h := range a.hubs {
		if h != nil {
			n += h.bytes()
		}
	}
	return n
}
