package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/engramdb/engram/memory"
)

// Tx is what a write decides in: the state with all earlier writes in it, and
// the records that it adds. It lives for one call of Decide on the committing
// goroutine.
type Tx struct {
	space       memory.SpaceID
	layer       *layer
	meta        Meta
	now         time.Time
	records     []*Record
	attachments []any
	answer      []byte
	bytes       int
}

func (s *Shard) newTx(g *group, space memory.SpaceID, m Meta) *Tx {
	now := s.opts.Clock.Now().UTC()
	if now.Before(m.Time) {
		now = m.Time // system time never steps back
	}
	return &Tx{space: space, layer: newLayer(g.layer), meta: m, now: now}
}

// Now is the system time of the records that are added.
func (t *Tx) Now() time.Time { return t.now }

// Meta is the head of the space with the records added so far.
func (t *Tx) Meta() Meta { return t.meta }

// Answer gives what a repeat of an idempotency key is answered.
func (t *Tx) Answer(data []byte) { t.answer = data }

// Lookup finds a node by its id, or by that of an entity that is merged into it; nil
// when there is none.
func (t *Tx) Lookup(id memory.ID) (*Node, error) { return lookup(t.layer, t.space, id) }

// Node reads the node with an ordinal that is known to live.
func (t *Tx) Node(o memory.Ordinal) (*Node, error) { return getNode(t.layer, t.space, o) }

// NodeIfLives reads a node by its ordinal; nil when it does not live, or is merged.
func (t *Tx) NodeIfLives(o memory.Ordinal) (*Node, error) {
	v, ok, err := t.layer.get(nodeKey(t.space, o))
	if err != nil || !ok {
		return nil, err
	}
	return unmerged(parseNode(t.space, o, v))
}

// LookupName finds an entity by the digest of its type and name, or by that of one
// that is merged into it; 0 is none.
func (t *Tx) LookupName(digest [16]byte) (memory.Ordinal, error) {
	v, ok, err := t.layer.get(nameKey(t.space, digest))
	if err != nil || !ok {
		return 0, err
	}
	n, err := standing(t.layer, t.space, parseOrdinal(v))
	if err != nil || n == nil {
		return 0, err
	}
	return n.Ordinal, nil
}

// Link reads a link; nil when there is none.
func (t *Tx) Link(id memory.ID) (*Link, error) { return getLink(t.layer, t.space, id) }

// LinkIDs lists the links at a node, both directions, each once.
func (t *Tx) LinkIDs(o memory.Ordinal) ([]memory.ID, error) {
	var ids []memory.ID
	seen := make(map[memory.ID]bool)
	err := t.layer.scan(u32(key(t.space, tableAdjacency), uint32(o)), func(k, _ []byte) bool {
		id := memory.ID(k[headerSize+5:])
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
		return true
	})
	return ids, err
}

// LinkIDsOf lists the links at a node in one direction whose ids begin so: of a hub
// only those are read.
func (t *Tx) LinkIDsOf(o memory.Ordinal, d memory.Direction, prefix memory.ID) (ids []memory.ID, err error) {
	err = t.layer.scan(adjacencyKey(t.space, o, d, prefix), func(k, _ []byte) bool {
		ids = append(ids, memory.ID(k[headerSize+5:]))
		return true
	})
	return ids, err
}

// Create adds a node of version 1. Its id must be free (Lookup). name is the
// digest of an entity's type and name, else nil.
func (t *Tx) Create(id memory.ID, kind memory.Kind, p Payload, model string, name []byte, attachment any) (*Node, error) {
	n := &Node{Ordinal: t.meta.NextOrdinal, ID: id, Kind: kind, Version: 1, LSN: t.meta.LSN + 1, Stored: t.now, Digest: p.Digest(), Name: name}
	t.putPayload(n, p, model)
	return n, t.add(&Record{Kind: NodeCreated, Node: n}, attachment)
}

// Revise adds a new version of a node. A vector that is the same as before is
// not stored again: vector says under which version it lies, 0 for one in p.
func (t *Tx) Revise(old *Node, p Payload, vector uint32, model string, name []byte, attachment any) (*Node, error) {
	n := &Node{Ordinal: old.Ordinal, ID: old.ID, Kind: old.Kind, Version: old.Version + 1, LSN: t.meta.LSN + 1, Stored: t.now,
		Digest: p.Digest(), Suppressed: old.Suppressed, Name: name}
	if vector != 0 {
		p.Vector, p.Made = nil, nil
	}
	t.putPayload(n, p, model)
	if vector != 0 {
		n.Vector, n.Model, n.Made, n.Passages, n.Generation = vector, model, old.Made, old.Passages, old.Generation
	}
	return n, t.add(&Record{Kind: NodeRevised, Node: n}, attachment)
}

