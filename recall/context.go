package recall

import (
	"context"
	"math"
	"time"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// Earlier cues prime: what they woke is still a little active. An earlier cue wakes
// again what it is like (or the node that it names), and that activation, decayed by the
// time since, is added to what the cue itself gives. So "how did it go?" comes back
// with what was just talked about, and a cue that says what it means is not led astray: a
// context gives at most contextWeight, the best likeness is 1.

// Prime is an item of a cue's context.
type Prime struct {
	Node   memory.Ordinal // that was meant; 0: none
	Text   string
	Vector []float32
	Lag    time.Duration // since then
}

const (
	// contextWeight is what full activation by the context gives to a score.
	contextWeight = 0.3
	// contextWakes is how many memories an earlier cue wakes at most.
	contextWakes = 5
	// contextHalf and contextDecay are the law of decay, activation = (1 + lag /
	// contextUnit) ^ -contextDecay: the power law of forgetting (Wickelgren 1974) with
	// the exponent of ACT-R, 0.5, which fits how likely it is that what came up a
	// while ago comes up again (Anderson and Schooler 1991).
	contextUnit  = time.Minute
	contextDecay = 0.5
)

// readiness is what is left of activation after a lag: 1 at once, 0.71 after a minute, 0.13
// after an hour, 0.026 after a day.
func readiness(lag time.Duration) float64 {
	return math.Pow(1+max(0, float64(lag))/float64(contextUnit), -contextDecay)
}

func (r *run) isPrimed() bool { return len(r.Prime) > 0 && !r.Cue.Stages.NoContext }

// primed lets the cue's context wake memories; what it wakes is a candidate.
func (a *association) primed(ctx context.Context) {
	if !a.isPrimed() {
		return
	}
	own := make(map[memory.Ordinal]float64)
	var order []memory.Ordinal
	for i := range a.Prime {
		left := readiness(a.Prime[i].Lag)
		for _, s := range a.wakes(ctx, &a.Prime[i]) {
			if own[s.Node] == 0 {
				order = append(order, s.Node)
			}
			own[s.Node] = min(1, own[s.Node]+left*s.Activation)
		}
	}
	a.context = own
	if a.spreads() {
		order = a.passOn(ctx, order)
	}
	for _, n := range order {
		if _, ok := a.slot(n); ok {
			a.add(n)
		}
	}
}

// wakes are the memories that an earlier cue wakes.
func (a *association) wakes(ctx context.Context, p *Prime) []graph.Seed {
	if p.Node != 0 {
		return []graph.Seed{{Node: p.Node, Activation: 1}}
	}
	cue := memory.Cue{Text: p.Text, Vector: p.Vector, Mode: memory.ModeSimilar, Stages: a.Cue.Stages}
	earlier := run{Indexes: a.Indexes, Question: Question{Cue: &cue, View: a.View, Now: a.Now, Limit: candidatesLeast}, allowed: a.allowed, allow: a.allow}
	earlier.byText()
	earlier.byVector(ctx)
	earlier.byPassage(ctx)
	earlier.fuse()
	a.answer.Partial = a.answer.Partial || earlier.answer.Partial
	var cs []graph.Candidate
	for _, x := range earlier.found {
		cs = append(cs, graph.Candidate{Node: a.Facets.Ordinal(x.slot), Score: x.score})
	}
	seeds := graph.Wake(cs)
	return seeds[:min(len(seeds), contextWakes)]
}

// passOn lets what the context woke activate what it is linked to, and adds that to
// what is woken.
func (a *association) passOn(ctx context.Context, order []memory.Ordinal) []memory.Ordinal {
	var seeds []graph.Seed
	for _, n := range order {
		seeds = append(seeds, graph.Seed{Node: n, Activation: a.context[n]})
	}
	spread, err := a.Links.Spread(ctx, seeds, graph.Options{Allow: a.passes})
	if err != nil {
		a.answer.Partial = true
		return order
	}
	for _, x := range spread.Activated {
		if a.context[x.Node] == 0 {
			order = append(order, x.Node)
		}
		a.context[x.Node] = min(1, a.context[x.Node]+x.Received)
	}
	return order
}

// contextOf is the part of a memory's score that the context gives.
func (a *association) contextOf(n memory.Ordinal) float64 { return contextWeight * a.context[n] }

// beside are the parts that come from beside the cue's own likeness and links.
func (a *association) beside(n memory.Ordinal, slot uint32) (parts []Part) {
	if v := a.timeOf(slot); v != 0 {
		p := Part{Stage: "time", Value: v}
		if a.Cue.Explain {
			p.Note = noteTimes(a.answer.Times)
		}
		parts = append(parts, p)
	}
	if v := a.contextOf(n); v != 0 {
		parts = append(parts, Part{Stage: "context", Value: v})
	}
	return parts
}
