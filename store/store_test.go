package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

func TestMain(m *testing.M) {
	// A Pebble that fails to open, or whose history failed, leaves this one behind.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"))
}

var (
	bg    = context.Background()
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const testDim = 8

// small makes a shard flush and compact after a few hundred writes.
func small(fs vfs.FS) Options {
	return Options{FS: fs, Clock: clock.NewVirtual(epoch), MemTable: 64 << 10, CacheBytes: 1 << 20,
		Fatal: func(err error) { panic(fmt.Sprint("fatal: ", err)) }}
}

func open(t testing.TB, dir string, o Options) *Shard {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t testing.TB, s *Shard) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s *Shard) *View {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func do(s *Shard, space memory.SpaceID, f func(*Tx) error) (Committed, error) {
	return s.Commit(bg, &Write{Space: space, Decide: f})
}

func must1(t testing.TB, s *Shard, space memory.SpaceID, f func(*Tx) error) Committed {
	t.Helper()
	c, err := do(s, space, f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newSpace creates a space whose vectors have testDim numbers.
func newSpace(s *Shard, name memory.SpaceName) (id memory.SpaceID, err error) {
	_, err = do(s, 0, func(tx *Tx) error {
		id = tx.Meta().NextSpace
		return tx.PutSpace(&SpaceState{ID: id, Name: name, Created: tx.Now(), Version: 1,
			Settings: memory.Settings{Vector: memory.VectorSettings{Dimension: testDim, Metric: memory.MetricCosine}, Language: "en"}})
	})
	return id, err
}

func mustSpace(t testing.TB, s *Shard, name memory.SpaceName) memory.SpaceID {
	t.Helper()
	id, err := newSpace(s, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func episode(text string, vector []float32) Payload {
	p, err := EncodeEpisode(&memory.Episode{Text: text, Vector: vector})
	if err != nil {
		panic(err)
	}
	return p
}

func create(id memory.ID, p Payload) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Create(id, memory.KindEpisode, p, "", nil, nil)
		return err
	}
}

var errGone = errors.New("it is gone")

// with looks a node up and hands it on.
func with(id memory.ID, f func(*Tx, *Node) error) func(*Tx) error {
	return func(tx *Tx) error {
		n, err := tx.Lookup(id)
		if err == nil && n == nil {
			err = errGone
		}
		if err != nil {
			return err
		}
		return f(tx, n)
	}
}

func revise(id memory.ID, text string) func(*Tx) error {
	return with(id, func(tx *Tx, n *Node) error {
		v, err := tx.Vector(n)
		if err != nil {
			return err
		}
		p := episode(text, nil)
		p.Vector = v
		_, err = tx.Revise(n, p, n.Vector, n.Model, nil, nil)
		return err
	})
}

func end(mode memory.ForgetMode, id memory.ID) func(*Tx) error {
	return with(id, func(tx *Tx, n *Node) error { return tx.End(mode, []*Node{n}, "test") })
}

func link(id, from, to memory.ID, metadata string) func(*Tx) error {
	return with(from, func(tx *Tx, a *Node) error {
		b, err := tx.Lookup(to)
		if err != nil || b == nil {
			return errors.Join(err, errGone)
		}
		md, err := EncodeMetadata(memory.Metadata{"note": metadata})
		if err != nil {
			return err
		}
		return tx.PutLink(&Link{ID: id, From: a.Ordinal, To: b.Ordinal, FromID: from, ToID: to, Type: "knows", Weight: .5, Rule: memory.RuleCaller}, md, nil)
	})
}

func vectorOf(r *rand.Rand) []float32 {
	v := make([]float32, testDim)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func words(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghij klmno"[r.IntN(16)]
	}
	return "w" + string(b)
}

// sound fails when a verification finds something.
func sound(t testing.TB, s *Shard) {
	t.Helper()
	r, err := s.Verify(bg, VerifyOptions{MaxFindings: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	if !r.Sound() {
		t.Fatalf("%d findings", r.Total)
	}
}

func digest(t testing.TB, s *Shard, space memory.SpaceID) string {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	d, err := v.StateDigest(space)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", d)
}

// history fills a space with something of each kind: nodes of all kinds in many
// versions, ended in all ways, links, answers, some of it below the horizon.
func history(t testing.TB, s *Shard, space memory.SpaceID, r *rand.Rand, n int) {
	t.Helper()
	id := func(i int) memory.ID { return memory.ID(fmt.Sprintf("m%d", i)) }
	for i := range n {
		p := episode(words(r, 50+r.IntN(400)), nil)
		if i%2 == 0 {
			p.Vector = EncodeVector(vectorOf(r))
		}
		w := &Write{Space: space, Decide: create(id(i), p)}
		if i%5 == 0 {
			w.Keyed, w.Key, w.Body = true, DigestKey([]byte(id(i))), DigestKey(p.Head)
		}
		if _, err := s.Commit(bg, w); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			must1(t, s, space, func(tx *Tx) error {
				e, err := EncodeEntity(&memory.Entity{Name: fmt.Sprint("name", i), Type: "person"})
				if err != nil {
					return err
				}
				name := DigestKey([]byte("person"), fmt.Append(nil, "name", i))
				_, err = tx.Create(memory.ID(fmt.Sprintf("e%d", i)), memory.KindEntity, e, "", name[:], nil)
				return err
			})
		}
		if i > 0 && i%3 == 0 {
			must1(t, s, space, link(memory.ID(fmt.Sprintf("l%d", i)), id(i), id(i-1), words(r, 20)))
		}
		if i%4 == 1 {
			must1(t, s, space, revise(id(i), words(r, 100)))
		}
		if i%11 == 10 {
			must1(t, s, space, end(memory.Delete, id(i-2)))
		}
		if i%13 == 12 {
			must1(t, s, space, end(memory.Suppress, id(i)))
		}
		if i%17 == 16 {
			if _, err := do(s, space, end(memory.Erase, id(i-5))); err != nil && !errors.Is(err, errGone) {
				t.Fatal(err)
			}
		}
		if i == n/2 {
			if _, err := s.Truncate(bg, space, 30); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestVerifySound(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer closed(t, s)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 3 {
		history(t, s, mustSpace(t, s, memory.SpaceName(fmt.Sprint("s", i))), r, 120)
	}
	sound(t, s)
	if _, err := s.Wipe(bg, 2, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Truncate(bg, 2, 1<<40); err != nil {
		t.Fatal(err)
	}
	sound(t, s)
	rep, _ := s.Verify(bg, VerifyOptions{})
	if rep.Spaces != 4 || rep.Records < 200 || rep.Payloads < 300 || rep.Tables == 0 || rep.Keys < 2000 {
		t.Errorf("it did not read all: %+v", rep)
	}
}

// brief is how much of something a test does: whole, or less of the same with
// -short, as the race detector runs it.
func brief(whole, short int) int {
	if testing.Short() {
		return short
	}
	return whole
}
