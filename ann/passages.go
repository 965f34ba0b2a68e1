package ann

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/memory"
)

// Passages finds what is nearest by its parts: a slot has any number of vectors, each of
// a span of its text, and scores as its best one does. It lies above a Graph in which
// each passage has a number of its own; numbers rise and are not used again. Who locks
// it is who locks an index, and links are made as those of any Graph (Links). A nil one
// is empty to Len.
type Passages struct {
	index *Graph
	parts []passage         // by number; that of a deleted one stays, 12 bytes
	of    map[uint32]number // of slots that have passages
	slots bitset.BitSet     // likewise
}

// number is that of a slot's first passage; the others follow it, in the order of the text.
type number struct{ first, count uint32 }

// Span is a part of a text, in bytes.
type Span struct{ From, To uint32 }

type passage struct {
	slot uint32
	span Span
}

// PassageHit is a slot, its best passage and the score of that.
type PassageHit struct {
	Slot  uint32
	Span  Span
	Score float64
}

// FoundPassages is an answer and how it came about, as Found is.
type FoundPassages struct {
	Hits     []PassageHit // best first, equal scores by slot
	Compared int          // passages compared
	Exact    bool         // all passages of what was allowed were compared by themselves
}

// NewPassages makes an empty one, as NewGraph does.
func NewPassages(dim int, m memory.Metric) *Passages { return newPassages(NewGraph(dim, m)) }

func newPassages(g *Graph) *Passages { return &Passages{index: g, of: make(map[uint32]number)} }

// Links is the index below, whose links the owner makes (Plan, Place); what is in it is
// the passages' own.
func (p *Passages) Links() *Graph { return p.index }

// Put stores the passages of a slot, in place of those that it had. Vectors are copied;
// see Flat.Put.
func (p *Passages) Put(slot uint32, spans []Span, vectors [][]float32) {
	p.Delete(slot)
	if len(spans) == 0 {
		return
	}
	n := number{uint32(len(p.parts)), uint32(len(spans))}
	for i, s := range spans {
		p.parts = append(p.parts, passage{slot, s})
		p.index.Put(n.first+uint32(i), vectors[i])
	}
	p.of[slot] = n
	p.slots.Set(uint(slot))
}

// Delete forgets the passages of a slot and wipes their vectors from memory.
func (p *Passages) Delete(slot uint32) {
	n, ok := p.of[slot]
	if !ok {
		return
	}
	for i := range n.count {
		p.index.Delete(n.first + i)
	}
	delete(p.of, slot)
	p.slots.Clear(uint(slot))
}

// Len is how many passages there are, of how many slots.
func (p *Passages) Len() (passages, slots int) {
	if p == nil {
		return 0, 0
	}
	return p.index.Len(), len(p.of)
}

// Bytes is about how much memory it takes.
func (p *Passages) Bytes() int {
	return p.index.Bytes() + 12*cap(p.parts) + 32*len(p.of) + int(p.slots.Len()/8)
}

// passagesEach is how many passages are looked for to have one of k slots each: a text
// that fits has several that do.
const passagesEach = 4

// Find gives the slots whose best passages have the best scores for q, at most k;
// otherwise it is Graph.Find. Where texts have many passages that fit, it may find fewer
// slots than there are.
func (p *Passages) Find(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (FoundPassages, error) {
	found, err := p.index.Find(ctx, q, passagesEach*k, p.allowed(allow), o)
	out := FoundPassages{Compared: found.Compared, Exact: found.Exact && err == nil}
	seen := make(map[uint32]bool, k)
	for _, h := range found.Hits {
		if x := p.parts[h.Slot]; !seen[x.slot] && len(out.Hits) < k {
			seen[x.slot] = true
			out.Hits = append(out.Hits, PassageHit{x.slot, x.span, h.Score})
		}
	}
	slices.SortStableFunc(out.Hits, func(a, b PassageHit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Slot, b.Slot))
	})
	return out, err
}

// allowed turns a set of slots into that of their passages; nil where it allows all, as
// most cues do.
func (p *Passages) allowed(slots *bitset.BitSet) *bitset.BitSet {
	if slots == nil {
		return nil
	}
	have, given := p.slots.Words(), slots.Words()
	all := true
	for i, w := range have {
		if i >= len(given) && w != 0 || i < len(given) && w&^given[i] != 0 {
			all = false
			break
		}
	}
	if all {
		return nil
	}
	allowed := bitset.New(uint(len(p.parts)))
	for i, w := range have[:min(len(have), len(given))] {
		for w &= given[i]; w != 0; w &= w - 1 {
			n := p.of[uint32(i*64+bits.TrailingZeros64(w))]
			for j := range n.count {
				allowed.Set(uint(n.first + j))
			}
		}
	}
	return allowed
}

// numbers of the passages of a slot, in the order of the text.
func (p *Passages) numbers(slot uint32) []uint32 {
	n := p.of[slot]
	numbers := make([]uint32, n.count)
	for i := range numbers {
		numbers[i] = n.first + uint32(i)
	}
	return numbers
}

// Of gives all passages of a slot with their scores for q, in the order of the text; nil
// for a slot without any.
func (p *Passages) Of(q []float32, slot uint32) []PassageHit {
	numbers := p.numbers(slot)
	if len(numbers) == 0 {
		return nil
	}
	hits := make([]PassageHit, len(numbers))
	for i, score := range p.index.Scores(q, numbers) {
		hits[i] = PassageHit{slot, p.parts[numbers[i]].span, score}
	}
	return hits
}

// Raise raises the scores of slots, which are in their order, to those of their best
// passages; NaN is below all.
func (p *Passages) Raise(q []float32, slots []uint32, scores []float64) {
	var numbers []uint32
	var at []int
	for i, slot := range slots {
		n := p.of[slot]
		for j := range n.count {
			numbers, at = append(numbers, n.first+j), append(at, i)
		}
	}
	for j, score := range p.index.Scores(q, numbers) {
		if i := at[j]; math.IsNaN(scores[i]) || score > scores[i] {
			scores[i] = score
		}
	}
}
