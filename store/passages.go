package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/engramdb/engram/memory"
)

// Passages are the vectors that a model made of the parts of a long text, beside the
// one of its beginning: a model reads only so much of a text at once.
type Passages struct {
	Spans   []PassageSpan
	Vectors [][]float32 // one for each span, of one dimension
}

// PassageSpan is a part of a memory's text, in bytes.
type PassageSpan struct{ From, To uint32 }

// PassagesOf says that the passages of a version lie in the store now, under the
// version of its vector. Like VectorOf it makes no new version.
type PassagesOf struct {
	Ordinal memory.Ordinal `cbor:"1,keyasint"`
	ID      memory.ID      `cbor:"2,keyasint"`
	Version uint32         `cbor:"3,keyasint"`
	Digest  []byte         `cbor:"4,keyasint"` // SHA-256 of the payload's bytes
}

// MaxPassages bounds the passages of one memory.
const MaxPassages = 256

// EncodePassages writes passages as docs/format/payload.md says.
func EncodePassages(p *Passages) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(p.Spans)))
	for _, s := range p.Spans {
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, s.From), s.To)
	}
	for _, v := range p.Vectors {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	return b
}

var errPassages = errors.New("they are not passages")

// DecodePassages reads what EncodePassages wrote.
func DecodePassages(b []byte) (*Passages, error) {
	if len(b) < 4 {
		return nil, errPassages
	}
	n := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n < 1 || n > MaxPassages || len(b) < 8*n {
		return nil, errPassages
	}
	p := &Passages{Spans: make([]PassageSpan, n), Vectors: make([][]float32, n)}
	for i := range p.Spans {
		s := PassageSpan{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		if s.From >= s.To {
			return nil, errPassages
		}
		p.Spans[i], b = s, b[8:]
	}
	if len(b) == 0 || len(b)%(4*n) != 0 {
		return nil, errPassages
	}
	size := len(b) / n
	for i := range p.Vectors {
		p.Vectors[i] = DecodeVector(b[i*size : (i+1)*size])
	}
	return p, nil
}

// PutPassages adds the passages of a version that stands and has got its vector by
// PutVector. Those of a later generation of models come with their vector (PutVectorOf).
func (t *Tx) PutPassages(n *Node, p *Passages, attachment any) error {
	b := EncodePassages(p)
	digest := sha256.Sum256(b)
	t.layer.set(passagesKey(t.space, n.Ordinal, n.Version), b)
	t.bytes += len(b)
	return t.add(&Record{Kind: PassagesPut, Passages: &PassagesOf{n.Ordinal, n.ID, n.Version, digest[:]}}, attachment)
}

func (a applier) passagesPut(p *PassagesOf) error {
	if p == nil {
		return errPassages
	}
	n, err := getNode(a.s, a.space, p.Ordinal)
	if err != nil {
		return err
	}
	if n.Version != p.Version || n.Vector != p.Version {
		return fmt.Errorf("the passages are of version %d where %d stands with the vector of %d", p.Version, n.Version, n.Vector)
	}
	n.Passages = p.Digest
	a.s.set(nodeKey(a.space, p.Ordinal), encode(n))
	return nil
}

// Passages reads those that lie under a version (Node.Vector of a node that has
// Passages).
func (v *View) Passages(space memory.SpaceID, o memory.Ordinal, version uint32) (*Passages, error) {
	b, _, err := v.d.get(passagesKey(space, o, version))
	if err != nil {
		return nil, err
	}
	p, err := DecodePassages(b)
	if err != nil {
		return nil, corrupt(space, "passages of node", uint64(o), err)
	}
	return p, nil
}

// AllPassages calls f for all that are stored with their node and version, until f
// says false. The bytes belong to the view: DecodePassages copies.
func (v *View) AllPassages(space memory.SpaceID, f func(o memory.Ordinal, version uint32, b []byte) bool) error {
	return v.payloads(space, tablePassages, f)
}

// passagesOf checks those that a version names against their digest.
func (c *check) passagesOf(n *Node, k []byte, number, generation uint32, digest []byte) error {
	if len(digest) == 0 {
		return nil
	}
	c.passages[version{n.Ordinal, number}] = true
	b, _, err := c.v.d.get(passagesKey(c.space, n.Ordinal, number))
	if err != nil {
		return c.note(k, err)
	}
	if sum := sha256.Sum256(b); string(sum[:]) != string(digest) {
		c.found("node", uint64(n.Ordinal), k, "the passages of version %d do not match their digest", number)
		return nil
	}
	p, err := DecodePassages(b)
	if err != nil {
		c.found("node", uint64(n.Ordinal), k, "the passages of version %d: %v", number, err)
	} else if dim := c.dimension(generation); dim != 0 && len(p.Vectors[0]) != dim {
		c.found("node", uint64(n.Ordinal), k, "its passages have %d numbers in a space of dimension %d", len(p.Vectors[0]), dim)
	}
	return nil
}
