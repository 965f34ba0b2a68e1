package ann

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/vector"
)

// Found is an answer and how it came about.
type Found struct {
	Hits     []Hit // as Search gives them
	Compared int   // vectors compared, by their codes of 8 bits or themselves; not those that a sketch ruled out
	Exact    bool  // all that was allowed was compared by itself, so none can be missing
}

// Search gives the k vectors with the best scores for q, best first, equal scores
// by slot, and how many it compared; the contract is Flat's, but that of the true
// nearest some may be missing. Scores are exact.
func (g *Graph) Search(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (hits []Hit, compared int, err error) {
	f, err := g.Find(ctx, q, k, allow, o)
	return f.Hits, f.Compared, err
}

// Find is Search that says more.
func (g *Graph) Find(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (Found, error) {
	if g.flat != nil {
		return g.flat.Find(ctx, q, k, allow, o)
	}
	if len(q) != g.dim {
		return Found{}, fmt.Errorf("ann: query of %d numbers in an index of %d: %w", len(q), g.dim, ErrDimension)
	}
	if err := ctx.Err(); err != nil {
		return Found{}, err
	}
	work := g.plan(allow)
	if k <= 0 || work.compare == 0 {
		return Found{Exact: true}, nil
	}
	s := g.borrow()
	defer g.giveBack(s)
	f := &finder{scratch: s, ctx: ctx, k: min(k, work.compare), allow: allow, work: work, options: o}
	return f.find(q)
}

// Find is Search that says more: the answer of a Flat is exact.
func (f *Flat) Find(ctx context.Context, q []float32, k int, allow *bitset.BitSet, o Options) (Found, error) {
	hits, compared, err := f.Search(ctx, q, k, allow, o)
	return Found{Hits: hits, Compared: compared, Exact: err == nil}, err
}

// plan says how much a search has to look at: units are words of a filter, or
// chunks.
func (g *Graph) plan(allow *bitset.BitSet) work {
	if allow == nil {
		return work{units: len(g.links), compare: g.live}
	}
	words := allow.Words()
	words = words[:min(len(words), len(g.rows.pages)*(tablePageSlots/64)):len(words)]
	if words == nil {
		words = []uint64{}
	}
	n := 0
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return work{allow: words, units: len(words), compare: min(n, g.live)}
}

// A finder is one search on its way.
type finder struct {
	*scratch
	ctx     context.Context
	k       int
	allow   *bitset.BitSet
	work    work
	options Options
}

// margin is by how much keys may be off, in standard deviations of the error of
// one: a row is compared by itself when its key is within it of the k-th key. A
// scan's k-th key is itself the luckiest of many, so there it is wider.
const (
	margin     = 4.5
	scanMargin = 7
)

// rankMost is how many rows a search compares by themselves, and at least rankShare
// times k: where so many are as near as their codes can tell, it takes some
// milliseconds, and the best by their codes are taken.
const (
	rankMost  = 16384
	rankShare = 4
)

// off is the standard deviation of a row's key: rounding to codes puts the error of uniform numbers
// of either's step on a product, times the other's length.
func (f *finder) off(row uint32) float32 {
	if f.g.code.stride == 0 {
		return 0
	}
	code, query := f.g.coded.Code(row), f.probe.coded
	lengths := float64(vector.DotInt8(code, code)) + float64(vector.DotInt8(query.Code, query.Code))
	return float32(math.Sqrt(lengths/12) * float64(f.g.coded.Factor(row).Scale) * math.Abs(float64(query.Factor)))
}

// usualOff is that of a search, by a few rows.
func (f *finder) usualOff() float32 {
	sum, rows := float32(0), f.g.entries.rows
	if len(rows) == 0 {
		rows = f.g.tail.all()
	}
	rows = rows[:min(len(rows), 8)]
	for _, row := range rows {
		sum += f.off(row)
	}
	return sum / float32(max(1, len(rows)))
}

// effort is how many candidates a walk keeps.
func (f *finder) effort() int {
	if f.options.Effort > 0 {
		return max(f.options.Effort, f.k)
	}
	return max(effortLeast, effortShare*f.k)
}

const (
	effortLeast = 96
	effortShare = 3
)

// What comparing a row costs, in halves of what one in order does: then the lines
// of a row that follows another are there when they are wanted.
const (
	scanCost   = 2
	filterCost = 3 // a row that is looked up by its slot; more when few are allowed
	walkCost   = 9 // a row that a link leads to
	// walkRows is about how many rows a walk compares for each candidate that it keeps.
	walkRows = 18
	// walkMost is how many times that a walk under a filter may compare before it
	// gives up: what is near is then not what is allowed.
	walkMost = 4
)

func (f *finder) find(q []float32) (Found, error) {
	if !f.g.code.aim(&f.probe, q, f.room) || f.options.Exact {
		return f.exact()
	}
	if f.scans() {
		return f.scanAll()
	}
	if f.allow == nil {
		if err := f.walk(f.ctx, f.effort()); err != nil {
			return f.failed(err)
		}
		return f.finish()
	}
	done, err := f.walkAllowed(f.ctx, f.effort(), min(walkMost*f.walkRows(), f.scanCost()/walkCost), float64(f.work.compare)/float64(f.g.live), f.allow)
	if err != nil {
		return f.failed(err)
	}
	if !done {
		f.known = f.knownKey()
		return f.scanAll()
	}
	return f.finish()
}

// scanCost is what comparing all that is allowed costs.
func (f *finder) scanCost() int {
	if f.allow == nil {
		return scanCost * f.work.compare
	}
	return filterCost * f.work.compare
}

// walkRows is how many rows a walk compares: under a filter, only a part of what it
// passes is allowed.
func (f *finder) walkRows() int {
	rows := walkRows * f.effort()
	if f.allow != nil {
		rows = int(float64(rows) * float64(f.g.live) / float64(f.work.compare))
	}
	return rows
}

// scans says whether comparing all codes that are allowed is cheaper than a walk,
// or surer: a walk that is to find a large part of the whole finds it badly.
func (f *finder) scans() bool {
	if len(f.g.entries.rows) == 0 || f.work.compare <= 4*f.effort() && (f.allow != nil || !f.options.Walk) {
		return true
	}
	return !f.options.Walk && f.scanCost() <= walkCost*f.walkRows()
}

func (f *finder) failed(err error) (Found, error) { return Found{Compared: f.compared}, err }

// scanAll compares the codes of all that is allowed, and by themselves those that
// may be among the first k, whatever their codes have done to their keys.
func (f *finder) scanAll() (Found, error) {
	f.collects(f.k, scanMargin*f.usualOff())
	if f.scansSketches() {
		return f.scanAllSketches()
	}
	units := func(s *scratch, from, to int) error { return s.scanChunks(f.ctx, from, to) }
	if f.allow != nil {
		units = func(s *scratch, from, to int) error { return s.scanWords(f.ctx, f.work.allow, from, to) }
	}
	if err := f.split(f.work.units, f.work.compare, units); err != nil {
		return f.failed(err)
	}
	return f.rankSieve()
}

// rankSieve compares what a scan has kept.
func (f *finder) rankSieve() (Found, error) {
	f.sift()
	slices.Sort(f.sieve)
	return f.rank(f.sieve[:min(len(f.sieve), max(rankMost, rankShare*f.k))], false)
}

// finish adds what waits for links to what a walk found.
func (f *finder) finish() (Found, error) {
	f.sieve, f.sifted, f.within = f.sieve[:0], 0, 0
	tail := f.g.tail.all()
	if len(tail) >= sketchTail && f.g.sketch.whole() {
		f.aimSketches()
	}
	if err := f.split(len(tail), len(tail), func(s *scratch, from, to int) error {
		return s.scanTail(f.ctx, tail[from:to], f.allow)
	}); err != nil {
		return f.failed(err)
	}
	items := f.beam.items
	if len(items) > f.k {
		last := items[f.k-1]
		sure := newItem(last.key()+margin*f.off(last.row()), maxRows-1)
		n, _ := slices.BinarySearch(items, sure)
		items = items[:n]
	}
	return f.rank(items, true)
}

// split runs a scan, in two halves at once when it is long. Items are ordered
// whoever finds them, so the answer is the same.
func (f *finder) split(units, rows int, run func(s *scratch, from, to int) error) error {
	workers := min(f.options.Workers, MaxWorkers)
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), MaxWorkers)
		if rows*f.g.dim < 4*splitFloats { // codes are a quarter of the work
			workers = 1
		}
	}
	if workers < 2 || units < 2 {
		return run(f.scratch, 0, units)
	}
	second := f.g.borrow()
	defer f.g.giveBack(second)
	second.aimed, second.bits, second.known = f.aimed, f.bits, f.lastKey()
	second.collects(f.beam.size, f.within)
	half := f.half(units)
	var wg sync.WaitGroup
	var err2 error
	wg.Go(func() { err2 = run(second, half, units) })
	err := run(f.scratch, 0, half)
	wg.Wait()
	f.compared += second.compared
	for _, it := range second.beam.items {
		if it >= f.beam.worst() {
			break
		}
		f.beam.add(it)
	}
	f.sieve = append(f.sieve, second.sieve...)
	if err == nil {
		err = err2
	}
	return err
}

