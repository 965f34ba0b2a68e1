package evidence

import (
	"context"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"

	"github.com/engramdb/engram/embed"
	_ "github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/text"
)

// variant is a recipe, or one with a part taken out.
type variant struct {
	name    string
	blend   graph.Blend
	options graph.Options
}

// nothing is a blend of likeness alone.
var nothing = graph.Blend{Links: math.SmallestNonzeroFloat64}

func variants() []variant {
	without := func(name string, change func(*variant)) variant {
		v := variant{name: name, blend: graph.DefaultBlend, options: graph.Options{Flows: graph.DefaultFlows()}}
		change(&v)
		return v
	}
	flow := func(kind string, f graph.Flow) func(*variant) {
		return func(v *variant) { v.options.Flows[kind] = f }
	}
	return []variant{
		without("likeness alone", func(v *variant) { v.blend = nothing }),
		without("with links", func(v *variant) { v.blend = graph.Blend{Links: 1} }),
		without("all", func(*variant) {}),
		without("all but links", func(v *variant) { v.blend.Links = 0 }),
		without("all but next", flow(graph.TypeNext, graph.Flow{})),
		without("all but answer", flow(graph.TypeAnswer, graph.Flow{})),
		without("all but mentions", flow(graph.TypeMentions, graph.Flow{})),
		without("all but people links", flow(graph.TypePeople, graph.Flow{})),
		without("all but stream", func(v *variant) { v.blend.Stream = 0 }),
		without("all but named", func(v *variant) { v.blend.Named = 0 }),
		without("all but people", func(v *variant) { v.blend.People = 0 }),
		without("all but asks", func(v *variant) { v.blend.Asks = 0 }),
		without("one hop", func(v *variant) { v.options.Hops = 1 }),
		without("two hops", func(v *variant) { v.options.Hops = 2 }),
		without("four hops", func(v *variant) { v.options.Hops = 4 }),
		without("decay 0.4", func(v *variant) { v.options.Decay = 0.4 }),
		without("decay 0.6", func(v *variant) { v.options.Decay = 0.6 }),
		without("fan sqrt", func(v *variant) { v.options.Fan = graph.FanSqrt }),
		without("fan log", func(v *variant) { v.options.Fan = graph.FanLog }),
	}
}

