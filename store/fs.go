package store

import (
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// freshFS is the file system that Pebble is given. It never writes over an old
// file: Pebble recycles its logs, and a recycled log holds, behind what is new,
// bytes of memories that may have been erased since. And it makes names durable
// before a marker says one of them: Pebble syncs the directory only afterwards,
// so that a power cut could leave the marker without the history that it names. And it
// has noted how far logs and histories are on disk; synced is nil when nothing is written.
type freshFS struct {
	vfs.FS
	synced *syncedNote
}

func (f freshFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.create(name, c)
}

func (f freshFS) create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || f.synced == nil {
		return file, err
	}
	return f.synced.watch(f.PathBase(name), file), nil
}

func (f freshFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.FS.Remove(oldname); err != nil {
		return nil, err
	}
	return f.create(newname, c)
}

// Unwrap gives the file system below.
func (f freshFS) Unwrap() vfs.FS { return f.FS }

// remover removes obsolete files at once. Pebble keeps a handful of flushed logs
// to recycle them, with all that was ever written to them, unless its cleaner
// says that it needs files as they are. Only ArchiveCleaner can say so, whose
// own Clean lies one level deeper here than DeleteCleaner's and is not called.
type remover struct {
	pebble.DeleteCleaner
	asTheyAre
}

type asTheyAre struct{ pebble.ArchiveCleaner }
