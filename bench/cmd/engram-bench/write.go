package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// write measures durable writes of memories of a text and a vector: in process,
// then over REST.
func write(ctx context.Context, b *bench) error {
	p, err := newPool(b.seed, 2000)
	if err != nil {
		return err
	}
	b.Parameters["memory"] = fmt.Sprintf("text of about 150 words and a vector of %d: %d bytes", dimension, p.bytes)
	if err := b.writeInProcess(ctx, p); err != nil {
		return err
	}
	if err := b.writeREST(ctx, p); err != nil {
		return fmt.Errorf("over REST: %w", err)
	}
	if b.does("disk") {
		if err := b.bytesOnDisk(ctx, p); err != nil {
			return fmt.Errorf("bytes on disk: %w", err)
		}
	}
	b.Note("One writer: each Remember is followed by an append of as many bytes with fdatasync to a plain file on the same disk.\n" +
		"Bare Pebble: the same texts and vectors, synced, in a store with the same options; batches are interleaved one by one, writers take turns of seconds.\n" +
		"Over REST the client shares the machine.")
	return nil
}

func (b *bench) writeInProcess(ctx context.Context, p *pool) (err error) {
	db, err := engram.Open(ctx, filepath.Join(b.scratch, "process"), engram.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return b.writeTable(ctx, "process", "", &library{db, p}, p)
}

func (b *bench) writeREST(ctx context.Context, p *pool) (err error) {
	db, err := engram.Open(ctx, filepath.Join(b.scratch, "rest"), engram.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	d, stop, err := serveREST(db, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return b.writeTable(ctx, "rest", "REST: ", d, p)
}

// writeTable is the table of one door.
func (b *bench) writeTable(ctx context.Context, name, prefix string, d door, p *pool) error {
	for _, part := range []struct {
		name    string
		measure func(context.Context, string, door, *pool) error
	}{{"one", b.oneWriter}, {"sixteen", b.sixteenWriters}, {"batches", b.batches}} {
		if !b.does(name) && !b.does(name+"/"+part.name) {
			continue
		}
		if err := part.measure(ctx, prefix, d, p); err != nil {
			return err
		}
	}
	return nil
}

// oneWriter interleaves writes with plain appends of the same size.
func (b *bench) oneWriter(ctx context.Context, prefix string, d door, p *pool) error {
	step("%sone writer", prefix)
	if err := d.makeSpace(ctx, "one"); err != nil {
		return err
	}
	f, err := record.NewSyncFile(b.scratch)
	if err != nil {
		return err
	}
	defer f.Remove()
	writes, syncs := load.NewLatency(), load.NewLatency()
	same := make([]byte, p.bytes)
	n, warm := b.n(5000), b.n(500)
	for i := range n + warm {
		begin := time.Now()
		if err := d.remember(ctx, "one", i); err != nil {
			return err
		}
		written := time.Now()
		if err := f.Append(same); err != nil {
			return err
		}
		if i >= warm {
			writes.Add(written.Sub(begin))
			syncs.Add(time.Since(written))
		}
	}
	plain50, plain99 := millis(syncs.At(0.5)), millis(syncs.At(0.99))
	b.Millis(prefix+"fdatasync of the same size, p50", syncs.At(0.5), n, nil)
	b.Millis(prefix+"fdatasync of the same size, p99", syncs.At(0.99), n, nil)
	b.Millis(prefix+"one writer, p50", writes.At(0.5), n, record.AtMost(2*plain50).Because("2 x fdatasync's"))
	b.Millis(prefix+"one writer, p99", writes.At(0.99), n, record.AtMost(max(0.526, 1.3*plain99)).Because("the larger of 0.526 and 1.3 x fdatasync's"))
	return nil
}

// sixteenWriters takes turns with sixteen writers of the bare store.
func (b *bench) sixteenWriters(ctx context.Context, prefix string, d door, p *pool) (err error) {
	step("%s16 writers", prefix)
	const writers, turns = 16, 4
	for w := range writers {
		if err := d.makeSpace(ctx, fmt.Sprintf("w%d", w)); err != nil {
			return err
		}
	}
	bare, err := openBare(filepath.Join(b.scratch, where(prefix)+"bare16"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.db.Close()) }()
	ours := func(ctx context.Context, w, i int) error { return d.remember(ctx, fmt.Sprintf("w%d", w), i) }
	theirs := func(_ context.Context, _, i int) error { return bare.write(p.episodes[i%len(p.episodes):][:1]) }
	if _, err := load.Repeat(ctx, writers, b.n(1600), 0, ours); err != nil { // warm up
		return err
	}
	var sum, bareSum turnsOf
	for range turns {
		if err := sum.add(load.Repeat(ctx, writers, 0, b.seconds(3), ours)); err != nil {
			return err
		}
		if err := bareSum.add(load.Repeat(ctx, writers, 0, b.seconds(3), theirs)); err != nil {
			return err
		}
	}
	n := int(sum.latency.Count())
	b.Add(record.Figure{Name: prefix + "bare Pebble, 16 writers", Value: bareSum.rate(), Unit: "/s", N: int(bareSum.latency.Count())}, nil)
	b.Add(record.Figure{Name: prefix + "16 writers in 16 spaces", Value: sum.rate(), Unit: "/s", N: n}, record.AtLeast(10_000))
	b.Add(record.Figure{Name: prefix + "16 writers in 16 spaces, by the bare writers", Value: sum.rate() / bareSum.rate(), Unit: "x", N: n}, nil)
	b.Millis(prefix+"16 writers in 16 spaces, p99", sum.latency.At(0.99), n, nil)
	return nil
}

// turnsOf sums several turns of one measurement.
type turnsOf struct {
	latency *load.Latency
	elapsed time.Duration
}

func (t *turnsOf) add(r *load.Repeated, err error) error {
	if err != nil {
		return err
	}
	if t.latency == nil {
		t.latency = load.NewLatency()
	}
	t.latency.Merge(r.Latency)
	t.elapsed += r.Elapsed
	return nil
}

func (t *turnsOf) rate() float64 { return float64(t.latency.Count()) / t.elapsed.Seconds() }

// batches interleaves batches of the database with batches of the bare store.
func (b *bench) batches(ctx context.Context, prefix string, d door, p *pool) (err error) {
	step("%sbatches of %d", prefix, perBatch)
	if err := d.makeSpace(ctx, "batch"); err != nil {
		return err
	}
	bare, err := openBare(filepath.Join(b.scratch, where(prefix)+"bare"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.db.Close()) }()
	var ours, theirs time.Duration
	n := 0
	for begin := time.Now(); time.Since(begin) < b.seconds(15); n++ {
		t0 := time.Now()
		if err := d.rememberBatch(ctx, "batch", n); err != nil {
			return err
		}
		t1 := time.Now()
		if err := bare.write(p.batch(n)); err != nil {
			return err
		}
		ours, theirs = ours+t1.Sub(t0), theirs+time.Since(t1)
	}
	memories := float64(n * perBatch)
	rate, bareRate := memories/ours.Seconds(), memories/theirs.Seconds()
	b.Add(record.Figure{Name: prefix + "bare Pebble, batches of 100", Value: bareRate, Unit: "/s", N: n}, nil)
	b.Add(record.Figure{Name: prefix + "batches of 100", Value: rate, Unit: "/s", N: n}, record.AtLeast(15_000))
	b.Add(record.Figure{Name: prefix + "batches of 100, by the bare batch", Value: rate / bareRate, Unit: "x", N: n}, record.AtLeast(0.8))
	return nil
}

// bytesOnDisk stores the same amount each time and looks at the closed folder.
func (b *bench) bytesOnDisk(ctx context.Context, p *pool) error {
	step("bytes on disk")
	dir := filepath.Join(b.scratch, "disk")
	db, err := engram.Open(ctx, dir, engram.Options{})
	if err != nil {
		return err
	}
	l := &library{db, p}
	if err := l.makeSpace(ctx, "disk"); err != nil {
		return errors.Join(err, db.Close())
	}
	n := b.n(300)
	for i := range n {
		if err := l.rememberBatch(ctx, "disk", i); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	size, err := record.FolderBytes(dir, "")
	if err != nil {
		return err
	}
	logs, err := record.FolderBytes(dir, ".log")
	if err != nil {
		return err
	}
	given := float64(n * perBatch * p.bytes)
	b.Add(record.Figure{Name: "bytes on disk by bytes given", Value: float64(size) / given, Unit: "x", N: n * perBatch}, nil)
	b.Add(record.Figure{Name: "of that, logs that are not flushed yet", Value: float64(logs) / given, Unit: "x", N: n * perBatch}, nil)
	return nil
}

// bareStore is Pebble with the options of our store and nothing above it.
type bareStore struct {
	db   *pebble.DB
	next atomic.Uint64
}

func openBare(dir string) (*bareStore, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		MemTableSize: 16 << 20, MemTableStopWritesThreshold: 6, FormatMajorVersion: pebble.FormatNewest,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 64 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     quiet{},
	})
	if err != nil {
		return nil, err
	}
	return &bareStore{db: db}, nil
}

// write stores texts and vectors, each under a key of its own, in one synced
// batch.
func (s *bareStore) write(es []memory.Episode) error {
	batch := s.db.NewBatch()
	for _, e := range es {
		n := s.next.Add(1)
		key := binary.BigEndian.AppendUint64([]byte{'t'}, n)
		if err := batch.Set(key, []byte(e.Text), nil); err != nil {
			return err
		}
		key = binary.BigEndian.AppendUint64([]byte{'v'}, n)
		if err := batch.Set(key, numbers(e.Vector), nil); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.Sync)
}

func numbers(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic(err) // float32 can always be encoded
	}
	return b
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...)) // the bare store could not write: nothing is left to measure
}

// where is a prefix as the beginning of a folder's name.
func where(prefix string) string { return strings.ToLower(strings.TrimSuffix(prefix, ": ")) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b *bench) seconds(full float64) time.Duration {
	return time.Duration(b.scale * full * float64(time.Second))
}
