package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// Errors that callers act on; errors.Is matches them by code.
var (
	ErrInUse        = memory.Errorf(memory.KindUnavailable, "data_in_use", "another process has the data directory open")
	ErrTooNew       = memory.Errorf(memory.KindPrecondition, "format_too_new", "the data directory was written by a newer release")
	ErrNotData      = memory.Errorf(memory.KindInvalid, "not_a_data_directory", "the directory is not one of Engram's")
	ErrDiskFull     = memory.Errorf(memory.KindDiskFull, "disk_full", "the free disk is below the reserve")
	ErrBusy         = memory.Errorf(memory.KindBusy, "commit_queue_full", "the commit queue is full")
	ErrClosed       = memory.Errorf(memory.KindUnavailable, "closed", "the database is closed")
	ErrReadOnly     = memory.Errorf(memory.KindUnavailable, "read_only", "the database is open for reading only")
	ErrCorrupt      = memory.Errorf(memory.KindCorrupt, "corrupt", "stored bytes are damaged")
	ErrMismatch     = memory.Errorf(memory.KindConflict, "idempotency_mismatch", "the idempotency key was used with another body")
	ErrBeyond       = memory.Errorf(memory.KindGone, "beyond_horizon", "the journal no longer reaches back that far")
	ErrDropped      = memory.NotFound("space_not_found", "the space is dropped")
	ErrRecordTooBig = memory.Errorf(memory.KindTooLarge, "record_too_large", "the write does not fit one record")
)

// corrupt names damaged state by space, thing and number (an LSN or an ordinal).
func corrupt(space memory.SpaceID, what string, number uint64, cause error) error {
	e := memory.Errorf(memory.KindCorrupt, "corrupt", "space %d: %s %d is damaged: %v", space, what, number, cause)
	e.Cause = cause
	return e.Hinted("run `engram verify` on the data directory; restore from a backup what it names")
}

// readError wraps what Pebble says of a read; a checksum that does not match
// is corrupt and names the key.
func readError(k []byte, err error) error {
	if !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read key %s: %w", hex.EncodeToString(k), err)
	}
	e := memory.Errorf(memory.KindCorrupt, "corrupt", "a stored table is damaged at key %s: %v", hex.EncodeToString(k), err)
	e.Cause = err
	return e.Hinted("run `engram verify` on the data directory; restore from a backup what it names")
}

// openError says what an error of Pebble's Open means to an operator.
func openError(dir string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "lock held by") || strings.Contains(text, "resource temporarily unavailable"):
		e := *ErrInUse
		e.Message = fmt.Sprintf("the data directory %s is in use: another process holds its lock", dir)
		e.Cause = err
		return (&e).Hinted("stop the other process, or talk to it with --server")
	case strings.Contains(text, "unknown format major version"):
		e := *ErrTooNew
		e.Message = fmt.Sprintf("the data directory %s was written by a newer release: %v", dir, err)
		e.Cause = err
		return (&e).Hinted("use the release that wrote the directory, or a newer one")
	case strings.Contains(text, "not a directory"):
		return memory.Invalid("not_a_data_directory", "", "%s is a file; the database is a directory", dir)
	case memory.KindOf(err) == memory.KindCorrupt:
		return err
	case pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, os.ErrNotExist):
		e := memory.Errorf(memory.KindCorrupt, "corrupt", "the data directory %s is damaged: %v", dir, err)
		e.Cause = err
		return e.Hinted("keep the directory as it is; run `engram verify`, or restore a backup")
	case strings.Contains(text, "permission denied") || strings.Contains(text, "read-only file system"):
		e := memory.Errorf(memory.KindInvalid, "data_not_writable", "the data directory %s cannot be written: %v", dir, err)
		e.Cause = err
		return e.Hinted("give the user that runs engram the right to write there")
	}
	return fmt.Errorf("open store in %s: %w", dir, err)
}
