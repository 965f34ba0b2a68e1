package engram_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// TestWalkSeesWhatStood: between any two pages of a walk memories are added,
// replaced (with another time), deleted and hidden. The walk gives what stood
// when it began, in the versions of then, each once and in order; only what is
// hidden or erased meanwhile is left out.
func TestWalkSeesWhatStood(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		db, err := engram.Open(ctx, "data", engram.Options{FS: vfs.NewMem()})
		must(rt, err)
		defer db.Close()
		s, err := db.Space(engram.DefaultSpace)
		must(rt, err)
		order := rapid.SampledFrom([]engram.ListOrder{engram.ListStored, engram.ListHappened}).Draw(rt, "order")
		happened := func() *memory.Interval {
			if rapid.IntRange(0, 4).Draw(rt, "unknown") == 0 {
				return nil
			}
			return memory.At(time.Date(2026, 1, rapid.IntRange(1, 9).Draw(rt, "day"), 0, 0, 0, 0, time.UTC))
		}
		write := func(id int, text string) {
			_, err := s.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprint("m", id)), Text: text, Tags: []string{"t"}, Happened: happened()}, engram.WriteOptions{OnConflict: memory.ConflictReplace})
			must(rt, err)
		}
		n := rapid.IntRange(1, 12).Draw(rt, "n")
		for i := range n {
			write(i, "as it stood")
		}
		want := walk(rt, s, engram.ListQuery{Order: order, Filter: memory.Filter{Tags: []string{"t"}}, PageSize: 1000}, func() {})
		got := walk(rt, s, engram.ListQuery{Order: order, Filter: memory.Filter{Tags: []string{"t"}}, PageSize: rapid.IntRange(1, 4).Draw(rt, "page")}, func() {
			for range rapid.IntRange(0, 4).Draw(rt, "writes") {
				i := rapid.IntRange(0, n+3).Draw(rt, "id")
				id := memory.ID(fmt.Sprint("m", i))
				switch rapid.SampledFrom([]string{"write", "write", "delete", "suppress", "erase"}).Draw(rt, "verb") {
				case "write":
					write(i, "changed meanwhile")
					continue
				case "delete":
					_, _ = s.Delete(ctx, id, memory.Delete, 0, engram.WriteOptions{}) // it may be gone already
					continue
				case "suppress":
					_, err = s.Delete(ctx, id, memory.Suppress, 0, engram.WriteOptions{})
				case "erase":
					_, err = s.Delete(ctx, id, memory.Erase, erasureWait, engram.WriteOptions{})
				}
				if err == nil { // from now on the walk leaves it out, if it has not been there yet
					want = slices.DeleteFunc(want, func(m memory.Memory) bool { return m.ID == id })
				}
			}
		})
		// What was hidden after the walk had passed it is in got alone.
		at := 0
		for _, m := range got {
			if at < len(want) && m.ID == want[at].ID {
				if m.Version != want[at].Version || m.Text != "as it stood" {
					rt.Fatalf("%s came in version %d (%s), it stood in %d", m.ID, m.Version, m.Text, want[at].Version)
				}
				at++
			} else if slices.ContainsFunc(want, func(x memory.Memory) bool { return x.ID == m.ID }) {
				rt.Fatalf("%s comes twice or out of order: got %v, want %v", m.ID, idsOf(got), idsOf(want))
			}
		}
		if at != len(want) {
			rt.Fatalf("the walk skips: got %v, want at least %v", idsOf(got), idsOf(want))
		}
	})
}

func idsOf(ms []memory.Memory) (ids []memory.ID) {
	for i := range ms {
		ids = append(ids, ms[i].ID)
	}
	return ids
}

// walk reads all pages, and calls between after each but the last.
func walk(t *rapid.T, s *engram.Space, q engram.ListQuery, between func()) (all []memory.Memory) {
	for {
		p, err := s.List(context.Background(), q)
		must(t, err)
		all = append(all, p.Memories...)
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			return all
		}
		between()
	}
}

// TestWalkUnderWriters: many walks beside many writers, for the race detector.
func TestWalkUnderWriters(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	const standing = 150
	for i := range standing {
		remember(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: "stands", Happened: memory.At(time.Date(2026, 1, 1+i%28, 0, 0, 0, 0, time.UTC))})
	}
	var stop atomic.Bool
	var writers sync.WaitGroup
	for k := range 4 {
		writers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := memory.ID(fmt.Sprint("m", (i*7+k)%standing))
				e := memory.Episode{ID: id, Text: fmt.Sprint("again ", i), Happened: memory.At(time.Date(2026, 2, 1+i%28, 0, 0, 0, 0, time.UTC))}
				_, err := s.Remember(ctx, e, engram.WriteOptions{OnConflict: memory.ConflictReplace})
				extra := memory.ID(fmt.Sprintf("x%dx%d", k, i))
				_, err2 := s.Remember(ctx, memory.Episode{ID: extra, Text: "more"}, engram.WriteOptions{})
				_, err3 := s.Delete(ctx, extra, memory.Delete, 0, engram.WriteOptions{})
				if err != nil || err2 != nil || err3 != nil {
					t.Error(err, err2, err3)
					return
				}
			}
		})
	}
	together(4, func(k int) {
		for range rounds(12) {
			seen := make(map[memory.ID]int)
			q := engram.ListQuery{PageSize: 17 + k, Order: []engram.ListOrder{engram.ListStored, engram.ListHappened}[k%2]}
			for {
				p, err := s.List(ctx, q)
				if err != nil {
					t.Error(err)
					return
				}
				for _, m := range p.Memories {
					seen[m.ID]++
				}
				if q.PageToken = p.NextPageToken; q.PageToken == "" {
					break
				}
			}
			for i := range standing {
				if n := seen[memory.ID(fmt.Sprint("m", i))]; n != 1 {
					t.Errorf("m%d came %d times", i, n)
				}
			}
		}
	})
	stop.Store(true)
	writers.Wait()
}

