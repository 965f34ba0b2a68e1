package engram

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// keyed opens a database on a clock that stands still.
func keyedDB(t testing.TB, fs vfs.FS, c clock.Clock, log *slog.Logger) *DB {
	t.Helper()
	db, err := Open(context.Background(), "data", Options{FS: fs, Clock: c, Logger: log, ReserveBytes: -1, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closeDB(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func mustKey(t testing.TB, db *DB, spec KeySpec) (Key, string) {
	t.Helper()
	k, secret, err := db.CreateKey(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

// refused wants an error of a code.
func refused(t testing.TB, what string, err error, code string) {
	t.Helper()
	var e *memory.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

var keyEpoch = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func TestKeyLife(t *testing.T) {
	ctx := AsActor(context.Background(), "key boss")
	fs, c := vfs.NewMem(), clock.NewVirtual(keyEpoch)
	db := keyedDB(t, fs, c, nil)
	if db.KeysDefined() {
		t.Error("a new database has keys")
	}
	_, _, err := db.CreateKey(ctx, KeySpec{Name: "reader", Scopes: []Scope{ScopeRead}})
	refused(t, "the first key reads", err, "first_key_not_admin")
	admin, adminSecret := mustKey(t, db, KeySpec{Name: "ops", Scopes: []Scope{ScopeAdmin}})
	k, secret, err := db.CreateKey(ctx, KeySpec{Name: "bot", Scopes: []Scope{ScopeWrite, ScopeRead, ScopeWrite}, Spaces: []memory.SpaceName{"b", "a"}, Expires: keyEpoch.Add(48 * time.Hour)})
	if err != nil || k.CreatedBy != "key boss" || !slices.Equal(k.Scopes, []Scope{ScopeRead, ScopeWrite}) || !slices.Equal(k.Spaces, []memory.SpaceName{"a", "b"}) {
		t.Fatalf("%+v %v", k, err)
	}
	if !strings.HasPrefix(secret, SecretPrefix+k.ID+"_") || len(secret) != secretLength {
		t.Errorf("secret %q", secret)
	}
	got, err := db.Authenticate(secret)
	if err != nil || got.ID != k.ID || !got.May(ScopeRead) || got.May(ScopeAdmin) || !got.Sees("a") || got.Sees("c") {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := db.Authenticate(adminSecret); err != nil || !got.May(ScopeRead) || !got.Sees("anything") {
		t.Errorf("admin: %+v %v", got, err)
	}
	for _, bad := range []string{"", "x", secret[:len(secret)-1], secret + "x", secret[:len(secret)-1] + "!", adminSecret[:len(SecretPrefix)+idLength] + secret[len(SecretPrefix)+idLength:],
		strings.ToUpper(secret), SecretPrefix + strings.Repeat("a", idLength) + "_" + strings.Repeat("a", 52)} {
		_, err := db.Authenticate(bad)
		refused(t, bad, err, "key_invalid")
	}

	// A rotation leaves the old secret its time.
	_, second, err := db.RotateKey(ctx, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, second} {
		if _, err := db.Authenticate(s); err != nil {
			t.Error(err)
		}
	}
	c.Advance(time.Hour)
	_, err = db.Authenticate(secret)
	refused(t, "after its grace", err, "key_expired")
	if _, err := db.Authenticate(second); err != nil {
		t.Error(err)
	}
	_, third, err := db.RotateKey(ctx, k.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Authenticate(second)
	refused(t, "without grace", err, "key_expired")
	_, err = db.Authenticate(secret)
	refused(t, "the secret before the last", err, "key_invalid")

	// All of it is there after a restart.
	closeDB(t, db)
	db = keyedDB(t, fs, c, nil)
	defer func() { closeDB(t, db) }()
	if !db.KeysDefined() {
		t.Error("the keys are gone")
	}
	if got, err := db.Authenticate(third); err != nil || got.RotatedBy != "key boss" || !got.Rotated.Equal(keyEpoch.Add(time.Hour)) {
		t.Errorf("%+v %v", got, err)
	}
	c.Advance(47 * time.Hour)
	_, err = db.Authenticate(third)
	refused(t, "at its expiry", err, "key_expired")
	_, _, err = db.RotateKey(ctx, k.ID, 0)
	refused(t, "rotate an expired one", err, "key_ended")

	for range 2 { // the second changes nothing
		r, err := db.RevokeKey(ctx, k.ID)
		if err != nil || r.State(db.Now()) != "revoked" || r.RevokedBy != "key boss" {
			t.Errorf("%+v %v", r, err)
		}
	}
	_, err = db.Authenticate(third)
	refused(t, "revoked", err, "key_revoked")
	_, err = db.Authenticate(secret[:len(secret)-1] + "b")
	refused(t, "the wrong secret of a revoked one", err, "key_invalid")
	_, err = db.RevokeKey(ctx, strings.Repeat("z", idLength))
	refused(t, "unknown", err, "key_not_found")
	_, err = db.RevokeKey(ctx, "../x")
	refused(t, "not an id", err, "key_not_found")
	if _, err := db.RevokeKey(ctx, admin.ID); err != nil || !db.KeysDefined() {
		t.Error("without a key that is good, none is needed any more:", err)
	}
	testKeyActs(t, db, admin.ID, k.ID)
}

func testKeyActs(t *testing.T, db *DB, admin, k string) {
	t.Helper()
	var said []string
	var after memory.LSN
	for {
		acts, next, err := db.Acts(after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range acts {
			if a.Time.IsZero() || a.LSN <= after {
				t.Errorf("%+v", a)
			}
			said = append(said, a.Who+" "+a.What+" "+a.Target)
		}
		if after = next; len(acts) == 0 {
			break
		}
	}
	want := []string{"local key_created " + admin, "key boss key_created " + k, "key boss key_rotated " + k, "key boss key_rotated " + k, "key boss key_revoked " + k, "key boss key_revoked " + admin}
	if !slices.Equal(said, want) {
		t.Errorf("acts\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

func TestKeySpecs(t *testing.T) {
	db := keyedDB(t, vfs.NewMem(), clock.NewVirtual(keyEpoch), nil)
	defer closeDB(t, db)
	read := []Scope{ScopeRead}
	for _, c := range []struct {
		spec        KeySpec
		code, field string
	}{
		{KeySpec{Scopes: read}, "name_blank", "name"},
		{KeySpec{Name: " ", Scopes: read}, "name_blank", "name"},
		{KeySpec{Name: strings.Repeat("x", 129), Scopes: read}, "name_too_long", "name"},
		{KeySpec{Name: "a\nb", Scopes: read}, "name_unprintable", "name"},
		{KeySpec{Name: "a\x1b[1m", Scopes: read}, "name_unprintable", "name"},
		{KeySpec{Name: "\xff", Scopes: read}, "utf8_invalid", "name"},
		{KeySpec{Name: "x"}, "scopes_missing", "scopes"},
		{KeySpec{Name: "x", Scopes: []Scope{"read", "root"}}, "word_unknown", "scopes[1]"},
		{KeySpec{Name: "x", Scopes: read, Spaces: []memory.SpaceName{"a", "../b"}}, "space_name_invalid", "spaces[1]"},
		{KeySpec{Name: "x", Scopes: read, Spaces: make([]memory.SpaceName, MaxKeySpaces+1)}, "list_too_long", "spaces"},
		{KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}, Spaces: []memory.SpaceName{"a"}}, "admin_of_spaces", "spaces"},
		{KeySpec{Name: "x", Scopes: read, Expires: keyEpoch}, "expiry_past", "expires_at"},
	} {
		_, secret, err := db.CreateKey(context.Background(), c.spec)
		refused(t, c.spec.Name, err, c.code)
		var e *memory.Error
		if errors.As(err, &e) && e.Field != c.field || secret != "" {
			t.Errorf("%v: field %q, secret %q", err, e.Field, secret)
		}
	}
	k, _ := mustKey(t, db, KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}})
	for _, grace := range []time.Duration{-1, MaxRotateGrace + 1} {
		_, _, err := db.RotateKey(context.Background(), k.ID, grace)
		refused(t, "grace", err, "grace_out_of_range")
	}
}

// TestSecretIsNotKept looks for the secret in all that is on disk and in the log.
func TestSecretIsNotKept(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	db := keyedDB(t, fs, clock.System, slog.New(slog.NewTextHandler(&log, nil)))
	_, secret := mustKey(t, db, KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}})
	k, again, err := db.RotateKey(context.Background(), mustID(t, db, secret), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, dir := range append(names, "") {
		files, _ := fs.List(fs.PathJoin("data", dir))
		for _, name := range files {
			path := fs.PathJoin("data", dir, name)
			f, err := fs.Open(path)
			if err != nil {
				continue
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(f); err == nil {
				seen = seen || bytes.Contains(b.Bytes(), []byte(k.ID))
				for _, s := range []string{secret, again} {
					if bytes.Contains(b.Bytes(), []byte(s[len(s)-52:])) {
						t.Errorf("%s has the secret", path)
					}
				}
			}
			_ = f.Close()
		}
	}
	if !seen {
		t.Error("not even the key's id is on disk: the test looks in the wrong place")
	}
	if strings.Contains(log.String(), secret[len(secret)-52:]) || !strings.Contains(log.String(), "what=key_rotated") {
		t.Errorf("the log: %s", &log)
	}
}

func mustID(t testing.TB, db *DB, secret string) string {
	t.Helper()
	k, err := db.Authenticate(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k.ID
}

// TestKeyFailsClosed: a key whose record is damaged lets nobody in, keeps keys
// required, and can be revoked.
func TestKeyFailsClosed(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := keyedDB(t, fs, clock.System, nil)
	k, secret := mustKey(t, db, KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}})
	_, err := db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error { return tx.PutSetting(keySetting+k.ID, []byte{0xff}) }})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		_, err := db.Authenticate(secret)
		refused(t, "damaged", err, "key_invalid")
		if !db.KeysDefined() {
			t.Error("no key is needed any more")
		}
	}
	check()
	closeDB(t, db)
	db = keyedDB(t, fs, clock.System, nil)
	defer closeDB(t, db)
	check()
	_, _, err = db.RotateKey(ctx, k.ID, 0)
	refused(t, "rotate", err, "corrupt")
	if _, err := db.RevokeKey(ctx, k.ID); err != nil {
		t.Error(err)
	}
	check()
	if _, _, err := db.CreateKey(ctx, KeySpec{Name: "y", Scopes: []Scope{ScopeRead}}); err != nil {
		t.Error(err)
	}
}

// TestKeyUse: the last use is exact in memory, and a record at most once an hour.
func TestKeyUse(t *testing.T) {
	fs, c := vfs.NewMem(), clock.NewVirtual(keyEpoch)
	db := keyedDB(t, fs, c, nil)
	_, secret := mustKey(t, db, KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}})
	records := func() (n int) {
		v, err := db.shard.View()
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		err = v.Records(0, 0, func(r *store.Record) (bool, error) {
			if r.Kind == store.SettingPut && strings.HasPrefix(r.Setting.Name, useSetting) {
				n++
			}
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	use := func() {
		for range 100 {
			mustID(t, db, secret)
		}
	}
	use()
	for records() == 0 { // until the one that writes has done so
		runtime.Gosched()
	}
	c.Advance(59 * time.Minute)
	use()
	if k, err := db.Keys("", 10); err != nil || len(k) != 1 || !k[0].LastUsed.Equal(keyEpoch.Add(59*time.Minute)) {
		t.Errorf("%+v %v", k, err)
	}
	c.Advance(time.Minute)
	use()
	for records() == 1 {
		runtime.Gosched()
	}
	closeDB(t, db)
	db = keyedDB(t, fs, c, nil)
	defer closeDB(t, db)
	if n := records(); n != 2 {
		t.Errorf("%d records of uses, want 2", n)
	}
	if k, err := db.Keys("", 10); err != nil || !k[0].LastUsed.Equal(keyEpoch.Add(time.Hour)) {
		t.Errorf("after a restart: %+v %v", k, err)
	}
}

// TestWithKey: work under a key ends with it, for the right reason.
func TestWithKey(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(keyEpoch)
	db := keyedDB(t, vfs.NewMem(), c, nil)
	defer closeDB(t, db)
	mustKey(t, db, KeySpec{Name: "ops", Scopes: []Scope{ScopeAdmin}})
	under := func(expires time.Time) (Key, context.Context) {
		_, secret := mustKey(t, db, KeySpec{Name: "x", Scopes: []Scope{ScopeRead}, Expires: expires})
		k, err := db.Authenticate(secret)
		if err != nil {
			t.Fatal(err)
		}
		work, stop := db.WithKey(ctx, k)
		t.Cleanup(stop)
		return k, work
	}
	k, work := under(time.Time{})
	if _, err := db.RevokeKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	<-work.Done()
	refused(t, "revoked", context.Cause(work), "key_revoked")

	_, work = under(keyEpoch.Add(time.Minute))
	advanceUntil(c, work, time.Minute)
	refused(t, "expired", context.Cause(work), "key_expired")

	k, work = under(time.Time{})
	if _, _, err := db.RotateKey(ctx, k.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	if work.Err() != nil {
		t.Error("the old secret's time is not over")
	}
	advanceUntil(c, work, time.Hour)
	refused(t, "rotated", context.Cause(work), "key_expired")
}

// advanceUntil moves the clock on by d, as often as it takes for whoever watches
// to have begun to.
func advanceUntil(c *clock.Virtual, ctx context.Context, d time.Duration) {
	for ctx.Err() == nil {
		c.Advance(d)
	}
}

// TestRevokedKeysAreForgotten: after their time, when a key is made.
func TestRevokedKeysAreForgotten(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(keyEpoch)
	db := keyedDB(t, vfs.NewMem(), c, nil)
	defer closeDB(t, db)
	k, _ := mustKey(t, db, KeySpec{Name: "ops", Scopes: []Scope{ScopeAdmin}})
	if _, err := db.RevokeKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	c.Advance(revokedKeptFor)
	if !db.KeysDefined() {
		t.Error("time alone opened the database")
	}
	mustKey(t, db, KeySpec{Name: "next", Scopes: []Scope{ScopeRead}})
	if keys, err := db.Keys("", 10); err != nil || len(keys) != 1 || keys[0].Name != "next" {
		t.Errorf("%+v %v", keys, err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	db := keyedDB(b, vfs.NewMem(), clock.System, nil)
	defer closeDB(b, db)
	var secret string
	for range 100 {
		_, secret = mustKey(b, db, KeySpec{Name: "x", Scopes: []Scope{ScopeAdmin}})
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := db.Authenticate(secret); err != nil {
				b.Error(err)
			}
		}
	})
}
