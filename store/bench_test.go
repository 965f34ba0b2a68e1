package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// benchPayloads are memories of about 1 KB of text and 768 numbers.
func benchPayloads(n int) []Payload {
	r := rand.New(rand.NewPCG(1, 1))
	ps := make([]Payload, n)
	for i := range ps {
		v := make([]float32, 768)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		ps[i] = episode(words(r, 1000), v)
	}
	return ps
}

func benchShard(b *testing.B) (*Shard, []memory.SpaceID) {
	b.Helper()
	s := open(b, filepath.Join(b.TempDir(), "d"), Options{})
	var spaces []memory.SpaceID
	for i := range 16 {
		spaces = append(spaces, mustSpace(b, s, memory.SpaceName(fmt.Sprint("s", i))))
	}
	b.Cleanup(func() { closed(b, s) })
	return s, spaces
}

// BenchmarkSingleWriter gives the time of a durable write as a multiple of a
// bare write and fdatasync of as many bytes, done in turn with it.
func BenchmarkSingleWriter(b *testing.B) {
	s, spaces := benchShard(b)
	ps := benchPayloads(64)
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var bare, ours time.Duration
	i := 0
	for b.Loop() {
		p := ps[i%len(ps)]
		began := time.Now()
		must1(b, s, spaces[0], create(memory.ID(fmt.Sprint("m", i)), p))
		ours += time.Since(began)
		began = time.Now()
		if _, err := f.Write(append(p.Head, p.Vector...)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(began)
		i++
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(i), "write-µs")
	b.ReportMetric(float64(bare.Microseconds())/float64(i), "fdatasync-µs")
	b.ReportMetric(float64(ours)/float64(bare), "x-of-fdatasync")
}

// BenchmarkWriters16 is 16 writers, each in a space of its own.
func BenchmarkWriters16(b *testing.B) {
	s, spaces := benchShard(b)
	ps := benchPayloads(64)
	var next atomic.Int64
	var writers sync.WaitGroup
	b.ResetTimer()
	for w := range 16 {
		writers.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if _, err := do(s, spaces[w], create(memory.ID(fmt.Sprint("m", i)), ps[i%64])); err != nil {
					b.Error(err)
				}
			}
		})
	}
	writers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(b.N)/float64(s.Stats().Groups), "writes/sync")
}

// BenchmarkBatch100 gives the rate of batches of 100 as a share of that of bare
// synced Pebble batches of the same keys and values, done in turn with them. The
// ids are such as the engine makes.
func BenchmarkBatch100(b *testing.B) {
	s, spaces := benchShard(b)
	ps := benchPayloads(100)
	bare, err := pebble.Open(filepath.Join(b.TempDir(), "bare"), s.pebbleOptions())
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	var theirs, ours time.Duration
	i := 0
	ids := make([]memory.ID, len(ps))
	batch := func() {
		for j := range ids {
			ids[j] = memory.NewID()
		}
		began := time.Now()
		must1(b, s, spaces[0], func(tx *Tx) error {
			for j, p := range ps {
				id := ids[j]
				if n, err := tx.Lookup(id); err != nil || n != nil {
					return fmt.Errorf("%v %w", n, err)
				}
				if err := create(id, p)(tx); err != nil {
					return err
				}
			}
			return nil
		})
		ours += time.Since(began)
		i++
	}
	batch()
	ours = 0
	turn := 0
	for b.Loop() { // in turn, and each as often first as second
		kvs := keysOf(b, s, spaces[0], i-1)
		if turn++; turn%2 == 0 {
			batch()
		}
		theirs += bareBatch(b, bare, kvs)
		if turn%2 == 1 {
			batch()
		}
	}
	i = turn
	b.ReportMetric(float64(100*i)/ours.Seconds(), "memories/s")
	b.ReportMetric(float64(100*i)/theirs.Seconds(), "bare/s")
	b.ReportMetric(float64(theirs)/float64(ours), "x-of-bare")
}

// keysOf reads the keys and values of the i-th batch of a space.
func keysOf(b *testing.B, s *Shard, space memory.SpaceID, i int) (kvs [][2][]byte) {
	b.Helper()
	first := memory.Ordinal(100*i + 1)
	for _, t := range []table{tableNode, tableHead, tableVector} {
		collect(b, s, u32(key(space, t), uint32(first)), u32(key(space, t), uint32(first)+100), &kvs)
	}
	collect(b, s, journalKey(space, memory.LSN(first)), journalKey(space, memory.LSN(first)+100), &kvs)
	for range 100 {
		kvs = append(kvs, [2][]byte{idKey(space, memory.NewID()), ordinalValue(first)})
	}
	return kvs
}

// bareBatch writes keys and values into another Pebble.
func bareBatch(b *testing.B, to *pebble.DB, kvs [][2][]byte) time.Duration {
	b.Helper()
	began := time.Now()
	batch := to.NewBatch()
	for _, kv := range kvs {
		if err := batch.Set(kv[0], kv[1], nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		b.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func collect(b *testing.B, s *Shard, from, to []byte, kvs *[][2][]byte) {
	b.Helper()
	err := scanRange(s.db, from, to, func(k, v []byte) bool {
		*kvs = append(*kvs, [2][]byte{append([]byte(nil), k...), append([]byte(nil), v...)})
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
}
