package engram

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// A Scope is what a key may do. No scope implies another but ScopeAdmin, which
// is all of them: a key that only writes cannot read what it wrote.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"  // get, list, recall, events
	ScopeWrite Scope = "write" // remember, update, forget, link
	ScopeAdmin Scope = "admin" // everything, also spaces, keys and profiles
)

// Scopes are those that there are.
var Scopes = []Scope{ScopeRead, ScopeWrite, ScopeAdmin}

// KeySpec says what a new key is to be.
type KeySpec struct {
	Name    string             // for people: 1-128 bytes on one line
	Scopes  []Scope            // at least one
	Spaces  []memory.SpaceName // that the key may see, whether they stand or not; none: all
	Expires time.Time          // zero: never
}

// Key is what is known of a key. The secret is not: only its digest is kept.
type Key struct {
	ID      string
	Name    string
	Scopes  []Scope
	Spaces  []memory.SpaceName // none: all
	Created time.Time
	Expires time.Time // zero: never

	CreatedBy string // who made it, see AsActor
	Rotated   time.Time
	RotatedBy string
	OldUntil  time.Time // until when the secret before the last rotation is good
	Revoked   time.Time
	RevokedBy string
	LastUsed  time.Time // to the hour after a restart; zero: not known to have been used

	digest [sha256.Size]byte // of the secret that was shown, in a Key from Authenticate
}

// State says in a word how a key stands at a time: active, expired or revoked.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired"
	}
	return "active"
}

// May says whether the key has a scope.
func (k *Key) May(s Scope) bool {
	return slices.Contains(k.Scopes, s) || slices.Contains(k.Scopes, ScopeAdmin)
}

// Sees says whether the key may know of a space.
func (k *Key) Sees(n memory.SpaceName) bool {
	return len(k.Spaces) == 0 || slices.Contains(k.Spaces, n)
}

// Bounds of keys.
const (
	MaxKeys         = 10_000
	MaxKeySpaces    = 256
	MaxRotateGrace  = 30 * 24 * time.Hour
	maxKeyNameBytes = 128
	// revokedKeptFor is how long a revoked key is listed: long enough to see in
	// an inquiry whose it was. The journal has it for ever.
	revokedKeptFor = 90 * 24 * time.Hour
	// useWrittenEvery is how often the last use of a key becomes a record.
	useWrittenEvery = time.Hour
)

