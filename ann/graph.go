package ann

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// Graph is the approximate index of vectors of one dimension under one metric:
// each row has links to near ones, and a search walks along them over int8 codes
// and compares what it found once more by the vectors themselves. It has the
// verbs of Flat, and is one while it is small. DESIGN.md says how it works, why,
// and how an owner drives it; the package doc, who locks it.
//
// A vector that is put is found at once: it waits in the tail, which searches
// scan, until its links are made. Making them is for the owner, in small parts
// (Plan, Place).
type Graph struct {
	dim    int
	metric memory.Metric

	flat     *Flat // holds all while there are few; nil afterwards
	flatMost int   // up to how many; tests make it small

	// Rows never move. A row is below count; what its place holds, state says.
	code    coder
	count   int
	live    int
	coded   vector.CodedRows
	vectors [][]float32 // vectorRows each
	links   [][]uint32  // degree a row, filled up with the row itself
	lifts   [][]lift    // under the inner product
	sketch  sketches    // 1-bit codes, which long scans look at first
	slots   []uint32
	states  []state
	born    []uint32 // number of the Put that filled the row
	rows    table    // row of each slot

	puts    uint32              // counts Put
	tail    queued              // rows that wait for links
	apart   queued              // rows that stand apart
	free    int                 // rows that are free
	lowest  int                 // no row before it is free
	dead    []uint32            // rows whose vectors are gone, while links lead to them
	twins   map[uint32][]uint32 // rows equal to a linked one
	twinned int
	entries entries
	sweep   sweep
	placed  uint64 // counts Place, and what else changes links

	slab    []byte   // room for the next chunks of all but the vectors
	heap    []bool   // of each chunk of vectors: it lies on the heap
	changed []uint64 // of each chunk of vectors: the stamp at which it changed last
	stamp   uint64   // counts Put, Delete and moves
	saving  *Saving  // what is being saved; nil: nothing
	room    []float32
	scratch *sync.Pool
}

// A state says what a row's place holds.
type state uint8

const (
	free    state = iota
	waiting       // a vector without links: it is in the tail
	linked
	twin     // a vector equal to that of a linked row, whose number is its first link
	standing // a vector that stands apart
	dead     // no vector; links to it and from it
)

// Numbers of the graph. What they were chosen by is in DESIGN.md.
const (
	// degree is how many links a row has at most: two lines of memory.
	degree = 32
	// filled is how many it has at least, if there are so many to choose from.
	filled = 24
	// breadth is how many candidates are kept when links are made (efConstruction).
	breadth = 128
	// chunkShift gives the rows of a chunk, as in package vector.
	chunkShift = 10
	chunkMask  = vector.CodedChunk - 1
	// tailNumbers bounds the numbers in the tail: 80 Mi codes are read in 2 ms.
	tailNumbers = 80 << 20
)

// flatRows is up to how many vectors a graph is a Flat.
const flatRows = 2048

// NewGraph makes an empty index of vectors of dim numbers. It panics when dim is
// not positive or the metric is unknown, as NewFlat does.
func NewGraph(dim int, m memory.Metric) *Graph { return newGraph(dim, m, flatRows) }

func newGraph(dim int, m memory.Metric, flatMost int) *Graph {
	g := &Graph{dim: dim, metric: m, flatMost: flatMost, flat: NewFlat(dim, m)}
	g.scratch = &sync.Pool{New: func() any { return new(scratch) }}
	return g
}

// Put stores the vector of a slot, in place of the one that it had; the contract
// is Flat's. The links to it are made later, see Plan.
func (g *Graph) Put(slot uint32, v []float32) {
	mustBeOf(g.dim, v)
	g.stamp++
	if g.flat != nil {
		g.flat.Put(slot, v)
		if g.flat.Len() > g.flatMost {
			g.leaveFlat()
		}
		return
	}
	g.Delete(slot)
	if g.flat != nil { // it has become small
		g.flat.Put(slot, v)
		return
	}
	row := g.addRow(slot)
	if g.metric == memory.MetricCosine {
		vector.Normalize(g.vector(row), v)
	} else {
		copy(g.vector(row), v)
	}
	g.fill(row)
}

