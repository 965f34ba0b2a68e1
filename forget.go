package engram

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// ForgetQuery says what to forget or to restore: ids or a filter, not both.
type ForgetQuery struct {
	IDs    []memory.ID
	Filter *memory.Filter
	Mode   memory.ForgetMode // default memory.Delete; not looked at by Restore
	DryRun bool
	Max    int    // refuse (too_many_matched, conflict) when more match; 0: DefaultForgetMax
	Reason string // kept in the journal
}

// Bounds of one Forget.
const (
	DefaultForgetMax = 100_000
	maxReasonBytes   = 1024
)

// Forgotten is the answer of Forget and Restore.
type Forgotten struct {
	Matched   int         `cbor:"1,keyasint"`
	Forgotten int         `cbor:"2,keyasint"`
	LSN       memory.LSN  `cbor:"3,keyasint"`
	Missing   []memory.ID `cbor:"4,keyasint,omitempty"` // ids that were not there
	Job       *Job        `cbor:"-"`                    // an erasure that is not finished when the wait ends
	Replayed  bool        `cbor:"-"`
}

// Forget takes memories out by ids or filter. For memory.Erase it waits up to
// wait until no byte of a payload is left in any live file; after that the
// erasure goes on as the Job of the answer.
func (s *Space) Forget(ctx context.Context, q ForgetQuery, wait time.Duration, o WriteOptions) (Forgotten, error) {
	f, err := s.forget(ctx, q, wait, o)
	return f, memory.InOp("forget", err)
}

func (s *Space) forget(ctx context.Context, q ForgetQuery, wait time.Duration, o WriteOptions) (Forgotten, error) {
	if q.Mode == 0 {
		q.Mode = memory.Delete
	}
	return s.endMemories(ctx, "forget", q, wait, o, func(tx *store.Tx, ns []*store.Node) error {
		return tx.End(q.Mode, ns, q.Reason)
	})
}

// Restore brings suppressed memories back; others that match are let be.
func (s *Space) Restore(ctx context.Context, q ForgetQuery, o WriteOptions) (Forgotten, error) {
	q.Mode = memory.Suppress
	f, err := s.endMemories(ctx, "restore", q, 0, o, func(tx *store.Tx, ns []*store.Node) error {
		return tx.Show(ns, q.Reason)
	})
	return f, memory.InOp("restore", err)
}

// Delete forgets one memory; memory_not_found.
func (s *Space) Delete(ctx context.Context, id memory.ID, mode memory.ForgetMode, wait time.Duration, o WriteOptions) (Forgotten, error) {
	f, err := s.delete(ctx, id, mode, wait, o)
	return f, memory.InOp("delete", err)
}

func (s *Space) delete(ctx context.Context, id memory.ID, mode memory.ForgetMode, wait time.Duration, o WriteOptions) (Forgotten, error) {
	if err := id.Check("id"); err != nil {
		return Forgotten{}, err
	}
	if mode == 0 {
		mode = memory.Delete
	}
	if mode.String() == "" {
		return Forgotten{}, memory.Invalid("word_unknown", "mode", "mode is %d; it can be suppress, delete, erase", mode)
	}
	if err := s.alive(); err != nil {
		return Forgotten{}, err
	}
	var f Forgotten
	c, err := s.commit(ctx, "delete", o, &f, [][]byte{[]byte(id), {byte(mode)}}, func(tx *store.Tx) error {
		n, err := tx.Lookup(id)
		if err != nil {
			return err
		}
		if n == nil || n.Kind == memory.KindEntity {
			return memoryNotFound(s, id)
		}
		if err := o.matches("memory "+string(id), nodeWritten(n, "")); err != nil {
			return err
		}
		f = Forgotten{Matched: 1, Forgotten: 1}
		if mode == memory.Suppress && n.Suppressed {
			f.LSN = tx.Meta().LSN
			return nil
		}
		err = tx.End(mode, []*store.Node{n}, "")
		f.LSN = tx.Meta().LSN
		return err
	})
	f.Replayed = c.Replayed
	if err == nil && mode == memory.Erase {
		f.Job, err = s.wipe(ctx, wait)
	}
	return f, err
}

