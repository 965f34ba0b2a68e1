package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/engramdb/engram/memory"
)

// apply places what a record says. It decides nothing: it reads no clock, draws
// no chance, and looks at no payload. The same record on the same state gives
// the same state, byte for byte, on every platform.
//
// For a format of a record that is replaced, its apply stays here frozen.
func apply(s state, space memory.SpaceID, m *Meta, r *Record) error {
	if r.LSN != m.LSN+1 {
		return fmt.Errorf("record %d does not follow %d", r.LSN, m.LSN)
	}
	if r.Format != 1 {
		return fmt.Errorf("record %d has format %d of kind %d, which this release does not know", r.LSN, r.Format, r.Kind)
	}
	a := applier{s, space, m, r}
	if err := a.place(); err != nil {
		return fmt.Errorf("apply record %d: %w", r.LSN, err)
	}
	m.LSN, m.Time = r.LSN, r.Time
	return nil
}

// follow is apply for a record that is read back: it lengthens the chain too,
// which a commit does once the record's bytes are made.
func follow(s state, space memory.SpaceID, m *Meta, r *Record, raw []byte) error {
	if err := apply(s, space, m, r); err != nil {
		return err
	}
	m.link(raw)
	return nil
}

type applier struct {
	s     state
	space memory.SpaceID
	m     *Meta
	r     *Record
}

func (a applier) place() error {
	if err := a.answer(); err != nil {
		return err
	}
	switch r := a.r; r.Kind {
	case NodeCreated:
		return a.nodeCreated(r.Node)
	case NodeRevised:
		return a.nodeRevised(r.Node)
	case NodesEnded:
		return a.nodesEnded(r.Nodes)
	case NodesShown:
		return a.suppress(r.Nodes.Ordinals, false)
	case LinkPut:
		return a.linkPut(r.Link)
	case LinksEnded:
		return a.linksEnded(r.Links)
	case SpacePut:
		a.s.set(spaceKey(r.Space.Name), encode(r.Space))
		a.m.NextSpace = max(a.m.NextSpace, r.Space.ID+1)
		return nil
	case SpaceDropped:
		a.s.del(spaceKey(r.Space.Name))
		a.s.set(droppingKey(r.Space.ID), []byte(r.Space.Name))
		return nil
	case SpaceGone:
		a.s.del(droppingKey(r.Space.ID))
		return nil
	case Answered:
		return nil
	case SettingPut:
		if len(r.Setting.Value) == 0 {
			a.s.del(settingKey(a.space, r.Setting.Name))
			return nil
		}
		a.s.set(settingKey(a.space, r.Setting.Name), r.Setting.Value)
		return nil
	case VectorPut:
		return a.vectorPut(r.Vector)
	case VectorMade:
		return a.vectorMade(r.Vector)
	case VectorsTurned:
		return a.vectorsTurned(r.Turn)
	case EntitiesMerged:
		return a.entitiesMerged(r.Merge)
	case LinksMoved:
		return a.linksMoved(r.Moved)
	case MergeUndone:
		return a.mergeUndone(r.MergeEnd)
	case PassagesPut:
		return a.passagesPut(r.Passages)
	case Erased:
		a.s.del(erasingKey(a.space, r.Wiped))
		return nil
	default:
		return fmt.Errorf("kind %d is unknown", r.Kind)
	}
}

func (a applier) nodeCreated(n *Node) error {
	if n.Ordinal != a.m.NextOrdinal {
		return fmt.Errorf("node %d is created where %d is next", n.Ordinal, a.m.NextOrdinal)
	}
	a.m.NextOrdinal++
	a.s.set(nodeKey(a.space, n.Ordinal), encode(n))
	a.s.set(idKey(a.space, n.ID), ordinalValue(n.Ordinal))
	if n.Kind == memory.KindEntity {
		a.s.set(entityKey(a.space, n.Ordinal), nil)
		if err := a.name(n); err != nil {
			return err
		}
	}
	*a.m.Counts.of(n.Kind)++
	return nil
}

// name lets an entity be found by its type and name; the first one keeps it.
func (a applier) name(n *Node) error {
	if len(n.Name) != 16 {
		return nil
	}
	k := nameKey(a.space, [16]byte(n.Name))
	_, taken, err := a.s.get(k)
	if err == nil && !taken {
		a.s.set(k, ordinalValue(n.Ordinal))
	}
	return err
}

