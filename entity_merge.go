package engram

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Bounds of a merge. It is one commit, which others wait for.
const (
	MaxMergeFrom  = 100
	MaxMergeLinks = 10_000 // at the entities that go: some hundred milliseconds
)

// Merged is what became of a merge or of its undo.
type Merged struct {
	Entity memory.Entity `cbor:"-"` // the one that stays, as it stands now
	LSN    memory.LSN    `cbor:"1,keyasint"`
	Merge  memory.LSN    `cbor:"2,keyasint"` // by which the merge is known and can be undone
	Links  int           `cbor:"3,keyasint"` // that were moved
	IDs    []memory.ID   `cbor:"4,keyasint"` // of the entities that went, or are back
	Into   memory.ID     `cbor:"5,keyasint"`
	// Replayed says that an idempotency key gave an earlier answer.
	Replayed bool `cbor:"-"`
}

// MergeEntities makes one entity of several: into gets the names and aliases of from
// as aliases, the metadata keys that it has not, a type when it has none, and all their
// links. Their ids and names mean it from then on. It is one commit, and
// UnmergeEntities takes it back. Errors: entity_not_found; merge_empty,
// merge_with_itself, list_too_long (invalid) also for more aliases than an entity has;
// merge_too_large; version_mismatch, of into.
func (s *Space) MergeEntities(ctx context.Context, into memory.ID, from []memory.ID, o WriteOptions) (Merged, error) {
	m, err := s.mergeEntities(ctx, into, from, o)
	return m, memory.InOp("merge_entities", err)
}

func (s *Space) mergeEntities(ctx context.Context, into memory.ID, from []memory.ID, o WriteOptions) (Merged, error) {
	if err := checkMerge(into, from); err != nil {
		return Merged{}, err
	}
	if err := s.alive(); err != nil {
		return Merged{}, err
	}
	args := [][]byte{[]byte(into)}
	for _, id := range from {
		args = append(args, []byte(id))
	}
	var out Merged
	c, err := s.commit(ctx, "merge_entities", o, &out, args, func(tx *store.Tx) error {
		p := merger{space: s, tx: tx}
		if err := p.read(into, from, o); err != nil {
			return err
		}
		var err error
		out, err = p.place()
		return err
	})
	if err != nil {
		return Merged{}, err
	}
	return s.mergedAs(out, c)
}

// mergedAs adds the entity as it stands.
func (s *Space) mergedAs(out Merged, c store.Committed) (Merged, error) {
	out.Replayed = c.Replayed
	var err error
	out.Entity, err = s.entity(out.Into)
	if memory.KindOf(err) == memory.KindNotFound { // deleted since
		out.Entity, err = memory.Entity{ID: out.Into}, nil
	}
	return out, err
}

func checkMerge(into memory.ID, from []memory.ID) error {
	if err := into.Check("into"); err != nil {
		return err
	}
	if len(from) == 0 {
		return memory.Invalid("merge_empty", "from", "from is empty; it names the entities that become part of %q", into)
	}
	if len(from) > MaxMergeFrom {
		return memory.Invalid("list_too_long", "from", "from has %d entries; at most %d are merged at once", len(from), MaxMergeFrom)
	}
	for i, id := range from {
		field := fmt.Sprintf("from[%d]", i)
		if err := id.Check(field); err != nil {
			return err
		}
		if id == into || slices.Contains(from[:i], id) {
			return memory.Invalid("merge_with_itself", field, "%s is %q, which is named already", field, id)
		}
	}
	return nil
}

// itself refuses to change an entity by the id of one that is merged into it: whoever
// means the other would change what they do not see.
func itself(id, stands memory.ID) error {
	if id == stands {
		return nil
	}
	e := memory.Errorf(memory.KindConflict, "entity_merged", "entity %q is merged into %q", id, stands)
	e.Field = "id"
	return e.With("into", string(stands)).Hinted("change %q, or undo the merge first", stands)
}

// merger decides about a merge in the commit that makes it.
type merger struct {
	space *Space
	tx    *store.Tx
	into  *store.Node
	own   memory.Entity // into, as it will be
	from  []*store.Node
	merge store.Merge

	others []memory.Entity // that have gone into it by other merges
}