// A secret is SecretPrefix, the key's id, "_" and 256 random bits. It is in
// base32 so that a double click takes all of it, and has a prefix so that a
// scanner of repositories and logs finds one that has leaked.
const (
	SecretPrefix = "engram_"
	idBytes      = 10
	randomBytes  = 32
	idLength     = 16 // of base32
	secretLength = len(SecretPrefix) + idLength + 1 + 52
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func randomWord(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base32Lower.EncodeToString(b)
}

func newSecret(id string) (secret string, digest [sha256.Size]byte) {
	secret = SecretPrefix + id + "_" + randomWord(randomBytes)
	return secret, sha256.Sum256([]byte(secret))
}

// idOfSecret gives the id inside a secret; false when it has not the form of one.
func idOfSecret(secret string) (string, bool) {
	if len(secret) != secretLength || !strings.HasPrefix(secret, SecretPrefix) || secret[len(SecretPrefix)+idLength] != '_' {
		return "", false
	}
	return secret[len(SecretPrefix):][:idLength], true
}

// keyRecord is a key as it lies under "key/<id>" among the settings of space 0.
//
// Digest is SHA-256 of the whole secret. A slow hash (argon2, bcrypt) makes a
// guess dear where secrets can be guessed; of 2^256 none can, with any hash, and
// a slow one would be paid by every request, or be a way to keep the server busy.
type keyRecord struct {
	Name      string             `cbor:"1,keyasint"`
	Scopes    []Scope            `cbor:"2,keyasint"`
	Spaces    []memory.SpaceName `cbor:"3,keyasint,omitempty"`
	Created   time.Time          `cbor:"4,keyasint"`
	CreatedBy string             `cbor:"5,keyasint,omitempty"`
	Expires   *time.Time         `cbor:"6,keyasint,omitempty"`
	Digest    []byte             `cbor:"7,keyasint"`
	Old       []byte             `cbor:"8,keyasint,omitempty"` // the digest before the last rotation
	OldUntil  *time.Time         `cbor:"9,keyasint,omitempty"`
	Rotated   *time.Time         `cbor:"10,keyasint,omitempty"`
	RotatedBy string             `cbor:"11,keyasint,omitempty"`
	Revoked   *time.Time         `cbor:"12,keyasint,omitempty"`
	RevokedBy string             `cbor:"13,keyasint,omitempty"`
}

// Names of settings. Keys and their uses lie apart, so that a use does not look
// like a change.
const (
	keySetting = "key/"
	useSetting = "key-use/"
)

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOr0(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// A keyEntry is a key in memory. It is replaced whole when its record changes.
type keyEntry struct {
	id      string
	record  keyRecord // shared; not changed
	broken  error     // why the record cannot be read: such a key lets nobody in
	changed chan struct{}
	used    *keyUse // the same for all entries of one id
}

// keyUse is when a key was used, in Unix nanoseconds; 0 is never. Dates that do
// not fit (before 1678, after 2262) are not those of a running server.
type keyUse struct {
	last    atomic.Int64
	written atomic.Int64 // what the store has, or is about to get
}

// keyring is the keys in memory. Readers take the table as it is; it is replaced
// when the journal says so, on the committing goroutine, before the caller who
// changed a key has the answer.
type keyring struct {
	table atomic.Pointer[map[string]*keyEntry]
	mu    sync.Mutex // held while the table is replaced
}

func (r *keyring) entries() map[string]*keyEntry {
	if t := r.table.Load(); t != nil {
		return *t
	}
	return nil
}

// load reads all keys, at Open. A record that cannot be read does not stop the
// database; its key lets nobody in, and keys stay required.
func (r *keyring) load(db *DB, v *store.View) error {
	err := v.Settings(0, keySetting, func(name string, value []byte) bool {
		r.put(name, value)
		return true
	})
	if err != nil {
		return err
	}
	for id, e := range r.entries() {
		if e.broken != nil {
			db.opts.Logger.Error("a key cannot be read and lets nobody in", "key", id, "error", e.broken)
		}
	}
	return v.Settings(0, useSetting, func(name string, value []byte) bool {
		var at time.Time
		if e := r.entries()[strings.TrimPrefix(name, useSetting)]; e != nil && store.Decode(value, &at) == nil {
			e.used.last.Store(at.UnixNano())
			e.used.written.Store(at.UnixNano())
		}
		return true
	})
}

// follow takes up a record of space 0.
func (r *keyring) follow(s *store.Setting) {
	if strings.HasPrefix(s.Name, keySetting) {
		r.put(s.Name, s.Value)
	}
}

func (r *keyring) put(name string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := strings.TrimPrefix(name, keySetting)
	next := maps.Clone(r.entries())
	if next == nil {
		next = map[string]*keyEntry{}
	}
	old := next[id]
	if len(value) == 0 {
		delete(next, id)
	} else {
		e := &keyEntry{id: id, changed: make(chan struct{}), used: new(keyUse)}
		if old != nil {
			e.used = old.used
		}
		e.broken = store.Decode(value, &e.record)
		next[id] = e
	}
	r.table.Store(&next) // before old.changed: who is woken finds the new one
	if old != nil {
		close(old.changed)
	}
}

func (e *keyEntry) key() Key {
	r := &e.record
	k := Key{ID: e.id, Name: r.Name, Scopes: r.Scopes, Spaces: r.Spaces, Created: r.Created.UTC(), CreatedBy: r.CreatedBy, Expires: timeOr0(r.Expires),
		Rotated: timeOr0(r.Rotated), RotatedBy: r.RotatedBy, OldUntil: timeOr0(r.OldUntil), Revoked: timeOr0(r.Revoked), RevokedBy: r.RevokedBy}
	if n := e.used.last.Load(); n != 0 {
		k.LastUsed = time.Unix(0, n).UTC()
	}
	return k
}

// Reasons why a key is refused. Only who has the right secret learns more than
// that it is no key.
var (
	ErrKeyInvalid = memory.Errorf(memory.KindUnauthenticated, "key_invalid", "this is not a key of this database").Hinted("send Authorization: Bearer and the secret that engram key create showed")
	ErrKeyExpired = memory.Errorf(memory.KindUnauthenticated, "key_expired", "the key has expired, or was rotated and its old secret's time is over").Hinted("make a new key, or use the new secret")
	ErrKeyRevoked = memory.Errorf(memory.KindUnauthenticated, "key_revoked", "the key was revoked").Hinted("ask who gave it to you for another")
)

// KeysDefined says whether there is a key, or was one: from the first on a
// caller needs one, also when all are revoked.
func (db *DB) KeysDefined() bool { return len(db.keys.entries()) > 0 }

// Authenticate finds the key of a secret: ErrKeyInvalid, ErrKeyExpired or
// ErrKeyRevoked when it lets nobody in. It reads memory alone. The slices of the
// answer are shared and must not be changed.
func (db *DB) Authenticate(secret string) (Key, error) {
	id, ok := idOfSecret(secret)
	if !ok {
		return Key{}, ErrKeyInvalid
	}
	now := db.Now()
	k, e, err := db.keys.check(id, sha256.Sum256([]byte(secret)), now)
	if err != nil {
		return Key{}, err
	}
	db.use(e, now)
	return k, nil
}

// StillGood says whether a key from Authenticate is good at this moment, for who
// has held it for a while. It is not a use.
func (db *DB) StillGood(k *Key) error {
	_, _, err := db.keys.check(k.ID, k.digest, db.Now())
	return err
}

// check says whether a digest opens the key now.
func (r *keyring) check(id string, digest [sha256.Size]byte, now time.Time) (Key, *keyEntry, error) {
	e := r.entries()[id]
	if e == nil || e.broken != nil {
		return Key{}, nil, ErrKeyInvalid
	}
	// Both are compared always: how long it takes tells neither which was nearer
	// nor whether the key was ever rotated.
	current := subtle.ConstantTimeCompare(digest[:], e.record.Digest) == 1
	old := subtle.ConstantTimeCompare(digest[:], e.record.Old) == 1
	switch {
	case !current && !old:
		return Key{}, nil, ErrKeyInvalid
	case e.record.Revoked != nil:
		return Key{}, nil, ErrKeyRevoked
	case e.record.Expires != nil && !now.Before(*e.record.Expires):
		return Key{}, nil, ErrKeyExpired
	case !current && (e.record.OldUntil == nil || !now.Before(*e.record.OldUntil)):
		return Key{}, nil, ErrKeyExpired
	}
	k := e.key()
	k.digest = digest
	return k, e, nil
}

// end is when the digest stops opening the key; zero: never.
func (e *keyEntry) end(digest [sha256.Size]byte) time.Time {
	end := timeOr0(e.record.Expires)
	if until := timeOr0(e.record.OldUntil); !until.IsZero() && subtle.ConstantTimeCompare(digest[:], e.record.Digest) != 1 && (end.IsZero() || until.Before(end)) {
		return until
	}
	return end
}

// use notes that a key was used, and once an hour writes it.
func (db *DB) use(e *keyEntry, now time.Time) {
	n := now.UnixNano()
	if e.used.last.Load() < n {
		e.used.last.Store(n)
	}
	written := e.used.written.Load()
	if n-written < int64(useWrittenEvery) || db.opts.ReadOnly || !e.used.written.CompareAndSwap(written, n) {
		return
	}
	db.run.startUnlessClosing("key use", func() { // ends with its one commit
		_, err := db.shard.Commit(context.Background(), &store.Write{Decide: func(tx *store.Tx) error {
			if v, err := tx.Setting(keySetting + e.id); err != nil || v == nil {
				return err // gone meanwhile
			}
			return tx.PutSetting(useSetting+e.id, store.Encode(now))
		}})
		if err != nil && !db.run.closing() {
			db.opts.Logger.Warn("the use of a key is not written; it is tried again in an hour", "key", e.id, "error", err)
		}
	})
}

// WithKey gives a context that ends, with the reason as its cause, when a key
// from Authenticate is revoked, expires, or its secret is over after a rotation.
// Whoever works for long for one caller works under it. stop releases what
// watches.
func (db *DB) WithKey(ctx context.Context, k Key) (_ context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	started := db.run.startUnlessClosing("key watch", func() { // ends with ctx, or Close
		cancel(db.watch(ctx, k))
	})
	if !started {
		cancel(store.ErrClosed)
	}
	return ctx, func() { cancel(context.Canceled) }
}

// watch returns why the key is over; nil when ctx ends first.
func (db *DB) watch(ctx context.Context, k Key) error {
	for {
		now := db.Now()
		_, e, err := db.keys.check(k.ID, k.digest, now)
		if err != nil {
			return err
		}
		var expiry <-chan time.Time
		if end := e.end(k.digest); !end.IsZero() {
			expiry = db.opts.Clock.After(end.Sub(now))
		}
		select {
		case <-e.changed:
		case <-expiry:
		case <-ctx.Done():
			return nil
		case <-db.run.stop:
			return store.ErrClosed
		}
	}
}

// CreateKey makes a key. The secret is shown this once: nothing can find it
// again. The first key is one of admin, or no server could be given another.
func (db *DB) CreateKey(ctx context.Context, spec KeySpec) (Key, string, error) {
	const op = "create_key"
	if err := spec.check(db.Now()); err != nil {
		return Key{}, "", memory.InOp(op, err)
	}
	id := randomWord(idBytes)
	secret, digest := newSecret(id)
	_, err := db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		if err := db.keys.room(tx, spec); err != nil {
			return err
		}
		r := keyRecord{Name: spec.Name, Scopes: spec.Scopes, Spaces: spec.Spaces, Created: tx.Now(), CreatedBy: actorOf(ctx), Expires: optionalTime(spec.Expires), Digest: digest[:]}
		return putKey(tx, id, &r, Act{Who: r.CreatedBy, What: ActKeyCreated, Target: id, Note: spec.Name})
	}})
	k, err := db.changed(op, id, err)
	if err != nil {
		return Key{}, "", err
	}
	return k, secret, nil
}

