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

// asOfIDs are the ids that a listing as of then gives, sorted.
func asOfIDs(t *testing.T, s *engram.Space, a memory.AsOf) []memory.ID {
	t.Helper()
	ids := recalled(t, s, memory.Cue{Mode: memory.ModeRecent, Limit: 100, AsOf: a})
	slices.Sort(ids)
	return ids
}

func wantAsOf(t *testing.T, s *engram.Space, a memory.AsOf, want ...memory.ID) {
	t.Helper()
	if got := asOfIDs(t, s, a); !slices.Equal(got, want) {
		t.Errorf("as of %+v: %v, want %v", a, got, want)
	}
}

// TestAsOfTime: the state is that of the last record by then; what had expired by then is not
// seen, and what has expired since is; words about time are read from then.
func TestAsOfTime(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 3, 20, 10, 0, 0, 0, time.UTC))
	db := openWith(t, vfs.NewMem(), engram.Options{Clock: c})
	s := spaceOf(t, db, "notes", 2)
	other := spaceOf(t, db, "other", 2)
	remember(t, other, memory.Episode{ID: "x", Text: "the pump of another"})
	start, soon := c.Now(), c.Now().Add(90*time.Minute)
	remember(t, s, memory.Episode{ID: "a", Text: "the pump ran"})
	remember(t, s, memory.Episode{ID: "brief", Text: "the pump is hot", ExpiresAt: &soon})
	c.Advance(time.Hour)
	_, err := s.Update(ctx, "a", func(e *memory.Episode) error { e.Text = "the pump stood still"; return nil }, engram.WriteOptions{})
	check(t, err)
	remember(t, s, memory.Episode{ID: "b", Text: "the pump ran again"})
	c.Advance(24 * time.Hour)
	wantAsOf(t, s, memory.AsOf{Stored: start.Add(-time.Second)})
	wantAsOf(t, s, memory.AsOf{Stored: start}, "a", "brief")
	wantAsOf(t, s, memory.AsOf{Stored: start.Add(time.Hour)}, "a", "b", "brief")
	wantAsOf(t, s, memory.AsOf{Stored: soon}, "a", "b")
	wantAsOf(t, s, memory.AsOf{Stored: c.Now().Add(1000 * time.Hour)}, "a", "b")
	_, err = s.Recall(ctx, memory.Cue{Text: "pump", AsOf: memory.AsOf{LSN: 1000}})
	mustCode(t, err, "lsn_ahead")
	r, err := s.Recall(ctx, memory.Cue{Text: "the pump today", AsOf: memory.AsOf{Stored: start.Add(time.Minute)}})
	check(t, err)
	if len(r.Results) != 2 || r.Results[0].Memory.Text == "the pump stood still" || r.LSN != 2 || !r.Now.Equal(start.Add(time.Minute)) ||
		len(r.Times) != 1 || !r.Times[0].From.Equal(time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)) || r.Took[1].Stage != "as_of" {
		t.Errorf("%+v", r)
	}
	across, err := db.RecallAcross(ctx, []memory.SpaceName{"notes", "other"}, memory.Cue{Text: "pump", AsOf: memory.AsOf{Stored: start}})
	check(t, err)
	if len(across.Results) != 3 || !across.Now.Equal(start) {
		t.Errorf("%+v", across)
	}
	_, err = db.RecallAcross(ctx, []memory.SpaceName{"notes", "other"}, memory.Cue{Text: "pump", AsOf: memory.AsOf{LSN: 1}})
	mustCode(t, err, "lsn_of_one_space")
}

