package text

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/internal/best"
)

// DefaultLimit is how many hits a search returns when it is not told.
const DefaultLimit = 100

// SearchOptions narrow a search.
type SearchOptions struct {
	// Limit is the most hits returned, 0 or less for DefaultLimit.
	Limit int
	// Allow holds the documents that may be found; those beyond its length may not. Nil allows all. The search only
	// reads it; it must not change meanwhile.
	Allow *bitset.BitSet
	// Floor is the least score of a hit. At 0 every document that holds a term is one.
	Floor float64
}

// Hit is a document that a search found, and its score, which is above 0.
type Hit struct {
	Doc   uint32
	Score float64
}

// TermScore is what one term of a query adds to the score of a document.
type TermScore struct {
	Term  string  // as in the query
	By    string  // the term near to it that the document holds in its stead; "" for the term itself
	Count int     // occurrences in the document, of By if that is said
	Docs  int     // documents that hold the term
	IDF   float64 // above 0; the bound of Score for a term that stands once in the query
	Score float64
}

// window is the number of slots scored at a time: its scores are 32 KiB and stay in the first-level cache whatever the
// size of the index. A group is the 64th part of it, the unit of looking for scores and of wiping them.
const (
	window = 4096
	group  = window / 64
)

// Search returns the documents that score best, best first, equal scores in order of document. The caller owns them.
// What it returns depends on the live documents and the query alone, not on the order in which they were put.
//
// The search goes over the slots window by window. In each, term after term adds to a dense array of scores; then the
// scores that could still enter the hits are looked at, and only for these is it asked whether the slot is alive and
// its document allowed. So a filter adds next to nothing, as long as it lets a fair share of the good scores pass; see
// breadth for the other cases.
func (x *Index) Search(q Query, o SearchOptions) []Hit {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := searchPool.Get().(*search)
	defer s.release()
	if !s.prepare(x, q, o) {
		return nil
	}
	switch s.breadth() {
	case broad:
		s.alongWindows()
	case middling:
		s.sparse = true
		s.alongWindows()
	case narrow:
		s.wantAllowed()
		s.along(func(w wanted, score float64) { s.consider(w.slot, score) })
	}
	return s.ranked()
}

// Scores returns the score of each of the documents, 0 for one that holds no term of the query or is not there. It is
// the score that Search gives. The caller owns the slice.
func (x *Index) Scores(q Query, docs []uint32) []float64 {
	scores := make([]float64, len(docs))
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := searchPool.Get().(*search)
	defer s.release()
	if !s.prepare(x, q, SearchOptions{}) {
		return scores
	}
	for i, doc := range docs {
		if slot, ok := s.core.slots.get(doc); ok {
			s.wanted = append(s.wanted, wanted{slot, uint32(i)})
		}
	}
	s.sortWanted()
	s.along(func(w wanted, score float64) { scores[w.at] = score })
	return scores
}

// Explain returns what each term of the query that the document holds adds to its score, in order of the query; nil if
// it holds none. The parts add up to the score that Search gives, but for rounding.
func (x *Index) Explain(q Query, doc uint32) []TermScore {
	x.mu.RLock()
	defer x.mu.RUnlock()
	c := x.core
	slot, ok := c.slots.get(doc)
	if !ok {
		return nil
	}
	var parts []TermScore
	k := x.norms()
	for i, t := range q.Terms {
		if part, ok := c.explain(k, t, q.near(i), slot); ok {
			parts = append(parts, part)
		}
	}
	return parts
}

// idf is the weight of a term that df of n documents hold.
func idf(n int, df uint32) float64 {
	return math.Log(1 + (float64(n)-float64(df)+0.5)/(float64(df)+0.5))
}

// norms are the two numbers that a length turns into the norm of BM25: fixed + slope*length.
type norms struct {
	fixed, slope float64
}

