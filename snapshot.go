package engram

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
	"github.com/engramdb/engram/text"
)

// A snapshot is the indexes of a space at an LSN, in DIR/index/SPACE.LSN. It is
// drawn in docs/format/snapshot.md. It saves time and nothing else: one that is
// missing, damaged or of another format is passed over, and the indexes are
// built from the state. Vectors are not in it: a large space has them in files
// beside it (nearest_file.go), else they are read from the store.

// snapshotWorth is how many changes are worth a snapshot: fewer are followed
// from the journal, or built from the state, in less time than a file takes.
const snapshotWorth = 2000

// snapshotMagic ends with the version. One of version 2, which says nothing of passages, is
// still read.
var snapshotMagic = [8]byte{'E', 'N', 'G', 'R', 'A', 'M', 'S', 3}

const snapshotBefore = 2

// maxSnapshotSlots bounds what a damaged file can make us allocate.
const maxSnapshotSlots = 1 << 31

var errSnapshot = errors.New("snapshot is damaged")

// open fills the indexes: from the newest snapshot and the journal after it,
// else from the state.
func (t *tower) open(ctx context.Context) error {
	v, err := t.space.db.shard.View()
	if err != nil {
		return err
	}
	defer v.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(v); err != nil {
		t.space.db.opts.Logger.Info("indexes are built from the state", "space", t.space.name, "reason", err)
		t.clear()
		if err := t.build(ctx, v); err != nil {
			return err
		}
	}
	if err := t.noteGenerations(ctx, v); err != nil {
		return opening(ctx, err)
	}
	if err := t.openVectors(ctx, v); err != nil {
		return err
	}
	t.findMissing()
	return t.associate(ctx, v)
}

// load reads the newest snapshot and follows the journal after it.
func (t *tower) load(v *store.View) error {
	name, lsn := t.space.db.newestSnapshot(t.space.id)
	if name == "" {
		return errors.New("there is no snapshot")
	}
	m, err := v.Meta(t.space.id)
	if err != nil {
		return err
	}
	if lsn > m.LSN { // the store was put back to an older state, and this was not
		return errors.New("the snapshot is ahead of the journal")
	}
	if err := t.readSnapshot(name, lsn); err != nil {
		return err
	}
	t.leaveOthers()
	t.applied, t.saved = lsn, lsn
	t.loading = true // vectors are read in one sweep afterwards
	defer func() { t.loading = false }()
	return v.Records(t.space.id, lsn, func(r *store.Record) (bool, error) {
		return true, t.followRecord(v, r, nil)
	})
}

// build makes the indexes from the state: nodes and heads lie in the same order,
// so they are read in two sweeps, and words are taken apart side by side.
func (t *tower) build(ctx context.Context, v *store.View) error {
	m, err := v.Meta(t.space.id)
	if err != nil {
		return err
	}
	var nodes []*store.Node
	err = v.Nodes(t.space.id, 0, func(n *store.Node) (bool, error) {
		if n.Kind != memory.KindEntity {
			nodes = append(nodes, n)
		}
		return true, ctx.Err()
	})
	if err == nil {
		err = t.buildFrom(ctx, v, nodes)
	}
	if err != nil {
		return opening(ctx, err)
	}
	t.applied = m.LSN
	t.facets.Purge(m.LSN)
	return nil
}

// buildStep is how many memories are taken apart before they are indexed.
const buildStep = 1024

