package nearest

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
)

func made(t *testing.T) *Set {
	t.Helper()
	s, err := Clustered(4000, 32, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func silent(string, ...any) {}

func TestClusteredLooksLikeText(t *testing.T) {
	s, err := Clustered(20000, 256, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Likeness
	if l.Nearest < 0.6 || l.Nearest > 0.8 || l.Tenth < 0.45 || l.Tenth > 0.68 || math.Abs(l.Random) > 0.06 {
		t.Errorf("the nearest, the tenth and any: %+v; real text has .71, .56, .02", l)
	}
}

func TestOursAgainstTheTruth(t *testing.T) {
	s := made(t)
	o := &Ours{Scratch: t.TempDir()}
	curves, err := Compare(context.Background(), s, []Engine{o}, 1, time.Microsecond, silent, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := curves[0]
	t.Logf("%+v", c)
	if c.Failed != "" || c.Points[len(c.Points)-1].Recall < 0.97 || c.Points[0].Each <= 0 {
		t.Errorf("got %+v", c)
	}
	if c.Built.Bytes <= 0 {
		t.Errorf("the index takes %d bytes", c.Built.Bytes)
	}
}

func TestRecallCounts(t *testing.T) {
	s := made(t)
	found := make([][]uint32, s.queries())
	for i, near := range s.Truth {
		for _, h := range near[:5] {
			found[i] = append(found[i], h.ID, h.ID) // one twice is one
		}
	}
	if got := s.recall(s.Queries, s.Truth, found); got != 0.5 {
		t.Errorf("five of ten were found, recall %v", got)
	}
}

func TestFilters(t *testing.T) {
	s := made(t)
	o := &Ours{set: s, index: newIndex(s)}
	for i := range s.N {
		o.index.Put(uint32(i), s.row(i))
	}
	all, err := Filters(context.Background(), s, o, nil, t.TempDir(), silent)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(Selectivities)*len(Relations) {
		t.Fatalf("%d filters", len(all))
	}
	for _, f := range all {
		for _, w := range f.Ways {
			if w.Recall < 0.99 {
				t.Errorf("%g %s: %s has recall %v", f.Share, f.Relation, w.Name, w.Recall)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	s := made(t)
	i, err := Insert(context.Background(), s, 500, silent)
	if err != nil || i.Missed > 0 || i.Burst != 500 {
		t.Errorf("insert: %+v, %v", i, err)
	}
	c, err := Churn(context.Background(), s, silent)
	if err != nil || c.Recall < c.Fresh-0.01 {
		t.Errorf("churn: %+v, %v", c, err)
	}
}

func TestAt(t *testing.T) {
	c := &Curve{Points: []Point{{Recall: 0.9, Each: 1000}, {Recall: 0.96, Each: 400}, {Recall: 0.98, Each: 100}, {Recall: 0.94, Each: 300}, {Recall: 0.93, Each: 1, Block: 500}}}
	if n := len(c.Frontier()); n != 4 {
		t.Errorf("%d points on the frontier", n)
	}
	for _, x := range []struct {
		recall, want float64
		floor        bool
	}{{0.8, 1000, true}, {0.97, 200, false}, {0.96, 400, false}, {0.99, 0, false}} {
		if rate, floor := c.At(x.recall); math.Abs(rate-x.want) > 1 || floor != x.floor {
			t.Errorf("at %v: %v %v, want %v %v", x.recall, rate, floor, x.want, x.floor)
		}
	}
}

func TestReport(t *testing.T) {
	s := made(t)
	curves := []*Curve{
		{Engine: "engram", Points: []Point{{Recall: 0.999, Each: 300}}},
		{Engine: "a", Codes: "float32", Points: []Point{{Recall: 0.995, Each: 100}}},
		{Engine: "b", Failed: "no wheel"},
	}
	r := Report{Machine: "machine: none", Missing: map[string]string{"gone": "no wheel"}, Sets: []SetReport{{Set: s, Curves: curves, Picture: "x.svg", Inserting: &Inserting{Burst: 7}}}}
	md := r.Markdown()
	for _, want := range []string{"machine: none", "gone could not be installed", "| engram |", "> 300", "no wheel", "![", "burst of 7"} {
		if !strings.Contains(md, want) {
			t.Errorf("the report lacks %q:\n%s", want, md)
		}
	}
	if ratio, best := r.Sets[0].Ratio(0.97, func(*Curve) bool { return true }); ratio != 3 || best != "a" {
		t.Errorf("ratio %v by %s", ratio, best)
	}
	if svg := Picture("t", curves); !strings.Contains(svg, ">engram</text>") || strings.Contains(svg, "NaN") {
		t.Errorf("picture: %s", svg)
	}
}

func TestReadHalves(t *testing.T) {
	head := "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 4), }\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), 0)
	b = append(b, head...)
	for _, h := range []uint16{0x3c00, 0xc000, 0x0001, 0x3555} {
		b = binary.LittleEndian.AppendUint16(b, h)
	}
	halves, n, dim, err := readHalves(b)
	if err != nil || n != 1 || dim != 4 {
		t.Fatal(n, dim, err)
	}
	for i, want := range []float32{1, -2, 1.0 / (1 << 24), 0.333251953125} {
		if got := half(binary.LittleEndian.Uint16(halves[2*i:])); got != want {
			t.Errorf("number %d is %v, want %v", i, got, want)
		}
	}
	for cut := range len(b) {
		if _, _, _, err := readHalves(b[:cut]); err == nil {
			t.Errorf("the first %d bytes pass for a file", cut)
		}
	}
}

func TestSentencesOf(t *testing.T) {
	got := sentencesOf("Zebra\n\n   The Zebra is part of the horse\n   family, of the U.S. zoos. Too short. They are known for their black and white stripes.\n\n  Genus:  Equus is no sentence at all here\n")
	want := []string{"The Zebra is part of the horse family, of the U.S. zoos.", "They are known for their black and white stripes."}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
}

// TestRealSets reads the data folder where there is one.
func TestRealSets(t *testing.T) {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		t.Skip("ENGRAM_DATA is not set: real vectors are not read")
	}
	for name, read := range map[string]func(string, string, uint64) (*Set, error){"minilm": MiniLM, "mnist": Images} {
		s, err := read(data, t.TempDir(), 1)
		if err != nil {
			t.Fatal(name, err)
		}
		if s.N+QueryCount < 10000 || s.Likeness.Nearest <= s.Likeness.Tenth {
			t.Errorf("%s: %d vectors, %+v", name, s.N, s.Likeness)
		}
		if s.Metric == memory.MetricCosine && math.Abs(float64(s.self(0))-1) > 1e-5 {
			t.Errorf("%s: a row has length %v", name, s.self(0))
		}
	}
	if texts, err := readSentences(filepath.Join(data, "wikispeedia/plaintext_articles.tar.zst"), 100); err != nil || len(texts) != 100 {
		t.Errorf("%d sentences, %v", len(texts), err)
	}
}
