package store

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/engramdb/engram/memory"
)

// MaxRecordBytes bounds a record: it holds ids, digests and outcomes, never a payload.
const MaxRecordBytes = 1 << 20

// RecordKind says what a record tells. The numbers lie on disk; a kind whose
// meaning changes gets a new Format, and the old apply stays.
type RecordKind uint8

// The kinds of record.
const (
	NodeCreated  RecordKind = 1
	NodeRevised  RecordKind = 2
	NodesEnded   RecordKind = 3 // suppressed, deleted or erased
	NodesShown   RecordKind = 4 // suppressed ones are back
	LinkPut      RecordKind = 5
	LinksEnded   RecordKind = 6
	SpacePut     RecordKind = 7  // in space 0: created, or its settings changed
	SpaceDropped RecordKind = 8  // in space 0: unknown from here on
	SpaceGone    RecordKind = 9  // in space 0: no byte of it is left
	Answered     RecordKind = 10 // nothing changed, but an idempotency key has its answer
	Erased       RecordKind = 11 // the bytes that an earlier record erased are gone from every file
	SettingPut   RecordKind = 12 // a named value of the space, or of the database in space 0, such as an API key
	VectorPut    RecordKind = 13 // the vector that a model made of a version that stands
	// A merge of entities and its undo: see merge.go.
	EntitiesMerged RecordKind = 14
	LinksMoved     RecordKind = 15
	MergeUndone    RecordKind = 16
	PassagesPut    RecordKind = 20 // the vectors of its passages, after VectorPut; see passages.go
	// A space goes over to another model: see turn.go.
	VectorMade    RecordKind = 21 // as VectorPut, of a generation of models
	VectorsTurned RecordKind = 22 // nodes have the vectors of the generation in force, and no other
)

// Record is one entry of a journal. Exactly one of the pointers that its kind
// needs is set.
type Record struct {
	LSN    memory.LSN `cbor:"-"` // from the key
	Kind   RecordKind `cbor:"1,keyasint"`
	Format uint8      `cbor:"2,keyasint"` // 1 for all kinds so far
	Time   time.Time  `cbor:"3,keyasint"` // system time; within a space never steps back
	// Index and Size place the record in its commit: 0 of 1 when it stands alone.
	// A restore stops only where Index is Size-1.
	Index uint32 `cbor:"4,keyasint,omitempty"`
	Size  uint32 `cbor:"5,keyasint"`

	Node   *Node        `cbor:"6,keyasint,omitempty"`  // NodeCreated, NodeRevised: what stands from here on
	Nodes  *NodesChange `cbor:"7,keyasint,omitempty"`  // NodesEnded, NodesShown
	Link   *Link        `cbor:"8,keyasint,omitempty"`  // LinkPut
	Links  []memory.ID  `cbor:"9,keyasint,omitempty"`  // LinksEnded
	Space  *SpaceState  `cbor:"10,keyasint,omitempty"` // SpacePut, SpaceDropped, SpaceGone
	Answer *Answer      `cbor:"11,keyasint,omitempty"` // on the last record of a commit with an idempotency key
	Wiped  memory.LSN   `cbor:"12,keyasint,omitempty"` // Erased: the record whose bytes are gone
	Erase  bool         `cbor:"13,keyasint,omitempty"` // LinksEnded: because an end of them is erased

	Setting *Setting  `cbor:"14,keyasint,omitempty"` // SettingPut
	Vector  *VectorOf `cbor:"15,keyasint,omitempty"` // VectorPut

	Merge    *Merge       `cbor:"16,keyasint,omitempty"` // EntitiesMerged
	Moved    *LinksChange `cbor:"17,keyasint,omitempty"` // LinksMoved
	MergeEnd *MergeEnd    `cbor:"18,keyasint,omitempty"` // MergeUndone
	Passages *PassagesOf  `cbor:"20,keyasint,omitempty"` // PassagesPut
	Turn     *Turn        `cbor:"21,keyasint,omitempty"` // VectorsTurned
}

