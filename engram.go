package engram

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// DB is an open database: a map from the names of spaces to their towers. It
// is safe for concurrent use.
type DB struct {
	dir    string
	opts   Options
	shard  *store.Shard
	run    runner
	jobs   jobs
	models models
	calls  calls
	keys   keyring // API keys; follows space 0 like spaces
	// widening of the words of cues; nil: they are not widened.
	widening *widening

	// spaces follows the records of space 0, once they are on disk. Lock
	// order: spaces, then towers, then a tower's own.
	spaces struct {
		sync.RWMutex
		byName map[memory.SpaceName]*Space
		byID   map[memory.SpaceID]*Space
	}
	towers  towers
	vectors vectorMemory
	pasts   pasts
	// saving is held while a snapshot of any tower is written or removed, so that
	// an erasure never races with a save of what it erases.
	saving sync.Mutex
	// relinks is held while a relink is started, so that a space has one.
	relinks sync.Mutex
}

// DefaultSpace is made in an empty data directory.
const DefaultSpace memory.SpaceName = "default"

// Open opens the database in dir, and makes it when the directory is empty or
// missing; a new one has the space "default". It returns a memory.Error with
// code data_in_use when another process has it open, format_too_new when a
// newer release wrote it, corrupt when a file is damaged.
func Open(ctx context.Context, dir string, o Options) (*DB, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, memory.InOp("open", err)
	}
	db := &DB{dir: dir, opts: o}
	if db.widening, err = findWidening(o); err != nil {
		return nil, memory.InOp("open", err)
	}
	db.run.init()
	db.jobs.init(o.Clock)
	db.towers.init()
	db.vectors.init(o.VectorMemory)
	db.pasts.init()
	db.spaces.byName = make(map[memory.SpaceName]*Space)
	db.spaces.byID = make(map[memory.SpaceID]*Space)
	db.shard, err = store.Open(dir, store.Options{
		FS: o.FS, Clock: o.Clock, Log: o.Logger, Go: db.run.start, Publish: db.published, Fatal: o.Fatal,
		CacheBytes: o.CacheBytes, ReserveBytes: uint64(max(o.ReserveBytes, 0)), ReadOnly: o.ReadOnly,
	})
	if err != nil {
		return nil, memory.InOp("open", err)
	}
	if err := db.start(ctx); err != nil {
		_ = db.Close() // the first error is the one to tell
		return nil, memory.InOp("open", err)
	}
	return db, nil
}

// start learns the spaces and finishes what the last process left undone.
func (db *DB) start(ctx context.Context) error {
	v, err := db.shard.View()
	if err != nil {
		return err
	}
	defer v.Close()
	if err := db.models.load(db, v); err != nil {
		return err
	}
	err = v.Spaces("", func(st *store.SpaceState) (bool, error) {
		db.know(st)
		return true, nil
	})
	if err == nil {
		err = db.keys.load(db, v)
	}
	if err != nil || db.opts.ReadOnly {
		return err
	}
	db.sweepModelFiles()
	m, err := v.Meta(0)
	if err != nil {
		return err
	}
	if m.LSN == 0 {
		if _, _, err := db.CreateSpace(ctx, DefaultSpace, memory.Settings{}); err != nil {
			return err
		}
	}
	dropping, err := v.Dropping()
	if err != nil {
		return err
	}
	for _, st := range dropping {
		db.startDrop(st)
	}
	db.run.start("follow", db.follow)
	db.run.start("embed", db.embedAll)
	db.run.start("associate", db.associateAll)
	db.run.start("link vectors", db.linkAll)
	db.resumeReembeds()
	db.run.start("housekeeping", db.keepHouse)
	return nil
}

// know makes a space, or new settings of one, known to every door.
func (db *DB) know(st *store.SpaceState) {
	db.spaces.Lock()
	defer db.spaces.Unlock()
	s := db.spaces.byID[st.ID]
	if s == nil {
		s = &Space{db: db, id: st.ID, name: st.Name}
		db.spaces.byName[st.Name], db.spaces.byID[st.ID] = s, s
	}
	s.state.Store(st)
}

// Close waits for running writes, saves the indexes and closes the files.
// Calls that come later fail with unavailable, a second Close too.
func (db *DB) Close() error {
	if !db.run.stopping() {
		return memory.InOp("close", store.ErrClosed)
	}
	db.jobs.cancelAll()
	db.towers.closeAll(db)
	db.pasts.dropAll()
	err := db.shard.Close()
	db.run.wait()
	if err != nil {
		return memory.InOp("close", err)
	}
	return nil
}

// Now is the time by the database's clock.
func (db *DB) Now() time.Time { return db.opts.Clock.Now().UTC() }

// SyncBuckets are the upper bounds, in seconds, by which Stats.SyncCounts counts.
var SyncBuckets = store.SyncBuckets

// Stats are the database's own figures, for metrics.
type Stats struct {
	store.Stats
	Spaces     int
	OpenSpaces int
	OpenBound  int
	Tail       int // changes that wait for indexes, over all open spaces
	TailBound  int // of one space
	IndexBytes int64
	Vectors    VectorStats
	Pasts      PastStats
}

// Stats reads the figures; it is cheap.
func (db *DB) Stats() Stats {
	s := Stats{Stats: db.shard.Stats(), OpenBound: db.opts.MaxOpenSpaces, TailBound: db.opts.TailBound}
	db.spaces.RLock()
	s.Spaces = len(db.spaces.byName)
	db.spaces.RUnlock()
	s.Vectors, s.Pasts = db.vectors.stats(), db.pasts.stats(db.opts.Pasts)
	for _, t := range db.towers.open() {
		s.OpenSpaces++
		s.Tail += t.tail()
		if t.isOpen() {
			waits, _ := t.waiting()
			s.Vectors.Tail += waits
			s.Vectors.Delayed += t.delayed()
		}
	}
	return s
}

// Ready says whether the database takes requests; the error says why not.
func (db *DB) Ready() error {
	if db.run.closing() {
		return store.ErrClosed
	}
	return nil
}

// runner starts every goroutine of the database and waits for them in Close.
type runner struct {
	group sync.WaitGroup
	mu    sync.Mutex
	stop  chan struct{} // closed when the database closes
	ended bool
}

func (r *runner) init() { r.stop = make(chan struct{}) }

// start runs f; name is for whoever reads a dump of goroutines.
func (r *runner) start(_ string, f func()) {
	r.group.Add(1)
	go func() {
		defer r.group.Done()
		f()
	}()
}

// startUnlessClosing is start for work that a caller asks for, which must not
// begin once Close waits: f is not run then, and the answer is false.
func (r *runner) startUnlessClosing(name string, f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.start(name, f)
	}
	return !r.ended
}

// stopping tells all that the database closes; false when it did so before.
func (r *runner) stopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.ended = true
	close(r.stop)
	return true
}

func (r *runner) closing() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *runner) wait() { r.group.Wait() }

func (db *DB) String() string { return fmt.Sprintf("engram.DB(%s)", db.dir) }