func (a applier) unname(n *Node) error {
	if len(n.Name) != 16 {
		return nil
	}
	k := nameKey(a.space, [16]byte(n.Name))
	v, _, err := a.s.get(k)
	if err == nil && parseOrdinal(v) == n.Ordinal {
		a.s.del(k)
	}
	return err
}

func (a applier) nodeRevised(n *Node) error {
	old, err := getNode(a.s, a.space, n.Ordinal)
	if err != nil {
		return err
	}
	a.s.set(historyKey(a.space, n.Ordinal, a.r.LSN), encode(old))
	a.s.set(nodeKey(a.space, n.Ordinal), encode(n))
	if n.Kind == memory.KindEntity {
		if err := a.unname(old); err != nil {
			return err
		}
		return a.name(n)
	}
	return nil
}

func (a applier) vectorPut(v *VectorOf) error {
	n, err := getNode(a.s, a.space, v.Ordinal)
	if err != nil {
		return err
	}
	if n.Version != v.Version {
		return fmt.Errorf("the vector is of version %d where %d stands", v.Version, n.Version)
	}
	n.Vector, n.Model, n.Made = v.Version, v.Model, v.Digest
	a.s.set(nodeKey(a.space, v.Ordinal), encode(n))
	return nil
}

func (a applier) nodesEnded(c *NodesChange) error {
	if c.Mode == memory.Suppress {
		return a.suppress(c.Ordinals, true)
	}
	for _, o := range c.Ordinals {
		old, err := getNode(a.s, a.space, o)
		if err != nil {
			return err
		}
		a.s.del(nodeKey(a.space, o))
		a.s.del(idKey(a.space, old.ID))
		if old.Kind == memory.KindEntity {
			a.s.del(entityKey(a.space, o))
			if err := a.unname(old); err != nil {
				return err
			}
			if err := dropPrefixes(a.s, [][]byte{u32(key(a.space, tableMerge), uint32(o)), u32(key(a.space, tableMoved), uint32(o))}); err != nil {
				return err // what was merged into it ends with it
			}
		}
		if old.Into == 0 {
			*a.m.Counts.of(old.Kind)--
		}
		if c.Mode == memory.Erase {
			continue
		}
		a.s.set(historyKey(a.space, o, a.r.LSN), encode(old))
		a.s.set(deadKey(a.space, old.ID, a.r.LSN), ordinalValue(o))
	}
	if c.Mode == memory.Erase {
		a.s.set(erasingKey(a.space, a.r.LSN), encode(erasing{Ordinals: c.Ordinals}))
		return a.forgetHistory(c.Ordinals)
	}
	return nil
}

// forgetHistory takes the older versions of erased nodes along: their payloads
// are gone, so no reader can be shown them.
func (a applier) forgetHistory(ordinals []memory.Ordinal) error {
	prefixes := make([][]byte, 0, len(ordinals))
	for _, o := range ordinals {
		prefixes = append(prefixes, u32(key(a.space, tableHistory), uint32(o)))
	}
	return dropPrefixes(a.s, prefixes)
}

func (a applier) suppress(ordinals []memory.Ordinal, suppressed bool) error {
	for _, o := range ordinals {
		n, err := getNode(a.s, a.space, o)
		if err != nil {
			return err
		}
		n.Suppressed = suppressed
		a.s.set(nodeKey(a.space, o), encode(n))
	}
	return nil
}

func (a applier) linkPut(l *Link) error {
	if _, stands, err := a.s.get(linkKey(a.space, l.ID)); err != nil {
		return err
	} else if !stands {
		a.m.Counts.Links++
	}
	a.s.set(linkKey(a.space, l.ID), encode(l))
	a.s.set(adjacencyKey(a.space, l.From, memory.Out, l.ID), ordinalValue(l.To))
	a.s.set(adjacencyKey(a.space, l.To, memory.In, l.ID), ordinalValue(l.From))
	return nil
}

func (a applier) linksEnded(ids []memory.ID) error {
	for _, id := range ids {
		l, err := getLink(a.s, a.space, id)
		if err != nil {
			return err
		}
		if l == nil {
			return corrupt(a.space, "link "+string(id), uint64(a.r.LSN), errors.New("it is missing"))
		}
		a.s.del(linkKey(a.space, id))
		a.s.del(adjacencyKey(a.space, l.From, memory.Out, id))
		a.s.del(adjacencyKey(a.space, l.To, memory.In, id))
		a.m.Counts.Links--
	}
	if a.r.Erase {
		a.s.set(erasingKey(a.space, a.r.LSN), encode(erasing{Links: ids}))
	}
	return nil
}

