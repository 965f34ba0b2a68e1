package ann

import (
	"context"
	"math"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/vector"
)

// sketches are the 1-bit codes of rows (RaBitQ): an eighth of the bytes of a code,
// and an estimate that knows its error. A scan of many rows looks at them first, and
// at the codes of those alone that may be among the best.
//
// They are not saved: what is loaded lacks them, and plans make them, chunk by chunk,
// from the codes. Scans that come before do without.
type sketches struct {
	words    int // of a row; 0: there are none
	rotation *vector.Rotation
	codes    [][]uint64 // by chunk; nil where they are missing
	factors  [][]vector.BitFactors
	missing  int // chunks
}

const (
	// sketchFrom is the dimension from which on rows have sketches: in fewer a bit a
	// number tells little.
	sketchFrom = 128
	// sketchSeed is that of the rotation.
	sketchSeed = 1
	// sketchDeviations is by how many deviations of the code's and of the query's rounding,
	// added up, an estimate may be too low before a row is missed: some 3.5 of both, one row
	// in some 4,000.
	sketchDeviations = 3
	// sketchAtOnce is how many rows are estimated in one call, and sketchFlush after how
	// many that pass their codes are compared, so that fewer pass afterwards.
	sketchAtOnce = 256
	sketchFlush  = 64
	// sketchBlind is for how many chunks at most sketches are not looked at after those of
	// which most rows passed: 1, 3, 7, then so many.
	sketchBlind = 15
	// sketchTail is from how many rows on a tail is worth the query's rotation.
	sketchTail = 512
)

func newSketches(c *coder) sketches {
	if c.stride == 0 || c.dim < sketchFrom {
		return sketches{}
	}
	r := vector.NewRotation(c.dim, sketchSeed)
	return sketches{words: r.Padded() / 64, rotation: r}
}

// missingSketches has none for so many chunks.
func missingSketches(c *coder, chunks int) sketches {
	k := newSketches(c)
	if k.words > 0 {
		k.codes, k.factors, k.missing = make([][]uint64, chunks), make([][]vector.BitFactors, chunks), chunks
	}
	return k
}

func (k *sketches) whole() bool { return k.words > 0 && k.missing == 0 }

func (k *sketches) room() ([]uint64, []vector.BitFactors) {
	return make([]uint64, vector.CodedChunk*k.words), make([]vector.BitFactors, vector.CodedChunk)
}

// add makes room for one more chunk.
func (k *sketches) add() {
	if k.words > 0 {
		codes, factors := k.room()
		k.codes, k.factors = append(k.codes, codes), append(k.factors, factors)
	}
}

// drop forgets the chunks from one on.
func (k *sketches) drop(from int) {
	if k.words == 0 {
		return
	}
	for _, c := range k.codes[from:] {
		if c == nil {
			k.missing--
		}
	}
	drop(&k.codes, from)
	drop(&k.factors, from)
}

func (k *sketches) bytes() int {
	return (len(k.codes) - k.missing) * vector.CodedChunk * (8*k.words + 16)
}

// of is the code of a row and its factors; nil where they are missing.
func (k *sketches) of(row uint32) ([]uint64, *vector.BitFactors) {
	if k.words == 0 || k.codes[row>>chunkShift] == nil {
		return nil, nil
	}
	at := int(row&chunkMask) * k.words
	return k.codes[row>>chunkShift][at : at+k.words], &k.factors[row>>chunkShift][row&chunkMask]
}

// makeSketch makes the sketch of a row from its code, so that it is the same one whether
// the row was put or loaded.
func (g *Graph) makeSketch(row uint32) {
	if code, factors := g.sketch.of(row); code != nil {
		*factors = g.sketchOf(row, code, g.room)
	}
}

func (k *sketches) clear(row uint32) {
	if code, factors := k.of(row); code != nil {
		clear(code)
		*factors = vector.BitFactors{}
	}
}

// sketchedChunk is the sketches of a chunk that lacks them, as a plan makes them.
type sketchedChunk struct {
	chunk   int
	codes   []uint64
	factors []vector.BitFactors
	born    []uint32 // of the rows that they were made of
}