// half is the unit that parts the work in two.
func (f *finder) half(units int) int {
	if f.work.allow == nil || units != len(f.work.allow) {
		return units / 2
	}
	return (&search{allow: f.work.allow}).half(units)
}

// collects makes a search keep the size best, and with them, in the sieve, all that
// are within so much of the last of these.
func (s *scratch) collects(size int, within float32) {
	s.beam.reset(size)
	s.sieve, s.sifted, s.within = s.sieve[:0], 0, within
}

// show compares what at holds and shows it to the beam, as rows not to follow, and
// to the sieve.
func (s *scratch) show(ctx context.Context) error {
	before := s.compared / ctxEvery
	s.compare()
	worst, through := s.beam.worst(), s.through()
	keys := s.keys[:len(s.at)]
	for i, row := range s.at {
		it := newItem(keys[i], row) | followed
		if it > through {
			continue
		}
		s.sieve = append(s.sieve, it)
		if it < worst {
			s.beam.add(it)
			worst, through = s.beam.worst(), s.through()
		}
	}
	s.at = s.at[:0]
	if len(s.sieve) > 2*s.sifted+siftAt {
		s.sift()
	}
	if s.compared/ctxEvery != before {
		return ctx.Err()
	}
	return nil
}

// siftAt is how much the sieve holds before it is sifted.
const siftAt = 1024

