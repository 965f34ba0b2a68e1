package engram

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// Options of a database. The zero value of each field means its default; Open
// fills them in and checks them once.
type Options struct {
	// FS is the file system; default the operating system's.
	FS vfs.FS
	// Clock tells the time; default the system's.
	Clock clock.Clock
	// Logger gets what operators should know; default none. It never gets the
	// words of a memory.
	Logger *slog.Logger
	// Fatal is told of a failed write or fsync, after which nothing is known of
	// what is on disk; it must end the process. Default os.Exit(1).
	Fatal func(error)
	// CacheBytes bounds the block cache; default 64 MiB.
	CacheBytes int64
	// ReserveBytes is the free disk below which writes are refused with
	// disk_full, while reads go on: the store stalls on a disk that is really
	// full. Default 256 MiB; negative: no reserve.
	ReserveBytes int64
	// MaxOpenSpaces bounds how many spaces have their indexes in memory;
	// default 512. The one that was used least recently closes first.
	MaxOpenSpaces int
	// IdleClose is how long an unused space keeps its indexes in memory;
	// default 10 minutes.
	IdleClose time.Duration
	// TailBound is how many acknowledged changes of a space may wait for its
	// indexes; a writer beyond it does the indexing first. Default 1,000.
	TailBound int
	// VectorMemory bounds what the indexes of vectors take in memory, over all open
	// spaces: a write or an opening that would pass it is refused with
	// vector_memory_full, after spaces that nobody uses were closed. Default 4 GiB.
	VectorMemory int64
	// VectorTail is how many vectors of a space may wait for their links; a writer
	// beyond it makes links first. Default: as many as a search compares in 2 ms, some
	// 100,000 of 768 numbers.
	VectorTail int
	// WalkWindow is how long a page walk sees what was ended after it began;
	// default 15 minutes.
	WalkWindow time.Duration
	// DefaultModel makes the vectors of new spaces whose settings say nothing about
	// vectors; a name that package embed knows. Default none.
	DefaultModel string
	// Thesaurus widens the words of cues by near ones, in spaces of its language: a
	// name that package embed knows, such as "static" (English) of embed/static, which
	// adds 8 MB to a program. Default none.
	Thesaurus string
	// AutoLinks lets the engine make links by itself (package graph/rules), and
	// recall use them. Default off.
	AutoLinks bool
	// Pasts is how many earlier states keep indexes for questions about them
	// (memory.AsOf); default 4. One that nobody asks about for IdleClose goes.
	Pasts int
	// PastMemories bounds the memories of an earlier state that indexes are made for: a
	// question about a larger one is refused with as_of_too_large. Default 1,000,000.
	PastMemories int
	// ReadOnly opens without writing; every write is refused.
	ReadOnly bool
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		v *int
		n int
	}{{&o.MaxOpenSpaces, 512}, {&o.TailBound, 1000}, {&o.Pasts, 4}, {&o.PastMemories, 1_000_000}} {
		if *d.v == 0 {
			*d.v = d.n
		}
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 256 << 20
	}
	if o.VectorMemory == 0 {
		o.VectorMemory = 4 << 30
	}
	if o.IdleClose == 0 {
		o.IdleClose = 10 * time.Minute
	}
	if o.WalkWindow == 0 {
		o.WalkWindow = 15 * time.Minute
	}
	if o.CacheBytes < 0 || o.MaxOpenSpaces < 1 || o.TailBound < 1 || o.IdleClose < 0 || o.WalkWindow < 0 || o.VectorMemory < 0 || o.VectorTail < 0 || o.Pasts < 1 || o.PastMemories < 1 {
		return o, memory.Invalid("option_out_of_range", "options", "options: CacheBytes, MaxOpenSpaces, TailBound, IdleClose, WalkWindow, VectorMemory, VectorTail, Pasts and PastMemories are positive")
	}
	return o, nil
}
