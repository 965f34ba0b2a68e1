package ann

import (
	"bytes"
	"math"
	"slices"
	"unsafe"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

func (g *Graph) vector(row uint32) []float32 {
	at := int(row&chunkMask) * g.dim
	return g.vectors[row>>chunkShift][at : at+g.dim : at+g.dim]
}

func (g *Graph) linksOf(row uint32) *[degree]uint32 {
	return (*[degree]uint32)(g.links[row>>chunkShift][row&chunkMask*degree:])
}

func (g *Graph) liftOf(row uint32) *lift { return &g.lifts[row>>chunkShift][row&chunkMask] }

// neighbours is the links of a row without what fills them up.
func (g *Graph) neighbours(row uint32) []uint32 {
	l := g.linksOf(row)
	n := 0
	for n < degree && l[n] != row {
		n++
	}
	return l[:n]
}

// setLinks writes the links of a row, at most degree, filled up with itself.
func (g *Graph) setLinks(row uint32, links []uint32) {
	l := g.linksOf(row)
	n := copy(l[:], links)
	for ; n < degree; n++ {
		l[n] = row
	}
}

// addRow finds a place for a slot's vector: one that is free, else a new one.
func (g *Graph) addRow(slot uint32) uint32 {
	var row uint32
	if g.free > 0 {
		row = g.lowestFree()
	} else {
		row = uint32(g.count)
		if g.count++; g.count >= maxRows {
			panic("ann: too many rows")
		}
		if int(row>>chunkShift) == len(g.links) {
			g.addChunk()
		}
		g.slots = append(g.slots, slot)
		g.states = append(g.states, free)
		g.born = append(g.born, 0)
	}
	g.puts++
	g.changed[row>>chunkShift] = g.stamp
	g.slots[row], g.born[row] = slot, g.puts
	g.setLinks(row, nil)
	g.rows.set(slot, int(row))
	g.live++
	return row
}

// lowestFree takes the first place that is free, so that the last chunks empty.
func (g *Graph) lowestFree() uint32 {
	row := g.findFree()
	g.lowest++
	g.free--
	return uint32(row)
}

// findFree is the first place that is free, of which there is one.
func (g *Graph) findFree() int {
	g.lowest += bytes.IndexByte(raw(g.states[g.lowest:]), byte(free))
	return g.lowest
}

func (g *Graph) addChunk() {
	g.addTables()
	g.vectors = append(g.vectors, make([]float32, vector.CodedChunk*g.dim))
	g.heap, g.changed = append(g.heap, true), append(g.changed, g.stamp)
}

// slabChunks is for how many chunks at most memory is taken at once, and slabShare
// how many there are for each: large pages need large pieces.
const (
	slabChunks = 64
	slabShare  = 8
)

// addTables adds a chunk to all tables but the vectors.
func (g *Graph) addTables() {
	const n = vector.CodedChunk
	each := n * (g.code.stride + int(unsafe.Sizeof(vector.RowFactors{})) + 4*degree)
	if g.metric == memory.MetricDot {
		each += n * int(unsafe.Sizeof(lift{}))
	}
	if len(g.slab) < each {
		g.slab = vector.Pages(each * min(max(1, len(g.links)/slabShare), slabChunks))
	}
	if g.code.stride > 0 {
		g.coded.Codes = append(g.coded.Codes, cut[int8](&g.slab, n*g.code.stride))
	}
	g.coded.Factors = append(g.coded.Factors, cut[vector.RowFactors](&g.slab, n))
	g.links = append(g.links, cut[uint32](&g.slab, n*degree))
	g.sketch.add()
	if g.metric == memory.MetricDot {
		g.lifts = append(g.lifts, cut[lift](&g.slab, n))
	}
}

// cut takes n numbers from a slab. They have no pointers in them, and what comes
// before them is a multiple of 8 bytes.
func cut[T any](slab *[]byte, n int) []T {
	var one T
	v := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(*slab))), n)
	*slab = (*slab)[n*int(unsafe.Sizeof(one)):]
	return v
}

// wipe overwrites what is known of a row's vector.
func (g *Graph) wipe(row uint32) {
	g.saving.keep(row)
	clear(g.vector(row))
	g.changed[row>>chunkShift] = g.stamp
	if g.code.stride > 0 {
		clear(g.coded.Code(row))
		g.sketch.clear(row)
	}
	*g.coded.Factor(row) = vector.RowFactors{Bias: float32(math.Inf(1))}
	if g.metric == memory.MetricDot {
		*g.liftOf(row) = lift{}
	}
	clear(g.room)
}

// release makes the place of a row free, to which no link leads.
func (g *Graph) release(row uint32) {
	g.wipe(row)
	g.setLinks(row, nil)
	g.states[row], g.slots[row], g.born[row] = free, 0, 0
	g.free++
	g.lowest = min(g.lowest, int(row))
}

