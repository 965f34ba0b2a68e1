package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Mapping is a file's bytes where they lie: memory for them is the system's to give
// and to take back. Writing to them changes this process's copy alone. On a file
// system that has no files of the system's they are read instead.
type Mapping struct {
	Bytes  []byte
	mapped bool
}

// Map maps a file. An empty one has no bytes. The file may be removed afterwards:
// its bytes stay until Close.
func Map(fs vfs.FS, name string) (*Mapping, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	n := int(info.Size())
	if n == 0 {
		return &Mapping{}, nil
	}
	if fd := f.Fd(); fd != vfs.InvalidFd {
		if b, ok := mapFile(fd, n); ok {
			return &Mapping{b, true}, nil
		}
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	return &Mapping{Bytes: b}, nil
}

// Close lets the bytes go; whoever reads them afterwards faults.
func (m *Mapping) Close() error {
	b := m.Bytes
	m.Bytes = nil
	if !m.mapped || b == nil {
		return nil
	}
	return unmapFile(b)
}
