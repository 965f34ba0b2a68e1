package recall

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
)

// Known is what recall by association asks about a space, beside its links.
type Known interface {
	rules.Lookup
	// Stream is the number of a memory's stream; 0: none.
	Stream(memory.Ordinal) uint32
	// EndsAsking says whether a memory's text ends with a question.
	EndsAsking(memory.Ordinal) bool
	// PeopleIn are the slots of memories with someone whom a cue names; nil: it
	// names nobody.
	PeopleIn(cue string) *bitset.BitSet
	// Carries says whether a node is an entity: no memory, so no filter is about it and
	// it is no result, but activation goes through it from one memory to another.
	Carries(memory.Ordinal) bool
}

// pathsShown is how many paths are told of each result.
const pathsShown = 3

func (r *run) associates() bool {
	return r.Cue.Mode == memory.ModeAssociative && (r.spreads() || r.timed != nil || r.isPrimed())
}

func (r *run) spreads() bool { return r.Links != nil && !r.Cue.Stages.NoLinks }

// associate lets what is like the cue wake what belongs to it, by the recipe of
// package graph: the candidates that stand out are seeds, activation runs along
// links among what the filter lets through, and likeness, activation, stream,
// names, people, time and context are blended. Parts of a candidate's likeness are scaled with
// it, so that parts still sum to the score.
func (r *run) associate(ctx context.Context) {
	found := r.answer.Ranked
	a := association{run: r, place: make(map[memory.Ordinal]int, len(found))}
	for i, x := range found {
		row, _ := r.Facets.At(x.Slot)
		a.candidates = append(a.candidates, graph.Candidate{Node: row.Ordinal, Score: x.Score})
		a.place[row.Ordinal] = i
	}
	seeds := graph.Wake(a.candidates)
	var activated []graph.Activated
	var hints func(memory.Ordinal) graph.Hints
	if r.spreads() {
		spread, err := a.run.spread(ctx, seeds, a.allow)
		if err != nil { // the time is over: likeness alone is still an answer
			r.answer.Partial = true
			return
		}
		activated, hints = spread, a.hints
		a.name()
		a.people = r.Known.PeopleIn(r.Cue.Text)
	}
	a.ofTime(ctx)
	a.primed(ctx)
	if r.Cue.Explain {
		a.spread = make(map[memory.Ordinal]graph.Activated, len(activated))
		for _, x := range activated {
			a.spread[x.Node] = x
		}
	}
	scored := graph.DefaultBlend.Rank(a.candidates, seeds, activated, hints)
	r.answer.Ranked = a.ranked(scored, found)
}

// spread lets seeds activate what allow lets through.
func (r *run) spread(ctx context.Context, seeds []graph.Seed, allow func(memory.Ordinal) bool) ([]graph.Activated, error) {
	o := graph.Options{Allow: allow}
	if r.Cue.Explain {
		o.Paths = pathsShown
	}
	spread, err := r.Links.Spread(ctx, seeds, o)
	return spread.Activated, err
}

type association struct {
	*run
	candidates []graph.Candidate
	place      map[memory.Ordinal]int // of a candidate among those that likeness found
	named      map[memory.Ordinal]bool
	people     *bitset.BitSet
	spread     map[memory.Ordinal]graph.Activated
	context    map[memory.Ordinal]float64 // how ready the cue's context makes it, to 1
}

func (a *association) allow(n memory.Ordinal) bool {
	_, ok := a.slot(n)
	return ok || a.Known.Carries(n)
}

// add makes a memory a candidate that needs no likeness, and has none: it is as unlike
// as the least of the others.
func (a *association) add(n memory.Ordinal) {
	if _, ok := a.place[n]; ok {
		return
	}
	least := 0.0
	if len(a.candidates) > 0 {
		least = a.candidates[len(a.candidates)-1].Score
	}
	a.place[n] = len(a.candidates)
	a.candidates = append(a.candidates, graph.Candidate{Node: n, Score: least})
}

// slot is where a node stands, when the filter lets it through.
func (a *association) slot(n memory.Ordinal) (uint32, bool) {
	slot, ok := a.Facets.Live(n)
	return slot, ok && a.allowed.Test(uint(slot))
}

