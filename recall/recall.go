// Package recall turns a cue into ranked memories with their reasons.
//
// It is one pipeline of stages: filter -> text (its words widened by a thesaurus,
// widen.go) and vector candidates -> fusion
// -> links (associate.go) -> ranked slots. Each stage is a function on the indexes of one
// space; the caller holds their lock for reading, so that all stages see one
// state. Recall reads and writes nothing, starts no goroutine and knows no
// store: turning slots into memories is the caller's.
//
// # Fusion
//
// One leg alone scores as it is: BM25 for text, the metric for vectors. When
// both legs speak, their scores have different units, and each is turned into
// z-scores over the same candidates (the union of both legs' best), where every
// candidate has both scores, not only the leg that found it: a memory that the
// other leg ranks low is known to be low, not unknown. The score is the weighted
// sum. A model may say that its z-scores are to be over the whole space (standard.go).
// What all memories have in common says nothing for any of them, and for likeness alone is
// taken off the cue first (apart.go).
// Reciprocal ranks throw away how much better the first is than the second
// and were worse than text alone on conversations.
//
// # Recognition
//
// Whether something is familiar is another question than what it brings back, and a
// z-score cannot answer it: the best of a bad lot stands out, too. recognise.go measures
// each candidate by itself: the share of the cue's information (IDF) that the memory's words
// hold, and the cosine; familiarity is their mean for the best. It is no probability: nothing
// has been calibrated.
package recall

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall/when"
	"github.com/engramdb/engram/text"
)

// Indexes of one space. Vectors is nil for a space without vectors.
type Indexes struct {
	Facets   *facet.Index
	Words    *text.Index
	Vectors  Vectors
	Metric   memory.Metric // of Vectors
	Fusion   embed.Fusion  // what their model says of them
	Passages *ann.Passages // of long texts; nil: there are none
	Analyzer *text.Analyzer
	// Thesaurus widens the words of cues; nil: they stand for themselves alone.
	Thesaurus embed.Thesaurus
	// Links and Known are nil for a space in which nothing associates.
	Links *graph.Graph
	Known Known
}

// Vectors finds nearest vectors: ann.Flat, or ann.Graph.
type Vectors interface {
	Find(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o ann.Options) (ann.Found, error)
	Scores(q []float32, slots []uint32) []float64
	Sum(into []float32, slots []uint32) (added int)
	Has(slot uint32) bool
}

// Question is a cue that has been normalised, at a view.
type Question struct {
	Cue   *memory.Cue
	View  memory.LSN
	Now   time.Time // of the clock: what has expired by then is not seen
	Named []uint32  // live slots of Cue.IDs, in their order
	Seen  time.Time // the moment and zone of words such as "yesterday"; zero: Now
	Prime []Prime   // what the cue's context says
	Among bool      // scores are to be compared with those of other spaces
	Limit int       // most results wanted; for a budget, more than Cue.Limit

	Weights Weights // of the legs; the zero value means what the model says, else those of the mode
}

// Ranked is one memory that came back, best first.
type Ranked struct {
	Slot  uint32
	Score float64
	Parts []Part // they sum to Score
	Paths []Path // the strongest along which activation came, with Cue.Explain
	// Passages of a long text with their nearness to the cue, in their order.
	Passages []ann.PassageHit
}

// Path is a way along links from a memory that the cue woke.
type Path struct {
	Activation float64
	Nodes      []memory.Ordinal // from the woken one to the memory
	Types      []string         // of the links between them
	Steps      []graph.Step     // the links
}

// Part is what one stage gave to a score.
type Part struct {
	Stage string // "text", "vector", "id", "time", "context"; "links" and other parts of associate.go
	Value float64
	Note  string
}

// Answer is what Run found.
type Answer struct {
	Ranked   []Ranked
	Exact    bool // every vector that the filter lets through was compared
	Compared int
	Partial  bool        // the time ran out; what is there is right but not all
	Times    []when.Span // what the cue's words about time were read as
	Stages   []StageTime
}

// StageTime says how long a stage took.
type StageTime struct {
	Stage string
	Took  time.Duration
}

// Weights of the legs when both speak.
type Weights struct {
	Text, Vector float64
	// Space says that z-scores are over all memories that the filter lets through, by a
	// sample of them, and not over the candidates.
	Space bool
	// Apart says that what all vectors have in common is taken off the cue's (apart.go).
	Apart bool
}

