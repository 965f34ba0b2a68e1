// Package anntest is the test that every index of nearest vectors passes: the
// exact one as it is, an approximate one with the recall that it promises. An
// index runs it in a test of its own:
//
//	func TestFlat(t *testing.T) {
//		anntest.TestIndex(t, func(dim int, m memory.Metric) anntest.Index { return ann.NewFlat(dim, m) })
//	}
//
// It compares with a model that keeps all vectors in a map and adds in float64.
package anntest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// Index is what the test needs of an index; the doc of ann.Flat's methods is the
// contract.
type Index interface {
	Put(slot uint32, v []float32)
	Delete(slot uint32)
	Has(slot uint32) bool
	Len() int
	Bytes() int
	Search(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o ann.Options) (hits []ann.Hit, compared int, err error)
	Scores(q []float32, slots []uint32) []float64
}

// New makes an empty index.
type New func(dim int, m memory.Metric) Index

// TestIndex runs the test for an exact index.
func TestIndex(t *testing.T, new New) { TestRecall(t, new, 1) }

// TestRecall runs the test for an index that finds at least the share recall of
// the true neighbours, on average over the searches of each part. Whatever it
// finds has the true score, is allowed, stands, and comes in order.
func TestRecall(t *testing.T, new New, recall float64) {
	for _, m := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		dims := []int{2, 3, 16, 65}
		if testing.Short() {
			dims = []int{3, 65} // fewer than the lanes of a kernel, and more with a rest
		}
		for _, dim := range dims {
			t.Run(fmt.Sprintf("%s/%d", m, dim), func(t *testing.T) {
				s := &suite{t: t, new: new, metric: m, dim: dim, least: recall, r: rand.New(rand.NewPCG(uint64(dim), 7))}
				t.Run("empty", s.empty)
				t.Run("neighbours", s.neighbours)
				t.Run("filters", s.filters)
				t.Run("ties", s.ties)
				t.Run("large", s.large)
				t.Run("churn", s.churn)
				t.Run("forgets", s.forgets)
				t.Run("cancelled", s.cancelled)
				t.Run("readers", s.readers)
			})
		}
	}
}

type suite struct {
	t      *testing.T
	new    New
	metric memory.Metric
	dim    int
	least  float64
	r      *rand.Rand
}

// pair is an index and the model of it.
type pair struct {
	suite   *suite
	index   Index
	vectors map[uint32][]float32
	found   int
	wanted  int
}

func (s *suite) pair() *pair {
	return &pair{suite: s, index: s.new(s.dim, s.metric), vectors: map[uint32][]float32{}}
}

func (s *suite) vector() []float32 {
	v := make([]float32, s.dim)
	for i := range v {
		v[i] = float32(s.r.NormFloat64())
	}
	return v
}

func (p *pair) put(slot uint32, v []float32) {
	given := slices.Clone(v)
	p.index.Put(slot, given)
	p.vectors[slot] = slices.Clone(v)
	clear(given) // the index has a copy
}

func (p *pair) delete(slot uint32) {
	p.index.Delete(slot)
	delete(p.vectors, slot)
}

// score is the true score, in float64.
func (s *suite) score(q, v []float32) float64 {
	var dot, qq, vv, l2 float64
	for i := range q {
		a, b := float64(q[i]), float64(v[i])
		dot += a * b
		qq += a * a
		vv += b * b
		l2 += (a - b) * (a - b)
	}
	switch s.metric {
	case memory.MetricDot:
		return dot
	case memory.MetricL2:
		return -l2
	}
	if qq == 0 || vv == 0 {
		return 0
	}
	return dot / math.Sqrt(qq) / math.Sqrt(vv)
}

// slack is by how much a score may be off.
func (s *suite) slack(q, v []float32) float64 {
	size := 1.0
	if s.metric != memory.MetricCosine {
		for i := range q {
			a, b := math.Abs(float64(q[i])), math.Abs(float64(v[i]))
			size += (a + b) * (a + b)
		}
	}
	return 1e-5 * size
}

// check searches and compares with the model.
func (p *pair) check(t *testing.T, q []float32, k int, allow *bitset.BitSet, o ann.Options) []ann.Hit {
	t.Helper()
	hits, compared, err := p.index.Search(context.Background(), q, k, allow, o)
	if err != nil {
		t.Fatalf("Search: %v", err)
	}
	truth := p.truth(q, allow)
	if len(hits) > k || p.suite.least == 1 && (len(hits) != min(k, len(truth)) || k > 0 && compared != len(truth)) {
		t.Fatalf("Search gave %d hits of %d wanted, compared %d of %d", len(hits), k, compared, len(truth))
	}
	p.checkHits(t, q, hits, allow)
	p.count(q, hits, truth[:min(k, len(truth))])
	return hits
}

