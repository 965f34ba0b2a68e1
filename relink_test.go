package engram_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// linksBy changes the link settings of the default space.
func linksBy(t *testing.T, db *engram.DB, l memory.LinkSettings) {
	t.Helper()
	_, err := db.UpdateSpace(context.Background(), engram.DefaultSpace, 0, func(s *memory.Settings) error {
		s.Links = &l
		return nil
	})
	check(t, err)
}

// relinked runs a relink to its end.
func relinked(t *testing.T, db *engram.DB, s *engram.Space) map[string]any {
	t.Helper()
	j, err := s.Relink(context.Background())
	check(t, err)
	return ended(t, db, j.ID, engram.JobDone)
}

func ended(t *testing.T, db *engram.DB, id string, state engram.JobState) map[string]any {
	t.Helper()
	var j engram.Job
	eventually(t, "the end of the job", func() bool {
		var err error
		j, err = db.Job(id)
		return err == nil && j.State != engram.JobRunning
	})
	if j.State != state || j.Kind != "relink" || j.Space != engram.DefaultSpace {
		t.Fatalf("the job is %+v", j)
	}
	return j.Result
}

// TestEntityAfterTexts: an entity that comes after the texts that say its names is
// linked to them, in one that already have their links too, but for those without room.
func TestEntityAfterTexts(t *testing.T) {
	fs := vfs.NewMem()
	db, s := linked(t, fs)
	batch(t, s,
		memory.Episode{ID: "m1", Text: "met Ada Lovelace there"},
		memory.Episode{ID: "m2", Text: "the Countess was late"},
		memory.Episode{ID: "m3", Text: "ada lovelace, twice: Ada Lovelace"},
		memory.Episode{ID: "m4", Text: "a countess"}, // one word without a capital letter
		memory.Episode{ID: "m5", Text: "nothing"},
	)
	settled(t, s)
	_, err := s.PutEntity(context.Background(), memory.Entity{ID: "ada", Name: "Ada Lovelace"}, engram.WriteOptions{})
	check(t, err)
	settled(t, s)
	wantLinks(t, s, "m1", "mentions ada")
	wantLinks(t, s, "m2")
	wantLinks(t, s, "m3", "mentions ada")
	_, err = s.PutEntity(context.Background(), memory.Entity{ID: "ada", Name: "Ada Lovelace", Aliases: []string{"Countess"}}, engram.WriteOptions{})
	check(t, err)
	check(t, db.Close()) // before the rules have been asked, perhaps
	db, s = linked(t, fs)
	settled(t, s)
	wantLinks(t, s, "m2", "mentions ada")
	wantLinks(t, s, "m4")
	remember(t, s, memory.Episode{ID: "m6", Text: "x", Entities: []memory.EntityRef{{Name: "nothing at all", Type: "t"}}})
	settled(t, s)
	l, err := s.GetLink(context.Background(), "~mentions~1~"+memory.ID(fmt.Sprint(ordinalOf(t, s, "ada"))))
	check(t, err)
	if l.Rule != "mentions" || l.RuleVersion != 1 {
		t.Errorf("the link is %+v", l)
	}
	clean(t, db)
}

// ordinalOf reads a node's ordinal from the ids of its links.
func ordinalOf(t *testing.T, s *engram.Space, id memory.ID) (o int) {
	t.Helper()
	ls, _, err := s.Links(context.Background(), engram.LinkQuery{Node: id, Direction: memory.In})
	check(t, err)
	for _, l := range ls {
		if _, err := fmt.Sscanf(strings.ReplaceAll(string(l.ID), "~", " "), " mentions %d %d", new(int), &o); err == nil {
			return o
		}
	}
	t.Fatalf("nothing mentions %s", id)
	return 0
}

