package ann

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// chunkRows is how many rows lie in one array. 64 rows of 768 numbers are 192
// KiB: long enough for the kernels, short enough to waste little.
const chunkRows = 64

// ctxEvery is after how many rows a search looks whether it is still wanted:
// about 0.3 ms at 768 numbers.
const ctxEvery = 1024

// splitFloats is from how many numbers to compare on a search takes a second
// goroutine: about 0.4 ms of work, against some 10 us for starting one.
const splitFloats = 1 << 20

// Flat is the exact index of vectors of one dimension under one metric, kept in
// memory. See the package doc for who locks it.
type Flat struct {
	dim    int
	metric memory.Metric

	chunks [][]float32 // chunkRows rows each; the first starts smaller
	slots  []uint32    // slot of each row
	rows   table       // row of each slot
}

// NewFlat makes an empty index of vectors of dim numbers. It panics when dim is
// not positive or the metric is unknown: memory.Settings has checked both.
func NewFlat(dim int, m memory.Metric) *Flat {
	if dim <= 0 || !knownMetric(m) {
		panic(fmt.Sprintf("ann: no index of dimension %d and metric %q", dim, m))
	}
	return &Flat{dim: dim, metric: m}
}

// Put stores the vector of a slot, in place of the one that it had. v is copied
// and has finite numbers (memory.CheckVectorFor); another length than the
// index's dimension panics. Under cosine the zero vector scores 0 with all.
func (f *Flat) Put(slot uint32, v []float32) {
	mustBeOf(f.dim, v)
	row := f.rows.get(slot)
	if row < 0 {
		row = f.addRow(slot)
	}
	if f.metric == memory.MetricCosine {
		vector.Normalize(f.row(row), v)
		return
	}
	copy(f.row(row), v)
}

// Delete forgets the vector of a slot and wipes it from memory; a slot that has
// none is let be.
func (f *Flat) Delete(slot uint32) {
	row := f.rows.get(slot)
	if row < 0 {
		return
	}
	last := len(f.slots) - 1
	if row != last {
		copy(f.row(row), f.row(last))
		f.slots[row] = f.slots[last]
		f.rows.set(f.slots[row], row)
	}
	clear(f.row(last))
	f.rows.remove(slot)
	f.slots = f.slots[:last]
	f.shrink()
}

// Has says whether the slot has a vector.
func (f *Flat) Has(slot uint32) bool { return f.rows.get(slot) >= 0 }

// Len is how many vectors there are.
func (f *Flat) Len() int { return len(f.slots) }

// Bytes is about how much memory the index takes.
func (f *Flat) Bytes() int {
	n := 4*cap(f.slots) + f.rows.bytes() + 24*cap(f.chunks)
	for _, c := range f.chunks {
		n += 4 * cap(c)
	}
	return n
}

