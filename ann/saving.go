package ann

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/engramdb/engram/vector"
)

// A Saving is a snapshot on its way. What the index held when it began is written,
// whatever is put, linked and deleted until the last byte: links and tables, some 140
// bytes a row, are copied at the beginning; codes and vectors, which no row ever
// changes, are read when their turn comes, and what is wiped before that is kept.
//
//	lock.RLock(); s := g.Saving(); lock.RUnlock()
//	err := s.Write(w, lock.RLocker())
//
// One at a time: a Saving ends with Write, or with End when it is not written.
type Saving struct {
	g       *Graph
	err     error  // it cannot be saved
	flat    []byte // all of a small index
	head    head
	centre  []float32
	slots   []uint32
	states  []state
	factors [][]vector.RowFactors
	lifts   [][]lift
	links   [][]uint32
	lists   []uint32

	// What follows is guarded by the owner's lock.
	kept map[uint32]keptRow // what has been wiped since, as it was
	most int                // how many may be kept
	done int                // chunks whose vectors have been read
	left bool               // the graph has become small: all rows that there were are kept
}

// keptRow is what a row was.
type keptRow struct {
	code   []int8
	vector []float32
}

// ErrChanging is the error of a Saving while more was deleted than it keeps: one row
// in keptShare, or keptLeast. What was written is of no use; it may be tried again.
var ErrChanging = errors.New("more of the index was deleted than can be kept while it is saved")

const (
	keptShare = 16
	keptLeast = 4096
)

// Saving begins a snapshot. The caller holds the lock for reading, for some 20
// milliseconds a million rows.
func (g *Graph) Saving() *Saving { return g.begin(nil) }

// Puts counts the vectors that were put since the graph was made or loaded, and those that
// were moved: what came since a snapshot is the difference.
func (g *Graph) Puts() uint32 { return g.puts }

// begin begins a snapshot, with the list of passages that the rows are; nil: they are none.
func (g *Graph) begin(passages []uint32) *Saving {
	s := &Saving{g: g}
	if !littleEndian() {
		s.err = fmt.Errorf("save nearest vectors: %w", ErrVersion)
		return s
	}
	if g.flat != nil {
		var b bytes.Buffer
		(&saver{w: &b}).flat(g, passages)
		s.flat = b.Bytes()
		return s
	}
	h := g.head(passages)
	s.lists = append(g.lists(), passages...)
	h.Count, h.Listed, h.Unit, h.Below, h.Reach = uint32(g.count), uint32(len(s.lists)), g.code.unit, g.entries.below, g.code.reach
	h.Next, h.Dead = uint32(g.sweep.next), uint32(g.sweep.dead)
	s.head, s.centre = h, g.code.centre // which never changes
	s.slots, s.states = slices.Clone(g.slots), slices.Clone(g.states)
	s.factors, s.lifts, s.links = cloneAll(g.coded.Factors), cloneAll(g.lifts), cloneAll(g.links)
	s.kept, s.most = map[uint32]keptRow{}, max(keptLeast, g.count/keptShare)
	g.saving = s
	return s
}

func cloneAll[T any](chunks [][]T) [][]T {
	all := make([][]T, len(chunks))
	for i, c := range chunks {
		all[i] = slices.Clone(c)
	}
	return all
}

// keep is told of a row that is about to be wiped. The caller holds the lock for
// writing.
func (s *Saving) keep(row uint32) {
	if s == nil || s.err != nil || !s.holds(row) || int(row>>chunkShift) < s.done {
		return
	}
	if _, kept := s.kept[row]; kept {
		return
	}
	if len(s.kept) == s.most {
		s.forget()
		s.err = fmt.Errorf("save nearest vectors: %w", ErrChanging)
		return
	}
	k := keptRow{vector: slices.Clone(s.g.vector(row))}
	if s.g.code.stride > 0 {
		k.code = slices.Clone(s.g.coded.Code(row))
	}
	s.kept[row] = k
}

// holds says whether a row had a vector at the beginning.
func (s *Saving) holds(row uint32) bool {
	return int(row) < len(s.states) && s.states[row] != free && s.states[row] != dead
}

// leave is told that the graph lets all its rows go, after they were wiped.
func (s *Saving) leave() {
	if s != nil {
		s.left = true
	}
}

