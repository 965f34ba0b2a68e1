package graph

import (
	"cmp"
	"math"
	"slices"

	"github.com/engramdb/engram/memory"
)

// Candidate is a memory that likeness found: by words, by vector, by both. Scores
// of one answer have one unit, whichever it is; higher is liker.
type Candidate struct {
	Node  memory.Ordinal
	Score float64
}

// CandidatesMost is how many candidates wake others, the best ones. It is also
// the crowd that says how much one stands out, so it should be filled.
const CandidatesMost = 100

// leastSeed keeps a score that is the average, but for rounding, from being above it.
const leastSeed = 1e-9

// Wake turns the best candidates into seeds: each is as active as its score
// stands above the average of the candidates, the best one 1. So what is merely
// like the rest wakes nothing, and the unit of the scores does not matter. When
// all are alike, all wake fully. Candidates whose score is not finite are left out.
func Wake(cs []Candidate) []Seed {
	cs = crowd(cs)
	if len(cs) == 0 {
		return nil
	}
	mean, best := meanOf(cs), cs[0].Score
	var seeds []Seed
	for _, c := range cs {
		a := 1.0
		if best > mean {
			a = (c.Score - mean) / (best - mean)
		}
		if a > leastSeed {
			seeds = append(seeds, Seed{c.Node, a})
		}
	}
	return seeds
}

// crowd is the best candidates, in order.
func crowd(cs []Candidate) []Candidate {
	cs = slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return c.Score-c.Score != 0 })
	slices.SortFunc(cs, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Node, b.Node))
	})
	return cs[:min(len(cs), CandidatesMost)]
}

func meanOf(cs []Candidate) float64 {
	mean := 0.0
	for _, c := range cs {
		mean += c.Score / float64(len(cs))
	}
	return mean
}

// Hints are what the caller knows of a memory beside likeness and links.
type Hints struct {
	Stream uint32 // number of its stream; 0: none
	Named  bool   // the cue says its title, or the name of the entity
	People bool   // the cue says the name of someone who was there
	Asks   bool   // its text ends with a question (rules.EndsAsking)
}

// Blend is how the parts of a score are weighed. The zero value means DefaultBlend.
type Blend struct {
	Links  float64 // of the activation that was received
	Stream float64 // of the strongest seed of the memory's stream
	Named  float64
	People float64
	Asks   float64 // taken off: who asks about a thing says less of it than who answers
}

// DefaultBlend is the one set of weights for every kind of data; see DESIGN.md
// for what they were tuned on and what each is worth.
var DefaultBlend = Blend{Links: 1, Stream: 0.3, Named: 0.5, People: 0.2, Asks: 0.2}

// Scored is a memory and the parts of its score, which sum to Score. Asks is 0 or
// below.
type Scored struct {
	Node  memory.Ordinal
	Score float64

	Likeness, Links, Stream, Named, People, Asks float64
}

// Rank blends likeness with activation, best first, equal ones by ordinal.
// Likeness is 0 for the least of the candidates and for what is none, 1 for the
// best. hints is asked about every candidate and every activated node; nil has none.
func (b Blend) Rank(cs []Candidate, seeds []Seed, activated []Activated, hints func(memory.Ordinal) Hints) []Scored {
	if b == (Blend{}) {
		b = DefaultBlend
	}
	r := ranking{at: map[memory.Ordinal]int{}}
	r.likeness(cs)
	for _, a := range activated {
		if a.Received > 0 {
			r.of(a.Node).Links = b.Links * a.Received
		}
	}
	if hints != nil {
		r.hint(b, seeds, hints)
	}
	for i := range r.all {
		x := &r.all[i]
		x.Score = x.Likeness + x.Links + x.Stream + x.Named + x.People + x.Asks
	}
	slices.SortFunc(r.all, func(a, b Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Node, b.Node))
	})
	return r.all
}

type ranking struct {
	all []Scored
	at  map[memory.Ordinal]int
}

func (r *ranking) of(n memory.Ordinal) *Scored {
	i, ok := r.at[n]
	if !ok {
		i = len(r.all)
		r.at[n] = i
		r.all = append(r.all, Scored{Node: n})
	}
	return &r.all[i]
}

// likeness puts the scores of the candidates between 0 and 1. Those beyond the
// crowd, which are below it, are kept with 0, so that a long answer has them.
func (r *ranking) likeness(cs []Candidate) {
	best := crowd(cs)
	for _, c := range best {
		least, most := best[len(best)-1].Score, best[0].Score
		x := r.of(c.Node)
		x.Likeness = 1
		if most > least {
			x.Likeness = (c.Score - least) / (most - least)
		}
	}
	for _, c := range cs {
		r.of(c.Node)
	}
}

func (r *ranking) hint(b Blend, seeds []Seed, hints func(memory.Ordinal) Hints) {
	known := make([]Hints, len(r.all))
	strongest := map[uint32]float64{}
	for i := range r.all {
		known[i] = hints(r.all[i].Node)
	}
	for _, s := range seeds {
		if i, ok := r.at[s.Node]; ok {
			strongest[known[i].Stream] = math.Max(strongest[known[i].Stream], s.Activation)
		}
	}
	for i := range r.all {
		x, h := &r.all[i], known[i]
		if h.Stream != 0 {
			x.Stream = b.Stream * strongest[h.Stream]
		}
		if h.Named {
			x.Named = b.Named
		}
		if h.People {
			x.People = b.People
		}
		if h.Asks {
			x.Asks = -b.Asks
		}
	}
}
