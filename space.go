package engram

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Space is the handle of one space. It is safe for concurrent use.
type Space struct {
	db      *DB
	id      memory.SpaceID
	name    memory.SpaceName
	state   atomic.Pointer[store.SpaceState]
	dropped atomic.Bool

	// heard is the newest record that the committer has published since Open,
	// and who waits for the next.
	heard struct {
		sync.Mutex
		lsn  memory.LSN
		next chan struct{} // closed at the next record; nil when nobody waits
	}
}

// Name of the space.
func (s *Space) Name() memory.SpaceName { return s.name }

// Settings of the space.
func (s *Space) Settings() memory.Settings { return s.state.Load().Settings }

// alive fails when the space has been dropped or the database closes.
func (s *Space) alive() error {
	if s.dropped.Load() {
		return spaceNotFound(s.name)
	}
	return s.db.Ready()
}

// view pins the newest durable state.
func (s *Space) view() (*store.View, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	return s.db.shard.View()
}

// Info reads settings, counts and the state of the indexes.
func (s *Space) Info(ctx context.Context) (SpaceInfo, error) {
	info, err := s.info()
	return info, memory.InOp("space", err)
}

func (s *Space) info() (SpaceInfo, error) {
	v, err := s.view()
	if err != nil {
		return SpaceInfo{}, err
	}
	defer v.Close()
	st := s.state.Load()
	info := SpaceInfo{Name: s.name, ID: s.id, Settings: st.Settings, Created: st.Created, Version: st.Version}
	m, err := v.Meta(s.id)
	if err != nil {
		return info, err
	}
	info.LSN = m.LSN
	info.Counts = Counts{Episodes: m.Counts.Episodes, Concepts: m.Counts.Concepts, Entities: m.Counts.Entities, Links: m.Counts.Links}
	if info.Horizon, err = v.Horizon(s.id); err != nil {
		return info, err
	}
	info.Bytes, err = s.db.shard.SpaceBytes(s.id)
	info.Indexes = s.db.towers.indexes(s)
	info.Reembed = s.reembedding()
	return info, err
}

// LSN of the newest acknowledged record.
func (s *Space) LSN() (memory.LSN, error) {
	v, err := s.view()
	if err != nil {
		return 0, err
	}
	defer v.Close()
	s.heard.Lock()
	heard := s.heard.lsn
	s.heard.Unlock()
	if heard != 0 {
		return heard, nil // every view that is taken from now on has it
	}
	m, err := v.Meta(s.id)
	return m.LSN, err
}

// hear is told of a published record, on the committing goroutine.
func (s *Space) hear(l memory.LSN) {
	s.heard.Lock()
	defer s.heard.Unlock()
	s.heard.lsn = l
	if s.heard.next != nil {
		close(s.heard.next)
		s.heard.next = nil
	}
}

// WaitFor waits until the space's state has reached lsn. A number that the
// space has not given yet waits until ctx ends: timeout, or cancelled.
func (s *Space) WaitFor(ctx context.Context, lsn memory.LSN) error {
	for {
		s.heard.Lock()
		if s.heard.next == nil {
			s.heard.next = make(chan struct{})
		}
		next, heard := s.heard.next, s.heard.lsn
		s.heard.Unlock()
		if heard >= lsn {
			return nil
		}
		if now, err := s.LSN(); err != nil || now >= lsn {
			return memory.InOp("wait", err)
		}
		select {
		case <-next:
		case <-ctx.Done():
			return memory.InOp("wait", contextError(ctx, "the space has not reached LSN %d in time", lsn))
		case <-s.db.run.stop:
			return memory.InOp("wait", store.ErrClosed)
		}
	}
}

// contextError says what the end of a context means to the caller.
func contextError(ctx context.Context, format string, args ...any) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return memory.Errorf(memory.KindTimeout, "timeout", format, args...)
	}
	return memory.Errorf(memory.KindCancelled, "cancelled", "the caller went away")
}

