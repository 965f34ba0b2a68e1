package graph

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/memory"
)

var ctx = context.Background()

// plainSpread is the rule of Spread as the package doc says it, over a plain
// list of links, without any bound on work.
func plainSpread(ls []Link, seeds []Seed, o Options) map[memory.Ordinal]float64 {
	o, err := o.withDefaults()
	if err != nil {
		panic(err)
	}
	type end struct {
		n    memory.Ordinal
		kind string
		out  bool
	}
	count, sum := map[end]float64{}, map[end]float64{}
	for _, l := range ls {
		for _, e := range []end{{l.From, l.Type, true}, {l.To, l.Type, false}} {
			count[e]++
			sum[e] += l.Weight
		}
	}
	activation := map[memory.Ordinal]float64{}
	inflow := map[memory.Ordinal]float64{}
	back := map[[2]memory.Ordinal]float64{} // what a node got from another in the last wave
	for _, x := range seeds {
		activation[x.Node] += x.Activation
		inflow[x.Node] += x.Activation
	}
	for range o.Hops {
		next, nextBack := map[memory.Ordinal]float64{}, map[[2]memory.Ordinal]float64{}
		carry := func(from, to memory.Ordinal, e end, flow, w float64) {
			if sum[e] == 0 || from == to || o.Allow != nil && !o.Allow(to) && !isSeed(seeds, to) {
				return
			}
			spreads := map[Fan]float64{FanLinear: 1, FanSqrt: math.Sqrt(count[e]), FanLog: count[e] / (1 + math.Log(count[e]))}[o.Fan]
			part := min(1, w/sum[e]*spreads)
			if a := (inflow[from] - back[[2]memory.Ordinal{from, to}]) * o.Decay * flow * part; a >= o.Threshold {
				next[to] += a
				nextBack[[2]memory.Ordinal{to, from}] += a
			}
		}
		for _, l := range ls {
			f, ok := o.Flows[l.Type]
			if !ok {
				f = o.Flows[""]
			}
			carry(l.From, l.To, end{l.From, l.Type, true}, f.Out, l.Weight)
			carry(l.To, l.From, end{l.To, l.Type, false}, f.In, l.Weight)
		}
		for n, a := range next {
			activation[n] += a
		}
		inflow, back = next, nextBack
	}
	return activation
}

func isSeed(seeds []Seed, n memory.Ordinal) bool {
	return slices.ContainsFunc(seeds, func(s Seed) bool { return s.Node == n && s.Activation > 0 })
}

func drawGraph(t *rapid.T) (*Graph, []Link) {
	nodes := rapid.IntRange(1, 20).Draw(t, "nodes")
	m := model{}
	for range rapid.IntRange(0, 50).Draw(t, "links") {
		l := drawLink(t, nodes)
		l.Weight = min(l.Weight, 1e9)
		m.put(l)
	}
	if rapid.Bool().Draw(t, "hub") {
		for i := range 80 {
			l := Link{From: 1, To: memory.Ordinal(i%nodes + 1), Type: kinds[i%3], Tag: uint32(i + 10), Weight: float64(i%4) / 2}
			if i%5 == 0 {
				l.From, l.To = l.To, l.From
			}
			m.put(l)
		}
	}
	ls := m.links()
	return shuffled(ls, rapid.Uint64().Draw(t, "order")), ls
}

// shuffled makes a graph of links that come in an order of chance.
func shuffled(ls []Link, order uint64) *Graph {
	g := New()
	for _, i := range rand.New(rand.NewPCG(order, 1)).Perm(len(ls)) {
		if err := g.Put(ls[i]); err != nil {
			panic(err)
		}
	}
	return g
}

func drawSeeds(t *rapid.T) []Seed {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Seed {
		return Seed{memory.Ordinal(rapid.IntRange(1, 25).Draw(t, "node")), rapid.Float64Range(0, 2).Draw(t, "activation")}
	}), 0, 6).Draw(t, "seeds")
}

func drawOptions(t *rapid.T) Options {
	flow := rapid.SampledFrom([]float64{0, 0.3, 0.7, 1})
	return Options{
		Flows:     map[string]Flow{"next": {flow.Draw(t, "out"), flow.Draw(t, "in")}, "a": {1, 0.5}, "": {0.5, 1}},
		Fan:       rapid.SampledFrom([]Fan{FanLinear, FanSqrt, FanLog}).Draw(t, "fan"),
		Decay:     rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "decay"),
		Hops:      rapid.IntRange(1, 5).Draw(t, "hops"),
		Threshold: rapid.SampledFrom([]float64{1e-12, 1e-3, 0.1}).Draw(t, "threshold"),
		Paths:     MaxPaths,
	}
}

