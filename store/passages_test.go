package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

func somePassages() *Passages {
	a, b := make([]float32, testDim), make([]float32, testDim)
	a[0], b[1] = 1, -1
	return &Passages{Spans: []PassageSpan{{0, 900}, {800, 1700}}, Vectors: [][]float32{a, b}}
}

func TestPassagesCodec(t *testing.T) {
	whole := EncodePassages(somePassages())
	p, err := DecodePassages(whole)
	if err != nil || !bytes.Equal(EncodePassages(p), whole) || len(p.Spans) != 2 || p.Vectors[1][1] != -1 {
		t.Fatalf("%+v %v", p, err)
	}
	empty := somePassages()
	empty.Spans[1].To = 800
	many := bytes.Clone(whole)
	many[1] = 2 // 514
	for name, b := range map[string][]byte{
		"nothing": nil, "a number": whole[:4], "no vectors": whole[:20], "a cut vector": whole[:len(whole)-4], "another cut": whole[:len(whole)-1],
		"none": make([]byte, 64), "an empty span": EncodePassages(empty), "too many": append(many, make([]byte, 1<<16)...),
	} {
		if _, err := DecodePassages(b); !errors.Is(err, errPassages) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPassages(f *testing.F) {
	f.Add(EncodePassages(somePassages()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePassages(b); err == nil && !bytes.Equal(EncodePassages(p), b) {
			t.Errorf("%x does not come back", b)
		}
	})
}

// passaged is a shard with a node that has a vector and passages.
func passaged(t *testing.T) (*Shard, memory.SpaceID, *Node) {
	t.Helper()
	s := open(t, "d", small(vfs.NewMem()))
	space := mustSpace(t, s, "books")
	var n *Node
	_, err := do(s, space, func(tx *Tx) (err error) {
		p, err := EncodeEpisode(&memory.Episode{ID: "a", Text: strings.Repeat("long ", 400)})
		if err != nil {
			return err
		}
		if n, err = tx.Create("a", memory.KindEpisode, p, "", nil, nil); err != nil {
			return err
		}
		if err := tx.PutVector(n, EncodeVector(somePassages().Vectors[0]), "m", nil); err != nil {
			return err
		}
		return tx.PutPassages(n, somePassages(), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, space, n
}

func passagesKept(t *testing.T, s *Shard, space memory.SpaceID) (n int) {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	if err := v.AllPassages(space, func(memory.Ordinal, uint32, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPassages: they are read as they were put, a new version with the same vector keeps
// them, one with another does not, the horizon takes the old ones, and an erasure all.
func TestPassages(t *testing.T) {
	s, space, n := passaged(t)
	defer closed(t, s)
	sound(t, s)
	revise := func(vector uint32) {
		t.Helper()
		_, err := do(s, space, func(tx *Tx) error {
			old, err := tx.Lookup("a")
			if err != nil {
				return err
			}
			p, err := EncodeEpisode(&memory.Episode{ID: "a", Text: "another"})
			if err != nil {
				return err
			}
			_, err = tx.Revise(old, p, vector, old.Model, nil, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		sound(t, s)
	}
	revise(n.Version)
	v := view(t, s)
	now, err := v.Node(space, n.Ordinal)
	if err != nil || now.Version != 2 || len(now.Passages) == 0 {
		t.Fatalf("%+v %v", now, err)
	}
	p, err := v.Passages(space, now.Ordinal, now.Vector)
	if err != nil || p.Spans[1] != (PassageSpan{800, 1700}) {
		t.Errorf("%+v %v", p, err)
	}
	v.Close()
	revise(0)
	if kept := passagesKept(t, s, space); kept != 1 {
		t.Errorf("%d are kept for the versions before", kept)
	}
	if _, err := s.Truncate(bg, space, 1000); err != nil {
		t.Fatal(err)
	}
	sound(t, s)
	if kept := passagesKept(t, s, space); kept != 0 {
		t.Errorf("%d are kept below the horizon", kept)
	}
}

func TestPassagesErased(t *testing.T) {
	s, space, n := passaged(t)
	defer closed(t, s)
	if _, err := do(s, space, func(tx *Tx) error { return tx.End(memory.Erase, []*Node{n}, "") }); err != nil {
		t.Fatal(err)
	}
	if kept := passagesKept(t, s, space); kept != 0 {
		t.Errorf("%d are kept of what is erased", kept)
	}
	sound(t, s)
}

// TestPassagesOfAnother: passages of a version that does not stand, or without a vector
// of its own, are not placed.
func TestPassagesOfAnother(t *testing.T) {
	s, space, n := passaged(t)
	defer closed(t, s)
	other := *n
	other.Version = 7
	if _, err := do(s, space, func(tx *Tx) error { return tx.PutPassages(&other, somePassages(), nil) }); err == nil {
		t.Error("they were placed")
	}
}

// TestPassagesDamaged: verification finds passages that are not what was put, and those
// that nothing names.
func TestPassagesDamaged(t *testing.T) {
	for name, damage := range map[string]func(*layer, memory.SpaceID, *Node){
		"altered": func(l *layer, space memory.SpaceID, n *Node) {
			l.set(passagesKey(space, n.Ordinal, n.Version), []byte("what"))
		},
		"missing": func(l *layer, space memory.SpaceID, n *Node) { l.del(passagesKey(space, n.Ordinal, n.Version)) },
		"orphaned": func(l *layer, space memory.SpaceID, n *Node) {
			l.set(passagesKey(space, n.Ordinal+9, 1), EncodePassages(somePassages()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, space, n := passaged(t)
			defer closed(t, s)
			if _, err := do(s, space, func(tx *Tx) error { damage(tx.layer, space, n); return tx.PutSetting("x", []byte("y")) }); err != nil {
				t.Fatal(err)
			}
			r, err := s.Verify(bg, VerifyOptions{MaxFindings: 10})
			if err != nil || r.Sound() {
				t.Errorf("nothing was found: %v", err)
			}
		})
	}
}