// LacksSketches says whether sketches are missing that Plan makes, after the index was
// loaded. Scans take longer until then.
func (g *Graph) LacksSketches() bool { return g.sketch.missing > 0 }

// planSketches plans the sketches of a chunk; nil when none is missing.
func (g *Graph) planSketches() *Plan {
	if g.sketch.missing == 0 {
		return nil
	}
	c := new(sketchedChunk)
	for g.sketch.codes[c.chunk] != nil {
		c.chunk++
	}
	p := &Plan{g: g, placed: g.placed, sketched: c}
	p.stage = p.makeSketches
	return p
}

// sketchStep is how many sketches a step makes: about a third of a millisecond.
const sketchStep = 256

func (p *Plan) makeSketches(int) bool {
	c, g := p.sketched, p.g
	if c.codes == nil {
		c.codes, c.factors = g.sketch.room()
		c.born = make([]uint32, vector.CodedChunk)
	}
	first := c.chunk << chunkShift
	to := min(p.next+sketchStep, vector.CodedChunk, g.count-first)
	room := make([]float32, g.code.stride)
	for i := p.next; i < to; i++ {
		row := uint32(first + i)
		c.born[i] = g.born[row]
		if s := g.states[row]; s != free && s != dead && s != standing {
			c.factors[i] = g.sketchOf(row, c.codes[i*g.sketch.words:(i+1)*g.sketch.words], room)
		}
	}
	clear(room)
	p.next = max(p.next, to)
	return p.next >= min(vector.CodedChunk, g.count-first)
}

// sketchOf makes a sketch from the code of a row.
func (g *Graph) sketchOf(row uint32, code []uint64, room []float32) vector.BitFactors {
	vector.DecodeInt8(room, g.coded.Code(row), g.coded.Factor(row).Scale)
	g.sketch.rotation.Rotate(room, room[:g.dim])
	return vector.EncodeBits(code, room)
}

// placeSketches takes the sketches of a chunk over; those of rows that have come or
// gone since are made now.
func (g *Graph) placeSketches(p *Plan) {
	c, k := p.sketched, &g.sketch
	if c.codes == nil || c.chunk >= len(k.codes) || k.codes[c.chunk] != nil {
		return
	}
	k.codes[c.chunk], k.factors[c.chunk] = c.codes, c.factors
	k.missing--
	first := c.chunk << chunkShift
	for i := range min(vector.CodedChunk, g.count-first) {
		row := uint32(first + i)
		switch s := g.states[row]; {
		case s == free || s == dead || s == standing:
			k.clear(row)
		case g.born[row] != c.born[i] || i >= p.next:
			c.factors[i] = g.sketchOf(row, c.codes[i*k.words:(i+1)*k.words], g.room)
		}
	}
	clear(g.room)
}

// scansSketches says whether a scan looks at all sketches first, whatever is allowed:
// they are read in order, for a quarter of what a code in order costs.
func (f *finder) scansSketches() bool {
	return f.g.sketch.whole() && f.g.count/2 < f.scanCost()
}

func (f *finder) scanAllSketches() (Found, error) {
	f.aimSketches()
	err := f.split(len(f.g.links), f.g.count, func(s *scratch, from, to int) error {
		s.at, s.blind, s.blinded = s.at[:0], 0, 0
		for c := from; c < to; c++ {
			if err := s.sieveChunk(f.ctx, c, f.allow); err != nil {
				return err
			}
		}
		return s.show(f.ctx)
	})
	if err != nil {
		return f.failed(err)
	}
	return f.rankSieve()
}

// aimSketches rotates the query, which aim has shifted.
func (f *finder) aimSketches() {
	if len(f.rotated) != len(f.room) {
		f.rotated = make([]float32, len(f.room))
	}
	f.g.sketch.rotation.Rotate(f.rotated, f.room[:f.g.dim])
	f.bits = new(vector.BitQuery)
	f.bits.Set(f.rotated)
}

