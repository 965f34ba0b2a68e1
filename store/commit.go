package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sort"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// Bounds of one group, so that the first write of it does not wait for long.
const (
	groupWrites = 1024
	groupBytes  = 32 << 20
)

// Write is one change of one space. Decide is called once, on the committing
// goroutine, when all earlier writes are decided: it looks at the state through
// the Tx, adds records, and must not block. Its error is returned as it is, and
// then nothing has happened.
type Write struct {
	Space  memory.SpaceID
	Decide func(*Tx) error
	// Key and Body make the write idempotent when Keyed: the same key with the
	// same body within AnswerTTL returns the first answer, with another body
	// ErrMismatch.
	Keyed     bool
	Key, Body [16]byte
	// Later lets the write wait for the sync of another, see later.go: for work beside
	// calls, which is not to stand in the way of one. It is acknowledged like any other.
	Later bool
	// maintain runs instead of Decide: work on the store that adds no record.
	maintain func(*pebble.Batch) error
}

// Committed is the outcome of a write.
type Committed struct {
	LSN      memory.LSN // of its last record; the space's newest when it added none
	Time     time.Time
	Answer   []byte // what Tx.Answer was given, now or the first time
	Replayed bool
}

// Published is a record that is on disk.
type Published struct {
	Space      memory.SpaceID
	Record     *Record
	Attachment any // what the Tx was given along with the record
}

type request struct {
	w     *Write
	done  chan struct{}
	taken atomic.Bool // by the committer, or by a caller that has gone
	out   Committed
	err   error
}

// Commit waits for a place in the queue, for the decision and for the disk.
// When ctx ends before the committer has taken the write, nothing has happened
// and the error is ctx's; a write that was taken is waited for.
// Errors: Decide's, ErrMismatch, ErrDiskFull, ErrBusy, ErrClosed, ErrReadOnly,
// ErrDropped.
func (s *Shard) Commit(ctx context.Context, w *Write) (Committed, error) {
	if s.opts.ReadOnly {
		return Committed{}, ErrReadOnly
	}
	r := &request{w: w, done: make(chan struct{})}
	if err := s.enqueue(r); err != nil {
		return Committed{}, err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return Committed{}, ctx.Err()
		}
		<-r.done
	}
	return r.out, r.err
}

func (s *Shard) enqueue(r *request) error {
	s.sending.RLock() // so that Close closes the door before it drains the queue
	defer s.sending.RUnlock()
	if s.closing.Load() {
		return ErrClosed
	}
	queue := s.queue
	if r.w.Later {
		queue = s.later.queue
	}
	select {
	case queue <- r:
		return nil
	default:
		e := *ErrBusy
		e.Message = fmt.Sprintf("%d writes wait for the disk, which is the bound", cap(queue))
		e.RetryAfter = 100 * time.Millisecond
		return &e
	}
}

// groupsAhead bounds the groups that are written and wait for their sync while
// the next is decided.
const groupsAhead = 2

// run is the committing goroutine: the only one that writes. While the disk
// syncs one group it decides the next against the state that the first has made;
// finish, on a goroutine of its own, waits for the syncs in the order of the
// groups. Nothing of a group is shown or answered before it and all groups
// before it are on disk. Deciding only after the sync was tried and left: with
// 16 writers the disk and the processor waited for each other half of the time.
func (s *Shard) run() {
	defer close(s.syncing)
	for {
		select {
		case r := <-s.queue: // before what can wait
			s.commit(s.collect(r))
			s.holdSometimes()
			continue
		default:
		}
		select {
		case r := <-s.queue:
			s.commit(s.collect(r))
		case r := <-s.later.queue:
			s.hold(r)
		case <-s.later.due():
			s.syncHeld()
		case <-s.later.hurry:
			s.holdAll()
			s.syncHeld()
		case <-s.stop:
			s.drain()
			return
		}
	}
}

// drain does what was accepted before the door was closed.
func (s *Shard) drain() {
	for {
		select {
		case r := <-s.queue:
			s.commit(s.collect(r))
		case r := <-s.later.queue:
			s.hold(r)
		default:
			s.syncHeld()
			return
		}
	}
}

