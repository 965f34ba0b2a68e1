package server

import (
	"container/list"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// A Rate bounds how often something is done: so many a second, and so many at
// once. The zero Rate bounds nothing.
type Rate struct {
	PerSecond float64
	Burst     int // default: PerSecond rounded up, at least 1
}

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(1, int(math.Ceil(r.PerSecond)))
}

// Limits are what one caller and one space may take. They can be changed while
// the server runs: SetLimits.
type Limits struct {
	PerKey   Rate // requests of one key; callers without a key count as one
	PerSpace Rate // requests to one space, of all keys
	// SpaceMemories and SpaceBytes bound what a space may hold: writes that would
	// pass the bound are refused, however many come together. 0: no bound.
	SpaceMemories uint64
	SpaceBytes    uint64
}

// SetLimits puts other limits in force. Buckets begin full.
func (s *Server) SetLimits(l Limits) {
	s.keyRates.set(l.PerKey)
	s.spaceRates.set(l.PerSpace)
	s.limits.Store(&l)
}

// throttle refuses a request whose key or space has had enough of them, and a
// write that adds to a space that is full.
func (s *Server) throttle(c *Call, m proto.Message) error {
	now := time.Now() // not when the call began: one under a stream of calls has no beginning of its own
	if wait := s.keyRates.take(c.Caller, now); wait > 0 {
		return limited("key", wait)
	}
	names := spacesOf(m)
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		sp, err := s.db.Space(memory.SpaceName(name))
		if err != nil {
			return nil // the call itself says so; a made-up name takes no bucket
		}
		if wait := s.spaceRates.take(name, now); wait > 0 {
			return limited("space", wait)
		}
		if err := s.quotas.check(s, c, sp, m, now); err != nil {
			return err
		}
	}
	return nil
}

func limited(what string, wait time.Duration) error {
	e := memory.Errorf(memory.KindBusy, codeRateLimited, "the %s has had as many requests as it may", what)
	e.RetryAfter = wait
	return e.Hinted("wait for Retry-After").With("of", what)
}

// buckets are the token buckets of keys or spaces: at most bucketsMax, those that
// were used least recently go. One that goes comes back full, which lets a caller
// of that many names through; it could as well use that many names at once.
type buckets struct {
	mu    sync.Mutex
	rate  Rate
	of    map[string]*list.Element
	order list.List // of *bucket, the one used last in front
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

const bucketsMax = 10_000

func (b *buckets) set(r Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate, b.of = r, map[string]*list.Element{}
	b.order.Init()
}

// take takes one token; when there is none it says how long until there is.
func (b *buckets) take(name string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate.PerSecond <= 0 {
		return 0
	}
	l := b.limiterLocked(name)
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (b *buckets) limiterLocked(name string) *rate.Limiter {
	if e, ok := b.of[name]; ok {
		b.order.MoveToFront(e)
		return e.Value.(*bucket).limiter
	}
	for b.order.Len() >= bucketsMax {
		last := b.order.Back()
		delete(b.of, last.Value.(*bucket).name)
		b.order.Remove(last)
	}
	one := &bucket{name, rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.burst())}
	b.of[name] = b.order.PushFront(one)
	return one.limiter
}

func (b *buckets) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.order.Len()
}

// adding are the verbs that make a space larger.
var adding = map[string]bool{"remember": true, "remember_batch": true, "update_memory": true, "put_entity": true, "update_entity": true,
	"merge_entities": true, "create_link": true, "create_links": true, "update_link": true}

// quotas know how full spaces are. Memories are counted by the commit itself. Bytes
// are estimated from the store's tables, so an estimate serves for a while; what is
// not in a table yet is added to it: what was sent since the last flush, and what is
// being written. So writes that come together cannot pass a quota together.
type quotas struct {
	mu sync.Mutex
	of map[memory.SpaceName]*usage
}

// usage is what a space has.
type usage struct {
	mu     sync.Mutex // guards what follows; taken without quotas.mu
	at     time.Time
	disk   uint64
	sent   uint64 // since the last flush
	coming uint64 // of calls that are under way
	mem    uint64 // what waited for a flush, of all spaces: when it shrinks there was one
}

// Bounds of the estimates.
const (
	usageGood = 5 * time.Second
	usageMax  = 10_000
)

// check refuses a write that would pass a quota, or gives the call what the commit
// is to look at.
func (q *quotas) check(s *Server, c *Call, sp *engram.Space, m proto.Message, now time.Time) error {
	l := s.limits.Load()
	if !adding[c.Verb] {
		return nil
	}
	if c.Verb == "remember" || c.Verb == "remember_batch" {
		c.maxMemories = l.SpaceMemories
	}
	if l.SpaceBytes == 0 {
		return nil
	}
	u := q.usageOf(sp.Name())
	size := uint64(proto.Size(m))
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.renew(s, sp, now); err != nil {
		return err
	}
	if n := u.disk + u.sent + u.coming; n+size > l.SpaceBytes {
		return engram.QuotaExceeded(sp.Name(), "bytes", n, l.SpaceBytes)
	}
	u.coming += size
	c.after(func() { u.came(size) })
	return nil
}

// came counts what a call that has ended may have written.
func (u *usage) came(size uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.coming -= size
	u.sent += size
}

// renew looks at the store again when the estimate is old.
func (u *usage) renew(s *Server, sp *engram.Space, now time.Time) error {
	if now.Sub(u.at) < usageGood {
		return nil
	}
	disk, err := sp.Bytes()
	if err != nil {
		return err
	}
	mem := s.db.Stats().MemTableBytes
	if mem < u.mem {
		u.sent = 0
	}
	u.at, u.disk, u.mem = now, disk, mem
	return nil
}

// usageOf finds the usage of a space. When there are too many, those that nothing is
// written to go, and are estimated anew.
func (q *quotas) usageOf(name memory.SpaceName) *usage {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of[name]
	if u != nil {
		return u
	}
	if len(q.of) >= usageMax {
		for name, old := range q.of {
			if old.mu.TryLock() {
				if old.coming == 0 {
					delete(q.of, name)
				}
				old.mu.Unlock()
			}
		}
	}
	if q.of == nil {
		q.of = map[memory.SpaceName]*usage{}
	}
	u = &usage{}
	q.of[name] = u
	return u
}
