package text

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/bits-and-blooms/bitset"
	"pgregory.net/rapid"
)

// naive is BM25 as one would write it down: no postings, no slots, everything counted anew for each question.
type naive struct {
	params Params
	docs   map[uint32]Document
}

func (n *naive) search(q Query, allow func(uint32) bool) []Hit {
	var hits []Hit
	for doc := range n.docs {
		if score := n.score(q, doc); score > 0 && allow(doc) {
			hits = append(hits, Hit{doc, score})
		}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Doc, b.Doc))
	})
	return hits
}

func (n *naive) score(q Query, doc uint32) float64 {
	d, ok := n.docs[doc]
	if !ok {
		return 0
	}
	tokens := 0
	for _, d := range n.docs {
		tokens += d.Length
	}
	average, score := float64(tokens)/float64(len(n.docs)), 0.0
	for i, want := range q.Terms {
		df := n.df(want.Text)
		if df == 0 { // as rare as the rarest of its neighbours
			for _, near := range q.near(i) {
				if x := n.df(near.Text); x > 0 && near.Weight > 0 && (df == 0 || x < df) {
					df = x
				}
			}
		}
		f := float64(countOf(d, want.Text))
		for _, near := range q.near(i) {
			f = max(f, near.Weight*float64(countOf(d, near.Text)))
		}
		if f == 0 {
			continue
		}
		norm := n.params.K1 * (1 - n.params.B)
		if tokens > 0 {
			norm += n.params.K1 * n.params.B * float64(d.Length) / average
		}
		idf := math.Log(1 + (float64(len(n.docs))-float64(df)+0.5)/(float64(df)+0.5))
		score += float64(want.Count) * idf * f / (f + norm)
	}
	return score
}

func (n *naive) df(term string) (df int) {
	for _, d := range n.docs {
		if countOf(d, term) > 0 {
			df++
		}
	}
	return df
}

func countOf(d Document, term string) int {
	for _, t := range d.Terms {
		if t.Text == term {
			return t.Count
		}
	}
	return 0
}

var (
	someTerm = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "_the", "東京", "🦦"})
	someDoc  = rapid.OneOf(rapid.Uint32Range(0, 40), rapid.Uint32Range(0, 40), rapid.Uint32Range(0, 40), rapid.Uint32())
	document = rapid.Custom(func(t *rapid.T) Document {
		counts := rapid.MapOfN(someTerm, rapid.IntRange(1, 300), 0, 6).Draw(t, "terms")
		var d Document
		for text, n := range counts {
			d.Terms = append(d.Terms, Term{text, n})
			d.Length += n
		}
		slices.SortFunc(d.Terms, func(a, b Term) int { return cmp.Compare(a.Text, b.Text) })
		return d
	})
	someQuery = rapid.Custom(func(t *rapid.T) Query {
		var q Query
		for _, text := range rapid.SliceOfNDistinct(someTerm, 0, 5, rapid.ID).Draw(t, "query") {
			q.Terms = append(q.Terms, Term{text, rapid.IntRange(1, 3).Draw(t, "count")})
			var near []Near
			for _, text := range rapid.SliceOfNDistinct(someTerm, 0, 3, rapid.ID).Draw(t, "near") {
				near = append(near, Near{text, rapid.Float64Range(0.01, 0.99).Draw(t, "weight")})
			}
			if rapid.Bool().Draw(t, "said") {
				q.Near = append(q.Near, near)
			}
		}
		return q
	})
)

