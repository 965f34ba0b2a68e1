package engram_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// given lists the links that callers have said, a page of one at a time.
func given(t *testing.T, s *engram.Space, id memory.ID, d memory.Direction) (ids []memory.ID) {
	t.Helper()
	q := engram.LinkQuery{Node: id, Direction: d, Given: true, PageSize: 1}
	for {
		ls, next, err := s.Links(context.Background(), q)
		check(t, err)
		for _, l := range ls {
			ids = append(ids, l.ID)
		}
		if q.PageToken = next; next == "" {
			return ids
		}
	}
}

// TestGivenLinks: what rules made is passed over and nothing else, whatever the ids of
// the rest look like.
func TestGivenLinks(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	batch(t, s,
		memory.Episode{ID: "t1", Text: "where?", Stream: "talk"},
		memory.Episode{ID: "t2", Title: "Blue Harbour", Text: "there", Stream: "talk"},
		memory.Episode{ID: "t3", Text: "at the Blue Harbour", Stream: "talk", Entities: []memory.EntityRef{{ID: "port", Name: "Port", Role: "place"}}},
	)
	want := []memory.ID{"a", "~", "~next", "~next~1", "~next~x~y", "~zz~1~", "~~"}
	for i, id := range want {
		ends := []memory.ID{"t1", "t3"}
		if i%2 == 1 {
			ends = []memory.ID{"t2", "t2"} // to itself: once
		}
		_, err := s.Link(context.Background(), memory.Link{ID: id, From: ends[0], To: ends[1], Type: "x", Weight: 1}, engram.WriteOptions{})
		check(t, err)
	}
	settled(t, s)
	if n := len(linksOf(t, s, "t1")); n <= 4 {
		t.Fatalf("t1 has %d links out: the rules made none", n)
	}
	// "~next~x~y" sorts behind "~next~1~2" and is not one of the rule's.
	for node, want := range map[memory.ID][]memory.ID{"t1": {"a", "~next", "~next~x~y", "~~"}, "t2": {"~", "~next~1", "~zz~1~"}} {
		if got := given(t, s, node, memory.Both); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("given at %s: %q, want %q", node, got, want)
		}
	}
	m, err := s.Get(context.Background(), "t3", engram.ReadOptions{Links: true, GivenLinks: true})
	check(t, err)
	named := slices.ContainsFunc(m.LinksOf, func(l memory.Link) bool { return l.To == "port" && l.Rule == memory.RuleMentions })
	if !named || len(m.LinksOf) != 5 {
		t.Errorf("t3 has %d given links, with the entity that it names: %v", len(m.LinksOf), named)
	}
	clean(t, db)
}