// truth is all allowed hits, best first.
func (p *pair) truth(q []float32, allow *bitset.BitSet) []ann.Hit {
	var list []ann.Hit
	for slot, v := range p.vectors {
		if allow == nil || allow.Test(uint(slot)) {
			list = append(list, ann.Hit{Slot: slot, Score: p.suite.score(q, v)})
		}
	}
	slices.SortFunc(list, compareHits)
	return list
}

func compareHits(a, b ann.Hit) int {
	if a.Score != b.Score {
		if a.Score > b.Score {
			return -1
		}
		return 1
	}
	return int(int64(a.Slot) - int64(b.Slot))
}

func (p *pair) checkHits(t *testing.T, q []float32, hits []ann.Hit, allow *bitset.BitSet) {
	t.Helper()
	seen := map[uint32]bool{}
	var slots []uint32
	for i, h := range hits {
		v, ok := p.vectors[h.Slot]
		if !ok || seen[h.Slot] || allow != nil && !allow.Test(uint(h.Slot)) {
			t.Fatalf("hit %d: slot %d stands: %v, was seen: %v, or is not allowed", i, h.Slot, ok, seen[h.Slot])
		}
		seen[h.Slot] = true
		slots = append(slots, h.Slot)
		if want := p.suite.score(q, v); !(math.Abs(h.Score-want) <= p.suite.slack(q, v)) {
			t.Fatalf("hit %d: slot %d scores %v, want %v", i, h.Slot, h.Score, want)
		}
		if i > 0 && compareHits(hits[i-1], h) >= 0 {
			t.Fatalf("hit %d %v comes after %v", i, h, hits[i-1])
		}
	}
	for i, s := range p.index.Scores(q, slots) {
		if s != hits[i].Score {
			t.Fatalf("Scores of slot %d = %v, Search says %v", slots[i], s, hits[i].Score)
		}
	}
}

// count adds up how many of the true neighbours were found; one that is as good
// as the worst true one, but for rounding, counts.
func (p *pair) count(q []float32, hits, truth []ann.Hit) {
	p.wanted += len(truth)
	if len(truth) == 0 {
		return
	}
	last := truth[len(truth)-1]
	for _, h := range hits {
		v := p.vectors[h.Slot]
		if p.suite.score(q, v) >= last.Score-p.suite.slack(q, v) {
			p.found++
		}
	}
}

func (p *pair) checkRecall(t *testing.T) {
	t.Helper()
	if float64(p.found) < p.suite.least*float64(p.wanted) {
		t.Errorf("found %d of %d neighbours, less than %g", p.found, p.wanted, p.suite.least)
	}
}

func (s *suite) filled(n int) *pair {
	p := s.pair()
	for slot := range uint32(n) {
		p.put(2*slot+1, s.vector()) // gaps: not every slot has a vector
	}
	return p
}

func (s *suite) empty(t *testing.T) {
	p := s.pair()
	p.check(t, s.vector(), 10, nil, ann.Options{})
	p.check(t, s.vector(), 10, bitset.New(100).Set(5), ann.Options{})
	p.delete(3)
	if p.index.Len() != 0 || p.index.Has(3) {
		t.Error("the empty index has something")
	}
	if s := p.index.Scores(s.vector(), []uint32{0, 1 << 20}); len(s) != 2 || s[0] == s[0] || s[1] == s[1] {
		t.Errorf("Scores of slots without vectors = %v, want NaN", s)
	}
	_, _, err := p.index.Search(context.Background(), make([]float32, s.dim+1), 1, nil, ann.Options{})
	if !errors.Is(err, ann.ErrDimension) {
		t.Errorf("a query of another dimension: %v", err)
	}
}

func (s *suite) neighbours(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 500} {
		p := s.filled(n)
		for _, k := range []int{0, 1, 10, n, n + 5} {
			q := s.vector()
			hits := p.check(t, q, k, nil, ann.Options{Workers: 1})
			if again := p.check(t, q, k, nil, ann.Options{Workers: 2}); !slices.Equal(hits, again) {
				t.Errorf("two workers find %v, one %v", again, hits)
			}
		}
		p.checkRecall(t)
	}
}

func (s *suite) filters(t *testing.T) {
	p := s.filled(400)
	for _, share := range []float64{0, 0.005, 0.1, 0.5, 0.97, 1} {
		allow := bitset.New(5000) // longer than the slots
		for slot := range uint(5000) {
			if s.r.Float64() < share {
				allow.Set(slot)
			}
		}
		q := s.vector()
		hits := p.check(t, q, 10, allow, ann.Options{Workers: 1})
		if again := p.check(t, q, 10, allow, ann.Options{Workers: 2}); !slices.Equal(hits, again) {
			t.Errorf("two workers find %v, one %v", again, hits)
		}
	}
	p.check(t, s.vector(), 10, bitset.New(0), ann.Options{})
	p.check(t, s.vector(), 10, &bitset.BitSet{}, ann.Options{})
	p.check(t, s.vector(), 10, bitset.New(10).Set(1).Set(2).Set(9), ann.Options{}) // shorter
	p.checkRecall(t)
}

