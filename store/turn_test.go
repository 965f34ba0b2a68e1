package store

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// vectorsKept lists the numbers under which vectors of a space lie, by node.
func vectorsKept(t testing.TB, s *Shard, space memory.SpaceID) map[memory.Ordinal][]uint32 {
	t.Helper()
	v, err := s.View() // which does not outlast the store
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all := map[memory.Ordinal][]uint32{}
	err = v.Vectors(space, func(o memory.Ordinal, number uint32, _ []byte) bool {
		all[o] = append(all[o], number)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func nodeNow(t testing.TB, s *Shard, space memory.SpaceID, id memory.ID) *Node {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	n, err := v.Lookup(space, id)
	if err != nil || n == nil {
		t.Fatal(n, err)
	}
	return n
}

// changeSpace changes the state of a space, as a cut-over does.
func changeSpace(t testing.TB, s *Shard, name memory.SpaceName, change func(*SpaceState)) {
	t.Helper()
	must1(t, s, 0, func(tx *Tx) error {
		st, err := tx.Space(name)
		if err != nil {
			return err
		}
		change(st)
		return tx.PutSpace(st)
	})
}

// TestTurn: nodes have two vectors while a space goes over to another model, and one
// afterwards; what versions before name goes with the horizon; each state is sound.
func TestTurn(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "d", small(fs))
	space := mustSpace(t, s, "sp")
	vec := func(x float32, n int) []float32 {
		v := make([]float32, n)
		v[0] = x
		return v
	}
	put := func(id memory.ID, generation uint32, next bool, x float32, n int) {
		t.Helper()
		must1(t, s, space, with(id, func(tx *Tx, node *Node) error {
			return tx.PutVectorOf(node, generation, next, MadeVector{Vector: vec(x, n), Model: "model"})
		}))
	}
	must1(t, s, space, create("given", episode("of a caller", vec(1, testDim))))
	must1(t, s, space, create("made", episode("of a model", nil)))
	must1(t, s, space, create("bare", episode("of none to come", vec(2, testDim))))
	put("made", 0, false, 3, testDim)
	must1(t, s, space, with("made", func(tx *Tx, n *Node) error { // the vector of version 1 is kept
		_, err := tx.Revise(n, episode("of a model, again", nil), n.Vector, n.Model, nil, nil)
		return err
	}))
	sound(t, s)

	const wide = testDim + 2
	changeSpace(t, s, "sp", func(st *SpaceState) { st.Next = &NextModel{Model: "wide", Dimension: wide, Generation: 1} })
	put("given", 1, true, 4, wide)
	put("made", 1, true, 5, wide)
	sound(t, s)
	look := func(id memory.ID, generation uint32) *Node {
		t.Helper()
		return nodeNow(t, s, space, id).In(generation)
	}
	if n := look("given", 0); n.Vector != 1 || len(n.Made) > 0 {
		t.Errorf("before: %+v", n)
	}
	if n := look("given", 1); n.Vector != 1<<24|1 || len(n.Made) == 0 || !bytes.Equal(n.Digest, episode("of a caller", nil).Digest()) {
		t.Errorf("after: %+v", n)
	}
	if n := look("bare", 1); n.Vector != 0 || n.Model != "" {
		t.Errorf("without one: %+v", n)
	}
	changeSpace(t, s, "sp", func(st *SpaceState) {
		st.Settings.Vector.Dimension, st.Generation, st.Next, st.Turning = wide, 1, nil, true
	})
	sound(t, s)
	put("bare", 1, false, 6, wide) // made after the cut-over, in place of the caller's
	sound(t, s)
	all := []memory.Ordinal{1, 2, 3}
	must1(t, s, space, func(tx *Tx) error {
		n, err := tx.Turn(1, all)
		if n != 2 {
			t.Errorf("%d nodes are brought in order", n)
		}
		return err
	})
	c := must1(t, s, space, func(tx *Tx) error {
		n, err := tx.Turn(1, all)
		if n != 0 {
			t.Errorf("%d nodes a second time", n)
		}
		return err
	})
	sound(t, s)
	given, made, bare := look("given", 1), look("made", 1), look("bare", 1)
	kept := vectorsKept(t, s, space)
	if got := kept[given.Ordinal]; len(got) != 1 || got[0] != 1<<24|1 {
		t.Errorf("of the caller: %v", got)
	}
	if got := kept[made.Ordinal]; len(got) != 2 || got[0] != 1 || got[1] != 1<<24|2 { // version 1 names the first
		t.Errorf("of the model: %v", got)
	}
	if sum := sha256.Sum256(EncodeVector(vec(6, wide))); !bytes.Equal(bare.Made, sum[:]) || len(kept[bare.Ordinal]) != 1 {
		t.Errorf("of none: %+v, %v", bare, kept[bare.Ordinal])
	}
	closed(t, s)
	s = open(t, "d", small(fs))
	defer closed(t, s)
	sound(t, s)
	if _, err := s.Truncate(bg, space, c.LSN); err != nil {
		t.Fatal(err)
	}
	sound(t, s)
	if got := vectorsKept(t, s, space)[made.Ordinal]; len(got) != 1 || got[0] != 1<<24|2 {
		t.Errorf("behind the horizon: %v", got)
	}
	must1(t, s, space, end(memory.Erase, "given"))
	sound(t, s)
	if got := vectorsKept(t, s, space)[given.Ordinal]; len(got) != 0 {
		t.Errorf("erased: %v", got)
	}
}

// TestTurnBack: given up, the vectors of the model to come go, and nothing else changes.
func TestTurnBack(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer closed(t, s)
	space := mustSpace(t, s, "sp")
	must1(t, s, space, create("a", episode("x", make([]float32, testDim))))
	before := nodeNow(t, s, space, "a")
	changeSpace(t, s, "sp", func(st *SpaceState) { st.Next = &NextModel{Model: "m", Dimension: 3, Generation: 1} })
	must1(t, s, space, with("a", func(tx *Tx, n *Node) error {
		return tx.PutVectorOf(n, 1, true, MadeVector{Vector: []float32{1, 2, 3}, Model: "m"})
	}))
	changeSpace(t, s, "sp", func(st *SpaceState) { st.Next, st.Turning = nil, true })
	sound(t, s)
	must1(t, s, space, func(tx *Tx) error { _, err := tx.Turn(0, []memory.Ordinal{before.Ordinal}); return err })
	sound(t, s)
	after := nodeNow(t, s, space, "a")
	if !bytes.Equal(encode(before), encode(after)) {
		t.Errorf("%+v became %+v", before, after)
	}
	if got := vectorsKept(t, s, space)[before.Ordinal]; len(got) != 1 {
		t.Errorf("kept: %v", got)
	}
}