// read finds the entities and refuses what cannot be merged; it changes nothing.
func (p *merger) read(into memory.ID, from []memory.ID, o WriteOptions) (err error) {
	if p.into, err = p.entity("into", into); err != nil {
		return err
	}
	if err := o.matches("entity "+string(into), nodeWritten(p.into, "")); err != nil {
		return err
	}
	if p.own, err = p.tx.EntityOf(p.into.Ordinal); err != nil {
		return err
	}
	p.merge = store.Merge{Into: p.into.Ordinal, IntoID: p.into.ID}
	for i, id := range from {
		field := fmt.Sprintf("from[%d]", i)
		n, err := p.entity(field, id)
		if err != nil {
			return err
		}
		if n.Ordinal == p.into.Ordinal || slices.Contains(p.merge.From, n.Ordinal) {
			return memory.Invalid("merge_with_itself", field, "%s is %q, which is merged into %q already", field, id, n.ID)
		}
		e, err := p.tx.EntityOf(n.Ordinal)
		if err != nil {
			return err
		}
		p.from = append(p.from, n)
		p.merge.From, p.merge.IDs = append(p.merge.From, n.Ordinal), append(p.merge.IDs, n.ID)
		p.take(&e)
	}
	if err := p.own.Normalize(); err != nil {
		return err
	}
	links, err := p.tx.LinksAt(p.merge.From, MaxMergeLinks)
	if err == nil && links > MaxMergeLinks {
		e := memory.Errorf(memory.KindTooLarge, "merge_too_large", "from: the entities have more than %d links; a merge is one commit and moves at most so many", MaxMergeLinks)
		e.Field = "from"
		err = e.Hinted("merge into the entity that has most of them")
	}
	return err
}

func (p *merger) entity(field string, id memory.ID) (*store.Node, error) {
	n, err := p.tx.Lookup(id)
	if err != nil {
		return nil, err
	}
	if n == nil || n.Kind != memory.KindEntity {
		err := memory.NotFound("entity_not_found", "%s: there is no entity %q in space %q", field, id, p.space.name)
		err.Field = field
		return nil, err
	}
	return n, nil
}

// take gives the entity that stays what another has, and notes what it had already.
func (p *merger) take(e *memory.Entity) {
	var had store.Had
	for i, name := range namesOf(e) {
		if name == p.own.Name || slices.Contains(p.own.Aliases, name) {
			had.Names = append(had.Names, uint32(i))
			continue
		}
		p.own.Aliases = append(slices.Clip(p.own.Aliases), name)
	}
	for i, k := range keysOf(e.Metadata) {
		if _, has := p.own.Metadata[k]; has {
			had.Keys = append(had.Keys, uint32(i))
			continue
		}
		if p.own.Metadata == nil {
			p.own.Metadata = memory.Metadata{}
		}
		p.own.Metadata[k] = e.Metadata[k]
	}
	if p.own.Type == "" && e.Type != "" {
		p.own.Type, p.merge.Typed = e.Type, true
	}
	p.merge.Had = append(p.merge.Had, had)
}

// namesOf are the name of an entity and then its aliases.
func namesOf(e *memory.Entity) []string { return append([]string{e.Name}, e.Aliases...) }

func keysOf(m memory.Metadata) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// place adds the records. From here on nothing is refused.
func (p *merger) place() (Merged, error) {
	if _, err := reviseEntity(p.tx, p.into, &p.own); err != nil {
		return Merged{}, err
	}
	lsn, links, err := p.tx.Merge(&p.merge)
	return Merged{LSN: p.tx.Meta().LSN, Merge: lsn, Links: links, IDs: p.merge.IDs, Into: p.into.ID}, err
}

// UnmergeEntities takes a merge into an entity back: the entities that went stand
// again, with those of their links that the merge has moved and that stand still where
// it has moved them. The one that stayed loses the names, metadata and type that it got
// by it, where they are as it got them. What was linked or changed since stays. Errors:
// entity_not_found; merge_not_found, for an LSN that is none of its merges.
func (s *Space) UnmergeEntities(ctx context.Context, into memory.ID, merge memory.LSN, o WriteOptions) (Merged, error) {
	m, err := s.unmergeEntities(ctx, into, merge, o)
	return m, memory.InOp("unmerge_entities", err)
}

func (s *Space) unmergeEntities(ctx context.Context, into memory.ID, merge memory.LSN, o WriteOptions) (Merged, error) {
	if err := into.Check("id"); err != nil {
		return Merged{}, err
	}
	if err := s.alive(); err != nil {
		return Merged{}, err
	}
	var out Merged
	c, err := s.commit(ctx, "unmerge_entities", o, &out, [][]byte{[]byte(into), store.Encode(merge)}, func(tx *store.Tx) error {
		p := merger{space: s, tx: tx}
		if err := p.find(into, merge, o); err != nil {
			return err
		}
		var err error
		out, err = p.undo()
		return err
	})
	if err != nil {
		return Merged{}, err
	}
	return s.mergedAs(out, c)
}

