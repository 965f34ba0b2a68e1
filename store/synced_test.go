package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// killed is a store of one space that was killed, and the names of its newest log and of
// its history.
func killed(t testing.TB, n int) (fs *vfs.MemFS, space memory.SpaceID, newest, history string) {
	t.Helper()
	fs = vfs.NewCrashableMem()
	s := open(t, "d", small(fs))
	space = mustSpace(t, s, "s")
	r := rand.New(rand.NewPCG(8, 8))
	for i := range n {
		must1(t, s, space, create(memory.ID(fmt.Sprint("m", i)), episode(words(r, 20), nil)))
	}
	cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
	closed(t, s)
	names, err := cut.List("d/store")
	if err != nil {
		t.Fatal(err)
	}
	logs := logNumbers(names)
	desc, err := pebble.Peek("d/store", cut)
	if err != nil {
		t.Fatal(err)
	}
	return cut, space, fmt.Sprintf("d/store/%06d.log", logs[len(logs)-1]), desc.ManifestFilename
}

// TestEndOfLog: after a kill nothing that was acknowledged is lost without a word, also
// what was synced last: the log or the history is cut anywhere, or has a sector of zeros
// at its end, or is removed.
func TestEndOfLog(t *testing.T) {
	fs, space, newest, history := killed(t, 12)
	change := func(path, what string, f func([]byte) []byte) {
		t.Helper()
		c := copyFS(t, fs)
		if f == nil {
			if err := c.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			rewriteFile(t, c, path, f)
		}
		if r, err := VerifyDir(bg, "d", c); err != nil || r.Sound() || !strings.Contains(said(r, nil), path) {
			t.Errorf("%s: VerifyDir says %q, %v", what, said(r, nil), err)
		}
		s, err := Open("d", small(c))
		if errors.Is(err, ErrCorrupt) && strings.Contains(err.Error(), path) {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		v := view(t, s)
		m, _ := v.Meta(space)
		v.Close()
		closed(t, s)
		t.Errorf("%s: it opens with %d of 12 records", what, m.LSN)
	}
	for _, path := range []string{newest, history} {
		b, err := readFile(fs, path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); at += brief(1, 7) {
			change(path, fmt.Sprintf("%s cut to %d of %d bytes", path, at, len(b)), func(b []byte) []byte { return b[:at] })
		}
		change(path, path+" with zeros at its end", func(b []byte) []byte {
			clear(b[max(0, len(b)-100):])
			return b
		})
	}
	change(newest, "no log", nil)
}

// TestSyncedAsTold: who does what the error says goes on with what is left.
func TestSyncedAsTold(t *testing.T) {
	fs, space, newest, _ := killed(t, 12)
	rewriteFile(t, fs, newest, func(b []byte) []byte { return b[:len(b)-10] })
	_, err := Open("d", small(fs))
	var e *memory.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "SYNCED") {
		t.Fatalf("%v, hint %q", err, e.Hint)
	}
	if err := fs.Remove("d/SYNCED"); err != nil {
		t.Fatal(err)
	}
	s := open(t, "d", small(fs))
	defer closed(t, s)
	v := view(t, s)
	defer v.Close()
	if m, err := v.Meta(space); err != nil || m.LSN != 11 {
		t.Errorf("%d records, %v; want 11", m.LSN, err)
	}
	must1(t, s, space, create("next", episode("goes on", nil)))
}

// TestSyncedFailing: a note that cannot be written, is half written or is gone keeps
// nobody from writing.
func TestSyncedFailing(t *testing.T) {
	for name, spoil := range map[string]func(vfs.FS){
		"gone":  func(fs vfs.FS) { _ = fs.Remove("d/SYNCED") },
		"empty": func(fs vfs.FS) { rewriteFile(t, fs, "d/SYNCED", func([]byte) []byte { return nil }) },
		"wrong": func(fs vfs.FS) {
			rewriteFile(t, fs, "d/SYNCED", func(b []byte) []byte {
				for i := range b {
					b[i] ^= 0x40
				}
				return b
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs, space, _, _ := killed(t, 3)
			spoil(fs)
			s := open(t, "d", small(fs))
			if err := s.synced.file.Close(); err != nil { // every write of it fails from here on
				t.Fatal(err)
			}
			s.synced.file = failingFile{s.synced.file}
			must1(t, s, space, create("next", episode("goes on", nil)))
			closed(t, s)
			if r, err := VerifyDir(bg, "d", fs); err != nil || !r.Sound() {
				t.Errorf("%s, %v", said(r, nil), err)
			}
		})
	}
}

type failingFile struct{ vfs.File }

func (failingFile) WriteAt([]byte, int64) (int, error) { return 0, errors.New("no") }
func (failingFile) Close() error                       { return nil }

func TestParseSynced(t *testing.T) {
	want := [syncedSlots]extent{{7, 4096}, {3, 100}, {1 << 40, 1 << 50}}
	var b []byte
	for i, e := range want {
		b = append(b, e.encode(i)...)
	}
	if got := parseSynced(b); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	for at := range b { // a slot that is damaged or cut says nothing, the others do
		x := append([]byte(nil), b...)
		x[at] ^= 1
		left := want
		left[at/syncedSlot] = extent{}
		if got := parseSynced(x); got != left {
			t.Errorf("damaged at %d: %v", at, got)
		}
		left = [syncedSlots]extent{}
		copy(left[:], want[:at/syncedSlot])
		if got := parseSynced(b[:at]); got != left {
			t.Errorf("cut at %d: %v", at, got)
		}
	}
}
