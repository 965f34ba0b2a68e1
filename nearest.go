package engram

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// The index of nearest vectors of a space is an ann.Graph, which compares all while
// it is small. A vector is found as soon as it is in it; the links that make it be
// found quickly follow: a goroutine of the database makes them, for all open spaces
// in turns and in parts that hold no lock for long. Until then each search compares
// what waits, the tail. A writer past the tail's bound makes links for twice as many
// as it writes, so the tail gets shorter while it writes.

// linkTurn is how many plans of links (of ann.PlanRows vectors) a space gets in its
// turn.
const linkTurn = 8

// linkTogether is from how many waiting vectors on two goroutines make links: fewer are
// done soon, and a core is left to those who ask.
const linkTogether = 4096

// linkAll makes links while vectors wait for them.
func (db *DB) linkAll() {
	for {
		select {
		case <-db.towers.unlinked:
		case <-db.run.stop:
			return
		}
		db.inTurns(func(t *tower) bool { return t.link(linkTurn) })
	}
}

// link makes and places so many plans; it says whether there may be more to do.
func (t *tower) link(plans int) bool {
	t.linking.Lock()
	defer t.linking.Unlock()
	for range plans {
		if t.space.db.run.closing() || t.space.dropped.Load() || !t.linkPlan() {
			return false
		}
	}
	return true
}

// linkPlan does one plan. The caller holds linking: there is one at a time.
func (t *tower) linkPlan() bool {
	began := time.Now() // told, never decided on
	t.mu.RLock()
	index, p := t.planLinks()
	workers := 1
	if p != nil && index.Tail() > linkTogether {
		workers = ann.MaxWorkers
	}
	t.mu.RUnlock()
	if p == nil {
		return false
	}
	for done := false; !done; {
		t.mu.RLock()
		done = p.Step(workers)
		t.mu.RUnlock()
		runtime.Gosched() // who asks would wait for this goroutine's whole turn, some 10 ms
	}
	t.mu.Lock()
	before := index.Tail()
	index.Place(p)
	linked := before - index.Tail()
	if t.next != nil {
		t.next.lacking.tell() // who waits for the cut-over waits for links, too
	}
	t.noteVectors()
	t.mu.Unlock()
	t.space.db.vectors.linked.Add(uint64(max(0, linked)))
	t.space.db.vectors.linking.Add(int64(time.Since(began)))
	return true
}

// waiting is how many vectors wait for links, and how many may before writers help.
func (t *tower) waiting() (tail, bound int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.vectors == nil {
		return 0, 1
	}
	bound = t.vectors.TailBound()
	if most := t.space.db.opts.VectorTail; most > 0 {
		bound = most
	}
	return t.vectors.Tail(), bound
}

// helpLink lets a writer of n vectors make links when too many wait: for twice as
// many as it writes.
func (t *tower) helpLink(n int) {
	tail, bound := t.waiting()
	if tail <= bound {
		return
	}
	t.space.db.vectors.slowed.Add(1)
	t.link((2*n + ann.PlanRows - 1) / ann.PlanRows)
}

// vectorMemory is what the vector indexes of all open spaces take, and what has been
// done for them.
type vectorMemory struct {
	mu    sync.Mutex
	most  int64
	total int64
	of    map[*tower]int64

	linked  atomic.Uint64 // vectors whose links were made
	linking atomic.Int64  // nanoseconds that took
	slowed  atomic.Uint64 // writes that made links first
	refused atomic.Uint64 // writes and openings for which there was no room

	check atomic.Pointer[vectorCheck] // the last one
}

type vectorCheck struct {
	recall float64
	at     time.Time
}

func (m *vectorMemory) checked(s *Space, recall float64) {
	m.check.Store(&vectorCheck{recall, s.db.Now()})
}

func (m *vectorMemory) init(most int64) { m.most, m.of = most, make(map[*tower]int64) }

// set notes what a tower's index takes, unless the tower has gone.
func (m *vectorMemory) set(t *tower, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-t.gone:
		return
	default:
	}
	m.total += n - m.of[t]
	m.of[t] = n
}

// forget is told of a tower that has gone.
func (m *vectorMemory) forget(t *tower) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total -= m.of[t]
	delete(m.of, t)
}

func (m *vectorMemory) fits(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total+n <= m.most
}

func (m *vectorMemory) has(t *tower) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[t] > 0
}

func (m *vectorMemory) used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// noteVectors tells the budget what the index takes. The caller holds mu.
func (t *tower) noteVectors() {
	n := 0
	if t.vectors != nil {
		n = t.vectors.Bytes() + t.passages.Bytes()
	}
	if t.next != nil {
		n += t.next.vectors.Bytes() + t.next.passages.Bytes()
	}
	if n > 0 {
		t.space.db.vectors.set(t, int64(n))
	}
}

