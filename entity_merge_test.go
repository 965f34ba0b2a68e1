package engram_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// people is a space with three entities for one person, texts that name them, and
// links of callers.
func people(t *testing.T, s *engram.Space) {
	t.Helper()
	for _, e := range []memory.Entity{
		{ID: "robert", Name: "Robert Hale", Type: "person", Aliases: []string{"Rob"}, Metadata: memory.Metadata{"born": 1950.0}},
		{ID: "bob", Name: "Bob Hale", Type: "person", Aliases: []string{"Rob", "Bobby Hale"}, Metadata: memory.Metadata{"born": 1951.0, "city": "Oslo"}},
		{ID: "rh", Name: "R. H.", Aliases: []string{"Bobby Hale"}, Metadata: memory.Metadata{"city": "Oslo"}},
		{ID: "club", Name: "Chess Club"},
	} {
		_, err := s.PutEntity(context.Background(), e, engram.WriteOptions{})
		check(t, err)
	}
	batch(t, s,
		memory.Episode{ID: "m1", Text: "Robert Hale moved"},
		memory.Episode{ID: "m2", Text: "met Bob Hale today"},
		memory.Episode{ID: "m3", Text: "a letter", Entities: []memory.EntityRef{{ID: "rh", Role: "author"}}},
	)
	put(t, s,
		memory.Link{ID: "k1", From: "bob", To: "club", Type: "member", Metadata: memory.Metadata{"since": 1990.0}},
		memory.Link{ID: "k2", From: "bob", To: "robert", Type: "same"},
		memory.Link{ID: "k3", From: "rh", To: "bob", Type: "same"},
		memory.Link{ID: "k4", From: "rh", To: "rh", Type: "self"},
	)
	settled(t, s)
}

// standing is all that a space says: entities and the links at every node, versions
// aside.
func standing(t *testing.T, s *engram.Space, nodes ...memory.ID) (all []string) {
	t.Helper()
	es, _, err := s.Entities(context.Background(), "", 1000, "")
	check(t, err)
	for _, e := range es {
		sort.Strings(e.Aliases)
		all = append(all, fmt.Sprintf("%s %s %s %v %v", e.ID, e.Name, e.Type, e.Aliases, e.Metadata))
	}
	for _, n := range nodes {
		ls, _, err := s.Links(context.Background(), engram.LinkQuery{Node: n, PageSize: 1000})
		check(t, err)
		for _, l := range ls {
			all = append(all, fmt.Sprintf("%s: %s %s->%s %s %v %s", n, l.ID, l.From, l.To, l.Type, l.Metadata, l.Rule))
		}
	}
	return all
}

func merge(t *testing.T, s *engram.Space, into memory.ID, from ...memory.ID) engram.Merged {
	t.Helper()
	m, err := s.MergeEntities(context.Background(), into, from, engram.WriteOptions{})
	check(t, err)
	return m
}

