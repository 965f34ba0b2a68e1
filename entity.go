package engram

import (
	"context"
	"encoding/binary"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// PutEntity creates an entity or replaces the one of the same id. Outcome is
// created, kept or replaced. id_in_use when the id is a memory's.
func (s *Space) PutEntity(ctx context.Context, e memory.Entity, o WriteOptions) (Written, error) {
	w, err := s.putEntity(ctx, e, o)
	return w, memory.InOp("put_entity", err)
}

func (s *Space) putEntity(ctx context.Context, e memory.Entity, o WriteOptions) (Written, error) {
	if err := s.alive(); err != nil {
		return Written{}, err
	}
	if err := e.Normalize(); err != nil {
		return Written{}, err
	}
	p, err := store.EncodeEntity(&e)
	if err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "put_entity", o, &w, [][]byte{[]byte(e.ID), p.Head}, func(tx *store.Tx) error {
		w, err = placeEntity(tx, &e, o)
		return err
	})
	w.Replayed = c.Replayed
	return w, err
}

func placeEntity(tx *store.Tx, e *memory.Entity, o WriteOptions) (Written, error) {
	old, err := tx.Lookup(e.ID)
	if err != nil {
		return Written{}, err
	}
	if old != nil {
		if old.Kind != memory.KindEntity {
			return Written{}, idInUse(e.ID, old.Kind)
		}
		if err := itself(e.ID, old.ID); err != nil {
			return Written{}, err
		}
		if err := o.matches("entity "+string(e.ID), nodeWritten(old, "")); err != nil {
			return Written{}, err
		}
	}
	if old == nil {
		if err := o.none("entity " + string(e.ID)); err != nil {
			return Written{}, err
		}
		n, err := createEntity(tx, e)
		if err != nil {
			return Written{}, err
		}
		return nodeWritten(n, Created), nil
	}
	return reviseEntity(tx, old, e)
}

func createEntity(tx *store.Tx, e *memory.Entity) (*store.Node, error) {
	p, err := store.EncodeEntity(e)
	if err != nil {
		return nil, err
	}
	name := nameDigest(e.Type, e.Name)
	return tx.Create(e.ID, memory.KindEntity, p, "", name[:], nil)
}

func reviseEntity(tx *store.Tx, old *store.Node, e *memory.Entity) (Written, error) {
	p, err := store.EncodeEntity(e)
	if err != nil {
		return Written{}, err
	}
	if string(p.Digest()) == string(old.Digest) {
		return nodeWritten(old, Kept), nil
	}
	name := nameDigest(e.Type, e.Name)
	n, err := tx.Revise(old, p, 0, "", name[:], nil)
	if err != nil {
		return Written{}, err
	}
	return nodeWritten(n, Replaced), nil
}

func nodeWritten(n *store.Node, outcome Outcome) Written {
	return Written{ID: n.ID, LSN: n.LSN, Version: n.Version, StoredAt: n.Stored, Outcome: outcome}
}

func entityNotFound(s *Space, id memory.ID) error {
	return memory.NotFound("entity_not_found", "there is no entity %q in space %q", id, s.name)
}

// Entity reads one, by its id or by that of one that is merged into it;
// entity_not_found.
func (s *Space) Entity(ctx context.Context, id memory.ID) (memory.Entity, error) {
	e, err := s.entity(id)
	return e, memory.InOp("entity", err)
}

func (s *Space) entity(id memory.ID) (memory.Entity, error) {
	if err := id.Check("id"); err != nil {
		return memory.Entity{}, err
	}
	v, err := s.view()
	if err != nil {
		return memory.Entity{}, err
	}
	defer v.Close()
	n, err := v.Lookup(s.id, id)
	if err != nil {
		return memory.Entity{}, err
	}
	if n == nil || n.Kind != memory.KindEntity {
		return memory.Entity{}, entityNotFound(s, id)
	}
	e, err := s.loadEntity(v, n)
	if err == nil {
		e.Merged, err = s.mergedInto(v, n.Ordinal)
	}
	return e, err
}

func (s *Space) loadEntity(v *store.View, n *store.Node) (memory.Entity, error) {
	head, found, err := v.Head(s.id, n.Ordinal, n.Version)
	if err != nil {
		return memory.Entity{}, err
	}
	if !found {
		return memory.Entity{}, entityNotFound(s, n.ID)
	}
	e, err := store.DecodeEntity(head)
	if err != nil {
		return e, damaged(s, n, err)
	}
	e.ID, e.LSN, e.Version, e.StoredAt = n.ID, n.LSN, n.Version, n.Stored
	return e, nil
}

// UpdateEntity makes a new version; change gets a copy of what stands and may be
// called again when another write comes between.
func (s *Space) UpdateEntity(ctx context.Context, id memory.ID, change func(*memory.Entity) error, o WriteOptions) (Written, error) {
	w, err := retryMoved(o, func() (Written, error) { return s.updateEntity(ctx, id, change, o) })
	return w, memory.InOp("update_entity", err)
}