// Node is the state of a memory, concept or entity.
type Node struct {
	Ordinal    memory.Ordinal `cbor:"1,keyasint"`
	ID         memory.ID      `cbor:"2,keyasint"`
	Kind       memory.Kind    `cbor:"3,keyasint"`
	Version    uint32         `cbor:"4,keyasint"`           // from 1
	LSN        memory.LSN     `cbor:"5,keyasint"`           // of the record that made this version
	Stored     time.Time      `cbor:"6,keyasint"`           // system time of this version
	Digest     []byte         `cbor:"7,keyasint"`           // of the payload, see Payload.Digest
	Vector     uint32         `cbor:"8,keyasint,omitempty"` // version under which the vector lies; 0 is none
	Model      string         `cbor:"9,keyasint,omitempty"` // provenance of the vector
	Suppressed bool           `cbor:"10,keyasint,omitempty"`
	Made       []byte         `cbor:"12,keyasint,omitempty"` // digest of a vector that a model made (VectorPut); Digest does not cover it
	Name       []byte         `cbor:"11,keyasint,omitempty"` // of an entity: digest of type and name
	Into       memory.Ordinal `cbor:"13,keyasint,omitempty"` // the entity that this one has become part of; 0: it stands for itself
	Passages   []byte         `cbor:"20,keyasint,omitempty"` // digest of the passages' vectors, which lie under the version of the vector; none: there are none
	Generation uint32         `cbor:"21,keyasint,omitempty"` // of models that the vector is of: see turn.go
	Next       *NextVector    `cbor:"22,keyasint,omitempty"` // by the model that the space goes over to
}

// Setting is a named value; an empty one is removed.
type Setting struct {
	Name  string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint,omitempty"`
}

// VectorOf says that the vector of a version lies in the store now. It makes no
// new version: the content is what the caller said, the vector what a model made
// of it.
type VectorOf struct {
	Ordinal memory.Ordinal `cbor:"1,keyasint"`
	ID      memory.ID      `cbor:"2,keyasint"`
	Version uint32         `cbor:"3,keyasint"`
	Model   string         `cbor:"4,keyasint"`
	Digest  []byte         `cbor:"5,keyasint"` // SHA-256 of the vector's bytes

	// Of VectorMade alone.
	Number     uint32 `cbor:"6,keyasint,omitempty"` // under which it lies
	Generation uint32 `cbor:"7,keyasint,omitempty"`
	Next       bool   `cbor:"8,keyasint,omitempty"`  // it is of the model to come
	Content    []byte `cbor:"9,keyasint,omitempty"`  // see NextVector.Content
	Passages   []byte `cbor:"10,keyasint,omitempty"` // digest of its passages, which lie under the same number; none: it has none
}

// NodesChange says what happens to a list of nodes.
type NodesChange struct {
	Mode     memory.ForgetMode `cbor:"1,keyasint"`
	Ordinals []memory.Ordinal  `cbor:"2,keyasint"`
	IDs      []memory.ID       `cbor:"3,keyasint"` // in the same order
	Reason   string            `cbor:"4,keyasint,omitempty"`
}

// erasing lists what a record erased and what is not wiped from disk yet.
type erasing struct {
	Ordinals []memory.Ordinal `cbor:"1,keyasint,omitempty"`
	Links    []memory.ID      `cbor:"2,keyasint,omitempty"`
}

// Link is the state of a link; its metadata is a payload.
type Link struct {
	ID       memory.ID        `cbor:"1,keyasint"`
	From     memory.Ordinal   `cbor:"2,keyasint"`
	To       memory.Ordinal   `cbor:"3,keyasint"`
	FromID   memory.ID        `cbor:"4,keyasint"`
	ToID     memory.ID        `cbor:"5,keyasint"`
	Type     string           `cbor:"6,keyasint"`
	Weight   float64          `cbor:"7,keyasint"`
	Valid    *memory.Validity `cbor:"8,keyasint,omitempty"`
	Rule     string           `cbor:"9,keyasint"`
	Version  uint32           `cbor:"10,keyasint"`
	LSN      memory.LSN       `cbor:"11,keyasint"`
	Stored   time.Time        `cbor:"12,keyasint"`
	Metadata []byte           `cbor:"13,keyasint,omitempty"` // digest of the payload; empty: there is none

	RuleVersion uint32 `cbor:"14,keyasint,omitempty"` // of the rule that made it; 0: a caller
}