// knownKey is a key that k allowed rows are known not to be above: a walk that gave up has
// found them. So few rows of a scan are compared before it has found some.
func (f *finder) knownKey() float32 {
	if len(f.beam.items) < f.k {
		return math.MaxFloat32
	}
	return f.beam.items[f.k-1].key()
}

// lastKey is a key that as many rows as are wanted are not above.
func (s *scratch) lastKey() float32 {
	if len(s.beam.items) < s.beam.size {
		return s.known
	}
	return min(s.known, s.beam.items[s.beam.size-1].key())
}

// limitKey is the largest key that may be among the best.
func (s *scratch) limitKey() float32 { return min(s.lastKey()+s.within, math.MaxFloat32) }

// sieveChunk is sieveRun for a chunk. Where most rows are as near as a bit can tell, as
// when a filter lets through what is far from the query and all of that is equally far,
// the next chunks' sketches are not looked at.
func (s *scratch) sieveChunk(ctx context.Context, c int, allow *bitset.BitSet) error {
	first, end := c<<chunkShift, min((c+1)<<chunkShift, s.g.count)
	if s.blind > 0 {
		s.blind--
		return s.offerRun(ctx, uint32(first), end-first, allow)
	}
	aware, passed := s.lastKey() < math.MaxFloat32, 0
	for ; first < end; first += sketchAtOnce {
		n, err := s.sieveRun(ctx, uint32(first), min(sketchAtOnce, end-first), allow)
		if err != nil {
			return err
		}
		passed += n
	}
	if !aware || passed <= vector.CodedChunk/2 {
		s.blinded = 0
		return nil
	}
	s.blinded = min(2*s.blinded+1, sketchBlind)
	s.blind = s.blinded
	return nil
}

// sieveRun compares the codes of those of n rows of a chunk, in order, that are allowed
// and whose sketches say that they may be near enough; it says how many may be, allowed
// or not.
func (s *scratch) sieveRun(ctx context.Context, first uint32, n int, allow *bitset.BitSet) (passed int, err error) {
	g, k := s.g, &s.g.sketch
	chunk, at := first>>chunkShift, int(first&chunkMask)
	if len(s.uppers) == 0 {
		s.uppers = make([]float32, sketchAtOnce)
	}
	uppers, factors := s.uppers[:n], g.coded.Factors[chunk][at:at+n]
	s.bits.Uppers(k.codes[chunk][at*k.words:(at+n)*k.words], k.factors[chunk][at:at+n], sketchDeviations, uppers)
	s.looked += n
	limit := s.limitKey()
	for i, upper := range uppers {
		if factors[i].Bias-2*upper > limit {
			continue
		}
		passed++
		row := first + uint32(i)
		if !g.scanned(row, allow) {
			continue
		}
		if s.at = append(s.at, row); len(s.at) >= sketchFlush {
			if err := s.show(ctx); err != nil {
				return passed, err
			}
			limit = s.limitKey()
		}
	}
	if s.looked%ctxEvery < n {
		return passed, ctx.Err()
	}
	return passed, nil
}

// offerRun compares the codes of those of n rows that are allowed.
func (s *scratch) offerRun(ctx context.Context, first uint32, n int, allow *bitset.BitSet) error {
	for row := first; row < first+uint32(n); row++ {
		if !s.g.scanned(row, allow) {
			continue
		}
		if err := s.offer(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// scanned says whether a scan compares a row: it has a vector, is near enough to be
// coded, and allowed.
func (g *Graph) scanned(row uint32, allow *bitset.BitSet) bool {
	switch g.states[row] {
	case free, dead, standing:
		return false
	}
	return allow == nil || allow.Test(uint(g.slots[row]))
}

// scanRuns compares the allowed ones of rows, most of which follow one another.
func (s *scratch) scanRuns(ctx context.Context, rows []uint32, allow *bitset.BitSet) error {
	s.at = s.at[:0]
	for len(rows) > 0 {
		n := 1
		for n < min(len(rows), sketchAtOnce) && rows[n] == rows[0]+uint32(n) && rows[n]&chunkMask != 0 {
			n++
		}
		if _, err := s.sieveRun(ctx, rows[0], n, allow); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return s.show(ctx)
}
