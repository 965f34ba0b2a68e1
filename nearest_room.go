package engram

import (
	"errors"

	"github.com/engramdb/engram/ann"
)

// Vectors that a model makes take memory as those that callers give, and nobody is there
// to be refused: the text is stored by then. So a text for whose vectors, or passages,
// there is no room stays where it is, in the list of texts that lack one. It is found by
// its words, the answer of its write says that its vector is pending, figures say how many
// wait (VectorStats.Delayed), and it gets its vector when there is room again: something was
// forgotten, another space was closed, or the budget was raised.

// madeShare is the share of the budget that models leave free: what an index takes when it
// opens is estimated, and what was made must fit again.
const madeShare = 16

// errNoRoom says that texts wait for memory for their vectors.
var errNoRoom = errors.New("there is no memory for more vectors (vector_memory)")

// grown is what n more vectors take beside those that an index has.
func grown(has, n, dimension int) int64 {
	return max(0, vectorBytes(has+n, dimension, false)-vectorBytes(has, dimension, false))
}

// madeGrowth is what vectors and passages by a backlog's model take.
func (t *tower) madeGrowth(b backlog, vectors, passages int) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, parts, dimension := t.vectors, t.passages, t.st.Settings.Vector.Dimension
	if t.next != nil && t.next.lacking == b.lacking {
		x, parts, dimension = t.next.vectors, t.next.passages, t.next.Dimension
	}
	if x == nil {
		return 0
	}
	n, _ := parts.Len()
	return grown(x.Len(), vectors, dimension) + grown(n, passages, dimension)
}

// roomForMade says whether there is room for vectors and passages by a model: errNoRoom.
// The caller holds the tower open.
func (t *tower) roomForMade(b backlog, vectors, passages int) error {
	db := t.space.db
	if !db.makeRoom(t.madeGrowth(b, vectors, passages) + db.vectors.most/madeShare) {
		return errNoRoom
	}
	return nil
}

// roomInline says whether the vector that a quick model makes with a write has room;
// ahead is how many go before it in its batch.
func (s *Space) roomInline(ahead int) bool {
	t := s.db.towers.peek(s.id)
	if t == nil || !s.db.towers.use(t) {
		return true // it takes no memory while it is closed
	}
	defer s.db.towers.release(t)
	t.mu.RLock()
	own := backlog{lacking: t.lacking}
	t.mu.RUnlock()
	return t.roomForMade(own, ahead+1+t.tail(), 0) == nil
}

// makeRoom says whether so many bytes more fit the budget of vector indexes. Spaces that
// nobody uses are closed first.
func (db *DB) makeRoom(bytes int64) bool {
	for !db.vectors.fits(bytes) {
		t := db.takeIdleVectors()
		if t == nil && db.pasts.dropOne() {
			continue
		}
		if t == nil {
			return false
		}
		db.save(t, snapshotWorth)
	}
	return true
}

// delayed is how many texts of a tower wait for memory for their vectors.
func (t *tower) delayed() (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, b := range t.backlogs() {
		if b.full {
			n += int(b.slots.Count())
		}
	}
	return n
}

// passagesRoom is for how many passages room is looked for at once: a share of those that are
// there, as what is looked for and does not come would be missing where memory is scarce.
func passagesRoom(x *ann.Passages, n int) int {
	has, _ := x.Len()
	return max(n, min(passagesStep, has/(2*madeShare)))
}
