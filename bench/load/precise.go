package load

import (
	"context"
	"time"
)

// Precise waits for timers of the system instead of the runtime's, which wake up to a
// millisecond late: for operations that take less. A worker waits in the runtime's poller,
// as who reads from a connection does. (To sleep in the system was left: Go leaves a
// processor of its own to a thread that sleeps there, up to 10 ms, and who had just been
// answered on that processor was charged with it.) A wait that has begun does not end with
// its context.
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
