package ann

import (
	"context"
	"math"
	"slices"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/vector"
)

// entries are rows that a walk begins at, a sample of those that are linked:
// entryShare times the 3/8th power of their number, or up to twice as many. The
// nearest of them is near enough.
type entries struct {
	rows  []uint32
	below uint32 // rows whose slots hash to less are entries
}

const (
	entryShare = 3
	entryLeast = 32
	entryMost  = 2048
)

func (e *entries) add(g *Graph, row uint32, among int) {
	if len(e.rows) == 0 && e.below == 0 {
		e.below = math.MaxUint32
	}
	if hash(g.slots[row]) > e.below && len(e.rows) > 0 {
		return
	}
	e.rows = append(e.rows, row)
	quarter := math.Sqrt(math.Sqrt(float64(among)))
	most := min(max(int(entryShare*quarter*math.Sqrt(quarter)), entryLeast), entryMost)
	if len(e.rows) > 2*most {
		e.below /= 2
		e.rows = slices.DeleteFunc(e.rows, func(row uint32) bool { return hash(g.slots[row]) > e.below })
	}
}

// remove takes a row out, if it is in, and sees to it that there is one while
// there are linked rows.
func (e *entries) remove(g *Graph, row uint32) {
	i := slices.Index(e.rows, row)
	if i < 0 {
		return
	}
	e.rows = slices.Delete(e.rows, i, i+1)
	if len(e.rows) == 0 {
		if i := slices.Index(g.states, linked); i >= 0 {
			e.rows = append(e.rows, uint32(i))
		}
	}
}

// hash scatters slots (the finisher of MurmurHash3).
func hash(slot uint32) uint32 {
	slot ^= slot >> 16
	slot *= 0x85ebca6b
	slot ^= slot >> 13
	slot *= 0xc2b2ae35
	return slot ^ slot>>16
}

// scratch is what one search works with. It is used again by others.
type scratch struct {
	g     *Graph
	probe probe
	aimed *probe // what is compared with: probe, or that of another
	room  []float32

	visited []uint8 // of each row: the round in which it was seen
	round   uint8

	at       []uint32 // rows to compare next
	keys     []float32
	beyond   []uint32 // dead rows on the way
	beam     beam
	queue    queue
	sieve    []item // what may be among the first of a scan
	sifted   int    // how much was left when it was sifted last
	within   float32
	compared int

	// For scans that look at 1-bit codes first.
	bits    *vector.BitQuery
	uppers  []float32
	rotated []float32
	looked  int     // sketches
	known   float32 // a key that enough rows are known not to be above
	blind   int     // chunks to come of which no sketches are looked at
	blinded int     // how many it was last

	// For links.
	near  []neighbour
	flags []bool
}

// atOnce is how many rows are compared in one call; entries may be more than links.
const atOnce = 256

// borrow gives scratch for one search; giveBack ends its use.
func (g *Graph) borrow() *scratch {
	s := g.scratch.Get().(*scratch)
	s.g, s.compared, s.aimed, s.known = g, 0, &s.probe, math.MaxFloat32
	if len(s.room) != g.code.stride || s.at == nil {
		s.room, s.probe.coded.Code = make([]float32, g.code.stride), make([]int8, g.code.stride)
		s.at, s.keys = make([]uint32, 0, atOnce+degree), make([]float32, atOnce+degree)
	}
	return s
}

func (g *Graph) giveBack(s *scratch) {
	clear(s.probe.coded.Code) // may be a row that will be deleted
	clear(s.room)
	clear(s.rotated)
	s.probe.numbers, s.aimed, s.bits = nil, nil, nil
	g.scratch.Put(s)
}

// begin forgets what was seen before.
func (s *scratch) begin() {
	if len(s.visited) < s.g.count {
		s.visited, s.round = make([]uint8, len(s.g.links)<<chunkShift), 0
	}
	if s.round++; s.round == 0 {
		clear(s.visited)
		s.round = 1
	}
}

// gather puts the rows of list that were not seen into at.
func (s *scratch) gather(list []uint32) {
	at, n := s.at[:cap(s.at)], len(s.at)
	visited, round := s.visited, s.round
	for _, row := range list {
		at[n] = row
		seen := visited[row] ^ round
		visited[row] = round
		n += int((uint32(seen) + 255) >> 8) // no branch: which were seen cannot be guessed
	}
	s.at = at[:n]
}

// compare makes the keys of what was gathered.
func (s *scratch) compare() {
	s.g.keys(s.aimed, s.at, s.keys[:len(s.at)])
	s.compared += len(s.at)
}

