package store

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/engramdb/engram/memory"
)

// Past is the state of a space after an earlier record, as far as recall asks for it: the
// nodes in the versions of then, and the links. Nodes are read from the state and its
// history. Of links the state keeps no history: those that no later record touches are as they
// were, and the others are followed from the horizon through the journal up to then.
//
// What was erased since is not in it. Whether a memory is suppressed, and which vector a
// version has, is as it is now: the first is a wish about all of it, the second tells nothing
// that the words of then did not.
type Past struct {
	v     *View
	space memory.SpaceID
	at    memory.LSN

	touched map[memory.ID]bool                // links; true: it was there before
	into    map[memory.Ordinal]memory.Ordinal // entities that were merged, or stood again, later: what they were then
}

// Past reads what has changed after a record; ErrBeyond when it is below the horizon.
func (v *View) Past(space memory.SpaceID, at memory.LSN) (*Past, error) {
	p := &Past{v: v, space: space, at: at, touched: make(map[memory.ID]bool), into: make(map[memory.Ordinal]memory.Ordinal)}
	err := v.Records(space, at, func(r *Record) (bool, error) {
		p.look(r)
		return true, nil
	})
	return p, err
}

// look notes what a later record changes.
func (p *Past) look(r *Record) {
	switch r.Kind {
	case LinkPut:
		p.touch(r.Link.ID, r.Link.Version > 1)
	case LinksEnded:
		for _, id := range r.Links {
			p.touch(id, true)
		}
	case LinksMoved:
		for i := range r.Moved.Links {
			p.touch(r.Moved.Links[i].ID, true)
		}
	case EntitiesMerged:
		p.merged(r.Merge.From, 0)
	case MergeUndone:
		p.merged(r.MergeEnd.From, r.MergeEnd.Into)
	}
}

// touch notes a link by the first later record about it, which says whether it was there.
func (p *Past) touch(id memory.ID, was bool) {
	if _, seen := p.touched[id]; !seen {
		p.touched[id] = was
	}
}

func (p *Past) merged(from []memory.Ordinal, into memory.Ordinal) {
	for _, o := range from {
		if _, seen := p.into[o]; !seen {
			p.into[o] = into
		}
	}
}

// Nodes lists the nodes that lived then and were not merged, by ordinal.
func (p *Past) Nodes() (nodes []*Node, err error) {
	lives := make(map[memory.Ordinal]bool)
	suppressed := make(map[memory.Ordinal]bool) // of the version that lives, or was the last
	prefix := key(p.space, tableNode)
	err = scanUntil(p.v.d.r, prefix, prefixEnd(prefix), func(k, b []byte) (bool, error) {
		n, err := parseNode(p.space, memory.Ordinal(binary.BigEndian.Uint32(k[headerSize:])), b)
		if err != nil {
			return false, err
		}
		if n.LSN <= p.at {
			nodes = append(nodes, n)
		} else {
			lives[n.Ordinal], suppressed[n.Ordinal] = true, n.Suppressed
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	prefix = key(p.space, tableHistory)
	err = scanUntil(p.v.d.r, prefix, prefixEnd(prefix), func(k, b []byte) (bool, error) {
		o, until := memory.Ordinal(binary.BigEndian.Uint32(k[headerSize:])), memory.LSN(binary.BigEndian.Uint64(k[headerSize+4:]))
		if until <= p.at {
			return true, nil
		}
		n, err := parseNode(p.space, o, b)
		if err != nil {
			return false, err
		}
		if !lives[o] {
			suppressed[o] = n.Suppressed // versions come in their order
		}
		if n.LSN <= p.at {
			nodes = append(nodes, n)
		}
		return true, nil
	})
	for _, n := range nodes {
		if hidden, changed := suppressed[n.Ordinal]; changed {
			n.Suppressed = hidden
		}
	}
	nodes = slices.DeleteFunc(nodes, func(n *Node) bool {
		if into, changed := p.into[n.Ordinal]; changed {
			n.Into = into
		}
		return n.Into != 0
	})
	slices.SortFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return nodes, err
}

// Links calls f for each link that held then, until f says false or fails.
func (p *Past) Links(f func(*Link) (bool, error)) error {
	on := true
	err := p.v.Links(p.space, func(l *Link) (bool, error) {
		if _, touched := p.touched[l.ID]; touched {
			return true, nil
		}
		var err error
		on, err = f(l)
		return on, err
	})
	if err != nil || !on {
		return err
	}
	changed, err := p.changed()
	if err != nil {
		return err
	}
	for _, l := range changed {
		if on, err := f(l); err != nil || !on {
			return err
		}
	}
	return nil
}

// Changed says whether a link has been changed, moved or ended since.
func (p *Past) Changed(id memory.ID) bool {
	_, changed := p.touched[id]
	return changed
}

// changed are the links that held then and have been changed since, as they were.
func (p *Past) changed() (map[memory.ID]*Link, error) {
	then := make(map[memory.ID]*Link)
	for id, was := range p.touched {
		if !was {
			continue
		}
		l, err := getLink(based{p.v.d}, p.space, id)
		if err != nil {
			return nil, err
		}
		then[id] = l // nil: it came after the horizon
	}
	if len(then) == 0 {
		return nil, nil
	}
	horizon, err := p.v.Horizon(p.space)
	if err != nil {
		return nil, err
	}
	err = p.v.Records(p.space, horizon, func(r *Record) (bool, error) {
		if r.LSN > p.at {
			return false, nil
		}
		place(then, r)
		return true, nil
	})
	for id, l := range then {
		if l == nil {
			delete(then, id)
		}
	}
	return then, err
}

// place follows a record for the links that are asked for: the keys of then.
func place(then map[memory.ID]*Link, r *Record) {
	switch r.Kind {
	case LinkPut:
		if _, asked := then[r.Link.ID]; asked {
			then[r.Link.ID] = r.Link
		}
	case LinksEnded:
		for _, id := range r.Links {
			if _, asked := then[id]; asked {
				then[id] = nil
			}
		}
	case LinksMoved:
		for _, m := range r.Moved.Links {
			l := then[m.ID]
			if l == nil {
				continue
			}
			is := *l
			is.From, is.To, is.FromID, is.ToID = m.From, m.To, m.FromID, m.ToID
			is.Version, is.LSN, is.Stored = l.Version+1, r.LSN, r.Time
			then[m.ID] = &is
		}
	}
}

// TimeOf is when a record was written; for those that have left the journal, when the newest
// of them was.
func (v *View) TimeOf(space memory.SpaceID, at memory.LSN) (time.Time, error) {
	base, err := getMeta(based{v.d}, space)
	if err != nil || at <= base.LSN {
		return base.Time, err
	}
	r, err := v.record(space, at)
	if err != nil {
		return time.Time{}, err
	}
	return r.Time, nil
}