// The weights are those of every model that says nothing else (embed.Fusion), and of
// every kind of data. They were chosen on
// LoCoMo's conversations 1-3, with widened words and the built-in transformer: alone,
// likeness finds most evidence in the first ten with 1.5 for a vector's 1 of words; as
// the start of association, most in the first ten and in 2,000 tokens with 0.75, for
// what links bring is near in meaning already. bench/results/fusion.txt has others
// beside them.
var (
	SimilarWeights     = Weights{Text: 0.4, Vector: 0.6, Apart: true}
	AssociativeWeights = Weights{Text: 4.0 / 7, Vector: 3.0 / 7}
)

// candidatesLeast is how many candidates each leg gives at least, so that the
// z-scores of a short answer rest on more than its own few. Tuned with the weights.
const candidatesLeast = 200

// Run answers a question. Its only errors are of the vector's dimension; a ctx
// that ends makes the answer partial.
func Run(ctx context.Context, ix Indexes, q Question) (Answer, error) {
	r := run{Indexes: ix, Question: q}
	r.Weights = r.weights()
	r.stage("filter", func() { r.filter(); r.byThen() })
	switch {
	case r.Cue.Mode == memory.ModeRecent || !r.Cue.HasLikeness():
		r.stage("text", r.matching)
		r.stage("time", r.newest)
	case r.Cue.Mode == memory.ModeRecognise:
		r.stage("recognise", func() { r.recognise(ctx) })
	default:
		r.stage("text", r.byText)
		r.stage("vector", func() { r.byVector(ctx); r.byPassage(ctx) })
		r.stage("fusion", r.fuse)
		r.readTimes()
		if r.associates() {
			r.stage("links", func() { r.associate(ctx) })
		} else {
			r.asFound()
		}
		if r.Among {
			r.comparable()
		}
		r.explain()
		r.cite()
	}
	return r.answer, r.err
}

type run struct {
	Indexes
	Question
	answer  Answer
	err     error
	allowed *bitset.BitSet
	allow   *bitset.BitSet // allowed, for an index; nil when that is all that it holds
	query   text.Query
	words   []text.Hit
	near    []ann.Hit
	found   []likely       // the candidates, best first
	timed   *bitset.BitSet // whose valid time the cue's words name; nil: they name none
}

func (r *run) stage(name string, f func()) {
	began := time.Now() // stage times are told, never decided on
	f()
	r.answer.Stages = append(r.answer.Stages, StageTime{name, time.Since(began)})
}

func (r *run) filter() {
	if r.Cue.Filter.IsEmpty() {
		if r.allowed, _ = r.Facets.Visible(r.View, r.Now); !r.Facets.All(r.allowed) {
			r.allow = r.allowed
		}
		return
	}
	r.allowed, _ = r.Facets.Select(&r.Cue.Filter, r.View, r.Now)
	r.allow = r.allowed
}

func (r *run) candidates() int { return max(r.Limit, candidatesLeast) }

func (r *run) byText() {
	if r.Cue.Text == "" || r.Cue.Stages.NoText {
		return
	}
	r.query = r.Query(r.Cue)
	r.words = r.Words.Search(r.query, text.SearchOptions{Limit: r.candidates(), Allow: r.allow})
}

func (r *run) byVector(ctx context.Context) {
	if r.Vectors == nil || len(r.Cue.Vector) == 0 || r.Cue.Stages.NoVector {
		return
	}
	found, err := r.Vectors.Find(ctx, r.Cue.Vector, r.candidates(), r.allow, searchOf(r.Cue.Exact, r.candidates()))
	r.near, r.answer.Compared, r.answer.Exact = found.Hits, found.Compared, found.Exact && err == nil
	if err != nil && errors.Is(err, ctx.Err()) {
		r.answer.Partial = true
		return
	}
	r.err = err
}

// nearEffort is how many vectors a search keeps on its way for each that it gives. Of the
// 200 nearest it finds 99.1 %, of the first ten 99.9 %, in 100,000 vectors of the built-in
// transformer (99.7 and 100 with the 3 that an index takes by itself, for half as much
// work again): the last candidates are there to tell what stands out from.
const nearEffort = 2

