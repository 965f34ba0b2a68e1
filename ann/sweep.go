package ann

import (
	"bytes"
	"slices"

	"github.com/engramdb/engram/vector"
)

// A sweep goes over all rows once and mends the links that lead to rows which
// were dead when it began; then no link leads there, and their places are free
// (as in FreshDiskANN, Singh et al., 2021).
type sweep struct {
	next int // rows before this one are done
	dead int // of the first dead rows; 0: no sweep is on
}

const (
	// sweepShare: a sweep begins when one row in so many is dead, and at least
	// sweepLeast. It costs about as much for each as linking it did.
	sweepShare = 32
	sweepLeast = 32
	// sweepRows is how many rows a part of a sweep looks at, sweepChanges how many
	// of them it mends.
	sweepRows    = 8192
	sweepChanges = 128
)

// planSweep plans the next part of a sweep, when one is on or due.
func (g *Graph) planSweep() *Plan {
	if g.sweep.dead == 0 && len(g.dead) < max(sweepLeast, g.live/sweepShare) {
		return nil
	}
	return g.nextSweep()
}

func (g *Graph) nextSweep() *Plan {
	p := &Plan{g: g, placed: g.placed, from: g.sweep.next, dead: len(g.dead)}
	p.stage = p.look
	return p
}

// look finds rows with links to dead ones.
func (p *Plan) look(int) bool {
	g := p.g
	row := p.from
	for ; row < min(g.count, p.from+sweepRows) && len(p.changes) < sweepChanges; row++ {
		if g.states[row] != linked && g.states[row] != dead {
			continue
		}
		for _, to := range g.linksOf(uint32(row)) {
			if g.states[to] == dead && int(to) != row {
				p.changes = append(p.changes, change{row: uint32(row)})
				break
			}
		}
	}
	p.to = row
	p.stage = p.mend
	return false
}

// mend works out new links: those that lead to the living, and in place of each
// that is gone the best of where it led.
func (p *Plan) mend(workers int) bool {
	p.share(workers, stepChanges/4, len(p.changes), func(s *scratch, i int) {
		c := &p.changes[i]
		if p.g.states[c.row] == linked {
			c.links = s.mended(c.row)
		}
	})
	if p.next < len(p.changes) {
		return false
	}
	p.collectBacks()
	p.stage, p.next = p.linkBack, 0
	return len(p.backs) == 0
}

// sweepBacks is to how many of a mended row's new links one back is made.
const sweepBacks = 8

// collectBacks lists the rows to which mended rows have new links: they get one back, as
// when a row is linked. Else rows that lie apart, to which others seldom have links, would
// lose one after the other of those that there are, and be found no more.
func (p *Plan) collectBacks() {
	at := map[uint32]int{}
	for _, c := range p.changes {
		had, backs := p.g.neighbours(c.row), 0
		for _, to := range c.links {
			if backs == sweepBacks {
				break
			}
			if slices.Contains(had, to) {
				continue
			}
			backs++
			i, ok := at[to]
			if !ok {
				i = len(p.backs)
				at[to] = i
				p.backs = append(p.backs, change{row: to})
			}
			p.backs[i].added = append(p.backs[i].added, c.row)
		}
	}
}

// linkBack works out the links of rows that get links back. Those of a row that is
// mended in this part are what it has then.
func (p *Plan) linkBack(workers int) bool {
	p.share(workers, stepChanges, len(p.backs), func(s *scratch, i int) {
		c := &p.backs[i]
		now, mended := slices.BinarySearchFunc(p.changes, c.row, func(c change, row uint32) int { return int(int64(c.row) - int64(row)) })
		links := p.g.neighbours(c.row)
		if mended && p.changes[now].links != nil {
			links = p.changes[now].links
		}
		c.links = s.extended(c.row, links, c.added)
	})
	return p.next == len(p.backs)
}

// mended keeps the links to the living and fills up with what lay beyond the dead.
func (s *scratch) mended(row uint32) []uint32 {
	near := s.distances(row, s.beyondDead(row, s.g.neighbours(row)))
	return s.choose(near[:min(len(near), breadth)], degree)
}

// beyondDead is the linked rows that links lead to, directly or through a dead row.
func (s *scratch) beyondDead(row uint32, links []uint32) []uint32 {
	g := s.g
	var all []uint32
	add := func(to uint32) {
		if to != row && g.states[to] == linked {
			all = append(all, to)
		}
	}
	for _, to := range links {
		add(to)
		if g.states[to] != dead {
			continue
		}
		for _, beyond := range g.neighbours(to) {
			add(beyond)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// placeSweep carries a part of a sweep out, and frees the dead when it was the last.
func (g *Graph) placeSweep(p *Plan) {
	if g.sweep.dead == 0 {
		g.sweep = sweep{dead: p.dead}
	}
	for _, c := range p.changes {
		switch g.states[c.row] {
		case linked:
			g.placeLinks(c.row, c.links)
		case dead:
			g.placeLinks(c.row, slices.Clone(g.neighbours(c.row)))
		}
	}
	g.placeChanges(p.backs)
	g.sweep.next = p.to
	if p.to < g.count {
		return
	}
	for _, row := range g.dead[:g.sweep.dead] {
		g.release(row)
	}
	g.dead = slices.Delete(g.dead, 0, g.sweep.dead)
	g.sweep = sweep{}
	g.trim()
}

const (
	// moveFrom: rows move together when so many more than there are vectors are free.
	moveFrom = 2 * vector.CodedChunk
	// moveRows is how many rows one Plan moves.
	moveRows = 64
)

// planMove plans to move vectors from the last rows to the first that are free,
// when most are: they wait for links there, and their places become free by a
// sweep. So memory follows what there is, not what there was. When all lie in the
// first rows already, a few dead ones may be what keeps the last chunks: a sweep frees
// them, few as they are.
func (g *Graph) planMove() *Plan {
	switch {
	case g.free <= g.live+moveFrom:
		return nil
	case g.scattered():
	case len(g.dead) > 0:
		return g.nextSweep()
	default:
		return nil
	}
	p := &Plan{g: g, placed: g.placed, moves: true}
	p.stage = func(int) bool { return true }
	return p
}

// scattered says whether a place is free, of which there is one, before the last vector.
func (g *Graph) scattered() bool {
	first := g.lowest + bytes.IndexByte(raw(g.states[g.lowest:]), byte(free))
	return slices.ContainsFunc(g.states[first:], func(s state) bool { return s != free && s != dead })
}

func (g *Graph) placeMove() {
	g.stamp++ // or Adopt would take vectors from where they were
	moved := 0
	v := make([]float32, g.dim)
	for row := g.count - 1; moved < moveRows && row > g.findFree(); row-- {
		if s := g.states[row]; s == free || s == dead {
			continue
		}
		slot := g.slots[row]
		copy(v, g.vector(uint32(row)))
		to := g.addRow(slot) // takes the slot's place in the table; the row is forgotten below
		copy(g.vector(to), v)
		g.live--
		g.forget(uint32(row))
		g.fill(to)
		moved++
		if g.states[row] == linked { // a twin has its place now, and is moved too
			row++
		}
	}
	clear(v)
	g.trim()
}
