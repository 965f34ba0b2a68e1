package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// seeds are records, nodes and payloads as they lie on disk.
func seeds(f *testing.F) {
	f.Helper()
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(vfs.Default, fs, keptDir+"/data", "d"); err != nil || !ok {
		f.Fatal(ok, err)
	}
	s := open(f, "d", small(fs))
	defer closed(f, s)
	err := scanRange(s.db, nil, nil, func(_, v []byte) bool {
		f.Add(bytes.Clone(v))
		return true
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // a list that says it is endless
	f.Add([]byte{0xbf, 0xff})
	f.Add(bytes.Repeat([]byte{0x81}, 64))
}

// FuzzRecord: no bytes make the decoders panic, and a record that decodes can be
// encoded, decoded and applied without a panic.
func FuzzRecord(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(1, journalKey(1, 1), b)
		if err != nil {
			return
		}
		again, err := parseRecord(1, journalKey(1, 1), encode(r))
		if err != nil || !bytes.Equal(encode(again), encode(r)) {
			t.Errorf("%x does not come back: %v", b, err)
		}
		m := Meta{NextOrdinal: 1}
		_ = apply(newLayer(nothing{}), 1, &m, r)
		_ = r.agrees()
	})
}

// nothing is an empty state.
type nothing struct{}

func (nothing) get([]byte) ([]byte, bool, error)          { return nil, false, nil }
func (nothing) set(_, _ []byte)                           {}
func (nothing) del([]byte)                                {}
func (nothing) scan([]byte, func(_, _ []byte) bool) error { return nil }

// FuzzPayload: no bytes make the readers of nodes, links, answers and payloads
// panic.
func FuzzPayload(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseNode(1, 1, b)
		_ = decode(b, new(Link))
		_ = decode(b, new(Meta))
		_ = decode(b, new(Answer))
		_ = decode(b, new(SpaceState))
		_ = decode(b, new(erasing))
		_, _ = DecodeEntity(b)
		_, _ = DecodeMetadata(b)
		if v := DecodeVector(b); v != nil && !bytes.Equal(EncodeVector(v), b) && !hasNaN(v) {
			t.Errorf("vector %x does not come back", b)
		}
		e, err := DecodeEpisode(b)
		if err != nil {
			return
		}
		p, err := EncodeEpisode(&e)
		if err != nil {
			return
		}
		if _, err := DecodeEpisode(p.Head); err != nil {
			t.Errorf("%x does not come back: %v", b, err)
		}
	})
}

func hasNaN(v []float32) bool {
	for _, x := range v {
		if x != x {
			return true
		}
	}
	return false
}

// FuzzLog: no bytes make the scanners of logs panic, and each says an offset
// inside the file.
func FuzzLog(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0}, 100))
	f.Add([]byte{0, 0, 0, 0, 0, 0, eofChunk, 8, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = firstLog(b), logOf(b)
		for _, tear := range []*tear{scanLog(b, 7, true), scanLog(b, 7, false), scanHistory(b)} {
			if tear != nil && (tear.at < 0 || tear.at > len(b)) {
				t.Errorf("it stops at %d of %d", tear.at, len(b))
			}
		}
	})
}
