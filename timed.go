package engram

import (
	"context"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// timedLink is a link that holds in the world for a time, and where it lies in the graph.
type timedLink struct {
	at    graph.Link
	valid memory.Validity
}

// timedReading says that somebody reads the links that hold for a time only. Nobody wants
// them until a question has as_of.valid; the first one reads all links of the space, without
// the lock of the indexes: that would hold up the writers, and behind them all recalls.
type timedReading struct {
	done  chan struct{} // closed when it has ended
	since []timedChange // what the indexes were told meanwhile, guarded by the tower's mu
}

// timedChange is a link that was put, or has ended.
type timedChange struct {
	link  *store.Link
	ended bool
}

// knowTimed learns which links hold for a time only, once somebody asks.
func (t *tower) knowTimed(ctx context.Context) error {
	return t.learnTimed(ctx, func(f func(*store.Link) (bool, error)) error {
		v, err := t.space.db.shard.View()
		if err != nil {
			return err
		}
		defer v.Close()
		return v.Links(t.space.id, f)
	})
}

// learnTimed learns them from what read gives. It begins to keep changes before it reads, so
// that each is in what is read, or among them, or both, which comes to the same.
func (t *tower) learnTimed(ctx context.Context, read func(func(*store.Link) (bool, error)) error) error {
	mine, err := t.beginTimed(ctx)
	if mine == nil {
		return err
	}
	timed := make(map[memory.ID]timedLink)
	err = read(func(l *store.Link) (bool, error) {
		noteTimed(timed, timedChange{link: l})
		return true, ctx.Err()
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.assoc.timing = nil
	close(mine.done)
	if ctx.Err() != nil {
		return contextError(ctx, "the links were not read in time")
	}
	if err != nil {
		return err
	}
	for _, c := range mine.since {
		noteTimed(timed, c)
	}
	t.assoc.timed = timed
	return nil
}

// beginTimed says that the caller is to read them; nil when they are known, or ctx has ended.
func (t *tower) beginTimed(ctx context.Context) (*timedReading, error) {
	for {
		t.mu.RLock()
		known := t.assoc == nil || t.assoc.timed != nil
		t.mu.RUnlock()
		if known {
			return nil, nil
		}
		t.mu.Lock()
		theirs := t.assoc.timing
		if theirs == nil && t.assoc.timed == nil {
			mine := &timedReading{done: make(chan struct{})}
			t.assoc.timing = mine
			t.mu.Unlock()
			return mine, nil
		}
		t.mu.Unlock()
		if theirs == nil {
			continue // they have just become known
		}
		select {
		case <-theirs.done:
		case <-ctx.Done():
			return nil, contextError(ctx, "the links were not read in time")
		}
	}
}

// noteTimed tells of a link that was put or has ended, in the order of the records.
func (a *associations) noteTimed(c timedChange) {
	if a.timed != nil {
		noteTimed(a.timed, c)
	}
	if a.timing != nil {
		a.timing.since = append(a.timing.since, c)
	}
}

func noteTimed(timed map[memory.ID]timedLink, c timedChange) {
	if c.ended || c.link.Valid == nil {
		delete(timed, c.link.ID)
		return
	}
	l := c.link
	timed[l.ID] = timedLink{graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(l.ID)}, *l.Valid}
}
