package facet

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
)

// Select gives the slots that are visible at a view and now (see Visible) and
// that a filter lets through, and how many they are. The filter has been
// normalised; nil and an empty one let everything through. The set is read only
// and valid while the lock is held.
func (x *Index) Select(f *memory.Filter, view memory.LSN, now time.Time) (*bitset.BitSet, int) {
	visible, count := x.Visible(view, now)
	if f == nil || f.IsEmpty() || count == 0 {
		return visible, count
	}
	s := selection{index: x, visible: visible.Words(), possible: true}
	s.ask(f)
	words := s.run()
	return bitset.FromWithLength(visible.Len(), words), countBits(words)
}

func countBits(words []uint64) int {
	n := 0
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}

// selection is one filter on its way: first what it asks, cheap parts apart from
// dear ones, then the slots that are left.
type selection struct {
	index    *Index
	visible  []uint64
	possible bool // false: something is asked that no slot has

	all   []*posting   // slots must be in each
	any   [][]*posting // slots must be in one of each list
	none  []*posting   // slots must be in none
	marks []func(words []uint64)
	// marks are parts that set the bits of the slots that have them; tests are
	// parts that look at the columns of a block, for what is left.
	tests []func(b *block, words []uint64)

	words, spare []uint64
}

// ask takes the filter apart.
func (s *selection) ask(f *memory.Filter) {
	s.must(fieldTag, f.Tags...)
	s.must(fieldPerson, f.People...)
	if f.Stream != "" {
		s.must(fieldStream, f.Stream)
	}
	if len(f.AnyTags) > 0 {
		s.any = append(s.any, s.postings(fieldTag, 0, f.AnyTags))
	}
	s.none = append(s.none, s.postings(fieldTag, 0, f.NotTags)...)
	for name, c := range f.Metadata {
		s.askKey(name, c)
	}
	if len(f.Kinds) > 0 {
		s.tests = append(s.tests, kindTest(f.Kinds))
	}
	if f.Stored != nil {
		s.tests = append(s.tests, storedTest(spanOf(f.Stored.From, f.Stored.To)))
	}
	if f.Happened != nil {
		s.tests = append(s.tests, happenedTest(spanOf(f.Happened.From, f.Happened.To)))
	}
	if f.Place != nil {
		s.askPlace(f.Place)
	}
}

func (s *selection) askPlace(p *memory.PlaceFilter) {
	if p.Name != "" {
		s.must(fieldPlace, folded(p.Name))
	}
	if p.HasCoordinate {
		s.tests = append(s.tests, circleTest(p))
	}
}

// must asks for all of the words.
func (s *selection) must(f field, words ...string) {
	for _, word := range words {
		s.mustTerm(s.index.dict.find(f, 0, word))
	}
}

func (s *selection) mustTerm(id uint32) {
	if id == noTerm {
		s.possible = false
		return
	}
	s.all = append(s.all, &s.index.dict.at(id).posting)
}

// postings gives the sets of those of the words that there are.
func (s *selection) postings(f field, key uint32, words []string) []*posting {
	var list []*posting
	for _, word := range words {
		if id := s.index.dict.find(f, key, word); id != noTerm {
			list = append(list, &s.index.dict.at(id).posting)
		}
	}
	return list
}

// askKey takes the condition of one metadata key apart.
func (s *selection) askKey(name string, c memory.Condition) {
	key := s.index.dict.find(fieldKey, 0, name)
	needed := c.Equals != nil || c.In != nil || c.GTE != nil || c.GT != nil || c.LTE != nil || c.LT != nil ||
		c.Exists != nil && *c.Exists
	if needed {
		s.mustTerm(key)
	}
	if key == noTerm {
		return
	}
	if c.Exists != nil && !*c.Exists {
		s.none = append(s.none, &s.index.dict.at(key).posting)
	}
	if c.Equals != nil {
		s.askIn(key, []any{c.Equals})
	}
	if c.In != nil {
		s.askIn(key, c.In)
	}
	s.askRange(key, c)
}

// askIn asks for one of some values, alone or in a list.
func (s *selection) askIn(key uint32, values []any) {
	d := &s.index.dict
	var list []*posting
	var nums []float64
	for _, v := range values {
		id := noTerm
		switch v := v.(type) {
		case string:
			id = d.find(fieldString, key, v)
		case bool:
			id = d.find(boolField(v), key, "")
		case float64:
			nums = append(nums, v+0)
		}
		if id != noTerm {
			list = append(list, &d.at(id).posting)
		}
	}
	if len(nums) == 0 {
		s.any = append(s.any, list)
		return
	}
	k := d.keys[key]
	s.marks = append(s.marks, func(words []uint64) {
		union(list, words)
		k.alone.writeEqual(words, nums)
		k.listed.writeEqual(words, nums)
	})
}