func spreadOf(t fataler, g *Graph, seeds []Seed, o Options) Result {
	t.Helper()
	r, err := g.Spread(ctx, seeds, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSpreadIsTheRule compares with the plain twin, and every explanation with
// the links that there are.
func TestSpreadIsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, ls := drawGraph(t)
		seeds, o := drawSeeds(t), drawOptions(t)
		if rapid.Bool().Draw(t, "allow") {
			o.Allow = func(n memory.Ordinal) bool { return n%3 != 0 }
		}
		r := spreadOf(t, g, seeds, o)
		want := plainSpread(ls, seeds, o)
		seen := map[memory.Ordinal]bool{}
		for i, a := range r.Activated {
			// An amount right at the threshold may be carried in one sum and not in
			// the other, as they add in different order.
			if math.Abs(a.Activation-want[a.Node]) > 1e-9*(1+want[a.Node]) && !nearThreshold(g, seeds, o) {
				t.Fatalf("node %d has %v, want %v", a.Node, a.Activation, want[a.Node])
			}
			if i > 0 && (r.Activated[i-1].Activation < a.Activation || r.Activated[i-1].Activation == a.Activation && r.Activated[i-1].Node >= a.Node) {
				t.Fatal("not best first")
			}
			seen[a.Node] = true
			checkPaths(t, ls, seeds, a)
		}
		for n, a := range want {
			if a > 0 && !seen[n] && !nearThreshold(g, seeds, o) {
				t.Fatalf("node %d is missing; it has %v", n, a)
			}
		}
		if r.Truncated || r.Reached != len(r.Activated) {
			t.Fatalf("nothing is left out, but %v of %d, truncated %v", len(r.Activated), r.Reached, r.Truncated)
		}
	})
}

// nearThreshold says whether a threshold that is a hair off changes anything.
func nearThreshold(g *Graph, seeds []Seed, o Options) bool {
	o.Threshold *= 1 - 1e-9
	if o.Threshold < minThreshold {
		return false
	}
	low, _ := g.Spread(ctx, seeds, o)
	o.Threshold *= 1 + 2e-9
	high, _ := g.Spread(ctx, seeds, o)
	return !reflect.DeepEqual(low, high)
}

// checkPaths walks every path by hand.
func checkPaths(t fataler, ls []Link, seeds []Seed, a Activated) {
	t.Helper()
	own := map[memory.Ordinal]float64{}
	for _, s := range seeds {
		own[s.Node] += s.Activation
	}
	sum := a.Own + a.Rest
	for i, p := range a.Paths {
		sum += p.Contribution
		if i > 0 && p.Contribution > a.Paths[i-1].Contribution*(1+1e-12) {
			t.Fatal("a stronger path comes later")
		}
		at, before, product := p.Seed, memory.Ordinal(0), own[p.Seed]
		for _, s := range p.Steps {
			if !slices.ContainsFunc(ls, func(l Link) bool {
				return l.From == s.From && l.To == s.To && l.Type == s.Type && l.Tag == s.Tag
			}) {
				t.Fatalf("there is no link %v", s)
			}
			from, to := s.From, s.To
			if s.Direction == memory.In {
				from, to = to, from
			}
			if from != at || to == before {
				t.Fatalf("path %v does not hang together, or turns round", p)
			}
			at, before, product = to, from, product*s.Factor
		}
		if at != a.Node || math.Abs(product-p.Contribution) > 1e-9 {
			t.Fatalf("path %v ends at %d with %v", p, at, product)
		}
	}
	if math.Abs(sum-a.Activation) > 1e-9 || math.Abs(a.Own+a.Received-a.Activation) > 1e-12 || a.Rest < 0 {
		t.Fatalf("the parts of node %d sum to %v of %v (rest %v)", a.Node, sum, a.Activation, a.Rest)
	}
}

// TestSpreadDistinctPaths: no path is told twice, parallel links included.
func TestSpreadDistinctPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		for _, a := range spreadOf(t, g, drawSeeds(t), drawOptions(t)).Activated {
			for i, p := range a.Paths {
				if slices.ContainsFunc(a.Paths[:i], func(q Path) bool { return reflect.DeepEqual(p.Steps, q.Steps) }) {
					t.Fatalf("path %v is told twice", p)
				}
			}
		}
	})
}

