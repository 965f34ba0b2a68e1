package ann_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// cutTexts is passages of so many slots that have seen changes; each text has its slot as
// the end of its last span.
func cutTexts(t testing.TB, slots uint32, flat int) *ann.Passages {
	t.Helper()
	r := rand.New(rand.NewPCG(7, uint64(slots)))
	p := ann.NewSmallPassages(8, memory.MetricCosine, flat)
	for slot := range slots {
		n := 1 + r.IntN(5)
		spans, vectors := make([]ann.Span, n), make([][]float32, n)
		for i := range spans {
			spans[i], vectors[i] = ann.Span{From: uint32(10 * i), To: uint32(10*i + 12)}, random(r, 8)
		}
		p.Put(slot, spans, vectors)
		if slot%3 == 2 {
			p.Delete(slot - 2)
		}
		if slot%7 == 0 {
			p.Put(slot, spans, vectors) // once more, under other numbers
		}
		if slot == slots/2 {
			settle(t, p.Links(), 1)
		}
	}
	return p
}

func savedPassages(t testing.TB, p *ann.Passages) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is loaded answers as what was saved, and lives on; numbers of what has gone are not
// kept.
func TestPassagesSaveAndLoad(t *testing.T) {
	for name, flat := range map[string]int{"small": 10_000, "linked": 50} {
		t.Run(name, func(t *testing.T) {
			p := cutTexts(t, 300, flat)
			b := savedPassages(t, p)
			if err := ann.Verify(context.Background(), b, 8, memory.MetricCosine); err != nil {
				t.Fatal(err)
			}
			back, err := ann.LoadPassages(slices.Clone(b), 8, memory.MetricCosine, 300)
			if err != nil {
				t.Fatal(err)
			}
			once := savedPassages(t, back)
			if again, err := ann.LoadPassages(slices.Clone(once), 8, memory.MetricCosine, 300); err != nil || !bytes.Equal(savedPassages(t, again), once) {
				t.Errorf("what is loaded saves other bytes, %v", err)
			}
			r := rand.New(rand.NewPCG(1, 1))
			for round := range uint32(40) {
				samePassages(t, r, p, back)
				for _, x := range []*ann.Passages{p, back} {
					x.Delete(round * 3)
					x.Put(400+round, []ann.Span{{From: 1, To: 2}}, [][]float32{slices.Repeat([]float32{float32(round + 1)}, 8)})
					if round%9 == 0 {
						settle(t, x.Links(), 1)
					}
				}
			}
		})
	}
}

func samePassages(t *testing.T, r *rand.Rand, a, b *ann.Passages) {
	t.Helper()
	n, slots := a.Len()
	if n2, slots2 := b.Len(); n != n2 || slots != slots2 {
		t.Fatalf("%d of %d, and %d of %d", n, slots, n2, slots2)
	}
	q, allow := random(r, 8), bitset.New(0)
	for range 100 {
		allow.Set(uint(r.IntN(450)))
	}
	for _, set := range []*bitset.BitSet{nil, allow} {
		x, err := a.Find(context.Background(), q, 10, set, ann.Options{Exact: true})
		y, err2 := b.Find(context.Background(), q, 10, set, ann.Options{Exact: true})
		if err != nil || err2 != nil || !slices.Equal(x.Hits, y.Hits) {
			t.Fatalf("%v, %v and %v, %v", x.Hits, err, y.Hits, err2)
		}
		if found, err := b.Find(context.Background(), q, 10, set, ann.Options{}); err != nil || len(found.Hits) != len(x.Hits) {
			t.Fatalf("%d of %d are found, %v", len(found.Hits), len(x.Hits), err)
		}
	}
	for slot := range uint32(450) {
		if a.Has(slot) != b.Has(slot) || !slices.Equal(a.Of(q, slot), b.Of(q, slot)) {
			t.Fatalf("slot %d: %v and %v", slot, a.Of(q, slot), b.Of(q, slot))
		}
	}
}