// forget wipes what was kept, which may be of what was deleted.
func (s *Saving) forget() {
	for _, k := range s.kept {
		clear(k.code)
		clear(k.vector)
	}
	s.kept = nil
}

// Write writes the snapshot and ends the Saving. lock is the owner's for reading,
// which is taken for some hundred microseconds at a time, and not while w works;
// an owner that does not let go of it gives one that does nothing. Other errors than
// w's are ErrChanging and ErrVersion.
func (s *Saving) Write(w io.Writer, lock sync.Locker) error {
	defer s.End(lock)
	lock.Lock()
	err := s.err
	lock.Unlock()
	if err != nil {
		return err
	}
	to := &saver{w: w}
	if s.flat != nil {
		_, to.err = w.Write(s.flat)
	} else if err := s.write(to, lock); err != nil {
		return err
	}
	if to.err != nil {
		return fmt.Errorf("save nearest vectors: %w", to.err)
	}
	return nil
}

// End ends a Saving that is not written. lock is as for Write.
func (s *Saving) End(lock sync.Locker) {
	lock.Lock()
	defer lock.Unlock()
	s.forget()
	if s.g.saving == s {
		s.g.saving = nil
	}
}

// write writes all parts. The error is the Saving's own; to has that of its writer.
func (s *Saving) write(to *saver, lock sync.Locker) error {
	to.head(s.head)
	to.write(raw(s.centre))
	to.end()
	to.write(raw(s.slots))
	to.end()
	to.write(raw(s.states))
	to.end()
	writeAll(to, s.factors)
	writeAll(to, s.lifts)
	writeAll(to, s.links)
	to.write(raw(s.lists))
	to.end()
	stride := s.g.code.stride
	err := rowsOfChunks(s, to, lock, stride, func(c int) []int8 { return s.g.coded.Codes[c] }, func(k keptRow) []int8 { return k.code }, nil)
	if err != nil {
		return err
	}
	var sums []uint32
	err = rowsOfChunks(s, to, lock, s.g.dim, func(c int) []float32 { return s.g.vectors[c] }, func(k keptRow) []float32 { return k.vector }, func(b []byte) {
		sums = append(sums, crc32.Checksum(b, castagnoli))
	})
	if err != nil {
		return err
	}
	sums = append(sums, to.sums[:]...)
	to.write(raw(sums))
	to.end()
	return nil
}

// rowsOfChunks writes a part that has so many numbers a row, chunk by chunk, as it was
// at the beginning. A part with sums is the last that is read.
func rowsOfChunks[T any](s *Saving, to *saver, lock sync.Locker, each int, chunk func(int) []T, kept func(keptRow) []T, sum func([]byte)) error {
	room := make([]T, each*vector.CodedChunk)
	for c := range s.links {
		if each == 0 || to.err != nil {
			break
		}
		lock.Lock()
		err := readChunk(s, room, c, each, chunk, kept)
		if sum != nil {
			s.done = c + 1
		}
		lock.Unlock()
		if err != nil {
			return err
		}
		s.clearOthers(c, func(i int) { clear(room[i*each : (i+1)*each]) })
		to.write(raw(room))
		if sum != nil {
			sum(raw(room))
		}
	}
	clear(room)
	to.end()
	return nil
}

// readChunk copies what stands of a chunk and, over it, what was kept. The caller holds
// the owner's lock.
func readChunk[T any](s *Saving, room []T, c, each int, chunk func(int) []T, kept func(keptRow) []T) error {
	if s.err != nil {
		return s.err
	}
	if !s.left && c < len(s.g.links) { // the last chunks go when all in them has gone
		copy(room, chunk(c))
	}
	if len(s.kept) == 0 {
		return nil
	}
	for i := range vector.CodedChunk {
		if k, ok := s.kept[uint32(c<<chunkShift+i)]; ok {
			copy(room[i*each:(i+1)*each], kept(k))
		}
	}
	return nil
}

// clearOthers calls wipe for the rows of a chunk, counted in it, that had no vector.
func (s *Saving) clearOthers(c int, wipe func(i int)) {
	for i := range vector.CodedChunk {
		if !s.holds(uint32(c<<chunkShift + i)) {
			wipe(i)
		}
	}
}
