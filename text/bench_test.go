package text

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"
)

const benchDocs = 100_000

var benchIndex = sync.OnceValue(func() *Index { return indexed(new(testing.B), benchDocs) })

func BenchmarkAnalyze(b *testing.B) {
	for _, words := range []int{24, 80} {
		b.Run(fmt.Sprintf("words=%d", words), func(b *testing.B) {
			c, a := newCorpus(2), analyzer(b, "en")
			docs := make([]string, 5000)
			for i := range docs {
				docs[i] = c.text(words)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.Analyze("", docs[i%len(docs)])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
		})
	}
}

func BenchmarkPut(b *testing.B) {
	c, a := newCorpus(2), analyzer(b, "en")
	docs := make([]Document, 20_000)
	for i := range docs {
		docs[i] = a.Analyze("", c.passage())
	}
	for _, replace := range []bool{false, true} {
		b.Run(fmt.Sprintf("replace=%v", replace), func(b *testing.B) {
			x := NewIndex(Params{})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				doc := uint32(i)
				if replace {
					doc %= uint32(len(docs))
				}
				x.Put(doc, docs[i%len(docs)])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
		})
	}
}

// BenchmarkSearch asks questions of 100,000 passages, with all documents allowed and with shares of them.
func BenchmarkSearch(b *testing.B) {
	x, a, c := benchIndex(), analyzer(b, "en"), newCorpus(3)
	queries := make([]Query, 1000)
	for i := range queries {
		queries[i] = a.Query(c.question())
	}
	for _, limit := range []int{10, 100} {
		for _, share := range []float64{-1, 1, 0.5, 0.2, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001} {
			name := fmt.Sprintf("limit=%d/allow=%v", limit, share)
			if share < 0 {
				name = fmt.Sprintf("limit=%d/all", limit)
			}
			b.Run(name, func(b *testing.B) {
				o := SearchOptions{Limit: limit, Allow: randomAllow(share)}
				took := make([]time.Duration, 0, 1<<16)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					t := time.Now()
					x.Search(queries[i%len(queries)], o)
					took = append(took, time.Since(t))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			})
		}
	}
}

// randomAllow allows a share of the documents, nil below 0.
func randomAllow(share float64) *bitset.BitSet {
	if share < 0 {
		return nil
	}
	rng, allow := rand.New(rand.NewPCG(7, 7)), bitset.New(benchDocs)
	for i := range uint(benchDocs) {
		if rng.Float64() < share {
			allow.Set(i)
		}
	}
	return allow
}

// BenchmarkSearchStops asks for nothing but stop words: the longest lists there are.
func BenchmarkSearchStops(b *testing.B) {
	x, q := benchIndex(), analyzer(b, "en").Query("the of and to in a is that for it")
	for b.Loop() {
		x.Search(q, SearchOptions{})
	}
}

func BenchmarkScores(b *testing.B) {
	x, a, c := benchIndex(), analyzer(b, "en"), newCorpus(3)
	q, docs := a.Query(c.question()), make([]uint32, 100)
	for i := range docs {
		docs[i] = c.rng.Uint32N(benchDocs)
	}
	for b.Loop() {
		x.Scores(q, docs)
	}
}

func BenchmarkSave(b *testing.B) {
	x := benchIndex()
	for b.Loop() {
		if err := x.Save(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	s := x.Stats()
	b.ReportMetric(float64(s.Bytes)/1e6, "MB-memory")
	b.ReportMetric(float64(s.Terms), "terms")
	b.ReportMetric(float64(s.Postings), "postings")
}

func BenchmarkLoad(b *testing.B) {
	var buf bytes.Buffer
	x := benchIndex()
	if err := x.Save(&buf); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(buf.Len()))
	for b.Loop() {
		if _, err := LoadIndex(bytes.NewReader(buf.Bytes()), x.Params()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompact(b *testing.B) {
	x := benchIndex()
	for b.Loop() {
		x.core.compacted()
	}
}
