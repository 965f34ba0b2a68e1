package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// View is the state after some synced group, for reading. It is safe for
// concurrent use until Close, and must be closed: an erasure waits for views
// that are older than it.
type View struct {
	pin *pin
	d   disk
}

// View pins the newest state that is on disk; it fails with ErrClosed.
func (s *Shard) View() (*View, error) {
	p, err := s.readers.take()
	if err != nil {
		return nil, err
	}
	return &View{pin: p, d: disk{p.snap}}, nil
}

// Close lets the state go.
func (v *View) Close() { v.pin.release() }

// Meta reads the head of a space.
func (v *View) Meta(space memory.SpaceID) (Meta, error) { return getMeta(v.d, space) }

// Horizon is the newest record that is no longer in the journal; 0 when all are.
func (v *View) Horizon(space memory.SpaceID) (memory.LSN, error) {
	m, err := getMeta(based{v.d}, space)
	return m.LSN, err
}

// Lookup finds a node by its id, or by that of an entity that is merged into it; nil
// when there is none.
func (v *View) Lookup(space memory.SpaceID, id memory.ID) (*Node, error) {
	return lookup(v.d, space, id)
}

// Node reads a node by its ordinal; nil when it does not live, or is merged.
func (v *View) Node(space memory.SpaceID, o memory.Ordinal) (*Node, error) {
	n, err := v.anyNode(space, o)
	if n == nil {
		return nil, err
	}
	return unmerged(n, err)
}

// anyNode reads a node, also one that is merged.
func (v *View) anyNode(space memory.SpaceID, o memory.Ordinal) (*Node, error) {
	b, ok, err := v.d.get(nodeKey(space, o))
	if err != nil || !ok {
		return nil, err
	}
	return parseNode(space, o, b)
}

// NodeAt reads the version of a node that held after a record; nil when it did
// not live then. The record is not below the Horizon: what ended there is forgotten.
func (v *View) NodeAt(space memory.SpaceID, o memory.Ordinal, at memory.LSN) (*Node, error) {
	n, err := v.anyNode(space, o)
	if err != nil || n != nil && n.LSN <= at {
		return n, err
	}
	var old *Node
	from := historyKey(space, o, at+1)
	err = scanUntil(v.d.r, from, prefixEnd(u32(key(space, tableHistory), uint32(o))), func(_, b []byte) (bool, error) {
		n, err := parseNode(space, o, b)
		if err == nil && n.LSN <= at {
			old = n
		}
		return false, err
	})
	return old, err
}

// LookupAt finds the node that an id named after a record; nil when none did.
// The record is not below the Horizon.
func (v *View) LookupAt(space memory.SpaceID, id memory.ID, at memory.LSN) (*Node, error) {
	n, err := v.Lookup(space, id)
	if err != nil {
		return nil, err
	}
	if n != nil {
		if old, err := v.NodeAt(space, n.Ordinal, at); err != nil || old != nil {
			return old, err
		}
	}
	var o memory.Ordinal
	err = scanRange(v.d.r, deadKey(space, id, at+1), prefixEnd(append(append(key(space, tableDead), id...), 0)), func(_, b []byte) bool {
		o = parseOrdinal(b)
		return false
	})
	if err != nil || o == 0 {
		return nil, err
	}
	return v.NodeAt(space, o, at)
}

