package engram

import (
	"context"
	"reflect"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// updateTries bounds how often an update without IfMatch is made anew because
// another write came between its reading and its writing.
const updateTries = 100

// errMoved says that what an update was made from has changed.
var errMoved = memory.Errorf(memory.KindBusy, "version_moved", "other writers kept changing it")

// Update makes a new version of a memory: change gets a copy of what stands and
// may be called again when another write comes between. Entities and links of a
// memory are changed by their own calls.
func (s *Space) Update(ctx context.Context, id memory.ID, change func(*memory.Episode) error, o WriteOptions) (Written, error) {
	w, err := s.update(ctx, id, change, o)
	return w, memory.InOp("update", err)
}

func (s *Space) update(ctx context.Context, id memory.ID, change func(*memory.Episode) error, o WriteOptions) (Written, error) {
	if err := s.admit(); err != nil {
		return Written{}, err
	}
	if err := id.Check("id"); err != nil {
		return Written{}, err
	}
	w, err := retryMoved(o, func() (Written, error) {
		old, e, err := s.standing(id)
		if err != nil {
			return Written{}, err
		}
		var p *prepared
		if old != nil {
			if p, err = s.changed(e, change); err != nil {
				return Written{}, err
			}
		}
		return s.revise(ctx, id, old, p, o)
	})
	if err == nil && o.WaitVector {
		s.waitPending(ctx, &w, false)
	}
	return w, err
}

// retryMoved does an update again while others come between.
func retryMoved(o WriteOptions, once func() (Written, error)) (Written, error) {
	for range updateTries - 1 {
		w, err := once()
		if err != errMoved {
			return w, err
		}
	}
	return once()
}

// standing reads the memory that is to be changed; nil when there is none (the
// write goes on: an idempotency key may have an answer all the same).
func (s *Space) standing(id memory.ID) (*store.Node, memory.Episode, error) {
	v, err := s.view()
	if err != nil {
		return nil, memory.Episode{}, err
	}
	defer v.Close()
	n, err := v.Lookup(s.id, id)
	if err != nil || n == nil || n.Kind == memory.KindEntity {
		return nil, memory.Episode{}, err
	}
	head, found, err := v.Head(s.id, n.Ordinal, n.Version)
	if err != nil || !found {
		return nil, memory.Episode{}, err
	}
	e, err := store.DecodeEpisode(head)
	if err != nil {
		return nil, e, damaged(s, n, err)
	}
	if n = n.In(s.state.Load().Generation); n.Vector != 0 && len(n.Made) == 0 { // what a model made is not what was said
		e.Vector, err = v.Vector(s.id, n.Ordinal, n.Vector)
	}
	e.ID = id
	return n, e, err
}

func (s *Space) changed(e memory.Episode, change func(*memory.Episode) error) (*prepared, error) {
	id, entities, links := e.ID, e.Entities, e.Links
	if err := change(&e); err != nil {
		return nil, err
	}
	if e.ID != id {
		return nil, memory.Invalid("field_fixed", "id", "id cannot change")
	}
	if !reflect.DeepEqual(e.Entities, entities) {
		return nil, memory.Invalid("field_fixed", "entities", "entities cannot be changed here; their links can, by /links")
	}
	if !reflect.DeepEqual(e.Links, links) {
		return nil, memory.Invalid("field_fixed", "links", "links cannot be changed here; use /links")
	}
	p, err := s.prepare(e, 0)
	if err == nil {
		p.takeApart()
	}
	return p, err
}

// revise writes the new version if the old one still stands.
func (s *Space) revise(ctx context.Context, id memory.ID, old *store.Node, p *prepared, o WriteOptions) (Written, error) {
	var w Written
	args := [][]byte{[]byte(id)}
	if p != nil {
		args = append(args, p.digest)
	}
	c, err := s.commit(ctx, "update", o, &w, args, func(tx *store.Tx) error {
		now, err := tx.Lookup(id)
		if err != nil {
			return err
		}
		if now == nil || now.Kind == memory.KindEntity {
			return memoryNotFound(s, id)
		}
		if err := o.matches("memory "+string(id), nodeWritten(now, "")); err != nil {
			return err
		}
		over, err := expiredIn(tx, now)
		if err != nil {
			return err
		}
		if over {
			return memoryNotFound(s, id)
		}
		if old == nil || now.Ordinal != old.Ordinal || now.Version != old.Version {
			return errMoved
		}
		if err := p.underCommit(tx); err != nil {
			return err
		}
		pl := &plan{p: p, outcome: Replaced, old: now}
		if string(now.Digest) == string(p.digest) {
			pl.outcome = Kept
		}
		w, err = pl.place(tx)
		return err
	})
	w.Replayed = c.Replayed
	return w, err
}
