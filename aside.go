package engram

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// What follows a write (vectors, links) is made on the cores that calls need. Go gives all
// goroutines the same right to a core, for 10 ms at a time, so with as many calls as cores
// a call waited for the transformer. So whoever works beside calls stands aside between
// short pieces of work while a call is being worked on, or while any goroutine waits for a
// processor of Go's: a caller whose thread the system woke has not called yet. On two cores it
// found the transformer on one processor and a thread that slept in the system on the other,
// which Go takes from it up to 10 ms later. But for a quarter of the time nobody stands aside,
// so that what follows is made also where calls never end.
//
// To yield (runtime.Gosched) was left: it wakes a thread that looks for work on the idle
// core each time, and leaves alone what waits behind a thread that sleeps in the system.
//
// Threads of the system with a low priority were left: a thread that the system does not
// run keeps what Go has given it, a processor of GOMAXPROCS and the beginning of every
// garbage collection, which waits until each goroutine stands still. Where another program
// keeps the cores busy, that makes calls wait for the low priority.

// calls counts the calls that are being worked on, without those that only wait.
type calls struct{ n atomic.Int64 }

// enter counts a call until the function that it gives is called.
func (c *calls) enter() (leave func()) {
	c.n.Add(1)
	return func() { c.n.Add(-1) }
}

const (
	// asideNap is how long one waits before one looks again.
	asideNap = 100 * time.Microsecond
	// asideTimes is how much longer than it works one goroutine may stand aside.
	asideTimes = 3
	// asideMost bounds how long it may stand aside at once.
	asideMost = 10 * time.Millisecond
)

// aside is one goroutine's standing aside: not for several at once.
type aside struct {
	calls   *calls
	waiting func() bool // a goroutine waits for a processor
	now     func() time.Time
	sleep   func(time.Duration)
	since   time.Time     // it works
	may     time.Duration // it may stand aside
}

// aside goes by the machine's clock: it decides nothing but when work is done.
func (db *DB) aside() *aside {
	return &aside{calls: &db.calls, waiting: newWaiting(), now: time.Now, sleep: time.Sleep, since: time.Now()}
}

// newWaiting gives a function that says whether a goroutine waits for a processor. It takes
// a microsecond, and is not for several goroutines at once.
func newWaiting() func() bool {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	return func() bool {
		metrics.Read(sample)
		return sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > 0
	}
}

// step waits while others need a processor. It is called between pieces of work.
func (a *aside) step() {
	if !a.needed() {
		return
	}
	now := a.now()
	a.may = min(a.may+asideTimes*now.Sub(a.since), asideMost)
	for a.may > 0 && a.needed() {
		before := now
		a.sleep(asideNap)
		now = a.now()
		a.may -= now.Sub(before)
	}
	a.since = now
}

func (a *aside) needed() bool { return a.calls.n.Load() > 0 || a.waiting() }
