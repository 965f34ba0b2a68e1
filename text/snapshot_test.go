package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "write testdata anew")

// small returns an index with all that a snapshot may hold: dead slots, stop words, counts, far documents, a list of
// more than a block.
func small(t fatal) *Index {
	a, err := NewAnalyzer("en")
	if err != nil {
		t.Fatalf("%v", err)
	}
	x := NewIndex(Params{K1: 0.9, B: -1, Analysis: a.Version()})
	for doc := range uint32(300) {
		x.Put(doc, a.Analyze("otter", "the otter of Zürich"))
	}
	for doc := range uint32(40) {
		x.Delete(doc * 3)
	}
	x.Put(1<<31, a.Analyze("東京", "🦦🦦 naïve"))
	return x
}

// TestSnapshotOfV1 opens a snapshot that was written when the format was new. It must open for ever.
func TestSnapshotOfV1(t *testing.T) {
	const path = "testdata/index-v1.snapshot"
	x := small(t)
	if *update {
		if err := os.WriteFile(path, saved(t, x), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	y, err := LoadIndex(bytes.NewReader(old), Params{Analysis: "en/1"})
	if err != nil {
		t.Fatal(err)
	}
	if x.Params() != y.Params() || x.Stats().Docs != y.Stats().Docs || x.Stats().Postings != y.Stats().Postings {
		t.Fatalf("%+v %+v, want %+v %+v", y.Params(), y.Stats(), x.Params(), x.Stats())
	}
	if !bytes.Equal(saved(t, y), old) {
		t.Error("saving what was loaded gives other bytes")
	}
}

// TestLoadStopsAtEnd: a snapshot may lie inside something larger.
func TestLoadStopsAtEnd(t *testing.T) {
	r := bytes.NewReader(append(saved(t, small(t)), "and more"...))
	if _, err := LoadIndex(r, small(t).Params()); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "and more" {
		t.Fatalf("%q is left, want all that followed", rest)
	}
}

func TestLoadParams(t *testing.T) {
	snapshot := saved(t, small(t))
	load := func(p Params) (*Index, error) { return LoadIndex(bytes.NewReader(snapshot), p) }
	if _, err := load(Params{Analysis: "de/1"}); !errors.Is(err, ErrOutdated) || errors.Is(err, ErrCorrupt) {
		t.Errorf("another analysis: %v, want ErrOutdated", err)
	}
	x, err := load(Params{K1: 2, B: 0.5, Analysis: "en/1"})
	if err != nil || x.Params().K1 != 2 || x.Params().B != 0.5 {
		t.Errorf("%v, %v, want the caller's parameters", x.Params(), err)
	}
	if x, err = load(Params{Analysis: "en/1"}); err != nil || x.Params().K1 != 0.9 || x.Params().B != 0 {
		t.Errorf("%v, %v, want the snapshot's parameters", x.Params(), err)
	}
	later := slices.Clone(snapshot)
	later[len(snapshotMagic)]++
	if _, err := LoadIndex(bytes.NewReader(later), Params{}); !errors.Is(err, ErrOutdated) {
		t.Errorf("a later format: %v, want ErrOutdated", err)
	}
}

// TestIOErrors: an error of the reader or writer comes through, and is not taken for corruption.
func TestIOErrors(t *testing.T) {
	broken := errors.New("broken disk")
	x := small(t)
	snapshot := saved(t, x)
	for n := 0; n < len(snapshot); n += 13 {
		r := io.MultiReader(bytes.NewReader(snapshot[:n]), iotest.ErrReader(broken))
		if _, err := LoadIndex(r, x.Params()); !errors.Is(err, broken) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("reader breaks at %d: %v", n, err)
		}
		if err := x.Save(&brokenWriter{n, broken}); !errors.Is(err, broken) {
			t.Fatalf("writer breaks at %d: %v", n, err)
		}
	}
	if _, err := LoadIndex(iotest.OneByteReader(bytes.NewReader(snapshot)), small(t).Params()); err != nil {
		t.Fatalf("byte by byte: %v", err)
	}
}

// brokenWriter takes so many bytes and then fails.
type brokenWriter struct {
	room int
	err  error
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, w.err
	}
	return len(b), nil
}

