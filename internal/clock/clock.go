// Package clock is the time as an argument: components are given a Clock, so
// that experiments run months in seconds and tests never sleep.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and wakes its callers. It is safe for concurrent use.
type Clock interface {
	// Now is the present moment, in UTC.
	Now() time.Time
	// After sends the time once d has passed. A caller that stops waiting
	// loses nothing but the buffered value.
	After(d time.Duration) <-chan time.Time
}

// System is the machine's clock.
var System Clock = system{}

type system struct{}

func (system) Now() time.Time                         { return time.Now().UTC() }
func (system) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Virtual is a clock that stands still until it is moved.
type Virtual struct {
	mu struct {
		sync.Mutex
		now     time.Time
		waiting []waiter // no order
	}
}

type waiter struct {
	at time.Time
	ch chan time.Time
}

// NewVirtual makes a clock that stands at t.
func NewVirtual(t time.Time) *Virtual {
	v := new(Virtual)
	v.mu.now = t.UTC()
	return v
}

// Now is where the clock stands.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.now
}

// After sends once Advance has moved the clock by d or more.
func (v *Virtual) After(d time.Duration) <-chan time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := waiter{v.mu.now.Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		w.ch <- v.mu.now
	} else {
		v.mu.waiting = append(v.mu.waiting, w)
	}
	return w.ch
}

// Advance moves the clock forward and wakes those whose time has come.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.now = v.mu.now.Add(d)
	rest := v.mu.waiting[:0]
	for _, w := range v.mu.waiting {
		if w.at.After(v.mu.now) {
			rest = append(rest, w)
			continue
		}
		w.ch <- v.mu.now
	}
	v.mu.waiting = rest
}
