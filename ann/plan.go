package ann

import (
	"bytes"
	"context"
	"math"
	"slices"
	"sync"
	"unsafe"
)

// A Plan is changes to links that are worked out while others search, and then
// placed at once. It works in steps, so that no lock is held for long:
//
//	lock.RLock(); p := g.Plan(); lock.RUnlock()
//	for done := p == nil; !done; {
//		lock.RLock(); done = p.Step(2); lock.RUnlock()
//	}
//	lock.Lock(); g.Place(p); lock.Unlock()
//
// One at a time is made and placed. What is put and deleted meanwhile is no
// matter: Place leaves out what no longer stands.
type Plan struct {
	g      *Graph
	placed uint64
	stage  func(workers int) bool // true when it is the last and done
	next   int                    // within the stage

	// Rows that get links.
	rows  []uint32
	born  []uint32
	near  [][]neighbour // of each row, nearest first
	twins []uint32      // the row of which it is a twin, or noRow
	links [][]uint32

	// Rows whose links change, and in a sweep those that then get links back.
	changes []change
	backs   []change

	// A part of a sweep: over rows [from, to), when so many were dead.
	from, to, dead int

	moves    bool // of rows that lie too far apart
	sketched *sketchedChunk
}

// A change is new links of a row that is linked: what it has, and added, of which
// the best stay.
type change struct {
	row   uint32
	added []uint32
	links []uint32
}

type neighbour struct {
	distance float32
	row      uint32
}

const noRow = math.MaxUint32

const (
	// PlanRows is how many rows of the tail one Plan links.
	PlanRows = 32
	// stepRows is how many rows a step searches for, for each worker: about half a
	// millisecond in an index of a million.
	stepRows = 2
	// stepChanges is the same for rows whose links change.
	stepChanges = 16
)

// Plan begins the next part of the work; nil when there is none: the tail is
// empty, and few dead rows are left. The caller holds the lock for reading.
func (g *Graph) Plan() *Plan {
	if g.flat != nil {
		return nil
	}
	// One of three plans at least is for the tail, so that it does not grow without end
	// during a sweep, or while sketches are made.
	if p := g.planSweep(); p != nil && (g.placed%3 == 0 || g.tail.len() == 0) {
		return p
	}
	n := min(PlanRows, g.tail.len())
	if p := g.planSketches(); p != nil && (g.placed%3 == 1 || n == 0) {
		return p
	}
	if n == 0 {
		return g.planMove()
	}
	p := &Plan{g: g, placed: g.placed, rows: slices.Clone(g.tail.all()[:n])}
	for _, row := range p.rows {
		p.born = append(p.born, g.born[row])
	}
	p.near, p.links, p.twins = make([][]neighbour, n), make([][]uint32, n), make([]uint32, n)
	p.stage = p.search
	return p
}

// Step does a part of the work, about a millisecond, with at most MaxWorkers
// goroutines, and says whether all is done. The outcome does not depend on
// workers. The caller holds the lock for reading.
func (p *Plan) Step(workers int) (done bool) {
	if p.placed != p.g.placed {
		return true // it will not be placed
	}
	return p.stage(max(1, min(workers, MaxWorkers)))
}

// share runs the work on [p.next, to), a part for each worker.
func (p *Plan) share(workers, each, to int, run func(s *scratch, i int)) {
	to = min(to, p.next+each*workers)
	part := func(first int) {
		s := p.g.borrow()
		defer p.g.giveBack(s)
		for i := first; i < to; i += workers {
			run(s, i)
		}
	}
	var wg sync.WaitGroup
	for w := range workers - 1 {
		wg.Go(func() { part(p.next + w + 1) })
	}
	part(p.next)
	wg.Wait()
	p.next = to
}

// search finds what is near each row.
func (p *Plan) search(workers int) bool {
	p.share(workers, stepRows, len(p.rows), func(s *scratch, i int) {
		if p.stands(i) {
			p.near[i] = s.neighboursOf(p.rows[i])
		}
	})
	if p.next == len(p.rows) {
		p.stage, p.next = p.meet, 0
	}
	return false
}

// stands says whether row i is still the one that was taken from the tail.
func (p *Plan) stands(i int) bool {
	row := p.rows[i]
	return p.g.states[row] == waiting && p.g.born[row] == p.born[i]
}

// neighboursOf finds rows that are linked and near a row.
func (s *scratch) neighboursOf(row uint32) []neighbour {
	s.g.aimAtRow(s.aimed, row)
	if len(s.g.entries.rows) == 0 {
		return nil
	}
	// A walk without a context does not fail.
	_ = s.walk(context.Background(), breadth)
	near := make([]neighbour, len(s.beam.items), len(s.beam.items)+PlanRows)
	for i, it := range s.beam.items {
		near[i] = neighbour{it.key(), it.row()}
	}
	return near
}

