package recall

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"
	"pgregory.net/rapid"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
)

// strangers is a Known that knows nothing: links alone associate.
type strangers struct{}

func (strangers) Previous(string) memory.Ordinal         { return 0 }
func (strangers) Asks(memory.Ordinal) bool               { return false }
func (strangers) Named(string, func(rules.Mention) bool) {}
func (strangers) Frequency(string) (have, of int)        { return 0, 0 }
func (strangers) WithPerson(string) memory.Ordinal       { return 0 }
func (strangers) AtPlace(string) memory.Ordinal          { return 0 }
func (strangers) Holding(string, int) []memory.Ordinal   { return nil }
func (strangers) Stream(memory.Ordinal) uint32           { return 0 }
func (strangers) EndsAsking(memory.Ordinal) bool         { return false }
func (strangers) PeopleIn(string) *bitset.BitSet         { return nil }
func (strangers) Carries(memory.Ordinal) bool            { return false }

// at puts a memory that happened on a day.
func (s *shelf) at(words string, day time.Time) uint32 {
	slot := s.Facets.Next()
	s.last++
	s.Facets.Put(facet.Entry{Slot: slot, Ordinal: memory.Ordinal(s.last), Version: 1, Kind: memory.KindEpisode, Born: memory.LSN(s.last),
		Stored: day, Happened: memory.At(day)})
	s.Words.Put(slot, s.Analyzer.Analyze("", words))
	return slot
}

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 12, 0, 0, 0, time.UTC) }

// parted fails unless the parts of each result sum to its score.
func parted(t testing.TB, a Answer) {
	t.Helper()
	for _, r := range a.Ranked {
		sum := 0.0
		for _, p := range r.Parts {
			sum += p.Value
		}
		if math.Abs(sum-r.Score) > 1e-9 {
			t.Errorf("slot %d: the parts of %v sum to %v, not %v", r.Slot, r.Parts, sum, r.Score)
		}
	}
}

func part(r Ranked, stage string) (v float64, note string) {
	for _, p := range r.Parts {
		if p.Stage == stage {
			return p.Value, p.Note
		}
	}
	return 0, ""
}

// TestTime: what lies in a time that the cue names comes before what is as like, comes
// back without any likeness, and says why; the others stay, in their order.
func TestTime(t *testing.T) {
	s := newShelf(t, memory.MetricDot)
	old := s.at("lunch with Mara", day(2024, 5, 3))
	may := s.at("lunch with Mara", day(2025, 5, 3))
	june := s.at("lunch with Mara and Bo", day(2025, 6, 3))
	other := s.at("rain all day", day(2025, 5, 20))
	a := s.run(t, memory.Cue{Text: "lunch last May", Explain: true})
	parted(t, a)
	if got, want := slots(a), []uint32{may, old, other, june}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: %+v", got, want, a.Ranked)
	}
	if v, note := part(a.Ranked[0], "time"); v != timeWeight || note != "last May: 2025-05-01T00:00:00Z/2025-06-01T00:00:00Z" {
		t.Errorf("%v %q", v, note)
	}
	if len(a.Times) != 1 || a.Times[0].Text != "last May" {
		t.Errorf("%+v", a.Times)
	}
	for name, c := range map[string]memory.Cue{
		"off":     {Text: "lunch last May", Stages: memory.Stages{NoTime: true}},
		"similar": {Text: "lunch last May", Mode: memory.ModeSimilar},
		"none":    {Text: "lunch"},
	} {
		if a := s.run(t, c); len(a.Times) != 0 || len(a.Ranked) != 3 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	filtered := s.run(t, memory.Cue{Text: "lunch last May", Filter: memory.Filter{Happened: &memory.Range{To: day(2025, 1, 1)}}})
	if got := slots(filtered); !slices.Equal(got, []uint32{old}) {
		t.Errorf("a hint brings nothing through a filter: %v", got)
	}
	if got := slots(s.run(t, memory.Cue{Text: "last May"})); !slices.Equal(got, []uint32{other, may}) {
		t.Errorf("time alone: %v, want the latest of May first", got)
	}
}

