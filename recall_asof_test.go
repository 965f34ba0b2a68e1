package engram_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// asOfCues are asked at many moments.
func asOfCues(now time.Time) map[string]memory.Cue {
	cues := map[string]memory.Cue{
		"associative": {Text: "who fed the otters by the river on 3 March", Now: now, Explain: true},
		"similar":     {Text: "otters river", Vector: []float32{1, 2}, Mode: memory.ModeSimilar, Now: now},
		"vector":      {Vector: []float32{2, 1}, Mode: memory.ModeSimilar, Now: now},
		"filter":      {Text: "otters", Filter: memory.Filter{Tags: []string{"even"}}, Now: now},
		"recent":      {Mode: memory.ModeRecent, Now: now},
		"people":      {Text: "what did Ada do?", Now: now, Explain: true},
		"recognise":   {Text: "otters", Mode: memory.ModeRecognise, Now: now},
		"context":     {Text: "and then?", Context: []memory.ContextItem{{Text: "the pump", At: now}}, Now: now},
	}
	for name, c := range cues {
		c.Limit = 50
		cues[name] = c
	}
	return cues
}

// told is an answer as bytes, but for what is new each time. Scores are told to ten digits:
// sums over an index that others have left are of another order. What is equal is told by id:
// in an index that was built anew it stands in another order.
func told(t *testing.T, r engram.Recollection) string {
	t.Helper()
	out := fmt.Sprint(r.LSN, r.Now.UTC(), r.Times)
	for i, x := range r.Results {
		x.Score = digits(x.Score)
		for j := range x.Parts {
			x.Parts[j].Value = digits(x.Parts[j].Value)
		}
		for j := range x.Paths {
			x.Paths[j].Activation = digits(x.Paths[j].Activation)
		}
		r.Results[i] = x
	}
	slices.SortStableFunc(r.Results, func(a, b engram.Result) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Memory.ID, b.Memory.ID))
	})
	for _, x := range r.Results {
		out += "\n" + written(t, x)
	}
	return out
}

func digits(x float64) float64 { return math.Round(x*1e10) / 1e10 }

// TestAsOfIsWhatWasAnswered: whatever became of memories, links and entities since, a cue as
// of then gets the answer that it got then, with scores, reasons and paths, also after a
// restart and from another cue at the same moment.
func TestAsOfIsWhatWasAnswered(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	c := clock.NewVirtual(time.Date(2026, 3, 20, 10, 0, 0, 0, time.UTC))
	o := engram.Options{AutoLinks: true, Clock: c, FS: fs}
	db := openWith(t, fs, o)
	s := spaceOf(t, db, "notes", 2)
	now := c.Now()
	said := map[memory.LSN]map[string]string{}
	note := func() {
		t.Helper()
		settled(t, s)
		lsn, err := s.LSN()
		check(t, err)
		said[lsn] = map[string]string{}
		for name, cue := range asOfCues(now) {
			r, err := s.Recall(ctx, cue)
			check(t, err)
			said[lsn][name] = told(t, r)
		}
	}
	episode := func(i int) memory.Episode {
		e := memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: fmt.Sprintf("Otter %d was fed by the river, and the pump ran.", i), Stream: "talk", People: []string{"Ada", "Ben"}[i%2 : i%2+1],
			Vector: []float32{1, float32(i)}, Happened: memory.At(time.Date(2026, 3, i+1, 0, 0, 0, 0, time.UTC))}
		if i%2 == 0 {
			e.Tags = []string{"even"}
		}
		return e
	}
	for i := range 8 {
		remember(t, s, episode(i))
	}
	note()
	_, err := s.PutEntity(ctx, memory.Entity{ID: "ada", Name: "Ada Lovelace", Type: "person"}, engram.WriteOptions{})
	check(t, err)
	_, err = s.PutEntity(ctx, memory.Entity{ID: "countess", Name: "the Countess", Type: "person"}, engram.WriteOptions{})
	check(t, err)
	for i, to := range []memory.ID{"ada", "countess"} {
		_, err := s.Link(ctx, memory.Link{ID: memory.ID(fmt.Sprint("l", i)), From: memory.ID(fmt.Sprint("m", i)), To: to, Type: "about", Weight: 1}, engram.WriteOptions{})
		check(t, err)
	}
	remember(t, s, memory.Episode{ID: "pump", Title: "The pump", Text: "Ada Lovelace mended it.", Vector: []float32{5, 5}})
	note()
	_, err = s.Update(ctx, "m3", func(e *memory.Episode) error {
		e.Text, e.Vector, e.Tags = "Otter 3 swam away.", []float32{-1, 0}, []string{"even"}
		return nil
	}, engram.WriteOptions{})
	check(t, err)
	note()
	_, err = s.Delete(ctx, "m2", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	_, err = s.MergeEntities(ctx, "ada", []memory.ID{"countess"}, engram.WriteOptions{})
	check(t, err)
	note()
	_, err = s.Unlink(ctx, "l0", engram.WriteOptions{})
	check(t, err)
	_, err = s.UpdateLink(ctx, "l1", func(l *memory.Link) error { l.Type = "concerns"; return nil }, engram.WriteOptions{})
	check(t, err)
	for i := 8; i < 12; i++ {
		remember(t, s, episode(i))
	}
	_, err = s.Delete(ctx, "pump", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	note()
	remember(t, s, episode(2)) // the id is of another memory now
	ask := func(when string) {
		for lsn, answers := range said {
			for name, cue := range asOfCues(now) {
				cue.AsOf.LSN = lsn
				r, err := s.Recall(ctx, cue)
				check(t, err)
				if got := told(t, r); got != answers[name] {
					t.Errorf("%s, %s as of %d:\n%s\nthen:\n%s", when, name, lsn, got, answers[name])
				}
			}
		}
	}
	ask("at once")
	if st := db.Stats().Pasts; st.Built == 0 || st.Kept == 0 || st.Kept > st.Bound {
		t.Errorf("%+v", st)
	}
	check(t, db.Close())
	db = openWith(t, fs, o)
	s, err = db.Space("notes")
	check(t, err)
	ask("after a restart")
}
