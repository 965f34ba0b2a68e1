package store_test

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/store"
)

// A mapping has the file's bytes, its own copy of what is written to them, and
// outlives the file's name.
func TestMap(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fs.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := fs.PathJoin(dir, "f")
			want := bytes.Repeat([]byte("engram"), 5000)
			for _, b := range [][]byte{nil, want} {
				f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Write(bytes.Clone(b)); err != nil { // the disk in memory scrambles what it was given under the race detector
					t.Fatal(err)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				m, err := store.Map(fs, path)
				if err != nil || !bytes.Equal(m.Bytes, b) {
					t.Fatalf("%d bytes of %d, %v", len(m.Bytes), len(b), err)
				}
				if len(b) > 0 {
					m.Bytes[0] = 'x'
				}
				again, err := store.Map(fs, path)
				if err != nil || !bytes.Equal(again.Bytes, b) {
					t.Errorf("the file has changed with the mapping, or %v", err)
				}
				if err := fs.Remove(path); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(again.Bytes, b) {
					t.Error("the bytes went with the name")
				}
				for range 2 {
					if err := m.Close(); err != nil {
						t.Error(err)
					}
				}
				if err := again.Close(); err != nil {
					t.Error(err)
				}
			}
			if _, err := store.Map(fs, path); err == nil {
				t.Error("a file that is not there was mapped")
			}
		})
	}
}
