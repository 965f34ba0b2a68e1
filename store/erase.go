package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// Erasing a payload takes its keys out of the state; its bytes still lie in the
// log, in a memtable's table to be, in tables of any level, and in files that
// are obsolete but not removed. Deleting, flushing and compacting the range was
// tried: when an old snapshot was open at the deletion, the value and its
// tombstone sink to the bottom together, and a later compaction finds nothing
// above them to merge and leaves the table alone. So Wipe
//
//  1. waits until no reader holds a state that is older than the erasure,
//  2. flushes, which ends the log that held the payload,
//  3. looks: opens every table that overlaps the ranges, also the backing file of
//     a virtual one, each once, and notes where it holds a value,
//  4. writes a fresh pair of keys round what each such table holds, so that a
//     table of the top level spans it, and compacts just that: every level's
//     tables in it are merged downwards and written anew; then again from 2,
//  5. when a look finds nothing: waits until the files that were obsolete then,
//     and the logs of before, are removed,
//  6. and only then records that the bytes are gone.

// span is a range of keys that must be gone.
type span struct{ from, to []byte }

// hold is what a table still holds of some spans.
type hold struct {
	table       string
	first, last []byte
}

// wipeTries bounds how often the tables are written anew before Wipe gives up:
// a compaction that was running at the start may put down a table of its own.
const wipeTries = 6

// Wipe takes the bytes of everything that is erased in a space out of every
// file. derived is called after the readers of older states have gone and
// before the record that says so: the caller drops what it had made from the
// words. It returns the records whose bytes are gone now. A Wipe that is cut
// short is done again by the next.
func (s *Shard) Wipe(ctx context.Context, space memory.SpaceID, derived func() error) ([]memory.LSN, error) {
	s.wiping.Lock()
	defer s.wiping.Unlock()
	pending, spans, err := s.pendingWipes(space)
	if err != nil || len(pending) == 0 {
		return nil, err
	}
	if err := s.readers.waitOlder(ctx); err != nil {
		return nil, fmt.Errorf("wait for older readers: %w", err)
	}
	if err := derived(); err != nil {
		return nil, err
	}
	if err := s.rewrite(ctx, spans); err != nil {
		return nil, err
	}
	_, err = s.Commit(ctx, &Write{Space: space, Decide: func(tx *Tx) error {
		for _, l := range pending {
			if err := tx.erased(l); err != nil {
				return err
			}
		}
		return nil
	}})
	return pending, err
}

func (s *Shard) pendingWipes(space memory.SpaceID) (pending []memory.LSN, spans []span, err error) {
	v, err := s.View()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	if pending, err = v.Erasing(space); err != nil {
		return nil, nil, err
	}
	for _, l := range pending {
		b, _, err := v.d.get(erasingKey(space, l))
		if err != nil {
			return nil, nil, err
		}
		var e erasing
		if err := decode(b, &e); err != nil {
			return nil, nil, corrupt(space, "erasure", uint64(l), err)
		}
		for _, o := range e.Ordinals {
			for _, t := range nodePayloads {
				spans = append(spans, prefixSpan(u32(key(space, t), uint32(o))))
			}
		}
		for _, id := range e.Links {
			spans = append(spans, span{edgeKey(space, id, 0), edgeKey(space, id, l)}) // a later link may have the id again
		}
	}
	return pending, spans, nil
}

func prefixSpan(prefix []byte) span { return span{prefix, prefixEnd(prefix)} }

// join sorts spans and makes neighbours one.
func join(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.from, b.from) })
	out := spans[:0:0]
	for _, sp := range spans {
		if n := len(out); n > 0 && bytes.Compare(sp.from, out[n-1].to) <= 0 {
			if bytes.Compare(sp.to, out[n-1].to) > 0 {
				out[n-1].to = sp.to
			}
			continue
		}
		out = append(out, sp)
	}
	return out
}

// rewrite puts down every table that holds a key in the spans anew, until a
// look finds none, and sees the old files off.
func (s *Shard) rewrite(ctx context.Context, spans []span) error {
	spans = join(spans)
	logs, err := s.files(".log")
	if err != nil {
		return err
	}
	var held []hold
	for range wipeTries {
		if err := s.aborted(ctx); err != nil {
			return err
		}
		if err := s.db.Flush(); err != nil {
			return fmt.Errorf("flush for an erasure: %w", err)
		}
		if held, err = s.look(ctx, spans); err != nil {
			return err
		}
		if len(held) == 0 {
			return s.waitRemoved(ctx, logs)
		}
		if err := s.compact(ctx, held); err != nil {
			return err
		}
	}
	return fmt.Errorf("erased bytes are still in table %s after %d rewrites", held[0].table, wipeTries)
}

// compact merges the tables that hold something, and those above and below them.
func (s *Shard) compact(ctx context.Context, held []hold) error {
	if err := s.touch(ctx, held); err != nil {
		return err
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("flush for an erasure: %w", err)
	}
	var ranges []span
	for _, h := range held {
		ranges = append(ranges, span{h.first, append(bytes.Clone(h.last), 0)})
	}
	for _, r := range join(ranges) {
		if err := s.aborted(ctx); err != nil {
			return err
		}
		if err := s.db.Compact(ctx, r.from, r.to, false); err != nil {
			return fmt.Errorf("compact for an erasure: %w", err)
		}
	}
	return nil
}