// fill makes the code of a row that has its vector, and lets it wait for links.
func (g *Graph) fill(row uint32) {
	var code []int8
	if g.code.stride > 0 {
		code = g.coded.Code(row)
	}
	f, l, ok := g.code.encode(code, g.vector(row), g.room)
	*g.coded.Factor(row) = f
	if ok {
		g.makeSketch(row)
	}
	if g.metric == memory.MetricDot {
		*g.liftOf(row) = l
	}
	if !ok {
		g.states[row] = standing
		g.apart.add(g, row)
		return
	}
	g.states[row] = waiting
	g.tail.add(g, row)
}

// Delete forgets the vector of a slot and wipes it from memory; a slot that has
// none is let be. Links that led to it are mended later, see Plan.
func (g *Graph) Delete(slot uint32) {
	g.stamp++
	if g.flat != nil {
		g.flat.Delete(slot)
		return
	}
	found := g.rows.get(slot)
	if found < 0 {
		return
	}
	g.rows.remove(slot)
	g.live--
	g.forget(uint32(found))
	if g.live <= g.flatMost/4 {
		g.becomeFlat()
	}
}

// forget takes a row out of where its state has it.
func (g *Graph) forget(row uint32) {
	switch g.states[row] {
	case waiting:
		g.tail.remove(g, row)
		g.release(row)
	case standing:
		g.apart.remove(g, row)
		g.release(row)
	case twin:
		g.removeTwin(row)
		g.release(row)
	case linked:
		if !g.inherit(row) {
			g.die(row)
		}
	}
}

// inherit lets a twin take the place of a row, if it has one: the vector is the
// same. The place of the twin becomes free.
func (g *Graph) inherit(row uint32) bool {
	of := g.twins[row]
	if len(of) == 0 {
		return false
	}
	last := of[len(of)-1]
	slot := g.slots[last]
	g.removeTwin(last)
	g.release(last)
	g.slots[row] = slot
	g.rows.set(slot, int(row))
	return true
}

func (g *Graph) removeTwin(row uint32) {
	of := g.linksOf(row)[0]
	list := g.twins[of]
	i := slices.Index(list, row)
	list[i] = list[len(list)-1]
	g.twins[of] = list[:len(list)-1]
	if len(list) == 1 {
		delete(g.twins, of)
	}
	g.twinned--
}

// die wipes a row to which links lead. Its own stay for a while: walks go through
// it to what lies beyond.
func (g *Graph) die(row uint32) {
	g.wipe(row)
	g.states[row], g.slots[row] = dead, 0
	g.dead = append(g.dead, row)
	g.entries.remove(g, row)
}

// Has says whether the slot has a vector.
func (g *Graph) Has(slot uint32) bool {
	if g.flat != nil {
		return g.flat.Has(slot)
	}
	return g.rows.get(slot) >= 0
}

// Len is how many vectors there are.
func (g *Graph) Len() int {
	if g.flat != nil {
		return g.flat.Len()
	}
	return g.live
}

// Tail is how much waits for links, in rows: vectors that were put, which each
// search compares until then.
func (g *Graph) Tail() int { return g.tail.len() }

// TailBound is how long the tail may become before searches take notice, some 2
// ms each: an owner slows its writers there.
func (g *Graph) TailBound() int {
	numbers := tailNumbers
	if g.code.stride == 0 {
		numbers /= 4
	}
	return numbers / g.dim
}

// Scores gives the score for q of each slot, in the order of slots; the contract
// is Flat's.
func (g *Graph) Scores(q []float32, slots []uint32) []float64 {
	if g.flat != nil {
		return g.flat.Scores(q, slots)
	}
	if len(q) != g.dim {
		panic(fmt.Sprintf("ann: query of %d numbers in an index of dimension %d", len(q), g.dim))
	}
	q = prepared(g.metric, q)
	scores := make([]float64, len(slots))
	for i, slot := range slots {
		if i+fetchAhead < len(slots) {
			if row := g.rows.get(slots[i+fetchAhead]); row >= 0 {
				vector.Fetch(g.vector(uint32(row)))
			}
		}
		if row := g.rows.get(slot); row >= 0 {
			scores[i] = g.score(q, uint32(row))
		} else {
			scores[i] = math.NaN()
		}
	}
	return scores
}

// score is the exact score of a row for a prepared query.
func (g *Graph) score(q []float32, row uint32) float64 {
	v := g.vector(row)
	var raw float32
	if g.metric == memory.MetricL2 {
		raw = vector.SquaredL2(q, v)
	} else {
		raw = vector.Dot(q, v)
	}
	if raw-raw != 0 {
		return signed(g.metric, wide(g.metric, q, v))
	}
	return signed(g.metric, float64(raw))
}
