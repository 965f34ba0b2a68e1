package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// closedFile is the note that Close leaves and the next Open takes away: which
// files the store consists of, how long they are, and for all but the tables
// (which carry checksums) what they hold.
//
// It is there because Pebble cannot tell a log that lost its end from one that
// was being written when the power went, and reads a damaged version history
// (MANIFEST) as far as it is whole: after either, acknowledged records are gone
// without a word. With the note nothing can be missing after a clean close;
// without it checkLogs looks as closely as a torn end and syncedFile allow.
const closedFile = "CLOSED"

type closedNote struct {
	Files []closedEntry `json:"files"`
}

type closedEntry struct {
	Name string `json:"name"` // FORMAT, or inside store/
	Size int64  `json:"size"`
	Sum  string `json:"sum,omitempty"` // xxhash64 of the content; none for tables
}

// writeNote leaves the note. When it fails there is none, and the directory is
// read as after a crash.
func writeNote(fs vfs.FS, dir string) error {
	note, err := describe(fs, dir)
	if err != nil {
		return err
	}
	body := must(json.Marshal(note))
	return writeFile(fs, dir, closedFile, fmt.Appendf(body, "\n%016x\n", xxhash.Sum64(body)))
}

func describe(fs vfs.FS, dir string) (note closedNote, err error) {
	names, err := fs.List(fs.PathJoin(dir, storeDir))
	if err != nil {
		return note, err
	}
	paths := []string{formatFile}
	for _, n := range names {
		if n != "LOCK" {
			paths = append(paths, fs.PathJoin(storeDir, n))
		}
	}
	for _, p := range paths {
		e, err := describeFile(fs, dir, p)
		if err != nil {
			return note, err
		}
		note.Files = append(note.Files, e)
	}
	return note, nil
}

func describeFile(fs vfs.FS, dir, name string) (e closedEntry, err error) {
	info, err := fs.Stat(fs.PathJoin(dir, name))
	if err != nil {
		return e, err
	}
	e = closedEntry{Name: name, Size: info.Size()}
	if strings.HasSuffix(name, ".sst") {
		return e, nil
	}
	b, err := readFile(fs, fs.PathJoin(dir, name))
	e.Sum = fmt.Sprintf("%016x", xxhash.Sum64(b))
	return e, err
}

// readNote gives the note; found is false after a crash.
func readNote(fs vfs.FS, dir string) (note closedNote, found bool, err error) {
	path := fs.PathJoin(dir, closedFile)
	b, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return note, false, nil
	}
	if err != nil {
		return note, false, openError(dir, err)
	}
	body, sum, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), "\n")
	if sum != fmt.Sprintf("%016x", xxhash.Sum64String(body)) || json.Unmarshal([]byte(body), &note) != nil {
		return note, false, damagedFile(path, 0, errors.New("its checksum does not match")).
			Hinted("run `engram verify`; when it finds nothing else, remove the file")
	}
	return note, true, nil
}

// checkNote compares the directory with the note and lists what differs.
func checkNote(fs vfs.FS, dir string, note closedNote) (damage []error) {
	for _, want := range note.Files {
		path := fs.PathJoin(dir, want.Name)
		got, err := describeFile(fs, dir, want.Name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			damage = append(damage, damagedFile(path, 0, errors.New("it is missing")))
		case err != nil:
			damage = append(damage, damagedFile(path, 0, err))
		case got.Size != want.Size:
			damage = append(damage, damagedFile(path, min(got.Size, want.Size), fmt.Errorf("it has %d bytes and had %d when the store was closed", got.Size, want.Size)))
		case got.Sum != want.Sum:
			damage = append(damage, damagedFile(path, 0, errors.New("its bytes are not those of when the store was closed")))
		}
	}
	return damage
}

// checkFiles looks at what Pebble would pass over, before it opens the store:
// afterwards it may have removed files that a damaged history does not name.
// The lock of the directory is held.
func checkFiles(fs vfs.FS, dir string) error {
	note, closed, err := readNote(fs, dir)
	if err != nil {
		return err
	}
	var damage []error
	if closed {
		damage = checkNote(fs, dir, note)
	} else {
		damage, err = checkLogs(fs, dir)
	}
	if err != nil {
		return openError(dir, err)
	}
	if len(damage) > 0 {
		return damage[0]
	}
	return nil
}

