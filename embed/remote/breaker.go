package remote

import (
	"math/rand/v2"
	"sync"
	"time"
)

// breaker keeps calls from a server that does not work. It is open to calls until most failures in a row; then closed for
// rest; then one call is let through, on trial, while the others are still kept back.
type breaker struct {
	most int
	rest time.Duration

	mu struct {
		sync.Mutex
		failures int           // in a row
		until    time.Time     // no calls before
		lastRest time.Duration // 0 while calls are let through
		trial    bool          // one call is out to see
	}
}

// longestClosed bounds the doubling of the rest.
const longestClosed = 5 * time.Minute

// closedFor says for how long nothing may be sent; 0 lets one call through, and then worked, failed or unasked must follow.
func (b *breaker) closedFor(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.lastRest == 0:
		return 0
	case now.Before(b.mu.until):
		return b.mu.until.Sub(now)
	case b.mu.trial:
		return b.rest
	}
	b.mu.trial = true
	return 0
}

// until is the time before which nothing is sent; zero while calls are let through.
func (b *breaker) until() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.lastRest == 0 {
		return time.Time{}
	}
	return b.mu.until
}

func (b *breaker) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.failures, b.mu.lastRest, b.mu.trial = 0, 0, false
}

func (b *breaker) failed(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.failures++
	if b.mu.failures < b.most {
		return
	}
	b.mu.lastRest = min(max(2*b.mu.lastRest, b.rest), longestClosed)
	b.mu.until, b.mu.trial = now.Add(b.mu.lastRest), false
}

// unasked ends a call that says nothing about the server.
func (b *breaker) unasked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.trial = false
}

// pace spaces calls out.
type pace struct {
	every time.Duration
	mu    struct {
		sync.Mutex
		next time.Time
	}
}

// take reserves the next place for a call, and says how long it is until then.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if p.mu.next.After(now) {
		at = p.mu.next
	}
	p.mu.next = at.Add(p.every)
	return at.Sub(now)
}

// hold keeps all calls back for a while, as the server asked.
func (p *pace) hold(now time.Time, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := now.Add(min(d, longestWait)); d > 0 && at.After(p.mu.next) {
		p.mu.next = at
	}
}

// jittered is between half of d and d: callers that failed together do not come back together.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d/2+1)
}
