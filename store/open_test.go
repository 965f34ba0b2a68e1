package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// tightFS reports how much disk is free.
type tightFS struct {
	vfs.FS
	free atomic.Uint64
}

func (f *tightFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 40}, nil
}

func TestFullDisk(t *testing.T) {
	fs := &tightFS{FS: vfs.NewMem()}
	fs.free.Store(1 << 30)
	o := small(fs)
	o.ReserveBytes = 1 << 20
	s := open(t, "d", o)
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	keyed := func(i int) *Write {
		return &Write{Space: space, Keyed: true, Key: DigestKey([]byte{byte(i)}), Decide: create(memory.ID(fmt.Sprint("m", i)), episode("text", nil))}
	}
	if _, err := s.Commit(bg, keyed(1)); err != nil {
		t.Fatal(err)
	}
	fs.free.Store(1<<20 - 1)
	_, err := s.Commit(bg, keyed(2))
	if !errors.Is(err, ErrDiskFull) || memory.KindOf(err) != memory.KindDiskFull {
		t.Errorf("a full disk gives %v", err)
	}
	var e *memory.Error
	if errors.As(err, &e) && (!e.Retriable || e.Hint == "" || e.Details["free"] != uint64(1<<20-1)) {
		t.Errorf("the error says too little: %+v", e)
	}
	if c, err := s.Commit(bg, keyed(1)); err != nil || !c.Replayed {
		t.Errorf("the repeat of an answered write gives %+v, %v", c, err)
	}
	v := view(t, s)
	if n, err := v.Lookup(space, "m1"); err != nil || n == nil {
		t.Errorf("reads do not go on: %v", err)
	}
	v.Close()
	fs.free.Store(1 << 20)
	if _, err := s.Commit(bg, keyed(2)); err != nil {
		t.Errorf("writes do not go on: %v", err)
	}
}

func TestInUse(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.NewMem(), vfs.Default} {
		dir := filepath.Join(t.TempDir(), "deep", "d")
		s := open(t, dir, small(fs))
		for _, readOnly := range []bool{false, true} {
			o := small(fs)
			o.ReadOnly = readOnly
			_, err := Open(dir, o)
			if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "another process") {
				t.Errorf("a second open gives %v", err)
			}
		}
		if _, err := VerifyDir(bg, dir, fs); !errors.Is(err, ErrInUse) {
			t.Errorf("VerifyDir of an open directory gives %v", err)
		}
		closed(t, s)
		closed(t, open(t, dir, small(fs)))
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name, format string
		want         error
		kind         memory.ErrorKind
	}{
		{"newer", `{"format": 2}`, ErrTooNew, memory.KindPrecondition},
		{"damaged", `{"form`, ErrCorrupt, memory.KindCorrupt},
		{"empty", ``, ErrCorrupt, memory.KindCorrupt},
		{"zero", `{"format": 0}`, ErrCorrupt, memory.KindCorrupt},
	} {
		fs := vfs.NewMem()
		closed(t, open(t, "d", small(fs)))
		if err := fs.Remove("d/CLOSED"); err != nil {
			t.Fatal(err)
		}
		rewriteFile(t, fs, "d/FORMAT", func([]byte) []byte { return []byte(c.format) })
		_, err := Open("d", small(fs))
		if !errors.Is(err, c.want) || memory.KindOf(err) != c.kind || !strings.Contains(err.Error(), "FORMAT") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestForeignDirectory(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("d/holiday.jpg", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		o := small(fs)
		o.ReadOnly = readOnly
		if _, err := Open("d", o); !errors.Is(err, ErrNotData) || !strings.Contains(err.Error(), "holiday.jpg") {
			t.Errorf("a foreign directory gives %v", err)
		}
	}
	if names, _ := fs.List("d"); len(names) != 1 {
		t.Errorf("something was written into it: %v", names)
	}
	o := small(fs)
	o.ReadOnly = true
	if _, err := Open("nowhere", o); !errors.Is(err, ErrNotData) {
		t.Errorf("no directory, read only, gives %v", err)
	}
}

// deniedFS is a file system that may not be written.
type deniedFS struct{ vfs.FS }

func (f deniedFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrPermission}
}

func TestNotWritable(t *testing.T) {
	fs := vfs.NewMem()
	closed(t, open(t, "d", small(fs)))
	for _, dir := range []string{"d", "new"} {
		_, err := Open(dir, small(deniedFS{fs}))
		var e *memory.Error
		if !errors.As(err, &e) || e.Code != "data_not_writable" || !strings.Contains(e.Message, dir) {
			t.Errorf("%s: %v", dir, err)
		}
		if err := fs.MkdirAll("d", 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "d", small(fs))
	space := mustSpace(t, s, "s")
	must1(t, s, space, create("a", episode("text", nil)))
	want := digest(t, s, space)
	closed(t, s)
	o := small(fs)
	o.ReadOnly = true
	for range 2 { // it changes nothing, so that it opens again
		s = open(t, "d", o)
		if got := digest(t, s, space); got != want {
			t.Error("it reads another state")
		}
		sound(t, s)
		if _, err := do(s, space, create("b", episode("text", nil))); !errors.Is(err, ErrReadOnly) {
			t.Errorf("a write gives %v", err)
		}
		if _, err := s.Truncate(bg, space, 1); !errors.Is(err, ErrReadOnly) {
			t.Errorf("a truncation gives %v", err)
		}
		closed(t, s)
	}
	s = open(t, "d", small(fs))
	if got := digest(t, s, space); got != want {
		t.Error("the state has changed")
	}
	closed(t, s)
}

// TestCutAtCreation cuts the power while the directory is made: it can be opened
// again, or made anew.
func TestCutAtCreation(t *testing.T) {
	for n := int64(1); ; n++ {
		disk := vfs.NewCrashableMem()
		var left *vfs.MemFS
		var count atomic.Int64
		fs := hookFS(disk, func() {
			if count.Add(1) == n {
				left = disk.CrashClone(vfs.CrashCloneCfg{})
			}
		})
		closed(t, open(t, "deep/d", small(fs)))
		if left == nil {
			if n < 20 {
				t.Errorf("only %d operations", n)
			}
			return
		}
		s, err := Open("deep/d", small(left))
		if err != nil {
			t.Fatalf("cut at operation %d: %v", n, err)
		}
		mustSpace(t, s, "s")
		closed(t, s)
	}
}

// TestDirectoryIsDurable cuts the power right after the first acknowledgement in
// a new directory: its name must have been synced too.
func TestDirectoryIsDurable(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := open(t, "a/b/c", small(disk))
	mustSpace(t, s, "s")
	left := disk.CrashClone(vfs.CrashCloneCfg{})
	closed(t, s)
	s = open(t, "a/b/c", small(left))
	defer closed(t, s)
	v := view(t, s)
	defer v.Close()
	if st, err := v.Space("s"); err != nil || st == nil {
		t.Errorf("the space is gone: %v", err)
	}
}