// norms returns them for the average length of this moment. The caller holds mu.
func (x *Index) norms() norms {
	k := norms{fixed: x.params.K1 * (1 - x.params.B)}
	if c := x.core; c.tokens > 0 {
		k.slope = x.params.K1 * x.params.B * float64(c.live()) / float64(c.tokens)
	}
	return k
}

// score is the part of one term. The conversion keeps compilers from fusing the product and the sum, which some
// platforms round otherwise than others.
func (k norms) score(weight float64, count uint64, length uint32) float64 {
	return k.part(weight, float64(count), length)
}

// part is score for a count that need not be whole.
func (k norms) part(weight, f float64, length uint32) float64 {
	return weight * f / (f + (k.fixed + float64(k.slope*float64(length))))
}

// search is the working memory of one search, shared by all indexes.
type search struct {
	core    *core
	norms   norms
	allow   *bitset.BitSet
	cursors []cursor
	wide    []wide
	near    []near // those of the terms in wide
	wanted  []wanted
	sparse  bool // the filter lets few documents pass, in order
	denied  int  // scores of this window that passed the bar and not the filter
	best    best.Of[Hit]
	bar     float64 // a score below it cannot enter best
	scores  [window]float64
	counts  [window]float64 // of one widened term
}

// wanted is a slot to be scored, and where its score goes.
type wanted struct {
	slot, at uint32
}

// maxScratchHits bounds the lists that a search gives back to the pool, in entries.
const maxScratchHits = 1 << 14

var searchPool = sync.Pool{New: func() any { return new(search) }}

// release gives the working memory back, holding on to nothing of the index. The scores are zero between searches.
func (s *search) release() {
	clear(s.cursors)
	clear(s.near)
	s.core, s.allow, s.sparse, s.denied = nil, nil, false, 0
	s.cursors, s.wanted, s.best.Items = s.cursors[:0], s.wanted[:0], s.best.Items[:0]
	s.wide, s.near = s.wide[:0], s.near[:0]
	if cap(s.cursors) > maxScratchHits {
		s.cursors = nil
	}
	if cap(s.wanted) > maxScratchHits {
		s.wanted = nil
	}
	if cap(s.best.Items) > maxScratchHits {
		s.best.Items = nil
	}
	searchPool.Put(s)
}

// prepare puts a cursor on each term that the index holds and says whether there is any. Scores are sums in the order
// of the query, terms that were widened last, whatever the order of the slots, so equal documents score equally to the
// last bit.
func (s *search) prepare(x *Index, q Query, o SearchOptions) bool {
	c := x.core
	s.core, s.allow, s.norms = c, o.Allow, x.norms()
	s.best.Limit, s.best.Compare, s.bar = o.Limit, compareHits, max(o.Floor, math.SmallestNonzeroFloat64)
	if s.best.Limit <= 0 {
		s.best.Limit = DefaultLimit
	}
	for i, t := range q.Terms {
		if near := q.near(i); len(near) > 0 && t.Count > 0 {
			s.widen(t, near)
			continue
		}
		id, ok := c.dict[t.Text]
		if !ok || t.Count <= 0 {
			continue
		}
		df := c.df(&c.lists[id])
		if df == 0 {
			continue
		}
		s.cursors = append(s.cursors, cursor{weight: float64(t.Count) * idf(c.live(), df)})
		s.cursors[len(s.cursors)-1].begin(&c.lists[id])
	}
	return len(s.cursors)+len(s.wide) > 0
}

// alongWindows scores all slots that hold a term.
func (s *search) alongWindows() {
	for {
		first := uint64(noSlot)
		for i := range s.cursors {
			first = min(first, s.cursors[i].slot)
		}
		for i := range s.near {
			first = min(first, s.near[i].slot)
		}
		if first == noSlot {
			return
		}
		base := first &^ (window - 1)
		s.collect(base, s.scoreWindow(base))
	}
}