// searchOf says how to search for k when the cue wants all to be compared, or not; nil
// leaves it to the index.
func searchOf(exact *bool, k int) ann.Options {
	o := ann.Options{Effort: nearEffort * k}
	if exact != nil {
		o.Exact, o.Walk = *exact, !*exact
	}
	return o
}

// likely is a candidate and what its likeness is made of.
type likely struct {
	slot             uint32
	said             said
	score            float64
	text, vector, id float64 // they sum to score
}

// said is which parts a score has.
type said uint8

const (
	byText said = 1 << iota
	byVector
	byID
)

// ranked is a result with the parts of its score.
func (x *likely) ranked() Ranked { return Ranked{Slot: x.slot, Score: x.score, Parts: x.parts()} }

func (x *likely) parts() []Part {
	parts := make([]Part, 0, 4) // and one for what comes after
	if x.said&byText != 0 {
		parts = append(parts, Part{Stage: "text", Value: x.text})
	}
	if x.said&byVector != 0 {
		parts = append(parts, Part{Stage: "vector", Value: x.vector})
	}
	if x.said&byID != 0 {
		parts = append(parts, Part{Stage: "id", Value: x.id})
	}
	return parts
}

// fuse joins the legs and puts the candidates in order.
func (r *run) fuse() {
	r.found = r.legs()
	top := 0.0
	for _, x := range r.found {
		top = max(top, x.score)
	}
	for _, slot := range r.Named {
		r.addNamed(slot, top)
	}
	slices.SortFunc(r.found, func(a, b likely) int {
		if a.score != b.score {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.slot, b.slot)
	})
}

// asFound makes the best candidates the answer.
func (r *run) asFound() {
	n := min(len(r.found), r.Limit)
	r.answer.Ranked = make([]Ranked, n)
	for i := range n {
		r.answer.Ranked[i] = r.found[i].ranked()
	}
}

func (r *run) legs() []likely {
	switch {
	case len(r.near) == 0:
		found := make([]likely, len(r.words))
		for i, h := range r.words {
			score := finite(h.Score)
			found[i] = likely{slot: h.Doc, said: byText, score: score, text: score}
		}
		return found
	case len(r.words) == 0:
		found := make([]likely, len(r.near))
		for i, h := range r.near {
			score := finite(h.Score)
			found[i] = likely{slot: h.Slot, said: byVector, score: score, vector: score}
		}
		return found
	}
	return r.both()
}

// both is the weighted sum of z-scores over the union of the candidates. A
// candidate without a vector has the lowest vector score of the others.
func (r *run) both() []likely {
	slots, place := r.union()
	rest, each := r.sample(slots)
	all := append(slots[:len(slots):len(slots)], rest...)
	words := standardise(r.wordScores(all), len(slots), each)
	near := standardise(r.nearScores(all, place), len(slots), each)
	found := make([]likely, len(slots))
	for i, slot := range slots {
		t, v := r.Weights.Text*words[i], r.Weights.Vector*near[i]
		found[i] = likely{slot: slot, said: byText | byVector, score: t + v, text: t, vector: v}
	}
	return found
}

// union is what the legs found, that of the words first; place says where each is in it.
func (r *run) union() (slots []uint32, place map[uint32]int) {
	place = make(map[uint32]int, len(r.words)+len(r.near))
	slots = make([]uint32, 0, len(r.words)+len(r.near))
	for _, h := range r.words {
		place[h.Doc] = len(slots)
		slots = append(slots, h.Doc)
	}
	for _, h := range r.near {
		if _, ok := place[h.Slot]; !ok {
			place[h.Slot] = len(slots)
			slots = append(slots, h.Slot)
		}
	}
	return slots, place
}

// wordScores are the scores of a union by words. Those that words found have theirs.
func (r *run) wordScores(slots []uint32) []float64 {
	scores := make([]float64, len(r.words), len(slots))
	for i, h := range r.words {
		scores[i] = h.Score
	}
	return append(scores, r.Words.Scores(r.query, slots[len(scores):])...)
}

