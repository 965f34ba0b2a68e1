package load

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// timers are those of the system that nobody waits for: *os.File.
var timers sync.Pool

// sleep waits for a timer of the system as for a connection. One that cannot be had is
// made up for by the runtime's.
func sleep(d time.Duration) {
	f, _ := timers.Get().(*os.File)
	if f == nil {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			time.Sleep(d)
			return
		}
		f = os.NewFile(uintptr(fd), "timer") // its descriptor does not block: reads wait in the runtime's poller
	}
	defer timers.Put(f)
	c, err := f.SyscallConn()
	if err == nil {
		_ = c.Control(func(fd uintptr) {
			err = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
		})
	}
	var times [8]byte
	if err == nil {
		_, err = f.Read(times[:])
	}
	if err != nil {
		time.Sleep(d)
	}
}