// scoreWindow adds up the scores of the window at base and returns the groups in which there are any. No cursor may
// have passed the beginning of the window.
func (s *search) scoreWindow(base uint64) (touched uint64) {
	lengths := s.core.lengths[base:min(base+window, uint64(len(s.core.lengths)))]
	for i := range s.cursors {
		s.cursors[i].seek(base)
		touched |= s.cursors[i].addTo(&s.scores, s.norms, lengths, base)
	}
	for _, w := range s.wide {
		touched |= s.addWide(w, lengths, base)
	}
	return touched
}

// addTo adds the parts of the cursor's term for the slots of a window that begins at base, and returns the groups that
// it touched. It is next and norms.score written out, for this loop is where a search spends its time.
func (c *cursor) addTo(scores *[window]float64, k norms, lengths []uint32, base uint64) (touched uint64) {
	data, pos, slot, count := c.data, c.pos, c.slot-base, c.count
	end := uint64(len(lengths))
	for slot < end {
		f := float64(count)
		scores[slot%window] += c.weight * f / (f + (k.fixed + float64(k.slope*float64(lengths[slot]))))
		touched |= 1 << (slot / group)
		if pos >= len(data) {
			c.slot = noSlot
			return touched
		}
		step := uint64(data[pos])
		pos++
		if step >= 0x80 {
			step, pos = longUvarint(data, pos-1)
		}
		slot += step >> 1
		count = 1
		if step&1 != 0 {
			count, pos = uvarint(data, pos)
		}
	}
	c.pos, c.slot, c.count = pos, slot+base, count
	return touched
}

// collect offers the scores of the touched groups and wipes them.
func (s *search) collect(base, touched uint64) {
	wary := s.denied > window/16
	s.denied = 0
	for ; touched != 0; touched &= touched - 1 {
		at := bits.TrailingZeros64(touched) * group
		scores, docs, first := s.scores[at:at+group], s.core.docs[int(base)+at:], uint32(base)+uint32(at)
		switch {
		case s.sparse:
			s.collectAllowed(scores, docs, first)
		case wary:
			s.collectWarily(scores, docs, first)
		default:
			for i, score := range scores {
				if score >= s.bar && s.allows(docs[i]) {
					s.offer(first+uint32(i), score)
				}
			}
		}
		clear(scores)
	}
}

// collectWarily is the inner loop of collect without a branch on the scores. Where the filter has just forbidden what
// scores best, the bar stays low, whether a score reaches it is anyone's guess, and guessing wrong is what takes long.
func (s *search) collectWarily(scores []float64, docs []uint32, first uint32) {
	var good uint64
	for i, score := range scores {
		var reaches uint64
		if score >= s.bar {
			reaches = 1
		}
		good |= reaches << (i % group)
	}
	for ; good != 0; good &= good - 1 {
		if i := bits.TrailingZeros64(good); s.allows(docs[i]) {
			s.consider(first+uint32(i), scores[i])
		}
	}
}

// allows says whether the filter allows a document, and counts those it does not.
func (s *search) allows(doc uint32) bool {
	if s.allow == nil || s.allow.Test(uint(doc)) {
		return true
	}
	s.denied++
	return false
}

// collectAllowed is the inner loop of collect over the documents that the filter allows, where these are few. The
// documents are in order, so those of the group lie between its first and its last.
func (s *search) collectAllowed(scores []float64, docs []uint32, first uint32) {
	words := s.allow.Words()
	from, to := docs[0], docs[min(group, len(docs))-1]
	for i := from / 64; i <= to/64 && int(i) < len(words); i++ {
		word := words[i]
		if i == from/64 {
			word &= math.MaxUint64 << (from % 64)
		}
		if i == to/64 {
			word &= math.MaxUint64 >> (63 - to%64)
		}
		for ; word != 0; word &= word - 1 {
			if slot, ok := s.core.slots.get(i*64 + uint32(bits.TrailingZeros64(word))); ok {
				s.consider(slot, scores[slot-first])
			}
		}
	}
}

