package engram_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// eachGiven lists the given links that go out from nodes, as "from>to id".
func eachGiven(t *testing.T, s *engram.Space, from ...memory.ID) (got []string) {
	t.Helper()
	check(t, s.EachGivenLink(context.Background(), from, func(l memory.Link) error {
		got = append(got, fmt.Sprintf("%s>%s %s", l.From, l.To, l.Rule))
		return nil
	}))
	return got
}

// TestEachGivenLink: many nodes at once have what Links says of each, and where
// nobody has said a link nothing is looked at.
func TestEachGivenLink(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	for i := range 6 {
		batch(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("t", i)), Text: "on the quay", Stream: "talk"})
	}
	settled(t, s)
	if got := eachGiven(t, s, "t0", "t1", "t2"); got != nil || len(linksOf(t, s, "t1")) == 0 {
		t.Fatalf("the rules' own: %v", got)
	}
	for _, l := range []memory.Link{{ID: "x", From: "t0", To: "t1"}, {ID: "~y", From: "t0", To: "t0"}, {ID: "~~", From: "t3", To: "t0"}, {ID: "0", From: "t1", To: "t3"}} {
		l.Type, l.Weight = "said", 1
		_, err := s.Link(context.Background(), l, engram.WriteOptions{})
		check(t, err)
	}
	batch(t, s, memory.Episode{ID: "t9", Text: "Port", Entities: []memory.EntityRef{{ID: "port", Name: "Port"}}})
	settled(t, s)
	want := "[t9>port mentions t0>t1 caller t0>t0 caller t3>t0 caller]"
	if got := eachGiven(t, s, "t9", "gone", "t0", "t2", "t3", "port"); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	enough := errors.New("enough")
	n := 0
	err := s.EachGivenLink(context.Background(), []memory.ID{"t0"}, func(memory.Link) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.EachGivenLink(ended, []memory.ID{"t0"}, func(memory.Link) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	clean(t, db)
}
