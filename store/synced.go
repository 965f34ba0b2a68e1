package store

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// syncedFile says how far the newest log and the newest version histories are on disk.
//
// It is there because nothing in them vouches for their own end: what was synced last is
// acknowledged, and a file that lost it looks as if it had never been written. So
// behind each sync, and before the write is acknowledged, it is noted here how long the
// file is. The note itself is not synced each time, which would make a write wait for
// the disk twice; it says less than is true, never more:
//
//   - A process that is killed leaves all of it with the kernel: nothing that was
//     acknowledged can be missing without a word.
//   - When the power goes, it is as old as the kernel's last writing back (some 30 s on
//     Linux), but for the first sync of each log, with which it is synced. What was
//     acknowledged since is as safe as ever; only if its end is cut off besides, by
//     whatever else, nothing tells.
//
// docs/format/store.md draws it.
const syncedFile = "SYNCED"

// extent is a file of a number that has been on disk up to a length.
type extent struct{ number, length uint64 }

// The slots of the file: the newest log, and two histories, as a new one is complete
// before it counts.
const (
	syncedLog     = 0
	syncedHistory = 1
	syncedSlots   = 3
	syncedSlot    = 24 // bytes: number, length, xxhash64 of both and the slot; little endian
)

func (e extent) encode(slot int) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, syncedSlot), e.number)
	b = binary.LittleEndian.AppendUint64(b, e.length)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(append(b, byte(slot))))
}

// parseSynced reads what is there; a slot that was half written says nothing.
func parseSynced(b []byte) (slots [syncedSlots]extent) {
	for i := range slots {
		if len(b) < (i+1)*syncedSlot {
			break
		}
		part := b[i*syncedSlot:]
		e := extent{binary.LittleEndian.Uint64(part), binary.LittleEndian.Uint64(part[8:])}
		if string(e.encode(i)) == string(part[:syncedSlot]) {
			slots[i] = e
		}
	}
	return slots
}

// readSynced reads the note; without one it says nothing of any file.
func readSynced(fs vfs.FS, dir string) [syncedSlots]extent {
	b, err := readFile(fs, fs.PathJoin(dir, syncedFile))
	if err != nil {
		return [syncedSlots]extent{} // a store of before, or that file is what is damaged
	}
	return parseSynced(b)
}

// ofHistory is what is noted of the history of a number; zero when nothing is.
func ofHistory(slots [syncedSlots]extent, number uint64) extent {
	for _, e := range slots[syncedHistory:] {
		if e.number == number {
			return e
		}
	}
	return extent{}
}

// check compares what a scan of the file has found with what was on disk.
func (e extent) check(t *tear, size int) *tear {
	switch {
	case t != nil && t.damage:
		return t
	case t != nil && uint64(t.at) < min(e.length, uint64(size)):
		return &tear{t.at, true, fmt.Sprintf("what stands there was on disk: the file was, up to offset %d", e.length)}
	case uint64(size) < e.length:
		return &tear{size, true, fmt.Sprintf("it ends there and has been longer: %d bytes of it were on disk", e.length)}
	}
	return t
}

// syncedNote is the note as it is written.
type syncedNote struct {
	log   *slog.Logger
	mu    sync.Mutex
	file  vfs.File // nil: it could not be written, and stays as it is
	slots [syncedSlots]extent
}

// openSynced opens the note, or makes an empty one.
func openSynced(fs vfs.FS, dir string, log *slog.Logger) (*syncedNote, error) {
	n := &syncedNote{log: log, slots: readSynced(fs, dir)}
	path := fs.PathJoin(dir, syncedFile)
	if _, err := fs.Stat(path); err != nil {
		if err := writeFile(fs, dir, syncedFile, make([]byte, syncedSlots*syncedSlot)); err != nil {
			return nil, err
		}
	}
	var err error
	n.file, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	return n, err
}

func (n *syncedNote) close() error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file = nil
	return err
}

// put notes a length in a slot. A note that cannot be written is no reason to refuse
// what is on disk: it says less than is true from there on.
func (n *syncedNote) put(slot int, e extent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return
	}
	fresh := n.slots[slot].number != e.number
	n.slots[slot] = e
	_, err := n.file.WriteAt(e.encode(slot), int64(slot*syncedSlot))
	if err == nil && fresh {
		err = n.file.SyncData()
	}
	if err != nil {
		n.log.Warn("store: it cannot be noted how far the log is on disk", "error", err)
		_ = n.file.Close()
		n.file = nil
	}
}

// historySlot is the slot of a history: the one of the older, when it is a new one.
func (n *syncedNote) historySlot(number uint64) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	older := syncedHistory
	for i := syncedHistory; i < syncedSlots; i++ {
		if n.slots[i].number == number {
			return i
		}
		if n.slots[i].number < n.slots[older].number {
			older = i
		}
	}
	return older
}

// watch gives the file that notes its syncs, when it is a log or a history.
func (n *syncedNote) watch(base string, f vfs.File) vfs.File {
	if digits, ok := strings.CutSuffix(base, ".log"); ok {
		if number, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return &watchedFile{File: f, note: n, number: number, slot: syncedLog}
		}
	}
	if number, ok := historyNumber(base); ok {
		return &watchedFile{File: f, note: n, number: number, slot: n.historySlot(number)}
	}
	return f
}

func historyNumber(base string) (uint64, bool) {
	digits, ok := strings.CutPrefix(base, "MANIFEST-")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, ok && err == nil
}

// watchedFile is a new file that is written from its beginning on.
type watchedFile struct {
	vfs.File
	note   *syncedNote
	number uint64
	slot   int
	length atomic.Uint64
}

func (f *watchedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.length.Add(uint64(n))
	return n, err
}

func (f *watchedFile) Sync() error     { return f.synced(f.File.Sync) }
func (f *watchedFile) SyncData() error { return f.synced(f.File.SyncData) }

func (f *watchedFile) synced(sync func() error) error {
	length := f.length.Load() // before: what is written meanwhile may not be on disk
	err := sync()
	if err == nil {
		f.note.put(f.slot, extent{f.number, length})
	}
	return err
}