// Search gives the k vectors with the best scores for q, best first, equal
// scores by slot, and how many vectors it compared. Only slots that are set in
// allow are looked at, at a cost in proportion to them; nil allows all. Fewer
// than k are given when there are no more. q is not kept and need not be
// normalised; the hits belong to the caller. The errors are ErrDimension and
// those of ctx, which is looked at every millisecond or so; compared is then
// what was done so far.
func (f *Flat) Search(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (hits []Hit, compared int, err error) {
	if len(q) != f.dim {
		return nil, 0, fmt.Errorf("ann: query of %d numbers in an index of %d: %w", len(q), f.dim, ErrDimension)
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if k <= 0 || len(f.slots) == 0 {
		return nil, 0, nil
	}
	work := f.plan(allow)
	s := &search{flat: f, q: prepared(f.metric, q), k: k, allow: work.allow}
	if f.workers(o, work.compare) < 2 {
		part := s.run(ctx, 0, work.units)
		return part.finish()
	}
	return s.split(ctx, work.units)
}

// Scores gives the score for q of each slot, in the order of slots; NaN for a
// slot without a vector. q has the index's dimension, otherwise it panics.
func (f *Flat) Scores(q []float32, slots []uint32) []float64 {
	if len(q) != f.dim {
		panic(fmt.Sprintf("ann: query of %d numbers in an index of dimension %d", len(q), f.dim))
	}
	q = prepared(f.metric, q)
	scores := make([]float64, len(slots))
	var one [1]float32
	for i, slot := range slots {
		row := f.rows.get(slot)
		if row < 0 {
			scores[i] = math.NaN()
			continue
		}
		compare(f.metric, q, f.row(row), one[:])
		scores[i] = f.score(one[0], q, row)
	}
	return scores
}

// row is the numbers of a row, which is below the last chunk's end.
func (f *Flat) row(i int) []float32 {
	at := i % chunkRows * f.dim
	return f.chunks[i/chunkRows][at : at+f.dim]
}

// addRow makes room for one more row. Only the first chunk grows by copying, so
// that a space of three vectors does not pay for 64.
func (f *Flat) addRow(slot uint32) int {
	row := len(f.slots)
	c := row / chunkRows
	switch {
	case c == 0:
		f.growFirst()
	case c == len(f.chunks):
		f.chunks = append(f.chunks, make([]float32, chunkRows*f.dim))
	}
	f.slots = append(f.slots, slot)
	f.rows.set(slot, row)
	return row
}

func (f *Flat) growFirst() {
	if len(f.chunks) == 0 {
		f.chunks = append(f.chunks, make([]float32, f.dim))
	}
	first := f.chunks[0]
	if need := (len(f.slots) + 1) * f.dim; need > len(first) {
		grown := make([]float32, min(2*len(first), chunkRows*f.dim))
		copy(grown, first)
		clear(first) // a later Delete wipes the copy, not this one
		f.chunks[0] = grown
	}
}

// shrink lets chunks go that are empty, but for one: a delete and a put at the
// edge of a chunk are then not an allocation each.
func (f *Flat) shrink() {
	used := (len(f.slots) + chunkRows - 1) / chunkRows
	for len(f.chunks) > used+1 {
		f.chunks[len(f.chunks)-1] = nil
		f.chunks = f.chunks[:len(f.chunks)-1]
	}
	if cap(f.slots) > 1024 && len(f.slots) < cap(f.slots)/4 {
		f.slots = append(make([]uint32, 0, len(f.slots)*2), f.slots...)
	}
}

// score makes the score of a row from its raw result.
func (f *Flat) score(raw float32, q []float32, row int) float64 {
	if raw-raw != 0 { // overflow, see package vector
		return signed(f.metric, wide(f.metric, q, f.row(row)))
	}
	return signed(f.metric, float64(raw))
}

// work says how a search is cut: into units, which are chunks without a filter
// and words of the filter with one.
type work struct {
	allow   []uint64 // nil: all
	units   int
	compare int // rows at most
}

func (f *Flat) plan(allow *bitset.BitSet) work {
	if allow == nil {
		return work{units: (len(f.slots) + chunkRows - 1) / chunkRows, compare: len(f.slots)}
	}
	words := allow.Words()
	// Slots above the highest page have no vector. Never nil, which means all.
	words = words[:min(len(words), len(f.rows.pages)*(tablePageSlots/64)):len(words)]
	if words == nil {
		words = []uint64{}
	}
	return work{allow: words, units: len(words), compare: min(len(f.slots), int(allow.Count()))}
}

func (f *Flat) workers(o Options, compare int) int {
	if o.Workers > 0 {
		return min(o.Workers, MaxWorkers)
	}
	if compare*f.dim < splitFloats {
		return 1
	}
	return min(runtime.GOMAXPROCS(0), MaxWorkers)
}

// search is one query on its way; its parts only read it.
type search struct {
	flat  *Flat
	q     []float32
	k     int
	allow []uint64
}

// split runs two halves at once and joins them. Which half a hit came from
// does not matter, as the order of hits is total.
func (s *search) split(ctx context.Context, units int) ([]Hit, int, error) {
	half := s.half(units)
	var second *part
	var wg sync.WaitGroup
	wg.Go(func() { second = s.run(ctx, half, units) })
	first := s.run(ctx, 0, half)
	wg.Wait()
	first.join(second)
	return first.finish()
}

// half is the unit that parts the work in two: with a filter, the word before
// which half of its slots lie, as old slots are often few.
func (s *search) half(units int) int {
	if s.allow == nil {
		return units / 2
	}
	left := 0
	for _, w := range s.allow {
		left += bits.OnesCount64(w)
	}
	left /= 2
	for i, w := range s.allow {
		if left -= bits.OnesCount64(w); left <= 0 {
			return i
		}
	}
	return units
}

// run compares units [from, to) and gives the best of them.
func (s *search) run(ctx context.Context, from, to int) *part {
	p := &part{search: s, ctx: ctx, top: newBest(s.k, len(s.flat.slots))}
	if s.allow == nil {
		p.scan(from, to)
		return p
	}
	p.pick(from, to)
	return p
}

// part is what one goroutine of a search does and finds.
type part struct {
	*search
	ctx      context.Context
	top      best
	compared int
	since    int // rows since ctx was looked at
	err      error
	raw      [chunkRows]float32

	// A run of neighbouring rows that is not compared yet.
	start, length int
}

// scan compares whole chunks.
func (p *part) scan(from, to int) {
	for c := from; c < to; c++ {
		start := c * chunkRows
		if !p.compareRows(start, min(chunkRows, len(p.flat.slots)-start)) {
			return
		}
	}
}

// pick compares the rows of allowed slots. Rows mostly lie in the order of
// their slots, so it gathers neighbours and compares them at once.
func (p *part) pick(from, to int) {
	f := p.flat
	for w := from; w < to; w++ {
		word := p.allow[w]
		if word == 0 || f.rows.pages[w/(tablePageSlots/64)] == nil {
			continue
		}
		if !p.pickWord(w, word) {
			return
		}
	}
	p.flush()
}

func (p *part) join(o *part) {
	for _, h := range o.top.hits {
		p.top.add(h)
	}
	p.compared += o.compared
	if p.err == nil {
		p.err = o.err
	}
}

func (p *part) finish() ([]Hit, int, error) {
	if p.err != nil {
		return nil, p.compared, p.err
	}
	return p.top.sorted(), p.compared, nil
}

// pickWord takes the allowed slots of word w; false when the search must stop.
func (p *part) pickWord(w int, word uint64) bool {
	for ; word != 0; word &= word - 1 {
		row := p.flat.rows.get(uint32(w*64 + bits.TrailingZeros64(word)))
		if row < 0 {
			continue
		}
		if p.length > 0 && row == p.start+p.length && row%chunkRows != 0 {
			p.length++
			continue
		}
		if !p.flush() {
			return false
		}
		p.start, p.length = row, 1
	}
	return true
}

// flush compares the gathered rows; false when the search must stop.
func (p *part) flush() bool {
	if p.length == 0 {
		return true
	}
	n := p.length
	p.length = 0
	return p.compareRows(p.start, n)
}

// compareRows compares n rows of one chunk; false when the search must stop.
func (p *part) compareRows(start, n int) bool {
	if p.since += n; p.since >= ctxEvery {
		p.since = 0
		if p.err = p.ctx.Err(); p.err != nil {
			return false
		}
	}
	f := p.flat
	at := start % chunkRows * f.dim
	raw := p.raw[:n]
	compare(f.metric, p.q, f.chunks[start/chunkRows][at:at+n*f.dim], raw)
	for i, r := range raw {
		p.top.add(Hit{Slot: f.slots[start+i], Score: f.score(r, p.q, start+i)})
	}
	p.compared += n
	return true
}
