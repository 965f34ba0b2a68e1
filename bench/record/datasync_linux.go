package record

import (
	"os"
	"syscall"
)

// datasync is what the store's log does after each group.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