// TestMerge: names, links and ids of the merged mean the one that stays, across a
// restart; and undone, all is as it was.
func TestMerge(t *testing.T) {
	for _, auto := range []bool{true, false} {
		fs := vfs.NewMem()
		db := openWith(t, fs, engram.Options{AutoLinks: true})
		s := mainSpace(t, db)
		people(t, s)
		reopen := func() {
			t.Helper()
			check(t, db.Close())
			db = openWith(t, fs, engram.Options{AutoLinks: auto})
			s = mainSpace(t, db)
		}
		nodes := []memory.ID{"robert", "bob", "rh", "club", "m1", "m2", "m3"}
		before := standing(t, s, nodes...)
		m := merge(t, s, "robert", "bob", "rh")
		if m.Links != 6 || !slices.Equal(m.IDs, []memory.ID{"bob", "rh"}) || m.Merge >= m.LSN {
			t.Errorf("merged %+v", m)
		}
		for _, again := range []bool{false, true} {
			if again {
				reopen()
			}
			for _, id := range []memory.ID{"robert", "bob", "rh"} {
				e, err := s.Entity(context.Background(), id)
				check(t, err)
				want := memory.Entity{ID: "robert", Name: "Robert Hale", Type: "person", Aliases: []string{"Rob", "Bob Hale", "Bobby Hale", "R. H."}, Metadata: memory.Metadata{"born": 1950.0, "city": "Oslo"},
					Version: 2, LSN: e.LSN, StoredAt: e.StoredAt, Merged: []memory.MergedEntity{{ID: "bob", Name: "Bob Hale", Merge: m.Merge}, {ID: "rh", Name: "R. H.", Merge: m.Merge}}}
				if !reflect.DeepEqual(e, want) {
					t.Errorf("%s is\n%+v, want\n%+v", id, e, want)
				}
			}
			info, err := s.Info(context.Background())
			check(t, err)
			if info.Counts.Entities != 2 {
				t.Errorf("there are %d entities", info.Counts.Entities)
			}
			if got := strings.Join(standing(t, s, "robert"), "\n"); strings.Contains(got, "bob ") || !strings.Contains(got, "k1 robert->club member map[since:1990]") ||
				!strings.Contains(got, "k4 robert->robert") || !strings.Contains(got, "m2->robert mentions") || !strings.Contains(got, "m3->robert mentions map[role:author]") {
				t.Errorf("links of the one that stays:\n%s", got)
			}
			if a := spread(t, s, engram.SpreadQuery{IDs: []memory.ID{"m2"}}); !strings.Contains(active(a), "m1 ") || strings.Contains(active(a), "bob") {
				t.Errorf("m2 wakes %s", active(a))
			}
		}
		// What is said of one that went is said of the one that stays.
		remember(t, s, memory.Episode{ID: "m4", Text: "later", Entities: []memory.EntityRef{{ID: "bob"}, {Type: "person", Name: "bob hale", Role: "x"}}, Links: []memory.LinkDraft{{To: "rh", Type: "about"}}})
		wantLinks(t, s, "m4", "mentions robert", "mentions robert", "about robert")
		put(t, s, memory.Link{ID: "k5", From: "bob", To: "m4", Type: "new"})
		_, err := s.Remember(context.Background(), memory.Episode{ID: "bob", Text: "x"}, engram.WriteOptions{})
		mustCode(t, err, "id_in_use")
		for _, id := range []memory.ID{"m4"} {
			_, err := s.Delete(context.Background(), id, memory.Delete, 0, engram.WriteOptions{})
			check(t, err)
		}
		u, err := s.UnmergeEntities(context.Background(), "robert", m.Merge, engram.WriteOptions{})
		check(t, err)
		if u.Links != 6 || len(u.Entity.Merged) != 0 {
			t.Errorf("undone %+v", u)
		}
		for _, again := range []bool{false, true} {
			if again {
				reopen()
			}
			if got := standing(t, s, nodes...); !slices.Equal(got, before) {
				t.Errorf("undone it is\n%s\nand was\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
			}
			if a := spread(t, s, engram.SpreadQuery{IDs: []memory.ID{"m2"}, Hops: 1}); active(a) != "m2 1, bob 0.4" {
				t.Errorf("m2 wakes %s", active(a))
			}
		}
		_, err = s.UnmergeEntities(context.Background(), "robert", m.Merge, engram.WriteOptions{})
		mustCode(t, err, "merge_not_found")
		clean(t, db)
	}
}

// TestMergeLater: what was changed between a merge and its undo stays as it is.
func TestMergeLater(t *testing.T) {
	fs := vfs.NewMem()
	c := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	db := openWith(t, fs, engram.Options{AutoLinks: true, Clock: c})
	s := mainSpace(t, db)
	people(t, s)
	m := merge(t, s, "robert", "bob")
	_, err := s.Unlink(context.Background(), "k2", engram.WriteOptions{})
	check(t, err)
	put(t, s, memory.Link{ID: "k6", From: "robert", To: "club", Type: "new"})
	_, err = s.UpdateEntity(context.Background(), "bob", func(*memory.Entity) error { return nil }, engram.WriteOptions{})
	mustCode(t, err, "entity_merged")
	_, err = s.PutEntity(context.Background(), memory.Entity{ID: "bob", Name: "x"}, engram.WriteOptions{})
	mustCode(t, err, "entity_merged")
	_, err = s.DeleteEntity(context.Background(), "bob", engram.WriteOptions{})
	mustCode(t, err, "entity_merged")
	_, err = s.UpdateEntity(context.Background(), "robert", func(e *memory.Entity) error {
		e.Metadata["city"] = "Bergen"
		return nil
	}, engram.WriteOptions{})
	check(t, err)
	m2 := merge(t, s, "robert", "rh")
	m3 := merge(t, s, "club", "robert")
	_, err = s.UnmergeEntities(context.Background(), "robert", m.Merge, engram.WriteOptions{})
	mustCode(t, err, "merge_not_found") // robert is club now
	_, err = s.UnmergeEntities(context.Background(), "bob", 0, engram.WriteOptions{})
	mustCode(t, err, "merge_covered")
	_, err = s.UnmergeEntities(context.Background(), "robert", 0, engram.WriteOptions{})
	check(t, err)
	_, err = s.UnmergeEntities(context.Background(), "bob", 0, engram.WriteOptions{}) // not the newest
	check(t, err)
	got := strings.Join(standing(t, s, "robert", "bob", "rh"), "\n")
	for _, want := range []string{
		"robert Robert Hale person [Bobby Hale R. H. Rob] map[born:1950 city:Bergen]", // Bobby Hale is of rh too
		"bob Bob Hale person [Bobby Hale Rob] map[born:1951 city:Oslo]",
		"robert: k6 robert->club", "bob: k1 bob->club", "robert: k3 robert->bob",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "k2") || m2.Merge == m3.Merge {
		t.Errorf("what was unlinked is back:\n%s", got)
	}
	_, err = s.UnmergeEntities(context.Background(), "rh", 0, engram.WriteOptions{})
	check(t, err)
	clean(t, db)
}

// TestMergeEnds: with the entity that stayed go those that went into it, and their ids
// are free.
func TestMergeEnds(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	people(t, s)
	merge(t, s, "bob", "rh")
	m := merge(t, s, "robert", "bob")
	_, err := s.DeleteEntity(context.Background(), "robert", engram.WriteOptions{})
	check(t, err)
	for _, id := range []memory.ID{"robert", "bob", "rh"} {
		_, err := s.Entity(context.Background(), id)
		mustCode(t, err, "entity_not_found")
		remember(t, s, memory.Episode{ID: id, Text: "free"})
	}
	_, err = s.UnmergeEntities(context.Background(), "robert", m.Merge, engram.WriteOptions{})
	mustCode(t, err, "entity_not_found")
	wantLinks(t, s, "m3")
	remember(t, s, memory.Episode{ID: "m9", Text: "x", Entities: []memory.EntityRef{{Type: "person", Name: "Bob Hale"}}})
	clean(t, db)
}

func TestMergeRefuses(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	people(t, s)
	many := make([]memory.ID, engram.MaxMergeFrom+1)
	for i := range many {
		many[i] = memory.ID(fmt.Sprint("e", i))
	}
	for _, c := range []struct {
		code string
		into memory.ID
		from []memory.ID
	}{
		{"merge_empty", "robert", nil},
		{"merge_with_itself", "robert", []memory.ID{"robert"}},
		{"merge_with_itself", "robert", []memory.ID{"bob", "bob"}},
		{"entity_not_found", "robert", []memory.ID{"nobody"}},
		{"entity_not_found", "nobody", []memory.ID{"bob"}},
		{"entity_not_found", "robert", []memory.ID{"m1"}},
		{"id_invalid", "../x", []memory.ID{"bob"}},
		{"id_invalid", "robert", []memory.ID{""}},
		{"list_too_long", "robert", many},
	} {
		_, err := s.MergeEntities(context.Background(), c.into, c.from, engram.WriteOptions{})
		mustCode(t, err, c.code)
	}
	_, err := s.MergeEntities(context.Background(), "robert", []memory.ID{"bob"}, engram.WriteOptions{IfMatch: 7})
	mustCode(t, err, "version_mismatch")
	for i := range 65 {
		_, err := s.PutEntity(context.Background(), memory.Entity{ID: many[i], Name: fmt.Sprint("name ", i)}, engram.WriteOptions{})
		check(t, err)
	}
	_, err = s.MergeEntities(context.Background(), "robert", many[:65], engram.WriteOptions{})
	mustCode(t, err, "list_too_long") // too many aliases
	_, err = s.Entity(context.Background(), "e0")
	check(t, err)
	o := engram.WriteOptions{IdempotencyKey: "once"}
	first, err := s.MergeEntities(context.Background(), "robert", []memory.ID{"bob"}, o)
	check(t, err)
	again, err := s.MergeEntities(context.Background(), "robert", []memory.ID{"bob"}, o)
	check(t, err)
	if !again.Replayed || again.Merge != first.Merge {
		t.Errorf("again %+v, first %+v", again, first)
	}
	_, err = s.MergeEntities(context.Background(), "robert", []memory.ID{"bob"}, engram.WriteOptions{})
	mustCode(t, err, "merge_with_itself")
	var e *memory.Error
	if !errors.As(err, &e) || e.Field != "from[0]" {
		t.Errorf("the error is %v", err)
	}
	clean(t, db)
}