// TestSpreadOrder: neither the order of links nor that of seeds, nor what has
// been there before, changes a bit of the answer.
func TestSpreadOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, ls := drawGraph(t)
		seeds, o := drawSeeds(t), drawOptions(t)
		other := shuffled(ls, rapid.Uint64().Draw(t, "other"))
		for i := range 100 {
			l := Link{From: 1, To: memory.Ordinal(i + 1), Type: kinds[i%4], Tag: 99, Weight: 7}
			_ = other.Put(l)
			other.End(l)
		}
		mixed := slices.Clone(seeds)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		want := spreadOf(t, g, seeds, o)
		for _, x := range []*Graph{other, reloaded(t, g)} {
			if got := spreadOf(t, x, mixed, o); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

// TestSpreadMonotone: more seeds never take activation away.
func TestSpreadMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		seeds, o := drawSeeds(t), drawOptions(t)
		more := append(drawSeeds(t), seeds...)
		got := map[memory.Ordinal]float64{}
		for _, a := range spreadOf(t, g, more, o).Activated {
			got[a.Node] = a.Activation
		}
		for _, a := range spreadOf(t, g, seeds, o).Activated {
			if got[a.Node] < a.Activation*(1-1e-9) && !nearThreshold(g, more, o) {
				t.Fatalf("node %d falls from %v to %v", a.Node, a.Activation, got[a.Node])
			}
		}
	})
}

// TestSpreadBounded: with the linear fan no hop makes activation, whatever the
// cycles; with any fan a link carries at most what its node got.
func TestSpreadBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		seeds, o := drawSeeds(t), drawOptions(t)
		o.Fan = FanLinear
		o.Flows = map[string]Flow{"next": {0.6, 0.4}} // what leaves a node is at most what came
		o.Decay, o.Hops = 0.8, MaxHops
		planted, total := 0.0, 0.0
		for _, s := range seeds {
			planted += s.Activation
		}
		for _, a := range spreadOf(t, g, seeds, o).Activated {
			total += a.Activation
		}
		if bound := planted / (1 - o.Decay); total > bound*(1+1e-9) {
			t.Fatalf("%v became %v", planted, total)
		}
	})
}

// TestSpreadWork: the bound holds, is told, and what is left is right.
func TestSpreadWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		seeds, o := drawSeeds(t), drawOptions(t)
		full := spreadOf(t, g, seeds, o)
		o.MaxWork = rapid.IntRange(1, 100).Draw(t, "work")
		r := spreadOf(t, g, seeds, o)
		if r.Work > o.MaxWork || r.Truncated != (full.Work > o.MaxWork) {
			t.Fatalf("work is %d of at most %d (needed: %d), truncated %v", r.Work, o.MaxWork, full.Work, r.Truncated)
		}
		if !reflect.DeepEqual(r, spreadOf(t, g, seeds, o)) {
			t.Fatal("not the same again")
		}
		got := map[memory.Ordinal]float64{}
		for _, a := range full.Activated {
			got[a.Node] = a.Activation
		}
		for _, a := range r.Activated {
			if a.Activation > got[a.Node]*(1+1e-9) {
				t.Fatal("less work gives more activation")
			}
		}
	})
}

// TestSpreadProcs: the same for any number of processors, and for spreads at the
// same time.
func TestSpreadProcs(t *testing.T) {
	g := random(2000, 20_000, 5)
	seeds := seedsAt(2000, 30, 3)
	o := Options{Flows: map[string]Flow{"": {1, 1}}, Hops: 4, Paths: 3, Limit: 200}
	want := spreadOf(t, g, seeds, o)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4, 8} {
		runtime.GOMAXPROCS(procs)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if got, err := g.Spread(ctx, seeds, o); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("with %d processors another answer (%v)", procs, err)
				}
			})
		}
		wg.Wait()
	}
}

func seedsAt(nodes, n int, seed uint64) []Seed {
	r := rand.New(rand.NewPCG(seed, 3))
	seeds := make([]Seed, n)
	for i := range seeds {
		seeds[i] = Seed{memory.Ordinal(r.IntN(nodes) + 1), 1 - float64(i)/float64(n)}
	}
	return seeds
}

// TestSpreadHub: a node with a million links costs nothing when its links carry
// nothing, and no more than the bound when they would.
func TestSpreadHub(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	}
	g := New()
	for i := range n {
		_ = g.Put(Link{From: memory.Ordinal(i + 2), To: 1, Type: "member", Weight: 1})
	}
	_ = g.Put(Link{From: 1, To: 5, Type: "next", Weight: 1})
	o := Options{Flows: map[string]Flow{"": {1, 1}}}
	r := spreadOf(t, g, []Seed{{1, 1}, {2, 1}}, o)
	if r.Work > 20 || r.Truncated || r.Reached != 3 { // 1, 2 and 5 over next
		t.Errorf("a hub costs %d, truncated %v, %d reached", r.Work, r.Truncated, r.Reached)
	}
	o.Threshold, o.MaxWork = 1e-9, 10_000
	r = spreadOf(t, g, []Seed{{1, 1}, {2, 1}}, o)
	if r.Work > 10_000 || !r.Truncated {
		t.Errorf("a hub costs %d, truncated %v", r.Work, r.Truncated)
	}
	if ended := g.EndNode(1); ended != n+1 || g.Stats().Links != 0 {
		t.Errorf("%d links ended, %d stand", ended, g.Stats().Links)
	}
}