// TestIndexAgainstNaive drives an index and the naive one through the same changes and compares all that they answer;
// now and then the index goes through a snapshot or is compacted, which must change nothing.
func TestIndexAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{K1: rapid.SampledFrom([]float64{-1, 0, 0.5, 1.2, 3}).Draw(t, "k1"), B: rapid.SampledFrom([]float64{-1, 0, 0.3, 1}).Draw(t, "b")}
		x := NewIndex(p)
		n := &naive{x.Params(), map[uint32]Document{}}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				doc, d := someDoc.Draw(t, "doc"), document.Draw(t, "document")
				x.Put(doc, d)
				n.docs[doc] = d
			},
			"delete": func(t *rapid.T) {
				doc := someDoc.Draw(t, "doc")
				x.Delete(doc)
				delete(n.docs, doc)
			},
			"compact":  func(*rapid.T) { x.Compact() },
			"snapshot": func(t *rapid.T) { x = reloaded(t, x) },
			"search": func(t *rapid.T) {
				q := someQuery.Draw(t, "query")
				same(t, x.Search(q, SearchOptions{}), n.search(q, func(uint32) bool { return true }))
			},
			"filtered": func(t *rapid.T) {
				q, allow := someQuery.Draw(t, "query"), &bitset.BitSet{}
				for _, doc := range rapid.SliceOf(rapid.UintRange(0, 60)).Draw(t, "allow") {
					allow.Set(doc)
				}
				want := n.search(q, func(doc uint32) bool { return allow.Test(uint(doc)) })
				limit := rapid.IntRange(1, 5).Draw(t, "limit")
				same(t, x.Search(q, SearchOptions{Limit: limit, Allow: allow}), want[:min(limit, len(want))])
			},
			"": func(t *rapid.T) {
				if s := x.Stats(); s.Docs != len(n.docs) {
					t.Fatalf("%d documents, want %d", s.Docs, len(n.docs))
				}
			},
		})
	})
}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

