//go:build unix

package tensors

import (
	"fmt"
	"syscall"
)

// Map maps so many bytes of an open file for reading: they take no memory until they are read, and the system may take
// it back. The file may be closed afterwards, and removed; it must not be cut short, or reading ends the process. unmap
// ends the mapping: nobody reads the bytes then.
func Map(fd uintptr, size int) (b []byte, unmap func(), err error) {
	b, err = syscall.Mmap(int(fd), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map a file: %w", err)
	}
	return b, func() { _ = syscall.Munmap(b) }, nil // it was mapped, so it can be unmapped
}