// talk is a shelf with two topics, linked inside each.
func talk(t testing.TB) (*shelf, []uint32) {
	s := newShelf(t, memory.MetricDot)
	var all []uint32
	for i, words := range []string{"the loan from the bank", "the interest was high", "the bank of the river", "otters sleep there", "the bank is old"} {
		all = append(all, s.at(words, day(2025, 1, i+1)))
	}
	s.Links, s.Known = graph.New(), strangers{}
	for _, l := range [][2]memory.Ordinal{{1, 2}, {3, 4}} {
		if err := s.Links.Put(graph.Link{From: l[0], To: l[1], Type: "next", Weight: 1, Tag: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return s, all
}

func (s *shelf) primed(t testing.TB, text string, ps ...Prime) Answer {
	t.Helper()
	c := memory.Cue{Text: text}
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	a, err := Run(t.Context(), s.Indexes, Question{Cue: &c, View: memory.LSN(s.last), Now: day(2026, 1, 1), Limit: 10, Prime: ps})
	if err != nil {
		t.Fatal(err)
	}
	parted(t, a)
	return a
}

// TestContext: what was said before decides between what is equally like, and what it is
// linked to comes along; a cue without context is as it was.
func TestContext(t *testing.T) {
	s, all := talk(t)
	plain := s.primed(t, "bank")
	if got := s.primed(t, "bank", Prime{Text: "loan interest"}); got.Ranked[0].Slot != all[0] {
		t.Errorf("money: %+v", got.Ranked)
	}
	if got := s.primed(t, "bank", Prime{Text: "otters river"}); got.Ranked[0].Slot != all[2] {
		t.Errorf("river: %+v", got.Ranked)
	}
	named := s.primed(t, "bank", Prime{Node: 3})
	for _, r := range named.Ranked {
		v, _ := part(r, "context")
		if want := r.Slot == all[2] || r.Slot == all[3]; (v > 0) != want {
			t.Errorf("slot %d: %+v", r.Slot, r.Parts)
		}
	}
	if got := s.primed(t, "bank", Prime{Text: "nothing of this sort"}); fmt.Sprint(got.Ranked) != fmt.Sprint(plain.Ranked) {
		t.Errorf("an earlier cue that woke nothing: %+v, want %+v", got.Ranked, plain.Ranked)
	}
}

// TestContextProperties: an older cue primes less, and what a context gives is bounded.
func TestContextProperties(t *testing.T) {
	s, _ := talk(t)
	rapid.Check(t, func(rt *rapid.T) {
		lag := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(rt, name))
		}
		texts := []string{"loan", "otters", "river bank", "interest", "the old one"}
		young, old := lag("lag"), lag("older")
		if young > old {
			young, old = old, young
		}
		text := rapid.SampledFrom(texts).Draw(rt, "text")
		given := func(lag time.Duration) map[uint32]float64 {
			out := map[uint32]float64{}
			for _, r := range s.primed(t, "bank", Prime{Text: text, Lag: lag}).Ranked {
				out[r.Slot], _ = part(r, "context")
			}
			return out
		}
		a, b := given(young), given(old)
		for slot, v := range b {
			if v > a[slot] || a[slot] > contextWeight {
				rt.Fatalf("slot %d: %v after %v, %v after %v", slot, a[slot], young, v, old)
			}
		}
	})
	for _, x := range []struct {
		lag  time.Duration
		want float64
	}{{-time.Hour, 1}, {0, 1}, {time.Minute, 0.7071}, {time.Hour, 0.1280}, {24 * time.Hour, 0.0263}} {
		if got := readiness(x.lag); math.Abs(got-x.want) > 1e-4 {
			t.Errorf("readiness(%v) = %v, want %v", x.lag, got, x.want)
		}
	}
}