// vectorBytes is about what an index of n vectors takes in memory: the numbers, unless
// they lie in a file, and once there are enough for links, codes, links and tables, in
// chunks.
func vectorBytes(n, dimension int, inFile bool) int64 {
	numbers := 4 * dimension
	if n <= cuesWorth {
		return int64(n) * int64(numbers+16)
	}
	if inFile {
		numbers = 0
	}
	const chunk, links, tables = 1024, 4 * 32, 32
	code := (dimension + 63) / 64 * 64
	sketch := code/8 + 16
	return int64((n+chunk-1)/chunk*chunk) * int64(numbers+code+sketch+links+tables)
}

// growth is what n more vectors take in the index of a tower that has been opened.
func (t *tower) growth(n int) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.vectors == nil {
		return 0
	}
	set := t.space.Settings().Vector
	return grown(t.vectors.Len(), n, set.Dimension)
}

// roomForVectors refuses what would pass the budget of vector indexes. Spaces that
// nobody uses are closed first.
func (db *DB) roomForVectors(bytes int64) error {
	if db.makeRoom(bytes) {
		return nil
	}
	db.vectors.refused.Add(1)
	return memory.Errorf(memory.KindBusy, "vector_memory_full", "the vector indexes take %d of %d bytes, and %d more are needed", db.vectors.used(), db.vectors.most, bytes).
		Hinted("give them more memory (vector_memory), forget what is not needed, or keep these vectors in another process")
}

// takeIdleVectors takes out the tower with vectors that was least recently used, of
// those that nobody holds; nil when there is none.
func (db *DB) takeIdleVectors() *tower {
	ts := &db.towers
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var idle *tower
	for _, t := range ts.byID {
		if t.holders == 0 && db.vectors.has(t) && (idle == nil || t.used.Load() < idle.used.Load()) {
			idle = t
		}
	}
	if idle != nil {
		ts.removeLocked(idle)
	}
	return idle
}

// admitVectors lets a writer of n vectors go on once there is room for them.
func (s *Space) admitVectors(n int) error {
	dimension := s.Settings().Vector.Dimension
	if n == 0 || dimension == 0 {
		return nil
	}
	t := s.db.towers.peek(s.id)
	if t == nil {
		s.openLarge()
		return nil // it takes no memory while it is closed
	}
	if !s.db.towers.use(t) { // which also keeps it open
		return nil
	}
	defer s.db.towers.release(t)
	if err := s.db.roomForVectors(t.growth(n)); err != nil {
		return err
	}
	t.helpLink(n)
	return nil
}

// openLarge opens a large space behind a writer's back, so that links are made while
// it writes and not when someone asks.
func (s *Space) openLarge() {
	v, err := s.view()
	if err != nil {
		return // the write says so
	}
	defer v.Close()
	if m, err := v.Meta(s.id); err == nil && m.Counts.Episodes >= nearWorth {
		s.openSoon()
	}
}

// vectorCount is how many of a batch bring a vector.
func vectorCount(es []memory.Episode) (n int) {
	for i := range es {
		if len(es[i].Vector) > 0 {
			n++
		}
	}
	return n
}

// VectorStats are figures of the vector indexes of all open spaces.
type VectorStats struct {
	Tail        int    // vectors that wait for links; each search compares them
	Bytes       int64  // in memory
	Bound       int64  // how many they may be
	Linked      uint64 // vectors whose links were made
	LinkSeconds float64
	Slowed      uint64 // writes that made links first, as too many waited
	Refused     uint64 // writes and openings for which there was no room
	Delayed     int    // texts that get their vectors from a model when there is room for them
	// Recall is the outcome of the last CheckRecall, and RecallChecked when that was, in
	// Unix seconds; both are 0 before the first.
	Recall, RecallChecked float64
}

func (m *vectorMemory) stats() VectorStats {
	s := VectorStats{Bytes: m.used(), Bound: m.most, Linked: m.linked.Load(), LinkSeconds: time.Duration(m.linking.Load()).Seconds(),
		Slowed: m.slowed.Load(), Refused: m.refused.Load()}
	if c := m.check.Load(); c != nil {
		s.Recall, s.RecallChecked = c.recall, float64(c.at.Unix())
	}
	return s
}

// isOpen says whether the tower is open and whole.
func (t *tower) isOpen() bool {
	select {
	case <-t.opened:
		return t.err == nil
	default:
		return false
	}
}
