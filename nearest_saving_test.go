package engram_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// slowNear is a disk that stops at the first write into the file of an index until it
// is told to go on.
type slowNear struct {
	vfs.FS
	once    sync.Once
	stopped chan struct{}
	goOn    chan struct{}
}

func (s *slowNear) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err == nil && strings.HasSuffix(name, ".near.tmp") {
		f = &slowFile{f, s}
	}
	return f, err
}

type slowFile struct {
	vfs.File
	disk *slowNear
}

func (f *slowFile) Write(b []byte) (int, error) {
	f.disk.once.Do(func() {
		close(f.disk.stopped)
		<-f.disk.goOn
	})
	return f.File.Write(b)
}

// While the file of an index is written, however long the disk takes, writers and
// those who ask for what was just written go on, and links are made.
func TestNearestWhileSaved(t *testing.T) {
	disk := &slowNear{FS: vfs.NewMem(), stopped: make(chan struct{}), goOn: make(chan struct{})}
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	db := openWith(t, disk, engram.Options{Clock: clk, IdleClose: 1000 * time.Hour})
	s, w := spaceOf(t, db, "s", nearDimension), newNearWorld()
	recalled(t, s, memory.Cue{Vector: w.centres[0]}) // it is open from the start
	w.fill(t, s, 20_500)                             // so many are worth a snapshot while the space is open
	eventually(t, "housekeeping saves", func() bool {
		clk.Advance(time.Minute)
		select {
		case <-disk.stopped:
			return true
		default:
			return false
		}
	})
	before := db.Stats().Vectors.Linked
	w.fill(t, s, 300)
	for _, id := range []memory.ID{"v20500", "v20799"} {
		if got := recalled(t, s, memory.Cue{Vector: w.vectors[id], Limit: 1}); len(got) != 1 || got[0] != id {
			t.Errorf("%s is not found by its vector, but %v", id, got)
		}
	}
	eventually(t, "links are made meanwhile", func() bool { return db.Stats().Vectors.Linked > before })
	close(disk.goOn)
	eventually(t, "the file is there", func() bool { return len(nearFiles(t, disk)) == 1 })
	check(t, db.Close())
	db = openWith(t, disk, engram.Options{})
	s, err := db.Space("s")
	check(t, err)
	if got := recalled(t, s, memory.Cue{Vector: w.vectors["v20799"], Limit: 1}); len(got) != 1 || got[0] != "v20799" {
		t.Errorf("after a restart v20799 is not found, but %v", got)
	}
}
