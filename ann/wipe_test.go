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