func (t *Tx) putPayload(n *Node, p Payload, model string) {
	t.layer.set(headKey(t.space, n.Ordinal, n.Version), p.Head)
	t.bytes += len(p.Head) + len(p.Vector) + len(p.Made)
	vector, made := p.Vector, []byte(nil)
	if len(p.Made) > 0 {
		vector, made = p.Made, p.madeDigest
	}
	if len(vector) > 0 {
		n.Vector, n.Generation, n.Model, n.Made = vectorNumber(p.Generation, n.Version), p.Generation, model, made
		t.layer.set(vectorKey(t.space, n.Ordinal, n.Vector), vector)
	}
}

// Head reads the payload of a version that is not erased, without the vector.
func (t *Tx) Head(n *Node) ([]byte, error) {
	v, _, err := t.layer.get(headKey(t.space, n.Ordinal, n.Version))
	return v, err
}

// Vector reads the bytes of a node's vector; nil when it has none.
func (t *Tx) Vector(n *Node) ([]byte, error) {
	if n.Vector == 0 {
		return nil, nil
	}
	v, _, err := t.layer.get(vectorKey(t.space, n.Ordinal, n.Vector))
	return v, err
}

// endNodes and endLinks bound the entries of one record, so that it stays
// small: 128 bytes an id at most.
const (
	endNodes = 4000
	endLinks = 7000
)

// End suppresses, deletes or erases nodes, and with the latter two the links at
// them. The payloads of erased nodes go in the same commit; their bytes leave
// the files in Wipe.
func (t *Tx) End(mode memory.ForgetMode, nodes []*Node, reason string) error {
	if mode != memory.Suppress {
		var err error
		if nodes, err = t.withMerged(nodes); err != nil {
			return err
		}
		if err := t.endLinksAt(nodes, mode == memory.Erase); err != nil {
			return err
		}
	}
	if mode == memory.Erase {
		if err := t.dropPayloads(nodes); err != nil {
			return err
		}
	}
	return chunks(nodes, endNodes, func(part []*Node) error {
		return t.add(&Record{Kind: NodesEnded, Nodes: nodesChange(mode, part, reason)}, nil)
	})
}

// withMerged adds the entities that have gone into those that end.
func (t *Tx) withMerged(nodes []*Node) ([]*Node, error) {
	for i := 0; i < len(nodes); i++ {
		if nodes[i].Kind != memory.KindEntity {
			continue
		}
		ms, err := t.Merges(nodes[i].Ordinal)
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			for _, o := range m.From {
				n, err := t.Node(o)
				if err != nil {
					return nil, err
				}
				nodes = append(nodes[:len(nodes):len(nodes)], n)
			}
		}
	}
	return nodes, nil
}

// Show brings suppressed nodes back.
func (t *Tx) Show(nodes []*Node, reason string) error {
	return chunks(nodes, endNodes, func(part []*Node) error {
		return t.add(&Record{Kind: NodesShown, Nodes: nodesChange(memory.Suppress, part, reason)}, nil)
	})
}

func nodesChange(mode memory.ForgetMode, nodes []*Node, reason string) *NodesChange {
	c := &NodesChange{Mode: mode, Reason: reason}
	for _, n := range nodes {
		c.Ordinals = append(c.Ordinals, n.Ordinal)
		c.IDs = append(c.IDs, n.ID)
	}
	return c
}

func (t *Tx) endLinksAt(nodes []*Node, erase bool) error {
	var all []memory.ID
	seen := make(map[memory.ID]bool)
	for _, n := range nodes {
		ids, err := t.LinkIDs(n.Ordinal)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				all = append(all, id)
			}
		}
	}
	return t.endLinks(all, erase)
}

func (t *Tx) dropPayloads(nodes []*Node) error {
	prefixes := make([][]byte, 0, 2*len(nodes))
	for _, n := range nodes {
		for _, tb := range nodePayloads {
			prefixes = append(prefixes, u32(key(t.space, tb), uint32(n.Ordinal)))
		}
	}
	return dropPrefixes(t.layer, prefixes)
}

