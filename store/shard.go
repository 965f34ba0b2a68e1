package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// Format is the version of the layout that this release writes. A directory of
// a newer one is refused; older ones open for ever (testdata/format).
const Format = 1

// pebbleFormat pins Pebble's own format, so that a new library does not make a
// directory unreadable for the release before it.
const pebbleFormat = pebble.FormatWALSyncChunks

// Options of a shard. Zero means the default.
type Options struct {
	FS    vfs.FS       // default vfs.Default
	Clock clock.Clock  // default clock.System
	Log   *slog.Logger // default none
	// Go starts a goroutine that ends before Close returns; default the go statement.
	Go func(name string, f func())
	// Publish gets the records of each group after it is on disk and before it is
	// acknowledged, in LSN order, on the committing goroutine: it must be quick
	// and must not call Commit.
	Publish func([]Published)
	// Fatal is told of a failed write or fsync: what is on disk is unknown then,
	// so it must end the process and is never retried. Default: os.Exit(1). When a
	// log cannot be ended or the next one begun, Pebble itself ends the process, by
	// a panic.
	Fatal        func(error)
	CacheBytes   int64  // block cache; default 64 MiB
	MemTable     uint64 // bytes of a memtable; default 16 MiB
	ReserveBytes uint64 // free disk below which writes are refused; 0: no reserve
	QueueBound   int    // writes that may wait; default 4,096
	ReadOnly     bool
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Go == nil {
		o.Go = func(_ string, f func()) { go f() }
	}
	if o.Publish == nil {
		o.Publish = func([]Published) {}
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) {
			fmt.Fprintln(os.Stderr, "engram: fatal:", err)
			os.Exit(1)
		}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTable == 0 {
		o.MemTable = 16 << 20
	}
	if o.QueueBound == 0 {
		o.QueueBound = 4096
	}
	return o
}

// Shard is one Pebble with one committing goroutine, for many spaces. It is
// safe for concurrent use.
type Shard struct {
	dir     string
	opts    Options
	db      *pebble.DB
	queue   chan *request
	later   later         // writes that can wait for a sync of others
	stop    chan struct{} // closed by Close: the committer takes what waits and ends
	syncing chan *group   // written, in order, for finish
	ahead   atomic.Int32  // groups that are passed to finish and have not ended
	ended   chan struct{} // closed by finish, when the committer has ended and all is answered

	closing atomic.Bool
	sending sync.RWMutex            // held for reading while a request is put into queue
	metas   map[memory.SpaceID]Meta // owned by the committer
	wiping  sync.Mutex              // one erasure works on the tables at a time
	dropped map[memory.SpaceID]bool // owned by the committer: spaces that take no write any more
	cleaned chan struct{}           // holds a value when files were removed since it was last emptied
	lock    *pebble.Lock
	synced  *syncedNote // nil when it is opened for reading
	stats   counters
	fatal   atomic.Pointer[error]
	readers pins
}

// storeDir is where Pebble's files lie inside the data directory.
const storeDir = "store"

// Open opens the shard in dir and makes it when the directory is missing or
// empty. Errors: ErrInUse, ErrTooNew, ErrNotData, ErrCorrupt.
func Open(dir string, o Options) (*Shard, error) {
	o = o.withDefaults()
	if err := checkFormat(o.FS, dir, o.ReadOnly); err != nil {
		return nil, err
	}
	s := &Shard{dir: dir, opts: o, queue: make(chan *request, o.QueueBound), later: newLater(o.QueueBound), stop: make(chan struct{}), ended: make(chan struct{}), syncing: make(chan *group, groupsAhead),
		metas: make(map[memory.SpaceID]Meta), dropped: make(map[memory.SpaceID]bool), cleaned: make(chan struct{}, 1)}
	if err := s.openFiles(); err != nil {
		return nil, err
	}
	o.Go("commit", s.run)
	o.Go("sync", s.finish)
	return s, nil
}

// openFiles takes the lock before it looks: the files of a store that another
// process writes look torn.
func (s *Shard) openFiles() error {
	fs, path := s.opts.FS, s.opts.FS.PathJoin(s.dir, storeDir)
	if !s.opts.ReadOnly {
		if err := makeDir(fs, path); err != nil {
			return openError(s.dir, err)
		}
	}
	lock, err := pebble.LockDirectory(path, fs)
	if err != nil {
		return openError(s.dir, err)
	}
	s.lock = lock
	if err = s.openLocked(path); err != nil {
		return errors.Join(err, s.synced.close(), lock.Close())
	}
	return nil
}

