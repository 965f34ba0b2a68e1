package ann_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// A set is vectors and queries with their true neighbours.
type set struct {
	name    string
	metric  memory.Metric
	rows    [][]float32
	queries [][]float32
	truth   [][]ann.Hit
}

const setK = 10

// find makes the truth of a set.
func (s *set) find(tb testing.TB) {
	tb.Helper()
	f := ann.NewFlat(len(s.rows[0]), s.metric)
	for i, v := range s.rows {
		f.Put(uint32(i), v)
	}
	for _, q := range s.queries {
		hits, _, err := f.Search(context.Background(), q, setK, nil, ann.Options{})
		if err != nil {
			tb.Fatal(err)
		}
		s.truth = append(s.truth, hits)
	}
}

// minilm is the paragraphs of data/embeddings/minilm below $ENGRAM_DATA: real
// text. 500 of them are queries.
func minilm(tb testing.TB) *set {
	tb.Helper()
	dir := os.Getenv("ENGRAM_DATA")
	if dir == "" {
		tb.Skip("ENGRAM_DATA is not set")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "embeddings", "minilm", "wiki20k_minilm_f16.npy"))
	if err != nil {
		tb.Skip(err)
	}
	head := int(binary.LittleEndian.Uint16(raw[8:]))
	raw = raw[10+head:]
	s := &set{name: "minilm", metric: memory.MetricCosine}
	for i := 0; i < len(raw); i += 2 * 384 {
		v := make([]float32, 384)
		for j := range v {
			v[j] = half(binary.LittleEndian.Uint16(raw[i+2*j:]))
		}
		if i/768%40 == 7 {
			s.queries = append(s.queries, v)
		} else {
			s.rows = append(s.rows, v)
		}
	}
	s.find(tb)
	return s
}

// half is a float16, of which there are neither infinities nor NaN here.
func half(h uint16) float32 {
	v := float32(math.Ldexp(float64(h&0x3ff), -24))
	if e := int(h >> 10 & 31); e > 0 {
		v = float32(math.Ldexp(float64(h&0x3ff|0x400), e-25))
	}
	if h>>15 != 0 {
		v = -v
	}
	return v
}

// clustered is made up of topics, in them groups, in them handfuls, and noise: the
// nearest, tenth and a random one are about as far away as in real text, with
// cosines of some .7, .56 and .02. It gives one vector after the other.
func clustered(n, dim int) func() []float32 {
	r := rand.New(rand.NewPCG(uint64(n), uint64(dim)))
	of := func(n int) [][]float32 {
		all := make([][]float32, n)
		for i := range all {
			all[i] = random(r, dim)
			vector.Normalize(all[i], all[i])
		}
		return all
	}
	topics, groups, handfuls := of(200), of(max(50, n/100)), of(max(200, n/5))
	return func() []float32 {
		h := int(float64(len(handfuls)) * math.Pow(r.Float64(), 1.3)) // few are large, most small
		group := h * 7919 % len(groups)
		topic := group * 31 % len(topics)
		v, noise := random(r, dim), float32((.45+.25*r.Float64())/math.Sqrt(float64(dim)))
		for i := range v {
			v[i] = .5*topics[topic][i] + .5*groups[group][i] + .45*handfuls[h][i] + noise*v[i]
		}
		vector.Normalize(v, v)
		return v
	}
}

func clusteredSet(tb testing.TB, n, dim, queries int) *set {
	tb.Helper()
	next := clustered(n, dim)
	s := &set{name: fmt.Sprintf("clustered%dx%d", n, dim), metric: memory.MetricCosine}
	for range n {
		s.rows = append(s.rows, next())
	}
	for range queries {
		s.queries = append(s.queries, next())
	}
	s.find(tb)
	return s
}

