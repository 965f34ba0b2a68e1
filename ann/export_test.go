package ann

import "github.com/engramdb/engram/memory"

// NewSmallGraph is a graph that is one from flat rows on, and walks always from
// scan rows on.
func NewSmallGraph(dim int, m memory.Metric, flat, scan int) *Graph {
	return newGraph(dim, m, bounds{flat: flat, scan: scan})
}