// answersDropped bounds how many expired answers one record takes along, so
// that a write pays for at most a few of those before it.
const answersDropped = 8

// answer keeps the answer of an idempotency key and drops those whose time, by
// the record's own time, is over.
func (a applier) answer() error {
	ans := a.r.Answer
	if ans == nil {
		return nil
	}
	if err := a.dropAnswers(); err != nil {
		return err
	}
	if old, stands, err := getAnswer(a.s, a.space, ans.Key); err != nil {
		return err
	} else if stands {
		a.s.del(answerAgeKey(a.space, old.At.Unix(), ans.Key))
	}
	a.s.set(answerKey(a.space, ans.Key), encode(ans))
	a.s.set(answerAgeKey(a.space, ans.At.Unix(), ans.Key), nil)
	if a.m.OldestKey == 0 {
		a.m.OldestKey = ans.At.Unix()
	}
	return nil
}

func (a applier) dropAnswers() error {
	limit := a.r.Time.Add(-AnswerTTL).Unix()
	if a.m.OldestKey == 0 || a.m.OldestKey > limit {
		return nil
	}
	var old [][]byte
	oldest := int64(0)
	prefix := key(a.space, tableAnswerAge)
	err := a.s.scan(prefix, func(k, _ []byte) bool {
		at := int64(binary.BigEndian.Uint64(k[headerSize:]))
		if at > limit || len(old) == answersDropped {
			oldest = at
			return false
		}
		old = append(old, append([]byte(nil), k...))
		return true
	})
	for _, k := range old {
		a.s.del(k)
		a.s.del(answerKey(a.space, [16]byte(k[headerSize+8:])))
	}
	a.m.OldestKey = oldest
	return err
}

func (c *Counts) of(k memory.Kind) *uint64 {
	switch k {
	case memory.KindConcept:
		return &c.Concepts
	case memory.KindEntity:
		return &c.Entities
	default:
		return &c.Episodes
	}
}

func ordinalValue(o memory.Ordinal) []byte { return u32(nil, uint32(o)) }

func parseOrdinal(v []byte) memory.Ordinal {
	if len(v) != 4 {
		return 0
	}
	return memory.Ordinal(binary.BigEndian.Uint32(v))
}

// getMeta reads the head of a space; a space without records has the zero head.
func getMeta(s state, space memory.SpaceID) (Meta, error) {
	m := Meta{NextOrdinal: 1}
	v, ok, err := s.get(metaKey(space))
	if err != nil || !ok {
		if space == 0 {
			m.NextSpace = 1
		}
		return m, err
	}
	if err := decode(v, &m); err != nil {
		return m, corrupt(space, "meta", 0, err)
	}
	m.Time = utc(m.Time)
	return m, nil
}

func getNode(s state, space memory.SpaceID, o memory.Ordinal) (*Node, error) {
	v, ok, err := s.get(nodeKey(space, o))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, corrupt(space, "node", uint64(o), errors.New("it is missing"))
	}
	return parseNode(space, o, v)
}

func parseNode(space memory.SpaceID, o memory.Ordinal, v []byte) (*Node, error) {
	n := new(Node)
	if err := decode(v, n); err != nil {
		return nil, corrupt(space, "node", uint64(o), err)
	}
	if n.Ordinal != o {
		return nil, corrupt(space, "node", uint64(o), fmt.Errorf("it says that it is node %d", n.Ordinal))
	}
	return n.utc(), nil
}

func getLink(s state, space memory.SpaceID, id memory.ID) (*Link, error) {
	v, ok, err := s.get(linkKey(space, id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, nil
	}
	l := new(Link)
	if err := decode(v, l); err != nil {
		return nil, corrupt(space, "link "+string(id), 0, err)
	}
	if l.ID != id {
		return nil, corrupt(space, "link "+string(id), 0, fmt.Errorf("it says that it is link %s", l.ID))
	}
	return l.utc(), nil
}

func getAnswer(s state, space memory.SpaceID, k [16]byte) (a Answer, ok bool, err error) {
	v, ok, err := s.get(answerKey(space, k))
	if err != nil || !ok {
		return a, false, err
	}
	if err := decode(v, &a); err != nil {
		return a, false, corrupt(space, "answer", 0, err)
	}
	a.At = utc(a.At)
	return a, true, nil
}

// expired says whether an answer's time is over.
func (a *Answer) expired(now time.Time) bool { return !now.Before(a.At.Add(AnswerTTL)) }