// name makes what the cue names a candidate, too: it needs no likeness to be meant.
func (a *association) name() {
	a.named = make(map[memory.Ordinal]bool)
	if a.Cue.Text == "" {
		return
	}
	for _, n := range rules.NamedBy(a.Cue.Text, a.Known) {
		if _, ok := a.slot(n); !ok {
			continue
		}
		a.named[n] = true
		a.add(n)
	}
}

func (a *association) hints(n memory.Ordinal) graph.Hints {
	slot, ok := a.slot(n)
	if !ok {
		return graph.Hints{} // an entity
	}
	return graph.Hints{Stream: a.Known.Stream(n), Named: a.named[n], Asks: a.Known.EndsAsking(n),
		People: a.people != nil && a.people.Test(uint(slot))}
}

// ranked turns what the blend says into results; equal ones stay in the order of
// their likeness.
func (a *association) ranked(scored []graph.Scored, found []Ranked) []Ranked {
	all := make([]placed, len(scored))
	for i := range scored {
		x := &scored[i]
		at, ok := a.place[x.Node]
		if !ok {
			at = len(a.candidates)
		} else if at >= len(found) { // of candidates without likeness alone, all are the best
			x.Score, x.Likeness = x.Score-x.Likeness, 0
		}
		x.Score += a.timeOf(x.Node) + a.contextOf(x.Node)
		all[i] = placed{x, at}
	}
	slices.SortFunc(all, func(x, y placed) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(x.at, y.at), cmp.Compare(x.Node, y.Node))
	})
	out := make([]Ranked, 0, min(len(all), a.Limit))
	for _, x := range all {
		slot, ok := a.slot(x.Node)
		if !ok {
			continue
		}
		if len(out) == a.Limit {
			break // reasons are only made for what is given
		}
		out = append(out, a.reasoned(x, slot, found))
	}
	return out
}

// placed is a memory and its place among the candidates; behind all when it is none.
type placed struct {
	*graph.Scored
	at int
}

// reasoned is a result with the parts of its score.
func (a *association) reasoned(x placed, slot uint32, found []Ranked) Ranked {
	one := Ranked{Slot: slot, Score: x.Score}
	if x.at < len(found) {
		one.Parts = scaled(found[x.at], x.Likeness)
	} else if x.Likeness != 0 {
		one.Parts = []Part{{Stage: "likeness", Value: x.Likeness}}
	}
	one.Parts = append(append(one.Parts, others(*x.Scored)...), a.beside(x.Node)...)
	one.Paths = pathsOf(a.spread[x.Node])
	return one
}

// scaled gives the parts of a candidate's likeness, now that it lies between 0 and
// 1: what they are short of it, or beyond, is the part "scale". Parts that are so large
// that they swallow it (dot products have no bound) are told as one.
func scaled(x Ranked, likeness float64) []Part {
	parts := append(slices.Clone(x.Parts), Part{Stage: "scale", Value: likeness - x.Score})
	sum := 0.0
	for _, p := range parts {
		sum += p.Value
	}
	if math.Abs(sum-likeness) > 1e-10 {
		return []Part{{Stage: "likeness", Value: likeness}}
	}
	return parts
}

func others(x graph.Scored) (parts []Part) {
	for _, p := range []Part{{Stage: "links", Value: x.Links}, {Stage: "stream", Value: x.Stream}, {Stage: "named", Value: x.Named},
		{Stage: "people", Value: x.People}, {Stage: "asks", Value: x.Asks}} {
		if p.Value != 0 {
			parts = append(parts, p)
		}
	}
	return parts
}

func pathsOf(x graph.Activated) (paths []Path) {
	for _, p := range x.Paths {
		path := Path{Activation: p.Contribution, Nodes: []memory.Ordinal{p.Seed}}
		for _, s := range p.Steps {
			other := s.To
			if s.Direction == memory.In {
				other = s.From
			}
			path.Nodes, path.Types = append(path.Nodes, other), append(path.Types, s.Type)
		}
		paths = append(paths, path)
	}
	return paths
}
