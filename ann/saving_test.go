package ann_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// meddler changes a graph at each write of its snapshot.
type meddler struct {
	bytes.Buffer
	do func()
}

func (m *meddler) Write(b []byte) (int, error) {
	m.do()
	return m.Buffer.Write(b)
}

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// Whatever happens while a snapshot is written, it is of when it began.
func TestSavingIsOfItsBeginning(t *testing.T) {
	some := func(g *ann.Graph, r *rand.Rand, dim int) func() {
		next := uint32(10_000)
		return func() {
			for range 40 {
				g.Delete(r.Uint32N(3100))
				g.Put(next, random(r, dim))
				next++
			}
			settle(t, g, 1)
		}
	}
	for name, meddle := range map[string]func(g *ann.Graph, r *rand.Rand, dim int) func(){
		"nothing":                 func(*ann.Graph, *rand.Rand, int) func() { return func() {} },
		"puts, deletes and links": some,
		"all go at once, and others come": func(g *ann.Graph, r *rand.Rand, dim int) func() {
			more, all := some(g, r, dim), uint32(3100)
			return func() {
				for ; all > 0; all-- {
					g.Delete(all - 1)
				}
				more()
			}
		},
		"most go, the rest moves": func(g *ann.Graph, r *rand.Rand, dim int) func() {
			next := uint32(0)
			return func() {
				for ; next < 2900; next++ {
					g.Delete(next)
				}
				settle(t, g, 1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, dim int, m memory.Metric) {
				g, r := lived(t, dim, m, 1), rand.New(rand.NewPCG(4, 4))
				for slot := range uint32(2500) {
					g.Put(600+slot, random(r, dim))
				}
				want := saved(t, g)
				w := &meddler{do: meddle(g, r, dim)}
				if err := g.Saving().Write(w, noLock{}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(w.Bytes(), want) {
					t.Fatal("it is not what there was")
				}
				now := saved(t, g)
				if err := g.Adopt(w.Bytes()); err != nil {
					if name != "all go at once, and others come" {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(saved(t, g), now) {
					t.Error("after Adopt the index holds something else")
				}
			})
		})
	}
}

// What is kept is bounded; the index does not suffer.
func TestSavingGivesUp(t *testing.T) {
	g, r := ann.NewGraph(8, memory.MetricL2), rand.New(rand.NewPCG(6, 6))
	for slot := range uint32(8000) {
		g.Put(slot, random(r, 8))
	}
	w := &meddler{do: func() {
		for slot := range uint32(5000) {
			g.Delete(slot)
		}
	}}
	if err := g.Saving().Write(w, noLock{}); !errors.Is(err, ann.ErrChanging) {
		t.Errorf("5,000 deletes: %v", err)
	}
	w = &meddler{do: func() {}}
	if err := g.Saving().Write(w, noLock{}); err != nil || !bytes.Equal(w.Bytes(), saved(t, g)) {
		t.Errorf("the next one: %v", err)
	}
}

// A writer gets its turn while a snapshot is written, and a reader too.
func TestSavingLetsOthersWrite(t *testing.T) {
	var mu sync.RWMutex
	g, r := ann.NewGraph(65, memory.MetricCosine), rand.New(rand.NewPCG(7, 7))
	for slot := range uint32(4000) {
		g.Put(slot, random(r, 65))
	}
	settle(t, g, 1)
	want := saved(t, g)
	mu.RLock()
	s := g.Saving()
	mu.RUnlock()
	slot := uint32(0)
	w := &meddler{do: func() { // another's turn, while the disk works
		done := make(chan struct{})
		go func() {
			defer close(done)
			mu.Lock()
			defer mu.Unlock()
			g.Delete(slot)
			g.Put(4000+slot, random(r, 65))
			slot++
		}()
		<-done
	}}
	if err := s.Write(w, mu.RLocker()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.Bytes(), want) {
		t.Error("it is not what there was")
	}
}
