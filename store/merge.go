package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/engramdb/engram/memory"
)

// A merge makes one entity of several. Those that go keep their node, their id, their
// name and their payload, but say into which node they went (Node.Into): whoever
// looks one up finds that one, and nothing counts or lists them. Their links are
// moved to it, and where each stood before is kept, so that the merge can be undone
// whenever. It is one commit: a new version of the entity that stays, EntitiesMerged,
// and as many LinksMoved as its links take.

// Merge says which entities went into another.
type Merge struct {
	Into   memory.Ordinal   `cbor:"1,keyasint"`
	IntoID memory.ID        `cbor:"2,keyasint"`
	From   []memory.Ordinal `cbor:"3,keyasint"`
	IDs    []memory.ID      `cbor:"4,keyasint"` // of From, in the same order
	// Had says what the entity that stayed had already of what it got: for each of From
	// the places among its names (the name and then the aliases) and among its metadata
	// keys, sorted. It is what undoing it must not take away.
	Had []Had `cbor:"5,keyasint"`
	// Typed says that the entity that stayed had no type, and has that of one of From.
	Typed bool `cbor:"6,keyasint,omitempty"`

	LSN memory.LSN `cbor:"-"` // of its record; from the key of the state
}

// Had is what was there before a merge, by place.
type Had struct {
	Names []uint32 `cbor:"1,keyasint,omitempty"`
	Keys  []uint32 `cbor:"2,keyasint,omitempty"`
}

// LinksChange says where links stand from here on.
type LinksChange struct {
	Into  memory.Ordinal `cbor:"1,keyasint"` // of the merge
	Merge memory.LSN     `cbor:"2,keyasint"` // of its record
	Back  bool           `cbor:"3,keyasint,omitempty"`
	Links []MovedLink    `cbor:"4,keyasint"`
}

// MovedLink is a link's new ends.
type MovedLink struct {
	ID     memory.ID      `cbor:"1,keyasint"`
	From   memory.Ordinal `cbor:"2,keyasint"`
	To     memory.Ordinal `cbor:"3,keyasint"`
	FromID memory.ID      `cbor:"4,keyasint"`
	ToID   memory.ID      `cbor:"5,keyasint"`
}

// MergeEnd says that a merge is undone.
type MergeEnd struct {
	Into memory.Ordinal   `cbor:"1,keyasint"`
	LSN  memory.LSN       `cbor:"2,keyasint"` // of the record of the merge
	From []memory.Ordinal `cbor:"3,keyasint"`
	IDs  []memory.ID      `cbor:"4,keyasint"`
}

// ends are where a link stood before it was moved.
type ends struct {
	From memory.Ordinal `cbor:"1,keyasint"`
	To   memory.Ordinal `cbor:"2,keyasint"`
}

// Moved is a link that a merge moved, as it was and as it is: what followers are
// given with LinksMoved, as []Moved.
type Moved struct{ Was, Is *Link }

// movedLinks bounds the links of one record: two ids of 128 bytes at most and a link's
// own.
const movedLinks = 2000

// Merge makes from part of into, which both stand: see the top of this file. The
// caller has revised into, so that it has the names of the others. It gives the LSN
// by which the merge is known, and how many links were moved.
func (t *Tx) Merge(m *Merge) (lsn memory.LSN, links int, err error) {
	ids, err := t.linksAt(m.From)
	if err != nil {
		return 0, 0, err
	}
	if err := t.add(&Record{Kind: EntitiesMerged, Merge: m}, nil); err != nil {
		return 0, 0, err
	}
	lsn = t.meta.LSN
	links, err = t.moveLinks(ids, &LinksChange{Into: m.Into, Merge: lsn}, func(_ *Link, e ends) ends {
		if slices.Contains(m.From, e.From) {
			e.From = m.Into
		}
		if slices.Contains(m.From, e.To) {
			e.To = m.Into
		}
		return e
	})
	return lsn, links, err
}