// TestAsOfForgets: what is erased is in no answer about the past, nor what is suppressed; what
// was deleted is, until the horizon has passed it.
func TestAsOfForgets(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 3, 20, 10, 0, 0, 0, time.UTC))
	db := openWith(t, vfs.NewMem(), engram.Options{Clock: c, AutoLinks: true})
	s := spaceOf(t, db, "notes", 2)
	for _, id := range []memory.ID{"a", "b", "c", "d"} {
		remember(t, s, memory.Episode{ID: id, Text: "otters " + string(id), Vector: []float32{1, 1}, Stream: "talk"})
	}
	settled(t, s)
	lsn, err := s.LSN()
	check(t, err)
	then := memory.AsOf{LSN: lsn}
	remember(t, s, memory.Episode{ID: "e", Text: "otters e"})
	wantAsOf(t, s, then, "a", "b", "c", "d")
	forget := func(mode memory.ForgetMode, id memory.ID) {
		t.Helper()
		_, err := s.Forget(ctx, engram.ForgetQuery{IDs: []memory.ID{id}, Mode: mode}, 10*time.Second, engram.WriteOptions{})
		check(t, err)
	}
	forget(memory.Suppress, "a")
	wantAsOf(t, s, then, "b", "c", "d")
	forget(memory.Delete, "b")
	wantAsOf(t, s, then, "b", "c", "d")
	_, err = s.Restore(ctx, engram.ForgetQuery{IDs: []memory.ID{"a"}}, engram.WriteOptions{})
	check(t, err)
	wantAsOf(t, s, then, "a", "b", "c", "d")
	built := db.Stats().Pasts.Built
	forget(memory.Erase, "c")
	if st := db.Stats().Pasts; st.Kept != 0 {
		t.Errorf("after an erasure: %+v", st)
	}
	wantAsOf(t, s, then, "a", "b", "d")
	if got := recalled(t, s, memory.Cue{Text: "otters", Vector: []float32{1, 1}, AsOf: then}); slices.Contains(got, "c") {
		t.Errorf("%v", got)
	}
	if st := db.Stats().Pasts; st.Built != built+1 {
		t.Errorf("built %d times, then %+v", built, st)
	}
	_, err = s.Recall(ctx, memory.Cue{IDs: []memory.ID{"c"}, AsOf: then})
	mustCode(t, err, "memory_not_found")
	if got := recalled(t, s, memory.Cue{IDs: []memory.ID{"b"}, AsOf: then}); len(got) == 0 || got[0] != "b" {
		t.Errorf("%v", got)
	}
	r, err := s.Recall(ctx, memory.Cue{Text: "otters", AsOf: then, Replay: true})
	check(t, err)
	same(t, "as of", s, r)

	c.Advance(31 * 24 * time.Hour)
	eventually(t, "the horizon", func() bool {
		c.Advance(time.Minute)
		_, err := s.Recall(ctx, memory.Cue{Text: "otters", AsOf: then})
		return codeOf(err) == "beyond_horizon"
	})
	_, err = s.Recall(ctx, memory.Cue{Text: "otters", AsOf: memory.AsOf{Stored: c.Now().Add(-40 * 24 * time.Hour)}})
	mustCode(t, err, "beyond_horizon")
	eventually(t, "the state that nobody asks for", func() bool { c.Advance(time.Minute); return db.Stats().Pasts.Kept == 0 })
	_, err = db.DropSpace(ctx, "notes")
	check(t, err)
}

// TestAsOfValid: what had not happened by then is left out, and activation goes along the
// links that held then alone, in the state of now and in one of before.
func TestAsOfValid(t *testing.T) {
	ctx := context.Background()
	_, s := linked(t, vfs.NewMem())
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for id, d := range map[memory.ID]int{"a": 1, "b": 2, "late": 20} {
		remember(t, s, memory.Episode{ID: id, Text: map[memory.ID]string{"a": "the engine of the ferry is loud", "b": "a harbour", "late": "the engine again"}[id], Happened: memory.At(day(d))})
	}
	remember(t, s, memory.Episode{ID: "ever", Text: "an engine has cylinders"})
	from, to := day(5), day(10)
	_, err := s.Link(ctx, memory.Link{ID: "l", From: "a", To: "b", Type: "related", Weight: 1, Valid: &memory.Validity{From: &from, To: &to}}, engram.WriteOptions{})
	check(t, err)
	lsn, err := s.LSN()
	check(t, err)
	for _, stored := range []memory.LSN{0, lsn} { // of now, before the link goes
		pass := "now"
		if stored != 0 {
			pass = "before"
			_, err := s.Unlink(ctx, "l", engram.WriteOptions{})
			check(t, err)
		}
		for _, x := range []struct {
			valid time.Time
			want  []memory.ID
		}{
			{day(4), []memory.ID{"a", "ever"}},
			{day(5), []memory.ID{"a", "b", "ever"}},
			{day(9), []memory.ID{"a", "b", "ever"}},
			{day(10), []memory.ID{"a", "ever"}},
			{day(20), []memory.ID{"a", "ever", "late"}},
			{time.Time{}, []memory.ID{"a", "b", "ever", "late"}},
		} {
			got := recalled(t, s, memory.Cue{Text: "loud engine of the ferry", AsOf: memory.AsOf{Valid: x.valid, LSN: stored}})
			if slices.Sort(got); !slices.Equal(got, x.want) {
				t.Errorf("%s, valid on %s: %v, want %v", pass, x.valid.Format("2 Jan"), got, x.want)
			}
		}
	}
}

// TestAsOfRefuses: what cannot be answered says so.
func TestAsOfRefuses(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{PastMemories: 1})
	s := spaceOf(t, db, "notes", 2)
	for _, id := range []memory.ID{"a", "b", "c"} {
		remember(t, s, memory.Episode{ID: id, Text: string(id)})
	}
	for code, c := range map[string]memory.Cue{
		"as_of_contradicts":   {Text: "a", AsOf: memory.AsOf{LSN: 1, Stored: time.Now()}},
		"as_of_without_links": {Text: "a", AsOf: memory.AsOf{LSN: 1}, IncludeLinks: true},
		"as_of_too_large":     {Text: "a", AsOf: memory.AsOf{LSN: 2}},
		"time_out_of_range":   {Text: "a", AsOf: memory.AsOf{Valid: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		_, err := s.Recall(ctx, c)
		mustCode(t, err, code)
	}
	wantAsOf(t, s, memory.AsOf{LSN: 1}, "a")
	late, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := s.Recall(late, memory.Cue{Text: "a", AsOf: memory.AsOf{LSN: 2}})
	mustCode(t, err, "timeout")
	eventually(t, "what is too large", func() bool { return db.Stats().Pasts.Kept == 1 })
}
