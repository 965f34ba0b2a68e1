package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"

	"github.com/engramdb/engram/memory"
)

var mapType = reflect.TypeOf(map[string]any(nil))

// Payload is what a caller said, as bytes: the head (CBOR) and the vector
// (float32, little endian). Made is the vector that a model has made of it, when the
// caller gave none: it is stored with the version, and no part of what was said.
type Payload struct {
	Head   []byte
	Vector []byte
	Made   []byte
	// Generation of models that the vector is of: see turn.go.
	Generation uint32

	madeDigest []byte
	sealed     *seal
}

// WithMade gives a payload without a vector the one that a model has made.
func (p Payload) WithMade(v []float32) Payload {
	p.Made = EncodeVector(v)
	sum := sha256.Sum256(p.Made)
	p.madeDigest = sum[:]
	return p
}

// seal is the digest of a payload, made where the payload is encoded: on the
// caller's goroutine and not on the one that commits.
type seal struct {
	head, vector []byte
	digest       []byte
}

func sealed(p Payload) Payload {
	p.sealed = &seal{p.Head, p.Vector, p.Digest()}
	return p
}

// same says whether two slices are one.
func same(a, b []byte) bool { return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b) }

// EncodeEpisode makes the payload of a normalized episode.
func EncodeEpisode(e *memory.Episode) (Payload, error) {
	head, err := encoder.Marshal(e)
	return sealed(Payload{Head: head, Vector: EncodeVector(e.Vector)}), err
}

// DecodeEpisode reads the head of a memory's payload.
func DecodeEpisode(head []byte) (memory.Episode, error) {
	var e memory.Episode
	err := decode(head, &e)
	if e.Happened != nil {
		e.Happened.From, e.Happened.To = utc(e.Happened.From), utc(e.Happened.To)
	}
	if e.ExpiresAt != nil {
		t := utc(*e.ExpiresAt)
		e.ExpiresAt = &t
	}
	for i := range e.Links {
		utcValidity(e.Links[i].Valid)
	}
	return e, err
}

// EncodeEntity makes the payload of a normalized entity.
func EncodeEntity(e *memory.Entity) (Payload, error) {
	head, err := encoder.Marshal(e)
	return sealed(Payload{Head: head}), err
}

// DecodeEntity reads the payload of an entity.
func DecodeEntity(head []byte) (memory.Entity, error) {
	var e memory.Entity
	err := decode(head, &e)
	return e, err
}

// EncodeMetadata makes the payload of a link; none is nil.
func EncodeMetadata(m memory.Metadata) ([]byte, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return encoder.Marshal(m)
}

// DecodeMetadata reads the payload of a link.
func DecodeMetadata(b []byte) (memory.Metadata, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var m memory.Metadata
	err := decode(b, &m)
	return m, err
}

// EncodeVector writes float32s, little endian.
func EncodeVector(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

// DecodeVector reads what EncodeVector wrote; a length that is no multiple of
// four is corrupt and gives nil.
func DecodeVector(b []byte) []float32 {
	if len(b)%4 != 0 || len(b) == 0 {
		return nil
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// Digest is SHA-256 over the length of the head (8 bytes, little endian), the
// head and the vector: the content of a version. The bytes of a payload that was
// encoded are not changed in place.
func (p Payload) Digest() []byte {
	if s := p.sealed; s != nil && same(s.head, p.Head) && same(s.vector, p.Vector) {
		return s.digest
	}
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(p.Head)))
	h.Write(n[:])
	h.Write(p.Head)
	h.Write(p.Vector)
	return h.Sum(nil)
}

// DigestKey shortens SHA-256 over parts to the 16 bytes of a key. The length of
// each part is hashed with it, so that parts cannot run together.
func DigestKey(parts ...[]byte) (d [16]byte) {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	copy(d[:], h.Sum(nil))
	return d
}

func utcValidity(v *memory.Validity) {
	if v == nil {
		return
	}
	if v.From != nil {
		t := utc(*v.From)
		v.From = &t
	}
	if v.To != nil {
		t := utc(*v.To)
		v.To = &t
	}
}

func (n *Node) utc() *Node { n.Stored = utc(n.Stored); return n }

func (l *Link) utc() *Link {
	l.Stored = utc(l.Stored)
	utcValidity(l.Valid)
	return l
}

func (r *Record) utc() *Record {
	r.Time = utc(r.Time)
	if r.Node != nil {
		r.Node.utc()
	}
	if r.Link != nil {
		r.Link.utc()
	}
	if r.Space != nil {
		r.Space.Created = utc(r.Space.Created)
	}
	if r.Answer != nil {
		r.Answer.At = utc(r.Answer.At)
	}
	return r
}