func (s *KeySpec) check(now time.Time) error {
	if err := checkKeyName(s.Name); err != nil {
		return err
	}
	if len(s.Scopes) == 0 {
		return memory.Invalid("scopes_missing", "scopes", "scopes is empty; a key can have read, write, admin")
	}
	for i, sc := range s.Scopes {
		if !slices.Contains(Scopes, sc) {
			field := fmt.Sprintf("scopes[%d]", i)
			return memory.Invalid("word_unknown", field, "%s is %.48q; it can be read, write, admin", field, string(sc))
		}
	}
	if len(s.Spaces) > MaxKeySpaces {
		return memory.Invalid("list_too_long", "spaces", "spaces has %d names; a key can have at most %d, or all", len(s.Spaces), MaxKeySpaces)
	}
	for i, n := range s.Spaces {
		if n.Check() != nil {
			field := fmt.Sprintf("spaces[%d]", i)
			return memory.Invalid("space_name_invalid", field, "%s is %.80q, which is not 1-64 of a-z 0-9 - _, starting with a letter or digit", field, string(n))
		}
	}
	if len(s.Spaces) > 0 && slices.Contains(s.Scopes, ScopeAdmin) {
		return memory.Invalid("admin_of_spaces", "spaces", "spaces is given with the scope admin, which is over all spaces: it could make itself a key for the others").
			Hinted("leave spaces out, or give the scopes read and write")
	}
	if !s.Expires.IsZero() && !s.Expires.After(now) {
		return memory.Invalid("expiry_past", "expires_at", "expires_at lies in the past")
	}
	s.Scopes, s.Spaces = tidy(s.Scopes), tidy(s.Spaces)
	return nil
}