// TestRules: a rule that a space has switched off makes nothing, one of its own does,
// and relink brings what was stored before in line, and back.
func TestRules(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	batch(t, s,
		memory.Episode{ID: "t1", Text: "where is TICK-100?", Stream: "talk", People: []string{"Bo"}},
		memory.Episode{ID: "t2", Text: "there", Stream: "talk"},
		memory.Episode{ID: "p", Text: "about TICK-100 and TICK-7", People: []string{"Bo"}},
		memory.Episode{ID: "q", Text: "TICK-7 again"},
	)
	put(t, s, memory.Link{ID: "mine", From: "t1", To: "q", Type: "mine"})
	settled(t, s)
	before := standing(t, s, "t1", "t2", "p", "q")
	wantLinks(t, s, "p", "people t1")

	linksBy(t, db, memory.LinkSettings{Rules: map[string]bool{"people": false, "answer": false}, Patterns: []memory.LinkPattern{{Rule: "ticket", Pattern: `TICK-[0-9]+`, Type: "same_ticket"}}})
	remember(t, s, memory.Episode{ID: "r", Text: "TICK-7 done", People: []string{"Bo"}})
	settled(t, s)
	wantLinks(t, s, "p", "people t1") // what was made stays
	wantLinks(t, s, "r", "same_ticket q")

	got := relinked(t, db, s)
	if got["added"] != 2.0 || got["ended"] != 2.0 || got["asked"] != 5.0 {
		t.Errorf("the relink has %v", got)
	}
	wantLinks(t, s, "t1", "mine q", "next t2")
	wantLinks(t, s, "p", "same_ticket t1")
	wantLinks(t, s, "q", "same_ticket p")
	ls, _, err := s.Links(context.Background(), engram.LinkQuery{Node: "q", Direction: memory.Out})
	check(t, err)
	if l := ls[0]; l.Rule != "ticket" || l.RuleVersion != 2 || l.Type != "same_ticket" {
		t.Errorf("the link is %+v", l)
	}
	if got := relinked(t, db, s); got["added"] != 0.0 || got["ended"] != 0.0 {
		t.Errorf("once more it has %v", got)
	}
	_, err = s.Delete(context.Background(), "r", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	linksBy(t, db, memory.LinkSettings{})
	relinked(t, db, s)
	if after := standing(t, s, "t1", "t2", "p", "q"); !slices.Equal(after, before) {
		t.Errorf("by default again it is\n%s\nand was\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	clean(t, db)
}

// TestRelinkSettles: of what incremental links are, a relink changes nothing, whatever
// was merged, revised or deleted meanwhile in ways that the rules follow.
func TestRelinkSettles(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	_, err := s.PutEntity(context.Background(), memory.Entity{ID: "ada", Name: "Ada Lovelace"}, engram.WriteOptions{})
	check(t, err)
	batch(t, s,
		memory.Episode{ID: "a1", Text: "we saw the Blue Harbour", Stream: "x"},
		memory.Episode{ID: "a2", Title: "Blue Harbour", Text: "a port? Ada Lovelace came", Stream: "x"},
		memory.Episode{ID: "a3", Text: "back at the Blue Harbour", Stream: "x", People: []string{"Bo"}},
		memory.Episode{ID: "a4", Text: "Bo at home", People: []string{"Bo"}, Place: &memory.Place{Name: "Home"}},
		memory.Episode{ID: "a5", Text: "home", Place: &memory.Place{Name: "Home"}},
	)
	settled(t, s)
	before := standing(t, s, "a1", "a2", "a3", "a4", "a5", "ada")
	if got := relinked(t, db, s); got["added"] != 0.0 || got["ended"] != 0.0 || got["asked"] != 6.0 {
		t.Errorf("the relink has %v", got)
	}
	if after := standing(t, s, "a1", "a2", "a3", "a4", "a5", "ada"); !slices.Equal(after, before) {
		t.Errorf("it is\n%s\nand was\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	_, err = s.PutEntity(context.Background(), memory.Entity{ID: "al", Name: "A. L."}, engram.WriteOptions{})
	check(t, err)
	merge(t, s, "al", "ada")
	settled(t, s)
	if got := relinked(t, db, s); got["added"] != 0.0 || got["ended"] != 0.0 {
		t.Errorf("after a merge the relink has %v", got)
	}
	wantLinks(t, s, "a2", "next a3", "answer a3", "mentions al")
	clean(t, db)
}

// TestRelinkGoesOn: a relink that a close has stopped goes on under its id when the
// database opens; one that was cancelled does not.
func TestRelinkGoesOn(t *testing.T) {
	fs := vfs.NewMem()
	db, s := linked(t, fs)
	const n = 700
	for i := range n / 100 {
		var es []memory.Episode
		for j := range 100 {
			es = append(es, memory.Episode{ID: memory.ID(fmt.Sprint("m", i*100+j)), Text: "x", Stream: "s"})
		}
		batch(t, s, es...)
	}
	settled(t, s)
	linksBy(t, db, memory.LinkSettings{Rules: map[string]bool{"next": false}})
	j, err := s.Relink(context.Background())
	check(t, err)
	again, err := s.Relink(context.Background())
	check(t, err)
	if again.ID != j.ID {
		t.Errorf("a second one runs: %s beside %s", again.ID, j.ID)
	}
	check(t, db.Close())
	db, s = linked(t, fs)
	var got map[string]any
	eventually(t, "the job", func() bool { _, err := db.Job(j.ID); return err == nil })
	got = ended(t, db, j.ID, engram.JobDone)
	if got["asked"] != float64(n) || got["ended"] != float64(n-1) {
		t.Errorf("in all it has %v", got)
	}
	wantLinks(t, s, "m5")

	linksBy(t, db, memory.LinkSettings{})
	j, err = s.Relink(context.Background())
	check(t, err)
	if _, err := db.CancelJob(j.ID); codeOf(err) == "job_ended" {
		t.Skip("it was quicker")
	}
	ended(t, db, j.ID, engram.JobCancelled)
	check(t, db.Close())
	db, s = linked(t, fs)
	settled(t, s)
	if _, err := db.Job(j.ID); codeOf(err) != "job_not_found" {
		t.Errorf("what was cancelled goes on: %v", err)
	}
	relinked(t, db, s)
	wantLinks(t, s, "m5", "next m6")
	clean(t, db)
}

func TestRelinkRefused(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{})
	_, err := mainSpace(t, db).Relink(context.Background())
	mustCode(t, err, "links_off")
	many := make([]memory.LinkPattern, memory.MaxPatterns+1)
	for i := range many {
		many[i] = memory.LinkPattern{Rule: fmt.Sprint("r", i), Pattern: "x"}
	}
	for _, c := range []struct {
		code string
		l    memory.LinkSettings
	}{
		{"rule_unknown", memory.LinkSettings{Rules: map[string]bool{"nxet": false}}},
		{"rule_taken", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "next", Pattern: "x"}}}},
		{"rule_taken", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "a", Pattern: "x"}, {Rule: "a", Pattern: "y"}}}},
		{"rule_name_invalid", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "A b", Pattern: "x"}}}},
		{"pattern_invalid", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "a", Pattern: "("}}}},
		{"pattern_invalid", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "a", Pattern: "x*"}}}},
		{"pattern_invalid", memory.LinkSettings{Patterns: []memory.LinkPattern{{Rule: "a", Pattern: strings.Repeat("x", 257)}}}},
		{"list_too_long", memory.LinkSettings{Patterns: many}},
	} {
		_, err := db.UpdateSpace(context.Background(), engram.DefaultSpace, 0, func(s *memory.Settings) error {
			s.Links = &c.l
			return nil
		})
		mustCode(t, err, c.code)
	}
}