// TestEvidence prints the table of DESIGN.md and holds the recipe to what it
// promises.
func TestEvidence(t *testing.T) {
	dir := os.Getenv("ENGRAM_DATA")
	if dir == "" {
		t.Skip("ENGRAM_DATA is not set: point it to the folder of test data")
	}
	locomo, err := readLocomo(dir)
	if err != nil {
		t.Fatal(err)
	}
	hotpot, err := readHotpot(dir)
	if err != nil {
		t.Fatal(err)
	}
	var spaces []*space
	for _, c := range append(slices.Clone(locomo), hotpot) {
		s, err := newSpace(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d memories, links by rule %v", c.name, len(c.texts), s.by)
		spaces = append(spaces, s)
	}
	legs := []string{"words"}
	if !testing.Short() {
		embedAll(t, append(slices.Clone(locomo), hotpot))
		legs = append(legs, "words and model")
	}
	for _, leg := range legs {
		measure(t, leg, spaces)
	}
}

func measure(t *testing.T, leg string, spaces []*space) {
	t.Logf("%-22s %-30s %-30s %-18s %s", leg, "LoCoMo R@5 R@10 R@20 in_2000", "  1-3: R@10   4-5: R@10", "one piece R@10", "HotpotQA R@5 (bridge, comparison)")
	var base *tally
	for _, v := range variants() {
		y := newTally()
		for i, s := range spaces {
			for j := range s.questions {
				y.add(i, s, &s.questions[j], answer(t, s, &s.questions[j], v, leg != "words"))
			}
		}
		t.Logf("%-22s %.1f  %.1f  %.1f  %.1f            %.1f  %.1f              %.1f              %.1f (%.1f, %.1f)", v.name, y.mean("R@5"), y.mean("R@10"), y.mean("R@20"),
			y.mean("tokens"), y.mean("1-3"), y.mean("4-5"), y.mean("one"), y.mean("hot"), y.mean("bridge"), y.mean("comparison"))
		if base == nil {
			base = y
		}
		if v.name != "all" {
			continue
		}
		for _, metric := range []string{"R@10", "4-5", "one", "bridge", "comparison"} {
			low, high := gain(base.values[metric], y.values[metric])
			t.Logf("    gain in %s over likeness alone: %.1f [%.1f, %.1f]", metric, y.mean(metric)-base.mean(metric), low, high)
			if low < -1 {
				t.Errorf("%s: %s may lose: the interval begins at %.1f", leg, metric, low)
			}
		}
		if leg == "words" && (y.mean("R@10") < 78 || y.mean("hot") < 92) || leg != "words" && (y.mean("R@10") < 81 || y.mean("hot") < 93) {
			t.Errorf("%s: R@10 of LoCoMo is %.1f, R@5 of HotpotQA %.1f", leg, y.mean("R@10"), y.mean("hot"))
		}
	}
}

// answer ranks the memories of a space for a question: the recipe as a whole.
func answer(t *testing.T, s *space, q *question, v variant, vectors bool) []int {
	cs := candidates(s.collection, q, vectors)
	seeds := graph.Wake(cs)
	activation, err := s.graph.Activate(context.Background(), seeds, v.options)
	if err != nil {
		t.Fatal(err)
	}
	defer activation.Close()
	for _, n := range rules.NamedBy(q.text, s) {
		i := slices.IndexFunc(cs, func(c graph.Candidate) bool { return c.Node == n })
		if i >= 0 {
			cs[i].Named = true
		} else if v.blend.Named > 0 {
			cs = append(cs, graph.Candidate{Node: n, Score: math.Inf(-1), Named: true})
		}
	}
	people := map[string]bool{}
	s.who.Find(q.text, func(m rules.Mention) bool {
		for name, n := range s.number {
			people[name] = people[name] || slices.Contains(m.Nodes, n)
		}
		return true
	})
	ranked := v.blend.Rank(cs, seeds, activation, graph.Ask{Hints: func(n memory.Ordinal) (graph.Hints, bool) {
		h := graph.Hints{Asks: rules.EndsAsking(s.texts[n-1])}
		if s.streams != nil {
			h.Stream, h.People = s.streams[n-1], people[s.people[n-1]]
		}
		return h, true
	}})
	order := make([]int, len(ranked))
	for i, x := range ranked {
		order[i] = int(x.Node - 1)
	}
	return order
}

// candidates are the best of both legs, best first: their score the mean of the
// z-scores over all of them, or BM25.
func candidates(c *collection, q *question, vectors bool) []graph.Candidate {
	query := c.analyzer.Query(q.text)
	hits := c.words.Search(query, text.SearchOptions{Limit: graph.CandidatesMost})
	var cs []graph.Candidate
	if !vectors {
		for _, h := range hits {
			cs = append(cs, graph.Candidate{Node: memory.Ordinal(h.Doc + 1), Score: h.Score})
		}
		return cs
	}
	cosine := make([]float64, len(c.texts))
	nearest := make([]int, len(c.texts))
	for i, v := range c.vectors {
		for d := range v {
			cosine[i] += float64(v[d]) * float64(q.vector[d])
		}
		nearest[i] = i
	}
	sort.Slice(nearest, func(a, b int) bool { return cosine[nearest[a]] > cosine[nearest[b]] })
	in := map[uint32]bool{}
	for _, h := range hits {
		in[h.Doc] = true
	}
	for _, i := range nearest[:min(len(nearest), graph.CandidatesMost)] {
		in[uint32(i)] = true
	}
	var docs []uint32
	for d := range in {
		docs = append(docs, d)
	}
	slices.Sort(docs)
	near := make([]float64, len(docs))
	for i, d := range docs {
		near[i] = cosine[d]
	}
	a, b := standard(c.words.Scores(query, docs)), standard(near)
	for i, d := range docs {
		cs = append(cs, graph.Candidate{Node: memory.Ordinal(d + 1), Score: (a[i] + b[i]) / 2})
	}
	sort.SliceStable(cs, func(i, j int) bool { return cs[i].Score > cs[j].Score })
	return cs
}

func standard(xs []float64) []float64 {
	mean, square := 0.0, 0.0
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		square += (x - mean) * (x - mean) / float64(len(xs))
	}
	for i, x := range xs {
		xs[i] = (x - mean) / max(math.Sqrt(square), 1e-12)
	}
	return xs
}

// embedAll gives every text and question its vector, kept between runs.
func embedAll(t *testing.T, cs []*collection) {
	kept := filepath.Join(os.TempDir(), "engram-evidence.gob")
	vectors := map[string][]float32{}
	if f, err := os.Open(kept); err == nil {
		_ = gob.NewDecoder(f).Decode(&vectors)
		f.Close()
	}
	m, err := embed.Open("minilm")
	if err != nil {
		t.Fatal(err)
	}
	vector := func(s string) []float32 {
		if vectors[s] == nil {
			v, err := m.Embed(context.Background(), []string{s})
			if err != nil {
				t.Fatal(err)
			}
			vectors[s] = v[0]
		}
		return vectors[s]
	}
	for _, c := range cs {
		for i, s := range c.texts {
			if c.titles != nil {
				s = c.titles[i] + ". " + s
			}
			c.vectors = append(c.vectors, vector(s))
		}
		for i := range c.questions {
			c.questions[i].vector = vector(c.questions[i].text)
		}
	}
	if f, err := os.Create(kept); err == nil {
		_ = gob.NewEncoder(f).Encode(vectors)
		f.Close()
	}
}

