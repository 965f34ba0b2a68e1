package ann

import (
	"fmt"

	"github.com/engramdb/engram/vector"
)

// Sum adds the vectors of slots to a sum of the index's dimension (another panics), under
// cosine each at length 1, and says how many there were.
func (f *Flat) Sum(into []float32, slots []uint32) (added int) {
	mustBeOf(f.dim, into)
	for _, slot := range slots {
		if row := f.rows.get(slot); row >= 0 {
			addTo(into, f.row(row))
			added++
		}
	}
	return added
}

// Sum is Flat's.
func (g *Graph) Sum(into []float32, slots []uint32) (added int) {
	if g.flat != nil {
		return g.flat.Sum(into, slots)
	}
	mustBeOf(g.dim, into)
	for i, slot := range slots {
		if i+fetchAhead < len(slots) {
			if row := g.rows.get(slots[i+fetchAhead]); row >= 0 {
				vector.Fetch(g.vector(uint32(row)))
			}
		}
		if row := g.rows.get(slot); row >= 0 {
			addTo(into, g.vector(uint32(row)))
			added++
		}
	}
	return added
}

func mustBeOf(dim int, v []float32) {
	if len(v) != dim {
		panic(fmt.Sprintf("ann: vector of %d numbers in an index of dimension %d", len(v), dim))
	}
}

func addTo(sum, v []float32) {
	v = v[:len(sum)]
	for i := range sum {
		sum[i] += v[i]
	}
}
