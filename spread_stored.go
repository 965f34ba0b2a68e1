package engram

import (
	"context"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// storedLinksMost bounds the links that one spread reads from the store: some
// hundred milliseconds.
const storedLinksMost = 20_000

// readLinks makes a graph of the links round the seeds as far as activation may go,
// for a space that has none in memory, or of another time. The links of a node are
// read all before those of one that is farther away, so that a fan is right
// wherever the bound is not met. What no type carries is left out.
func (x *spreading) readLinks(ctx context.Context) error {
	r := linkReader{spreading: x, kinds: make(map[memory.Ordinal]memory.Kind), at: make(map[memory.Ordinal]bool)}
	x.links = graph.New()
	x.carries = func(n memory.Ordinal) bool { return r.kinds[n] == memory.KindEntity }
	var wave []memory.Ordinal
	for _, s := range x.seeds {
		if err := r.reach(s.Node, true, &wave); err != nil {
			return err
		}
	}
	hops := x.q.Hops
	if hops == 0 {
		hops = graph.DefaultHops
	}
	for ; hops > 0 && len(wave) > 0; hops-- {
		from := wave
		wave = nil
		for _, n := range from {
			if ctx.Err() != nil {
				return contextError(ctx, "the links were not read in time")
			}
			if err := r.readAt(n, &wave); err != nil {
				return err
			}
		}
	}
	if r.read >= storedLinksMost {
		x.out.Bounds = append(x.out.Bounds, BoundLinks)
	}
	return nil
}

// linkReader reads links outward from some nodes.
type linkReader struct {
	*spreading
	read  int                            // links
	kinds map[memory.Ordinal]memory.Kind // of what was reached
	at    map[memory.Ordinal]bool        // what was reached lies in the wave, or lay in one
}

// reach takes a node into the next wave, unless nothing may go through it.
func (r *linkReader) reach(n memory.Ordinal, seed bool, wave *[]memory.Ordinal) error {
	if r.at[n] {
		return nil
	}
	r.at[n] = true
	node, err := r.view.Node(r.space.id, n)
	if err != nil || node == nil || !seed && !r.open(node) {
		return err
	}
	r.kinds[n] = node.Kind
	*wave = append(*wave, n)
	return nil
}

// open says whether activation may go through a node.
func (r *linkReader) open(n *store.Node) bool {
	r.tower.mu.RLock()
	defer r.tower.mu.RUnlock()
	return n.Kind == memory.KindEntity || r.in(r.allowed, n.Ordinal)
}

// readAt takes in the links of a node.
func (r *linkReader) readAt(n memory.Ordinal, wave *[]memory.Ordinal) error {
	for _, way := range []memory.Direction{memory.Out, memory.In} {
		var ids []memory.ID
		err := r.view.Adjacent(r.space.id, n, way, "", func(id memory.ID, _ memory.Ordinal) bool {
			ids = append(ids, id)
			return r.read+len(ids) < storedLinksMost
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			r.read++
			l, err := r.view.Link(r.space.id, id)
			if err != nil {
				return err
			}
			if l == nil || !r.holds(l) {
				continue
			}
			_ = r.links.Put(graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(l.ID), Weight: l.Weight}) // memory has checked it
			other := l.To
			if way == memory.In {
				other = l.From
			}
			if err := r.reach(other, false, wave); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *linkReader) holds(l *store.Link) bool { return holdsAt(l.Valid, r.q.AsOf) }