// consider offers a score if it passes the bar.
func (s *search) consider(slot uint32, score float64) {
	if score >= s.bar {
		s.offer(slot, score)
	}
}

// offer takes the document of a slot, which is allowed, among the best if it is alive and good enough.
func (s *search) offer(slot uint32, score float64) {
	if s.core.dead.has(slot) {
		return
	}
	s.best.Add(Hit{s.core.docs[slot], score})
	if s.best.Full() {
		s.bar = max(s.bar, s.best.Worst().Score)
	}
}

// compareHits puts the better before.
func compareHits(a, b Hit) int {
	switch {
	case a.Score > b.Score:
		return -1
	case a.Score < b.Score:
		return 1
	}
	return cmp.Compare(a.Doc, b.Doc)
}

// ranked returns the best, in order.
func (s *search) ranked() []Hit {
	if len(s.best.Items) == 0 {
		return nil
	}
	return slices.Clone(s.best.Sorted())
}

// breadth is how a search deals with a filter.
type breadth int

const (
	// broad: score everything, ask the filter about each score that passes the bar.
	broad breadth = iota
	// middling: score everything, look at the scores of the allowed documents only.
	middling
	// narrow: score the allowed documents only, skipping the postings between them.
	narrow
)

// breadth chooses by cost, so that no filter makes a search slower than having none. With more than a block of postings
// between allowed documents, skipping pays. Otherwise everything is scored. If then the filter is asked about scores,
// about limit*documents/allowed of them pass the bar and are asked about in vain; if the scores of the allowed documents
// are looked at instead, the others are not looked at. That needs the documents in order.
func (s *search) breadth() breadth {
	if s.allow == nil {
		return broad
	}
	allowed, live := s.allow.Count(), uint(s.core.live())
	switch {
	case allowed*blockLen <= live:
		return narrow
	case allowed*middlingShare <= live && !s.core.mixed:
		return middling
	}
	return broad
}

// middlingShare is one in how many documents a filter lets pass where the two ways are even, as measured: to find the
// score of a document takes as long as to look at some that lie side by side.
const middlingShare = 4

// wantAllowed puts the slots of the allowed documents into wanted, in order.
func (s *search) wantAllowed() {
	for doc, ok := s.allow.NextSet(0); ok && doc <= math.MaxUint32; doc, ok = s.allow.NextSet(doc + 1) {
		if slot, ok := s.core.slots.get(uint32(doc)); ok {
			s.wanted = append(s.wanted, wanted{slot: slot})
		}
	}
	s.allow = nil // it has been asked
	s.sortWanted()
}

// sortWanted brings the wanted slots into order. Most often they are: documents are put in order.
func (s *search) sortWanted() {
	bySlot := func(a, b wanted) int { return cmp.Compare(a.slot, b.slot) }
	if !slices.IsSortedFunc(s.wanted, bySlot) {
		slices.SortFunc(s.wanted, bySlot)
	}
}

// along scores the wanted slots in order, skipping the postings between them, and gives each score that is not 0.
func (s *search) along(give func(wanted, float64)) {
	for _, w := range s.wanted {
		score := 0.0
		for i := range s.cursors {
			c := &s.cursors[i]
			c.seek(uint64(w.slot))
			if c.slot == uint64(w.slot) {
				score += s.norms.score(c.weight, c.count, s.core.lengths[w.slot])
			}
		}
		for _, x := range s.wide {
			score = s.partOf(score, x, w.slot)
		}
		if score > 0 {
			give(w, score)
		}
	}
}

// Frequency is in how many documents all terms of a query can stand, at most: the
// number of documents that hold its rarest one. Stop words are not looked at; 0 for
// a query without other terms, or with one that no document holds.
func (x *Index) Frequency(q Query) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	least := 0
	for i, t := range q.Terms {
		id, ok := x.core.dict[t.Text]
		if !ok {
			return 0
		}
		if df := int(x.core.df(&x.core.lists[id])); i == 0 || df < least {
			least = df
		}
	}
	return least
}
