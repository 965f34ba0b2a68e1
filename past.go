package engram

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// The indexes stand at now. Who asks as of an earlier record is answered from a past: a tower
// that is built from the store as it stood then (store.Past: the versions of then, and the
// links of then), as a space that opens is built from its state, and that follows nothing
// afterwards. The pipeline is the same, so its answer is what a recall gave then. The first
// question about a state pays for its indexes; those after it cost what any recall costs.
//
// A past is put together by a goroutine of the database, one at a time: a caller whose time
// is over finds it when asking again. What is suppressed or shown again afterwards is followed.
// When something of a space is erased, its pasts go at once, with the words that they hold.
type pasts struct {
	mu    sync.Mutex
	all   map[pastKey]*past
	turn  chan struct{} // holds a token while one is put together
	built uint64
	took  time.Duration // of building
}

type pastKey struct {
	space memory.SpaceID
	at    memory.LSN
}

// past is a state that was.
type past struct {
	*tower
	key    pastKey
	done   chan struct{} // closed when it is put together, or err says why not
	cancel context.CancelFunc
	free   sync.Once // lets go of what it takes

	// Guarded by pasts.mu.
	used    time.Time
	dropped bool
	changes []*store.Record // of what is suppressed, which it has still to follow
}

// errPastDropped says that something was erased while a past was put together.
var errPastDropped = errors.New("the state of then was dropped")

func (ps *pasts) init() {
	ps.all = make(map[pastKey]*past)
	ps.turn = make(chan struct{}, 1)
}

// past gives the state of a space after a record, which the journal reaches back to.
func (s *Space) past(ctx context.Context, at memory.LSN) (*past, error) {
	for {
		p, err := s.holdPast(pastKey{s.id, at})
		if err != nil {
			return nil, err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // also when both are so: who gave up is told that
			return nil, contextError(ctx, "the state of then was not put together in time; it goes on, ask again")
		}
		if p.err == nil && s.db.pasts.follow(p) {
			return p, nil
		}
		if p.err != nil && !errors.Is(p.err, errPastDropped) {
			return nil, p.err
		}
	}
}

// holdPast finds a past that is there, or has one put together.
func (s *Space) holdPast(k pastKey) (*past, error) {
	ps := &s.db.pasts
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.all[k]; p != nil && p.fits(s.state.Load()) {
		p.used = s.db.Now()
		return p, nil
	} else if p != nil {
		ps.dropLocked(p)
	}
	t, err := newTower(s)
	if err != nil {
		return nil, err
	}
	t.next = nil // it goes over to no other model
	ctx, cancel := context.WithCancel(context.Background())
	p := &past{tower: t, key: k, done: make(chan struct{}), cancel: cancel, used: s.db.Now()}
	if !s.db.run.startUnlessClosing("put a past together", func() { p.build(ctx) }) {
		cancel()
		return nil, store.ErrClosed
	}
	ps.all[k] = p
	ps.shrinkLocked(s.db.opts.Pasts, time.Time{})
	return p, nil
}

// fits says whether a past was made for the vectors that the space has now.
func (p *past) fits(st *store.SpaceState) bool {
	return p.st.Settings.Vector == st.Settings.Vector && p.st.Generation == st.Generation
}

// build puts the state together, when it is its turn.
func (p *past) build(ctx context.Context) {
	defer p.cancel()
	ps := &p.space.db.pasts
	var err error
	select {
	case ps.turn <- struct{}{}:
		began := time.Now() // told, never decided on
		err = p.fill(ctx)
		<-ps.turn
		ps.mu.Lock()
		ps.built, ps.took = ps.built+1, ps.took+time.Since(began)
		ps.mu.Unlock()
	case <-ctx.Done():
		err = ctx.Err()
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case p.space.db.run.closing():
		p.err = store.ErrClosed
	case p.dropped:
		p.err = errPastDropped
	default:
		p.err = err
	}
	if p.err != nil {
		ps.dropLocked(p)
	}
	close(p.done)
}

// fill builds the indexes.
func (p *past) fill(ctx context.Context) error {
	v, err := p.space.db.shard.View()
	if err != nil {
		return err
	}
	defer v.Close()
	then, err := v.Past(p.space.id, p.key.at)
	if err != nil {
		return err
	}
	nodes, err := then.Nodes()
	if err != nil {
		return err
	}
	var memories []*store.Node
	for _, n := range nodes {
		if n.Kind != memory.KindEntity {
			memories = append(memories, n)
		}
	}
	if most := p.space.db.opts.PastMemories; len(memories) > most {
		return memory.Errorf(memory.KindTooLarge, "as_of_too_large", "space %q held %d memories then; a state of at most %d is put together", p.space.name, len(memories), most).
			Hinted("raise past_memories, or restore a backup to that state beside this one")
	}
	if p.then, err = v.TimeOf(p.space.id, p.key.at); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.buildFrom(ctx, v, memories); err != nil {
		return opening(ctx, err)
	}
	p.applied = p.key.at
	p.facets.Purge(p.applied)
	if err := p.openVectors(ctx, v); err != nil {
		return err
	}
	return p.associateThen(ctx, v, then, nodes)
}

