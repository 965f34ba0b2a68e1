package engram_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
)

// stageOf is what a stage gave to the score of a result.
func stageOf(r engram.Result, stage string) float64 {
	i := slices.IndexFunc(r.Parts, func(p recall.Part) bool { return p.Stage == stage })
	if i < 0 {
		return 0
	}
	return r.Parts[i].Value
}

// TestRecallTimes: words about time are read from the cue's now, in its zone, else from
// the clock.
func TestRecallTimes(t *testing.T) {
	ctx := context.Background()
	s := spaceOf(t, openWith(t, vfs.NewMem(), engram.Options{AutoLinks: true}), "notes", 0)
	day := func(d, h int) *memory.Interval { return memory.At(time.Date(2025, 6, d, h, 30, 0, 0, time.UTC)) }
	remember(t, s, memory.Episode{ID: "early", Text: "the boat was painted", Happened: day(10, 12)})
	remember(t, s, memory.Episode{ID: "late", Text: "the boat was painted", Happened: day(11, 23)}) // the 12th in Berlin
	remember(t, s, memory.Episode{ID: "never", Text: "the boat was painted"})
	east := time.FixedZone("", 2*3600)
	for name, x := range map[string]struct {
		now  time.Time
		zone *time.Location
		want memory.ID
	}{
		"utc":         {time.Date(2025, 6, 11, 9, 0, 0, 0, time.UTC), nil, "early"},
		"in its zone": {time.Date(2025, 6, 13, 1, 0, 0, 0, east), nil, "late"},
		"named zone":  {time.Date(2025, 6, 12, 23, 0, 0, 0, time.UTC), east, "late"},
	} {
		r, err := s.Recall(ctx, memory.Cue{Text: "boat painted yesterday", Now: x.now, Zone: x.zone})
		check(t, err)
		if len(r.Results) != 3 || r.Results[0].Memory.ID != x.want || stageOf(r.Results[0], "time") == 0 || stageOf(r.Results[1], "time") != 0 {
			t.Errorf("%s: %+v", name, r.Results)
		}
		if len(r.Times) != 1 || r.Times[0].Text != "yesterday" {
			t.Errorf("%s: %+v", name, r.Times)
		}
	}
	if r, err := s.Recall(ctx, memory.Cue{Text: "boat painted yesterday"}); err != nil || len(r.Results) != 3 || stageOf(r.Results[0], "time") != 0 {
		t.Errorf("by the clock: %+v %v", r.Results, err)
	}
}

