package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// VerifyDir verifies a data directory that no process has open, also one that
// does not open: it looks at FORMAT, the note of the last close, the version
// history, the logs and the tables, file by file, and then, when the store opens
// for reading, at all that Verify does. It changes nothing. The error says that
// it could not be done (ErrInUse, ErrNotData, ErrTooNew); what is wrong with the
// data is in the report. fs is vfs.Default when nil.
func VerifyDir(ctx context.Context, dir string, fs vfs.FS) (Report, error) {
	if fs == nil {
		fs = vfs.Default
	}
	r := VerifyOptions{}.report()
	err := checkFormat(fs, dir, true)
	if memory.KindOf(err) == memory.KindCorrupt {
		r.addFile(fs.PathJoin(dir, formatFile), err)
		err = nil
	}
	if err != nil {
		return r, err
	}
	opens, err := verifyFiles(ctx, fs, dir, &r)
	if err != nil || !opens || !r.formatSound() {
		return r, err
	}
	return r, verifyOpened(ctx, fs, dir, &r)
}

func (r *Report) formatSound() bool {
	for _, f := range r.Findings {
		if strings.HasSuffix(f.File, formatFile) {
			return false
		}
	}
	return true
}

// verifyFiles looks at each file; opens is false when a log or the history is
// damaged, so that what is read next would not be what was written.
func verifyFiles(ctx context.Context, fs vfs.FS, dir string, r *Report) (opens bool, err error) {
	store := fs.PathJoin(dir, storeDir)
	if _, err := fs.Stat(store); err != nil {
		r.addFile(store, err)
		return false, nil
	}
	lock, err := pebble.LockDirectory(store, fs)
	if err != nil {
		return false, openError(dir, err)
	}
	defer lock.Close()
	damage, err := fileDamage(fs, dir)
	if err != nil {
		return false, err
	}
	for _, e := range damage {
		r.addFile(dir, e)
	}
	return len(damage) == 0, verifyTableFiles(ctx, fs, store, r)
}

// fileDamage is what checkFiles stops at, all of it.
func fileDamage(fs vfs.FS, dir string) ([]error, error) {
	damage, err := checkLogs(fs, dir)
	if err != nil {
		return nil, openError(dir, err)
	}
	note, closed, err := readNote(fs, dir)
	if err != nil {
		return append(damage, err), nil
	}
	if closed {
		damage = append(damage, checkNote(fs, dir, note)...)
	}
	return damage, nil
}

func verifyTableFiles(ctx context.Context, fs vfs.FS, store string, r *Report) error {
	names, err := fs.List(store)
	if err != nil {
		return openError(store, err)
	}
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !strings.HasSuffix(n, ".sst") {
			continue
		}
		r.Tables++
		path := fs.PathJoin(store, n)
		if err := openTable(ctx, fs, path, (*sstable.Reader).ValidateBlockChecksums); err != nil {
			r.addFile(path, err)
		}
	}
	return nil
}

func verifyOpened(ctx context.Context, fs vfs.FS, dir string, r *Report) error {
	s, err := Open(dir, Options{FS: fs, ReadOnly: true})
	if err != nil && (memory.KindOf(err) == memory.KindCorrupt || errors.Is(err, os.ErrNotExist)) {
		r.addFile(dir, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open for verification: %w", err)
	}
	v, err := s.View()
	if err == nil {
		err = v.verify(ctx, r)
		v.Close()
	}
	return errors.Join(err, s.Close())
}
