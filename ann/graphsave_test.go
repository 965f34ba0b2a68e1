package ann_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// lived is a graph that has seen all kinds of changes, with rows in every state:
// in the tail, linked, equal to others, apart, dead and free.
func lived(t testing.TB, dim int, m memory.Metric, workers int) *ann.Graph {
	t.Helper()
	r := rand.New(rand.NewPCG(3, uint64(dim)))
	g := ann.NewSmallGraph(dim, m, 50)
	same := random(r, dim)
	for slot := range uint32(600) {
		v := random(r, dim)
		switch {
		case slot%50 == 7:
			v = same
		case slot%100 == 9:
			v[0] = 3e25
		}
		g.Put(slot, v)
		if slot%64 == 63 {
			settle(t, g, workers)
		}
		if slot%5 == 4 {
			g.Delete(slot - 3)
		}
		if slot == 570 {
			settle(t, g, workers)
		}
	}
	g.Delete(590)
	return g
}

func settle(t testing.TB, g *ann.Graph, workers int) {
	t.Helper()
	if err := g.Settle(context.Background(), workers); err != nil {
		t.Fatal(err)
	}
}

func saved(t testing.TB, g *ann.Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := g.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eachKind(t *testing.T, run func(t *testing.T, dim int, m memory.Metric)) {
	for i, m := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		for j, dim := range []int{3, 65} {
			if testing.Short() && i%2 == j {
				continue // each metric and each dimension, but not each with each
			}
			t.Run(fmt.Sprintf("%s/%d", m, dim), func(t *testing.T) { run(t, dim, m) })
		}
	}
}

// The same calls make the same bytes, with one worker and with two.
func TestGraphIsDeterministic(t *testing.T) {
	eachKind(t, func(t *testing.T, dim int, m memory.Metric) {
		one := saved(t, lived(t, dim, m, 1))
		if two := saved(t, lived(t, dim, m, 2)); !bytes.Equal(one, two) {
			t.Errorf("two workers save other bytes than one")
		}
	})
}

// What is loaded answers as what was saved, saves the same, and lives on.
func TestGraphSaveAndLoad(t *testing.T) {
	eachKind(t, func(t *testing.T, dim int, m memory.Metric) {
		g := lived(t, dim, m, 1)
		states := ann.States(g)
		if m == memory.MetricCosine { // no row of length one stands apart
			states[4] = 1
		}
		if slices.Min(states[:]) == 0 {
			t.Fatalf("some states do not occur: %v", states)
		}
		b := saved(t, g)
		if err := ann.Verify(context.Background(), b, dim, m); err != nil {
			t.Fatal(err)
		}
		back, err := ann.LoadGraph(slices.Clone(b), dim, m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved(t, back), b) {
			t.Error("what is loaded saves other bytes")
		}
		r := rand.New(rand.NewPCG(1, 1))
		for round := range 40 {
			sameAnswers(t, r, g, back, dim)
			for _, x := range []*ann.Graph{g, back} {
				x.Delete(uint32(round * 3))
				x.Put(uint32(1000+round), slices.Repeat([]float32{float32(round)}, dim))
				if round%9 == 0 {
					settle(t, x, 1)
				}
			}
		}
	})
}

func sameAnswers(t *testing.T, r *rand.Rand, a, b *ann.Graph, dim int) {
	t.Helper()
	q := random(r, dim)
	for _, o := range []ann.Options{{}, {Walk: true}, {Exact: true}} {
		x, _, err := a.Search(context.Background(), q, 10, nil, o)
		y, _, err2 := b.Search(context.Background(), q, 10, nil, o)
		if err != nil || err2 != nil || !slices.Equal(x, y) {
			t.Fatalf("%+v: %v, %v and %v, %v", o, x, err, y, err2)
		}
	}
}