// Equal vectors have equal scores and come by slot.
func (s *suite) ties(t *testing.T) {
	p := s.pair()
	v := s.vector()
	for _, slot := range s.r.Perm(200) {
		p.put(uint32(slot), v)
	}
	if s.least < 1 {
		p.check(t, v, 5, nil, ann.Options{})
		return
	}
	for i, h := range p.check(t, v, 5, nil, ann.Options{}) {
		if h.Slot != uint32(i) {
			t.Errorf("hit %d of equal ones is slot %d", i, h.Slot)
		}
	}
}

// Numbers for which float32 sums overflow or vanish still have an order.
func (s *suite) large(t *testing.T) {
	p := s.pair()
	for i, scale := range []float32{1, 3e38, -3e38, 1e30, 1e-40, 1e-45} {
		v := make([]float32, s.dim)
		for j := range v {
			v[j] = scale
		}
		p.index.Put(uint32(i), v)
		p.vectors[uint32(i)] = v
	}
	for slot := range uint32(6) {
		q := p.vectors[slot]
		hits, _, err := p.index.Search(context.Background(), q, 6, nil, ann.Options{})
		if err != nil || s.least == 1 && len(hits) != 6 {
			t.Fatalf("Search: %d hits, %v", len(hits), err)
		}
		for i, h := range hits {
			if math.IsNaN(h.Score) || math.IsInf(h.Score, 0) || i > 0 && hits[i-1].Score < h.Score {
				t.Errorf("hit %d of %v", i, hits)
			}
			want := s.score(q, p.vectors[h.Slot])
			if math.Abs(h.Score-want) > 1e-5*math.Abs(want)+1e-5 {
				t.Errorf("slot %d scores %g, want %g", h.Slot, h.Score, want)
			}
		}
	}
}

// Writes of all kinds; memory follows what there is, not what there was.
func (s *suite) churn(t *testing.T) {
	p := s.pair()
	next, most := uint32(0), 0
	for round := range 4000 {
		switch live := slices.Sorted(maps.Keys(p.vectors)); {
		case len(live) > 100 || len(live) > 0 && s.r.IntN(3) == 0:
			p.delete(live[s.r.IntN(len(live))])
		case len(live) > 0 && s.r.IntN(5) == 0:
			p.put(live[s.r.IntN(len(live))], s.vector())
		default:
			next += uint32(s.r.IntN(40))
			p.put(next, s.vector())
			next++
		}
		if p.index.Len() != len(p.vectors) {
			t.Fatalf("Len() = %d, want %d", p.index.Len(), len(p.vectors))
		}
		if round%100 == 0 {
			p.check(t, s.vector(), 10, nil, ann.Options{})
		}
		if round == 1000 {
			most = p.index.Bytes()
		}
	}
	for slot := range next {
		if _, want := p.vectors[slot]; p.index.Has(slot) != want {
			t.Errorf("Has(%d) is not %v", slot, want)
		}
	}
	if got := p.index.Bytes(); got > 2*most+64<<10 {
		t.Errorf("%d bytes after churn, %d before", got, most)
	}
	p.checkRecall(t)
	for slot := range p.vectors {
		p.index.Delete(slot)
	}
	if p.index.Len() != 0 {
		t.Errorf("Len() = %d of an emptied index", p.index.Len())
	}
}

// What was deleted or replaced is not found again.
func (s *suite) forgets(t *testing.T) {
	p := s.filled(130)
	v := s.vector()
	p.put(1, v)
	p.put(1, s.vector())
	p.put(3, v)
	p.delete(3)
	p.delete(3)
	p.check(t, v, 130, nil, ann.Options{})
	p.put(3, v)
	p.check(t, v, 130, nil, ann.Options{})
	p.checkRecall(t)
}

func (s *suite) cancelled(t *testing.T) {
	p := s.filled(100)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if hits, _, err := p.index.Search(ctx, s.vector(), 10, nil, ann.Options{}); !errors.Is(err, context.Canceled) || hits != nil {
		t.Errorf("a cancelled search gives %v, %v", hits, err)
	}
}

// Readers side by side and a writer, under the lock that the owner holds. Run
// it with -race.
func (s *suite) readers(t *testing.T) {
	p := s.filled(300)
	var mu sync.RWMutex
	var wg sync.WaitGroup
	for range 4 {
		q := s.vector()
		wg.Go(func() {
			for range 20 {
				mu.RLock()
				hits, _, err := p.index.Search(context.Background(), q, 5, nil, ann.Options{Workers: 2})
				p.index.Scores(q, []uint32{1, 2, 3})
				mu.RUnlock()
				if err != nil || s.least == 1 && len(hits) != 5 {
					t.Errorf("a reader found %d, %v", len(hits), err)
				}
			}
		})
	}
	for i := range uint32(50) {
		v := s.vector()
		mu.Lock()
		p.index.Delete(2*i + 1)
		p.index.Put(1000+i, v)
		mu.Unlock()
	}
	wg.Wait()
}