func (s *Shard) openLocked(path string) error {
	if err := checkFiles(s.opts.FS, s.dir); err != nil {
		return err
	}
	if !s.opts.ReadOnly {
		if err := checkWritable(s.opts.FS, s.dir); err != nil {
			return err
		}
		if err := dropNote(s.opts.FS, s.dir); err != nil {
			return err
		}
		synced, err := openSynced(s.opts.FS, s.dir, s.opts.Log)
		if err != nil {
			return openError(s.dir, err)
		}
		s.synced = synced
	}
	o := s.pebbleOptions()
	o.Lock = s.lock
	db, err := openPebble(path, o)
	if err != nil {
		return openError(s.dir, err)
	}
	s.db = db
	s.readers.init(db)
	if err := s.findDropped(); err != nil {
		s.readers.close()
		return errors.Join(err, db.Close())
	}
	return nil
}

// checkWritable makes a file and removes it: Pebble does not return the error of
// a directory that it may not write, it ends the process.
func checkWritable(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, storeDir, "probe.tmp")
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Close(), fs.Remove(path))
	}
	if err != nil {
		return openError(dir, err)
	}
	return nil
}

// openPebble turns a panic into damage: Pebble's reading of logs and histories
// panics on some bytes that it never wrote.
func openPebble(path string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		db, err = nil, fmt.Errorf("%w: %v", pebble.ErrCorruption, r)
		var ofRuntime runtime.Error
		if e, ok := r.(error); ok && !errors.As(e, &ofRuntime) {
			err = e // what the file system said
		}
	}()
	return pebble.Open(path, o)
}

func (s *Shard) findDropped() error {
	v, err := s.View()
	if err != nil {
		return err
	}
	defer v.Close()
	all, err := v.Dropping()
	for _, st := range all {
		s.dropped[st.ID] = true
	}
	return err
}

// bloomFilter: new ids are looked up before they are stored.
var bloomFilter = bloom.FilterPolicy(10)

func (s *Shard) pebbleOptions() *pebble.Options {
	o := s.opts
	p := &pebble.Options{
		FS: freshFS{o.FS, s.synced}, CacheSize: o.CacheBytes, MemTableSize: o.MemTable, MemTableStopWritesThreshold: 6,
		FormatMajorVersion: pebbleFormat, ReadOnly: o.ReadOnly, Logger: pebbleLog{s}, MaxOpenFiles: 1000,
		Cleaner: remover{}, L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 64 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloomFilter
	}
	p.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) { o.Log.Error("store: background error", "error", err) },
		// A damaged block is the answer of the read that met it; by default Pebble
		// ends the process.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			o.Log.Error("store: damaged table", "file", i.Path, "error", i.Details)
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) { s.stats.stalled.Store(true) },
		WriteStallEnd:   func() { s.stats.stalled.Store(false) },
		TableDeleted:    func(pebble.TableDeleteInfo) { s.noteCleaned() },
		WALDeleted:      func(pebble.WALDeleteInfo) { s.noteCleaned() },
	}
	return p
}

// noteCleaned wakes an erasure that waits for files to be removed.
func (s *Shard) noteCleaned() {
	select {
	case s.cleaned <- struct{}{}:
	default:
	}
}