// start shows take all entries.
func (s *scratch) start(take func()) {
	for rows := s.g.entries.rows; len(rows) > 0; {
		n := min(len(rows), atOnce)
		s.at = s.at[:0]
		s.gather(rows[:n])
		s.compare()
		take()
		rows = rows[n:]
	}
}

// follow compares the rows that links lead to from a row, and through dead ones.
func (s *scratch) follow(row uint32, take func()) {
	s.at = s.at[:0]
	s.gather(s.g.linksOf(row)[:])
	for {
		s.compare()
		take()
		n := len(s.beyond)
		if n == 0 {
			return
		}
		s.at = s.at[:0]
		s.gather(s.g.linksOf(s.beyond[n-1])[:])
		s.beyond = s.beyond[:n-1]
	}
}

// walk fills the beam with the size nearest rows that links lead to.
func (s *scratch) walk(ctx context.Context, size int) error {
	s.begin()
	s.beam.reset(size)
	next, first := 0, 0
	take := func() { first = min(first, s.keep()) }
	s.start(take)
	asked := s.compared
	for next < len(s.beam.items) {
		it := s.beam.items[next]
		if it&followed != 0 {
			next++
			continue
		}
		s.beam.items[next] |= followed
		first = next + 1
		s.fetchNext(next + 1)
		s.follow(it.row(), take)
		next = first
		if s.compared-asked > ctxEvery {
			asked = s.compared
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchNext asks for the links of the row that is probably followed next.
func (s *scratch) fetchNext(from int) {
	for _, it := range s.beam.items[from:] {
		if it&followed == 0 {
			vector.Fetch(s.g.linksOf(it.row())[:])
			return
		}
	}
}

// keep shows the beam what was compared, and gives the first place that changed.
func (s *scratch) keep() int {
	first := math.MaxInt
	b := &s.beam
	worst, limit := b.worst(), b.limit()
	keys := s.keys[:len(s.at)]
	for i, row := range s.at {
		key := keys[i]
		if key > limit || key > math.MaxFloat32 {
			if key > math.MaxFloat32 {
				s.beyond = append(s.beyond, row)
			}
			continue
		}
		it := newItem(key, row)
		if it >= worst {
			continue
		}
		first = min(first, b.add(it))
		worst, limit = b.worst(), b.limit()
	}
	return first
}

// walkAllowed fills the beam with the size nearest allowed rows; the walk itself
// goes over all. It gives up, and says so, after comparing most rows, or when what it
// passes is allowed far less often than the share of all that is: what the filter lets
// through then lies elsewhere, about equally far in many places, and the walk would end
// in one of them.
func (s *scratch) walkAllowed(ctx context.Context, size, most int, share float64, allow *bitset.BitSet) (done bool, err error) {
	s.begin()
	passed, right := 0, 0
	s.beam.reset(size)
	s.queue = s.queue[:0]
	take := func() { s.keepAllowed(allow) }
	s.start(take)
	asked := s.compared
	for len(s.queue) > 0 {
		it := s.queue.pop()
		if it > s.beam.worst() {
			break
		}
		passed++
		if s.g.allowed(it.row(), allow) {
			right++
		}
		if s.compared > most || passed >= passedLeast && elsewhere(right, share*float64(passed)) {
			return false, nil
		}
		s.follow(it.row(), take)
		if s.compared-asked > ctxEvery {
			asked = s.compared
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// passedLeast is after how many rows a walk may know that the filter lies elsewhere.
const passedLeast = 64

// elsewhere says whether so few were right of how many would be by chance that it is
// none: less than half, by two standard deviations.
func elsewhere(right int, chance float64) bool {
	return float64(right) < chance/2-2*math.Sqrt(chance)
}

func (s *scratch) keepAllowed(allow *bitset.BitSet) {
	keys := s.keys[:len(s.at)]
	worst := s.beam.worst()
	for i, row := range s.at {
		if keys[i] > math.MaxFloat32 {
			s.beyond = append(s.beyond, row)
			continue
		}
		it := newItem(keys[i], row)
		if it >= worst {
			continue
		}
		s.queue.push(it)
		if s.g.allowed(row, allow) {
			s.beam.add(it)
			worst = s.beam.worst()
		}
	}
}

// allowed says whether the slot of a row, or of one of its twins, is allowed.
func (g *Graph) allowed(row uint32, allow *bitset.BitSet) bool {
	if allow.Test(uint(g.slots[row])) {
		return true
	}
	if g.twinned == 0 {
		return false
	}
	for _, t := range g.twins[row] {
		if allow.Test(uint(g.slots[t])) {
			return true
		}
	}
	return false
}