// A small graph is saved too.
func TestGraphSavesFlat(t *testing.T) {
	g := ann.NewGraph(5, memory.MetricL2)
	for slot := range uint32(100) {
		g.Put(slot*2, []float32{float32(slot), 1, 2, 3, 4})
	}
	b := saved(t, g)
	back, err := ann.LoadGraph(b, 5, memory.MetricL2)
	if err != nil {
		t.Fatal(err)
	}
	sameAnswers(t, rand.New(rand.NewPCG(1, 2)), g, back, 5)
	if err := ann.Verify(context.Background(), b, 5, memory.MetricL2); err != nil {
		t.Error(err)
	}
	if _, err := ann.LoadGraph(saved(t, ann.NewGraph(5, memory.MetricL2)), 5, memory.MetricL2); err != nil {
		t.Errorf("an empty one: %v", err)
	}
	for what, err := range map[string]error{
		"another dimension": second(ann.LoadGraph(b, 6, memory.MetricL2)),
		"another metric":    second(ann.LoadGraph(b, 5, memory.MetricDot)),
	} {
		if !errors.Is(err, ann.ErrVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second(_ *ann.Graph, err error) error { return err }

// After Adopt the vectors lie in the snapshot, and those that changed do not.
func TestGraphAdopts(t *testing.T) {
	const dim = 65
	g := lived(t, dim, memory.MetricCosine, 1)
	var twin *ann.Graph
	r := rand.New(rand.NewPCG(8, 8))
	for round := range uint32(3) {
		b := saved(t, g)
		twin = second2(t, b, dim)
		g.Put(5000+round, random(r, dim))
		twin.Put(5000+round, slices.Repeat([]float32{1}, dim))
		twin.Delete(5000 + round)
		before := g.Bytes()
		if err := g.Adopt(slices.Clone(b)); err != nil {
			t.Fatal(err)
		}
		if round == 0 && g.Bytes() > before {
			t.Errorf("it takes %d bytes, %d before", g.Bytes(), before)
		}
	}
	g.Delete(5002)
	sameAnswers(t, r, g, twin, dim)
	big := ann.NewGraph(8, memory.MetricDot)
	for slot := range uint32(5000) {
		big.Put(slot, random(r, 8))
	}
	b := saved(t, big)
	big.Put(10_000, random(r, 8))
	before := big.Bytes()
	if err := big.Adopt(b); err != nil {
		t.Fatal(err)
	}
	if got := before - big.Bytes(); got != 4*1024*8*4 {
		t.Errorf("adopting saves %d bytes", got)
	}
	if err := big.Adopt(saved(t, lived(t, 8, memory.MetricDot, 1))); err != nil {
		t.Logf("another's snapshot: %v", err)
	}
}

func second2(t *testing.T, b []byte, dim int) *ann.Graph {
	t.Helper()
	g, err := ann.LoadGraph(slices.Clone(b), dim, memory.MetricCosine)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A damaged snapshot is an error or, in the vectors, one that Verify finds.
func TestGraphDamaged(t *testing.T) {
	b := saved(t, lived(t, 65, memory.MetricDot, 1))
	r := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		bad := slices.Clone(b)
		at := r.IntN(len(bad))
		bad[at] ^= 1 << r.IntN(8)
		_, err := ann.LoadGraph(slices.Clone(bad), 65, memory.MetricDot)
		err2 := ann.Verify(context.Background(), bad, 65, memory.MetricDot)
		if err == nil && err2 == nil && !ann.Padding(b, at) {
			t.Errorf("a bit of byte %d of %d is not missed", at, len(bad))
		}
	}
	for _, n := range []int{0, 8, 4095, 4096, len(b) / 2, len(b) - 1} {
		if _, err := ann.LoadGraph(slices.Clone(b[:n]), 65, memory.MetricDot); !errors.Is(err, ann.ErrCorrupt) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}

// FuzzLoadGraph changes numbers of a snapshot and sets its sums right: whatever is
// loaded then is safe to use.
func FuzzLoadGraph(f *testing.F) {
	const dim = 3
	b := saved(f, lived(f, dim, memory.MetricDot, 1))
	f.Add(uint32(0), uint32(0), uint32(9), uint32(1))
	f.Add(uint32(4096), uint32(7), uint32(5000), uint32(70_000))
	f.Fuzz(func(t *testing.T, at, value, at2, value2 uint32) {
		bad := slices.Clone(b)
		for _, x := range [][2]uint32{{at, value}, {at2, value2}} {
			i := int(x[0]) % (len(bad) - 4)
			bad[i], bad[i+1], bad[i+2] = byte(x[1]), byte(x[1]>>8), byte(x[1]>>16)
		}
		ann.SetSums(bad, dim, memory.MetricDot)
		g, err := ann.LoadGraph(bad, dim, memory.MetricDot)
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(uint64(at), uint64(value)))
		for slot := range uint32(80) {
			g.Delete(slot * 5)
			g.Put(slot*7, random(r, dim))
			if _, _, err := g.Search(context.Background(), random(r, dim), 5, nil, ann.Options{Walk: true}); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, g, 2)
	})
}

// brief is how much of something a test does: whole, or less of the same with
// -short, as the race detector runs it.
func brief(whole, short int) int {
	if testing.Short() {
		return short
	}
	return whole
}
