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
	// SpaceMemories and SpaceBytes bound what a space may hold: writes that add to
	// it are refused at the bound. 0: no bound. They are looked at before a write,
	// so that those that are under way together can pass the bound.
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
		if err := s.quotas.check(s, c.Verb, sp, m, now); err != nil {
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

// quotas know how full spaces are. Counting memories is cheap and done each time.
// Bytes are estimated from the store's tables, which is not, so an estimate
// serves for a while. It lacks what is not in a table yet: what was sent since the
// last flush is added to it.
type quotas struct {
	mu sync.Mutex
	of map[memory.SpaceName]*usage
}

type usage struct {
	at   time.Time
	disk uint64
	sent uint64
	mem  uint64 // what waited for a flush, of all spaces: when it shrinks there was one
}

// Bounds of the estimates.
const (
	usageGood = 5 * time.Second
	usageMax  = 10_000
)

func (q *quotas) check(s *Server, verb string, sp *engram.Space, m proto.Message, now time.Time) error {
	l := s.limits.Load()
	if !adding[verb] || l.SpaceMemories == 0 && l.SpaceBytes == 0 {
		return nil
	}
	if l.SpaceMemories > 0 {
		n, err := sp.Memories()
		if err == nil && n >= l.SpaceMemories && (verb == "remember" || verb == "remember_batch") {
			return full(sp, "memories", n, l.SpaceMemories)
		}
		if err != nil {
			return err
		}
	}
	if l.SpaceBytes > 0 {
		n, err := q.bytes(s, sp, uint64(proto.Size(m)), now)
		if err != nil {
			return err
		}
		if n > l.SpaceBytes {
			return full(sp, "bytes", n, l.SpaceBytes)
		}
	}
	return nil
}

// bytes estimates what the space has with size more.
func (q *quotas) bytes(s *Server, sp *engram.Space, size uint64, now time.Time) (uint64, error) {
	q.mu.Lock()
	u := q.of[sp.Name()]
	if u != nil && now.Sub(u.at) < usageGood {
		u.sent += size
		n := u.disk + u.sent
		q.mu.Unlock()
		return n, nil
	}
	q.mu.Unlock()
	disk, err := sp.Bytes() // not under the lock: it reads the store
	if err != nil {
		return 0, err
	}
	next := &usage{at: now, disk: disk, sent: size, mem: s.db.Stats().MemTableBytes}
	q.mu.Lock()
	defer q.mu.Unlock()
	if u != nil && next.mem >= u.mem {
		next.sent += u.sent
	}
	if q.of == nil || len(q.of) >= usageMax {
		q.of = map[memory.SpaceName]*usage{} // all are estimated anew
	}
	q.of[sp.Name()] = next
	return next.disk + next.sent, nil
}

// full refuses a write to a space that has what it may. It is of the kind of a
// full disk: room must be made, waiting does not help.
func full(sp *engram.Space, what string, has, most uint64) error {
	e := memory.Errorf(memory.KindDiskFull, codeQuotaExceeded, "space %q has as many %s as it may: %d of %d", sp.Name(), what, has, most)
	e.Retriable = false
	return e.Hinted("forget something, or have the quota raised").With("of", what).With("has", has).With("most", most)
}
