package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/engramdb/engram/bench/nearest"
	"github.com/engramdb/engram/bench/record"
)

// nearestFlags are of the command nearest alone.
type nearestFlags struct {
	data, cache, rivals string
	n, dim, sentences   int
	burst, rounds       int
}

func (f *nearestFlags) register(s *flag.FlagSet) {
	s.StringVar(&f.data, "data", os.Getenv("ENGRAM_DATA"), "folder of the real sets, ENGRAM_DATA when empty; without one only made-up vectors are compared")
	s.StringVar(&f.cache, "cache", defaultCache(), "folder that is kept: the rivals' virtual environment, encoded sentences")
	s.StringVar(&f.rivals, "rivals", "", "rivals to compare with, commas between them; all when empty, none for ours alone")
	s.IntVar(&f.n, "n", 50_000, "vectors of the made-up set, before -scale")
	s.IntVar(&f.dim, "dim", 768, "dimension of the made-up set")
	s.IntVar(&f.sentences, "sentences", 0, "compare on so many sentences of Wikipedia, too (at most some 600,000; encoded once, 600 a second)")
	s.IntVar(&f.burst, "burst", 100_000, "vectors that are put while others search, at most half of a set")
	s.IntVar(&f.rounds, "rounds", 3, "rounds of the timing; the median counts")
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "bench/scratch/cache"
	}
	return filepath.Join(dir, "engram-bench")
}

