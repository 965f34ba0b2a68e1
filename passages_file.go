package engram

import (
	"context"
	"errors"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// The index of the passages of long texts has a file of its own beside the snapshot, too,
// where there are as many as are worth one (nearest_file.go): their links are not made
// again when a space opens. Which texts have passages, the snapshot says, and the journal
// behind it; what the file lacks is read from the store, text by text.

// partsEnding is how the names of these files end. Programs that do not know them take
// them for files of vectors, which no snapshot of theirs names.
const partsEnding = ".passages" + nearEnding

func partsName(id memory.SpaceID, lsn memory.LSN) string { return snapshotName(id, lsn) + partsEnding }

// passageGraph is the index below the passages. The caller holds mu.
func (t *tower) passageGraph() *ann.Graph {
	if t.passages == nil {
		return nil
	}
	return t.passages.Links()
}

// noteCut notes that a slot's text has passages, by their digest, while they are not put.
func (t *tower) noteCut(slot uint32, digest []byte) {
	if t.loading && t.cut != nil && len(digest) > 0 {
		t.cut.Set(uint(slot))
	}
}

// cutBits is a bit for each slot, the lowest of a byte first: whether its text has passages.
func (t *tower) cutBits() []byte {
	bits := make([]byte, (len(t.at)+7)/8)
	for slot := range t.at {
		if t.passages != nil && t.passages.Has(uint32(slot)) {
			bits[slot/8] |= 1 << (slot % 8)
		}
	}
	return bits
}

// readCut reads cutBits.
func (t *tower) readCut(bits []byte) {
	t.cut = bitset.New(uint(8 * len(bits)))
	for slot := range uint(8 * len(bits)) {
		if bits[slot/8]>>(slot%8)&1 != 0 {
			t.cut.Set(slot)
		}
	}
}

// openPassages fills the index of passages: from the file that the snapshot names and the
// store, else from the store.
func (t *tower) openPassages(ctx context.Context, v *store.View) error {
	lsn, cut := t.parts.lsn, t.cut
	t.parts, t.cut = nearFile{}, nil
	if lsn == 0 || cut == nil || t.vectors == nil || t.next != nil {
		return t.readPassages(ctx, v)
	}
	err := t.loadPassages(ctx, v, lsn, cut)
	if err == nil || ctx.Err() != nil || isCode(err, "vector_memory_full") {
		return err
	}
	set := t.st.Settings.Vector
	t.space.db.opts.Logger.Warn("the index of passages is built from the store", "space", t.space.name, "reason", err)
	t.passages, t.parts = ann.NewPassages(set.Dimension, set.Metric), nearFile{}
	return t.readPassages(ctx, v)
}

// loadPassages reads the file, and brings the index to what stands.
func (t *tower) loadPassages(ctx context.Context, v *store.View, lsn memory.LSN, cut *bitset.BitSet) error {
	db, set := t.space.db, t.st.Settings.Vector
	name := partsName(t.space.id, lsn)
	m, err := store.Map(db.opts.FS, db.opts.FS.PathJoin(db.indexDir(), name))
	if err != nil {
		return err
	}
	t.noteVectors()
	if err := db.roomForVectors(vectorBytes(ann.Rows(m.Bytes, set.Dimension, set.Metric), set.Dimension, true)); err != nil {
		_ = m.Close() // it was only read
		return err
	}
	p, err := ann.LoadPassages(m.Bytes, set.Dimension, set.Metric, t.facets.Next())
	if err != nil {
		return errors.Join(err, m.Close())
	}
	t.passages = p
	t.parts.lies(p.Links(), m, fileOf(p.Links(), lsn))
	if err := t.mendPassages(ctx, v, cut); err != nil {
		return err
	}
	db.run.startUnlessClosing("verify passages", func() { t.verifyNear(name) })
	return nil
}

// mendPassages takes out of the index what does not stand any more, and puts in what is
// missing.
func (t *tower) mendPassages(ctx context.Context, v *store.View, cut *bitset.BitSet) error {
	var missing []uint32
	stand := 0
	for slot := range t.facets.Next() {
		switch wants, has := cut.Test(uint(slot)) && t.wantsVector(slot), t.passages.Has(slot); {
		case wants && has:
			stand++
		case wants:
			missing = append(missing, slot)
		case has:
			t.passages.Delete(slot)
		}
	}
	if len(missing) > stand {
		return t.readPassages(ctx, v) // one sweep is less
	}
	left := 0
	for _, slot := range missing {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		row, _ := t.facets.At(slot)
		p, err := v.Passages(t.space.id, row.Ordinal, t.at[slot])
		if err != nil {
			return err
		}
		if err := t.roomForPassages(&left, t.passages, len(p.Spans), t.st.Settings.Vector.Dimension); err != nil {
			return err
		}
		t.indexPassages(slot, p)
	}
	return nil
}
