package ann

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/memory"
)

// Passages finds what is nearest by its parts: a slot has any number of vectors, each of
// a span of its text, and scores as its best one does. It lies above an index in which
// each passage has a number of its own; numbers rise and are not used again. Who locks
// it is who locks an index. A nil one is empty to Len.
//
// The index below is the exact one: a hundred thousand passages of 384 numbers cost each
// search some 10 ms. Where there are so many, it is to be a Graph; nothing else changes.
type Passages struct {
	index *Flat
	parts []passage           // by number; that of a deleted one stays, 12 bytes
	of    map[uint32][]uint32 // numbers by slot, in the order of the text
}

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

// NewPassages makes an empty one, as NewFlat does.
func NewPassages(dim int, m memory.Metric) *Passages {
	return &Passages{index: NewFlat(dim, m), of: make(map[uint32][]uint32)}
}

// Put stores the passages of a slot, in place of those that it had. Vectors are copied;
// see Flat.Put.
func (p *Passages) Put(slot uint32, spans []Span, vectors [][]float32) {
	p.Delete(slot)
	numbers := make([]uint32, len(spans))
	for i, s := range spans {
		numbers[i] = uint32(len(p.parts))
		p.parts = append(p.parts, passage{slot, s})
		p.index.Put(numbers[i], vectors[i])
	}
	if len(numbers) > 0 {
		p.of[slot] = numbers
	}
}

// Delete forgets the passages of a slot and wipes their vectors from memory.
func (p *Passages) Delete(slot uint32) {
	for _, n := range p.of[slot] {
		p.index.Delete(n)
	}
	delete(p.of, slot)
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
	return p.index.Bytes() + 12*cap(p.parts) + 64*len(p.of) + 4*p.index.Len()
}

// passagesEach is how many passages are looked for to have one of k slots each: a text
// that fits has several that do.
const passagesEach = 4

// Search gives the slots whose best passages have the best scores for q, at most k, best
// first, equal scores by slot; otherwise it is Flat.Search. Where texts have many
// passages that fit, it may find fewer slots than there are.
func (p *Passages) Search(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (hits []PassageHit, compared int, err error) {
	found, compared, err := p.index.Search(ctx, q, passagesEach*k, p.allowed(allow), o)
	seen := make(map[uint32]bool, k)
	for _, h := range found {
		if x := p.parts[h.Slot]; !seen[x.slot] && len(hits) < k {
			seen[x.slot] = true
			hits = append(hits, PassageHit{x.slot, x.span, h.Score})
		}
	}
	slices.SortStableFunc(hits, func(a, b PassageHit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Slot, b.Slot))
	})
	return hits, compared, err
}

// allowed turns a set of slots into that of their passages.
func (p *Passages) allowed(slots *bitset.BitSet) *bitset.BitSet {
	if slots == nil {
		return nil
	}
	allowed := bitset.New(uint(len(p.parts)))
	for n, x := range p.parts {
		if slots.Test(uint(x.slot)) {
			allowed.Set(uint(n)) // of a deleted one, too: the index has no vector of it
		}
	}
	return allowed
}

// Of gives all passages of a slot with their scores for q, in the order of the text; nil
// for a slot without any.
func (p *Passages) Of(q []float32, slot uint32) []PassageHit {
	numbers := p.of[slot]
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
	for i, slot := range slots {
		for _, h := range p.Of(q, slot) {
			if math.IsNaN(scores[i]) || h.Score > scores[i] {
				scores[i] = h.Score
			}
		}
	}
}