// compareNearest compares the vector index with the rivals, set after set.
func compareNearest(ctx context.Context, b *bench) error {
	f := &b.nearest
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return err
	}
	r := &nearest.Report{Machine: b.Machine.String(), Date: b.Date, Says: []string{
		fmt.Sprintf("one thread for searching, two for building; one query a call, or all in one call where that is quicker; median of %d rounds, interleaved; rivals' graphs have M 16 and efConstruction 200", f.rounds),
		"memory is the process's own; engram's vectors, which it compares in the end, lie in a mapped file as in a database, its codes and links in memory",
		fmt.Sprintf("%d queries a set, the ten nearest; seed %d", nearest.QueryCount, b.seed),
	}}
	rivals, err := b.startRivals(ctx, r)
	if err != nil {
		return err
	}
	if b.does(nearestKernels) {
		if err := b.compareKernels(ctx, rivals); err != nil || b.only == nearestKernels {
			return err
		}
	}
	for _, open := range b.nearestSets(ctx) {
		s, err := open()
		if err != nil {
			return err
		}
		before := len(b.Figures)
		one, err := b.oneSet(ctx, s, rivals)
		if err != nil {
			return err
		}
		b.nearestBars(&one)
		if err := b.saveSet(*r, one, b.Figures[before:]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startRivals(ctx context.Context, r *nearest.Report) (*nearest.Rivals, error) {
	var chosen []string
	switch b.nearest.rivals {
	case "none":
		return nil, nil
	case "":
	default:
		chosen = strings.Split(b.nearest.rivals, ",")
	}
	rivals, err := nearest.InstallRivals(ctx, b.nearest.cache, b.scratch, chosen, step)
	if err != nil {
		return nil, err
	}
	r.Missing, r.Left = rivals.Missing, rivals.Left
	return rivals, nil
}

// nearestSets are the sets that were asked for, each made when its turn comes.
func (b *bench) nearestSets(ctx context.Context) []func() (*nearest.Set, error) {
	f := &b.nearest
	var sets []func() (*nearest.Set, error)
	if f.data != "" && b.does("minilm") {
		sets = append(sets, func() (*nearest.Set, error) { return nearest.MiniLM(f.data, b.scratch, b.seed) })
	}
	if f.data != "" && b.does("mnist") {
		sets = append(sets, func() (*nearest.Set, error) { return nearest.Images(f.data, b.scratch, b.seed) })
	}
	if f.data != "" && f.sentences > 0 && b.does("sentences") {
		sets = append(sets, func() (*nearest.Set, error) {
			return nearest.Sentences(ctx, f.data, f.cache, b.scratch, f.sentences, b.seed, step)
		})
	}
	if b.does("clustered") {
		sets = append(sets, func() (*nearest.Set, error) {
			return nearest.Clustered(max(2000, b.n(f.n)), f.dim, b.scratch, b.seed)
		})
	}
	return sets
}

// compareKernels compares the kernels with those of libraries, and saves a page.
func (b *bench) compareKernels(ctx context.Context, rivals *nearest.Rivals) error {
	least := time.Duration(b.scale * float64(100*time.Millisecond))
	r, err := nearest.Kernels(ctx, rivals, b.nearest.rounds, least, step)
	if err != nil {
		return err
	}
	before := len(b.Figures)
	for _, k := range r.Kernels {
		if x, by := k.Bound(); x > 0 {
			name := fmt.Sprintf("%s, %d numbers, in %s", k.Name, k.Dim, k.Where)
			b.Add(record.Figure{Name: name, Value: x, Unit: "x"}, record.AtMost(1.2).Because("%s", by))
		}
	}
	page := r.Markdown(b.Machine.String(), b.Date)
	fmt.Println(page)
	part := *b.Result
	part.Benchmark, part.Figures = "nearest-kernels", b.Figures[before:]
	return b.saveNearest(map[string]string{"nearest-kernels.md": page}, &part)
}

// churnMost is up to how many vectors a set is churned without being asked for: ten times
// half of a million are five million inserts, which take longer than all the rest.
const churnMost = 200_000

// oneSet compares on one set, in all parts or in those that are asked for by name.
func (b *bench) oneSet(ctx context.Context, s *nearest.Set, rivals *nearest.Rivals) (one nearest.SetReport, err error) {
	one.Set = s
	ours := &nearest.Ours{Scratch: b.scratch}
	engines := []nearest.Engine{ours}
	if rivals != nil {
		engines = append(engines, rivals.Engines(s)...)
	}
	parts := b.nearestParts()
	if parts["curves"] || parts["filters"] || parts["snapshot"] {
		keep := func(curves []*nearest.Curve) (err error) {
			one.Curves = curves
			if parts["filters"] {
				if one.Filtered, err = nearest.Filters(ctx, s, ours, byName(engines, curves, "hnswlib"), b.scratch, step); err != nil {
					return err
				}
			}
			if parts["snapshot"] {
				o, err := nearest.Reopen(ctx, ours, b.scratch, step)
				one.Opened = &o
				return err
			}
			return nil
		}
		least := time.Duration(b.scale * float64(100*time.Millisecond))
		if _, err = nearest.Compare(ctx, s, engines, b.nearest.rounds, least, step, keep); err != nil {
			return one, err
		}
	}
	if parts["codes"] {
		if one.Coded, err = nearest.Codes(ctx, s, b.nearest.rounds, step); err != nil {
			return one, err
		}
	}
	if parts["insert"] {
		i, err := nearest.Insert(ctx, s, b.n(b.nearest.burst), step)
		if err != nil {
			return one, err
		}
		one.Inserting = &i
	}
	if parts["churn"] && (s.N <= churnMost || b.namesNearestPart()) {
		c, err := nearest.Churn(ctx, s, step)
		if err != nil {
			return one, err
		}
		one.Churned = &c
	}
	return one, nil
}

// nearestParts are the parts that -only names, or all.
func (b *bench) nearestParts() map[string]bool {
	parts := map[string]bool{}
	named := b.namesNearestPart()
	for _, p := range nearestPartNames {
		parts[p] = !named || b.does(p)
	}
	return parts
}

var nearestPartNames = []string{"curves", "filters", "codes", "insert", "churn", "snapshot"}

// nearestKernels is the part of no set.
const nearestKernels = "kernels"

// namesNearestPart says whether -only names more than sets.
func (b *bench) namesNearestPart() bool {
	return b.only != "" && slices.ContainsFunc(nearestPartNames, b.does)
}

// byName gives the engine of a name that has been built; nil when there is none.
func byName(engines []nearest.Engine, curves []*nearest.Curve, name string) nearest.Engine {
	for i, c := range curves {
		if c.Engine == name && c.Failed == "" {
			return engines[i]
		}
	}
	return nil
}

// nearestBars holds a set's figures against what the project promises.
func (b *bench) nearestBars(s *nearest.SetReport) {
	floats := func(c *nearest.Curve) bool { return strings.HasPrefix(c.Codes, "float32") }
	all := func(*nearest.Curve) bool { return true }
	for _, t := range nearest.Targets {
		if x, best := s.Ratio(t, floats); x > 0 {
			b.Add(record.Figure{Name: fmt.Sprintf("%s, QPS at recall %.2f, by the best on float codes", s.Set.Name, t), Value: x, Unit: "x"}, record.AtLeast(1.2).Because("%s", best))
		}
		if x, best := s.Ratio(t, all); x > 0 {
			b.Add(record.Figure{Name: fmt.Sprintf("%s, QPS at recall %.2f, by the best of all", s.Set.Name, t), Value: x, Unit: "x"}, record.AtLeast(0.8).Because("%s", best))
		}
	}
	b.buildBar(s)
	for _, f := range s.Filtered {
		w := f.Ways[0]
		name := fmt.Sprintf("%s, filter of %g %%, %s", s.Set.Name, f.Share*100, f.Relation)
		b.Add(record.Figure{Name: name + ", recall", Value: w.Recall}, record.AtLeast(0.99))
		b.Millis(name+", p99", w.P99, 0, record.AtMost(15))
	}
	if i := s.Inserting; i != nil {
		b.Add(record.Figure{Name: s.Set.Name + ", not found right after insert", Value: float64(i.Missed), N: i.Asked}, record.AtMost(0))
		b.Add(record.Figure{Name: s.Set.Name + ", burst", Value: i.Put, Unit: "/s", N: i.Burst}, record.AtLeast(10_000))
		b.Millis(s.Set.Name+", search p99 while inserting", i.DuringP99, i.Searches, record.AtMost(float64(i.IdleP99)/1e6+3).Because("idle + 3 ms"))
	}
	if c := s.Churned; c != nil {
		b.Add(record.Figure{Name: s.Set.Name + ", recall lost by churn", Value: c.Fresh - c.Recall, N: c.Rounds}, record.AtMost(0.01))
	}
	if o := s.Opened; o != nil {
		b.Add(record.Figure{Name: s.Set.Name + ", open from a snapshot", Value: o.Took.Seconds(), Unit: "s"}, record.AtMost(2))
	}
}

// buildBar holds our time to build and our memory against the rivals'.
func (b *bench) buildBar(s *nearest.SetReport) {
	best, name := 0.0, ""
	for i, c := range s.Curves {
		graph := c.Engine == "hnswlib" || strings.HasPrefix(c.Engine, "faiss-hnsw")
		if took := c.Built.Took.Seconds(); i > 0 && c.Failed == "" && graph && (best == 0 || took < best) {
			best, name = took, c.Engine
		}
		if c.Engine == "hnswlib" && c.Failed == "" && c.Built.Bytes > 0 {
			x := float64(s.Curves[0].Built.Bytes) / float64(c.Built.Bytes)
			b.Add(record.Figure{Name: s.Set.Name + ", memory by hnswlib's", Value: x, Unit: "x"}, nil)
		}
	}
	if best > 0 {
		b.Add(record.Figure{Name: s.Set.Name + ", build", Value: s.Curves[0].Built.Took.Seconds(), Unit: "s", N: s.Set.N}, record.AtMost(best).Because("%s", name))
	}
}

// saveSet prints a set's page and writes it with its picture and its figures into
// files that have the set's name, so that each set can be of another run.
func (b *bench) saveSet(page nearest.Report, one nearest.SetReport, figures []record.Figure) error {
	name := "nearest-" + one.Set.Name
	files := map[string]string{}
	if len(one.Curves) > 0 {
		one.Picture = name + ".svg"
		files[one.Picture] = nearest.Picture(fmt.Sprintf("%s, %d x %d", one.Set.Name, one.Set.N, one.Set.Dim), one.Curves)
	}
	page.Sets = []nearest.SetReport{one}
	files[name+".md"] = page.Markdown()
	fmt.Println(files[name+".md"])
	part := *b.Result
	part.Benchmark, part.Figures = name, figures
	return b.saveNearest(files, &part)
}

// saveNearest writes files and figures into the folder of the results when the run is
// one of record: at its full size, and with all parts.
func (b *bench) saveNearest(files map[string]string, figures *record.Result) error {
	dir := b.results
	if b.scale < 1 || b.namesNearestPart() {
		dir = filepath.Join("bench", "scratch", "nearest")
	}
	err := figures.Save(dir) // which makes the folder
	for name, body := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
	}
	step("%s and what belongs to it are in %s", figures.Benchmark, dir)
	return err
}