// meet adds rows of the plan to each other's neighbours, as if all but one had
// been linked before it, and finds twins.
func (p *Plan) meet(int) bool {
	s := p.g.borrow()
	defer p.g.giveBack(s)
	for i, row := range p.rows {
		p.twins[i] = noRow
		if !p.stands(i) {
			continue
		}
		s.at = s.at[:0]
		for j, other := range p.rows[:i] {
			if p.stands(j) && p.twins[j] == noRow {
				s.at = append(s.at, other)
			}
		}
		p.g.aimAtRow(s.aimed, row)
		s.compare()
		for j, other := range s.at {
			p.near[i] = append(p.near[i], neighbour{s.keys[j], other})
		}
		slices.SortFunc(p.near[i], nearer)
		p.twins[i] = p.g.twinOf(row, p.near[i])
	}
	p.stage, p.next = p.choose, 0
	return false
}

func nearer(a, b neighbour) int {
	switch {
	case a.distance < b.distance:
		return -1
	case a.distance > b.distance:
		return 1
	}
	return int(int64(a.row) - int64(b.row))
}

// twinOf finds a row among its nearest that equals a row. Equal rows have equal
// codes, so others are seldom looked at.
func (g *Graph) twinOf(row uint32, near []neighbour) uint32 {
	for _, n := range near[:min(len(near), 4)] {
		if *g.coded.Factor(row) != *g.coded.Factor(n.row) || g.code.stride > 0 && !slices.Equal(g.coded.Code(row), g.coded.Code(n.row)) {
			continue
		}
		if bytes.Equal(bytesOf(g.vector(row)), bytesOf(g.vector(n.row))) {
			return n.row
		}
	}
	return noRow
}

func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// choose picks the links of each row.
func (p *Plan) choose(workers int) bool {
	p.share(workers, 4*stepRows, len(p.rows), func(s *scratch, i int) {
		if p.stands(i) && p.twins[i] == noRow {
			p.links[i] = s.choose(p.near[i], degree)
		}
	})
	if p.next == len(p.rows) {
		p.near = nil
		p.collect()
		p.stage, p.next = p.change, 0
		return len(p.changes) == 0
	}
	return false
}

// collect lists the rows to which rows of the plan have links: they get one back.
func (p *Plan) collect() {
	at := map[uint32]int{}
	for i, links := range p.links {
		for _, to := range links {
			c, ok := at[to]
			if !ok {
				c = len(p.changes)
				at[to] = c
				p.changes = append(p.changes, change{row: to})
			}
			p.changes[c].added = append(p.changes[c].added, p.rows[i])
		}
	}
	slices.SortFunc(p.changes, func(a, b change) int { return int(int64(a.row) - int64(b.row)) })
}

// change works out the new links of rows that get links back. Those of a row of
// the plan itself are its own choice and what is added.
func (p *Plan) change(workers int) bool {
	p.share(workers, stepChanges, len(p.changes), func(s *scratch, i int) {
		c := &p.changes[i]
		c.links = s.extended(c.row, p.linksNow(c.row), c.added)
	})
	return p.next == len(p.changes)
}

func (p *Plan) linksNow(row uint32) []uint32 {
	if i := slices.Index(p.rows, row); i >= 0 {
		return p.links[i]
	}
	return p.g.neighbours(row)
}

// extended is the links of a row and more: all of them when there is room, else
// the best. A row that has links to dead ones is mended on the way, or it would lose
// what lay beyond them before a sweep comes.
func (s *scratch) extended(row uint32, links, added []uint32) []uint32 {
	all, lost := make([]uint32, 0, len(links)+len(added)), false
	for _, to := range links {
		if s.g.states[to] == dead {
			lost = true
		} else {
			all = append(all, to)
		}
	}
	if lost {
		for _, to := range s.beyondDead(row, links) {
			if !slices.Contains(links, to) {
				all = append(all, to)
			}
		}
	}
	for _, to := range added {
		if to != row && !slices.Contains(all, to) {
			all = append(all, to)
		}
	}
	if len(all) <= degree {
		return all
	}
	near := s.distances(row, all)
	return s.choose(near[:min(len(near), breadth)], degree)
}

// distances sorts rows by how far they are from a row; dead ones are left out.
func (s *scratch) distances(row uint32, rows []uint32) []neighbour {
	s.g.aimAtRow(s.aimed, row)
	s.near = s.near[:0]
	for len(rows) > 0 {
		n := min(len(rows), atOnce)
		s.at = append(s.at[:0], rows[:n]...)
		s.compare()
		for i, to := range s.at {
			if s.keys[i] <= math.MaxFloat32 {
				s.near = append(s.near, neighbour{s.keys[i], to})
			}
		}
		rows = rows[n:]
	}
	slices.SortFunc(s.near, nearer)
	return s.near
}