// collect takes what waits behind the first request.
func (s *Shard) collect(first *request) []*request {
	group := []*request{first}
	for len(group) < groupWrites {
		select {
		case r := <-s.queue:
			group = append(group, r)
		default:
			return group
		}
	}
	return group
}

// group is the writes of one sync.
type group struct {
	layer     *layer
	batch     *pebble.Batch
	metas     map[memory.SpaceID]Meta // those that changed
	published []Published
	requests  []*request       // decided, also those that were refused
	snap      *pebble.Snapshot // the state with the group in it
	began     time.Time        // of the write
	err       error            // of the write
}

// commit: decide each, write all, and pass the group on to finish. A request
// that does not fit the group's bytes waits for the next.
func (s *Shard) commit(rs []*request) {
	for len(rs) > 0 {
		g := s.newGroup()
		rs = s.decideAll(g, rs)
		s.pass(g)
	}
}

func (s *Shard) newGroup() *group {
	return &group{layer: newLayer(disk{s.db}), batch: s.db.NewBatch(), metas: make(map[memory.SpaceID]Meta)}
}

// pass writes a group and lets it end once it is on disk.
func (s *Shard) pass(g *group) {
	alone := len(g.requests) <= 1 && len(s.queue) == 0 && s.ahead.Load() == 0
	s.mustSync(g)
	g.err = s.write(g, pebble.Sync)
	if len(g.requests) > 0 {
		s.later.called = g.began
	}
	s.later.join(g)
	if alone {
		s.end(g) // nobody else writes: there is nothing to decide meanwhile
		if len(s.queue)+len(s.later.queue) > 0 {
			// Who was answered runs before the next group: with its sync this processor of
			// Go's goes into the system, and who waits in its line waits for it to come back.
			runtime.Gosched()
		}
		return
	}
	s.ahead.Add(1)
	s.syncing <- g
}

// finish ends the groups that are passed on, in their order.
func (s *Shard) finish() {
	defer close(s.ended)
	for g := range s.syncing {
		s.end(g)
		s.ahead.Add(-1)
	}
}

// end: sync once, publish, acknowledge. A refusal waits for the groups before it
// too: it may rest on what they have written.
func (s *Shard) end(g *group) {
	err := s.sync(g)
	if err == nil {
		s.publish(g)
	}
	for _, r := range g.requests {
		if err != nil && r.err == nil {
			r.err = err
		}
		close(r.done)
	}
}

func (s *Shard) decideAll(g *group, rs []*request) (rest []*request) {
	full := s.checkReserve()
	size := 0
	for i, r := range rs {
		if size > groupBytes {
			return rs[i:]
		}
		if !r.taken.CompareAndSwap(false, true) {
			continue // its caller has gone
		}
		n, err := s.decide(g, r, full)
		size += n
		r.err = err
		g.requests = append(g.requests, r)
	}
	return nil
}

// decide lets one write decide in a layer of its own and keeps the layer when
// it succeeds. It returns the bytes that were added.
func (s *Shard) decide(g *group, r *request, full error) (int, error) {
	if f := s.fatal.Load(); f != nil {
		return 0, fmt.Errorf("the store has failed: %w", *f)
	}
	if s.dropped[r.w.Space] {
		return 0, ErrDropped
	}
	if r.w.maintain != nil {
		return 0, r.w.maintain(g.batch)
	}
	m, err := s.meta(g, r.w.Space)
	if err != nil {
		return 0, err
	}
	tx := s.newTx(g, r.w.Space, m)
	if done, err := tx.replay(r); done || err != nil {
		return 0, err
	}
	if full != nil {
		return 0, full
	}
	if err := r.w.Decide(tx); err != nil {
		return 0, err
	}
	if err := tx.finish(r.w); err != nil {
		return 0, err
	}
	r.out = Committed{LSN: tx.meta.LSN, Time: tx.now, Answer: tx.answer}
	if len(tx.records) == 0 {
		return 0, nil
	}
	s.noteDropped(tx.records)
	tx.layer.mergeInto(g.layer)
	g.metas[r.w.Space] = tx.meta
	g.published = append(g.published, tx.published()...)
	return tx.bytes, nil
}