// Unmerge undoes a merge: the entities stand again, and those of their links that
// stand still where the merge has moved them go back. The caller revises the entity
// that stayed. It gives how many links were moved.
func (t *Tx) Unmerge(m *Merge) (links int, err error) {
	before := make(map[memory.ID]ends)
	var ids []memory.ID
	prefix := movedKey(t.space, m.Into, m.LSN)
	var failed error
	err = t.layer.scan(prefix, func(k, v []byte) bool {
		var e ends
		id := memory.ID(k[len(prefix):])
		failed = decode(v, &e)
		before[id] = e
		ids = append(ids, id)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	if err := t.add(&Record{Kind: MergeUndone, MergeEnd: &MergeEnd{Into: m.Into, LSN: m.LSN, From: m.From, IDs: m.IDs}}, nil); err != nil {
		return 0, err
	}
	return t.moveLinks(ids, &LinksChange{Into: m.Into, Merge: m.LSN, Back: true}, func(l *Link, e ends) ends {
		was := before[l.ID]
		if e.From == m.Into && slices.Contains(m.From, was.From) {
			e.From = was.From
		}
		if e.To == m.Into && slices.Contains(m.From, was.To) {
			e.To = was.To
		}
		return e
	})
}

// LinksAt counts the links at nodes, up to one more than most.
func (t *Tx) LinksAt(nodes []memory.Ordinal, most int) (n int, err error) {
	for _, o := range nodes {
		err = t.layer.scan(u32(key(t.space, tableAdjacency), uint32(o)), func(_, _ []byte) bool {
			n++
			return n <= most
		})
		if err != nil || n > most {
			break
		}
	}
	return n, err
}

// linksAt lists the links at nodes, each once.
func (t *Tx) linksAt(nodes []memory.Ordinal) (ids []memory.ID, err error) {
	seen := make(map[memory.ID]bool)
	for _, o := range nodes {
		at, err := t.LinkIDs(o)
		if err != nil {
			return nil, err
		}
		for _, id := range at {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// moveLinks gives links other ends, and their payloads the place that goes with it.
func (t *Tx) moveLinks(ids []memory.ID, c *LinksChange, where func(*Link, ends) ends) (int, error) {
	var moved []Moved
	for _, id := range ids {
		l, err := t.Link(id)
		if err != nil {
			return 0, err
		}
		if l == nil {
			continue
		}
		at := where(l, ends{l.From, l.To})
		if at == (ends{l.From, l.To}) {
			continue
		}
		is := *l
		is.From, is.To = at.From, at.To
		for _, end := range []struct {
			o  memory.Ordinal
			id *memory.ID
		}{{at.From, &is.FromID}, {at.To, &is.ToID}} {
			n, err := t.Node(end.o)
			if err != nil {
				return 0, err
			}
			*end.id = n.ID
		}
		moved = append(moved, Moved{l, &is})
	}
	return len(moved), chunks(moved, movedLinks, func(part []Moved) error { return t.placeMoved(part, *c) })
}

func (t *Tx) placeMoved(part []Moved, c LinksChange) error {
	for _, m := range part {
		is := m.Is
		is.Version, is.LSN, is.Stored = m.Was.Version+1, t.meta.LSN+1, t.now
		c.Links = append(c.Links, MovedLink{is.ID, is.From, is.To, is.FromID, is.ToID})
		if len(is.Metadata) == 0 {
			continue
		}
		b, ok, err := t.layer.get(edgeKey(t.space, is.ID, m.Was.LSN))
		if err != nil {
			return err
		}
		if ok {
			t.layer.set(edgeKey(t.space, is.ID, is.LSN), bytes.Clone(b))
			t.layer.del(edgeKey(t.space, is.ID, m.Was.LSN))
			t.bytes += len(b)
		}
	}
	return t.add(&Record{Kind: LinksMoved, Moved: &c}, part)
}

// Merges lists the merges into a node that can be undone, the oldest first.
func (t *Tx) Merges(into memory.Ordinal) ([]Merge, error) { return mergesOf(t.layer, t.space, into) }

// Merges lists the merges into a node that can be undone, the oldest first.
func (v *View) Merges(space memory.SpaceID, into memory.Ordinal) ([]Merge, error) {
	return mergesOf(v.d, space, into)
}

// HeadOf reads the payload of a node that stands or is merged.
func (v *View) HeadOf(space memory.SpaceID, o memory.Ordinal) (head []byte, found bool, err error) {
	n, err := v.anyNode(space, o)
	if err != nil || n == nil {
		return nil, false, err
	}
	return v.Head(space, o, n.Version)
}

// Merged reads an entity that has gone into another; nil when it has not.
func (t *Tx) Merged(id memory.ID) (*Node, error) {
	v, ok, err := t.layer.get(idKey(t.space, id))
	if err != nil || !ok {
		return nil, err
	}
	n, err := getNode(t.layer, t.space, parseOrdinal(v))
	if err != nil || n.Into == 0 {
		return nil, err
	}
	return n, nil
}

// EntityOf reads the payload of an entity, also of one that is merged.
func (t *Tx) EntityOf(o memory.Ordinal) (memory.Entity, error) {
	n, err := getNode(t.layer, t.space, o)
	if err != nil {
		return memory.Entity{}, err
	}
	head, err := t.Head(n)
	if err != nil {
		return memory.Entity{}, err
	}
	e, err := DecodeEntity(head)
	e.ID = n.ID
	return e, err
}

func mergesOf(s state, space memory.SpaceID, into memory.Ordinal) (all []Merge, err error) {
	prefix := u32(key(space, tableMerge), uint32(into))
	var failed error
	err = s.scan(prefix, func(k, v []byte) bool {
		var m Merge
		failed = decode(v, &m)
		m.LSN = memory.LSN(binary.BigEndian.Uint64(k[len(prefix):]))
		all = append(all, m)
		return failed == nil
	})
	return all, errors.Join(err, failed)
}

// standing follows a node that is merged to the one that it has become; nil when
// none stands under the ordinal.
func standing(s state, space memory.SpaceID, o memory.Ordinal) (*Node, error) {
	for range mergesDeep {
		v, ok, err := s.get(nodeKey(space, o))
		if err != nil || !ok {
			return nil, err
		}
		n, err := parseNode(space, o, v)
		if err != nil || n.Into == 0 {
			return n, err
		}
		o = n.Into
	}
	return nil, corrupt(space, "node", uint64(o), errors.New("it is merged into itself"))
}

// mergesDeep bounds how often a survivor of one merge goes into another.
const mergesDeep = 10_000

// entitiesMerged places a merge.
func (a applier) entitiesMerged(m *Merge) error {
	for _, o := range m.From {
		n, err := getNode(a.s, a.space, o)
		if err != nil {
			return err
		}
		if n.Kind != memory.KindEntity || n.Into != 0 || o == m.Into {
			return fmt.Errorf("node %d cannot be merged into %d", o, m.Into)
		}
		n.Into = m.Into
		a.s.set(nodeKey(a.space, o), encode(n))
		a.s.del(entityKey(a.space, o))
		a.m.Counts.Entities--
	}
	a.s.set(mergeKey(a.space, m.Into, a.r.LSN), encode(m))
	return nil
}

// linksMoved gives links their new ends, and keeps the ones before unless it brings
// them back.
func (a applier) linksMoved(c *LinksChange) error {
	for i := range c.Links {
		m := &c.Links[i]
		l, err := getLink(a.s, a.space, m.ID)
		if err != nil {
			return err
		}
		if l == nil {
			return corrupt(a.space, "link "+string(m.ID), uint64(a.r.LSN), errors.New("it is missing"))
		}
		if !c.Back {
			a.s.set(append(movedKey(a.space, c.Into, c.Merge), m.ID...), encode(ends{l.From, l.To}))
		}
		a.s.del(adjacencyKey(a.space, l.From, memory.Out, l.ID))
		a.s.del(adjacencyKey(a.space, l.To, memory.In, l.ID))
		l.From, l.To, l.FromID, l.ToID = m.From, m.To, m.FromID, m.ToID
		l.Version, l.LSN, l.Stored = l.Version+1, a.r.LSN, a.r.Time
		a.s.set(linkKey(a.space, l.ID), encode(l))
		a.s.set(adjacencyKey(a.space, l.From, memory.Out, l.ID), ordinalValue(l.To))
		a.s.set(adjacencyKey(a.space, l.To, memory.In, l.ID), ordinalValue(l.From))
	}
	return nil
}

// mergeUndone lets the entities stand again.
func (a applier) mergeUndone(e *MergeEnd) error {
	for _, o := range e.From {
		n, err := getNode(a.s, a.space, o)
		if err != nil {
			return err
		}
		n.Into = 0
		a.s.set(nodeKey(a.space, o), encode(n))
		a.s.set(entityKey(a.space, o), nil)
		a.m.Counts.Entities++
	}
	a.s.del(mergeKey(a.space, e.Into, e.LSN))
	return dropPrefixes(a.s, [][]byte{movedKey(a.space, e.Into, e.LSN)})
}
