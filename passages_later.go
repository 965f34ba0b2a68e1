package engram

import (
	"context"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Texts that were stored before long ones were cut have the vector of their beginning and
// no passages. They are looked for once in a space's life, when it is open and its model
// has nothing else to do, a few hundred memories at a time; what is found waits for the
// model like a text without a vector, is counted with these, and gets its vector once more,
// with its passages, in the same kind of commit. A crash loses no more than the place of
// the search: what has passages by then is passed over. A setting of the space says that
// the search has ended; small spaces do without, and are looked through when they open.
// Spaces that went over to another model have none: the change made their passages.

const (
	settingCut = "cut"
	// uncutStep is how many memories are looked at in a turn.
	uncutStep = 512
	// uncutWorth is from how many memories on the end of the search is worth a record.
	uncutWorth = 1000
)

// uncut is how far a tower has looked. tower.mu guards it.
type uncut struct {
	next   memory.Ordinal
	looked int
	ended  bool
}

// cuts says whether texts can be longer than a model reads.
func cuts(m embed.Model) bool {
	_, ok := m.(embed.Counter)
	return ok && m.Info().MaxTokens > 0
}

// beginUncut is what there is to look for when the space opens. The caller holds mu.
func (t *tower) beginUncut() *uncut {
	if t.st.Generation != 0 || t.next != nil || t.vectors == nil || t.vectors.Len() == 0 || !cuts(t.model.Model) {
		return nil
	}
	return new(uncut)
}

// uncutBy says whether a node has a vector by a model, as it is now, and no passages.
func uncutBy(m *openModel, n *store.Node) bool {
	return n.Vector != 0 && n.Generation == 0 && len(n.Passages) == 0 && len(n.Made) > 0 && n.Model == provenance(m.Info())
}

// findUncut looks at the next memories; it says whether there may be more to do.
func (db *DB) findUncut(ctx context.Context, t *tower, b backlog, before *putting) bool {
	before.wait() // what was found is put, or waits again
	t.mu.RLock()
	var at uncut
	idle := b.uncut != nil && !b.slots.Any()
	if idle {
		at = *b.uncut
	}
	t.mu.RUnlock()
	if !idle || ctx.Err() != nil {
		return false
	}
	more, err := t.lookForUncut(b, at)
	if err == nil || t.space.dropped.Load() {
		return more
	}
	db.opts.Logger.Warn("long texts without passages are not looked for", "space", t.space.name, "error", err)
	t.mu.Lock()
	b.uncut = nil // until the space opens again
	t.mu.Unlock()
	return false
}

func (t *tower) lookForUncut(b backlog, at uncut) (more bool, err error) {
	if at.ended { // and what was found has its passages
		return false, t.endUncut(b, at)
	}
	if at.next == 0 {
		if done, err := t.uncutEnded(); err != nil || done {
			return false, t.setUncut(b, nil, nil, err)
		}
	}
	found, next, err := t.uncutFrom(b, &at)
	if err != nil {
		return false, err
	}
	return true, t.setUncut(b, next, found, nil)
}

// setUncut notes how far the search is, and what it found.
func (t *tower) setUncut(b backlog, next *uncut, found []memory.Ordinal, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b.uncut = next
	for _, o := range found {
		if slot, ok := t.facets.Live(o); ok && !b.slots.Test(uint(slot)) {
			b.add(slot)
		}
	}
	return err
}

// uncutFrom looks at some memories and gives those that lack passages.
func (t *tower) uncutFrom(b backlog, at *uncut) (found []memory.Ordinal, next *uncut, err error) {
	v, err := t.space.view()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	most := b.model.Info().MaxTokens
	n := 0
	err = v.Nodes(t.space.id, at.next, func(node *store.Node) (bool, error) {
		at.next = node.Ordinal + 1
		n++
		if uncutBy(b.model, node) {
			head, ok, err := v.Head(t.space.id, node.Ordinal, node.Version)
			if err != nil {
				return false, err
			}
			if ok && len(head) > most { // a token has a byte at least
				e, err := store.DecodeEpisode(head)
				if err != nil {
					return false, damaged(t.space, node, err)
				}
				if passageSpans(b.model.Model, &e) != nil {
					found = append(found, node.Ordinal)
				}
			}
		}
		return n < uncutStep, nil
	})
	at.looked += n
	at.ended = n < uncutStep
	return found, at, err
}

// uncutEnded says whether the search has ended before.
func (t *tower) uncutEnded() (done bool, err error) {
	v, err := t.space.view()
	if err != nil {
		return false, err
	}
	defer v.Close()
	err = v.Settings(t.space.id, settingCut, func(name string, _ []byte) bool {
		done = done || name == settingCut
		return !done
	})
	return done, err
}

// endUncut says that the search has ended.
func (t *tower) endUncut(b backlog, at uncut) error {
	s := t.space
	if at.looked >= uncutWorth {
		_, err := s.db.shard.Commit(context.Background(), &store.Write{Space: s.id, Decide: func(tx *store.Tx) error {
			if s.dropped.Load() {
				return spaceNotFound(s.name)
			}
			return tx.PutSetting(settingCut, store.Encode(true))
		}})
		if err != nil {
			return err
		}
	}
	return t.setUncut(b, nil, nil, nil)
}
