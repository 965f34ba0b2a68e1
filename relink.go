package engram

import (
	"context"
	"errors"
	"slices"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Relink asks the rules of the space, as they are now, about every memory and entity
// again, behind the caller's back: links of rules that are no longer made go, new ones
// come, what callers drew stays. It is a job, which goes on after a restart under the
// same id, and which CancelJob ends where it stands. When one runs already, that one is
// given. Errors: links_off, where the database makes no links.
func (s *Space) Relink(ctx context.Context) (Job, error) {
	j, err := s.relink(ctx)
	return j, memory.InOp("relink", err)
}

// settingRelink is how far a relink is that has not ended.
const settingRelink = "relink"

// relinking is the state of a relink.
type relinking struct {
	Job   string         `cbor:"1,keyasint"`
	Next  memory.Ordinal `cbor:"2,keyasint"` // the first node that has not been asked about
	Asked uint64         `cbor:"3,keyasint,omitempty"`
	Added uint64         `cbor:"4,keyasint,omitempty"`
	Ended uint64         `cbor:"5,keyasint,omitempty"`
}

func (s *Space) relink(ctx context.Context) (Job, error) {
	if err := s.alive(); err != nil {
		return Job{}, err
	}
	if !s.db.opts.AutoLinks {
		return Job{}, memory.Errorf(memory.KindPrecondition, "links_off", "this database makes no links by itself").Hinted("serve with --links auto, or open it with Options.AutoLinks")
	}
	var r relinking
	_, err := s.commit(ctx, "relink", WriteOptions{}, &r, nil, func(tx *store.Tx) error {
		old, err := tx.Setting(settingRelink)
		if err != nil {
			return err
		}
		if old != nil {
			return store.Decode(old, &r)
		}
		r = relinking{Job: string(memory.NewID()), Next: 1}
		return tx.PutSetting(settingRelink, store.Encode(r))
	})
	if err != nil {
		return Job{}, err
	}
	return s.db.startRelink(s, r).snapshot(), nil
}

// startRelink starts the job of a relink, or gives the one that runs.
func (db *DB) startRelink(s *Space, r relinking) *job {
	db.relinks.Lock()
	defer db.relinks.Unlock()
	if one, err := db.jobs.get(r.Job); err == nil && one.snapshot().State == JobRunning {
		return one
	}
	return db.jobs.startAs(&db.run, Job{ID: r.Job, Kind: "relink", Space: s.name}, func(ctx context.Context, one *job) (map[string]any, error) {
		return db.runRelink(ctx, s, r, one)
	})
}

// resumeRelinks goes on with those that the last process left undone.
func (db *DB) resumeRelinks() {
	if db.opts.ReadOnly || !db.opts.AutoLinks {
		return
	}
	db.spaces.RLock()
	spaces := make([]*Space, 0, len(db.spaces.byID))
	for _, s := range db.spaces.byID {
		spaces = append(spaces, s)
	}
	db.spaces.RUnlock()
	for _, s := range spaces {
		r, found, err := s.relinkState()
		if errors.Is(err, store.ErrClosed) {
			return // it will be at the next start
		}
		if err != nil {
			db.opts.Logger.Warn("a relink is not gone on with", "space", s.name, "error", err)
		} else if found {
			db.startRelink(s, r)
		}
	}
}

func (s *Space) relinkState() (r relinking, found bool, err error) {
	v, err := s.view()
	if err != nil {
		return r, false, err
	}
	defer v.Close()
	failed := v.Settings(s.id, settingRelink, func(name string, value []byte) bool {
		if name == settingRelink {
			found, err = true, store.Decode(value, &r)
		}
		return false
	})
	if failed != nil {
		err = failed
	}
	return r, found && err == nil, err
}

// runRelink goes over the space in steps, each of them a commit that says how far it is.
// A job that is cancelled is over; one that the end of the process stops goes on when
// the database opens again.
func (db *DB) runRelink(ctx context.Context, s *Space, r relinking, one *job) (map[string]any, error) {
	err := s.relinkAll(ctx, &r, one)
	if err != nil && db.run.closing() {
		return nil, err
	}
	if err == nil || ctx.Err() != nil {
		err = errors.Join(err, s.endRelink(r.Job))
	}
	return map[string]any{"space": string(s.name), "asked": float64(r.Asked), "added": float64(r.Added), "ended": float64(r.Ended)}, err
}

func (s *Space) relinkAll(ctx context.Context, r *relinking, one *job) error {
	t, err := s.current(ctx)
	if err != nil {
		return err
	}
	defer s.db.towers.release(t)
	for more := true; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if more, err = t.relinkPart(r, one); err != nil {
			return err
		}
	}
	return nil
}

// endRelink forgets how far a relink is.
func (s *Space) endRelink(job string) error {
	_, err := s.commit(context.Background(), "relink", WriteOptions{}, new(relinking), nil, func(tx *store.Tx) error {
		b, err := tx.Setting(settingRelink)
		if err != nil || b == nil {
			return err
		}
		var r relinking
		if err := store.Decode(b, &r); err != nil || r.Job != job {
			return err
		}
		return tx.PutSetting(settingRelink, nil)
	})
	return err
}

// relinked is what the rules say of a node that stands: what links they make of it,
// and what its text names, to which links of the rule stay though others go before.
type relinked struct {
	asked
	named []memory.Ordinal
	set   rules.Set
}