// touch writes the first and the last key of what is held anew and deletes them
// again: they are dead, and a table of the top level then spans them.
func (s *Shard) touch(ctx context.Context, held []hold) error {
	return s.maintain(ctx, 0, func(b *pebble.Batch) error {
		for _, h := range held {
			for _, k := range [][]byte{h.first, h.last} {
				if err := errors.Join(b.Set(k, nil, nil), b.Delete(k, nil)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// waitRemoved waits until the logs are removed, and the tables that are obsolete
// now. A compaction that runs now works on live tables, which were looked into.
func (s *Shard) waitRemoved(ctx context.Context, logs []string) error {
	tables, err := s.files(".sst")
	if err != nil {
		return err
	}
	wait := append(tables, logs...)
	for {
		s.db.TestOnlyWaitForCleaning() // its only name: it waits for the removals that are queued
		if wait, err = s.remaining(wait); err != nil {
			return err
		}
		if len(wait) == 0 { // a removal that is not synced can be undone by a power cut
			return syncDir(s.opts.FS, s.opts.FS.PathJoin(s.dir, storeDir))
		}
		select { // an iterator that is still open keeps its tables
		case <-s.cleaned:
		case <-s.stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remaining are those files that are neither removed nor live tables.
func (s *Shard) remaining(files []string) (left []string, err error) {
	there, err := s.files("")
	if err != nil {
		return nil, err
	}
	live, err := s.liveTables(nil)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !live[f] && slices.Contains(there, f) {
			left = append(left, f)
		}
	}
	return left, nil
}

// files lists the store's files with a suffix.
func (s *Shard) files(suffix string) ([]string, error) {
	names, err := s.opts.FS.List(s.opts.FS.PathJoin(s.dir, storeDir))
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, suffix) }), nil
}

// liveTables names the files of the tables that overlap a range; nil is all.
func (s *Shard) liveTables(sp *span) (map[string]bool, error) {
	var opts []pebble.SSTablesOption
	if sp != nil {
		opts = append(opts, pebble.WithKeyRangeFilter(sp.from, sp.to))
	}
	levels, err := s.db.SSTables(opts...)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	live := make(map[string]bool)
	for _, level := range levels {
		for _, t := range level {
			live[fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))] = true
		}
	}
	return live, nil
}

// look opens the tables that overlap the spans and says what they hold there.
// A table that went away in the meantime was merged into others: look again.
func (s *Shard) look(ctx context.Context, spans []span) ([]hold, error) {
	for {
		held, err := s.lookOnce(ctx, span{spans[0].from, spans[len(spans)-1].to}, spans)
		if !errors.Is(err, os.ErrNotExist) {
			return held, err
		}
		if err := s.aborted(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *Shard) lookOnce(ctx context.Context, hull span, spans []span) (held []hold, err error) {
	live, err := s.liveTables(&hull)
	if err != nil {
		return nil, err
	}
	for name := range live {
		h := hold{table: name}
		err := s.withTable(ctx, name, func(r *sstable.Reader) error { return h.find(r, spans) })
		if err != nil {
			return nil, fmt.Errorf("look into table %s: %w", name, err)
		}
		if h.first != nil {
			held = append(held, h)
		}
	}
	return held, nil
}

// find notes the first and the last key in the spans that the table does not
// just hold the deletion of.
func (h *hold) find(r *sstable.Reader, spans []span) error {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer it.Close()
	kv := it.First()
	for _, sp := range spans {
		if kv == nil {
			break
		}
		if bytes.Compare(kv.K.UserKey, sp.to) >= 0 {
			continue
		}
		if bytes.Compare(kv.K.UserKey, sp.from) < 0 {
			kv = it.SeekGE(sp.from, 0)
		}
		for ; kv != nil && bytes.Compare(kv.K.UserKey, sp.to) < 0; kv = it.Next() {
			if kv.Kind() == pebble.InternalKeyKindDelete || kv.Kind() == pebble.InternalKeyKindSingleDelete {
				continue
			}
			h.last = append(h.last[:0], kv.K.UserKey...)
			if h.first == nil {
				h.first = bytes.Clone(h.last)
			}
		}
	}
	return it.Error()
}

// withTable opens a table's file apart from the store, without its cache.
func (s *Shard) withTable(ctx context.Context, name string, f func(*sstable.Reader) error) error {
	return openTable(ctx, s.opts.FS, s.opts.FS.PathJoin(s.dir, storeDir, name), f)
}

func openTable(ctx context.Context, fs vfs.FS, path string, f func(*sstable.Reader) error) error {
	file, err := fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r, err := sstable.NewReader(ctx, readable, sstable.ReaderOptions{
		Filters: map[string]sstable.FilterPolicy{bloomFilter.Name(): bloomFilter},
	})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(f(r), r.Close())
}

// WipeSpace takes every byte of a dropped space out of every file and records
// that it is gone.
func (s *Shard) WipeSpace(ctx context.Context, st SpaceState) error {
	s.wiping.Lock()
	defer s.wiping.Unlock()
	all := prefixSpan(key(st.ID, 0)[:4])
	if err := s.readers.waitOlder(ctx); err != nil {
		return fmt.Errorf("wait for older readers: %w", err)
	}
	err := s.maintain(ctx, 0, func(b *pebble.Batch) error {
		s.dropped[st.ID] = true
		delete(s.metas, st.ID)
		return b.DeleteRange(all.from, all.to, nil)
	})
	if err == nil {
		err = s.readers.waitOlder(ctx)
	}
	if err == nil {
		err = s.rewrite(ctx, []span{all})
	}
	if err == nil {
		_, err = s.Commit(ctx, &Write{Space: 0, Decide: func(tx *Tx) error { return tx.SpaceGone(&st) }})
	}
	return err
}
