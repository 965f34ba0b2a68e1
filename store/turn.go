package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/engramdb/engram/memory"
)

// A space goes over to another model without a pause. While it does, each node has
// two vectors: that of the model which the space's settings name, and under Next that
// of the model to come. Models are told apart by their generation: the settings say
// which one is in force (SpaceState.Generation), each vector says of which it is. So
// one record, SpacePut, turns all nodes over at once; what each has is brought in
// order afterwards, node by node (VectorsTurned), and the bytes of the old vectors go.
// A space that is stopped on its way goes back in the same manner.
//
// The bytes of all generations lie in one table, under numbers that differ: so an
// erasure and the horizon take them along without knowing of generations.

// NextModel is the model that a space goes over to.
type NextModel struct {
	Model      string `cbor:"1,keyasint"`
	Dimension  int    `cbor:"2,keyasint"`
	Generation uint32 `cbor:"3,keyasint"`
	Since      int64  `cbor:"4,keyasint"` // unix nanoseconds
	By         string `cbor:"5,keyasint"` // who asked for it
}

// At is the number under which the vector lies.
func (v *VectorOf) At() uint32 {
	if v.Number != 0 {
		return v.Number
	}
	return v.Version
}

// NextVector is a node's vector by the model to come.
type NextVector struct {
	Vector     uint32 `cbor:"1,keyasint"` // number under which it lies
	Generation uint32 `cbor:"2,keyasint"`
	Model      string `cbor:"3,keyasint"`
	Made       []byte `cbor:"4,keyasint"` // digest of its bytes
	// Content is the node's digest when the vector that a caller gave is no part of it
	// any more; empty: there was none.
	Content  []byte `cbor:"5,keyasint,omitempty"`
	Passages []byte `cbor:"6,keyasint,omitempty"` // digest of its passages; none: it has none
}

// Turn says which nodes are brought in order.
type Turn struct {
	Generation uint32   `cbor:"1,keyasint"` // that is in force
	Nodes      []Turned `cbor:"2,keyasint"`
}

// Turned is one of them.
type Turned struct {
	Ordinal memory.Ordinal `cbor:"1,keyasint"`
	Content []byte         `cbor:"2,keyasint,omitempty"` // its digest, when it loses a vector that a caller gave
}

// generationShift is where in the number of a vector its generation stands; the
// version is below. In generation 0 the number is the version.
const generationShift = 24

// vectorNumber is the number under which the vector of a version lies. Both numbers
// would have to pass their bounds (255 changes of the model, 16 million versions of one
// memory) for two to meet.
func vectorNumber(generation, version uint32) uint32 {
	return generation<<generationShift | version
}

// InGeneration says whether the number of a vector is one of a generation.
func InGeneration(number, generation uint32) bool {
	return number>>generationShift == generation&(1<<(32-generationShift)-1)
}

// In gives the node as it is under a generation: with the vector of that generation,
// or without one. What it returns is not to be changed.
func (n *Node) In(generation uint32) *Node {
	if n.Vector == 0 && n.Next == nil || n.Generation == generation && n.Vector != 0 {
		return n
	}
	c := *n
	c.turn(generation, nil)
	return &c
}

// turn makes the vector of a generation the node's own.
func (n *Node) turn(generation uint32, content []byte) {
	next := n.Next
	n.Next = nil
	switch {
	case next != nil && next.Generation == generation:
		n.Vector, n.Generation, n.Model, n.Made, n.Passages = next.Vector, next.Generation, next.Model, next.Made, next.Passages
		if len(next.Content) > 0 {
			n.Digest = next.Content
		}
	case n.Generation != generation:
		n.Vector, n.Generation, n.Model, n.Made, n.Passages = 0, 0, "", nil, nil
		if len(content) > 0 {
			n.Digest = content
		}
	}
}

func (a applier) vectorMade(v *VectorOf) error {
	n, err := getNode(a.s, a.space, v.Ordinal)
	if err != nil {
		return err
	}
	if n.Version != v.Version {
		return fmt.Errorf("the vector is of version %d where %d stands", v.Version, n.Version)
	}
	if v.Next {
		n.Next = &NextVector{Vector: v.Number, Generation: v.Generation, Model: v.Model, Made: v.Digest, Content: v.Content, Passages: v.Passages}
	} else {
		n.Vector, n.Generation, n.Model, n.Made, n.Passages = v.Number, v.Generation, v.Model, v.Digest, v.Passages
		if len(v.Content) > 0 {
			n.Digest = v.Content
		}
	}
	a.s.set(nodeKey(a.space, v.Ordinal), encode(n))
	return nil
}

func (a applier) vectorsTurned(t *Turn) error {
	for _, one := range t.Nodes {
		n, err := getNode(a.s, a.space, one.Ordinal)
		if err != nil {
			return err
		}
		n.turn(t.Generation, one.Content)
		a.s.set(nodeKey(a.space, one.Ordinal), encode(n))
	}
	return nil
}