// find reads the merge that is to be undone: into is the entity that stayed, or one that
// went by the merge.
func (p *merger) find(into memory.ID, merge memory.LSN, o WriteOptions) (err error) {
	if p.into, err = p.entity("id", into); err != nil {
		return err
	}
	if err := o.matches("entity "+string(p.into.ID), nodeWritten(p.into, "")); err != nil {
		return err
	}
	went, err := p.tx.Merged(into)
	if err != nil {
		return err
	}
	if went != nil && went.Into != p.into.Ordinal {
		e := memory.Errorf(memory.KindConflict, "merge_covered", "entity %q went into one that is merged into %q since", into, p.into.ID)
		return e.Hinted("undo that merge first; GET the entity %q shows it", p.into.ID)
	}
	ms, err := p.tx.Merges(p.into.Ordinal)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if merge != 0 && m.LSN == merge || merge == 0 && went != nil && slices.Contains(m.From, went.Ordinal) {
			p.merge = m
		}
	}
	if p.merge.LSN != 0 {
		return p.readOthers(ms)
	}
	return memory.NotFound("merge_not_found", "entity %q has no such merge", p.into.ID).
		Hinted("give the LSN that the merge answered, or the id of an entity that went by it; GET the entity lists its merges")
}

// readOthers reads the entity that stays, and those that went into it by other merges.
func (p *merger) readOthers(ms []store.Merge) (err error) {
	if p.own, err = p.tx.EntityOf(p.into.Ordinal); err != nil {
		return err
	}
	for _, m := range ms {
		for _, o := range m.From {
			if m.LSN == p.merge.LSN {
				continue
			}
			e, err := p.tx.EntityOf(o)
			if err != nil {
				return err
			}
			p.others = append(p.others, e)
		}
	}
	return nil
}

// undo adds the records.
func (p *merger) undo() (Merged, error) {
	for i, o := range p.merge.From {
		e, err := p.tx.EntityOf(o)
		if err != nil {
			return Merged{}, err
		}
		p.giveBack(&e, p.merge.Had[i])
	}
	if _, err := reviseEntity(p.tx, p.into, &p.own); err != nil {
		return Merged{}, err
	}
	links, err := p.tx.Unmerge(&p.merge)
	return Merged{LSN: p.tx.Meta().LSN, Merge: p.merge.LSN, Links: links, IDs: p.merge.IDs, Into: p.into.ID}, err
}

// giveBack takes from the entity that stays what it has got from another, unless a
// third that is merged into it has it too.
func (p *merger) giveBack(e *memory.Entity, had store.Had) {
	for i, name := range namesOf(e) {
		if !slices.Contains(had.Names, uint32(i)) && !slices.ContainsFunc(p.others, func(o memory.Entity) bool { return slices.Contains(namesOf(&o), name) }) {
			p.own.Aliases = slices.DeleteFunc(slices.Clone(p.own.Aliases), func(a string) bool { return a == name })
		}
	}
	for i, k := range keysOf(e.Metadata) {
		same := func(o memory.Entity) bool {
			v, has := o.Metadata[k]
			return has && string(store.Encode(v)) == string(store.Encode(e.Metadata[k]))
		}
		if !slices.Contains(had.Keys, uint32(i)) && same(p.own) && !slices.ContainsFunc(p.others, same) {
			delete(p.own.Metadata, k)
		}
	}
	if p.merge.Typed && p.own.Type == e.Type {
		p.own.Type = ""
	}
}

// mergedInto lists the entities that have gone into one, as they were called.
func (s *Space) mergedInto(v *store.View, o memory.Ordinal) (all []memory.MergedEntity, err error) {
	ms, err := v.Merges(s.id, o)
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		for i, from := range m.From {
			head, found, err := v.HeadOf(s.id, from)
			if err != nil {
				return nil, err
			}
			one := memory.MergedEntity{ID: m.IDs[i], Merge: m.LSN}
			if found {
				e, err := store.DecodeEntity(head)
				if err != nil {
					return nil, damaged(s, &store.Node{ID: one.ID}, err)
				}
				one.Name = e.Name
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// merge follows a merge of entities, or its undo.
func (t *tower) merge(v *store.View, r *store.Record, given any) error {
	if t.assoc == nil {
		return nil
	}
	switch r.Kind {
	case store.EntitiesMerged:
		for _, o := range r.Merge.From {
			t.assoc.forget(o)
		}
	case store.LinksMoved:
		moved, _ := given.([]store.Moved)
		for _, m := range moved {
			t.assoc.unlink([]*store.Link{m.Was})
			t.assoc.link(m.Is)
		}
	case store.MergeUndone:
		for _, o := range r.MergeEnd.From {
			n, err := v.Node(t.space.id, o)
			if err == nil && n != nil { // nil: merged again meanwhile
				err = t.entity(v, n)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