// TestSpreadManyPaths: where there are more paths than anyone can list, what is
// not listed is in Rest.
func TestSpreadManyPaths(t *testing.T) {
	var ls []Link
	for i := range memory.Ordinal(300) { // 300 seeds, all of which reach 1000, straight and over the others
		ls = append(ls, Link{From: i + 1, To: 1000, Type: "next", Weight: 1})
		for j := range memory.Ordinal(10) {
			ls = append(ls, Link{From: i + 1, To: (i+j*7)%300 + 1, Type: "next", Tag: uint32(j), Weight: 1 + float64(j)})
		}
	}
	var seeds []Seed
	for i := range memory.Ordinal(300) {
		seeds = append(seeds, Seed{i + 1, 1 / float64(i+1)})
	}
	g := shuffled(ls, 4)
	r := spreadOf(t, g, seeds, Options{Flows: map[string]Flow{"": {1, 1}}, Decay: 1, Hops: MaxHops, Threshold: 1e-12, Paths: MaxPaths, Limit: 20})
	if r.Activated[0].Node != 1000 || len(r.Activated[0].Paths) == 0 || r.Activated[0].Rest == 0 {
		t.Fatalf("first is %+v", r.Activated[0])
	}
	for _, a := range r.Activated {
		checkPaths(t, ls, seeds, a)
	}
}

// TestSpreadByHand is small enough to check with a pencil.
func TestSpreadByHand(t *testing.T) {
	g := New()
	for _, l := range []Link{
		{1, 2, "next", 0, 1}, {2, 3, "next", 0, 1}, // 1 -> 2 -> 3
		{1, 4, "mentions", 0, 3}, {1, 5, "mentions", 0, 1}, {4, 3, "mentions", 0, 1}, // 1 -> 4 (3/4), 5 (1/4); 4 -> 3
		{3, 3, "next", 0, 1}, // harmless, but takes its share
	} {
		if err := g.Put(l); err != nil {
			t.Fatal(err)
		}
	}
	r := spreadOf(t, g, []Seed{{1, 1}}, Options{Decay: 0.5, Hops: 2, Paths: 5, Flows: map[string]Flow{"next": {1, 0}, "mentions": {1, 0}}})
	want := map[memory.Ordinal]float64{1: 1, 2: 0.5, 4: 0.375, 5: 0.125, 3: 0.5*0.5 + 0.375*0.5}
	for _, a := range r.Activated {
		if a.Activation != want[a.Node] {
			t.Errorf("node %d has %v, want %v", a.Node, a.Activation, want[a.Node])
		}
		if a.Node == 3 && (len(a.Paths) != 2 || a.Paths[0].Contribution != 0.25 || a.Paths[1].Contribution != 0.1875 || a.Rest != 0) {
			t.Errorf("paths to 3 are %+v, rest %v", a.Paths, a.Rest)
		}
	}
	if len(r.Activated) != len(want) || r.Hops != 2 {
		t.Errorf("%d activated in %d hops", len(r.Activated), r.Hops)
	}
}

func TestSpreadRefuses(t *testing.T) {
	g := New()
	for _, o := range []Options{
		{Decay: -1}, {Decay: 1.1}, {Decay: math.NaN()}, {Hops: 9}, {Hops: -1}, {Threshold: -1}, {Threshold: math.NaN()}, {Threshold: 1e-15},
		{Threshold: math.Inf(1)}, {MaxWork: -1}, {Limit: -1}, {Paths: -1}, {Paths: 65}, {Fan: 3}, {Flows: map[string]Flow{"x": {2, 0}}}, {Flows: map[string]Flow{"x": {0, math.NaN()}}},
	} {
		if _, err := g.Spread(ctx, nil, o); memory.KindOf(err) != memory.KindInvalid {
			t.Errorf("Spread with %+v says %v", o, err)
		}
	}
	for _, s := range []Seed{{0, 1}, {1, -1}, {1, math.NaN()}, {1, math.Inf(1)}, {1, 1e13}} {
		if _, err := g.Spread(ctx, []Seed{s}, Options{}); memory.KindOf(err) != memory.KindInvalid {
			t.Errorf("Spread from %v says %v", s, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := g.Spread(ended, []Seed{{1, 1}}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Spread that was cancelled says %v", err)
	}
	r := spreadOf(t, g, []Seed{{4e9, 1}}, Options{})
	if len(r.Activated) != 1 || r.Activated[0].Own != 1 {
		t.Errorf("a seed that the graph does not know became %v", r.Activated)
	}
}
