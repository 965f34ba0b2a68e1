package engram

import (
	"bytes"
	"context"
	"time"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
)

// ApproximateVector in Recollection.Approximate says that memories of then have no vector of
// the model that the space has now: they were found by their words.
const ApproximateVector = "vector"

// stateAsked says after which record a cue wants to be answered, and what time it was then;
// everything and zero: now, and everything and a time: as things stand, at that time.
func (s *Space) stateAsked(a memory.AsOf) (at memory.LSN, then time.Time, err error) {
	if !a.Back() {
		return everything, then, nil
	}
	v, err := s.view()
	if err != nil {
		return 0, then, err
	}
	defer v.Close()
	if at, err = s.readAt(v, ReadOptions{AsOf: a.Stored, AsOfLSN: a.LSN}); err != nil {
		return 0, then, err
	}
	m, err := v.Meta(s.id)
	if err != nil {
		return 0, then, err
	}
	if a.LSN > m.LSN {
		return 0, then, memory.Invalid("lsn_ahead", "as_of.lsn", "as_of.lsn is %d, and the newest record of space %q is %d", a.LSN, s.name, m.LSN).
			Hinted("a time is given as stored")
	}
	now := s.db.Now()
	switch {
	case !a.Stored.IsZero() && a.Stored.Before(now):
		then = a.Stored
	case at < m.LSN:
		then, err = v.TimeOf(s.id, at)
	default:
		then = now
	}
	if at >= m.LSN {
		at = everything
	}
	return at, then, err
}

// towerAt gives the indexes that a cue is answered from, and what lets go of them.
func (s *Space) towerAt(ctx context.Context, at memory.LSN) (*tower, func(), error) {
	if at != everything {
		p, err := s.past(ctx, at)
		if err != nil {
			return nil, nil, err
		}
		return p.tower, func() {}, nil
	}
	t, err := s.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	return t, func() { s.db.towers.release(t) }, nil
}

// lookupAt finds what an id names, or named after a record.
func (s *Space) lookupAt(v *store.View, id memory.ID, at memory.LSN) (*store.Node, error) {
	if at == everything {
		return v.Lookup(s.id, id)
	}
	return v.LookupAt(s.id, id, at)
}

// now is the moment that what is in the indexes is seen from.
func (t *tower) now() time.Time {
	if !t.then.IsZero() {
		return t.then
	}
	return t.space.db.Now()
}

// indexesAt are the indexes that a cue is answered from. The caller holds mu for reading.
func (t *tower) indexesAt(c *memory.Cue) (ix recall.Indexes, err error) {
	ix = t.indexes()
	if t.assoc != nil && !c.AsOf.Valid.IsZero() {
		ix.Links, err = t.holding(c.AsOf.Valid)
	}
	return ix, err
}

// holding is the graph of the links that hold in the world at a time: that of all when they
// all do, else a copy. The caller holds mu for reading and has called knowTimed.
func (t *tower) holding(at time.Time) (*graph.Graph, error) {
	var over []graph.Link
	for _, l := range t.assoc.timed {
		if !holdsAt(&l.valid, at) {
			over = append(over, l.at)
		}
	}
	if len(over) == 0 {
		return t.assoc.links, nil
	}
	c := &t.held
	c.Lock()
	defer c.Unlock()
	if c.links != nil && c.lsn == t.applied && c.at.Equal(at) {
		return c.links, nil
	}
	var b bytes.Buffer
	if err := t.assoc.links.Save(&b); err != nil {
		return nil, err
	}
	g, err := graph.Load(&b)
	if err != nil {
		return nil, err
	}
	for _, l := range over {
		g.End(l)
	}
	c.lsn, c.at, c.links = t.applied, at, g
	return g, nil
}
