package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Repeated is what callers measured who asked again as soon as they were answered.
type Repeated struct {
	Latency *Latency
	Rate    float64 // answers a second, all callers together
	Elapsed time.Duration
}

// Repeat lets callers ask one after the other, n times in all or until the time
// is up, whichever is set (0: not) and comes first. The first error ends it.
// ask is told its caller and how many were asked before it by all.
func Repeat(ctx context.Context, callers, n int, length time.Duration, ask func(ctx context.Context, caller, i int) error) (*Repeated, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		workers sync.WaitGroup
	)
	each := make([]*Latency, callers)
	begin := time.Now()
	for c := range each {
		each[c] = NewLatency()
		workers.Go(func() {
			for ctx.Err() == nil && (length == 0 || time.Since(begin) < length) {
				i := int(next.Add(1) - 1)
				if n > 0 && i >= n {
					return
				}
				started := time.Now()
				if err := ask(ctx, c, i); err != nil {
					cancel(err)
					return
				}
				each[c].Add(time.Since(started))
			}
		})
	}
	workers.Wait()
	r := &Repeated{Latency: NewLatency(), Elapsed: time.Since(begin)}
	for _, l := range each {
		r.Latency.Merge(l)
	}
	r.Rate = float64(r.Latency.Count()) / r.Elapsed.Seconds()
	return r, context.Cause(ctx)
}