// What is damaged, of another kind, or of slots that are not there is an error.
func TestPassagesDamaged(t *testing.T) {
	whole := savedPassages(t, cutTexts(t, 300, 50))
	load := func(b []byte, dim int, m memory.Metric, slots uint32) error {
		_, err := ann.LoadPassages(slices.Clone(b), dim, m, slots)
		return err
	}
	for _, n := range []int{0, 8, 4095, 4096, len(whole) / 2, len(whole) - 1} {
		if err := load(whole[:n], 8, memory.MetricCosine, 300); !errors.Is(err, ann.ErrCorrupt) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	vectors := savedPassages(t, cutTexts(t, 300, 50))
	for what, is := range map[string]struct{ got, want error }{
		"another dimension":    {load(whole, 9, memory.MetricCosine, 300), ann.ErrVersion},
		"another metric":       {load(whole, 8, memory.MetricDot, 300), ann.ErrVersion},
		"fewer slots":          {load(whole, 8, memory.MetricCosine, 299), ann.ErrCorrupt},
		"a graph of vectors":   {load(saved(t, lived(t, 8, memory.MetricCosine, 1)), 8, memory.MetricCosine, 9999), ann.ErrCorrupt},
		"loaded as a graph":    {second(ann.LoadGraph(vectors, 8, memory.MetricCosine)), ann.ErrCorrupt},
		"a small one as graph": {second(ann.LoadGraph(savedPassages(t, cutTexts(t, 20, 5000)), 8, memory.MetricCosine)), ann.ErrCorrupt},
	} {
		if !errors.Is(is.got, is.want) {
			t.Errorf("%s: %v, want %v", what, is.got, is.want)
		}
	}
	r := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		bad := slices.Clone(whole)
		at := r.IntN(len(bad))
		bad[at] ^= 1 << r.IntN(8)
		err := load(bad, 8, memory.MetricCosine, 300)
		err2 := ann.Verify(context.Background(), bad, 8, memory.MetricCosine)
		if err == nil && err2 == nil && !ann.Padding(whole, at) {
			t.Errorf("a bit of byte %d of %d is not missed", at, len(bad))
		}
	}
}

// FuzzLoadPassages changes numbers of a snapshot and sets its sums right: whatever is
// loaded then is safe to use.
func FuzzLoadPassages(f *testing.F) {
	small, large := savedPassages(f, cutTexts(f, 60, 5000)), savedPassages(f, cutTexts(f, 60, 20))
	f.Add(false, uint32(0), uint32(0), uint32(9), uint32(1))
	f.Add(true, uint32(4096), uint32(7), uint32(5000), uint32(70_000))
	f.Fuzz(func(t *testing.T, flat bool, at, value, at2, value2 uint32) {
		bad := slices.Clone(large)
		if flat {
			bad = slices.Clone(small)
		}
		for _, x := range [][2]uint32{{at, value}, {at2, value2}} {
			i := int(x[0]) % (len(bad) - 4)
			bad[i], bad[i+1], bad[i+2] = byte(x[1]), byte(x[1]>>8), byte(x[1]>>16)
		}
		ann.SetSums(bad, 8, memory.MetricCosine)
		p, err := ann.LoadPassages(bad, 8, memory.MetricCosine, 60)
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(uint64(at), uint64(value)))
		for slot := range uint32(60) {
			for _, h := range p.Of(random(r, 8), slot) {
				if h.Span.From >= h.Span.To {
					t.Fatalf("a passage from %d to %d", h.Span.From, h.Span.To)
				}
			}
			p.Delete(slot * 5)
			p.Put(slot*7, []ann.Span{{From: 0, To: 1}}, [][]float32{random(r, 8)})
			if _, err := p.Find(context.Background(), random(r, 8), 5, nil, ann.Options{Walk: true}); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, p.Links(), 2)
	})
}
