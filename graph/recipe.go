package graph

import (
	"cmp"
	"math"
	"slices"

	"github.com/engramdb/engram/internal/best"
	"github.com/engramdb/engram/memory"
)

// Candidate is a memory that likeness found: by words, by vector, by both. Scores
// of one answer have one unit, whichever it is; higher is liker.
type Candidate struct {
	Node  memory.Ordinal
	Score float64 // not finite: it has no likeness, and is a candidate all the same
	Named bool    // the cue says its title, or the name of the entity
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
	slices.SortFunc(cs, compareCandidates)
	return cs[:min(len(cs), CandidatesMost)]
}

func compareCandidates(a, b Candidate) int {
	if a.Score != b.Score {
		return cmp.Compare(b.Score, a.Score)
	}
	return cmp.Compare(a.Node, b.Node)
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
	Stream uint32  // number of its stream; 0: none
	People bool    // the cue says the name of someone who was there
	Asks   bool    // its text ends with a question (rules.EndsAsking)
	Beside float64 // what else speaks for it, at most Ask.Beside
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
	Place int // among the candidates; their number for what is none
	Score float64

	Likeness, Links, Stream, Named, People, Asks, Beside float64
}

// Ask is what Rank is asked for, and whom it may ask.
type Ask struct {
	// Hints is asked about what may be among the best, some twice; false: it is no
	// result. nil has no hints.
	Hints func(memory.Ordinal) (Hints, bool)
	// Beside is the most that the Beside of a hint is.
	Beside float64
	// Limit is how many are wanted; 0 is all.
	Limit int
}

// Rank blends likeness with activation, best first, equal ones in the order of the
// candidates, then by ordinal. Likeness is 0 for the least of the crowd and for what
// is not in it, 1 for the best. The seeds are of the candidates; without an activation
// (nil) nothing was activated.
func (b Blend) Rank(cs []Candidate, seeds []Seed, a *Activation, ask Ask) []Scored {
	if b == (Blend{}) {
		b = DefaultBlend
	}
	r := ranking{blend: b, ask: ask, best: best.Of[Scored]{Limit: ask.Limit, Compare: compareScored}}
	if r.best.Limit == 0 {
		r.best.Limit = math.MaxInt
	}
	r.streams(seeds)
	of := crowd(cs)
	for i, c := range cs {
		x := Scored{Node: c.Node, Place: i, Likeness: likeness(c, of)}
		if c.Named {
			x.Named = b.Named
		}
		if a != nil {
			x.Links = b.Links * a.take(c.Node)
		}
		r.offer(x)
	}
	if a != nil {
		a.rest(func(n memory.Ordinal, received float64) {
			r.offer(Scored{Node: n, Place: len(cs), Links: b.Links * received})
		})
	}
	return r.best.Sorted()
}

// likeness puts the score of a candidate between 0, for the least of the crowd, and 1.
func likeness(c Candidate, of []Candidate) float64 {
	if len(of) == 0 || c.Score-c.Score != 0 || compareCandidates(c, of[len(of)-1]) > 0 {
		return 0 // not of the crowd; a long answer has it all the same
	}
	if least, most := of[len(of)-1].Score, of[0].Score; most > least {
		return (c.Score - least) / (most - least)
	}
	return 1
}

type ranking struct {
	blend     Blend
	ask       Ask
	strongest map[uint32]float64 // seed of a stream
	most      float64            // that hints can add
	best      best.Of[Scored]
}

// streams finds the strongest seed of each stream, and what hints can add at most.
func (r *ranking) streams(seeds []Seed) {
	if r.ask.Hints == nil {
		return
	}
	r.strongest = make(map[uint32]float64, len(seeds))
	most := 0.0
	for _, s := range seeds {
		if h, ok := r.ask.Hints(s.Node); ok && h.Stream != 0 {
			r.strongest[h.Stream] = max(r.strongest[h.Stream], s.Activation)
			most = max(most, s.Activation)
		}
	}
	r.most = max(0, r.blend.Stream*most) + max(0, r.blend.People) + max(0, -r.blend.Asks) + r.ask.Beside
}

// rounding is more than a sum of a few parts is off by.
const rounding = 1e-9

// offer takes a memory among the best when it is. Most cannot be, whatever the hints are,
// and are not asked about.
func (r *ranking) offer(x Scored) {
	if r.best.Full() && x.Likeness+x.Links+x.Named+r.most+rounding < r.best.Worst().Score {
		return
	}
	if r.ask.Hints != nil {
		h, ok := r.ask.Hints(x.Node)
		if !ok {
			return
		}
		r.hint(&x, h)
	}
	x.Score = x.Likeness + x.Links + x.Stream + x.Named + x.People + x.Asks + x.Beside
	r.best.Add(x)
}

func (r *ranking) hint(x *Scored, h Hints) {
	if h.Stream != 0 {
		x.Stream = r.blend.Stream * r.strongest[h.Stream]
	}
	if h.People {
		x.People = r.blend.People
	}
	if h.Asks {
		x.Asks = -r.blend.Asks
	}
	x.Beside = h.Beside
}

func compareScored(a, b Scored) int {
	if a.Score != b.Score {
		return cmp.Compare(b.Score, a.Score)
	}
	return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Node, b.Node))
}
