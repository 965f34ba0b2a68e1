package engram_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestRecallAcross: what several spaces know comes back in one order, each result with its
// space; a space that knows nothing of the cue does not push itself forward.
func TestRecallAcross(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{AutoLinks: true})
	boats, garden, empty := spaceOf(t, db, "boats", 0), spaceOf(t, db, "garden", 0), spaceOf(t, db, "empty", 0)
	_ = empty
	day := func(d int) *memory.Interval { return memory.At(time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC)) }
	remember(t, boats, memory.Episode{ID: "a", Text: "The engine of the boat was repaired.", Happened: day(1)})
	remember(t, boats, memory.Episode{ID: "b", Text: "The boat was painted.", Happened: day(3)})
	remember(t, garden, memory.Episode{ID: "a", Text: "The mower was repaired.", Happened: day(2)})
	remember(t, garden, memory.Episode{ID: "c", Text: "Roses were planted by the wall.", Happened: day(4)})
	all := []memory.SpaceName{"garden", "boats", "empty", "boats"}
	places := func(r engram.Recollection) (l []string) {
		for _, x := range r.Results {
			l = append(l, string(x.Space)+"/"+string(x.Memory.ID))
		}
		return l
	}
	for name, x := range map[string]struct {
		cue  memory.Cue
		want []string
	}{
		"associative": {memory.Cue{Text: "repaired the engine of the boat", Limit: 2}, []string{"boats/a", "garden/a"}},
		"similar":     {memory.Cue{Text: "repaired the engine of the boat", Mode: memory.ModeSimilar}, []string{"boats/a", "garden/a", "boats/b"}},
		"recognise":   {memory.Cue{Text: "repaired the mower", Mode: memory.ModeRecognise, Limit: 1}, []string{"garden/a"}},
		"recent":      {memory.Cue{Mode: memory.ModeRecent, Limit: 3}, []string{"garden/c", "boats/b", "garden/a"}},
		"listing":     {memory.Cue{Filter: memory.Filter{Happened: &memory.Range{From: day(2).From}}}, []string{"garden/c", "boats/b", "garden/a"}},
		"by time":     {memory.Cue{Text: "repaired", Order: memory.OrderTime}, []string{"boats/a", "garden/a"}},
		"budget":      {memory.Cue{Text: "repaired the engine of the boat", Budget: &memory.Budget{Tokens: 14}}, []string{"boats/a"}},
		"nothing":     {memory.Cue{Text: "violin"}, nil},
	} {
		r, err := db.RecallAcross(ctx, all, x.cue)
		check(t, err)
		if got := places(r); fmt.Sprint(got) != fmt.Sprint(x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
		if r.Partial || len(r.Missing) > 0 || len(r.LSNs) != 3 || r.LSNs["boats"] == 0 || r.LSN != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		for _, x := range r.Results {
			sum := 0.0
			for _, p := range x.Parts {
				sum += p.Value
			}
			if d := sum - x.Score; d > 1e-9 || d < -1e-9 {
				t.Errorf("%s: %v sums to %v, not %v", name, x.Parts, sum, x.Score)
			}
		}
	}
	r, err := db.RecallAcross(ctx, all, memory.Cue{Text: "repaired the mower", Mode: memory.ModeRecognise})
	if err != nil || !r.Recognition.Familiar || r.Recognition.Familiarity != r.Results[0].Score {
		t.Errorf("%+v %v", r.Recognition, err)
	}
}

// TestRecallAcrossKeepsOrder: inside a space the order is as if it had been asked alone.
func TestRecallAcrossKeepsOrder(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{AutoLinks: true})
	var names []memory.SpaceName
	for i := range 3 {
		s := spaceOf(t, db, memory.SpaceName(fmt.Sprint("s", i)), 0)
		names = append(names, s.Name())
		for j := range 20 {
			remember(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", j)), Text: fmt.Sprintf("otter %d of river %d by stone %d", j%(i+2), j%3, j%5), Stream: fmt.Sprint(j % 4)})
		}
	}
	c := memory.Cue{Text: "otter 1 river 2", Limit: 100}
	across, err := db.RecallAcross(ctx, names, c)
	check(t, err)
	for _, n := range names {
		s, err := db.Space(n)
		check(t, err)
		var got []memory.ID
		for _, x := range across.Results {
			if x.Space == n {
				got = append(got, x.Memory.ID)
			}
		}
		if want := recalled(t, s, c); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, alone %v", n, got, want)
		}
	}
}

// TestRecallAcrossRefuses: what cannot be asked of several spaces, by name.
func TestRecallAcrossRefuses(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	spaceOf(t, db, "plain", 0)
	spaceOf(t, db, "vectors", 3)
	for _, x := range []struct {
		names []memory.SpaceName
		cue   memory.Cue
		code  string
	}{
		{nil, memory.Cue{Text: "x"}, "spaces_missing"},
		{make([]memory.SpaceName, engram.MaxRecallSpaces+1), memory.Cue{Text: "x"}, "list_too_long"},
		{[]memory.SpaceName{"plain", "nowhere"}, memory.Cue{Text: "x"}, "space_not_found"},
		{[]memory.SpaceName{"plain", "No Name"}, memory.Cue{Text: "x"}, "space_name_invalid"},
		{[]memory.SpaceName{"plain"}, memory.Cue{IDs: []memory.ID{"a"}}, "ids_of_one_space"},
		{[]memory.SpaceName{"plain"}, memory.Cue{Text: "x", Context: []memory.ContextItem{{ID: "a"}}}, "ids_of_one_space"},
		{[]memory.SpaceName{"plain"}, memory.Cue{}, "cue_empty"},
		{[]memory.SpaceName{"vectors", "plain"}, memory.Cue{Vector: []float32{1, 0, 0}}, "space_without_vectors"},
	} {
		_, err := db.RecallAcross(ctx, x.names, x.cue)
		mustCode(t, err, x.code)
	}
}

// TestRecallAcrossOutOfTime: a space that does not open in time is missing, and the others
// answer; when none does, that is said.
func TestRecallAcrossOutOfTime(t *testing.T) {
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{})
	for _, n := range []memory.SpaceName{"open", "closed"} {
		remember(t, spaceOf(t, db, n, 0), memory.Episode{ID: "a", Text: "otter"})
	}
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	s, err := db.Space("open")
	check(t, err)
	recalled(t, s, memory.Cue{Text: "otter"})
	over, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	r, err := db.RecallAcross(over, []memory.SpaceName{"open", "closed"}, memory.Cue{Text: "otter"})
	check(t, err)
	if len(r.Results) != 1 || r.Results[0].Space != "open" || !r.Partial || len(r.Missing) != 1 || r.Missing[0] != "closed" {
		t.Errorf("%+v", r)
	}
	_, err = db.RecallAcross(over, []memory.SpaceName{"closed"}, memory.Cue{Text: "otter"})
	mustCode(t, err, "timeout")
}