// buildFrom indexes the nodes, which are in the order of their heads.
func (t *tower) buildFrom(ctx context.Context, v *store.View, nodes []*store.Node) error {
	heads := make([][]byte, 0, buildStep)
	var failed error
	flush := func() bool {
		failed = t.buildPart(nodes[:len(heads)], heads)
		nodes, heads = nodes[len(heads):], heads[:0]
		return failed == nil
	}
	err := v.Heads(t.space.id, func(o memory.Ordinal, version uint32, b []byte) bool {
		if len(heads) == len(nodes) {
			return false
		}
		if n := nodes[len(heads)]; n.Ordinal != o || n.Version != version {
			return ctx.Err() == nil // of an earlier version, or of an entity
		}
		heads = append(heads, bytes.Clone(b))
		return len(heads) < buildStep || flush()
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	if !flush() {
		return failed
	}
	if len(nodes) > 0 && ctx.Err() == nil {
		return damaged(t.space, nodes[0], errors.New("it is missing"))
	}
	return ctx.Err()
}

func (t *tower) buildPart(nodes []*store.Node, heads [][]byte) error {
	parts := make([]*indexed, len(nodes))
	bad := make(map[int]error)
	prepareAll(len(nodes), func(i int) error {
		e, err := store.DecodeEpisode(heads[i])
		if err != nil {
			return damaged(t.space, nodes[i], err)
		}
		parts[i] = &indexed{episode: &e, document: t.analyzer.Analyze(e.Title, searched(&e))}
		return nil
	}, bad)
	for i, n := range nodes {
		if bad[i] != nil {
			return bad[i]
		}
		t.put(n, parts[i])
	}
	return nil
}

// opening turns the end of a context into what it means for an open.
func opening(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return contextError(ctx, "the space did not open in time")
	}
	return err
}

// readVectors reads the vectors of all live slots in one sweep.
func (t *tower) readVectors(ctx context.Context, v *store.View) error {
	if t.vectors == nil && t.next == nil {
		return nil
	}
	dimension := t.st.Settings.Vector.Dimension
	err := v.Vectors(t.space.id, func(o memory.Ordinal, number uint32, b []byte) bool {
		slot, ok := t.facets.Live(o)
		if ok && t.vectors != nil && int(slot) < len(t.at) && t.at[slot] == number && len(b) == 4*dimension && !t.vectors.Has(slot) {
			t.vectors.Put(slot, store.DecodeVector(b))
		}
		if x := t.next; ok && x != nil && int(slot) < len(x.at) && x.at[slot] == number {
			x.put(slot, number, store.DecodeVector(b))
		}
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return opening(ctx, err)
}

// save writes a snapshot of a tower when its changes since the last are worth
// one. A snapshot that cannot be written is no loss: the log says so.
func (db *DB) save(t *tower, worth memory.LSN) {
	if db.opts.ReadOnly {
		return
	}
	if err := t.catchUp(everything); err != nil {
		return
	}
	t.mu.RLock()
	changes, outgrown := t.applied-t.saved, t.filesOutgrown(worth == snapshotWorth)
	t.mu.RUnlock()
	if changes < worth && !outgrown {
		return
	}
	db.saving.Lock()
	defer db.saving.Unlock()
	if err := t.writeSnapshot(); err != nil {
		db.opts.Logger.Warn("snapshot not written", "space", t.space.name, "error", err)
	}
}

func (db *DB) indexDir() string { return db.opts.FS.PathJoin(db.dir, "index") }

func snapshotName(id memory.SpaceID, lsn memory.LSN) string { return fmt.Sprintf("%d.%020d", id, lsn) }

// newestSnapshot finds the file of a space's newest snapshot; "" is none.
func (db *DB) newestSnapshot(id memory.SpaceID) (name string, lsn memory.LSN) {
	names, err := db.opts.FS.List(db.indexDir())
	if err != nil {
		return "", 0
	}
	prefix := fmt.Sprintf("%d.", id)
	for _, n := range names {
		var l uint64
		if !strings.HasPrefix(n, prefix) || strings.HasSuffix(n, ".tmp") || isNear(n) {
			continue
		}
		if _, err := fmt.Sscanf(n[len(prefix):], "%d", &l); err == nil && memory.LSN(l) >= lsn {
			name, lsn = n, memory.LSN(l)
		}
	}
	return name, lsn
}

// removeSnapshots removes all snapshots of a space: it is dropped, or something
// in it is erased.
func (db *DB) removeSnapshots(id memory.SpaceID) error {
	db.saving.Lock()
	defer db.saving.Unlock()
	if t := db.towers.peek(id); t != nil && t.isOpen() {
		t.mu.Lock()
		t.near.lsn, t.parts.lsn = 0, 0 // the files are no snapshot's any more; a mapping of one stays as long as it is read
		t.mu.Unlock()
	}
	return errors.Join(db.removeSnapshotsLocked(id), db.removeLinks(id, ""))
}

func (db *DB) removeSnapshotsLocked(id memory.SpaceID, but ...string) error {
	names, err := db.opts.FS.List(db.indexDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	prefix := fmt.Sprintf("%d.", id)
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && !slices.Contains(but, n) {
			if err := db.opts.FS.Remove(db.opts.FS.PathJoin(db.indexDir(), n)); err != nil {
				return fmt.Errorf("remove snapshot: %w", err)
			}
		}
	}
	return nil
}

// writeSnapshot puts the file there whole or not at all, and removes older ones.
// The caller holds saving.
//
// A tower that has been left behind by the journal is not saved: it may hold words
// that were erased since. An erasure that comes after that look removes the files
// again, as it waits for saving.
func (t *tower) writeSnapshot() error {
	if behind, err := t.leftBehind(); err != nil || behind {
		return err
	}
	if err := t.saveNear(); err != nil {
		return err
	}
	var b bytes.Buffer
	t.mu.RLock()
	lsn, near, parts := t.applied, t.near.lsn, t.parts.lsn
	err := t.encodeSnapshot(&b)
	t.mu.RUnlock()
	if err != nil {
		return err
	}
	fs, dir := t.space.db.opts.FS, t.space.db.indexDir()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := snapshotName(t.space.id, lsn)
	if err := writeFile(fs, fs.PathJoin(dir, name), b.Bytes()); err != nil {
		return err
	}
	t.mu.Lock()
	t.saved = lsn
	t.mu.Unlock()
	return errors.Join(t.space.db.removeSnapshotsLocked(t.space.id, name, nearName(t.space.id, near), partsName(t.space.id, parts)), t.saveLinks())
}

// leftBehind says whether the tower lacks something that the space has now, or the
// space is gone. It asks the store itself: towers are saved too while the database
// closes its doors.
func (t *tower) leftBehind() (bool, error) {
	if t.space.dropped.Load() {
		return true, nil
	}
	v, err := t.space.db.shard.View()
	if err != nil {
		return false, err
	}
	m, err := v.Meta(t.space.id)
	v.Close()
	if err != nil {
		return false, err
	}
	if err := t.catchUp(m.LSN); err != nil {
		return true, nil // the tower is of no use, which readers are told
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.applied < m.LSN, nil
}

func writeFile(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = fs.Rename(path+".tmp", path)
	}
	if err != nil {
		return errors.Join(err, fs.Remove(path+".tmp"))
	}
	return nil
}

func (t *tower) encodeSnapshot(w io.Writer) error {
	head := make([]byte, 0, 64+4*len(t.at))
	head = append(head, snapshotMagic[:]...)
	head = binary.LittleEndian.AppendUint32(head, uint32(t.space.id))
	head = binary.LittleEndian.AppendUint64(head, uint64(t.applied))
	head = binary.LittleEndian.AppendUint64(head, uint64(t.near.lsn))
	head = binary.LittleEndian.AppendUint64(head, uint64(t.parts.lsn))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(t.at)))
	for _, v := range t.at {
		head = binary.LittleEndian.AppendUint32(head, v)
	}
	head = append(head, t.cutBits()...)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if _, err := w.Write(head); err != nil {
		return err
	}
	if err := t.facets.Save(w); err != nil {
		return err
	}
	return t.words.Save(w)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (t *tower) readSnapshot(name string, lsn memory.LSN) error {
	fs := t.space.db.opts.FS
	f, err := fs.Open(fs.PathJoin(t.space.db.indexDir(), name), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	if err := t.readHead(r, lsn); err != nil {
		return err
	}
	if t.facets, err = facet.Load(r); err != nil {
		return err
	}
	t.words, err = text.LoadIndex(r, text.Params{Analysis: t.analyzer.Version()})
	if err != nil {
		return err
	}
	return nil
}

func (t *tower) readHead(r io.Reader, lsn memory.LSN) error {
	fixed := make([]byte, 8+4+8+8+8+4)
	if _, err := io.ReadFull(r, fixed[:8]); err != nil {
		return errSnapshot
	}
	before := fixed[7] == snapshotBefore
	if before {
		fixed = fixed[:len(fixed)-8]
	}
	if _, err := io.ReadFull(r, fixed[8:]); err != nil {
		return errSnapshot
	}
	n := binary.LittleEndian.Uint32(fixed[len(fixed)-4:])
	if !bytes.Equal(fixed[:7], snapshotMagic[:7]) || !before && fixed[7] != snapshotMagic[7] || binary.LittleEndian.Uint32(fixed[8:]) != uint32(t.space.id) ||
		binary.LittleEndian.Uint64(fixed[12:]) != uint64(lsn) || n > maxSnapshotSlots {
		return errSnapshot
	}
	versions, size := 4*int(n), 4*int(n)+(int(n)+7)/8
	if before {
		size = versions
	}
	rest, err := io.ReadAll(io.LimitReader(r, int64(size)+4)) // grows with what is there, not with what is claimed
	if err != nil || len(rest) != size+4 {
		return errSnapshot
	}
	sum := crc32.Update(crc32.Checksum(fixed, castagnoli), castagnoli, rest[:size])
	if sum != binary.LittleEndian.Uint32(rest[size:]) {
		return errSnapshot
	}
	t.near.lsn = memory.LSN(binary.LittleEndian.Uint64(fixed[20:]))
	t.at = make([]uint32, n)
	for i := range t.at {
		t.at[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	if !before {
		t.parts.lsn = memory.LSN(binary.LittleEndian.Uint64(fixed[28:]))
		t.readCut(rest[versions:size])
	}
	return nil
}
