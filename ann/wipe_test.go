package ann

import (
	"testing"

	"github.com/engramdb/engram/memory"
)

// A vector that was deleted is in no array of the index any more.
func TestDeleteWipes(t *testing.T) {
	const secret = 12345.5
	f := NewFlat(4, memory.MetricDot)
	for slot := range uint32(200) {
		f.Put(slot, []float32{float32(slot), 1, 2, 3})
	}
	for _, slot := range []uint32{0, 63, 64, 100, 199} {
		f.Put(slot, []float32{secret, 1, 1, 1})
	}
	for _, slot := range []uint32{199, 0, 63, 64, 100} {
		f.Delete(slot)
	}
	for i, chunk := range f.chunks {
		for j, x := range chunk[:cap(chunk)] {
			if x == secret {
				t.Errorf("chunk %d still holds it at %d", i, j)
			}
		}
	}
}

// A vector that was deleted is in no array of a graph any more, linked or not,
// nor in what searches and plans work with.
func TestGraphDeleteWipes(t *testing.T) {
	const dim, n = 64, 700
	for _, link := range []bool{false, true} {
		g := newGraph(dim, memory.MetricCosine, 50)
		for slot := range uint32(n) {
			v := make([]float32, dim)
			v[slot%dim], v[slot/dim] = 3, 4
			g.Put(slot, v)
		}
		if link {
			if err := g.Settle(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		for slot := range uint32(n) {
			if slot%7 > 0 {
				g.Delete(slot)
			}
		}
		for row, s := range g.states {
			if s != free && s != dead {
				continue
			}
			for _, x := range g.vector(uint32(row)) {
				if x != 0 {
					t.Fatalf("row %d still holds a vector", row)
				}
			}
			for _, x := range g.coded.Code(uint32(row)) {
				if x != 0 {
					t.Fatalf("row %d still holds a code", row)
				}
			}
		}
		s := g.borrow()
		for i, x := range s.probe.coded.Code {
			if x != 0 || s.room[i] != 0 || g.room[i] != 0 || s.probe.numbers != nil {
				t.Fatal("what plans work with still holds a row")
			}
		}
	}
}