// noteDropped closes dropped spaces to every later write, in this group too: a
// key that came behind WipeSpace would stay for ever.
func (s *Shard) noteDropped(records []*Record) {
	for _, r := range records {
		if r.Kind == SpaceDropped {
			s.dropped[r.Space.ID] = true
		}
	}
}

func (s *Shard) meta(g *group, space memory.SpaceID) (Meta, error) {
	if m, ok := g.metas[space]; ok {
		return m, nil
	}
	if m, ok := s.metas[space]; ok {
		return m, nil
	}
	m, err := getMeta(disk{s.db}, space)
	if err == nil {
		s.metas[space] = m
	}
	return m, err
}

// write puts the group into the log and the memtable: one batch. Without a sync it is
// on disk at the next one, as the log has an order.
func (s *Shard) write(g *group, o *pebble.WriteOptions) error {
	for space, m := range g.metas {
		g.layer.set(metaKey(space), encode(m))
	}
	if g.batch.Empty() { // one that need not grow
		g.batch = s.db.NewBatchWithSize(g.layer.size())
	}
	if err := g.layer.writeTo(g.batch); err != nil {
		return fmt.Errorf("fill the batch: %w", err)
	}
	if g.batch.Empty() {
		return nil
	}
	g.began = time.Now() // for the metric alone
	if err := s.apply(g, o); err != nil {
		return err
	}
	for space, m := range g.metas {
		s.metas[space] = m
	}
	return nil
}

func (s *Shard) apply(g *group, o *pebble.WriteOptions) error {
	if !o.Sync {
		return s.db.Apply(g.batch, o)
	}
	err := s.db.ApplyNoSyncWait(g.batch, o)
	if err == nil {
		g.snap = s.db.NewSnapshot()
	}
	return err
}

// sync waits until the group is on disk. A failed write or sync is fatal: what is
// on disk is unknown from there on.
func (s *Shard) sync(g *group) error {
	err := g.err
	if g.snap != nil {
		err = errors.Join(err, g.batch.SyncWait())
		s.stats.sync.add(time.Since(g.began))
	}
	if err == nil {
		err = g.batch.Close()
	}
	if f := s.fatal.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	if err != nil {
		err = fmt.Errorf("commit to disk: %w", err)
		s.opts.Fatal(err)
		return err
	}
	s.stats.groups.Add(1)
	s.stats.records.Add(uint64(len(g.published)))
	return nil
}

// publish shows the group to readers before followers hear of it, and both
// before any caller does: who has the answer finds the memory.
func (s *Shard) publish(g *group) {
	if g.snap != nil {
		s.readers.renew(g.snap)
	}
	if len(g.published) > 0 {
		s.opts.Publish(g.published)
	}
}

// maintain runs f on the committing goroutine, between two writes' decisions.
// What f reads from disk lacks the writes of its own group, and what it puts
// into the batch lies below theirs; when it fails it has put nothing there.
func (s *Shard) maintain(ctx context.Context, space memory.SpaceID, f func(*pebble.Batch) error) error {
	_, err := s.Commit(ctx, &Write{Space: space, maintain: f})
	return err
}

// SyncBuckets are the upper bounds, in seconds, by which syncs are counted.
var SyncBuckets = []float64{.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1}

type syncTimes struct {
	counts [14]atomic.Uint64 // len(SyncBuckets)+1
	nanos  atomic.Int64
}

func (t *syncTimes) add(d time.Duration) {
	t.counts[sort.SearchFloat64s(SyncBuckets, d.Seconds())].Add(1)
	t.nanos.Add(int64(d))
}

func (t *syncTimes) read() (counts []uint64, seconds float64) {
	for i := range t.counts {
		counts = append(counts, t.counts[i].Load())
	}
	return counts, time.Duration(t.nanos.Load()).Seconds()
}
