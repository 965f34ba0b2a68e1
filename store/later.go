package store

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// later are the writes of work beside calls: vectors and links that follow their
// memories, and come again after a crash. A sync for each of them kept the disk busy when
// a caller's write came, which then waited for two syncs instead of one: at 200 writes a
// second one in fifteen did, and they made its 99th percentile.
//
// So such a write is decided when nobody else writes, goes into the log without a sync,
// and is on disk with the next group that syncs, since the log has an order. Like every
// write it is shown and acknowledged then, not before. When no group has come for
// laterWait, none comes within it, or someone is in a hurry, one is made.
type later struct {
	queue chan *request
	hurry chan struct{} // holds a token when someone waits for what is held

	// The rest is the committer's.
	held    *group         // written and not synced; nil: nothing is
	last    memory.SpaceID // that was written in it
	wait    time.Duration  // laterWait, but in tests
	timer   *time.Timer    // of held; by the machine's clock, as it decides nothing of what is written
	called  time.Time      // when callers' last group was written
	skipped int            // groups that went before the queue's first
}

// laterWait is how long a write waits for the sync of another. At 50 writes a second or more
// most need none of their own; below that, one is seldom in the way.
const laterWait = 20 * time.Millisecond

// heldMost bounds the records that wait for a sync.
const heldMost = 4096

// laterSkips is how many groups may go before a write that can wait, where callers write
// without a pause.
const laterSkips = 4

func newLater(bound int) later {
	return later{queue: make(chan *request, bound), hurry: make(chan struct{}, 1), wait: laterWait}
}

// due tells when what is held has waited long enough.
func (l *later) due() <-chan time.Time {
	if l.held == nil {
		return nil
	}
	return l.timer.C
}

// Hurry ends the waiting of writes that were made to wait: someone waits for them.
func (s *Shard) Hurry() {
	select {
	case s.later.hurry <- struct{}{}:
	default:
	}
}

// holdSometimes lets a write have its turn that can wait, where the queue is never empty.
func (s *Shard) holdSometimes() {
	if len(s.later.queue) == 0 {
		s.later.skipped = 0
		return
	}
	if s.later.skipped++; s.later.skipped < laterSkips {
		return
	}
	s.later.skipped = 0
	s.hold(<-s.later.queue) // only the committer takes from it
}

// hold decides a write and puts it into the log without a sync.
func (s *Shard) hold(r *request) {
	g := s.newGroup()
	s.decideAll(g, []*request{r})
	g.err = s.write(g, pebble.NoSync)
	if g.err == nil {
		g.err = g.batch.Close()
	}
	s.later.add(g)
	if g.err != nil || len(s.later.held.published) >= heldMost || g.began.Sub(s.later.called) > s.later.wait {
		s.syncHeld()
	}
}

// holdAll decides all that wait.
func (s *Shard) holdAll() {
	for len(s.later.queue) > 0 {
		s.hold(<-s.later.queue)
	}
}

// syncHeld makes a group for what is held.
func (s *Shard) syncHeld() {
	if s.later.held != nil {
		s.pass(s.newGroup())
	}
}

// mustSync gives a group something to write, the head of a space as it stands, when it has
// nothing itself and what is held waits for its sync: a refusal may rest on that.
func (s *Shard) mustSync(g *group) {
	if held := s.later.held; held != nil && len(held.published) > 0 && len(g.metas) == 0 {
		g.metas[s.later.last] = s.metas[s.later.last]
	}
}

// add keeps a group that is written until one syncs.
func (l *later) add(g *group) {
	if l.held == nil {
		l.held = new(group)
		l.timer = time.NewTimer(l.wait)
	}
	l.held.requests = append(l.held.requests, g.requests...)
	l.held.published = append(l.held.published, g.published...)
	l.held.err = errors.Join(l.held.err, g.err)
	for space := range g.metas {
		l.last = space
	}
}

// join lets what is held end with a group that was written after it.
func (l *later) join(g *group) {
	if l.held == nil {
		return
	}
	g.requests = append(l.held.requests, g.requests...)
	g.published = append(l.held.published, g.published...)
	g.err = errors.Join(l.held.err, g.err)
	l.timer.Stop()
	l.held = nil
}