// TestDamage cuts a snapshot at each place and flips each bit of it.
func TestDamage(t *testing.T) {
	snapshot, p := saved(t, small(t)), small(t).Params()
	for n := range snapshot {
		if _, err := LoadIndex(bytes.NewReader(snapshot[:n]), p); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v, want ErrCorrupt", n, err)
		}
	}
	for at := range snapshot {
		for bit := range 8 {
			snapshot[at] ^= 1 << bit
			_, err := LoadIndex(bytes.NewReader(snapshot), p)
			version := at >= len(snapshotMagic) && at < len(snapshotMagic)+4
			if !errors.Is(err, ErrCorrupt) && !(version && errors.Is(err, ErrOutdated)) {
				t.Fatalf("bit %d of byte %d flipped: %v, want ErrCorrupt", bit, at, err)
			}
			snapshot[at] ^= 1 << bit
		}
	}
}

// TestForgery damages payloads and mends the checksums: what a checksum cannot find must still not panic, neither when
// loaded nor when used.
func TestForgery(t *testing.T) {
	snapshot := saved(t, small(t))
	rng := rand.New(rand.NewPCG(1, 2))
	sound := 0
	for range 5000 {
		forged := slices.Clone(snapshot)
		for range 1 + rng.IntN(3) {
			forged[12+rng.IntN(len(forged)-12)] = byte(rng.Uint32())
		}
		if use(t, mended(forged)) {
			sound++
		}
	}
	t.Logf("%d forgeries were consistent", sound)
}

// mended gives each frame the checksum of its bytes, as far as the frames can be followed.
func mended(b []byte) []byte {
	for at := len(snapshotMagic) + 4; at+12 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		if n > len(b)-at-12 {
			break
		}
		sum := crc32.Checksum(b[at:at+8+n], castagnoli)
		binary.LittleEndian.PutUint32(b[at+8+n:], sum)
		at += 12 + n
	}
	return b
}

// use loads a snapshot under whatever analysis it names and asks all that an index can be asked. It says whether it
// could be loaded.
func use(t fatal, snapshot []byte) bool {
	t.Helper()
	l := loader{r: bytes.NewReader(snapshot)}
	if err := l.magic(); err == nil {
		if _, payload, err := l.frame(); err == nil {
			l.header(payload)
		}
	}
	x, err := LoadIndex(bytes.NewReader(snapshot), Params{Analysis: l.params.Analysis})
	if err != nil {
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrOutdated) {
			t.Fatalf("%v, want ErrCorrupt", err)
		}
		return false
	}
	q := Query{Terms: []Term{{"otter", 1}, {"zurich", 2}, {"_the", 1}, {"東京", 1}}}
	for _, h := range x.Search(q, SearchOptions{}) {
		x.Explain(q, h.Doc)
		x.Delete(h.Doc)
	}
	x.Put(4, Document{Terms: []Term{{"otter", 3}}, Length: 3})
	x.Compact()
	reloaded(t, x)
	return true
}

func FuzzLoadIndex(f *testing.F) {
	snapshot := saved(f, small(f))
	f.Add(snapshot)
	f.Add(snapshot[:len(snapshot)/2])
	f.Add(saved(f, NewIndex(Params{})))
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		use(t, b)
		use(t, mended(slices.Clone(b)))
	})
}

// TestLyingCounts: a header may promise anything; memory follows what is there.
func TestLyingCounts(t *testing.T) {
	snapshot := saved(t, small(t))
	for at := 12 + 8; at < 12+8+44; at += 4 {
		for _, lie := range []uint32{1 << 20, 1<<31 - 1, 1<<32 - 1} {
			forged := slices.Clone(snapshot)
			binary.LittleEndian.PutUint32(forged[at:], lie)
			forged = mended(forged)
			if n := testing.AllocsPerRun(1, func() { use(t, forged) }); n > 1e6 {
				t.Errorf("%.0f allocations", n)
			}
			if grown := allocated(func() { use(t, forged) }); grown > 4<<20 {
				t.Errorf("%d at %d: %d bytes allocated for a snapshot of %d", lie, at, grown, len(forged))
			}
		}
	}
	// A frame that promises 4 GiB and holds nothing.
	huge := slices.Clone(snapshot[:20])
	binary.LittleEndian.PutUint32(huge[16:], 1<<32-1)
	if grown := allocated(func() { use(t, huge) }); grown > 1<<20 {
		t.Errorf("%d bytes allocated for a frame that is not there", grown)
	}
}