// dropPrefixes deletes all keys with the prefixes. It looks first and deletes
// then: a layer sorts its keys at a scan that follows a write.
func dropPrefixes(s state, prefixes [][]byte) error {
	var ks [][]byte
	for _, p := range prefixes {
		err := s.scan(p, func(k, _ []byte) bool {
			ks = append(ks, bytes.Clone(k))
			return true
		})
		if err != nil {
			return err
		}
	}
	for _, k := range ks {
		s.del(k)
	}
	return nil
}

// PutLink adds a link or a new version of one. l has all but Version, LSN,
// Stored and Metadata; metadata is its payload.
func (t *Tx) PutLink(l *Link, metadata []byte, attachment any) error {
	old, err := t.Link(l.ID)
	if err != nil {
		return err
	}
	l.Version, l.LSN, l.Stored, l.Metadata = 1, t.meta.LSN+1, t.now, nil
	if old != nil {
		l.Version = old.Version + 1
		t.layer.del(edgeKey(t.space, old.ID, old.LSN))
	}
	if len(metadata) > 0 {
		l.Metadata = Payload{Head: metadata}.Digest()
		t.layer.set(edgeKey(t.space, l.ID, l.LSN), metadata)
		t.bytes += len(metadata)
	}
	return t.add(&Record{Kind: LinkPut, Link: l}, attachment)
}

// EndLinks removes links that stand. They are given along with the record, as
// []*Link.
func (t *Tx) EndLinks(ids []memory.ID) error { return t.endLinks(ids, false) }

func (t *Tx) endLinks(ids []memory.ID, erase bool) error {
	return chunks(ids, endLinks, func(part []memory.ID) error {
		prefixes := make([][]byte, 0, len(part))
		ended := make([]*Link, 0, len(part)) // for followers: the record has only ids
		for _, id := range part {
			l, err := t.Link(id)
			if err != nil {
				return err
			}
			if l != nil {
				ended = append(ended, l)
			}
			prefixes = append(prefixes, append(append(key(t.space, tableEdge), id...), 0))
		}
		if err := dropPrefixes(t.layer, prefixes); err != nil {
			return err
		}
		return t.add(&Record{Kind: LinksEnded, Links: part, Erase: erase}, ended)
	})
}

// PutSpace adds a space or new settings of one. In space 0 only.
func (t *Tx) PutSpace(st *SpaceState) error { return t.add(&Record{Kind: SpacePut, Space: st}, nil) }

// DropSpace makes a space unknown. In space 0 only.
func (t *Tx) DropSpace(st *SpaceState) error {
	return t.add(&Record{Kind: SpaceDropped, Space: st}, nil)
}

// SpaceGone says that no byte of a dropped space is left. In space 0 only.
func (t *Tx) SpaceGone(st *SpaceState) error {
	return t.add(&Record{Kind: SpaceGone, Space: st}, nil)
}

// Space reads what space 0 knows of a name; nil when there is none.
func (t *Tx) Space(name memory.SpaceName) (*SpaceState, error) { return getSpace(t.layer, name) }

// Spaces calls f for the spaces that stand, by name, until f says false.
func (t *Tx) Spaces(f func(*SpaceState) bool) error {
	var failed error
	err := t.layer.scan(key(0, tableSpace), func(k, v []byte) bool {
		st := new(SpaceState)
		if failed = decode(v, st); failed != nil {
			failed = corrupt(0, "space "+string(k[headerSize:]), 0, failed)
			return false
		}
		return f(st)
	})
	return errors.Join(failed, err)
}

// maxSettingBytes bounds the value of a setting.
const maxSettingBytes = 64 << 10

// PutSetting keeps a named value of the space (of the database, in space 0); nil
// removes it.
func (t *Tx) PutSetting(name string, value []byte) error {
	if len(value) > maxSettingBytes {
		return memory.Errorf(memory.KindTooLarge, "setting_too_large", "the value of %q has %d bytes; at most %d are kept", name, len(value), maxSettingBytes)
	}
	return t.add(&Record{Kind: SettingPut, Setting: &Setting{name, value}}, nil)
}

// Setting reads a named value; nil when there is none.
func (t *Tx) Setting(name string) ([]byte, error) {
	v, _, err := t.layer.get(settingKey(t.space, name))
	return v, err
}