// Close waits for the writes that were accepted and for the views that are
// open, and closes the files. It is an error to call it twice.
func (s *Shard) Close() error {
	s.sending.Lock()
	s.closing.Store(true)
	s.sending.Unlock()
	close(s.stop)
	<-s.ended
	s.wiping.Lock() // an erasure stops at its next look at closing
	defer s.wiping.Unlock()
	s.readers.close()
	err := errors.Join(s.db.Close(), s.synced.close())
	if err == nil && !s.opts.ReadOnly && s.fatal.Load() == nil {
		// Without a note the directory is read as after a crash, so a disk that is
		// too full for it is no reason to fail.
		_ = writeNote(s.opts.FS, s.dir)
	}
	if err := errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Checkpoint makes a copy of the store in dir by hard links; writers do not wait.
func (s *Shard) Checkpoint(dir string) error {
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	return nil
}

// formatFile says which release may read the directory.
const formatFile = "FORMAT"

type formatNote struct {
	Format int    `json:"format"`
	About  string `json:"about"`
}

// checkFormat refuses a directory that is newer or not ours, and marks an empty one.
func checkFormat(fs vfs.FS, dir string, readOnly bool) error {
	path := fs.PathJoin(dir, formatFile)
	f, err := fs.Open(path)
	if err == nil {
		defer f.Close()
		return readFormat(f, path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return openError(dir, err)
	}
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return openError(dir, err)
	}
	for _, n := range names {
		if n != formatFile+".tmp" && n != "lost+found" {
			e := *ErrNotData
			e.Message = fmt.Sprintf("the directory %s is not empty (it has %q) and has no %s file: it is not one of Engram's", dir, n, formatFile)
			return (&e).Hinted("name an empty directory, or the one that engram made")
		}
	}
	if readOnly {
		e := *ErrNotData
		e.Message = fmt.Sprintf("the directory %s holds no database, and it is opened for reading only", dir)
		return &e
	}
	return writeFormat(fs, dir)
}

func readFormat(r io.Reader, path string) error {
	var n formatNote
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil || n.Format < 1 {
		return memory.Errorf(memory.KindCorrupt, "corrupt", "%s is damaged: it does not name a format", path).
			Hinted(`when the rest of the directory is sound, write {"format": %d} into it`, Format)
	}
	if n.Format > Format {
		e := *ErrTooNew
		e.Message = fmt.Sprintf("%s names format %d; this release reads formats up to %d", path, n.Format, Format)
		return (&e).Hinted("use the release that wrote the directory, or a newer one")
	}
	return nil
}

func writeFormat(fs vfs.FS, dir string) error {
	err := makeDir(fs, dir)
	if err == nil {
		err = writeFile(fs, dir, formatFile, append(must(json.Marshal(formatNote{Format, "a data directory of Engram; keep this file"})), '\n'))
	}
	if errors.Is(err, os.ErrNotExist) {
		return memory.Invalid("data_not_writable", "", "the data directory %s cannot be made: %v", dir, err)
	}
	if err != nil {
		return openError(dir, err)
	}
	return nil
}

// pebbleLog passes Pebble's words on. Fatalf is called when a write or a sync
// of the log has failed: nothing may be acknowledged from there on.
type pebbleLog struct{ s *Shard }

func (l pebbleLog) Infof(format string, args ...any) {
	l.s.opts.Log.Debug("store", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.opts.Log.Error("store", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.s.fatal.Store(&err)
	l.s.opts.Log.Error("store: fatal", "error", err)
	l.s.opts.Fatal(err)
}

// counters are read without a lock.
type counters struct {
	groups, records atomic.Uint64
	stalled         atomic.Bool
	sync            syncTimes
}

// Stats of a shard.
type Stats struct {
	Groups, Records  uint64
	Waiting, Bound   int
	Stalled          bool
	SyncCounts       []uint64 // groups by SyncBuckets, then the rest
	SyncSeconds      float64  // sum
	DiskFree         uint64
	DiskUsed         uint64
	CacheHits        int64
	CacheMisses      int64
	Compactions      int64
	MemTableBytes    uint64
	Tables           int64
	ReserveBytes     uint64
	OpenSnapshots    int
	WriteAmplifyPart float64 // bytes written by flushes and compactions per byte given
}

// Stats reads the figures.
func (s *Shard) Stats() Stats {
	m := s.db.Metrics()
	st := Stats{Groups: s.stats.groups.Load(), Records: s.stats.records.Load(), Waiting: len(s.queue) + len(s.later.queue), Bound: cap(s.queue),
		Stalled: s.stats.stalled.Load(), DiskUsed: m.DiskSpaceUsage(), CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
		Compactions: m.Compact.Count, MemTableBytes: m.MemTable.Size, ReserveBytes: s.opts.ReserveBytes, OpenSnapshots: s.readers.open()}
	st.SyncCounts, st.SyncSeconds = s.stats.sync.read()
	total := m.Total()
	st.Tables, st.WriteAmplifyPart = total.TablesCount, total.WriteAmp()
	if u, err := s.opts.FS.GetDiskUsage(s.dir); err == nil {
		st.DiskFree = u.AvailBytes
	}
	return st
}

// SpaceBytes estimates what a space takes on disk.
func (s *Shard) SpaceBytes(space memory.SpaceID) (uint64, error) {
	from := key(space, 0)[:4]
	n, err := s.db.EstimateDiskUsage(from, prefixEnd(from))
	if err != nil {
		return 0, fmt.Errorf("estimate the bytes of space %d: %w", space, err)
	}
	return n, nil
}

// checkReserve refuses writes while the disk is nearly full: Pebble does not
// fail on a full disk, it stalls and retries, and then reads suffer too.
func (s *Shard) checkReserve() error {
	if s.opts.ReserveBytes == 0 {
		return nil
	}
	u, err := s.opts.FS.GetDiskUsage(s.dir)
	if err != nil || u.AvailBytes >= s.opts.ReserveBytes {
		return nil // a file system that cannot say is no reason to refuse
	}
	e := *ErrDiskFull
	e.Message = fmt.Sprintf("the disk has %d bytes free, below the reserve of %d: writes are refused, reads go on", u.AvailBytes, s.opts.ReserveBytes)
	return (&e).Hinted("free some disk or make it larger; writes go on by themselves then").With("free", u.AvailBytes).With("reserve", s.opts.ReserveBytes)
}

func (s *Shard) aborted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closing.Load() {
		return ErrClosed
	}
	return nil
}
