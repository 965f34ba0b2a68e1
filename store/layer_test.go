package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// TestLayers compares layers on a disk with one map, whatever is written where.
func TestLayers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, err := pebble.Open("d", &pebble.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		want := make(map[string]string)
		keys := rapid.StringMatching(`[ab\x00\xff]{0,3}`)
		write := func(s interface{ set(k, v []byte) }, del func(k []byte), what string) {
			for range rapid.IntRange(0, 8).Draw(t, what) {
				k := keys.Draw(t, "key")
				if rapid.Bool().Draw(t, "delete") {
					del([]byte(k))
					delete(want, k)
				} else {
					v := rapid.StringN(0, 2, -1).Draw(t, "value")
					s.set([]byte(k), []byte(v))
					want[k] = v
				}
			}
		}
		base := newLayer(disk{db})
		write(base, base.del, "disk")
		b := db.NewBatch()
		if err := base.writeTo(b); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(nil); err != nil {
			t.Fatal(err)
		}
		below := newLayer(disk{db})
		write(below, below.del, "below")
		checkState(t, below, want, keys)
		top := newLayer(below)
		for range 3 { // scans between writes: the keys are sorted in parts
			write(top, top.del, "top")
			checkState(t, top, want, keys)
		}
		top.mergeInto(below)
		checkState(t, below, want, keys)
	})
}

func checkState(t *rapid.T, s state, want map[string]string, keys *rapid.Generator[string]) {
	prefix := keys.Draw(t, "prefix")
	var wanted, got []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		v, found, err := s.get([]byte(k))
		if err != nil || !found || string(v) != want[k] {
			t.Fatalf("get %q gives %q, %v, %v; want %q", k, v, found, err, want[k])
		}
		if bytes.HasPrefix([]byte(k), []byte(prefix)) {
			wanted = append(wanted, k+"="+want[k])
		}
	}
	limit := rapid.IntRange(1, 9).Draw(t, "limit")
	wanted = wanted[:min(limit, len(wanted))]
	err := s.scan([]byte(prefix), func(k, v []byte) bool {
		got = append(got, string(k)+"="+string(v))
		return len(got) < limit
	})
	if err != nil || !slices.Equal(got, wanted) {
		t.Fatalf("scan %q gives %q, %v; want %q", prefix, got, err, wanted)
	}
	if k := keys.Draw(t, "other"); want[k] == "" {
		if _, wanted := want[k]; !wanted {
			if _, found, _ := s.get([]byte(k)); found {
				t.Fatalf("%q is there", k)
			}
		}
	}
}

func TestKeysSort(t *testing.T) {
	for i, pair := range [][2][]byte{
		{nodeKey(1, 255), nodeKey(1, 256)}, {nodeKey(1, 1), nodeKey(2, 1)}, {journalKey(1, 9), journalKey(1, 10)},
		{historyKey(1, 1, 1), historyKey(1, 1, 1<<40)}, {answerAgeKey(1, 5, [16]byte{9}), answerAgeKey(1, 6, [16]byte{1})},
		{edgeKey(1, "a", 1), edgeKey(1, "ab", 1)}, {deadKey(1, "a", 9), deadKey(1, "a.", 1)},
	} {
		if bytes.Compare(pair[0], pair[1]) >= 0 {
			t.Errorf("pair %d: %x does not come before %x", i, pair[0], pair[1])
		}
	}
	for _, k := range []string{"a", "a\xff", "\xff\xff", ""} {
		end := prefixEnd([]byte(k))
		if end != nil && bytes.Compare([]byte(k+"\xff\xff\xff"), end) >= 0 || end == nil && k != "\xff\xff" && k != "" {
			t.Errorf("the end of %q is %q", k, end)
		}
	}
	if got := fmt.Sprintf("%x", baseKey(nodeKey(1, 2))); got != "00000001626e00000002" {
		t.Errorf("a base key is %s", got)
	}
}
