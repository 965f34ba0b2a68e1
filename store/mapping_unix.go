//go:build unix

package store

import "golang.org/x/sys/unix"

func mapFile(fd uintptr, n int) ([]byte, bool) {
	b, err := unix.Mmap(int(fd), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	return b, err == nil // where it cannot be mapped, it is read
}

func unmapFile(b []byte) error { return unix.Munmap(b) }
