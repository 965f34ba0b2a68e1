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
	store := fs.PathJoin(dir, storeDir)
	if err := verifyFiles(fs, dir, store, &r); err != nil {
		return r, err
	}
	if r.Sound() {
		if opens, err := verifyOpened(ctx, fs, dir, &r); opens || err != nil {
			return r, err
		}
	}
	return r, verifyTableFiles(ctx, fs, store, &r)
}

// verifyFiles looks at what is not a table. When a log or the history is damaged,
// what is read next would not be what was written.
func verifyFiles(fs vfs.FS, dir, store string, r *Report) error {
	if _, err := fs.Stat(store); err != nil {
		r.addFile(store, err)
		return nil
	}
	lock, err := pebble.LockDirectory(store, fs)
	if err != nil {
		return openError(dir, err)
	}
	defer lock.Close()
	damage, err := fileDamage(fs, dir)
	for _, e := range damage {
		r.addFile(dir, e)
	}
	return err
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

// verifyTableFiles looks at all tables of a store that does not open, also at
// those that belong to no version: a crash may have left one of these half
// written.
func verifyTableFiles(ctx context.Context, fs vfs.FS, store string, r *Report) error {
	names, err := fs.List(store)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
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

func verifyOpened(ctx context.Context, fs vfs.FS, dir string, r *Report) (opens bool, err error) {
	s, err := Open(dir, Options{FS: fs, ReadOnly: true})
	if memory.KindOf(err) == memory.KindCorrupt {
		r.addFile(dir, err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open for verification: %w", err)
	}
	all, err := s.Verify(ctx, VerifyOptions{MaxFindings: r.max})
	*r = all
	return true, errors.Join(err, s.Close())
}