// nearScores are the scores of a union by the vector, NaN for what has none. Those that the
// vector found have theirs; but for passages, of which only some were compared.
func (r *run) nearScores(slots []uint32, place map[uint32]int) []float64 {
	if q := r.apart(slots); q != nil {
		return r.nearness(q, slots)
	}
	if r.hasPassages() {
		return r.nearness(r.Cue.Vector, slots)
	}
	found := make([]bool, len(slots))
	scores := make([]float64, len(slots))
	for _, h := range r.near {
		i := place[h.Slot]
		scores[i], found[i] = h.Score, true
	}
	var others []uint32
	var of []int
	for i, slot := range slots {
		if !found[i] {
			others, of = append(others, slot), append(of, i)
		}
	}
	for i, score := range r.Vectors.Scores(r.Cue.Vector, others) {
		scores[of[i]] = score
	}
	return scores
}

// finite brings a score that has left the range of its float32s back to its
// ends, so that scores can be compared, summed and written as JSON. Vectors of
// enormous numbers give such scores.
func finite(x float64) float64 {
	if math.IsNaN(x) {
		return -math.MaxFloat32
	}
	return min(max(x, -math.MaxFloat32), math.MaxFloat32)
}

// lowestZ is the least z-score. A leg's candidates are its best, so one that only
// the other leg found is far below them all; without a floor its distance would
// say more than anything else, and the one memory that holds a rare word of the cue
// would lose to a hundred that are vaguely like it.
const lowestZ = -2

// addNamed gives a memory that the cue names a place above all others, whose
// best score is top: it was asked for by name.
func (r *run) addNamed(slot uint32, top float64) {
	if !r.allowed.Test(uint(slot)) {
		return
	}
	i := slices.IndexFunc(r.found, func(x likely) bool { return x.slot == slot })
	if i < 0 {
		i, r.found = len(r.found), append(r.found, likely{slot: slot})
	}
	x := &r.found[i]
	if x.said&byID != 0 {
		return // named twice
	}
	id := aboveAll(top, x.score)
	if x.score+id < top+namedScore { // a likeness so low that the sum has lost what lifts it
		*x, id = likely{slot: slot}, aboveAll(top, 0)
	}
	x.said, x.id, x.score = x.said|byID, id, x.score+id
}

// namedScore is above what words or angles give; dot products and distances have
// no bound, and then it is what lifts a score above the best by a millionth.
const namedScore = 1000

func aboveAll(top, score float64) float64 {
	return max(namedScore, top-score+max(namedScore, top*1e-6))
}

// explain notes which words matched, when the caller asked.
func (r *run) explain() {
	if !r.Cue.Explain || len(r.query.Terms) == 0 {
		return
	}
	for i := range r.answer.Ranked {
		for j := range r.answer.Ranked[i].Parts {
			if p := &r.answer.Ranked[i].Parts[j]; p.Stage == "text" {
				p.Note = r.matched(r.answer.Ranked[i].Slot)
			}
		}
	}
}

func (r *run) matched(slot uint32) string {
	note := ""
	for _, t := range r.Words.Explain(r.query, slot) {
		if note != "" {
			note += " "
		}
		note += t.Term
		if t.By != "" {
			note += "~" + t.By // it stands for the word of the cue
		}
	}
	return note
}

// matching narrows a listing to the memories that the cue's words or names
// touch, when it has any. A vector is near to all, more or less: it does not
// narrow.
func (r *run) matching() {
	byText := r.Cue.Text != "" && !r.Cue.Stages.NoText
	if !byText && len(r.Cue.IDs) == 0 {
		return
	}
	touched := bitset.New(r.allowed.Len())
	if byText {
		r.query = r.Analyzer.Query(r.Cue.Text)
		for _, h := range r.Words.Search(r.query, text.SearchOptions{Limit: r.Words.Stats().Docs, Allow: r.allowed}) {
			touched.Set(uint(h.Doc))
		}
	}
	for _, slot := range r.Named {
		if r.allowed.Test(uint(slot)) {
			touched.Set(uint(slot))
		}
	}
	r.allowed = touched
}

// newest lists what is left, the latest first.
func (r *run) newest() {
	for _, p := range r.Facets.Page(r.allowed, facet.ByTime, false, facet.Position{}, r.Limit) {
		r.answer.Ranked = append(r.answer.Ranked, Ranked{Slot: p.Slot, Parts: []Part{{Stage: "time"}}})
	}
}