// dropNote takes the note away for good before the store changes.
func dropNote(fs vfs.FS, dir string) error {
	err := fs.Remove(fs.PathJoin(dir, closedFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		return openError(dir, err)
	}
	return nil
}

// checkLogs looks at the journal's log files and the version history of a store
// that was not closed cleanly.
func checkLogs(fs vfs.FS, dir string) (damage []error, err error) {
	store := fs.PathJoin(dir, storeDir)
	names, err := fs.List(store)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	manifest := ""
	if desc, err := pebble.Peek(store, fs); err != nil {
		return append(damage, damagedFile(store, 0, err)), nil
	} else if desc.Exists {
		manifest = fs.PathBase(desc.ManifestFilename)
	}
	logs := logNumbers(names)
	if manifest == "" && len(logs) > 0 {
		return append(damage, damagedFile(fs.PathJoin(store, "marker.manifest"), 0, errors.New("it is missing, so that the tables are not known"))), nil
	}
	needed, synced := uint64(0), readSynced(fs, dir)
	if manifest != "" {
		number, _ := historyNumber(manifest)
		damage = append(damage, checkMarkers(fs, store, names)...)
		damage = checkLog(damage, fs, fs.PathJoin(store, manifest), func(b []byte) *tear {
			needed = firstLog(b)
			return ofHistory(synced, number).check(scanHistory(b), len(b))
		})
	}
	if newest := synced[syncedLog]; manifest != "" && newest.number >= needed && newest.length > 0 && !slices.Contains(logs, newest.number) {
		e := damagedFile(fs.PathJoin(store, fmt.Sprintf("%06d.log", newest.number)), 0, fmt.Errorf("it is missing: %d bytes of it were on disk", newest.length))
		damage = append(damage, e.Hinted("restore a backup; or, to go on without what stood in it, remove the file %s", fs.PathJoin(dir, syncedFile)))
	}
	for i, n := range logs {
		if n < needed {
			continue
		}
		last := i == len(logs)-1
		damage = checkLog(damage, fs, fs.PathJoin(store, fmt.Sprintf("%06d.log", n)), func(b []byte) *tear {
			t := scanLog(b, uint32(n), last)
			if n == synced[syncedLog].number {
				t = synced[syncedLog].check(t, len(b))
			}
			return t
		})
	}
	return damage, nil
}

// checkMarkers looks at the small files round the tables, whose damage Pebble
// reports without saying where.
func checkMarkers(fs vfs.FS, store string, names []string) (damage []error) {
	marked, tables := false, false
	for _, n := range names {
		marked = marked || strings.HasPrefix(n, "marker.format-version.")
		tables = tables || strings.HasSuffix(n, ".sst")
		if !strings.HasPrefix(n, "OPTIONS-") {
			continue
		}
		path := fs.PathJoin(store, n)
		b, err := readFile(fs, path)
		if err == nil {
			err = new(pebble.Options).Parse(string(b), &pebble.ParseHooks{SkipUnknown: func(_, _ string) bool { return true }})
		}
		if err != nil {
			damage = append(damage, damagedFile(path, 0, err).Hinted("the file only notes the settings of the last run: it can be removed"))
		}
	}
	if tables && !marked {
		damage = append(damage, damagedFile(fs.PathJoin(store, "marker.format-version"), 0, errors.New("it is missing")))
	}
	return damage
}

func checkLog(damage []error, fs vfs.FS, path string, scan func([]byte) *tear) []error {
	b, err := readFile(fs, path)
	if err != nil {
		return append(damage, damagedFile(path, 0, err))
	}
	if t := scan(b); t != nil && t.damage {
		e := damagedFile(path, int64(t.at), errors.New(t.why))
		return append(damage, e.Hinted("restore a backup; or, to go on without what stood behind it, cut the file to %d bytes and remove the file %s", t.at, syncedFile))
	}
	return damage
}

func damagedFile(path string, offset int64, cause error) *memory.Error {
	e := memory.Errorf(memory.KindCorrupt, "corrupt", "the file %s is damaged at offset %d: %v", path, offset, cause)
	e.Cause = cause
	return e.With("file", path).With("offset", offset).
		Hinted("keep the directory as it is; run `engram verify`, or restore a backup")
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// writeFile puts a file there whole or not at all.
func writeFile(fs vfs.FS, dir, name string, b []byte) error {
	path := fs.PathJoin(dir, name)
	tmp := path + ".tmp"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	return err
}

// makeDir makes a directory and those above it, and makes their names durable:
// without that a power cut can take the whole store along.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