// relinkPart asks about the next nodes; more says that there may be others.
func (t *tower) relinkPart(r *relinking, one *job) (more bool, err error) {
	part, next, more, err := t.relinkProposals(r.Next)
	if err != nil {
		return false, err
	}
	s, done := t.space, *r
	var last memory.Ordinal
	_, err = s.db.shard.Commit(context.Background(), &store.Write{Space: s.id, Decide: func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		done, last = *r, tx.Meta().NextOrdinal
		for i := range part {
			if err := part[i].place(tx, &done); err != nil {
				return err
			}
		}
		done.Asked += uint64(len(part))
		done.Next = next
		return tx.PutSetting(settingRelink, store.Encode(done))
	}})
	if err != nil {
		return false, err
	}
	*r = done
	one.at(float64(min(r.Next, last)) / float64(max(last, 1)))
	return more, t.catchUp(everything) // so that the next ones are asked about with these links in place
}

// relinkProposals asks the rules about the next nodes; next is the one behind them, and
// more says that there were any.
func (t *tower) relinkProposals(from memory.Ordinal) (part []relinked, next memory.Ordinal, more bool, err error) {
	v, err := t.space.view()
	if err != nil {
		return nil, 0, false, err
	}
	defer v.Close()
	var nodes []*store.Node
	err = v.Nodes(t.space.id, from, func(n *store.Node) (bool, error) {
		nodes = append(nodes, n)
		return len(nodes) < associateStep, nil
	})
	next = from
	for _, n := range nodes {
		one, found, failed := t.relinkOne(v, n)
		if err = errors.Join(err, failed); err != nil {
			break
		}
		if found {
			part = append(part, one)
		}
		next = n.Ordinal + 1
	}
	return part, next, len(nodes) > 0, err
}

func (t *tower) relinkOne(v *store.View, n *store.Node) (one relinked, found bool, err error) {
	one.set = t.rules()
	if one.asked, found, err = t.ask(v, n); err != nil || !found || n.Kind == memory.KindEntity {
		return one, found, err
	}
	m, found, err := t.space.load(v, n, ReadOptions{})
	if err != nil || !found {
		return one, false, err
	}
	near, err := t.proposeNear(v, n)
	if err != nil {
		return one, false, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	one.named = rules.NamedBy(rules.Words(&m.Episode), known{t, n.Ordinal})
	one.links = slices.DeleteFunc(append(one.links, near...), func(l *store.Link) bool {
		return l.Rule == rules.RuleMentions && l.From == n.Ordinal && t.mentionedOtherwise(l)
	})
	return one, true, nil
}

// mentionedOtherwise says whether a link of the rule joins the two already under
// another id, by the name of an entity that was merged.
func (t *tower) mentionedOtherwise(l *store.Link) bool {
	tags := t.assoc.links.Tags(l.From, l.To, l.Type)
	return len(tags) > 0 && !slices.Contains(tags, graph.TagOf(l.ID))
}

// place ends the links of rules that are no longer made of a node, and adds those that
// are, up to the most that one has.
func (a *relinked) place(tx *store.Tx, r *relinking) error {
	n, err := tx.NodeIfLives(a.node.Ordinal)
	if err != nil || n == nil || n.Version != a.node.Version {
		return err
	}
	if n.Kind == memory.KindEntity {
		return a.counted(tx, r, func() error { return a.placeAtEntity(tx) })
	}
	ids, err := madeIn(tx, n.Ordinal)
	if err != nil {
		return err
	}
	var gone []memory.ID
	stay := 0
	for _, id := range ids {
		l, err := tx.Link(id)
		if err != nil {
			return err
		}
		if a.holds(l) {
			stay++
			continue
		}
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		r.Ended += uint64(len(gone))
		if err := tx.EndLinks(gone); err != nil {
			return err
		}
	}
	return a.add(tx, r, stay)
}

// holds says whether a link of a rule is one that the rules make of the node still.
func (a *relinked) holds(l *store.Link) bool {
	switch {
	case l == nil || l.Rule == memory.RuleCaller: // a caller has changed it into their own
		return l != nil
	case l.Rule == rules.RuleMentions && !slices.Contains(a.set.Off, rules.RuleMentions) && slices.Contains(a.named, l.To):
		return true
	case l.Rule == rules.RuleSimilar:
		return a.set.Similar
	}
	return slices.ContainsFunc(a.links, func(o *store.Link) bool { return o.ID == l.ID })
}

// add adds the proposals that are not there, while there is room for them. Those that
// the rules have read in other memories are counted there.
func (a *relinked) add(tx *store.Tx, r *relinking, stay int) error {
	for _, l := range a.links {
		own := readIn(l.ID, a.node.Ordinal)
		if own && stay >= rules.LinksMost {
			continue
		}
		added, err := placeProposal(tx, l)
		if err != nil {
			return err
		}
		if added {
			r.Added++
			if own {
				stay++
			}
		}
	}
	return nil
}

// counted counts the links that f adds.
func (a *relinked) counted(tx *store.Tx, r *relinking, f func() error) error {
	before := tx.Meta().Counts.Links
	err := f()
	r.Added += tx.Meta().Counts.Links - before
	return err
}