// trim lets the last chunks go that are free, but for one.
func (g *Graph) trim() {
	for {
		first := len(g.links) - 2
		if first < 1 || slices.ContainsFunc(g.states[min(first<<chunkShift, g.count):], func(s state) bool { return s != free }) {
			return
		}
		g.dropRows(max(0, g.count-first<<chunkShift))
		n := len(g.links) - 1
		drop(&g.links, n)
		drop(&g.vectors, n)
		drop(&g.coded.Factors, n)
		g.sketch.drop(n)
		if g.code.stride > 0 {
			drop(&g.coded.Codes, n)
		}
		if g.metric == memory.MetricDot {
			drop(&g.lifts, n)
		}
		g.heap, g.changed = g.heap[:n], g.changed[:n]
	}
}

// dropRows forgets the last n rows, which are free.
func (g *Graph) dropRows(n int) {
	g.count -= n
	g.free -= n
	g.lowest = min(g.lowest, g.count)
	g.slots, g.states, g.born = g.slots[:g.count], g.states[:g.count], g.born[:g.count]
	if cap(g.slots) > 4*g.count {
		g.slots, g.states, g.born = slices.Clone(g.slots), slices.Clone(g.states), slices.Clone(g.born)
	}
}

func drop[T any](chunks *[]T, from int) {
	clear((*chunks)[from:])
	*chunks = (*chunks)[:from]
}

// leaveFlat moves all vectors from the exact index to rows that wait for links.
func (g *Graph) leaveFlat() {
	f := g.flat
	g.flat = nil
	g.code = newCoder(g.metric, g.dim)
	g.code.fit(f.Len(), f.row)
	g.coded.Stride, g.sketch = g.code.stride, newSketches(&g.code)
	g.room = make([]float32, g.code.stride)
	for i, slot := range f.slots {
		row := g.addRow(slot)
		copy(g.vector(row), f.row(i))
		g.fill(row)
		clear(f.row(i))
	}
}

// becomeFlat moves what is left to an exact index, and lets all rows go.
func (g *Graph) becomeFlat() {
	f := NewFlat(g.dim, g.metric)
	for row, s := range g.states {
		if s == free || s == dead {
			continue
		}
		copy(f.row(f.addRow(g.slots[row])), g.vector(uint32(row)))
		g.wipe(uint32(row))
	}
	placed, stamp := g.placed, g.stamp
	g.saving.leave()
	*g = *newGraph(g.dim, g.metric, g.flatMost)
	g.flat, g.placed, g.stamp = f, placed+1, stamp
}

// Bytes is about how much memory the index takes. Of a snapshot that it lies in
// (LoadGraph, Adopt) the codes and links count, which searches read all the time;
// the vectors do not, which are read from the disk when they are wanted.
func (g *Graph) Bytes() int {
	if g.flat != nil {
		return g.flat.Bytes()
	}
	n := g.rows.bytes() + 4*cap(g.slots) + cap(g.states) + 4*cap(g.born) + 4*cap(g.dead)
	n += 4*cap(g.tail.rows) + 4*cap(g.apart.rows) + 4*cap(g.entries.rows) + 16*g.twinned
	n += len(g.links) * vector.CodedChunk * (g.code.stride + 4*degree + int(unsafe.Sizeof(vector.RowFactors{})))
	n += g.sketch.bytes()
	n += len(g.lifts) * vector.CodedChunk * int(unsafe.Sizeof(lift{}))
	for i, v := range g.vectors {
		if g.heap[i] {
			n += 4 * cap(v)
		}
	}
	return n
}

// queued is rows in the order in which they came, each of which can leave at any
// time. A row's first link, which it has none of, says where it is.
type queued struct {
	rows []uint32
	gone int // rows before this place have left in order
}

func (q *queued) len() int { return len(q.rows) - q.gone }

// all is the rows; the slice is the queue's.
func (q *queued) all() []uint32 { return q.rows[q.gone:] }

func (q *queued) add(g *Graph, row uint32) {
	g.linksOf(row)[0] = uint32(len(q.rows))
	q.rows = append(q.rows, row)
}

// remove puts the last in the place of the row.
func (q *queued) remove(g *Graph, row uint32) {
	at := g.linksOf(row)[0]
	last := q.rows[len(q.rows)-1]
	q.rows[at] = last
	g.linksOf(last)[0] = at
	q.rows = q.rows[:len(q.rows)-1]
	g.setLinks(row, nil)
	if q.len() == 0 {
		q.rows, q.gone = q.rows[:0], 0
	}
}

// leave takes rows out that are among the first n.
func (q *queued) leave(g *Graph, rows []uint32) {
	for _, row := range rows {
		at := g.linksOf(row)[0]
		first := q.rows[q.gone]
		q.rows[at] = first
		g.linksOf(first)[0] = at
		q.gone++
		g.setLinks(row, nil)
	}
	if q.gone*2 > len(q.rows) {
		kept := copy(q.rows, q.rows[q.gone:])
		q.rows, q.gone = q.rows[:kept], 0
		for i, row := range q.rows {
			g.linksOf(row)[0] = uint32(i)
		}
	}
}
