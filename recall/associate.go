package recall

import (
	"context"
	"math"

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
	a := association{run: r, candidates: make([]graph.Candidate, len(r.found))}
	for i, x := range r.found {
		a.candidates[i] = graph.Candidate{Node: r.Facets.Ordinal(x.slot), Score: x.score}
	}
	seeds := graph.Wake(a.candidates)
	ask := graph.Ask{Hints: a.hints, Limit: r.Limit}
	if r.spreads() {
		o := graph.Options{}
		if a.allow != nil { // else what is linked stands, and all that stands is allowed
			o.Allow = a.passes
		}
		if r.Cue.Explain {
			o.Paths = pathsShown
		}
		var err error
		if a.activation, err = r.Links.Activate(ctx, seeds, o); err != nil { // the time is over: likeness alone is still an answer
			r.answer.Partial = true
			r.asFound()
			return
		}
		defer a.activation.Close()
		a.name()
		a.people = r.Known.PeopleIn(r.Cue.Text)
	}
	a.ofTime(ctx)
	a.primed(ctx)
	if a.timed != nil {
		ask.Beside += timeWeight
	}
	if a.context != nil {
		ask.Beside += contextWeight
	}
	scored := graph.DefaultBlend.Rank(a.candidates, seeds, a.activation, ask)
	r.answer.Ranked = make([]Ranked, len(scored))
	for i := range scored {
		r.answer.Ranked[i] = a.reasoned(&scored[i])
	}
}

type association struct {
	*run
	candidates []graph.Candidate      // those that likeness found, then others
	place      map[memory.Ordinal]int // of a candidate; nil until it is asked for
	people     *bitset.BitSet
	activation *graph.Activation
	context    map[memory.Ordinal]float64 // how ready the cue's context makes it, to 1
}

func (a *association) passes(n memory.Ordinal) bool {
	_, ok := a.slot(n)
	return ok || a.Known.Carries(n)
}

// add makes a memory a candidate that needs no likeness, and has none.
func (a *association) add(n memory.Ordinal) *graph.Candidate {
	if a.place == nil {
		a.place = make(map[memory.Ordinal]int, len(a.candidates))
		for i, c := range a.candidates {
			a.place[c.Node] = i
		}
	}
	i, ok := a.place[n]
	if !ok {
		i = len(a.candidates)
		a.place[n] = i
		a.candidates = append(a.candidates, graph.Candidate{Node: n, Score: math.Inf(-1)})
	}
	return &a.candidates[i]
}

// slot is where a node stands, when the filter lets it through.
func (a *association) slot(n memory.Ordinal) (uint32, bool) {
	slot, ok := a.Facets.Live(n)
	return slot, ok && a.allowed.Test(uint(slot))
}

// name makes what the cue names a candidate, too: it needs no likeness to be meant.
func (a *association) name() {
	if a.Cue.Text == "" {
		return
	}
	for _, n := range rules.NamedBy(a.Cue.Text, a.Known) {
		if _, ok := a.slot(n); ok {
			a.add(n).Named = true
		}
	}
}

// hints says what else there is to a memory; an entity is no result.
func (a *association) hints(n memory.Ordinal) (h graph.Hints, ok bool) {
	slot, ok := a.slot(n)
	if !ok {
		return h, false
	}
	h.Beside = a.timeOf(slot) + a.contextOf(n)
	if a.activation != nil {
		h.Stream, h.Asks = a.Known.Stream(n), a.Known.EndsAsking(n)
		h.People = a.people != nil && a.people.Test(uint(slot))
	}
	return h, true
}

// reasoned is a result with the parts of its score.
func (a *association) reasoned(x *graph.Scored) Ranked {
	slot, _ := a.slot(x.Node)
	one := Ranked{Slot: slot, Score: x.Score}
	if x.Place < len(a.found) {
		one.Parts = scaled(a.found[x.Place].parts(), a.found[x.Place].score, x.Likeness)
	}
	one.Parts = append(append(one.Parts, others(x)...), a.beside(x.Node, slot)...)
	if a.Cue.Explain && a.activation != nil {
		one.Paths = pathsOf(a.activation.Paths(x.Node))
	}
	return one
}

// scaled gives the parts of a candidate's likeness, now that it lies between 0 and
// 1: what they are short of it, or beyond, is the part "scale". Parts that are so large
// that they swallow it (dot products have no bound) are told as one.
func scaled(parts []Part, score, likeness float64) []Part {
	parts = append(parts, Part{Stage: "scale", Value: likeness - score})
	sum := 0.0
	for _, p := range parts {
		sum += p.Value
	}
	if math.Abs(sum-likeness) > 1e-10 {
		return []Part{{Stage: "likeness", Value: likeness}}
	}
	return parts
}

func others(x *graph.Scored) (parts []Part) {
	for _, p := range []Part{{Stage: "links", Value: x.Links}, {Stage: "stream", Value: x.Stream}, {Stage: "named", Value: x.Named},
		{Stage: "people", Value: x.People}, {Stage: "asks", Value: x.Asks}} {
		if p.Value != 0 {
			parts = append(parts, p)
		}
	}
	return parts
}

func pathsOf(found []graph.Path) (paths []Path) {
	for _, p := range found {
		path := Path{Activation: p.Contribution, Nodes: []memory.Ordinal{p.Seed}, Steps: p.Steps}
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