// built is a graph of the set.
func (s *set) built(tb testing.TB) *ann.Graph {
	tb.Helper()
	began := time.Now()
	g := ann.NewGraph(len(s.rows[0]), s.metric)
	for i, v := range s.rows {
		g.Put(uint32(i), v)
		if g.Tail() > 10_000 {
			if err := g.Settle(context.Background(), 2); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := g.Settle(context.Background(), 2); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%s: built in %v, %d bytes a row: %s", s.name, time.Since(began).Round(time.Millisecond), g.Bytes()/len(s.rows), ann.Describe(g))
	return g
}

// recall is which part of the true neighbours a search finds, and how many it
// compares for a query.
func (s *set) recall(tb testing.TB, g *ann.Graph, o ann.Options) (recall, compared float64) {
	tb.Helper()
	found, total := 0, 0
	for i, q := range s.queries {
		hits, n, err := g.Search(context.Background(), q, setK, nil, o)
		if err != nil {
			tb.Fatal(err)
		}
		total += n
		for _, h := range hits {
			if h.Score >= s.truth[i][setK-1].Score {
				found++
			}
		}
	}
	return float64(found) / float64(setK*len(s.queries)), float64(total) / float64(len(s.queries))
}

// BenchmarkGraph gives recall and queries a second of one goroutine for several
// efforts, each query at its quickest, since others may use the machine: of MiniLM's paragraphs where $ENGRAM_DATA has them, and of clusters,
// whose size $ENGRAM_ANN_ROWS gives, such as 100000x768.
func BenchmarkGraph(b *testing.B) {
	n, d := sizeAsked()
	for name, of := range map[string]func() *set{
		"minilm":    func() *set { return minilm(b) },
		"clustered": func() *set { return clusteredSet(b, n, d, 500) },
	} {
		b.Run(name, func(b *testing.B) {
			s := of()
			g := s.built(b)
			for _, effort := range []int{10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512} {
				o := ann.Options{Workers: 1, Walk: true, Effort: effort}
				recall, compared := s.recall(b, g, o)
				b.Run(strconv.Itoa(effort), func(b *testing.B) {
					best := slices.Repeat([]time.Duration{time.Hour}, len(s.queries))
					for b.Loop() {
						for i, q := range s.queries {
							began := time.Now()
							if _, _, err := g.Search(context.Background(), q, setK, nil, o); err != nil {
								b.Fatal(err)
							}
							best[i] = min(best[i], time.Since(began))
						}
					}
					total := time.Duration(0)
					for _, t := range best {
						total += t
					}
					b.ReportMetric(recall, "recall")
					b.ReportMetric(compared, "compared")
					b.ReportMetric(float64(len(s.queries))/total.Seconds(), "best-qps")
				})
				if recall > .9995 {
					break
				}
			}
		})
	}
}

// sizeAsked is what $ENGRAM_ANN_ROWS says.
func sizeAsked() (n, dim int) {
	size := os.Getenv("ENGRAM_ANN_ROWS")
	if size == "" {
		size = "20000x768"
	}
	rows, numbers, _ := strings.Cut(size, "x")
	n, _ = strconv.Atoi(rows)
	dim, _ = strconv.Atoi(numbers)
	return n, dim
}

// TestLarge builds one graph of the size that $ENGRAM_ANN_ROWS gives, keeping
// the vectors nowhere else, and says what it found on the way: rates, memory,
// recall, what saving and loading take, filters.
func TestLarge(t *testing.T) {
	if os.Getenv("ENGRAM_ANN_ROWS") == "" {
		t.Skip("ENGRAM_ANN_ROWS is not set")
	}
	n, dim := sizeAsked()
	next := clustered(n, dim)
	g := ann.NewGraph(dim, memory.MetricCosine)
	var putting, linking, longest time.Duration
	for slot := range uint32(n) {
		v := next()
		began := time.Now()
		g.Put(slot, v)
		putting += time.Since(began)
		if g.Tail() < 4096 && slot < uint32(n-1) {
			continue
		}
		began = time.Now()
		for p := g.Plan(); p != nil; p = g.Plan() {
			for !p.Step(2) {
			}
			placing := time.Now()
			g.Place(p)
			longest = max(longest, time.Since(placing))
		}
		linking += time.Since(began)
	}
	t.Logf("%dx%d: put in %v, linked in %v, the longest Place %v; %d bytes a row; %s", n, dim, putting, linking, longest, g.Bytes()/n, ann.Describe(g))
	s := &set{metric: memory.MetricCosine}
	for range 300 {
		q := next()
		hits, _, err := g.Search(context.Background(), q, setK, nil, ann.Options{Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		s.queries, s.truth = append(s.queries, q), append(s.truth, hits)
	}
	for _, effort := range []int{0, 10, 16, 24, 32, 48, 64, 96, 128, 192} {
		best := time.Hour
		o := ann.Options{Workers: 1, Effort: effort}
		recall, compared := s.recall(t, g, o)
		for range 5 {
			began := time.Now()
			s.recall(t, g, o)
			best = min(best, time.Since(began))
		}
		t.Logf("effort %d: recall %.4f, %.0f compared, %.0f a second", effort, recall, compared, float64(len(s.queries))/best.Seconds())
	}
	s.filtered(t, g, n)
	snapshot(t, g, dim)
}

// filtered says what filters of several widths take, any slots or those that are
// nearest or farthest.
func (s *set) filtered(t *testing.T, g *ann.Graph, n int) {
	slots := make([]uint32, n)
	for i := range slots {
		slots[i] = uint32(i)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, share := range []float64{.9, .5, .2, .1, .01, .001, .0001} {
		for _, kind := range []string{"any", "near", "far"} {
			found, wanted, worst, compared := 0, 0, time.Duration(0), 0
			for _, q := range s.queries[:8] {
				allow := filter(kind, share, q, g, slots, r)
				truth, _, _ := g.Search(context.Background(), q, setK, allow, ann.Options{Exact: true})
				took := time.Hour
				var hits []ann.Hit
				for range 3 {
					began := time.Now()
					hits, compared, _ = g.Search(context.Background(), q, setK, allow, ann.Options{})
					took = min(took, time.Since(began))
				}
				worst = max(worst, took)
				wanted += len(truth)
				for _, h := range hits {
					if h.Score >= truth[len(truth)-1].Score {
						found++
					}
				}
			}
			t.Logf("allowed %g, %s: recall %.4f, the slowest %v, compared %d", share, kind, float64(found)/float64(wanted), worst, compared)
		}
	}
}

// snapshot says what saving and loading take.
func snapshot(t *testing.T, g *ann.Graph, dim int) {
	name := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := errors.Join(g.Save(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("saved in %v", time.Since(began))
	m := mapped(t, name)
	began = time.Now()
	if err := g.Adopt(m); err != nil {
		t.Fatal(err)
	}
	t.Logf("adopted in %v: %d bytes a row", time.Since(began), g.Bytes()/g.Len())
	began = time.Now()
	if _, err := ann.LoadGraph(mapped(t, name), dim, memory.MetricCosine); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %v", time.Since(began))
}
