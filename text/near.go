package text

import "math/bits"

// Near is a term near to one of a query.
type Near struct {
	Text string
	// Weight is what an occurrence counts, above 0 and at most 1; one of the query's own term counts 1.
	Weight float64
}

// near returns the terms near to the query's term at a place.
func (q *Query) near(i int) []Near {
	if i < len(q.Near) {
		return q.Near[i]
	}
	return nil
}

// nearPostings bounds what a term is widened by: so many postings of neighbours, the nearest first; one that does not
// fit any more is left out. In a space of some thousand texts all fit. In a large one those that are left out are the
// frequent ones, which say least, and a search takes a bounded time more.
const nearPostings = 4096

// wide is a term of a query together with those near to it.
//
// A document counts for the term as often as it holds it, or as it holds its best neighbour, weighted, if that is more: a
// text that says "automobile" is about cars, and one that says "car" as well is not more so. What the term weighs is its
// own idf, that of the word which was asked for; one that no document holds is as rare as the rarest of its neighbours, or
// in a small space a guess would count for more than any word that is there. A sum of counts, neighbours with idfs of their
// own, and the idf of all of them together were tried, and find less.
type wide struct {
	weight   float64 // of the term: its idf times its count in the query
	from, to int     // its cursors in search.near
}

// near is where a search stands in the postings of one of them.
type near struct {
	cursor
	counts float64 // what an occurrence counts
}

// widen puts cursors on a term of the query and on those near to it, as far as living documents hold them.
func (s *search) widen(t Term, ns []Near) {
	w := wide{from: len(s.near)}
	own := s.core.reach(t, ns, func(id uint32, counts float64) {
		s.near = append(s.near, near{counts: counts})
		s.near[len(s.near)-1].begin(&s.core.lists[id])
	})
	if w.to = len(s.near); w.to > w.from {
		w.weight = float64(t.Count) * idf(s.core.live(), own)
		s.wide = append(s.wide, w)
	}
}

// reach gives the term itself, if a living document holds it, and the neighbours by which it is widened, with what an
// occurrence counts. It returns in how many documents the term itself is, or the rarest of its neighbours in its stead.
func (c *core) reach(t Term, ns []Near, give func(id uint32, counts float64)) (own uint32) {
	rarest := uint32(0)
	if id, ok := c.dict[t.Text]; ok {
		if own = c.df(&c.lists[id]); own > 0 {
			give(id, 1)
		}
	}
	left := uint32(nearPostings)
	for _, n := range ns {
		id, ok := c.dict[n.Text]
		if !ok || !(n.Weight > 0) || n.Text == t.Text {
			continue
		}
		if df := c.df(&c.lists[id]); 0 < df && df <= left {
			left -= df
			give(id, min(n.Weight, 1))
			if rarest == 0 || df < rarest {
				rarest = df
			}
		}
	}
	if own == 0 {
		return rarest
	}
	return own
}

// addWide adds the parts of a widened term for the slots of the window at base, and returns the groups that it touched.
func (s *search) addWide(w wide, lengths []uint32, base uint64) (touched uint64) {
	for i := range s.near[w.from:w.to] {
		n := &s.near[w.from+i]
		if n.seek(base); n.slot < base+uint64(len(lengths)) {
			touched |= s.raise(n, w.weight, lengths, base)
		}
	}
	for left := touched; left != 0; left &= left - 1 {
		at := bits.TrailingZeros64(left) * group
		clear(s.counts[at : at+group])
	}
	return touched
}

// raise raises the counts of the window at base to what the cursor's term counts, and the scores with them.
func (s *search) raise(n *near, weight float64, lengths []uint32, base uint64) (touched uint64) {
	data, pos, slot, count := n.data, n.pos, n.slot-base, n.count
	k := s.norms
	end := uint64(len(lengths))
	for slot < end {
		if f, old := n.counts*float64(count), s.counts[slot%window]; f > old {
			norm := k.fixed + float64(k.slope*float64(lengths[slot]))
			part := weight * f / (f + norm)
			if old > 0 {
				part -= weight * old / (old + norm)
			}
			s.counts[slot%window] = f
			s.scores[slot%window] += part
			touched |= 1 << (slot / group)
		}
		if pos >= len(data) {
			n.slot = noSlot
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
	n.pos, n.slot, n.count = pos, slot+base, count
	return touched
}

// partOf adds what raise adds, for one slot, beyond which no cursor of the term stands.
func (s *search) partOf(score float64, w wide, slot uint32) float64 {
	old := 0.0
	norm := s.norms.fixed + float64(s.norms.slope*float64(s.core.lengths[slot]))
	for i := range s.near[w.from:w.to] {
		n := &s.near[w.from+i]
		n.seek(uint64(slot))
		if n.slot != uint64(slot) {
			continue
		}
		if f := n.counts * float64(n.count); f > old {
			part := w.weight * f / (f + norm)
			if old > 0 {
				part -= w.weight * old / (old + norm)
			}
			old = f
			score += part
		}
	}
	return score
}

// explain tells what a term of a query, with those near to it, adds to the score of a slot; false for nothing.
func (c *core) explain(k norms, t Term, ns []Near, slot uint32) (TermScore, bool) {
	best, counts := TermScore{Term: t.Text}, 0.0
	own := c.reach(t, ns, func(id uint32, each float64) {
		var at cursor
		at.begin(&c.lists[id])
		at.seek(uint64(slot))
		if x := each * float64(at.count); at.slot == uint64(slot) && x > counts {
			best.By, best.Count, counts = c.names[id], int(at.count), x
		}
	})
	if counts == 0 || t.Count <= 0 {
		return best, false
	}
	if best.By == t.Text {
		best.By = ""
	}
	best.Docs, best.IDF = int(own), idf(c.live(), own)
	best.Score = k.part(float64(t.Count)*best.IDF, counts, c.lengths[slot])
	return best, true
}