// through is the last item that goes through the sieve.
func (s *scratch) through() item {
	if len(s.beam.items) < s.beam.size {
		return math.MaxUint64
	}
	return newItem(s.beam.items[s.beam.size-1].key()+s.within, maxRows-1) | followed
}

// sift takes out of the sieve what is too far away by now.
func (s *scratch) sift() {
	through := s.through()
	s.sieve = slices.DeleteFunc(s.sieve, func(it item) bool { return it > through })
	s.sifted = len(s.sieve)
}

// offer has a row compared, with others.
func (s *scratch) offer(ctx context.Context, row uint32) error {
	if s.at = append(s.at, row); len(s.at) < atOnce {
		return nil
	}
	return s.show(ctx)
}

// scanChunks compares the rows of chunks that hold vectors.
func (s *scratch) scanChunks(ctx context.Context, from, to int) error {
	s.at = s.at[:0]
	first := from << chunkShift
	for i, state := range s.g.states[first:min(to<<chunkShift, s.g.count)] {
		if state == free || state == dead || state == standing {
			continue
		}
		if err := s.offer(ctx, uint32(first+i)); err != nil {
			return err
		}
	}
	return s.show(ctx)
}

// scanWords compares the rows of the slots in words of a filter.
func (s *scratch) scanWords(ctx context.Context, words []uint64, from, to int) error {
	s.at = s.at[:0]
	for w := from; w < to; w++ {
		word := words[w]
		if word == 0 || s.g.rows.pages[w/(tablePageSlots/64)] == nil {
			continue
		}
		for ; word != 0; word &= word - 1 {
			row := s.g.rows.get(uint32(w*64 + bits.TrailingZeros64(word)))
			if row < 0 || s.g.states[row] == standing {
				continue
			}
			if err := s.offer(ctx, uint32(row)); err != nil {
				return err
			}
		}
	}
	return s.show(ctx)
}

// scanTail compares the allowed rows of a part of the tail.
func (s *scratch) scanTail(ctx context.Context, tail []uint32, allow *bitset.BitSet) error {
	if s.bits != nil {
		return s.scanRuns(ctx, tail, allow)
	}
	s.at = s.at[:0]
	for _, row := range tail {
		if allow != nil && !allow.Test(uint(s.g.slots[row])) {
			continue
		}
		if err := s.offer(ctx, row); err != nil {
			return err
		}
	}
	return s.show(ctx)
}

// rank compares items by themselves, and with them what stands apart. Items of a
// walk stand for their twins too.
func (f *finder) rank(items []item, walked bool) (Found, error) {
	g, q := f.g, f.probe.numbers
	top := newBest(f.k, f.work.compare)
	f.fetchVectors(items[:min(len(items), fetchAhead)])
	for i, it := range items {
		f.fetchVectors(items[min(len(items), i+fetchAhead):min(len(items), i+fetchAhead+1)])
		row := it.row()
		score := g.score(q, row)
		if f.wants(row) {
			top.add(Hit{g.slots[row], score})
		}
		if !walked || g.twinned == 0 {
			continue
		}
		for _, t := range g.twins[row] {
			if f.wants(t) {
				top.add(Hit{g.slots[t], score})
			}
		}
	}
	for _, row := range g.apart.all() {
		if f.wants(row) {
			top.add(Hit{g.slots[row], g.score(q, row)})
			f.compared++
		}
	}
	return Found{Hits: top.sorted(), Compared: f.compared}, nil
}

// fetchAhead is how many vectors are asked for before they are compared.
const fetchAhead = 3

func (f *finder) fetchVectors(items []item) {
	for _, it := range items {
		vector.Fetch(f.g.vector(it.row()))
	}
}

func (f *finder) wants(row uint32) bool {
	return f.allow == nil || f.allow.Test(uint(f.g.slots[row]))
}

// exact compares all that is allowed by itself.
func (f *finder) exact() (Found, error) {
	g, top := f.g, newBest(f.k, f.work.compare)
	for row, state := range g.states {
		if state == free || state == dead || !f.wants(uint32(row)) {
			continue
		}
		if f.compared%ctxEvery == ctxEvery-1 && f.ctx.Err() != nil {
			return f.failed(f.ctx.Err())
		}
		f.compared++
		top.add(Hit{g.slots[row], g.score(f.probe.numbers, uint32(row))})
	}
	return Found{Hits: top.sorted(), Compared: f.compared, Exact: true}, nil
}
