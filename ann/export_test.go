package ann

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/engramdb/engram/memory"
)

// NewSmallGraph is a graph that is one from more than flat rows on.
func NewSmallGraph(dim int, m memory.Metric, flat int) *Graph { return newGraph(dim, m, flat) }

// Describe says how a graph is made, for benchmarks.
func Describe(g *Graph) string {
	links, rows, least := 0, 0, degree
	for row, s := range g.states {
		if s == linked {
			n := len(g.neighbours(uint32(row)))
			links, rows, least = links+n, rows+1, min(least, n)
		}
	}
	return fmt.Sprintf("%d linked with %.1f links, at least %d; %d twins, %d entries", rows, float64(links)/float64(max(1, rows)), least, g.twinned, len(g.entries.rows))
}

// States counts the rows in each state.
func States(g *Graph) (n [dead + 1]int) {
	for _, s := range g.states {
		n[s]++
	}
	return n
}

// Padding says whether a byte of a snapshot is in no part.
func Padding(b []byte, i int) bool {
	h := new(head)
	if _, err := binary.Decode(b, binary.LittleEndian, h); err != nil {
		panic(err)
	}
	at, _ := h.layout()
	for _, p := range at {
		if i >= p.from && i < p.from+p.size {
			return false
		}
	}
	return true
}

// SetSums makes the sums of a snapshot right, if it has a head.
func SetSums(b []byte, dim int, m memory.Metric) {
	_, at, err := NewGraph(dim, m).open(b)
	if err != nil {
		return
	}
	sums := at[partSums].of(b)
	own := sums[len(sums)-4*parts:]
	for i := range partSums {
		binary.LittleEndian.PutUint32(own[4*i:], crc32.Checksum(at[i].of(b), castagnoli))
	}
}

// NewSmallPassages are passages whose graph is one from more than flat rows on.
func NewSmallPassages(dim int, m memory.Metric, flat int) *Passages {
	return newPassages(newGraph(dim, m, flat))
}

// Sketched says whether all rows have sketches.
func Sketched(g *Graph) bool { return g.sketch.whole() }
