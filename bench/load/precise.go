package load

import (
	"context"
	"time"
)

// Precise waits in the system instead of in a timer of the runtime, which wakes up to a
// millisecond late: for operations that take less. Each worker keeps a thread while it
// waits, and wants a processor when it wakes, as who comes from outside does. A wait that
// has begun does not end with its context.
type Precise struct{}

// Now is the machine's time.
func (Precise) Now() time.Time { return time.Now() }

// Until waits until t.
func (Precise) Until(ctx context.Context, t time.Time) bool {
	const atOnce = 100 * time.Millisecond // then the context is looked at
	for ctx.Err() == nil {
		d := time.Until(t)
		if d <= 0 {
			return true
		}
		sleep(min(d, atOnce))
	}
	return false
}
