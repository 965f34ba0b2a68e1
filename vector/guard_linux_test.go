package vector

import (
	"testing"

	"golang.org/x/sys/unix"
)

// No kernel reads or writes beyond its slices: each slice ends where a page ends
// that may be touched, before one that may not.
func TestStaysInside(t *testing.T) {
	const pages, pageBytes = 600, 4096
	const each = pages * pageBytes
	all, err := unix.Mmap(-1, 0, 12*(each+pageBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	}()
	for i := range 12 {
		guard := all[i*(each+pageBytes)+each:][:pageBytes]
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	compareLevels(t, func(n int) []byte {
		next = (next + 1) % 12 // an operation has fewer than 12 slices
		end := next*(each+pageBytes) + each
		return all[end-n : end : end]
	}, sizes())
}
