package engram

import (
	"context"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Event is one thing that a record of the journal says, as a subscriber sees
// it. A record that ends several nodes gives several events of one LSN.
type Event struct {
	LSN  memory.LSN
	Type string // one of EventTypes
	Time time.Time
	ID   memory.ID // of the memory, entity or link
	Kind string    // episode, concept, entity, link
	Mode string    // of forgotten: suppress, delete, erase; of updated: restore, when a suppressed one is back, merge and unmerge
	// The thing itself as it stands now, when it still does.
	Memory *memory.Memory
	Entity *memory.Entity
	Link   *memory.Link
}

// The types of event. Feedback and consolidation will add theirs.
const (
	EventRemembered = "remembered"
	EventUpdated    = "updated"
	EventLinked     = "linked"
	EventForgotten  = "forgotten"
)

// EventTypes are the types that there are.
var EventTypes = []string{EventRemembered, EventUpdated, EventLinked, EventForgotten}

// EventQuery asks for a page of events after an LSN.
type EventQuery struct {
	After  memory.LSN
	Types  []string      // none: all
	Filter memory.Filter // over memories as they stand; when it is not empty, nothing else is given
	Limit  int           // default DefaultPage, at most MaxPage; a record's events stay together
}

// eventsLooked bounds how many records one page reads to find events that match.
const eventsLooked = 10_000

// Events reads the journal. next is the After of the next page: records that
// did not match move it too, and it is no less than After. When After is below
// the horizon the error is beyond_horizon (gone), with Details["horizon"].
func (s *Space) Events(ctx context.Context, q EventQuery) (es []Event, next memory.LSN, err error) {
	es, next, err = s.events(ctx, q)
	return es, next, memory.InOp("events", err)
}

func (s *Space) events(ctx context.Context, q EventQuery) ([]Event, memory.LSN, error) {
	if err := q.normalize(); err != nil {
		return nil, 0, err
	}
	v, err := s.view()
	if err != nil {
		return nil, 0, err
	}
	defer v.Close()
	r := eventReader{space: s, v: v, q: &q, next: q.After}
	if m, err := v.Meta(s.id); err != nil || q.After >= m.LSN {
		return nil, q.After, err // nothing yet
	}
	if !q.Filter.IsEmpty() {
		if err := r.selectMemories(ctx); err != nil {
			return nil, 0, err
		}
		defer s.db.towers.release(r.tower)
	}
	looked := 0
	err = v.Records(s.id, q.After, func(rec *store.Record) (bool, error) {
		looked++
		r.next = rec.LSN
		err := r.read(rec)
		return len(r.events) < q.Limit && looked < eventsLooked, err
	})
	return r.events, r.next, err
}

func (q *EventQuery) normalize() error {
	for _, t := range q.Types {
		if !slices.Contains(EventTypes, t) {
			return memory.Invalid("word_unknown", "types", "types has %q; it can hold remembered, updated, linked, forgotten", t)
		}
	}
	if err := checkPageSize(&q.Limit); err != nil {
		return err
	}
	return q.Filter.Normalize()
}

// eventReader turns records into events.
type eventReader struct {
	space    *Space
	v        *store.View
	q        *EventQuery
	tower    *tower
	selected *bitset.BitSet // slots that the filter lets through; nil: no filter
	next     memory.LSN
	events   []Event
}

func (r *eventReader) selectMemories(ctx context.Context) (err error) {
	if r.tower, err = r.space.current(ctx); err != nil {
		return err
	}
	r.tower.mu.RLock()
	defer r.tower.mu.RUnlock()
	selected, _ := r.tower.facets.Select(&r.q.Filter, r.tower.applied, r.space.db.Now())
	r.selected = selected.Clone() // it is read after the lock is gone
	return nil
}

// matches says whether a memory is let through by the filter as it stands now.
func (r *eventReader) matches(o memory.Ordinal) bool {
	if r.selected == nil {
		return true
	}
	r.tower.mu.RLock()
	defer r.tower.mu.RUnlock()
	slot, ok := r.tower.facets.Live(o)
	return ok && r.selected.Test(uint(slot))
}

func (r *eventReader) wants(typ string) bool {
	return len(r.q.Types) == 0 || slices.Contains(r.q.Types, typ)
}

func (r *eventReader) read(rec *store.Record) error {
	e := Event{LSN: rec.LSN, Time: rec.Time}
	switch rec.Kind {
	case store.NodeCreated, store.NodeRevised:
		e.Type = EventRemembered
		if rec.Kind == store.NodeRevised {
			e.Type = EventUpdated
		}
		e.Kind = rec.Node.Kind.String()
		return r.node(e, rec.Node.Ordinal, rec.Node.ID)
	case store.NodesShown:
		e.Type, e.Mode = EventUpdated, "restore"
		return r.nodes(e, rec.Nodes)
	case store.NodesEnded:
		e.Type, e.Mode = EventForgotten, rec.Nodes.Mode.String()
		return r.nodes(e, rec.Nodes)
	case store.EntitiesMerged:
		e.Type, e.Mode = EventUpdated, "merge"
		return r.merged(e, rec.Merge.Into, rec.Merge.IDs)
	case store.MergeUndone:
		e.Type, e.Mode = EventUpdated, "unmerge"
		return r.nodes(e, &store.NodesChange{Ordinals: rec.MergeEnd.From, IDs: rec.MergeEnd.IDs})
	case store.LinksMoved:
		e.Type = EventLinked
		for i := range rec.Moved.Links {
			if err := r.link(e, rec.Moved.Links[i].ID); err != nil {
				return err
			}
		}
	case store.LinkPut:
		e.Type = EventLinked
		return r.link(e, rec.Link.ID)
	case store.LinksEnded:
		e.Type = EventForgotten
		e.Mode = memory.Delete.String()
		for _, id := range rec.Links {
			if err := r.link(e, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// merged tells of entities that went into another, which is what stands.
func (r *eventReader) merged(e Event, into memory.Ordinal, ids []memory.ID) error {
	e.Kind = memory.KindEntity.String()
	for _, id := range ids {
		if err := r.node(e, into, id); err != nil {
			return err
		}
	}
	return nil
}

func (r *eventReader) nodes(e Event, c *store.NodesChange) error {
	for i, o := range c.Ordinals {
		if err := r.node(e, o, c.IDs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *eventReader) node(e Event, o memory.Ordinal, id memory.ID) error {
	if !r.wants(e.Type) || !r.matches(o) {
		return nil
	}
	e.ID = id
	n, err := r.v.Node(r.space.id, o)
	if err != nil {
		return err
	}
	if n != nil {
		e.Kind = n.Kind.String()
		if err := r.thing(&e, n); err != nil {
			return err
		}
	}
	if e.Kind == "" {
		if e.Kind, err = r.kindBefore(o, e.LSN); err != nil {
			return err
		}
	}
	if e.Entity != nil && r.selected != nil {
		return nil
	}
	r.events = append(r.events, e)
	return nil
}

// kindBefore is the kind of a node that ended at a record. History has it, but
// for what is erased, which only memories are.
func (r *eventReader) kindBefore(o memory.Ordinal, l memory.LSN) (string, error) {
	n, err := r.v.NodeAt(r.space.id, o, l-1)
	if err != nil || n == nil {
		return memory.KindEpisode.String(), err
	}
	return n.Kind.String(), nil
}

// thing adds what stands.
func (r *eventReader) thing(e *Event, n *store.Node) error {
	if n.Kind == memory.KindEntity {
		entity, err := r.space.loadEntity(r.v, n)
		if err == nil {
			e.Entity = &entity
		}
		return err
	}
	m, found, err := r.space.load(r.v, n, ReadOptions{})
	if err == nil && found && !expired(&m, r.space.db.Now()) {
		e.Memory = &m
	}
	return err
}

func (r *eventReader) link(e Event, id memory.ID) error {
	if !r.wants(e.Type) || r.selected != nil {
		return nil
	}
	e.ID, e.Kind = id, "link"
	l, err := r.v.Link(r.space.id, id)
	if err != nil {
		return err
	}
	if l != nil {
		m, err := r.space.loadLink(r.v, l)
		if err != nil {
			return err
		}
		e.Link = &m
	}
	r.events = append(r.events, e)
	return nil
}
