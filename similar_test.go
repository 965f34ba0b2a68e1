package engram_test

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestSimilar: where the rule is on, a memory is linked to those before it whose vectors
// are near, unless something else links them, across a restart; and off again, a relink
// takes the links away.
func TestSimilar(t *testing.T) {
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{AutoLinks: true})
	s := spaceOf(t, db, "vec", 2)
	rule := func(on bool) {
		t.Helper()
		_, err := db.UpdateSpace(context.Background(), "vec", 0, func(s *memory.Settings) error {
			s.Links = &memory.LinkSettings{Rules: map[string]bool{"similar": on}}
			return nil
		})
		check(t, err)
	}
	rule(true)
	batch(t, s,
		memory.Episode{ID: "a", Text: "one", Vector: []float32{1, 0}, Stream: "x"},
		memory.Episode{ID: "b", Text: "two", Vector: []float32{0, 1}},
		memory.Episode{ID: "c", Text: "three", Vector: []float32{1, 0.1}},
		memory.Episode{ID: "d", Text: "four", Vector: []float32{1, 0.2}, Stream: "x"}, // next to a
		memory.Episode{ID: "e", Text: "five", Vector: []float32{-1, 0}},
	)
	linksAre := func(want ...string) {
		t.Helper()
		settled(t, s)
		for i, id := range []memory.ID{"c", "d", "e"} {
			if want[i] == "" {
				wantLinks(t, s, id)
				continue
			}
			eventually(t, "the link of "+string(id), func() bool { return len(linksOf(t, s, id)) > 0 })
			wantLinks(t, s, id, want[i])
		}
	}
	linksAre("similar a", "similar c", "")
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{AutoLinks: true})
	s, err := db.Space("vec")
	check(t, err)
	remember(t, s, memory.Episode{ID: "f", Text: "six", Vector: []float32{-1, 0.1}})
	eventually(t, "the link of f", func() bool { return len(linksOf(t, s, "f")) > 0 })
	wantLinks(t, s, "f", "similar e")
	ls, _, err := s.Links(context.Background(), engram.LinkQuery{Node: "f"})
	check(t, err)
	if ls[0].Rule != "similar" || ls[0].RuleVersion != 1 {
		t.Errorf("the link is %+v", ls[0])
	}
	relinkAll := func() {
		t.Helper()
		j, err := s.Relink(context.Background())
		check(t, err)
		eventually(t, "the job", func() bool { j, err := db.Job(j.ID); return err == nil && j.State == engram.JobDone })
	}
	rule(false)
	relinkAll()
	linksAre("", "", "")
	rule(true)
	relinkAll()
	linksAre("similar a", "similar c", "")
	clean(t, db)
}