// askRange asks for a number or a string between bounds; a list has no order.
func (s *selection) askRange(key uint32, c memory.Condition) {
	lo, hi := math.Inf(-1), math.Inf(1)
	var low, high []stringBound
	numeric, textual := false, false
	for _, bound := range []struct {
		v           any
		upper, open bool
	}{{c.GTE, false, false}, {c.GT, false, true}, {c.LTE, true, false}, {c.LT, true, true}} {
		switch v := bound.v.(type) {
		case float64:
			numeric = true
			switch {
			case bound.upper && bound.open:
				hi = min(hi, math.Nextafter(v+0, math.Inf(-1)))
			case bound.upper:
				hi = min(hi, v)
			case bound.open:
				lo = max(lo, math.Nextafter(v+0, math.Inf(1)))
			default:
				lo = max(lo, v)
			}
		case string:
			textual = true
			if bound.upper {
				high = append(high, stringBound{v, bound.open})
			} else {
				low = append(low, stringBound{v, bound.open})
			}
		}
	}
	k := s.index.dict.keys[key]
	switch {
	case numeric && textual:
		s.possible = false // nothing is both
	case numeric:
		s.marks = append(s.marks, func(words []uint64) { k.alone.write(words, lo, hi) })
	case textual:
		s.marks = append(s.marks, func(words []uint64) { s.index.writeStrings(k, low, high, words) })
		if id := k.special[fieldList-fieldTrue]; id != 0 {
			s.none = append(s.none, &s.index.dict.at(id-1).posting)
		}
	}
}

type stringBound struct {
	text string
	open bool
}

// writeStrings sets the bits of the slots that have a string between bounds.
func (x *Index) writeStrings(k *keyFacet, low, high []stringBound, words []uint64) {
	below := func(s string) bool {
		return slices.ContainsFunc(low, func(b stringBound) bool { return s < b.text || b.open && s == b.text })
	}
	above := func(s string) bool {
		return slices.ContainsFunc(high, func(b stringBound) bool { return s > b.text || b.open && s == b.text })
	}
	if k.ordered.count(below, above) > len(k.texts.slots)/manyStrings {
		marked := make([]uint64, x.dict.count/64+1)
		k.ordered.between(below, above, func(id uint32) { marked[id>>6] |= 1 << (id & 63) })
		k.texts.write(words, marked)
		return
	}
	var list []*posting
	k.ordered.between(below, above, func(id uint32) { list = append(list, &x.dict.at(id).posting) })
	union(list, words)
}

// manyStrings is from which share of strings in a range on the column is
// scanned: a posting, somewhere in memory, takes as long as 30 places of it.
const manyStrings = 32

// union sets the bits of the slots that are in one of the postings.
func union(list []*posting, words []uint64) {
	var large []*posting
	for _, p := range list {
		if p.overwrites() {
			large = append(large, p)
			continue
		}
		p.write(words)
	}
	orLarge(large, words)
}

// orLarge is union for postings that write over what is there: each goes through
// words of its own.
func orLarge(large []*posting, words []uint64) {
	if len(large) == 0 {
		return
	}
	own := make([]uint64, len(words))
	for i, p := range large {
		if i > 0 {
			clear(own)
		}
		p.write(own)
		for j, w := range own {
			words[j] |= w
		}
	}
}

// run makes the selection: the terms that all must have, rarest first; what must
// be in one of several; what must not be; then the columns.
func (s *selection) run() []uint64 {
	s.words = make([]uint64, len(s.visible))
	if !s.possible {
		return s.words
	}
	slices.SortFunc(s.all, func(a, b *posting) int { return int(a.n) - int(b.n) })
	s.start()
	for _, list := range s.any {
		s.and(func(words []uint64) { union(list, words) })
	}
	for _, mark := range s.marks {
		s.and(mark)
	}
	if len(s.none) > 0 {
		s.andNot(s.none)
	}
	s.test()
	return s.words
}

// start takes the visible slots that have all terms.
func (s *selection) start() {
	if len(s.all) == 0 {
		copy(s.words, s.visible)
		return
	}
	s.all[0].write(s.words)
	for i, w := range s.visible {
		s.words[i] &= w
	}
	for _, p := range s.all[1:] {
		s.and(p.write)
	}
}

// blank gives words of zeros, the same ones each time.
func (s *selection) blank() []uint64 {
	if s.spare == nil {
		s.spare = make([]uint64, len(s.words))
	}
	clear(s.spare)
	return s.spare
}

func (s *selection) and(mark func(words []uint64)) {
	other := s.blank()
	mark(other)
	for i, w := range other {
		s.words[i] &= w
	}
}

func (s *selection) andNot(list []*posting) {
	other := s.blank()
	union(list, other)
	for i, w := range other {
		s.words[i] &^= w
	}
}

// test runs the tests over the blocks that have something left.
func (s *selection) test() {
	for _, test := range s.tests {
		for n, b := range s.index.blocks {
			from := n * blockWords
			if b == nil || from >= len(s.words) {
				continue
			}
			words := s.words[from:min(from+blockWords, len(s.words))]
			if anySet(words) {
				test(b, words)
			}
		}
	}
}