// associateThen builds the associations of then. Links that lead to what was erased since
// are left out.
func (p *past) associateThen(ctx context.Context, v *store.View, then *store.Past, nodes []*store.Node) error {
	if !p.space.db.opts.AutoLinks {
		return nil
	}
	a := newAssociations()
	if err := p.eachHead(ctx, v, nodes, a.read); err != nil {
		return opening(ctx, err)
	}
	a.fresh = nil
	a.timed, a.were = make(map[memory.ID]timedLink), make(map[graph.Link]*store.Link)
	stood := make(map[memory.Ordinal]bool, len(nodes))
	for _, n := range nodes {
		stood[n.Ordinal] = true
	}
	err := then.Links(func(l *store.Link) (bool, error) {
		if stood[l.From] && stood[l.To] {
			a.link(l)
			if then.Changed(l.ID) {
				a.were[graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(l.ID)}] = l
			}
		}
		return true, ctx.Err()
	})
	p.assoc = a
	return opening(ctx, err)
}

// follow brings a past to what is suppressed now; false when it was dropped.
func (ps *pasts) follow(p *past) bool {
	ps.mu.Lock()
	changes := p.changes
	p.changes = nil
	dropped := p.dropped
	ps.mu.Unlock()
	if len(changes) > 0 && !dropped {
		p.mu.Lock()
		for _, r := range changes {
			for _, o := range r.Nodes.Ordinals {
				p.facets.Suppress(o, r.Kind == store.NodesEnded, r.LSN)
			}
		}
		p.mu.Unlock()
	}
	return !dropped
}

// tell is told of what was published of a space. It must not wait: the committer calls it.
func (ps *pasts) tell(space memory.SpaceID, records []store.Published) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for k, p := range ps.all {
		if k.space == space {
			ps.tellLocked(p, records)
		}
	}
}

func (ps *pasts) tellLocked(p *past, records []store.Published) {
	for _, x := range records {
		switch r := x.Record; {
		case r.Kind == store.NodesShown, r.Kind == store.NodesEnded && r.Nodes.Mode == memory.Suppress:
			p.changes = append(p.changes, r)
		case r.Kind == store.NodesEnded && r.Nodes.Mode == memory.Erase:
			ps.dropLocked(p)
			return
		}
	}
}

// drop lets go of the pasts of a space.
func (ps *pasts) drop(space memory.SpaceID) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for k, p := range ps.all {
		if k.space == space {
			ps.dropLocked(p)
		}
	}
}

// dropAll lets go of all: the database closes.
func (ps *pasts) dropAll() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.all {
		ps.dropLocked(p)
	}
}

// dropOne lets go of the past that was used least recently; false: there is none.
func (ps *pasts) dropOne() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.shrinkLocked(len(ps.all)-1, time.Time{})
}

// dropIdle lets go of the pasts that were last used before a time.
func (ps *pasts) dropIdle(before time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.shrinkLocked(0, before)
}

// shrinkLocked lets go of pasts, the least recently used first, until so many are left, or
// those used since a time (zero: whenever). What is put together just now stays.
func (ps *pasts) shrinkLocked(most int, before time.Time) (dropped bool) {
	for len(ps.all) > most {
		var oldest *past
		for _, p := range ps.all {
			if p.ready() && (oldest == nil || p.used.Before(oldest.used)) {
				oldest = p
			}
		}
		if oldest == nil || !before.IsZero() && !oldest.used.Before(before) {
			return dropped
		}
		ps.dropLocked(oldest)
		dropped = true
	}
	return dropped
}

func (p *past) ready() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// dropLocked lets go of a past: nobody finds it from now on, and who reads it ends first.
func (ps *pasts) dropLocked(p *past) {
	p.dropped = true
	p.cancel()
	if ps.all[p.key] == p {
		delete(ps.all, p.key)
	}
	p.free.Do(func() {
		close(p.tower.gone)
		p.space.db.vectors.forget(p.tower)
	})
}

// PastStats are figures of the earlier states that are kept for questions about them.
type PastStats struct {
	Kept, Bound int
	Built       uint64
	Seconds     float64 // that building took
}

func (ps *pasts) stats(bound int) PastStats {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return PastStats{Kept: len(ps.all), Bound: bound, Built: ps.built, Seconds: ps.took.Seconds()}
}

// holdingCopy is the links that hold at a time, after a record.
type holdingCopy struct {
	sync.Mutex
	lsn   memory.LSN
	at    time.Time
	links *graph.Graph
}
