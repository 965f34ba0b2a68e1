package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/engramdb/engram/memory"
)

var errDisk = errors.New("the disk says no")

// script is a fixed run of writes with flushes between; it stops at the first
// error and gives what was acknowledged.
func script(s *Shard, flush func() error) (acked []memory.ID, space memory.SpaceID, err error) {
	if space, err = newSpace(s, "s"); err != nil {
		return nil, 0, err
	}
	for i := range 24 {
		id := memory.ID(fmt.Sprint("m", i))
		if _, err := do(s, space, create(id, episode(strings.Repeat("x", 500), nil))); err != nil {
			return acked, space, err
		}
		acked = append(acked, id)
		if i%8 == 7 && s.fatal.Load() == nil {
			if err := flush(); err != nil {
				return acked, space, err
			}
		}
	}
	return acked, space, nil
}

// TestDiskError fails each write, sync, creation and removal of the script in
// turn. When a commit fails the store has said that it is fatal; whatever
// failed, what was acknowledged is there after reopening. Left out is the change
// from one log to the next: there Pebble panics under its lock, which ends the
// process and cannot be caught.
func TestDiskError(t *testing.T) {
	total, _ := diskError(t, 0)
	fatal := 0
	for n := int64(1); n <= total; n += int64(brief(1, 3)) {
		_, isFatal := diskError(t, n)
		if isFatal {
			fatal++
		}
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
	}
	t.Logf("%d operations failed, %d of them were fatal", total, fatal)
	if fatal == 0 {
		t.Error("none was fatal")
	}
}

func diskError(t *testing.T, n int64) (ops int64, isFatal bool) {
	disk := vfs.NewCrashableMem()
	var count atomic.Int64
	var on, fatal, rotating atomic.Bool
	ended := make(chan struct{})
	var left atomic.Pointer[vfs.MemFS] // as the process leaves it
	on.Store(true)
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if rotating.Load() {
			return nil
		}
		if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && count.Add(1) == n {
			return errDisk
		}
		return nil
	})
	o := small(errorfs.Wrap(disk, inject))
	o.Fatal = func(error) {
		if !fatal.Swap(true) {
			left.CompareAndSwap(nil, disk.CrashClone(vfs.CrashCloneCfg{}))
			close(ended)
		}
	}
	s, err := Open("d", o)
	if err != nil {
		if !errors.Is(err, errDisk) {
			t.Errorf("open: %v", err)
		}
		return count.Load(), false
	}
	flush := func() error {
		rotating.Store(true)
		flushed, err := s.db.AsyncFlush()
		rotating.Store(false)
		if err != nil {
			return err
		}
		select {
		case <-flushed:
			return nil
		case <-ended: // a failed history ends the process too; the flush never does
			return errDisk
		}
	}
	acked, space, err := script(s, flush)
	if err != nil && !fatal.Load() {
		t.Errorf("it is not fatal: %v", err)
	}
	if fatal.Load() {
		if _, _, err := script(s, flush); err == nil {
			t.Error("a write is taken after a fatal error")
		}
	}
	ops = count.Load()
	on.Store(false)
	if fatal.Load() {
		<-ended
	}
	left.CompareAndSwap(nil, disk.CrashClone(vfs.CrashCloneCfg{}))
	func() {
		defer func() { _ = recover() }() // the process would have ended
		_ = s.Close()
	}()
	s = open(t, "d", small(left.Load()))
	defer closed(t, s)
	v := view(t, s)
	defer v.Close()
	for _, id := range acked {
		if node, err := v.Lookup(space, id); err != nil || node == nil {
			t.Errorf("%s was acknowledged and is gone: %v", id, err)
		}
	}
	if rep, err := s.Verify(bg, VerifyOptions{MaxFindings: 3}); err != nil || !rep.Sound() {
		t.Error(said(rep, err))
	}
	return ops, fatal.Load()
}

// hookFS calls f before each operation that writes.
func hookFS(fs vfs.FS, f func()) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			f()
		}
		return nil
	}))
}
