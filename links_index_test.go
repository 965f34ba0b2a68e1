package engram_test

import (
	"context"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestLinksAreAnIndex: a space that makes links says what the rules have not been asked about
// yet, and when its tail is empty all links are there.
func TestLinksAreAnIndex(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	tail := func() (lsn memory.LSN, tail, links int) {
		info, err := s.Info(context.Background())
		check(t, err)
		i := slices.IndexFunc(info.Indexes, func(x engram.IndexInfo) bool { return x.Name == "links" })
		if i < 0 {
			t.Fatalf("%+v", info.Indexes)
		}
		return info.Indexes[i].LSN, info.Indexes[i].Tail, info.Indexes[i].Items
	}
	es := make([]memory.Episode, 300)
	for i := range es {
		es[i] = memory.Episode{Text: "a turn of talk", Stream: "talk"}
	}
	_, err := s.RememberBatch(context.Background(), es, false, engram.WriteOptions{})
	check(t, err)
	eventually(t, "the links", func() bool {
		lsn, waiting, links := tail()
		if lsn == 0 {
			return false // the indexes are not open yet
		}
		if waiting == 0 && links != len(es)-1 {
			t.Fatalf("nothing waits, and there are %d links of %d", links, len(es)-1)
		}
		return waiting == 0
	})
	check(t, db.Close())
	off := spaceOf(t, openWith(t, vfs.NewMem(), engram.Options{}), "notes", 2)
	info, err := off.Info(context.Background())
	check(t, err)
	if slices.ContainsFunc(info.Indexes, func(x engram.IndexInfo) bool { return x.Name == "links" }) {
		t.Error("where no links are made there is an index of them")
	}
}
