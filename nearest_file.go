package engram

import (
	"bufio"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// The vector index of a large space is saved in a file of its own beside the
// snapshot, DIR/index/SPACE.LSN.near, and that of its passages in another
// (passages_file.go). Both are read where they lie: the heap holds codes and links, the
// system's page cache the vectors. The snapshot names the files that belong to it, which
// may be older: slots never change their vectors, so what came and went since is read
// from the store. A small space has no such file.

// nearWorth is from how many vectors on an index is worth a file: fewer are read from
// the store in less time than their links are missed.
const nearWorth = 4096

// nearShare is the share of an index's vectors that may have come, or got their links,
// since the last file before a new one is written.
const nearShare = 4

// nearEnding is how the names of these files end.
const nearEnding = ".near"

// nearFile says where the vectors of an index lie.
type nearFile struct {
	lsn    memory.LSN // of the file that fits the slots; 0: there is none
	puts   uint32     // how many vectors the index had got when the file was begun
	tail   int        // how many had no links then
	mapped *nearMap
}

// nearMap is the mapping in which an index reads. It is closed when the index is
// garbage: whoever searches holds the index.
type nearMap struct {
	mu sync.Mutex
	of *store.Mapping
}

// swap puts a mapping in the place of one that is not read any more.
func (m *nearMap) swap(of *store.Mapping) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of != nil {
		_ = m.of.Close() // it was only read
	}
	m.of = of
}

func nearName(id memory.SpaceID, lsn memory.LSN) string { return snapshotName(id, lsn) + nearEnding }

// lies makes an index's vectors lie in a mapping from now on. The caller holds the
// tower's mu.
func (f *nearFile) lies(g *ann.Graph, m *store.Mapping, was nearFile) {
	if f.mapped == nil {
		f.mapped = new(nearMap)
		runtime.AddCleanup(g, func(m *nearMap) { m.swap(nil) }, f.mapped)
	}
	f.mapped.swap(m)
	f.lsn, f.puts, f.tail = was.lsn, was.puts, was.tail
}

// fileOf is what a file of an index that stands now says of it.
func fileOf(g *ann.Graph, lsn memory.LSN) nearFile {
	return nearFile{lsn: lsn, puts: g.Puts(), tail: g.Tail()}
}

// outgrown says whether an index is worth another file than it has, or had: an erasure
// takes the file away, and is not to have all of it written again each time.
func (f *nearFile) outgrown(g *ann.Graph) bool {
	worth := g.Len() / nearShare
	return g.Len() >= nearWorth && (g.Puts()-f.puts >= uint32(worth) || f.tail-g.Tail() >= worth)
}

// lacks says whether an index is worth a file and has none that will do.
func (f *nearFile) lacks(g *ann.Graph) bool {
	return f.outgrown(g) || f.lsn == 0 && g.Len() >= nearWorth
}

// A nearKind is one of the indexes of a space that have files. The caller of its
// functions holds the tower's mu.
type nearKind struct {
	ending string
	graph  func(*tower) *ann.Graph // nil: there is none
	file   func(*tower) *nearFile
	save   func(*tower) *ann.Saving
}

var nearKinds = []nearKind{
	{nearEnding, func(t *tower) *ann.Graph { return t.vectors }, func(t *tower) *nearFile { return &t.near }, func(t *tower) *ann.Saving { return t.vectors.Saving() }},
	{partsEnding, (*tower).passageGraph, func(t *tower) *nearFile { return &t.parts }, func(t *tower) *ann.Saving { return t.passages.Saving() }},
}

// openVectors fills the indexes of vectors and of passages, when the slots stand: from the
// files that the snapshot names and the store, else from the store.
func (t *tower) openVectors(ctx context.Context, v *store.View) error {
	if t.vectors == nil && t.next == nil {
		return nil
	}
	if err := t.openNearest(ctx, v); err != nil {
		return err
	}
	err := t.openPassages(ctx, v)
	t.noteVectors()
	return opening(ctx, err)
}

func (t *tower) openNearest(ctx context.Context, v *store.View) error {
	if t.next != nil {
		return t.openBoth(ctx, v)
	}
	wanted := t.wantVectors()
	if t.near.lsn != 0 {
		err := t.openNear(ctx, v, wanted)
		if err == nil || ctx.Err() != nil || isCode(err, "vector_memory_full") {
			t.noteVectors()
			return opening(ctx, err)
		}
		t.space.db.opts.Logger.Warn("the vector index is built from the store", "space", t.space.name, "reason", err)
		t.newVectors()
	}
	if err := t.space.db.roomForVectors(vectorBytes(wanted, t.st.Settings.Vector.Dimension, false)); err != nil {
		return err
	}
	err := t.readVectors(ctx, v)
	t.noteVectors()
	return err
}

func (t *tower) newVectors() {
	set := t.st.Settings.Vector
	t.vectors, t.near = ann.NewGraph(set.Dimension, set.Metric), nearFile{}
}

// wantVectors counts the living slots that have a vector.
func (t *tower) wantVectors() (n int) {
	for slot := range t.at {
		if t.wantsVector(uint32(slot)) {
			n++
		}
	}
	return n
}

func (t *tower) wantsVector(slot uint32) bool {
	if int(slot) >= len(t.at) || t.at[slot] == 0 {
		return false
	}
	row, ok := t.facets.At(slot)
	return ok && row.Died == 0
}