// endMemories finds what is meant at a view, and in the commit drops from it
// what has gone or changed since.
func (s *Space) endMemories(ctx context.Context, op string, q ForgetQuery, wait time.Duration, o WriteOptions, end func(*store.Tx, []*store.Node) error) (Forgotten, error) {
	if err := checkForget(&q); err != nil {
		return Forgotten{}, err
	}
	targets, missing, err := s.meant(ctx, q, op == "restore")
	if err != nil {
		return Forgotten{}, err
	}
	if len(targets) > q.Max {
		e := memory.Errorf(memory.KindConflict, "too_many_matched", "%d memories match, more than max %d; nothing is forgotten", len(targets), q.Max)
		return Forgotten{}, e.Hinted("narrow the filter, or raise max").With("matched", len(targets))
	}
	if q.DryRun {
		lsn, err := s.LSN()
		return Forgotten{Matched: len(targets), Missing: missing, LSN: lsn}, err
	}
	args := [][]byte{{byte(q.Mode)}, []byte(q.Reason)}
	for _, id := range q.IDs {
		args = append(args, []byte(id))
	}
	if q.Filter != nil {
		args = append(args, store.Encode(q.Filter))
	}
	var f Forgotten // empty until it is decided, or replayed
	c, err := s.commit(ctx, op, o, &f, args, func(tx *store.Tx) error {
		ns, err := stillThere(tx, targets)
		if err == nil {
			ns = unlike(ns, op, q.Mode)
			err = end(tx, ns)
		}
		f = Forgotten{Matched: len(targets), Missing: missing, Forgotten: len(ns), LSN: tx.Meta().LSN}
		return err
	})
	f.Replayed = c.Replayed
	if err == nil && q.Mode == memory.Erase && f.Forgotten > 0 {
		f.Job, err = s.wipe(ctx, wait)
	}
	return f, err
}

func checkForget(q *ForgetQuery) error {
	if q.Mode.String() == "" {
		return memory.Invalid("word_unknown", "mode", "mode is %d; it can be suppress, delete, erase", q.Mode)
	}
	if (len(q.IDs) > 0) == (q.Filter != nil) {
		return memory.Invalid("forget_unclear", "filter", "filter: give either ids or a filter")
	}
	if q.Filter != nil {
		if q.Filter.IsEmpty() {
			return memory.Invalid("filter_empty", "filter", "filter is empty, which would mean every memory").
				Hinted("to drop everything, delete the space")
		}
		f := *q.Filter // the caller's own stays as it is
		if err := f.Normalize(); err != nil {
			return memory.InField("filter", err)
		}
		q.Filter = &f
	}
	for i, id := range q.IDs {
		if err := id.Check(fmt.Sprintf("ids[%d]", i)); err != nil {
			return err
		}
	}
	if q.Max == 0 {
		q.Max = DefaultForgetMax
	}
	if q.Max < 0 {
		return memory.Invalid("max_out_of_range", "max", "max is %d; it is above 0", q.Max)
	}
	if len(q.Reason) > maxReasonBytes {
		return memory.Invalid("reason_too_long", "reason", "reason has %d bytes; at most %d are kept", len(q.Reason), maxReasonBytes)
	}
	return nil
}

// target is a memory that a query means. Where a filter chose it, version is the
// one that the filter saw: another may not match. 0 is any.
type target struct {
	ordinal memory.Ordinal
	version uint32
}

