package engram_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// TestLinksSnapshot: a space that opens from a snapshot of its links and the journal
// behind it has the links of the state, whatever came between; and from the state when
// the snapshot is damaged or gone.
func TestLinksSnapshot(t *testing.T) {
	for seed := range uint64(8) {
		fs := vfs.NewMem()
		var log bytes.Buffer
		o := engram.Options{AutoLinks: true, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		db := openWith(t, fs, o)
		s := mainSpace(t, db)
		const nodes = 60
		for i := range nodes {
			_, err := s.PutEntity(context.Background(), memory.Entity{ID: memory.ID(fmt.Sprint("e", i)), Name: fmt.Sprint("Thing Number ", i)}, engram.WriteOptions{})
			check(t, err)
		}
		r := rand.New(rand.NewPCG(seed, 3))
		entity := func() memory.ID { return memory.ID(fmt.Sprint("e", r.IntN(nodes))) }
		for i := range 3 {
			var ls []memory.Link
			for j := range 700 {
				ls = append(ls, memory.Link{ID: memory.ID(fmt.Sprint("l", i*700+j)), From: entity(), To: entity(), Type: fmt.Sprint("t", r.IntN(3))})
			}
			put(t, s, ls...)
		}
		batch(t, s, memory.Episode{ID: "m1", Text: "of Thing Number 3", Stream: "s"}, memory.Episode{ID: "m2", Text: "on", Stream: "s"})
		settled(t, s)
		check(t, db.Close()) // more than two thousand changes: it saves
		files := linkFiles(t, fs)
		if len(files) != 1 {
			t.Fatalf("there are %q", files)
		}
		db = openWith(t, fs, o)
		s = mainSpace(t, db)
		between(t, s, r, seed)
		settled(t, s)
		want := woken(t, s, nodes)
		erased := seed == 3 // which takes the snapshots away, sooner or later
		steps := []struct {
			damage    func()
			fromState bool
		}{
			{func() {}, false},
			{func() { write(t, fs, "data/index/"+files[0], "ENGRAML\x01 and no more") }, true},
			{func() { check(t, fs.Remove("data/index/"+files[0])) }, true},
		}
		if erased {
			steps = steps[:1] // then they are saved again
		}
		for _, step := range steps {
			check(t, db.Close())
			step.damage()
			log.Reset()
			db = openWith(t, fs, o)
			s = mainSpace(t, db)
			if got := woken(t, s, nodes); got != want {
				t.Errorf("seed %d: opened again activation goes\n%s, and went\n%s", seed, got, want)
			}
			if got := strings.Contains(log.String(), "links are read from the state"); got != step.fromState && !erased {
				t.Errorf("seed %d: links are read from the state: %v, want %v\n%s", seed, got, step.fromState, log.String())
			}
		}
		clean(t, db)
		check(t, db.Close())
	}
}

// between changes links in all ways that there are.
func between(t *testing.T, s *engram.Space, r *rand.Rand, seed uint64) {
	t.Helper()
	ctx, o := context.Background(), engram.WriteOptions{}
	may := func(err error, codes ...string) {
		t.Helper()
		for _, code := range append(codes, "") {
			if codeOf(err) == code {
				return
			}
		}
		t.Fatal(err)
	}
	entity := func() memory.ID { return memory.ID(fmt.Sprint("e", r.IntN(60))) }
	link := func() memory.ID { return memory.ID(fmt.Sprint("l", r.IntN(2100))) }
	for i := range 120 {
		switch r.IntN(8) {
		case 0:
			_, err := s.Unlink(ctx, link(), o)
			may(err, "link_not_found")
		case 1:
			_, err := s.UpdateLink(ctx, link(), func(l *memory.Link) error { l.Type, l.Weight = "changed", 2; return nil }, o)
			may(err, "link_not_found")
		case 2:
			_, err := s.Link(ctx, memory.Link{ID: memory.ID(fmt.Sprint("n", r.IntN(20))), From: entity(), To: entity(), Type: "new", Weight: 1}, o)
			may(err, "id_conflict", "node_not_found")
		case 3:
			_, err := s.Unlink(ctx, memory.ID(fmt.Sprint("n", r.IntN(20))), o)
			may(err, "link_not_found")
		case 4:
			if r.IntN(4) == 0 {
				_, err := s.DeleteEntity(ctx, entity(), o)
				may(err, "entity_not_found", "entity_merged")
			}
		case 5:
			if r.IntN(4) == 0 {
				_, err := s.MergeEntities(ctx, entity(), []memory.ID{entity()}, o)
				may(err, "entity_not_found", "merge_with_itself", "list_too_long")
			}
		case 6:
			_, err := s.UnmergeEntities(ctx, entity(), 0, o)
			may(err, "entity_not_found", "merge_not_found", "merge_covered")
		case 7:
			remember(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("x", i)), Text: fmt.Sprint("Thing Number ", r.IntN(60)), Stream: "s", Links: []memory.LinkDraft{{To: "m1", Type: "about"}}})
			if r.IntN(3) == 0 {
				mode := memory.Delete
				if seed == 3 {
					mode = memory.Erase
				}
				_, err := s.Delete(ctx, memory.ID(fmt.Sprint("x", i)), mode, 0, o)
				check(t, err)
			}
		}
	}
	if seed%2 == 0 {
		_, err := s.Delete(ctx, "m1", memory.Delete, 0, o)
		check(t, err)
	}
}

// woken says where activation goes from each node: all that links are for.
func woken(t *testing.T, s *engram.Space, nodes int) string {
	t.Helper()
	var b strings.Builder
	ids := []memory.ID{"m1", "m2"}
	for i := range nodes {
		ids = append(ids, memory.ID(fmt.Sprint("e", i)))
	}
	for _, id := range ids {
		a, err := s.Spread(context.Background(), engram.SpreadQuery{IDs: []memory.ID{id}, Flows: map[string]graph.Flow{"": {Out: 1, In: 1}}, Hops: 2, Limit: 1000})
		if codeOf(err) != "node_not_found" {
			check(t, err)
		}
		fmt.Fprintf(&b, "%s: %s\n", id, active(a))
	}
	return b.String()
}

func linkFiles(t *testing.T, fs vfs.FS) (files []string) {
	t.Helper()
	names, err := fs.List("data/index")
	check(t, err)
	for _, n := range names {
		if strings.HasPrefix(n, "links.") {
			files = append(files, n)
		}
	}
	return files
}

func write(t *testing.T, fs vfs.FS, path, content string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = f.Write([]byte(content))
	check(t, err)
	check(t, f.Close())
}
