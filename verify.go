package engram

import (
	"context"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// VerifyReport is what a verification read and found: each finding names the
// file and offset, or the space, the key and the LSN or ordinal.
type VerifyReport = store.Report

// VerifyFinding is one thing that is wrong.
type VerifyFinding = store.Finding

// Verify reads everything that is stored as it stands: every block of every
// table, every record, payload and key; it replays each space's journal and
// compares what comes out with the state. Writers do not wait. The error says
// that it could not be done; what is wrong with the data is in the report.
func (db *DB) Verify(ctx context.Context) (VerifyReport, error) {
	r, err := db.shard.Verify(ctx, store.VerifyOptions{})
	return r, memory.InOp("verify", err)
}

// VerifyDir verifies a data directory that no process has open, also one that
// does not open; it changes nothing.
func VerifyDir(ctx context.Context, dir string, o Options) (VerifyReport, error) {
	r, err := store.VerifyDir(ctx, dir, o.FS)
	return r, memory.InOp("verify", err)
}
