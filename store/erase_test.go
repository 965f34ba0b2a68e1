package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// remains says in which files under dir a text still stands: raw in any of them,
// decoded in the tables and the logs, whose blocks may be compressed.
func remains(t testing.TB, fs vfs.FS, dir string, needle []byte) (files []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		path := fs.PathJoin(dir, n)
		info, err := fs.Stat(path)
		if err == nil && info.IsDir() {
			files = append(files, remains(t, fs, path, needle)...)
			continue
		}
		b, err := readFile(fs, path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a compaction has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		found := bytes.Contains(b, needle)
		switch {
		case strings.HasSuffix(n, ".sst"):
			found = found || tableContains(t, fs, path, needle)
		case strings.HasSuffix(n, ".log"):
			found = found || logContains(b, logNumbers([]string{n})[0], needle)
		}
		if found {
			files = append(files, path)
		}
	}
	return files
}

func tableContains(t testing.TB, fs vfs.FS, path string, needle []byte) (found bool) {
	t.Helper()
	err := openTable(bg, fs, path, func(r *sstable.Reader) error {
		it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
		if err != nil {
			return err
		}
		defer it.Close()
		for kv := it.First(); kv != nil; kv = it.Next() {
			v, _, err := kv.Value(nil)
			if err != nil {
				return err
			}
			found = found || bytes.Contains(v, needle) || bytes.Contains(kv.K.UserKey, needle)
		}
		return it.Error()
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// logContains puts the parts of records that lie in several blocks together.
func logContains(b []byte, number uint64, needle []byte) bool {
	f := logFormat{header: logHeader, number: uint32(number), log: true}
	var all []byte
	for p := 0; p < len(b); {
		next, _, ok := f.chunk(b, p)
		if !ok {
			p = blockEnd(p)
			continue
		}
		all = append(all, b[p+f.header:next]...)
		p = next
	}
	return bytes.Contains(all, needle)
}

const secret = "zebra-violin-quartz-secret" // not to be found in compressed form by chance

// secretive is text that compresses well round the secret, so that a raw search
// alone would not find it in a compressed block.
func secretive(i int) string {
	return strings.Repeat("the same words again and again ", 20) + fmt.Sprintf("%s-%d ", secret, i) + strings.Repeat("and again ", 20)
}

func payloadOf(i int) Payload {
	v := make([]float32, testDim)
	v[0] = float32(i) + 1
	return episode(secretive(i), v)
}

// fill writes some megabytes of other memories, in batches.
func fill(t testing.TB, s *Shard, space memory.SpaceID, name string, megabytes int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(megabytes)))
	p := episode(words(r, 16<<10), nil)
	for i := range megabytes {
		must1(t, s, space, func(tx *Tx) error {
			for j := range 64 {
				if err := create(memory.ID(fmt.Sprintf("%s-%d-%d", name, i, j)), p)(tx); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// TestEraseHard erases what lies at the bottom of a hundred megabytes, with an
// old view open at the deletion and closed later, and looks into every file.
func TestEraseHard(t *testing.T) {
	mb := 50
	if testing.Short() {
		mb = 5
	}
	fs := vfs.NewMem()
	o := small(fs)
	o.MemTable = 4 << 20
	s := open(t, "d", o)
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	fill(t, s, space, "before", mb)
	const secrets = 2000
	ids := make([]memory.ID, secrets)
	must1(t, s, space, func(tx *Tx) error {
		for i := range ids {
			ids[i] = memory.ID(fmt.Sprintf("s%d", i))
			if err := create(ids[i], payloadOf(i))(tx); err != nil {
				return err
			}
			if i%2 == 0 { // so that the erased ones are not neighbours
				if err := create(memory.ID(fmt.Sprintf("n%d", i)), episode("a neighbour", nil))(tx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i := range 100 { // old versions and links hold words too
		must1(t, s, space, revise(ids[i], secretive(i+secrets)))
		must1(t, s, space, link(memory.ID(fmt.Sprintf("l%d", i)), ids[i], "n0", secretive(i)))
	}
	fill(t, s, space, "after", mb)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(bg, []byte{0}, []byte{0xff}, true); err != nil {
		t.Fatal(err)
	}
	if len(remains(t, fs, "d", []byte(secret))) == 0 {
		t.Fatal("the secret is not there in the first place")
	}
	old := view(t, s)
	eraseAll(t, s, space, ids)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(bg, []byte{0}, []byte{0xff}, true); err != nil {
		t.Fatal(err)
	}
	done, derived := make(chan error), make(chan struct{})
	go func() {
		_, err := s.Wipe(bg, space, func() error { close(derived); return nil })
		done <- err
	}()
	select {
	case <-derived:
		t.Error("it does not wait for the old view")
	case err := <-done:
		t.Errorf("it says that it is done under the old view: %v", err)
	default:
	}
	if n, err := old.Lookup(space, ids[0]); err != nil || n == nil {
		t.Errorf("the old view lost what it held: %v", err)
	}
	old.Close()
	began := time.Now()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("wiped %d memories in %v", secrets, time.Since(began).Round(time.Millisecond))
	if files := remains(t, fs, "d", []byte(secret)); len(files) > 0 {
		t.Errorf("the secret is still in %v", files)
	}
	v := view(t, s)
	defer v.Close()
	if left, err := v.Erasing(space); err != nil || len(left) > 0 {
		t.Errorf("erasures %v are left: %v", left, err)
	}
	sound(t, s)
}

func eraseAll(t testing.TB, s *Shard, space memory.SpaceID, ids []memory.ID) {
	t.Helper()
	must1(t, s, space, func(tx *Tx) error {
		var nodes []*Node
		for _, id := range ids {
			n, err := tx.Lookup(id)
			if err != nil {
				return err
			}
			nodes = append(nodes, n)
		}
		return tx.End(memory.Erase, nodes, "right to be forgotten")
	})
}

// TestEraseCrash cuts the power between the erasure and its wipe, and in the
// middle of the wipe: the next wipe finishes it, also in old logs.
func TestEraseCrash(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		fs := vfs.NewCrashableMem()
		s := open(t, "d", small(fs))
		space := mustSpace(t, s, "s")
		ids := []memory.ID{"a", "b", "c"}
		for i, id := range ids {
			must1(t, s, space, create(id, payloadOf(i)))
		}
		if flushed {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		eraseAll(t, s, space, ids)
		if v := view(t, s); true {
			if _, found, _ := v.Head(space, 1, 1); found {
				t.Error("an erased payload is read")
			}
			v.Close()
		}
		cuts := []*vfs.MemFS{fs.CrashClone(vfs.CrashCloneCfg{})}
		if _, err := s.Wipe(bg, space, func() error {
			cuts = append(cuts, fs.CrashClone(vfs.CrashCloneCfg{}))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, fs.CrashClone(vfs.CrashCloneCfg{}))
		closed(t, s)
		for i, cut := range cuts {
			s := open(t, "d", small(cut))
			if _, err := s.Wipe(bg, space, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if files := remains(t, cut, "d", []byte(secret)); len(files) > 0 {
				t.Errorf("flushed %v, cut %d: the secret is still in %v", flushed, i, files)
			}
			sound(t, s)
			closed(t, s)
		}
	}
}

// TestEraseLinkAgain gives a link the id of an erased one: its payload stays.
func TestEraseLinkAgain(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "d", small(fs))
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	for i, id := range []memory.ID{"a", "b", "c"} {
		must1(t, s, space, create(id, episode(fmt.Sprint("node ", i), nil)))
	}
	must1(t, s, space, link("l", "a", "b", secretive(0)))
	must1(t, s, space, end(memory.Erase, "a"))
	must1(t, s, space, link("l", "b", "c", "the new one"))
	if _, err := s.Wipe(bg, space, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if files := remains(t, fs, "d", []byte(secret)); len(files) > 0 {
		t.Errorf("the secret is still in %v", files)
	}
	v := view(t, s)
	defer v.Close()
	l, err := v.Link(space, "l")
	if err != nil || l == nil {
		t.Fatal(err)
	}
	if m, err := v.LinkMetadata(space, l); err != nil || m["note"] != "the new one" {
		t.Errorf("the new link's payload is %v, %v", m, err)
	}
	sound(t, s)
}

// TestWipeSpace takes a space out of every file, and closes it to late writes.
func TestWipeSpace(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "d", small(fs))
	defer closed(t, s)
	keep, gone := mustSpace(t, s, "keep"), mustSpace(t, s, "gone")
	r := rand.New(rand.NewPCG(1, 2))
	history(t, s, keep, r, 60)
	history(t, s, gone, r, 60)
	must1(t, s, gone, create("secret", payloadOf(1)))
	before := digest(t, s, keep)
	st := SpaceState{ID: gone, Name: "gone"}
	must1(t, s, 0, func(tx *Tx) error { return tx.DropSpace(&st) })
	if _, err := do(s, gone, create("late", episode("late", nil))); err != ErrDropped {
		t.Errorf("a write to a dropped space gives %v", err)
	}
	sound(t, s)
	if err := s.WipeSpace(bg, st); err != nil {
		t.Fatal(err)
	}
	if files := remains(t, fs, "d", []byte(secret)); len(files) > 0 {
		t.Errorf("the secret is still in %v", files)
	}
	v := view(t, s)
	defer v.Close()
	if k, err := v.firstKey(key(gone, 0)[:4], prefixEnd(key(gone, 0)[:4])); err != nil || k != nil {
		t.Errorf("key %x is left: %v", k, err)
	}
	if all, err := v.Dropping(); err != nil || len(all) > 0 {
		t.Errorf("%v are still being dropped: %v", all, err)
	}
	if digest(t, s, keep) != before {
		t.Error("another space has changed")
	}
	sound(t, s)
	if _, err := s.Truncate(bg, gone, 100); err != ErrDropped {
		t.Errorf("a truncation of a dropped space gives %v", err)
	}
}

func TestWipeEnds(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	space := mustSpace(t, s, "s")
	must1(t, s, space, create("a", payloadOf(1)))
	old := view(t, s)
	must1(t, s, space, end(memory.Erase, "a"))
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if _, err := s.Wipe(ctx, space, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wipe gives %v", err)
	}
	old.Close()
	closed(t, s)
}

func TestJoinSpans(t *testing.T) {
	sp := func(a, b byte) span { return span{[]byte{a}, []byte{b}} }
	got := join([]span{sp(5, 6), sp(1, 2), sp(2, 3), sp(6, 9), sp(7, 8), sp(20, 21)})
	if want := fmt.Sprint([]span{sp(1, 3), sp(5, 9), sp(20, 21)}); fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