func (s *Space) updateEntity(ctx context.Context, id memory.ID, change func(*memory.Entity) error, o WriteOptions) (Written, error) {
	old, err := s.entity(id)
	if err != nil {
		return Written{}, err
	}
	if err := itself(id, old.ID); err != nil {
		return Written{}, err
	}
	e := old
	if err := change(&e); err != nil {
		return Written{}, err
	}
	if e.ID != id {
		return Written{}, memory.Invalid("field_fixed", "id", "id cannot change")
	}
	if err := e.Normalize(); err != nil {
		return Written{}, err
	}
	var w Written
	p, err := store.EncodeEntity(&e)
	if err != nil {
		return Written{}, err
	}
	c, err := s.commit(ctx, "update_entity", o, &w, [][]byte{[]byte(id), p.Head}, func(tx *store.Tx) error {
		now, err := tx.Lookup(id)
		if err != nil {
			return err
		}
		if now == nil || now.Kind != memory.KindEntity {
			return entityNotFound(s, id)
		}
		if err := o.matches("entity "+string(id), nodeWritten(now, "")); err != nil {
			return err
		}
		if now.LSN != old.LSN {
			return errMoved
		}
		w, err = reviseEntity(tx, now, &e)
		return err
	})
	w.Replayed = c.Replayed
	return w, err
}

// DeleteEntity removes an entity and the links at it; entity_not_found.
func (s *Space) DeleteEntity(ctx context.Context, id memory.ID, o WriteOptions) (Written, error) {
	w, err := s.deleteEntity(ctx, id, o)
	return w, memory.InOp("delete_entity", err)
}

func (s *Space) deleteEntity(ctx context.Context, id memory.ID, o WriteOptions) (Written, error) {
	if err := id.Check("id"); err != nil {
		return Written{}, err
	}
	if err := s.alive(); err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "delete_entity", o, &w, [][]byte{[]byte(id)}, func(tx *store.Tx) error {
		n, err := tx.Lookup(id)
		if err != nil {
			return err
		}
		if n == nil || n.Kind != memory.KindEntity {
			return entityNotFound(s, id)
		}
		if err := itself(id, n.ID); err != nil {
			return err
		}
		if err := o.matches("entity "+string(id), nodeWritten(n, "")); err != nil {
			return err
		}
		if err := tx.End(memory.Delete, []*store.Node{n}, ""); err != nil {
			return err
		}
		w = nodeWritten(n, Deleted)
		w.LSN, w.StoredAt = tx.Meta().LSN, tx.Now()
		return nil
	})
	w.Replayed = c.Replayed
	return w, err
}

// Entities pages through the entities in the order they were made; typ "" is
// any.
func (s *Space) Entities(ctx context.Context, typ string, pageSize int, token string) (es []memory.Entity, next string, err error) {
	es, next, err = s.entities(ctx, typ, pageSize, token)
	return es, next, memory.InOp("entities", err)
}

// entitiesLooked bounds how many entities one page looks at to find those of a
// type; a page may be short, or empty, and have a next one.
const entitiesLooked = 10_000

func (s *Space) entities(ctx context.Context, typ string, pageSize int, token string) (es []memory.Entity, next string, err error) {
	if err := checkPageSize(&pageSize); err != nil {
		return nil, "", err
	}
	call := s.call("entities", []byte(typ))
	from := memory.Ordinal(0)
	if token != "" {
		tok, err := parsePageToken(token, call)
		if err != nil || len(tok.After) != 4 {
			return nil, "", errPageToken
		}
		from = memory.Ordinal(binary.BigEndian.Uint32(tok.After)) + 1
	}
	v, err := s.view()
	if err != nil {
		return nil, "", err
	}
	defer v.Close()
	var ordinals []memory.Ordinal
	looked := entitiesLooked
	if typ == "" {
		looked = pageSize
	}
	more := false
	err = v.Entities(s.id, from, func(o memory.Ordinal) bool {
		if more = len(ordinals) == looked; more {
			return false
		}
		ordinals = append(ordinals, o)
		return true
	})
	if err != nil {
		return nil, "", err
	}
	last := memory.Ordinal(0)
	for _, o := range ordinals {
		if len(es) == pageSize {
			more = true
			break
		}
		last = o
		n, err := v.Node(s.id, o)
		if err != nil {
			return nil, "", err
		}
		if n == nil {
			continue
		}
		e, err := s.loadEntity(v, n)
		if err != nil {
			return nil, "", err
		}
		if typ == "" || e.Type == typ {
			es = append(es, e)
		}
	}
	if more {
		next = pageToken{Call: call, After: binary.BigEndian.AppendUint32(nil, uint32(last))}.String()
	}
	return es, next, ctx.Err()
}