// same compares hits: the documents and their order exactly where scores tell them apart by more than rounding does.
func same(t fatal, got, want []Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	for i := range got {
		if math.Abs(got[i].Score-want[i].Score) > 1e-9 {
			t.Fatalf("hit %d is %v, want %v", i, got[i], want[i])
		}
		if i > 0 && (got[i].Score > got[i-1].Score || got[i].Score == got[i-1].Score && got[i].Doc <= got[i-1].Doc) {
			t.Fatalf("hits %v and %v are out of order", got[i-1], got[i])
		}
		tied := i > 0 && want[i-1].Score-want[i].Score < 1e-9 || i+1 < len(want) && want[i].Score-want[i+1].Score < 1e-9
		if !tied && i+1 < len(want) && got[i].Doc != want[i].Doc {
			t.Fatalf("hit %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func reloaded(t fatal, x *Index) *Index {
	t.Helper()
	y, err := LoadIndex(bytes.NewReader(saved(t, x)), x.Params())
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return y
}

func saved(t fatal, x *Index) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := x.Save(&buf); err != nil {
		t.Fatalf("save: %v", err)
	}
	return buf.Bytes()
}

// churned returns an index of many windows and blocks through which documents have come and gone, and a fresh one of
// what is left, put in another order.
// Those who only ask share one, through asked.
func churned(t testing.TB) (x, fresh *Index, questions []Query) {
	c, a := newCorpus(11), analyzer(t, "en")
	x, fresh = NewIndex(Params{}), NewIndex(Params{})
	left := map[uint32]Document{}
	for range 20_000 {
		doc := c.rng.Uint32N(9_000)
		if c.rng.IntN(5) == 0 {
			x.Delete(doc)
			delete(left, doc)
		} else {
			d := a.Analyze("otter", c.text(10+c.rng.IntN(20)))
			x.Put(doc, d)
			left[doc] = d
		}
		switch c.rng.IntN(50) { // let terms settle after few deaths and after many
		case 0:
			x.Search(a.Query(c.question()), SearchOptions{})
		case 1, 2, 3, 4:
			x.Search(a.Query("otter"), SearchOptions{Limit: 1})
		}
	}
	for doc, d := range left { // in no order at all
		fresh.Put(doc, d)
	}
	for i := range 200 {
		q := a.Query("otter " + c.question())
		if i%2 == 0 { // widened, but for its last term
			for range q.Terms[1:] {
				var near []Near
				for j, t := range a.Query(c.question()).Terms {
					near = append(near, Near{t.Text, 0.8 / float64(j+1)})
				}
				q.Near = append(q.Near, near)
			}
		}
		questions = append(questions, q)
	}
	return x, fresh, questions
}

var asked = sync.OnceValues(func() (*Index, []Query) {
	x, _, questions := churned(new(testing.B))
	return x, questions
})

// TestChurn: scores after any history are those of an index that never knew it, to the last bit.
func TestChurn(t *testing.T) {
	x, fresh, questions := churned(t)
	if s, f := x.Stats(), fresh.Stats(); s.Docs != f.Docs || s.Tokens != f.Tokens || s.Dead > maxDeadShare {
		t.Fatalf("stats %+v, fresh %+v", s, f)
	}
	loaded := reloaded(t, x)
	for _, q := range questions {
		want := fresh.Search(q, SearchOptions{Limit: 50})
		for name, y := range map[string]*Index{"churned": x, "loaded": loaded} {
			if got := y.Search(q, SearchOptions{Limit: 50}); !slices.Equal(got, want) {
				t.Fatalf("%s: %v\n%v, want\n%v", name, q, got, want)
			}
		}
	}
	x.Compact()
	if s, f := x.Stats(), fresh.Stats(); s.Postings != f.Postings || s.Terms != f.Terms || s.Dead != 0 {
		t.Fatalf("compacted %+v, fresh %+v", s, f)
	}
	for _, q := range questions {
		if got, want := x.Search(q, SearchOptions{}), fresh.Search(q, SearchOptions{}); !slices.Equal(got, want) {
			t.Fatalf("compacted: %v, want %v", got, want)
		}
	}
}

// TestFilters: whatever way a search takes through a filter, it finds what a search without one finds, less what the
// filter forbids.
func TestFilters(t *testing.T) {
	x, questions := asked()
	t.Run("mixed", func(t *testing.T) { filters(t, x, questions) })
	y := ordered(t)
	t.Run("in order", func(t *testing.T) { filters(t, y, questions) })
	t.Run("in order, loaded", func(t *testing.T) { filters(t, reloaded(t, y), questions) })
	y.Compact()
	t.Run("in order, compacted", func(t *testing.T) { filters(t, y, questions) })
	if !x.core.mixed || y.core.mixed || reloaded(t, y).core.mixed {
		t.Error("an index does not know whether its documents are in order")
	}
}

// ordered is an index of documents in order, with gaps; some of them are deleted.
func ordered(tb testing.TB) *Index {
	c, a, x := newCorpus(4), analyzer(tb, "en"), NewIndex(Params{})
	rng := rand.New(rand.NewPCG(6, 6))
	for doc := uint32(0); doc < 9_000; doc += 1 + rng.Uint32N(3)*rng.Uint32N(2) {
		x.Put(doc, a.Analyze("", c.passage()))
	}
	x.Put(1<<31, a.Analyze("", c.passage())) // far beyond the others
	for range 300 {
		x.Delete(rng.Uint32N(9_000))
	}
	return x
}

func filters(t *testing.T, x *Index, questions []Query) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, share := range []float64{0, 0.0002, 0.003, 0.007, 0.02, 0.1, 0.4, 0.99, 1} {
		allow := &bitset.BitSet{}
		for doc := range uint(9_000) {
			if rng.Float64() < share {
				allow.Set(doc)
			}
		}
		for _, limit := range []int{1, 10, 300} {
			ways := map[breadth]int{}
			for _, q := range questions[:40] {
				var want []Hit
				for _, h := range x.Search(q, SearchOptions{Limit: 1 << 20}) {
					if allow.Test(uint(h.Doc)) && len(want) < limit {
						want = append(want, h)
					}
				}
				if got := x.Search(q, SearchOptions{Limit: limit, Allow: allow}); !slices.Equal(got, want) {
					t.Fatalf("share %v, limit %d: %v, want %v", share, limit, got, want)
				}
				ways[(&search{core: x.core, allow: allow}).breadth()]++
			}
			t.Logf("share %v, limit %d: ways %v", share, limit, ways)
		}
	}
}

func TestFloor(t *testing.T) {
	x, questions := asked()
	for _, q := range questions {
		all := x.Search(q, SearchOptions{Limit: 30})
		for _, h := range all {
			want := slices.Clone(all)
			want = slices.DeleteFunc(want, func(o Hit) bool { return o.Score < h.Score })
			if got := x.Search(q, SearchOptions{Limit: 30, Floor: h.Score}); !slices.Equal(got, want) {
				t.Fatalf("floor %v: %v, want %v", h.Score, got, want)
			}
		}
	}
}

// TestScoresAndExplain: both say what Search says.
func TestScoresAndExplain(t *testing.T) {
	x, questions := asked()
	for _, q := range questions {
		hits := x.Search(q, SearchOptions{Limit: 40})
		docs := []uint32{1 << 31}
		for i := len(hits) - 1; i >= 0; i-- {
			docs = append(docs, hits[i].Doc, hits[i].Doc)
		}
		scores := x.Scores(q, docs)
		if scores[0] != 0 {
			t.Fatal("a score for a document that is not there")
		}
		for i, h := range hits {
			at := 1 + 2*(len(hits)-1-i)
			if scores[at] != h.Score || scores[at+1] != h.Score {
				t.Fatalf("scores %v and %v, want %v", scores[at], scores[at+1], h.Score)
			}
			sum := 0.0
			for _, part := range x.Explain(q, h.Doc) {
				if part.Count < 1 || part.Docs < 1 && part.By == "" || part.Score <= 0 {
					t.Fatalf("part %+v", part)
				}
				sum += part.Score
			}
			if math.Abs(sum-h.Score) > 1e-9 {
				t.Fatalf("parts add up to %v, want %v", sum, h.Score)
			}
		}
	}
	if parts := x.Explain(questions[0], 1<<31); parts != nil {
		t.Fatalf("parts of a document that is not there: %v", parts)
	}
}

// TestConcurrent searches while documents come and go and snapshots are taken; the race detector looks on. Documents
// below 100 never change, so every search must find them all.
func TestConcurrent(t *testing.T) {
	a, x := analyzer(t, "en"), NewIndex(Params{})
	for doc := range uint32(100) {
		x.Put(doc, a.Analyze("", "otter swims"))
	}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range uint64(2) {
		writers.Go(func() {
			c := newCorpus(w)
			for range 700 {
				doc := 1000 + c.rng.Uint32N(100)
				if c.rng.IntN(3) == 0 {
					x.Delete(doc)
				} else {
					x.Put(doc, a.Analyze("", "swims "+c.text(8)))
				}
			}
		})
		readers.Go(func() {
			q := a.Query("otters swimming")
			for {
				select {
				case <-stop:
					return
				default:
				}
				found := 0
				for _, h := range x.Search(q, SearchOptions{Limit: 500}) {
					if h.Doc < 100 {
						found++
					}
				}
				if found != 100 {
					t.Errorf("%d of the documents that never change, want 100", found)
					return
				}
				x.Scores(q, []uint32{3, 1003})
				x.Explain(q, 3)
				x.Stats()
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if s := reloaded(t, x).Stats(); s.Docs < 100 {
				t.Errorf("%d documents in a snapshot, want at least 100", s.Docs)
				return
			}
			x.Compact()
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestEmptyIndex(t *testing.T) {
	x := NewIndex(Params{})
	if hits := x.Search(Query{Terms: []Term{{"a", 1}}}, SearchOptions{}); hits != nil {
		t.Fatalf("hits %v", hits)
	}
	x.Delete(7)
	x.Compact()
	if s := reloaded(t, x).Stats(); s.Docs != 0 || s.Terms != 0 || s.Dead != 0 {
		t.Fatalf("stats %+v", s)
	}
	// What 10,000 closed spaces cost is what the collector counts, not what Stats claims.
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	many := make([]*Index, 1000)
	for i := range many {
		many[i] = NewIndex(Params{})
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(many)); each >= 1024 {
		t.Errorf("an empty index takes %d bytes, want less than 1024", each)
	}
	runtime.KeepAlive(many)
}

// TestStatsBytes compares what Stats says of memory with what the collector says.
func TestStatsBytes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := indexed(t, 5000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	said, is := float64(x.Stats().Bytes), float64(after.HeapAlloc)-float64(before.HeapAlloc)
	t.Logf("said %.0f, is %.0f", said, is)
	if said < 0.6*is || said > 1.5*is {
		t.Errorf("Stats says %.0f bytes, the heap grew by %.0f", said, is)
	}
	runtime.KeepAlive(x)
}

// TestPostingsSize keeps the record of a term on one cache line.
func TestPostingsSize(t *testing.T) {
	if size := unsafe.Sizeof(postings{}); size > 64 {
		t.Errorf("postings take %d bytes, want at most 64", size)
	}
}

// TestDocSlots compares the table with a map, over near and far numbers.
func TestDocSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s docSlots
		want := map[uint32]uint32{}
		numbers := rapid.OneOf(rapid.Uint32Range(0, 200), rapid.Uint32Range(0, 2000), rapid.Uint32())
		for i, doc := range rapid.SliceOfN(numbers, 20, 300).Draw(t, "docs") {
			if old, ok := s.get(doc); ok != (want[doc] != 0) || ok && old != want[doc] {
				t.Fatalf("document %d is at %d %v, want %d", doc, old, ok, want[doc])
			}
			if i%3 == 2 {
				s.delete(doc)
				delete(want, doc)
			} else {
				want[doc] = uint32(i + 1)
				s.set(doc, uint32(i+1), len(want))
			}
		}
		for doc, slot := range want {
			if got, ok := s.get(doc); !ok || got != slot {
				t.Fatalf("document %d is at %d %v, want %d", doc, got, ok, slot)
			}
		}
	})
}

// TestCursor: seek finds what a walk finds, from anywhere.
func TestCursor(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, step := range []uint32{1, 3, 100, 100_000} {
		var p postings
		var slots []uint64
		slot := uint32(0)
		for range 1000 {
			slot += 1 + rng.Uint32N(step)
			p.add(slot, 1+rng.Uint32N(3)*rng.Uint32N(200))
			slots = append(slots, uint64(slot))
		}
		for range 500 {
			var c cursor
			c.begin(&p)
			for target := uint64(0); c.slot != noSlot; target += rng.Uint64N(uint64(slot) / 4) {
				before := c.slot
				c.seek(target)
				i, _ := slices.BinarySearch(slots, max(target, before))
				want := uint64(noSlot)
				if i < len(slots) {
					want = slots[i]
				}
				if c.slot != want {
					t.Fatalf("seek %d from %d: %d, want %d", target, before, c.slot, want)
				}
			}
		}
	}
}

func ExampleIndex() {
	en, err := NewAnalyzer("en")
	if err != nil {
		panic(err)
	}
	x := NewIndex(Params{Analysis: en.Version()})
	x.Put(1, en.Analyze("", "Ada's otters swam in Zürich."))
	x.Put(2, en.Analyze("", "Nothing swims here, said Ada."))
	for _, h := range x.Search(en.Query("an otter swimming in zurich"), SearchOptions{Limit: 2}) {
		fmt.Printf("%d %.3f\n", h.Doc, h.Score)
	}
	// Output:
	// 1 0.654
	// 2 0.304
}
