package graph

import (
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
		cs = append(cs, Candidate{memory.Ordinal(n + 1), float64(rapid.IntRange(-20, 20).Draw(t, "score")) / 4})
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
		if got := Wake(append(mixed, Candidate{999, math.NaN()}, Candidate{998, math.Inf(1)})); len(got) != len(seeds) {
			t.Fatal("a score that is no number changes who wakes")
		}
	})
}

// TestRank: the parts sum, and each is what it says.
func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		cs := drawCandidates(t)
		seeds := Wake(cs)
		r := spreadOf(t, g, seeds, drawOptions(t))
		hints := func(n memory.Ordinal) Hints {
			return Hints{Stream: uint32(n % 4), Named: n%5 == 0, People: n%3 == 0, Asks: n%7 == 0}
		}
		ranked := DefaultBlend.Rank(cs, seeds, r.Activated, hints)
		if !reflect.DeepEqual(ranked, Blend{}.Rank(cs, seeds, r.Activated, hints)) {
			t.Fatal("the zero blend is not the default")
		}
		seen := map[memory.Ordinal]bool{}
		for i, x := range ranked {
			if math.Abs(x.Likeness+x.Links+x.Stream+x.Named+x.People+x.Asks-x.Score) > 1e-12 {
				t.Fatalf("the parts of %+v do not sum", x)
			}
			if seen[x.Node] || i > 0 && x.Score > ranked[i-1].Score {
				t.Fatalf("%+v comes twice or too late", x)
			}
			seen[x.Node] = true
			h := hints(x.Node)
			if x.Likeness < 0 || x.Likeness > 1 || x.Stream < 0 || x.Stream > DefaultBlend.Stream || h.Stream == 0 && x.Stream != 0 ||
				h.Named != (x.Named > 0) || h.People != (x.People > 0) || h.Asks != (x.Asks < 0) {
				t.Fatalf("%+v of %+v", x, h)
			}
		}
		for _, c := range cs {
			if !seen[c.Node] {
				t.Fatalf("candidate %d is lost", c.Node)
			}
		}
	})
}