// openNear reads the file, and brings the index to what stands.
func (t *tower) openNear(ctx context.Context, v *store.View, wanted int) error {
	db, set := t.space.db, t.st.Settings.Vector
	lsn := t.near.lsn
	if err := db.roomForVectors(vectorBytes(wanted, set.Dimension, true)); err != nil {
		return err
	}
	m, err := store.Map(db.opts.FS, db.opts.FS.PathJoin(db.indexDir(), nearName(t.space.id, lsn)))
	if err != nil {
		return err
	}
	g, err := ann.LoadGraph(m.Bytes, set.Dimension, set.Metric)
	if err != nil {
		return errors.Join(err, m.Close())
	}
	t.vectors, t.near = g, nearFile{}
	t.near.lies(g, m, fileOf(g, lsn))
	if err := t.mendVectors(ctx, v); err != nil {
		return err
	}
	db.run.startUnlessClosing("verify vectors", func() { t.verifyNear(nearName(t.space.id, lsn)) })
	return nil
}

// mendVectors takes out of the index what does not stand any more, and puts in what
// is missing.
func (t *tower) mendVectors(ctx context.Context, v *store.View) error {
	var missing []uint32
	stands := 0
	for slot := range t.facets.Next() {
		switch wants, has := t.wantsVector(slot), t.vectors.Has(slot); {
		case wants && has:
			stands++
		case wants:
			missing = append(missing, slot)
		case has:
			t.vectors.Delete(slot)
		}
	}
	if t.vectors.Len() != stands {
		return errors.New("the file has vectors of other slots")
	}
	if len(missing) > stands {
		return t.readVectors(ctx, v) // one sweep is less
	}
	dimension := t.st.Settings.Vector.Dimension
	for i, slot := range missing {
		if i%followStep == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row, _ := t.facets.At(slot)
		vector, err := v.Vector(t.space.id, row.Ordinal, t.at[slot])
		if err != nil {
			return err
		}
		if len(vector) == dimension {
			t.vectors.Put(slot, vector)
		}
	}
	return nil
}

// verifyNear checks the vectors in a file against their sums, beside calls: answers
// may be given from them meanwhile, but no file that is damaged stays in use.
func (t *tower) verifyNear(name string) {
	db, set := t.space.db, t.st.Settings.Vector
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	db.run.start("verify vectors stop", func() {
		select {
		case <-db.run.stop:
		case <-t.gone:
		case <-stopped:
		}
		cancel()
	})
	m, err := store.Map(db.opts.FS, db.opts.FS.PathJoin(db.indexDir(), name))
	if err != nil {
		return // removed by now
	}
	defer m.Close()
	if err := ann.Verify(ctx, m.Bytes, set.Dimension, set.Metric); !errors.Is(err, ann.ErrCorrupt) {
		return
	}
	db.opts.Logger.Error("the file of a vector index is damaged; it is built anew", "space", t.space.name, "file", name)
	if err := db.removeSnapshots(t.space.id); err != nil {
		db.opts.Logger.Error("a damaged file was not removed", "space", t.space.name, "error", err)
	}
	db.towers.discardTower(t)
}

// saveNear writes the files of the indexes of which enough has come since the last ones,
// and lets the indexes read in them. The caller holds the database's saving. Writers, who
// put and delete and make links, go on meanwhile: a file is of when it was begun.
func (t *tower) saveNear() error {
	for i := range nearKinds {
		if err := t.saveNearOf(&nearKinds[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tower) saveNearOf(kind *nearKind) error {
	index, saving, file := t.beginNear(kind)
	if saving == nil {
		return nil
	}
	fs := t.space.db.opts.FS
	path := fs.PathJoin(t.space.db.indexDir(), snapshotName(t.space.id, file.lsn)+kind.ending)
	err := writeNear(fs, path, saving, t.mu.RLocker())
	if errors.Is(err, ann.ErrChanging) {
		return nil // the older file will do until there is less to do
	}
	if err != nil {
		return err
	}
	m, err := store.Map(fs, path)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind.graph(t) != index { // the space has gone over to another model
		return m.Close()
	}
	if err := index.Adopt(m.Bytes); err != nil {
		return errors.Join(err, m.Close())
	}
	kind.file(t).lies(index, m, file)
	t.noteVectors()
	return nil
}

// beginNear begins a file of an index as it is at an LSN; no saving when the old one will
// do.
func (t *tower) beginNear(kind *nearKind) (*ann.Graph, *ann.Saving, nearFile) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	index := kind.graph(t)
	if index == nil || !kind.file(t).lacks(index) {
		return nil, nil, nearFile{}
	}
	return index, kind.save(t), fileOf(index, t.applied)
}

// filesOutgrown says whether an index is worth another file than it has; closing, whether
// it is worth one and has none. The caller holds mu.
func (t *tower) filesOutgrown(closing bool) bool {
	for _, kind := range nearKinds {
		if index := kind.graph(t); index != nil && (kind.file(t).outgrown(index) || closing && kind.file(t).lacks(index)) {
			return true
		}
	}
	return false
}

// writeNear puts the file there whole or not at all, and ends the saving.
func writeNear(fs vfs.FS, path string, saving *ann.Saving, lock sync.Locker) error {
	f, err := createNear(fs, path+".tmp")
	if err != nil {
		saving.End(lock)
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = saving.Write(w, lock)
	if err == nil {
		err = errors.Join(w.Flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(path+".tmp", path)
	}
	if err != nil {
		return errors.Join(err, fs.Remove(path+".tmp"))
	}
	return nil
}

func createNear(fs vfs.FS, name string) (vfs.File, error) {
	if err := fs.MkdirAll(fs.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return fs.Create(name, vfs.WriteCategoryUnspecified)
}

// isNear says whether a name is of such a file.
func isNear(name string) bool { return strings.HasSuffix(name, nearEnding) }