// WriteOptions say how a write is done, apart from what is written.
type WriteOptions struct {
	OnConflict memory.OnConflict
	// Durability is accepted, and DurabilityProcess costs the same as
	// DurabilityDisk (docs/decisions): every write is on disk when it is answered.
	Durability memory.Durability
	IfMatch    uint32 // version that must stand; 0: any
	// IfLSN and IfStored tell that version from one of the same number: an id that is
	// forgotten and remembered begins at version 1 again. Zero: any. See Written.
	IfLSN    memory.LSN
	IfStored time.Time
	// WaitVector waits for the vector that the space's model makes, as long as the
	// context lasts; Written.Pending says whether it is still to come.
	WaitVector bool
	// WaitNone makes a batch that does not wait for vectors at all; without either
	// it waits for some seconds.
	WaitNone bool
	// MaxMemories refuses a write after which the space would have more memories and
	// concepts than that, and more than before; 0: no bound. It is looked at in the
	// commit, so that writes together cannot pass it. quota_exceeded (disk_full).
	MaxMemories uint64
	// IdempotencyKey, when not empty, makes a repeat of the same write within
	// 24 h return the first answer (Replayed). Caller tells keys of different
	// API keys apart. The same key with another body: idempotency_mismatch.
	IdempotencyKey string
	Caller         string
	// Body is what the key vouches for; nil is the arguments of the call. A door
	// whose arguments are made from what stands (a merge patch) gives the request.
	Body []byte
}

// Written is the answer of every write.
type Written struct {
	ID       memory.ID  `cbor:"1,keyasint"`
	LSN      memory.LSN `cbor:"2,keyasint"`
	Version  uint32     `cbor:"3,keyasint"`
	StoredAt time.Time  `cbor:"4,keyasint"`
	Outcome  Outcome    `cbor:"5,keyasint"`
	Pending  []string   `cbor:"6,keyasint,omitempty"` // what follows later: PendingVector
	Replayed bool       `cbor:"-"`                    // the first answer of an idempotency key
}

// PendingVector in Written.Pending says that the space's model has still to make
// the memory's vector.
const PendingVector = "vector"

// Outcome says what a write did.
type Outcome string

// The outcomes.
const (
	Created  Outcome = "created"
	Kept     Outcome = "kept"     // what stands is the same, or was to be kept
	Replaced Outcome = "replaced" // a new version stands
	Deleted  Outcome = "deleted"
)

// maxKeyBytes bounds an idempotency key.
const maxKeyBytes = 256

// commit runs decide as one write of the space, made idempotent by the
// options. answer points at what the caller returns: it is kept with the key,
// and filled from what was kept when the key is replayed. args is what the key
// vouches for when the options do not say.
func (s *Space) commit(ctx context.Context, op string, o WriteOptions, answer any, args [][]byte, decide func(*store.Tx) error) (store.Committed, error) {
	defer s.db.calls.enter()()
	w := &store.Write{Space: s.id}
	if len(o.IdempotencyKey) > maxKeyBytes {
		return store.Committed{}, memory.Invalid("idempotency_key_invalid", "idempotency_key", "the idempotency key has %d bytes; it has at most %d", len(o.IdempotencyKey), maxKeyBytes)
	}
	if o.IdempotencyKey != "" {
		w.Keyed, w.Key = true, store.DigestKey([]byte(o.Caller), []byte(o.IdempotencyKey))
		if o.Body != nil {
			args = [][]byte{o.Body}
		}
		w.Body = store.DigestKey(append([][]byte{[]byte(op)}, args...)...)
	}
	w.Decide = func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		before := memoriesOf(tx.Meta())
		if err := decide(tx); err != nil {
			return err
		}
		if n := memoriesOf(tx.Meta()); o.MaxMemories > 0 && n > before && n > o.MaxMemories {
			return QuotaExceeded(s.name, "memories", before, o.MaxMemories)
		}
		if w.Keyed {
			tx.Answer(store.Encode(answer))
		}
		return nil
	}
	c, err := s.db.shard.Commit(ctx, w)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return c, contextError(ctx, "the write did not get its turn in time; nothing has been stored")
	}
	if err == nil && c.Replayed {
		err = store.Decode(c.Answer, answer)
	}
	return c, err
}