// tidy gives a sorted copy with each once.
func tidy[T ~string](list []T) []T {
	c := slices.Clone(list)
	slices.Sort(c)
	return slices.Compact(c)
}

func checkKeyName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return memory.Invalid("name_blank", "name", "name is blank; say whose key it is")
	case len(name) > maxKeyNameBytes:
		return memory.Invalid("name_too_long", "name", "name has %d bytes; at most %d are kept", len(name), maxKeyNameBytes)
	case !utf8.ValidString(name):
		return memory.Invalid("utf8_invalid", "name", "name is not UTF-8")
	case strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		return memory.Invalid("name_unprintable", "name", "name has a character that does not print")
	}
	return nil
}

// room refuses a key too many, and lets revoked ones go whose time is over. The
// table is that of the committed keys, as keys are made one at a time on the
// committing goroutine and two of one group may pass the bound by a few.
func (r *keyring) room(tx *store.Tx, spec KeySpec) error {
	all := r.entries()
	if len(all) == 0 && !slices.Contains(spec.Scopes, ScopeAdmin) {
		return memory.Errorf(memory.KindPrecondition, "first_key_not_admin", "the first key has not the scope admin: from then on nobody could make another through a server").
			Hinted("make one with the scope admin first")
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if rev := all[id].record.Revoked; rev == nil || tx.Now().Sub(*rev) < revokedKeptFor {
			continue
		}
		for _, name := range []string{keySetting + id, useSetting + id} {
			if err := tx.PutSetting(name, nil); err != nil {
				return err
			}
		}
	}
	if len(all) >= MaxKeys {
		return memory.Errorf(memory.KindConflict, "too_many_keys", "there are %d keys, which is the most", len(all)).
			Hinted("revoke keys that are not used; revoked ones count for %d days", int(revokedKeptFor/(24*time.Hour)))
	}
	return nil
}