// PutVector adds the vector that a model made of the version of a node that
// stands and has none.
func (t *Tx) PutVector(n *Node, vector []byte, model string, attachment any) error {
	digest := sha256.Sum256(vector)
	t.layer.set(vectorKey(t.space, n.Ordinal, n.Version), vector)
	t.bytes += len(vector)
	return t.add(&Record{Kind: VectorPut, Vector: &VectorOf{Ordinal: n.Ordinal, ID: n.ID, Version: n.Version, Model: model, Digest: digest[:]}}, attachment)
}

func (t *Tx) erased(wiped memory.LSN) error {
	return t.add(&Record{Kind: Erased, Wiped: wiped}, nil)
}

// add gives the record its number and time and places it.
func (t *Tx) add(r *Record, attachment any) error {
	r.LSN, r.Time, r.Format = t.meta.LSN+1, t.now, 1
	r.Index = uint32(len(t.records))
	if err := apply(t.layer, t.space, &t.meta, r); err != nil {
		return err
	}
	t.records = append(t.records, r)
	t.attachments = append(t.attachments, attachment)
	return nil
}

// replay answers a repeated idempotency key; done says that it did.
func (t *Tx) replay(r *request) (done bool, err error) {
	if !r.w.Keyed {
		return false, nil
	}
	a, ok, err := getAnswer(t.layer, t.space, r.w.Key)
	if err != nil || !ok || a.expired(t.now) {
		return false, err
	}
	if a.Body != r.w.Body {
		e := *ErrMismatch
		return true, (&e).Hinted("use a new key for another request; a key keeps its answer for %v", AnswerTTL)
	}
	r.out = Committed{LSN: t.meta.LSN, Time: a.At, Answer: a.Data, Replayed: true}
	return true, nil
}

// finish puts the records into the journal: only now is it known how many there
// are, and what the answer is.
func (t *Tx) finish(w *Write) error {
	if w.Keyed {
		if len(t.records) == 0 {
			if err := t.add(&Record{Kind: Answered}, nil); err != nil {
				return err
			}
		}
		last := t.records[len(t.records)-1]
		last.Answer = &Answer{Key: w.Key, Body: w.Body, At: t.now, Data: t.answer}
		if err := (applier{t.layer, t.space, &t.meta, last}).answer(); err != nil {
			return err
		}
	}
	for _, r := range t.records {
		r.Size = uint32(len(t.records))
		b := encode(r)
		if len(b) > MaxRecordBytes {
			e := *ErrRecordTooBig
			e.Message = fmt.Sprintf("a record of %d bytes is over the limit of %d", len(b), MaxRecordBytes)
			return &e
		}
		t.bytes += len(b)
		t.meta.link(b)
		t.layer.set(journalKey(t.space, r.LSN), b)
	}
	return nil
}

func (t *Tx) published() []Published {
	ps := make([]Published, len(t.records))
	for i, r := range t.records {
		ps[i] = Published{t.space, r, t.attachments[i]}
	}
	return ps
}

func lookup(s state, space memory.SpaceID, id memory.ID) (*Node, error) {
	v, ok, err := s.get(idKey(space, id))
	if err != nil || !ok {
		return nil, err
	}
	n, err := standing(s, space, parseOrdinal(v))
	if err == nil && n == nil {
		err = corrupt(space, "node", uint64(parseOrdinal(v)), errors.New("it is missing"))
	}
	return n, err
}

// unmerged hides a node that has gone into another.
func unmerged(n *Node, err error) (*Node, error) {
	if err != nil || n.Into != 0 {
		return nil, err
	}
	return n, nil
}

func getSpace(s state, name memory.SpaceName) (*SpaceState, error) {
	v, ok, err := s.get(spaceKey(name))
	if err != nil || !ok {
		return nil, err
	}
	st := new(SpaceState)
	if err := decode(v, st); err != nil {
		return nil, corrupt(0, "space "+string(name), 0, err)
	}
	st.Created = utc(st.Created)
	return st, nil
}

// chunks calls f with parts of at most n.
func chunks[T any](list []T, n int, f func([]T) error) error {
	for len(list) > 0 {
		part := list[:min(n, len(list))]
		if err := f(part); err != nil {
			return err
		}
		list = list[len(part):]
	}
	return nil
}
