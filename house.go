package engram

import (
	"context"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// housekeepingEvery is how often the database looks after itself.
const housekeepingEvery = time.Minute

// saveShare is the share of a space's memories that may have changed since its
// last snapshot before a new one is taken while it is in use.
const saveShare = 4

// keepHouse takes out what has expired, closes idle spaces, saves indexes that
// have moved far from their snapshots, moves horizons up, and finishes erasures
// that a crash left undone.
func (db *DB) keepHouse() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db.run.start("housekeeping stop", func() { <-db.run.stop; cancel() })
	db.finishErasures()
	db.resumeRelinks()
	for {
		select {
		case <-db.opts.Clock.After(housekeepingEvery):
		case <-db.run.stop:
			return
		}
		now := db.Now()
		for _, t := range db.towers.open() {
			db.expire(ctx, t, now)
			db.saveOften(t)
		}
		db.towers.closeIdle(db, now.Add(-db.opts.IdleClose))
		db.pasts.dropIdle(now.Add(-db.opts.IdleClose))
		db.moveHorizons(ctx, now)
	}
}

// expire takes out the memories of an open space whose time is over. Readers do
// not see them any more; a closed space is looked after when it is opened.
func (db *DB) expire(ctx context.Context, t *tower, now time.Time) {
	select {
	case <-t.opened:
	default:
		return
	}
	if t.err != nil {
		return
	}
	t.mu.RLock()
	standing, _ := t.facets.Visible(t.applied, time.Time{})
	seen, _ := t.facets.Visible(t.applied, now)
	over := targetsOf(t.facets, standing.Difference(seen))
	t.mu.RUnlock()
	if len(over) == 0 {
		return
	}
	_, err := t.space.commit(ctx, "expire", WriteOptions{}, new(Forgotten), nil, func(tx *store.Tx) error {
		ns, err := stillThere(tx, over)
		if err != nil || len(ns) == 0 {
			return err
		}
		return tx.End(memory.Delete, ns, "expired")
	})
	if err != nil {
		db.opts.Logger.Warn("expired memories stay for now", "space", t.space.name, "error", err)
	}
}

// saveOften saves the indexes of a space that is in use, so that opening it
// after a crash does not take long.
func (db *DB) saveOften(t *tower) {
	select {
	case <-t.opened:
	default:
		return
	}
	if t.err != nil {
		return
	}
	t.mu.RLock()
	live := t.facets.Stats().Live
	t.mu.RUnlock()
	db.save(t, max(10*snapshotWorth, memory.LSN(live/saveShare)))
}

// finishErasures wipes what was erased when the last process ended.
func (db *DB) finishErasures() {
	db.spaces.RLock()
	spaces := make([]*Space, 0, len(db.spaces.byID))
	for _, s := range db.spaces.byID {
		spaces = append(spaces, s)
	}
	db.spaces.RUnlock()
	for _, s := range spaces {
		v, err := s.view()
		if err != nil {
			return // the database closes
		}
		pending, err := v.Erasing(s.id)
		v.Close()
		if err != nil {
			db.opts.Logger.Error("pending erasures cannot be read", "space", s.name, "error", err)
			continue
		}
		if len(pending) > 0 {
			db.startWipe(s)
		}
	}
}

// moveHorizons lets the journals of all spaces end where their settings say.
func (db *DB) moveHorizons(ctx context.Context, now time.Time) {
	db.spaces.RLock()
	spaces := make([]*Space, 0, len(db.spaces.byID))
	for _, s := range db.spaces.byID {
		spaces = append(spaces, s)
	}
	db.spaces.RUnlock()
	for _, s := range spaces {
		if db.run.closing() {
			return
		}
		if err := s.moveHorizon(ctx, now); err != nil {
			db.opts.Logger.Warn("horizon not moved", "space", s.name, "error", err)
		}
	}
}

func (s *Space) moveHorizon(ctx context.Context, now time.Time) error {
	v, err := s.view()
	if err != nil {
		return nil // dropped, or the database closes
	}
	upTo, err := v.LSNAt(s.id, now.Add(-s.Settings().Horizon))
	v.Close()
	if isCode(err, store.ErrBeyond.Code) || upTo == 0 {
		return nil // it is there already
	}
	if err == nil {
		_, err = s.db.shard.Truncate(ctx, s.id, upTo)
	}
	return err
}
