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
// To yield (runtime.Gosched) between pieces was left: it wakes a thread that looks for work
// on the idle core each time, where attend does so now and then, and leaves alone what waits
// behind a thread that sleeps in the system.
//
// Threads of the system with a low priority were left: a thread that the system does not
// run keeps what Go has given it, a processor of GOMAXPROCS and the beginning of every
// garbage collection, which waits until each goroutine stands still. Where another program
// keeps the cores busy, that makes calls wait for the low priority. The transformer's thread
// gives way instead, with the same share of the machine as others, see internal/sched.

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
	calls      *calls
	processors func() (waiting, idle bool) // a goroutine waits for one; one has nothing to do
	now        func() time.Time
	sleep      func(time.Duration)
	attend     func()        // to connections
	since      time.Time     // it works
	attended   time.Time     // last
	may        time.Duration // it may stand aside
}

// aside goes by the machine's clock: it decides nothing but when work is done. It is made
// once for all that a goroutine does: work of a millisecond may stand aside for longer
// than three, since there was time before it.
func (db *DB) aside() *aside {
	return &aside{calls: &db.calls, processors: newProcessors(), now: time.Now, sleep: time.Sleep, attend: attend, since: time.Now(), may: asideMost}
}

// newProcessors gives a function that says whether a goroutine waits for a processor of
// Go's, and whether one of them is idle. It takes a microsecond, and is not for several
// goroutines at once.
func newProcessors() func() (waiting, idle bool) {
	samples := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}, {Name: "/sched/goroutines/running:goroutines"}, {Name: "/sched/gomaxprocs:threads"}}
	return func() (waiting, idle bool) {
		metrics.Read(samples)
		for _, s := range samples {
			if s.Value.Kind() != metrics.KindUint64 {
				return false, false // this release of Go does not tell
			}
		}
		return samples[0].Value.Uint64() > 0, samples[1].Value.Uint64() < samples[2].Value.Uint64()
	}
}

// attendEvery is how long one works before one sees to it that connections are attended to.
const attendEvery = 200 * time.Microsecond

// attend makes Go look whether a connection has something to read. It does not always by
// itself: while one processor computed and the other was idle, callers waited for up to a
// millisecond until a thread looked (a program of eight callers, beside one goroutine that
// computes 1.4 ms of 5). A goroutine that starts wakes a thread for the idle processor, which
// then waits for connections: with it they waited as long as beside nothing.
func attend() { go func() {}() }

// step waits while others need a processor. It is called between pieces of work.
func (a *aside) step() {
	needed, idle := a.needed()
	now := a.now()
	if !needed {
		if idle && now.Sub(a.attended) >= attendEvery {
			a.attended = now
			a.attend()
		}
		return
	}
	a.may = min(a.may+asideTimes*now.Sub(a.since), asideMost)
	for a.may > 0 && needed {
		before := now
		a.sleep(asideNap)
		now = a.now()
		a.may -= now.Sub(before)
		needed, _ = a.needed()
	}
	a.since, a.attended = now, now
}

func (a *aside) needed() (needed, idle bool) {
	waiting, idle := a.processors()
	return waiting || a.calls.n.Load() > 0, idle
}