// choose picks links among neighbours, nearest first: one to which a chosen one
// is nearer than the row itself is reached through that, and left out. So links
// go in all directions. The nearest of those left out fill up to some.
func (s *scratch) choose(near []neighbour, most int) []uint32 {
	s.flags = append(s.flags[:0], make([]bool, len(near))...)
	chosen := make([]uint32, 0, most)
	for i, n := range near {
		if s.flags[i] || n.distance > math.MaxFloat32 {
			continue
		}
		if chosen = append(chosen, n.row); len(chosen) == most {
			break
		}
		s.leaveOut(i, near)
	}
	for i := 0; i < len(near) && len(chosen) < filled; i++ {
		if s.flags[i] && near[i].distance <= math.MaxFloat32 {
			chosen = append(chosen, near[i].row)
		}
	}
	return chosen
}

// leaveOut flags what is nearer to neighbour i than to the row.
func (s *scratch) leaveOut(i int, near []neighbour) {
	s.at = s.at[:0]
	for j := i + 1; j < len(near); j++ {
		if !s.flags[j] {
			s.at = append(s.at, near[j].row)
		}
	}
	if len(s.at) == 0 {
		return
	}
	s.g.aimAtRow(s.aimed, near[i].row)
	s.compare()
	n := 0
	for j := i + 1; j < len(near); j++ {
		if s.flags[j] {
			continue
		}
		if s.keys[n] < near[j].distance {
			s.flags[j] = true
		}
		n++
	}
}

// Place carries a plan out, in some microseconds a row, and gives how many rows
// were linked. A plan that was not worked out to its end, or that another was
// placed before, is dropped. The caller holds the lock for writing.
func (g *Graph) Place(p *Plan) int {
	if p == nil || p.placed != g.placed || p.g != g || g.flat != nil {
		return 0
	}
	g.placed++
	switch {
	case p.moves:
		g.placeMove()
	case p.sketched != nil:
		g.placeSketches(p)
	case p.rows == nil:
		g.placeSweep(p)
	default:
		return g.placeRows(p)
	}
	return 0
}

func (g *Graph) placeRows(p *Plan) int {
	var leave []uint32
	for i, row := range p.rows {
		if p.stands(i) && (p.twins[i] == noRow || p.rootStands(i)) {
			leave = append(leave, row)
		}
	}
	g.tail.leave(g, leave)
	left := g.tail.len()
	for i, row := range p.rows {
		if !slices.Contains(leave, row) {
			continue
		}
		if root := p.twins[i]; root != noRow {
			g.addTwin(root, row)
			continue
		}
		g.states[row] = linked
		g.entries.add(g, row, g.live-left)
	}
	for i, row := range p.rows {
		if g.states[row] == linked && p.twins[i] == noRow && slices.Contains(leave, row) {
			g.placeLinks(row, p.links[i])
		}
	}
	g.placeChanges(p.changes)
	return len(leave)
}

// rootStands says whether the row of which row i is a twin is linked, or about to be.
func (p *Plan) rootStands(i int) bool {
	root := p.twins[i]
	if j := slices.Index(p.rows, root); j >= 0 {
		return p.stands(j)
	}
	return p.g.states[root] == linked && bytes.Equal(bytesOf(p.g.vector(root)), bytesOf(p.g.vector(p.rows[i])))
}

func (g *Graph) addTwin(root, row uint32) {
	if g.twins == nil {
		g.twins = map[uint32][]uint32{}
	}
	g.twins[root] = append(g.twins[root], row)
	g.twinned++
	g.states[row] = twin
	g.linksOf(row)[0] = root
}

func (g *Graph) placeChanges(changes []change) {
	for _, c := range changes {
		if g.states[c.row] == linked {
			g.placeLinks(c.row, c.links)
		}
	}
}

// placeLinks sets links, without those to rows that are gone.
func (g *Graph) placeLinks(row uint32, links []uint32) {
	g.setLinks(row, nil)
	l, n := g.linksOf(row), 0
	for _, to := range links {
		if g.states[to] == linked && n < degree {
			l[n] = to
			n++
		}
	}
}

// Settle links all that waits, in the goroutine of the caller and one more when
// workers is 2, and mends what deletes have left. It is for an owner alone with
// the graph: a build, a test.
func (g *Graph) Settle(ctx context.Context, workers int) error {
	for {
		p := g.Plan()
		if p == nil {
			return nil
		}
		for !p.Step(workers) {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		g.Place(p)
	}
}
