package ann_test

import (
	"context"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/ann/anntest"
	"github.com/engramdb/engram/memory"
)

// As it is, a graph of so few vectors is a Flat, and as good.
func TestGraph(t *testing.T) {
	anntest.TestIndex(t, func(dim int, m memory.Metric) anntest.Index { return ann.NewGraph(dim, m) })
}

// driven is a graph that is one from the start, walks whenever it can, and whose
// owner makes links at every few writes.
type driven struct {
	*ann.Graph
	writes int
}

func (d *driven) Put(slot uint32, v []float32) {
	d.Graph.Put(slot, v)
	d.drive()
}

func (d *driven) Delete(slot uint32) {
	d.Graph.Delete(slot)
	d.drive()
}

func (d *driven) drive() {
	if d.writes++; d.writes%7 != 0 {
		return
	}
	p := d.Plan()
	for p != nil && !p.Step(1+d.writes%2) {
	}
	d.Place(p)
}

func (d *driven) Search(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o ann.Options) ([]ann.Hit, int, error) {
	o.Walk = true
	return d.Graph.Search(ctx, q, k, allow, o)
}

func TestGraphWalks(t *testing.T) {
	anntest.TestRecall(t, func(dim int, m memory.Metric) anntest.Index {
		return &driven{Graph: ann.NewSmallGraph(dim, m, 10)}
	}, .99)
}