// SpaceState is what space 0 knows of a space.
type SpaceState struct {
	ID       memory.SpaceID   `cbor:"1,keyasint"`
	Name     memory.SpaceName `cbor:"2,keyasint"`
	Settings memory.Settings  `cbor:"3,keyasint"`
	Created  time.Time        `cbor:"4,keyasint"`
	Version  uint32           `cbor:"5,keyasint"` // of the settings, from 1

	// Generation says which of a node's vectors are those of the model in Settings.
	Generation uint32     `cbor:"10,keyasint,omitempty"`
	Next       *NextModel `cbor:"11,keyasint,omitempty"` // the model that the space goes over to
	Turning    bool       `cbor:"12,keyasint,omitempty"` // nodes may still have vectors of another generation
	TurnJob    string     `cbor:"13,keyasint,omitempty"` // the job that takes it there
}

// Answer is what a write with an idempotency key was answered.
type Answer struct {
	Key  [16]byte  `cbor:"1,keyasint"`
	Body [16]byte  `cbor:"2,keyasint"`
	At   time.Time `cbor:"3,keyasint"`
	Data []byte    `cbor:"4,keyasint"`
}

// AnswerTTL is how long an idempotency key keeps its answer.
const AnswerTTL = 24 * time.Hour

// Meta is the head of a space's journal.
type Meta struct {
	LSN         memory.LSN     `cbor:"1,keyasint"` // of the newest record
	NextOrdinal memory.Ordinal `cbor:"2,keyasint"` // 1 for the first node
	Time        time.Time      `cbor:"3,keyasint"` // of the newest record
	Counts      Counts         `cbor:"4,keyasint"`
	OldestKey   int64          `cbor:"5,keyasint,omitempty"` // seconds of the oldest answer that is kept; 0: none
	NextSpace   memory.SpaceID `cbor:"6,keyasint,omitempty"` // in space 0
	// Chain is SHA-256 over the chain before and the bytes of the newest record:
	// two journals with the same chain are the same, and verification finds a
	// changed record also where the state does not repeat what it says.
	Chain []byte `cbor:"7,keyasint,omitempty"`
}

// link lengthens the chain by a record's bytes.
func (m *Meta) link(record []byte) {
	h := sha256.New()
	h.Write(m.Chain)
	h.Write(record)
	m.Chain = h.Sum(nil)
}

// Counts of what lives in a space; suppressed nodes count.
type Counts struct {
	Episodes uint64 `cbor:"1,keyasint,omitempty"`
	Concepts uint64 `cbor:"2,keyasint,omitempty"`
	Entities uint64 `cbor:"3,keyasint,omitempty"`
	Links    uint64 `cbor:"4,keyasint,omitempty"`
}

// Everything on disk is deterministic CBOR (RFC 8949, 4.2.1): the same value
// gives the same bytes on every platform, so digests can be kept.
var (
	encoder = must(cbor.EncOptions{
		Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloat16, NaNConvert: cbor.NaNConvert7e00,
		InfConvert: cbor.InfConvertFloat16, IndefLength: cbor.IndefLengthForbidden, Time: cbor.TimeRFC3339Nano,
	}.EncMode())
	decoder = must(cbor.DecOptions{
		IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 16, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 16,
		DefaultMapType: mapType,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(v any) []byte { return must(encoder.Marshal(v)) } // our own types: cannot fail

func decode(b []byte, v any) error {
	if err := decoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// utc brings decoded times to UTC, whose encoding is canonical.
func utc(t time.Time) time.Time { return t.UTC() }