func putKey(tx *store.Tx, id string, r *keyRecord, a Act) error {
	if err := tx.PutSetting(keySetting+id, store.Encode(r)); err != nil {
		return err
	}
	return a.put(tx)
}

// changed gives the key after a change of it, which the table has by then, and
// logs the act.
func (db *DB) changed(op, id string, err error) (Key, error) {
	if err != nil {
		return Key{}, memory.InOp(op, err)
	}
	e := db.keys.entries()[id]
	if e == nil {
		return Key{}, memory.InOp(op, keyNotFound(id))
	}
	return e.key(), nil
}

func keyNotFound(id string) error {
	return memory.NotFound("key_not_found", "there is no key %.48q", id).Hinted("engram key list shows those that there are")
}

// changeKey changes a key that stands.
func (db *DB) changeKey(ctx context.Context, op, id string, change func(tx *store.Tx, r *keyRecord) (Act, error)) (Key, error) {
	_, err := db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		if len(id) != idLength {
			return keyNotFound(id)
		}
		b, err := tx.Setting(keySetting + id)
		if err != nil {
			return err
		}
		if b == nil {
			return keyNotFound(id)
		}
		var r keyRecord
		if err := store.Decode(b, &r); err != nil && op != "revoke_key" { // one that cannot be read can still be revoked
			return memory.Errorf(memory.KindCorrupt, "corrupt", "the record of key %s cannot be read", id).Hinted("revoke it, and make another")
		}
		act, err := change(tx, &r)
		if err != nil || act.What == "" {
			return err
		}
		return putKey(tx, id, &r, act)
	}})
	return db.changed(op, id, err)
}

// RotateKey gives a key another secret. The one before stays good for grace, at
// most MaxRotateGrace; the one before that ends now. key_not_found, or key_ended
// (conflict) for one that is revoked or expired.
func (db *DB) RotateKey(ctx context.Context, id string, grace time.Duration) (Key, string, error) {
	const op = "rotate_key"
	if grace < 0 || grace > MaxRotateGrace {
		return Key{}, "", memory.InOp(op, memory.Invalid("grace_out_of_range", "grace", "grace is %v; it lies between 0 and %v", grace, MaxRotateGrace))
	}
	secret, digest := newSecret(id)
	k, err := db.changeKey(ctx, op, id, func(tx *store.Tx, r *keyRecord) (Act, error) {
		now := tx.Now()
		if r.Revoked != nil || r.Expires != nil && !now.Before(*r.Expires) {
			return Act{}, memory.Errorf(memory.KindConflict, "key_ended", "key %s is revoked or expired; a rotation does not bring it back", id).Hinted("make a new key")
		}
		until := now.Add(grace)
		r.Old, r.OldUntil, r.Digest = r.Digest, &until, digest[:]
		r.Rotated, r.RotatedBy = &now, actorOf(ctx)
		return Act{Who: r.RotatedBy, What: ActKeyRotated, Target: id, Note: r.Name}, nil
	})
	if err != nil {
		return Key{}, "", err
	}
	return k, secret, nil
}

// RevokeKey ends a key at once, also in the middle of what is done with it. A
// key that is revoked already stays as it is. key_not_found.
func (db *DB) RevokeKey(ctx context.Context, id string) (Key, error) {
	return db.changeKey(ctx, "revoke_key", id, func(tx *store.Tx, r *keyRecord) (Act, error) {
		if r.Revoked != nil {
			return Act{}, nil
		}
		now := tx.Now()
		r.Revoked, r.RevokedBy = &now, actorOf(ctx)
		return Act{Who: r.RevokedBy, What: ActKeyRevoked, Target: id, Note: r.Name}, nil
	})
}

// Keys lists keys by id, revoked and expired ones too, after the id that is
// given, at most n.
func (db *DB) Keys(after string, n int) ([]Key, error) {
	if err := db.Ready(); err != nil {
		return nil, memory.InOp("list_keys", err)
	}
	all := db.keys.entries()
	var keys []Key
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if id > after && len(keys) < n {
			keys = append(keys, all[id].key())
		}
	}
	return keys, nil
}

// SpaceNotFound is what is said of a space that is not there, for a door that
// must say it of one that the caller may not know of.
func SpaceNotFound(name memory.SpaceName) error { return spaceNotFound(name) }
