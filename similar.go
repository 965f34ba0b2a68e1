package engram

import (
	"context"
	"errors"
	"slices"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
)

// The rule similar links a memory to those before it whose vectors are nearest. It is
// off unless a space says otherwise (graph/DESIGN.md has what it costs). Vectors come
// behind their memories, so it has a list of its own, and a cursor of its own
// (settingSimilar): the record that brought the last vector it was asked about.

const (
	settingSimilar = "similar"

	similarMost   = 2   // links for a memory
	similarLooked = 100 // of the nearest, to find some before it that nothing else links to it
	similarLeast  = 0.5 // cosine of the angle; spaces of other metrics have no such links
)

// hasVector notes that the vector of a node has come with a record. The caller holds
// t.mu.
func (t *tower) hasVector(o memory.Ordinal, lsn memory.LSN) {
	if t.assoc != nil && t.linksSimilar() {
		t.assoc.near = append(t.assoc.near, fresh{o, lsn})
	}
}

func (t *tower) linksSimilar() bool {
	v := t.space.Settings().Vector
	return v.Dimension > 0 && v.Metric == memory.MetricCosine && t.rules().Similar && !t.space.db.opts.ReadOnly
}

// findNear lists the vectors that came behind the cursor when the space opens. What the
// journal has no more is for a relink.
func (t *tower) findNear(ctx context.Context, v *store.View, a *associations) error {
	var after memory.LSN
	known := false
	var failed error
	err := v.Settings(t.space.id, settingSimilar, func(name string, value []byte) bool {
		if name == settingSimilar {
			known, failed = true, store.Decode(value, &after)
		}
		return false
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if !known { // the rule is new: it begins with what the others have not been asked about
		a.near = slices.Clone(a.fresh)
		return nil
	}
	err = v.Records(t.space.id, after, func(r *store.Record) (bool, error) {
		switch {
		case r.Kind == store.VectorPut || r.Kind == store.VectorMade && !r.Vector.Next:
			a.near = append(a.near, fresh{r.Vector.Ordinal, r.LSN})
		case (r.Kind == store.NodeCreated || r.Kind == store.NodeRevised) && r.Node.Vector != 0:
			a.near = append(a.near, fresh{r.Node.Ordinal, r.LSN})
		}
		return true, ctx.Err()
	})
	if isCode(err, store.ErrBeyond.Code) {
		return nil
	}
	return err
}

// nearPart is the next memories whose vectors have come.
func (t *tower) nearPart() []fresh {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.assoc == nil || t.assoc.resting {
		return nil
	}
	return slices.Clone(t.assoc.near[:min(associateStep, len(t.assoc.near))])
}

// linkNear links memories to those that are like them, in one commit.
func (t *tower) linkNear(part []fresh) error {
	var all []asked
	v, err := t.space.view()
	if err != nil {
		return err
	}
	defer v.Close()
	for _, f := range part {
		n, err := v.Node(t.space.id, f.node)
		if err != nil {
			return err
		}
		if n == nil {
			continue
		}
		if n = n.In(t.generation()); n.Vector == 0 {
			continue
		}
		links, err := t.proposeNear(v, n)
		if err != nil {
			return err
		}
		all = append(all, asked{n, links})
	}
	s := t.space
	_, err = s.db.shard.Commit(context.Background(), &store.Write{Space: s.id, Later: true, Decide: func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		for _, a := range all {
			n, err := tx.NodeIfLives(a.node.Ordinal)
			if err != nil || n == nil || n.Version != a.node.Version {
				if err != nil {
					return err
				}
				continue
			}
			if err := a.placeAtEntity(tx); err != nil {
				return err
			}
		}
		return tx.PutSetting(settingSimilar, store.Encode(part[len(part)-1].lsn))
	}})
	if err != nil {
		return err
	}
	return t.catchUp(everything)
}

// proposeNear finds what is nearest among the memories before one, and not linked to it.
func (t *tower) proposeNear(v *store.View, n *store.Node) (links []*store.Link, err error) {
	if !t.linksSimilar() || n.Vector == 0 {
		return nil, nil
	}
	vector, err := v.Vector(t.space.id, n.Ordinal, n.Vector)
	if err != nil || len(vector) == 0 {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.vectors == nil || len(vector) != t.st.Settings.Vector.Dimension {
		return nil, nil // or the space has just gone over to another model
	}
	cue := memory.Cue{Vector: vector, Mode: memory.ModeSimilar, Limit: similarLooked}
	found, err := recall.Run(context.Background(), t.indexes(), recall.Question{Cue: &cue, View: t.applied, Now: t.space.db.Now(), Limit: similarLooked})
	for _, x := range found.Ranked {
		row, ok := t.facets.At(x.Slot)
		if !ok || row.Ordinal >= n.Ordinal || x.Score < similarLeast || len(links) == similarMost || t.linkedOtherwise(n.Ordinal, row.Ordinal) {
			continue
		}
		links = append(links, linkOf(n.Ordinal, rules.Proposal{Other: row.Ordinal, Type: graph.TypeSimilar, Rule: rules.RuleSimilar, Weight: 1, Version: rules.Version}))
	}
	return links, err
}

// linkedOtherwise says whether another rule or a caller links two nodes. The caller
// holds t.mu.
func (t *tower) linkedOtherwise(a, b memory.Ordinal) bool {
	for _, typ := range t.assoc.links.Types() {
		if typ != graph.TypeSimilar && (len(t.assoc.links.Tags(a, b, typ)) > 0 || len(t.assoc.links.Tags(b, a, typ)) > 0) {
			return true
		}
	}
	return false
}