// TestPageTokens: a token is good for the call that gave it, and damage to one is
// refused or harmless.
func TestPageTokens(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s, other := spaceOf(t, db, "s", 0), spaceOf(t, db, "other", 0)
	for i := range 5 {
		e := memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: "x", Tags: []string{"t"}}
		remember(t, s, e)
		remember(t, other, e)
	}
	q := engram.ListQuery{PageSize: 2, Filter: memory.Filter{Tags: []string{"t"}}}
	p, err := s.List(ctx, q)
	check(t, err)
	q.PageToken = p.NextPageToken
	p, err = s.List(ctx, q)
	check(t, err)
	if len(p.Memories) != 2 || p.Memories[0].ID != "m2" {
		t.Fatalf("second page: %v", idsOf(p.Memories))
	}
	elsewhere := []func(engram.ListQuery) (engram.Page, error){
		func(q engram.ListQuery) (engram.Page, error) { return other.List(ctx, q) },
		func(q engram.ListQuery) (engram.Page, error) { q.Order = engram.ListHappened; return s.List(ctx, q) },
		func(q engram.ListQuery) (engram.Page, error) { q.Filter = memory.Filter{}; return s.List(ctx, q) },
		func(q engram.ListQuery) (engram.Page, error) { q.PageToken = "x"; return s.List(ctx, q) },
		func(q engram.ListQuery) (engram.Page, error) { q.PageToken += "AAAA"; return s.List(ctx, q) },
		func(q engram.ListQuery) (engram.Page, error) { q.PageToken = q.PageToken[:8]; return s.List(ctx, q) },
	}
	for i, call := range elsewhere {
		_, err := call(q)
		if codeOf(err) != "page_token_invalid" {
			t.Errorf("call %d: %v", i, err)
		}
	}
	for i := range q.PageToken {
		bad := []byte(q.PageToken)
		bad[i] ^= 1
		bent := q
		bent.PageToken = string(bad)
		if _, err := s.List(ctx, bent); err != nil && codeOf(err) != "page_token_invalid" {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if _, _, err := s.Entities(ctx, "", 2, q.PageToken); codeOf(err) != "page_token_invalid" {
		t.Error(err)
	}
	if _, _, err := s.Links(ctx, engram.LinkQuery{Node: "m0", PageToken: q.PageToken}); codeOf(err) != "page_token_invalid" {
		t.Error(err)
	}
	for _, bad := range []engram.ListQuery{{PageSize: -1}, {PageSize: 1001}, {Order: "sideways"}, {Filter: memory.Filter{Tags: []string{""}}}} {
		if _, err := s.List(ctx, bad); memory.KindOf(err) != memory.KindInvalid || codeOf(err) == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestWalkBeyondHorizon: a walk that is taken up again after its state has left
// the journal is told so.
func TestWalkBeyondHorizon(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	db := openWith(t, vfs.NewMem(), engram.Options{Clock: c})
	_, _, err := db.CreateSpace(ctx, "s", memory.Settings{Horizon: time.Hour})
	check(t, err)
	s, err := db.Space("s")
	check(t, err)
	for i := range 3 {
		remember(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: "x"})
	}
	p, err := s.List(ctx, engram.ListQuery{PageSize: 1})
	check(t, err)
	remember(t, s, memory.Episode{Text: "later"})
	eventually(t, "the horizon passes the walk", func() bool {
		c.Advance(10 * time.Minute)
		i, err := s.Info(ctx)
		check(t, err)
		return i.Horizon > p.LSN
	})
	_, err = s.List(ctx, engram.ListQuery{PageSize: 1, PageToken: p.NextPageToken})
	mustCode(t, err, "beyond_horizon")
	if memory.KindOf(err) != memory.KindGone {
		t.Error(memory.KindOf(err))
	}
	_, _, err = s.Events(ctx, engram.EventQuery{After: 1})
	mustCode(t, err, "beyond_horizon")
	if e := new(memory.Error); !asError(err, &e) || e.Details["horizon"] == nil {
		t.Errorf("no horizon in %+v", e)
	}
}