// History lists the versions of a node, oldest first, the living one last.
func (v *View) History(space memory.SpaceID, o memory.Ordinal) ([]*Node, error) {
	var all []*Node
	prefix := u32(key(space, tableHistory), uint32(o))
	err := scanUntil(v.d.r, prefix, prefixEnd(prefix), func(_, b []byte) (bool, error) {
		n, err := parseNode(space, o, b)
		all = append(all, n)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	n, err := v.anyNode(space, o)
	if n != nil {
		all = append(all, n)
	}
	return all, err
}

// Nodes calls f for each living node that is not merged from an ordinal on, in order,
// until f says false or fails.
func (v *View) Nodes(space memory.SpaceID, from memory.Ordinal, f func(*Node) (bool, error)) error {
	return scanUntil(v.d.r, nodeKey(space, from), prefixEnd(key(space, tableNode)), func(k, b []byte) (bool, error) {
		n, err := parseNode(space, memory.Ordinal(binary.BigEndian.Uint32(k[headerSize:])), b)
		if err != nil {
			return false, err
		}
		if n.Into != 0 {
			return true, nil
		}
		return f(n)
	})
}

// Entities calls f for the ordinal of each living entity from one on, in order,
// until f says false.
func (v *View) Entities(space memory.SpaceID, from memory.Ordinal, f func(memory.Ordinal) bool) error {
	return scanRange(v.d.r, entityKey(space, from), prefixEnd(key(space, tableEntity)), func(k, _ []byte) bool {
		return f(memory.Ordinal(binary.BigEndian.Uint32(k[headerSize:])))
	})
}

// Head reads the payload of a version without its vector; found is false when
// it is erased.
func (v *View) Head(space memory.SpaceID, o memory.Ordinal, version uint32) (head []byte, found bool, err error) {
	return v.d.get(headKey(space, o, version))
}

// Heads calls f for each stored head with its node and version, in order, until
// f says false. The bytes belong to the view: f copies what it keeps.
func (v *View) Heads(space memory.SpaceID, f func(o memory.Ordinal, version uint32, b []byte) bool) error {
	return v.payloads(space, tableHead, f)
}

func (v *View) payloads(space memory.SpaceID, t table, f func(o memory.Ordinal, version uint32, b []byte) bool) error {
	prefix := key(space, t)
	return scanRange(v.d.r, prefix, prefixEnd(prefix), func(k, b []byte) bool {
		return f(memory.Ordinal(binary.BigEndian.Uint32(k[headerSize:])), binary.BigEndian.Uint32(k[headerSize+4:]), b)
	})
}

// Vector reads a vector by the version under which it lies (Node.Vector).
func (v *View) Vector(space memory.SpaceID, o memory.Ordinal, version uint32) ([]float32, error) {
	b, _, err := v.d.get(vectorKey(space, o, version))
	if len(b)%4 != 0 {
		return nil, corrupt(space, "vector of node", uint64(o), fmt.Errorf("it has %d bytes", len(b)))
	}
	return DecodeVector(b), err
}

// Vectors calls f for each stored vector with its node and version, until f
// says false. The bytes belong to the view: f copies what it keeps.
func (v *View) Vectors(space memory.SpaceID, f func(o memory.Ordinal, version uint32, b []byte) bool) error {
	return v.payloads(space, tableVector, f)
}

// Link reads a link; nil when there is none.
func (v *View) Link(space memory.SpaceID, id memory.ID) (*Link, error) {
	return getLink(v.d, space, id)
}

// Links calls f for each link of a space, by id, until f says false or fails.
func (v *View) Links(space memory.SpaceID, f func(*Link) (bool, error)) error {
	prefix := key(space, tableLink)
	return scanUntil(v.d.r, prefix, prefixEnd(prefix), func(k, b []byte) (bool, error) {
		l := new(Link)
		if err := decode(b, l); err != nil {
			return false, corrupt(space, "link "+string(k[headerSize:]), 0, err)
		}
		return f(l.utc())
	})
}

// LinkMetadata reads the payload of a link.
func (v *View) LinkMetadata(space memory.SpaceID, l *Link) (memory.Metadata, error) {
	if len(l.Metadata) == 0 {
		return nil, nil
	}
	b, _, err := v.d.get(edgeKey(space, l.ID, l.LSN))
	if err != nil {
		return nil, err
	}
	return DecodeMetadata(b)
}

// Adjacent calls f for the links at a node in one direction, in the order of
// their ids, after one ("" for the first), until f says false.
func (v *View) Adjacent(space memory.SpaceID, o memory.Ordinal, d memory.Direction, after memory.ID, f func(id memory.ID, other memory.Ordinal) bool) error {
	from := adjacencyKey(space, o, d, after)
	if after != "" {
		from = append(from, 0)
	}
	return scanRange(v.d.r, from, prefixEnd(adjacencyKey(space, o, d, "")), func(k, b []byte) bool {
		return f(memory.ID(k[headerSize+5:]), parseOrdinal(b))
	})
}

// Records calls f for the records after one, in order, until f says false or
// fails. ErrBeyond when after is below the horizon.
func (v *View) Records(space memory.SpaceID, after memory.LSN, f func(*Record) (bool, error)) error {
	horizon, err := v.Horizon(space)
	if err != nil {
		return err
	}
	if after < horizon {
		e := *ErrBeyond
		return (&e).With("horizon", uint64(horizon))
	}
	next := after + 1
	return scanUntil(v.d.r, journalKey(space, next), prefixEnd(key(space, tableJournal)), func(k, b []byte) (bool, error) {
		r, err := parseRecord(space, k, b)
		if err == nil && r.LSN != next {
			err = corrupt(space, "journal", uint64(next), errors.New("the record is missing"))
		}
		if err != nil {
			return false, err
		}
		next++
		return f(r)
	})
}

// LSNAt is the newest record at or before a time; ErrBeyond when the journal
// does not reach back to it.
func (v *View) LSNAt(space memory.SpaceID, t time.Time) (memory.LSN, error) {
	m, err := v.Meta(space)
	if err != nil || !t.Before(m.Time) {
		return m.LSN, err
	}
	base, err := getMeta(based{v.d}, space)
	if err != nil {
		return 0, err
	}
	if base.LSN > 0 && t.Before(base.Time) {
		e := *ErrBeyond
		return 0, (&e).With("horizon", uint64(base.LSN))
	}
	lo, hi := base.LSN, m.LSN // the answer is in [lo, hi)
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		r, err := v.record(space, mid)
		if err != nil {
			return 0, err
		}
		if r.Time.After(t) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return lo, nil
}

func (v *View) record(space memory.SpaceID, l memory.LSN) (*Record, error) {
	k := journalKey(space, l)
	b, ok, err := v.d.get(k)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, corrupt(space, "journal", uint64(l), errors.New("the record is missing"))
	}
	return parseRecord(space, k, b)
}

func parseRecord(space memory.SpaceID, k, b []byte) (*Record, error) {
	r := new(Record)
	l := memory.LSN(binary.BigEndian.Uint64(k[headerSize:]))
	if err := decode(b, r); err != nil {
		return nil, corrupt(space, "journal", uint64(l), err)
	}
	r.LSN = l
	if err := r.complete(); err != nil {
		return nil, corrupt(space, "journal", uint64(l), err)
	}
	return r.utc(), nil
}

// complete says whether a record has the part that its kind needs, and no other.
func (r *Record) complete() error {
	node, nodes, link, space := false, false, false, false
	turn := r.Kind == VectorsTurned
	merge, moved, mergeEnd := r.Kind == EntitiesMerged, r.Kind == LinksMoved, r.Kind == MergeUndone
	switch r.Kind {
	case NodeCreated, NodeRevised:
		node = true
	case NodesEnded, NodesShown:
		nodes = true
	case LinkPut:
		link = true
	case SpacePut, SpaceDropped, SpaceGone:
		space = true
	}
	if node != (r.Node != nil) || nodes != (r.Nodes != nil) || link != (r.Link != nil) || space != (r.Space != nil) ||
		merge != (r.Merge != nil) || moved != (r.Moved != nil) || mergeEnd != (r.MergeEnd != nil) || turn != (r.Turn != nil) || r.Kind == VectorMade && r.Vector == nil {
		return fmt.Errorf("its parts are not those of kind %d", r.Kind)
	}
	return nil
}

// Space reads what is known of a name; nil when there is none.
func (v *View) Space(name memory.SpaceName) (*SpaceState, error) { return getSpace(v.d, name) }

// Spaces calls f for the spaces by name, after one ("" for the first), until f
// says false or fails.
func (v *View) Spaces(after memory.SpaceName, f func(*SpaceState) (bool, error)) error {
	from := spaceKey(after)
	if after != "" {
		from = append(from, 0)
	}
	return scanUntil(v.d.r, from, prefixEnd(key(0, tableSpace)), func(k, b []byte) (bool, error) {
		st := new(SpaceState)
		if err := decode(b, st); err != nil {
			return false, corrupt(0, "space "+string(k[headerSize:]), 0, err)
		}
		st.Created = utc(st.Created)
		return f(st)
	})
}

// Settings calls f for the named values of a space whose names begin with a
// prefix, in order, until f says false. f copies what it keeps.
func (v *View) Settings(space memory.SpaceID, prefix string, f func(name string, value []byte) bool) error {
	return v.d.scan(settingKey(space, prefix), func(k, b []byte) bool { return f(string(k[headerSize:]), b) })
}

// Dropping lists the spaces that are dropped and not gone from disk yet.
func (v *View) Dropping() ([]SpaceState, error) {
	var all []SpaceState
	prefix := key(0, tableDropping)
	err := scanRange(v.d.r, prefix, prefixEnd(prefix), func(k, b []byte) bool {
		all = append(all, SpaceState{ID: memory.SpaceID(binary.BigEndian.Uint32(k[headerSize:])), Name: memory.SpaceName(b)})
		return true
	})
	return all, err
}

// Erasing lists the records of a space whose bytes are erased and not wiped yet.
func (v *View) Erasing(space memory.SpaceID) ([]memory.LSN, error) {
	var all []memory.LSN
	prefix := key(space, tableErasing)
	err := scanRange(v.d.r, prefix, prefixEnd(prefix), func(k, _ []byte) bool {
		all = append(all, memory.LSN(binary.BigEndian.Uint64(k[headerSize:])))
		return true
	})
	return all, err
}

// scanUntil is scanRange for a callback that may fail.
func scanUntil(r reader, from, to []byte, f func(k, v []byte) (bool, error)) error {
	var failed error
	err := scanRange(r, from, to, func(k, v []byte) bool {
		on, err := f(k, v)
		failed = err
		return on && err == nil
	})
	return errors.Join(failed, err)
}

// pins are the snapshots that readers hold. There is one newest snapshot, taken
// after each synced group: Pebble shows a batch before its sync, and what a
// reader has seen must not be lost in a power cut.
type pins struct {
	mu struct {
		sync.Mutex
		newest *pin
		all    map[uint64]*pin // by generation
		next   uint64
		freed  chan struct{} // closed, and made anew, when a pin is let go
		closed bool
	}
}

type pin struct {
	of   *pins
	snap *pebble.Snapshot
	gen  uint64
	refs int // guarded by of.mu; the newest holds one itself
}

func (p *pins) init(db *pebble.DB) {
	p.mu.all = make(map[uint64]*pin)
	p.mu.freed = make(chan struct{})
	p.renew(db.NewSnapshot())
}

// renew makes a state the newest.
func (p *pins) renew(snap *pebble.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.mu.newest
	p.mu.next++
	p.mu.newest = &pin{of: p, snap: snap, gen: p.mu.next, refs: 1}
	p.mu.all[p.mu.next] = p.mu.newest
	if old != nil {
		p.dropLocked(old)
	}
}

func (p *pins) take() (*pin, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, ErrClosed
	}
	p.mu.newest.refs++
	return p.mu.newest, nil
}

func (n *pin) release() {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	n.of.dropLocked(n)
}

func (p *pins) dropLocked(n *pin) {
	n.refs--
	if n.refs == 0 {
		n.snap.Close()
		delete(p.mu.all, n.gen)
	}
	close(p.mu.freed)
	p.mu.freed = make(chan struct{})
}

// waitOlder waits until no pin older than the newest is held.
func (p *pins) waitOlder(ctx context.Context) error {
	p.mu.Lock()
	gen := p.mu.next
	p.mu.Unlock()
	for {
		p.mu.Lock()
		older, freed := false, p.mu.freed
		for g := range p.mu.all {
			older = older || g < gen
		}
		p.mu.Unlock()
		if !older {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close waits for the views that are open.
func (p *pins) close() {
	p.mu.Lock()
	p.mu.closed = true
	p.mu.Unlock()
	_ = p.waitOlder(context.Background())
	for {
		p.mu.Lock()
		if p.mu.newest.refs == 1 {
			p.dropLocked(p.mu.newest)
			p.mu.Unlock()
			return
		}
		freed := p.mu.freed
		p.mu.Unlock()
		<-freed
	}
}

func (p *pins) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.all)
}
