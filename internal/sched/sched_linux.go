package sched

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long the thread asks to run at once. It is several times what the system
// gives to those that ask for nothing (base_slice_ns, up to 3 ms); the most is 100 ms.
const slice = 20 * time.Millisecond

func giveWay() (end func()) {
	runtime.LockOSThread()
	setSlice(slice)
	return func() {
		setSlice(0) // the system's own: Go may run anything on the thread from now on
		runtime.UnlockOSThread()
	}
}

// setSlice changes the slice of the calling thread. What the system does not grant stays
// as it was: vectors are made all the same.
func setSlice(d time.Duration) {
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil || a.Policy != unix.SCHED_NORMAL && a.Policy != unix.SCHED_BATCH {
		return // under the others it is a budget, and not ours to set
	}
	a.Runtime = uint64(d)
	_ = unix.SchedSetAttr(0, a, 0)
}