// tally keeps what every question scored, in percent.
type tally struct{ values map[string][]float64 }

func newTally() *tally { return &tally{map[string][]float64{}} }

func (y *tally) mean(metric string) float64 {
	sum := 0.0
	for _, x := range y.values[metric] {
		sum += x / float64(len(y.values[metric]))
	}
	return sum
}

func (y *tally) add(number int, s *space, q *question, order []int) {
	at := func(k int) float64 {
		found := 0
		for _, i := range order[:min(k, len(order))] {
			if q.gold[i] {
				found++
			}
		}
		return 100 * float64(found) / float64(len(q.gold))
	}
	put := func(metric string, v float64) { y.values[metric] = append(y.values[metric], v) }
	if s.titles != nil {
		put("hot", at(5))
		put(q.class, at(5))
		return
	}
	for _, k := range []int{5, 10, 20} {
		put(fmt.Sprint("R@", k), at(k))
	}
	put(map[bool]string{true: "1-3", false: "4-5"}[number < 3], at(10))
	if len(q.gold) == 1 {
		put("one", at(10))
	}
	used, k := 0, 0
	for k < min(len(order), 300) && used+s.tokens[order[k]] <= 2000 {
		used += s.tokens[order[k]]
		k++
	}
	put("tokens", at(k))
}

// gain is the 95 % interval of the mean difference, by paired bootstrap.
func gain(before, after []float64) (low, high float64) {
	r := rand.New(rand.NewPCG(7, 7))
	means := make([]float64, 2000)
	for i := range means {
		for range before {
			j := r.IntN(len(before))
			means[i] += (after[j] - before[j]) / float64(len(before))
		}
	}
	slices.Sort(means)
	return means[len(means)/40], means[len(means)-len(means)/40-1]
}

// TestChoices prints what rules that are off by default would give, and what those that
// are on give: the recipe as a whole on other links. Nothing is chosen by conversations 4-5.
func TestChoices(t *testing.T) {
	dir := os.Getenv("ENGRAM_DATA")
	if dir == "" || testing.Short() {
		t.Skip("ENGRAM_DATA is not set, or vectors take too long")
	}
	cs, err := readLocomo(dir)
	if err != nil {
		t.Fatal(err)
	}
	hotpot, err := readHotpot(dir)
	if err != nil {
		t.Fatal(err)
	}
	cs = append(cs, hotpot)
	embedAll(t, cs)
	carries := func(f graph.Flow) graph.Options {
		o := graph.Options{Flows: graph.DefaultFlows()}
		o.Flows[graph.TypeSimilar], o.Flows[graph.TypeShares] = f, f
		return o
	}
	for _, by := range []choice{
		{name: "by default"},
		{name: "without people", set: rules.Set{Off: []string{rules.RulePeople}}},
		{name: "shares", set: rules.Set{Shares: true}},
		{name: "similar 1 over 0.5", similar: 1, least: 0.5},
		{name: "similar 2 over 0.5", similar: 2, least: 0.5},
		{name: "similar 2 over 0.7", similar: 2, least: 0.7},
		{name: "similar 5 over 0.4", similar: 5, least: 0.4},
	} {
		var spaces []*space
		links := 0
		for _, c := range cs {
			s, err := linkedBy(c, by)
			if err != nil {
				t.Fatal(err)
			}
			spaces = append(spaces, s)
			links += s.graph.Stats().Links
		}
		for _, f := range []graph.Flow{{Out: 0.1, In: 0.1}, {Out: 0.8, In: 0.2}} {
			y := newTally()
			for i, s := range spaces {
				for j := range s.questions {
					y.add(i, s, &s.questions[j], answer(t, s, &s.questions[j], variant{blend: graph.DefaultBlend, options: carries(f)}, true))
				}
			}
			t.Logf("%-20s flow %.1f/%.1f, %5d links: LoCoMo R@10 %.1f in_2000 %.1f (1-3: %.1f, 4-5: %.1f)  HotpotQA R@5 %.1f (bridge %.1f, comparison %.1f)", by.name, f.Out, f.In, links,
				y.mean("R@10"), y.mean("tokens"), y.mean("1-3"), y.mean("4-5"), y.mean("hot"), y.mean("bridge"), y.mean("comparison"))
		}
	}
}