// MadeVector is a vector that a model made, with its passages where the text has some.
type MadeVector struct {
	Vector   []float32
	Passages *Passages
	Model    string // provenance
}

// PutVectorOf adds the vector that a model of a generation made of the version of a
// node that stands: as its own when that generation is in force, else as its next. It
// goes along with the record; of generation 0 the vector and the passages do, each with
// its own.
func (t *Tx) PutVectorOf(n *Node, generation uint32, next bool, made MadeVector) error {
	vector := EncodeVector(made.Vector)
	if generation == 0 && !next {
		err := t.PutVector(n, vector, made.Model, made.Vector)
		if err == nil && made.Passages != nil {
			err = t.PutPassages(n, made.Passages, made.Passages)
		}
		return err
	}
	digest := sha256.Sum256(vector)
	v := &VectorOf{Ordinal: n.Ordinal, ID: n.ID, Version: n.Version, Model: made.Model, Digest: digest[:],
		Number: vectorNumber(generation, n.Version), Generation: generation, Next: next}
	var err error
	if v.Content, err = t.withoutGiven(n); err != nil {
		return err
	}
	t.layer.set(vectorKey(t.space, n.Ordinal, v.Number), vector)
	t.bytes += len(vector)
	if made.Passages != nil {
		b := EncodePassages(made.Passages)
		sum := sha256.Sum256(b)
		v.Passages = sum[:]
		t.layer.set(passagesKey(t.space, n.Ordinal, v.Number), b)
		t.bytes += len(b)
	}
	if err := t.add(&Record{Kind: VectorMade, Vector: v}, made); err != nil || next || n.Vector == 0 {
		return err
	}
	return dropStray(t.layer, t.space, n.Ordinal) // it takes the place of one of the model before
}

// withoutGiven is the digest of a node's content without the vector that a caller gave;
// nil when none did.
func (t *Tx) withoutGiven(n *Node) ([]byte, error) {
	if n.Vector == 0 || len(n.Made) > 0 {
		return nil, nil
	}
	head, err := t.Head(n)
	return Payload{Head: head}.Digest(), err
}

// Turn brings nodes in order under a generation that is in force, and takes the bytes
// of vectors that nothing names any more. It gives how many there was something to do
// for.
func (t *Tx) Turn(generation uint32, ordinals []memory.Ordinal) (int, error) {
	r := &Turn{Generation: generation}
	for _, o := range ordinals {
		n, err := t.NodeIfLives(o)
		if err != nil {
			return 0, err
		}
		if n == nil || n.Settled(generation) {
			continue
		}
		one := Turned{Ordinal: o}
		if n.Next == nil || n.Next.Generation != generation {
			if one.Content, err = t.withoutGiven(n); err != nil {
				return 0, err
			}
		}
		if n.Generation == generation {
			one.Content = nil // its own vector stays
		}
		r.Nodes = append(r.Nodes, one)
	}
	if len(r.Nodes) == 0 {
		return 0, nil
	}
	if err := t.add(&Record{Kind: VectorsTurned, Turn: r}, nil); err != nil {
		return 0, err
	}
	for _, one := range r.Nodes {
		if err := dropStray(t.layer, t.space, one.Ordinal); err != nil {
			return 0, err
		}
	}
	return len(r.Nodes), nil
}

// Settled says whether a node has nothing of another generation.
func (n *Node) Settled(generation uint32) bool {
	return n.Next == nil && (n.Vector == 0 || n.Generation == generation)
}

// dropStray deletes the vectors of a node that neither it nor a version before it
// names.
func dropStray(s state, space memory.SpaceID, o memory.Ordinal) error {
	named := map[uint32]bool{}
	note := func(v []byte) error {
		n, err := parseNode(space, o, v)
		if err == nil {
			for _, x := range n.vectorNumbers() {
				named[x] = true
			}
		}
		return err
	}
	v, ok, err := s.get(nodeKey(space, o))
	if err == nil && ok {
		err = note(v)
	}
	if err != nil {
		return err
	}
	var failed error
	err = s.scan(u32(key(space, tableHistory), uint32(o)), func(_, v []byte) bool {
		failed = note(v)
		return failed == nil
	})
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	var stray [][]byte
	for _, tb := range []table{tableVector, tablePassages} {
		err := s.scan(u32(key(space, tb), uint32(o)), func(k, _ []byte) bool {
			if !named[binary.BigEndian.Uint32(k[headerSize+4:])] {
				stray = append(stray, bytes.Clone(k))
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	for _, k := range stray {
		s.del(k)
	}
	return nil
}

// vectorNumbers are those under which vectors of a node lie.
func (n *Node) vectorNumbers() (all []uint32) {
	if n.Vector != 0 {
		all = append(all, n.Vector)
	}
	if n.Next != nil {
		all = append(all, n.Next.Vector)
	}
	return all
}
