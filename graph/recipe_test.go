package graph

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/memory"
)

func drawCandidates(t *rapid.T) []Candidate {
	var cs []Candidate
	for n := range rapid.IntRange(0, 150).Draw(t, "candidates") {
		cs = append(cs, Candidate{Node: memory.Ordinal(n + 1), Score: float64(rapid.IntRange(-20, 20).Draw(t, "score")) / 4})
	}
	return cs
}

// TestWake: the order and the unit of scores do not matter, the best is 1, and
// nothing below the average wakes.
func TestWake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := drawCandidates(t)
		seeds := Wake(cs)
		mixed := slices.Clone(cs)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if got := Wake(mixed); !reflect.DeepEqual(got, seeds) {
			t.Fatalf("in another order %v, want %v", got, seeds)
		}
		for i := range mixed {
			mixed[i].Score = 8*mixed[i].Score + 3
		}
		for i, s := range Wake(mixed) {
			if s.Node != seeds[i].Node || math.Abs(s.Activation-seeds[i].Activation) > 1e-9 {
				t.Fatalf("in another unit %v, want %v", s, seeds[i])
			}
		}
		if len(cs) > 0 && (len(seeds) == 0 || seeds[0].Activation != 1 || len(seeds) > CandidatesMost) {
			t.Fatalf("woken are %v", seeds)
		}
		if got := Wake(append(mixed, Candidate{Node: 999, Score: math.NaN()}, Candidate{Node: 998, Score: math.Inf(1)})); len(got) != len(seeds) {
			t.Fatal("a score that is no number changes who wakes")
		}
	})
}

// TestRank: the parts sum, each is what it says, and the best few are the first of all.
func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		cs := drawCandidates(t)
		seeds := Wake(cs)
		for i := range cs {
			cs[i].Named = cs[i].Node%5 == 0
		}
		a, err := g.Activate(context.Background(), seeds, drawOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		hints := func(n memory.Ordinal) (Hints, bool) {
			return Hints{Stream: uint32(n % 4), People: n%3 == 0, Asks: n%7 == 0, Beside: float64(n % 2)}, n%11 != 0
		}
		ask := Ask{Hints: hints, Beside: 1}
		ranked := DefaultBlend.Rank(cs, seeds, a, ask)
		if !reflect.DeepEqual(ranked, Blend{}.Rank(cs, seeds, a, ask)) {
			t.Fatal("the zero blend is not the default")
		}
		seen := map[memory.Ordinal]bool{}
		for i, x := range ranked {
			if math.Abs(x.Likeness+x.Links+x.Stream+x.Named+x.People+x.Asks+x.Beside-x.Score) > 1e-12 {
				t.Fatalf("the parts of %+v do not sum", x)
			}
			if seen[x.Node] || i > 0 && x.Score > ranked[i-1].Score {
				t.Fatalf("%+v comes twice or too late", x)
			}
			seen[x.Node] = true
			h, ok := hints(x.Node)
			if !ok || x.Likeness < 0 || x.Likeness > 1 || x.Stream < 0 || x.Stream > DefaultBlend.Stream || h.Stream == 0 && x.Stream != 0 ||
				x.Named > 0 && x.Node%5 != 0 || h.People != (x.People > 0) || h.Asks != (x.Asks < 0) || h.Beside != x.Beside {
				t.Fatalf("%+v of %+v", x, h)
			}
		}
		for i, c := range cs {
			if seen[c.Node] != (c.Node%11 != 0) {
				t.Fatalf("candidate %d, %d of them: %v", c.Node, i, seen[c.Node])
			}
		}
		ask.Limit = rapid.IntRange(1, 20).Draw(t, "limit")
		if got := DefaultBlend.Rank(cs, seeds, a, ask); !reflect.DeepEqual(got, ranked[:min(len(ranked), ask.Limit)]) {
			t.Fatalf("the best %d are\n%+v, want the first of\n%+v", ask.Limit, got, ranked)
		}
	})
}

// TestActivate: it is what Spread ranks, with the same paths.
func TestActivate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		o := drawOptions(t)
		o.Limit, o.Paths = 1000, 3
		seeds := Wake(drawCandidates(t))
		r := spreadOf(t, g, seeds, o)
		a, err := g.Activate(context.Background(), seeds, o)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		left := map[memory.Ordinal]float64{}
		first := a.take(1)
		a.rest(func(n memory.Ordinal, received float64) { left[n] = received })
		if _, ok := left[1]; ok {
			t.Fatal("what was taken is left")
		}
		if first > 0 {
			left[1] = first
		}
		for _, x := range r.Activated {
			if got := left[x.Node]; got != x.Received || !reflect.DeepEqual(a.Paths(x.Node), x.Paths) {
				t.Fatalf("node %d received %v by %+v, want %+v", x.Node, got, a.Paths(x.Node), x)
			}
			delete(left, x.Node)
		}
		if len(left) > 0 && len(r.Activated) < 1000 {
			t.Fatalf("these were activated too: %v", left)
		}
	})
}