// meant finds what a query means, each memory once. Filters do not see
// suppressed memories, so a restore by filter looks at these alone.
func (s *Space) meant(ctx context.Context, q ForgetQuery, suppressed bool) (targets []target, missing []memory.ID, err error) {
	v, err := s.view()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	named := make(map[memory.ID]bool, len(q.IDs))
	for _, id := range q.IDs {
		if named[id] {
			continue
		}
		named[id] = true
		n, err := v.Lookup(s.id, id)
		if err != nil {
			return nil, nil, err
		}
		if n == nil || n.Kind == memory.KindEntity {
			missing = append(missing, id)
			continue
		}
		targets = append(targets, target{ordinal: n.Ordinal})
	}
	if q.Filter == nil {
		return targets, missing, nil
	}
	if suppressed {
		targets, err = s.suppressedMatching(v, q.Filter)
		return targets, nil, err
	}
	t, err := s.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.db.towers.release(t)
	t.mu.RLock()
	defer t.mu.RUnlock()
	selected, _ := t.facets.Select(q.Filter, t.applied, s.db.Now())
	return targetsOf(t.facets, selected), nil, nil
}

// stillThere reads the nodes that stand at the commit as they were meant.
func stillThere(tx *store.Tx, targets []target) ([]*store.Node, error) {
	var ns []*store.Node
	for _, t := range targets {
		n, err := tx.NodeIfLives(t.ordinal)
		if err != nil {
			return nil, err
		}
		if n != nil && (t.version == 0 || t.version == n.Version) {
			ns = append(ns, n)
		}
	}
	return ns, nil
}

// unlike leaves out the nodes that are already as a suppression or a restore
// would have them, so that the journal does not tell of changes that are none.
func unlike(ns []*store.Node, op string, mode memory.ForgetMode) []*store.Node {
	if mode != memory.Suppress {
		return ns
	}
	suppressed := op == "forget"
	return slices.DeleteFunc(ns, func(n *store.Node) bool { return n.Suppressed == suppressed })
}

// suppressedMatching finds the suppressed memories that a filter means, in a
// facet index made of these alone.
func (s *Space) suppressedMatching(v *store.View, f *memory.Filter) ([]target, error) {
	x := facet.New()
	err := v.Nodes(s.id, 0, func(n *store.Node) (bool, error) {
		if !n.Suppressed || n.Kind == memory.KindEntity {
			return true, nil
		}
		m, found, err := s.load(v, n, ReadOptions{})
		if err == nil && found {
			entry := facetEntry(x.Next(), n, &m.Episode)
			entry.Suppressed = false
			x.Put(entry)
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	selected, _ := x.Select(f, x.Newest(), time.Time{})
	return targetsOf(x, selected), nil
}

// targetsOf lists what a selection of slots holds.
func targetsOf(x *facet.Index, selected *bitset.BitSet) []target {
	var targets []target
	for i, ok := selected.NextSet(0); ok; i, ok = selected.NextSet(i + 1) {
		row, _ := x.At(uint32(i))
		targets = append(targets, target{row.Ordinal, row.Version})
	}
	return targets
}

// wipe takes erased bytes off the disk as a job and waits for it a while; the
// job is returned when it has not ended by then.
func (s *Space) wipe(ctx context.Context, wait time.Duration) (*Job, error) {
	one := s.db.startWipe(s)
	if !s.db.jobs.wait(ctx, one, wait) {
		j := one.snapshot()
		return &j, nil
	}
	if j := one.snapshot(); j.State != JobDone {
		return nil, fmt.Errorf("the memory is out of every answer, but its bytes are not off the disk yet: %w", j.Err)
	}
	return nil, nil
}

func (db *DB) startWipe(s *Space) *job {
	return db.jobs.start(&db.run, "erase", func(ctx context.Context) (map[string]any, error) {
		wiped, err := db.shard.Wipe(ctx, s.id, func() error { return s.forgetDerived() })
		lsns := make([]any, len(wiped))
		for i, l := range wiped {
			lsns[i] = l.String()
		}
		return map[string]any{"space": string(s.name), "erased": lsns}, err
	})
}

// forgetDerived drops what was made of the words that are erased: the open
// indexes follow the journal past the erasure, snapshots go.
func (s *Space) forgetDerived() error {
	if t := s.db.towers.peek(s.id); t != nil {
		<-t.opened
		if t.err == nil {
			if err := t.catchUp(everything); err != nil {
				s.db.towers.discardTower(t)
			}
		}
	}
	return s.db.removeSnapshots(s.id)
}