func anySet(words []uint64) bool {
	for _, w := range words {
		if w != 0 {
			return true
		}
	}
	return false
}

// sparse is up to how many slots left of 64 are tested one by one; above, all 64
// are tested at once, without a branch.
const sparse = 12

// refine leaves in each word the bits that hold. dense gives the answer for a
// whole word of places [from, to), one for a single place.
func refine(words []uint64, length int, dense func(from, to int) uint64, one func(i int) bool) {
	for w, word := range words {
		if word == 0 {
			continue
		}
		from := w * 64
		if bits.OnesCount64(word) > sparse {
			words[w] = word & dense(from, min(from+64, length))
			continue
		}
		for left := word; left != 0; left &= left - 1 {
			i := bits.TrailingZeros64(left)
			if !one(from + i) {
				word &^= 1 << i
			}
		}
		words[w] = word
	}
}

func kindTest(kinds []memory.Kind) func(*block, []uint64) {
	var want uint8
	for _, k := range kinds {
		want |= 1 << (k & 7)
	}
	return func(b *block, words []uint64) {
		if b.kinds&^want == 0 {
			return
		}
		if b.kinds&want == 0 {
			clear(words)
			return
		}
		refine(words, len(b.kind), func(from, to int) (m uint64) {
			for j, k := range b.kind[from:to] {
				m |= uint64(want>>(k&7)&1) << (j & 63)
			}
			return m
		}, func(i int) bool { return want>>(b.kind[i]&7)&1 == 1 })
	}
}

func storedTest(s span) func(*block, []uint64) {
	return func(b *block, words []uint64) {
		if b.minStore > s.lo.sec && b.maxStore < s.hi.sec {
			return
		}
		if b.minStore > s.hi.sec || b.maxStore < s.lo.sec {
			clear(words)
			return
		}
		one := func(i int) bool {
			t := b.stored.at(i)
			return s.holds(t, t)
		}
		refine(words, len(b.stored.sec), func(from, to int) uint64 {
			sec := b.stored.sec[from:to]
			return exact(within(sec, sec, s), from, one)
		}, one)
	}
}

func happenedTest(s span) func(*block, []uint64) {
	return func(b *block, words []uint64) {
		h := b.happened
		if h == nil || h.minFrom > s.hi.sec || h.maxTo < s.lo.sec {
			clear(words)
			return
		}
		for i := range words {
			words[i] &= h.known[i]
		}
		if h.maxFrom < s.hi.sec && h.minTo > s.lo.sec {
			return
		}
		one := func(i int) bool { return s.holds(h.at(i)) }
		starts, ends := h.ends()
		refine(words, len(starts), func(from, to int) uint64 {
			return exact(within(starts[from:to], ends[from:to], s), from, one)
		}, one)
	}
}

// mask is an answer for 64 places: those that hold, and those where seconds are
// not enough to say.
type mask struct {
	in, edge uint64
}

// within compares the seconds of intervals with a span.
func within(from, to []int64, s span) (m mask) {
	lo, hi := s.lo.sec, s.hi.sec
	to = to[:len(from)]
	for j, f := range from {
		t := to[j]
		m.in |= (bit(f < hi) & bit(t > lo)) << (j & 63)
		m.edge |= (bit(f == hi) | bit(t == lo)) << (j & 63)
	}
	return m
}

// exact settles the edges of a mask.
func exact(m mask, from int, one func(i int) bool) uint64 {
	for ; m.edge != 0; m.edge &= m.edge - 1 {
		i := bits.TrailingZeros64(m.edge)
		m.in &^= 1 << i
		m.in |= bit(one(from+i)) << i
	}
	return m.in
}

// circleTest holds for positions at most a radius away on the sphere: the
// haversine distance, compared as the chord between unit vectors, which is the
// same formula without a sine for each slot, and exact to a millimetre.
func circleTest(p *memory.PlaceFilter) func(*block, []uint64) {
	c := unitVector(p.Lat, p.Lon)
	most := math.Inf(1)
	if angle := p.RadiusMetres / earthRadius; angle < math.Pi {
		half := math.Sin(angle / 2)
		most = 4 * half * half
	}
	return func(b *block, words []uint64) {
		if b.position == nil {
			clear(words)
			return
		}
		at := b.position.at
		refine(words, len(at), func(from, to int) (m uint64) {
			for j := range max(0, to-from) {
				m |= bit(chord(&at[from+j], &c) <= most) << (j & 63)
			}
			return m
		}, func(i int) bool { return i < len(at) && chord(&at[i], &c) <= most })
	}
}

// chord is the square of the straight distance between two points of the unit
// sphere; NaN when one is nowhere.
func chord(a, b *[3]float64) float64 {
	x, y, z := a[0]-b[0], a[1]-b[1], a[2]-b[2]
	return x*x + y*y + z*z
}