// TestRecallContext: earlier cues prime, by words and by id; what is wrong in a context is
// refused by its field; what another space has is not there.
func TestRecallContext(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{AutoLinks: true})
	s, other := spaceOf(t, db, "notes", 0), spaceOf(t, db, "other", 0)
	remember(t, s, memory.Episode{ID: "money", Text: "The bank gave us a loan.", Stream: "a"})
	remember(t, s, memory.Episode{ID: "terms", Text: "Four percent for ten years.", Stream: "a"})
	remember(t, s, memory.Episode{ID: "river", Text: "The bank is wet and green.", Stream: "b"})
	remember(t, other, memory.Episode{ID: "there", Text: "The bank of another."})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ask := func(c memory.Cue) []engram.Result {
		t.Helper()
		c.Text, c.Now = "bank", now
		r, err := s.Recall(ctx, c)
		check(t, err)
		for _, x := range r.Results {
			sum := 0.0
			for _, p := range x.Parts {
				sum += p.Value
			}
			if d := sum - x.Score; d > 1e-9 || d < -1e-9 {
				t.Errorf("%s: %v sums to %v, not %v", x.Memory.ID, x.Parts, sum, x.Score)
			}
		}
		return r.Results
	}
	of := func(rs []engram.Result, id memory.ID) float64 {
		i := slices.IndexFunc(rs, func(r engram.Result) bool { return r.Memory.ID == id })
		if i < 0 {
			return 0
		}
		return stageOf(rs[i], "context")
	}
	for _, x := range []struct {
		item memory.ContextItem
		want memory.ID
	}{{memory.ContextItem{Text: "a loan"}, "money"}, {memory.ContextItem{Text: "wet green"}, "river"}, {memory.ContextItem{ID: "river"}, "river"}, {memory.ContextItem{ID: "terms"}, "money"}} {
		fresh := ask(memory.Cue{Context: []memory.ContextItem{x.item}})
		if fresh[0].Memory.ID != x.want {
			t.Errorf("%+v: %+v", x.item, fresh)
		}
		x.item.At = now.Add(-time.Hour)
		if old := ask(memory.Cue{Context: []memory.ContextItem{x.item}}); of(old, x.want) >= of(fresh, x.want) || of(old, x.want) == 0 {
			t.Errorf("%+v: %v after an hour, %v at once", x.item, of(old, x.want), of(fresh, x.want))
		}
		if off := ask(memory.Cue{Context: []memory.ContextItem{x.item}, Stages: memory.Stages{NoContext: true}}); of(off, x.want) != 0 {
			t.Errorf("%+v: off gives %+v", x.item, off)
		}
	}
	many := make([]memory.ContextItem, memory.MaxContext+1)
	for i := range many {
		many[i].Text = "x"
	}
	for _, x := range []struct {
		context []memory.ContextItem
		code    string
	}{
		{many, "list_too_long"},
		{[]memory.ContextItem{{}}, "context_item_invalid"},
		{[]memory.ContextItem{{Text: "a", ID: "b"}}, "context_item_invalid"},
		{[]memory.ContextItem{{Text: " "}}, "text_blank"},
		{[]memory.ContextItem{{ID: "/"}}, "id_invalid"},
		{[]memory.ContextItem{{ID: "there"}}, "memory_not_found"},
		{[]memory.ContextItem{{Text: "\xff"}}, "utf8_invalid"},
	} {
		_, err := s.Recall(ctx, memory.Cue{Text: "bank", Context: x.context})
		mustCode(t, err, x.code)
	}
}

// TestRecogniseVerb: what is known is familiar, what is not is not, and both doors to it say the
// same.
func TestRecogniseVerb(t *testing.T) {
	ctx := context.Background()
	s := spaceOf(t, openWith(t, vfs.NewMem(), engram.Options{}), "notes", 0)
	remember(t, s, memory.Episode{ID: "pump", Text: "The pump in the cellar was replaced."})
	remember(t, s, memory.Episode{ID: "otter", Text: "Otters sleep by the river."})
	for text, want := range map[string]bool{"the cellar pump": true, "otters": true, "a violin concerto in Vienna": false, "the cellar of the violin maker in Vienna": false} {
		r, err := s.Recognise(ctx, memory.Cue{Text: text})
		check(t, err)
		x := r.Recognition
		if x == nil || x.Familiar != want || x.Familiar != (x.Familiarity >= x.Threshold) || x.Familiarity < 0 || x.Familiarity > 1 || want && r.Results[0].Score != x.Familiarity {
			t.Errorf("%q: %+v %+v", text, x, r.Results)
		}
		again, err := s.Recall(ctx, memory.Cue{Text: text, Mode: memory.ModeRecognise})
		if err != nil || *again.Recognition != *x {
			t.Errorf("%q: %+v, %+v by recall: %v", text, x, again.Recognition, err)
		}
	}
	r, err := s.Recognise(ctx, memory.Cue{Text: "the cellar pump", Filter: memory.Filter{Tags: []string{"none"}}})
	if err != nil || r.Recognition.Familiar || len(r.Results) != 0 {
		t.Errorf("filtered: %+v %v", r.Recognition, err)
	}
	_, err = s.Recognise(ctx, memory.Cue{IDs: []memory.ID{"pump"}})
	mustCode(t, err, "cue_empty")
	if r, err := s.Recall(ctx, memory.Cue{Text: "pump"}); err != nil || r.Recognition != nil {
		t.Errorf("%+v %v", r.Recognition, err)
	}
}
