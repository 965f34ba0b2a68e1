package store

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// update writes testdata/format/v1 anew: go test ./store -run TestKept -update.
// Do it only before a format is released; afterwards a change that needs it is
// the change of a format, and gets a directory of its own.
var update = flag.Bool("update", false, "write the kept journals of testdata/format anew")

const keptDir = "testdata/format/v1"

// TestKept opens the kept directory and replays its journals to the kept
// digests: old files open for ever, and give the same state on every platform.
func TestKept(t *testing.T) {
	if *update {
		makeKept(t)
	}
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(vfs.Default, fs, filepath.Join(keptDir, "data"), "d"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	s := open(t, "d", small(fs))
	defer closed(t, s)
	sound(t, s) // the state is what the journal gives
	want, err := os.ReadFile(filepath.Join(keptDir, "journal.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got, kinds := describeKept(t, s)
	if got != string(want) {
		t.Errorf("the kept journals have changed:\n%s", diffLines(string(want), got))
	}
	for k := NodeCreated; k <= Erased; k++ {
		if !kinds[k] {
			t.Errorf("no record of kind %d is kept", k)
		}
	}
}

// describeKept writes down the records and the digest of the state of each space.
func describeKept(t testing.TB, s *Shard) (string, map[RecordKind]bool) {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	var b strings.Builder
	kinds := make(map[RecordKind]bool)
	for space := range memory.SpaceID(3) {
		horizon, err := v.Horizon(space)
		if err != nil {
			t.Fatal(err)
		}
		d, err := v.StateDigest(space)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "space %d, horizon %d, state %x\n", space, horizon, d)
		err = v.Records(space, horizon, func(r *Record) (bool, error) {
			kinds[r.Kind] = true
			raw, _, err := v.d.get(journalKey(space, r.LSN))
			if string(raw) != string(encode(r)) {
				t.Errorf("space %d, record %d: encoding what was decoded gives other bytes", space, r.LSN)
			}
			fmt.Fprintf(&b, "  %d kind %d %x\n", r.LSN, r.Kind, raw)
			return true, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), kinds
}

func diffLines(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var x, y string
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			fmt.Fprintf(&b, "- %s\n+ %s\n", x, y)
		}
	}
	return b.String()
}

func makeKept(t *testing.T) {
	fs := vfs.NewMem()
	c := clock.NewVirtual(time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC))
	o := small(fs)
	o.Clock = c
	s := open(t, "d", o)
	space := mustSpace(t, s, "kept")
	other := mustSpace(t, s, "other")
	step := func(f func(*Tx) error) {
		t.Helper()
		c.Advance(time.Minute + 7*time.Nanosecond)
		must1(t, s, space, f)
	}
	vec := make([]float32, testDim)
	for i := range vec {
		vec[i] = float32(i) / 3
	}
	p := keptEpisode(t, vec)
	for _, id := range []memory.ID{"a", "b", "c", "d"} {
		step(create(id, p))
	}
	step(revise("a", "below the horizon"))
	step(link("l1", "a", "b", "below"))
	step(end(memory.Delete, "d"))
	if _, err := s.Truncate(bg, space, 7); err != nil {
		t.Fatal(err)
	}
	step(func(tx *Tx) error {
		e, err := EncodeEntity(&memory.Entity{Name: "Ada", Type: "person", Aliases: []string{"A. L."}, Metadata: memory.Metadata{"born": 1815.0, "alive": false}})
		if err != nil {
			return err
		}
		name := DigestKey([]byte("person"), []byte("ada"))
		_, err = tx.Create("ada", memory.KindEntity, e, "", name[:], nil)
		return err
	})
	step(func(tx *Tx) error { // a batch
		for _, id := range []memory.ID{"e", "f", "g"} {
			if err := create(id, p)(tx); err != nil {
				return err
			}
		}
		return nil
	})
	step(revise("b", "the second version"))
	from := time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)
	step(with("e", func(tx *Tx, n *Node) error {
		ada, err := tx.Lookup("ada")
		if err != nil {
			return err
		}
		return tx.PutLink(&Link{ID: "l2", From: n.Ordinal, To: ada.Ordinal, FromID: "e", ToID: "ada", Type: "mentions", Weight: 0.25,
			Valid: &memory.Validity{From: &from}, Rule: memory.RuleMentions}, nil, nil)
	}))
	step(link("l3", "e", "f", "with words"))
	step(func(tx *Tx) error { return tx.EndLinks([]memory.ID{"l3"}) })
	step(end(memory.Suppress, "f"))
	step(end(memory.Suppress, "g"))
	step(with("g", func(tx *Tx, n *Node) error { return tx.Show([]*Node{n}, "it was right") }))
	step(end(memory.Delete, "c"))
	step(end(memory.Erase, "e"))
	if _, err := s.Wipe(bg, space, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		c.Advance(time.Hour)
		w := &Write{Space: space, Keyed: true, Key: DigestKey(fmt.Append(nil, "key", i)), Body: DigestKey([]byte("body"))}
		w.Decide = func(tx *Tx) error {
			tx.Answer([]byte("answer"))
			if i == 1 {
				return create("keyed", p)(tx)
			}
			return nil
		}
		if _, err := s.Commit(bg, w); err != nil {
			t.Fatal(err)
		}
	}
	must1(t, s, other, create("x", p))
	st := SpaceState{ID: other, Name: "other"}
	must1(t, s, 0, func(tx *Tx) error { return tx.DropSpace(&st) })
	if err := s.WipeSpace(bg, st); err != nil {
		t.Fatal(err)
	}
	if _, err := newSpace(s, "third"); err != nil {
		t.Fatal(err)
	}
	sound(t, s)
	closed(t, s)
	keep(t, fs)
}

func keptEpisode(t testing.TB, vec []float32) Payload {
	t.Helper()
	lat, lon, weight := 52.5, 13.4, 0.5
	e := memory.Episode{Title: "A title", Text: "What was said, über alles", Happened: memory.At(epoch), People: []string{"Ada"}, Tags: []string{"kept"},
		Place: &memory.Place{Name: "Berlin", Lat: &lat, Lon: &lon}, Metadata: memory.Metadata{"n": 1.0, "s": "x", "b": true, "l": []any{"y", 2.0}},
		Stream: "stream", Source: "test", Salience: &weight, Fact: &memory.Fact{Subject: "s", Attribute: "a", Value: "v"},
		Entities: []memory.EntityRef{{Type: "person", Name: "Ada", Role: "author"}}, Links: []memory.LinkDraft{{To: "a", Type: "t", Weight: &weight}}, Vector: vec}
	if err := e.Normalize(); err != nil {
		t.Fatal(err)
	}
	p, err := EncodeEpisode(&e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func keep(t *testing.T, fs *vfs.MemFS) {
	t.Helper()
	data := filepath.Join(keptDir, "data")
	if err := os.RemoveAll(keptDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(keptDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove("d/store/LOCK"); err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.Clone(fs, vfs.Default, "d", data); err != nil || !ok {
		t.Fatal(ok, err)
	}
	s := open(t, "d", small(fs))
	defer closed(t, s)
	text, _ := describeKept(t, s)
	if err := os.WriteFile(filepath.Join(keptDir, "journal.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestKeptFiles fails when a file of the kept directory is missing, as when a
// rule of the repository ignores logs.
func TestKeptFiles(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(keptDir, "data", "store", "*"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	all := strings.Join(names, " ")
	for _, part := range []string{"MANIFEST-", "OPTIONS-", "marker.manifest", "marker.format-version", ".sst"} {
		if !strings.Contains(all, part) {
			t.Errorf("no %s among %s", part, all)
		}
	}
}
