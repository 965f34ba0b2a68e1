package sched

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGiveWay: the thread asks for a long slice, and for the system's own afterwards.
func TestGiveWay(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := sliceNow(t)
	if own == 0 {
		t.Skip("this system tells no slices: it is older than Linux 6.12")
	}
	for range 2 {
		end := GiveWay()
		if got := sliceNow(t); got != uint64(slice) {
			t.Errorf("the thread asks for %d ns at once, want %d", got, uint64(slice))
		}
		end()
		if got := sliceNow(t); got != own {
			t.Errorf("afterwards it asks for %d ns at once, want %d as before", got, own)
		}
	}
}

func sliceNow(t *testing.T) uint64 {
	t.Helper()
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Skipf("the system does not tell how threads are scheduled: %v", err)
	}
	return a.Runtime
}
