package engram_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

func spread(t *testing.T, s *engram.Space, q engram.SpreadQuery) engram.Spreading {
	t.Helper()
	a, err := s.Spread(context.Background(), q)
	check(t, err)
	return a
}

func from(ids ...memory.ID) (seeds []engram.SpreadSeed) {
	for _, id := range ids {
		seeds = append(seeds, engram.SpreadSeed{ID: id, Weight: 1})
	}
	return seeds
}

func active(a engram.Spreading) (said string) {
	for _, n := range a.Nodes {
		said += fmt.Sprintf("%s %.4g, ", n.ID, n.Activation)
	}
	return strings.TrimSuffix(said, ", ")
}

func put(t *testing.T, s *engram.Space, ls ...memory.Link) {
	t.Helper()
	for i := range ls {
		if ls[i].Weight == 0 {
			ls[i].Weight = 1
		}
	}
	_, err := s.LinkBatch(context.Background(), ls, false, engram.WriteOptions{})
	check(t, err)
}

// town is a space with links of a caller: a -> b -> c by road, a -> x by river, and an
// entity e that both b and y name.
func town(t *testing.T, s *engram.Space) {
	t.Helper()
	_, err := s.PutEntity(context.Background(), memory.Entity{ID: "e", Name: "Ferry"}, engram.WriteOptions{})
	check(t, err)
	for _, id := range []memory.ID{"a", "b", "c", "x", "y"} {
		remember(t, s, memory.Episode{ID: id, Text: "place " + string(id), Tags: []string{string(id)}})
	}
	then, later := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	put(t, s,
		memory.Link{ID: "ab", From: "a", To: "b", Type: "road"},
		memory.Link{ID: "bc", From: "b", To: "c", Type: "road", Weight: 3},
		memory.Link{ID: "by", From: "b", To: "y", Type: "road", Valid: &memory.Validity{From: &then, To: &later}},
		memory.Link{ID: "ax", From: "a", To: "x", Type: "river"},
		memory.Link{ID: "be", From: "b", To: "e", Type: "takes"},
		memory.Link{ID: "ye", From: "y", To: "e", Type: "takes"},
		memory.Link{ID: "aa", From: "a", To: "a", Type: "loop"},
	)
}

// TestSpread: by hand, and the same whether the links lie in memory or are read from
// the store, before and after a restart.
func TestSpread(t *testing.T) {
	out := map[string]graph.Flow{"": {Out: 1}}
	cases := []struct {
		name string
		q    engram.SpreadQuery
		want string
	}{
		{"along roads", engram.SpreadQuery{Seeds: from("a"), Types: []string{"road"}, Flows: out}, "a 1, b 0.5, c 0.1875, y 0.0625"},
		{"one hop", engram.SpreadQuery{Seeds: from("a"), Flows: out, Hops: 1}, "a 1, b 0.5, x 0.5"},
		{"against the arrows", engram.SpreadQuery{Seeds: from("c"), Flows: map[string]graph.Flow{"": {Out: 1, In: 1}}, Direction: memory.In, Hops: 2}, "c 1, b 0.5, a 0.25"},
		{"with a weight", engram.SpreadQuery{Seeds: []engram.SpreadSeed{{ID: "a", Weight: 4}}, Types: []string{"river"}, Flows: out}, "a 4, x 2"},
		{"through an entity that the filter is not about", engram.SpreadQuery{Seeds: from("b"), Types: []string{"takes"}, Flows: map[string]graph.Flow{"": {Out: 1, In: 1}}, Filter: memory.Filter{Tags: []string{"y"}}}, "e 0.5, y 0.125"},
		{"entities alone", engram.SpreadQuery{Seeds: from("a"), Flows: out, Filter: memory.Filter{Kinds: []memory.Kind{memory.KindEntity}}}, "e 0.2812"},
		{"at another time", engram.SpreadQuery{Seeds: from("a"), Types: []string{"road"}, Flows: out, AsOf: time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)}, "a 1, b 0.5, c 0.25"},
		{"nowhere", engram.SpreadQuery{Seeds: from("a"), Types: []string{"railway"}}, "a 1"},
		{"a seed without activation", engram.SpreadQuery{Seeds: []engram.SpreadSeed{{ID: "a"}}}, ""},
		{"the best one", engram.SpreadQuery{Seeds: from("a"), Flows: out, Limit: 1}, "a 1"},
	}
	for _, auto := range []bool{true, false} {
		fs := vfs.NewMem()
		db := openWith(t, fs, engram.Options{AutoLinks: auto})
		s := mainSpace(t, db)
		town(t, s)
		for _, again := range []bool{false, true} {
			if again {
				check(t, db.Close())
				db = openWith(t, fs, engram.Options{AutoLinks: auto})
				s = mainSpace(t, db)
			}
			for _, c := range cases {
				if got := active(spread(t, s, c.q)); got != c.want {
					t.Errorf("%s (links in memory: %v, opened again: %v): %s, want %s", c.name, auto, again, got, c.want)
				}
			}
		}
		clean(t, db)
	}
}

// TestSpreadPaths: what is told of a path can be checked with the links alone.
func TestSpreadPaths(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	town(t, s)
	remember(t, s, memory.Episode{ID: "t1", Text: "where?", Stream: "talk"})
	remember(t, s, memory.Episode{ID: "t2", Text: "there", Stream: "talk"})
	put(t, s, memory.Link{ID: "n", From: "t1", To: "t2", Type: "next"}, memory.Link{ID: "n2", From: "t1", To: "t2", Type: "next"})
	settled(t, s)
	flows := map[string]graph.Flow{"road": {Out: 1, In: 0.5}, "takes": {Out: 0.6, In: 0.4}}
	a := spread(t, s, engram.SpreadQuery{Seeds: from("a", "y", "t1"), Flows: flows, Paths: 8, Limit: 100})
	if a.LSN == 0 || a.Hops != 3 || len(a.Bounds) != 0 || a.Reached != len(a.Nodes) {
		t.Errorf("the answer is %+v", a)
	}
	all := graph.DefaultFlows()
	for k, f := range flows {
		all[k] = f
	}
	links := map[memory.ID]bool{}
	for _, n := range a.Nodes {
		sum := n.Seed + n.Rest
		for _, p := range n.Paths {
			came := 1.0
			at := p.Seed
			for _, st := range p.Steps {
				links[st.Link] = true
				l, err := s.GetLink(context.Background(), st.Link)
				check(t, err)
				if l.From != st.From || l.To != st.To || l.Type != st.Type || l.Rule != st.Rule || l.Weight != st.Weight {
					t.Errorf("step %+v is not link %+v", st, l)
				}
				flow, ok := all[l.Type]
				if !ok {
					flow = all[""]
				}
				next, f := l.To, flow.Out
				if st.Direction == memory.In {
					next, f = l.From, flow.In
				}
				if at != l.From && at != l.To || at == next {
					t.Errorf("the path %+v breaks at %s", p, at)
				}
				weight, fan := weights(t, s, at, l.Type, st.Direction)
				if want := graph.DefaultDecay * f * l.Weight / weight; fan != st.Fan || math.Abs(st.Factor-want) > 0.002*want {
					t.Errorf("step %+v: factor %v by hand, fan %d", st, want, fan)
				}
				came *= st.Factor
				at = next
			}
			if at != n.ID || math.Abs(came-p.Activation) > 1e-9 {
				t.Errorf("the path %+v ends at %s with %v", p, at, came)
			}
			sum += p.Activation
		}
		if math.Abs(sum-n.Activation) > 1e-9 {
			t.Errorf("the parts of %s sum to %v, and it has %v", n.ID, sum, n.Activation)
		}
	}
	for _, want := range []memory.ID{"ab", "be", "ye", "n", "n2"} {
		if !links[want] {
			t.Errorf("no path goes over %s: %v", want, links)
		}
	}
	if made := slices.ContainsFunc(slices.Collect(keysOf(links)), func(id memory.ID) bool { return strings.HasPrefix(string(id), "~next~") }); !made {
		t.Errorf("no path goes over a link of a rule: %v", links)
	}
	clean(t, db)
}

func keysOf(m map[memory.ID]bool) func(func(memory.ID) bool) {
	return func(yield func(memory.ID) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// weights sums the weights of the links of a type at a node, in one direction.
func weights(t *testing.T, s *engram.Space, id memory.ID, typ string, d memory.Direction) (sum float64, n int) {
	t.Helper()
	ls, _, err := s.Links(context.Background(), engram.LinkQuery{Node: id, Direction: d, Types: []string{typ}, PageSize: 1000})
	check(t, err)
	for _, l := range ls {
		sum += l.Weight
	}
	return sum, len(ls)
}

// TestSpreadCue: text makes seeds of what is like it and of what it names.
func TestSpreadCue(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	town(t, s)
	remember(t, s, memory.Episode{ID: "otters", Text: "otters sleep in a holt"})
	remember(t, s, memory.Episode{ID: "holt", Text: "by the river"})
	put(t, s, memory.Link{From: "otters", To: "holt", Type: "where"})
	settled(t, s)
	a := spread(t, s, engram.SpreadQuery{Text: "otters"})
	if len(a.Nodes) != 2 || a.Nodes[0].ID != "otters" || a.Nodes[0].Seed != 1 || a.Nodes[1].ID != "holt" || a.Nodes[1].Seed != 0 {
		t.Errorf("otters wake %s", active(a))
	}
	if a := spread(t, s, engram.SpreadQuery{Text: "who takes the Ferry?", Hops: 1}); len(a.Nodes) == 0 || a.Nodes[0].ID != "e" || a.Nodes[0].Kind != memory.KindEntity || a.Nodes[0].Label != "Ferry" {
		t.Errorf("the cue names an entity and wakes %s", active(a))
	}
	if a := spread(t, s, engram.SpreadQuery{Text: "zebras"}); len(a.Nodes) != 0 {
		t.Errorf("what nothing is like wakes %s", active(a))
	}
	clean(t, db)
}

// TestSpreadHides: what is suppressed, deleted or of another space is neither seed nor
// answer, and nothing goes through it.
func TestSpreadHides(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	town(t, s)
	other, _, err := db.CreateSpace(context.Background(), "other", memory.Settings{})
	check(t, err)
	o, err := db.Space(other.Name)
	check(t, err)
	remember(t, o, memory.Episode{ID: "b", Text: "elsewhere"})
	if got := active(spread(t, o, engram.SpreadQuery{Seeds: from("b")})); got != "b 1" {
		t.Errorf("the other space has %s", got)
	}
	_, err = s.Delete(context.Background(), "b", memory.Suppress, 0, engram.WriteOptions{})
	check(t, err)
	if got := active(spread(t, s, engram.SpreadQuery{Seeds: from("a"), Types: []string{"road"}})); got != "a 1" {
		t.Errorf("past what is suppressed: %s", got)
	}
	_, err = s.Spread(context.Background(), engram.SpreadQuery{Seeds: from("a", "b")})
	mustCode(t, err, "node_not_found")
	var e *memory.Error
	if !asError(err, &e) || e.Field != "seeds[1].id" {
		t.Errorf("the field is %q", e.Field)
	}
	_, err = s.Delete(context.Background(), "c", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	_, err = s.Spread(context.Background(), engram.SpreadQuery{Seeds: from("c")})
	mustCode(t, err, "node_not_found")
	clean(t, db)
}

// TestSpreadBounds: each bound that is met is named.
func TestSpreadBounds(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	hub := remember(t, s, memory.Episode{ID: "hub", Text: "hub"})
	for i := range 12 {
		var ls []memory.Link
		var es []memory.Episode
		for j := range 90 {
			id := memory.ID(fmt.Sprintf("n%d-%d", i, j))
			es = append(es, memory.Episode{ID: id, Text: "x"})
			ls = append(ls, memory.Link{From: hub.ID, To: id, Type: "to"})
		}
		batch(t, s, es...)
		put(t, s, ls...)
	}
	a := spread(t, s, engram.SpreadQuery{Seeds: from("hub"), MaxWork: 100, Threshold: 1e-9})
	if len(a.Nodes) != 1 || !slices.Equal(a.Bounds, []string{engram.BoundWork}) {
		t.Errorf("with 100 links to look at: %d nodes, bounds %q", len(a.Nodes), a.Bounds)
	}
	a = spread(t, s, engram.SpreadQuery{Seeds: from("hub"), Threshold: 1e-9, Limit: 5})
	if len(a.Nodes) != 5 || a.Reached != 12*90+1 || len(a.Bounds) != 0 {
		t.Errorf("with a limit of 5: %d of %d nodes, bounds %q", len(a.Nodes), a.Reached, a.Bounds)
	}
	clean(t, db)
}

func TestSpreadRefuses(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	town(t, s)
	nan := math.NaN()
	for _, c := range []struct {
		code string
		q    engram.SpreadQuery
	}{
		{"seeds_empty", engram.SpreadQuery{}},
		{"seeds_empty", engram.SpreadQuery{Filter: memory.Filter{Tags: []string{"a"}}}},
		{"node_not_found", engram.SpreadQuery{Seeds: from("nobody")}},
		{"id_invalid", engram.SpreadQuery{Seeds: from("../a")}},
		{"seed_invalid", engram.SpreadQuery{Seeds: []engram.SpreadSeed{{ID: "a", Weight: nan}}}},
		{"seed_invalid", engram.SpreadQuery{Seeds: []engram.SpreadSeed{{ID: "a", Weight: -1}}}},
		{"seed_invalid", engram.SpreadQuery{Seeds: []engram.SpreadSeed{{ID: "a", Weight: math.Inf(1)}}}},
		{"list_too_long", engram.SpreadQuery{Seeds: make([]engram.SpreadSeed, engram.MaxSpreadSeeds+1)}},
		{"hops_out_of_range", engram.SpreadQuery{Seeds: from("a"), Hops: 9}},
		{"hops_out_of_range", engram.SpreadQuery{Seeds: from("a"), Hops: -1}},
		{"limit_out_of_range", engram.SpreadQuery{Seeds: from("a"), Limit: 1001}},
		{"max_work_out_of_range", engram.SpreadQuery{Seeds: from("a"), MaxWork: 1 << 21}},
		{"paths_out_of_range", engram.SpreadQuery{Seeds: from("a"), Paths: 65}},
		{"decay_out_of_range", engram.SpreadQuery{Seeds: from("a"), Decay: nan}},
		{"decay_out_of_range", engram.SpreadQuery{Seeds: from("a"), Decay: 1.5}},
		{"threshold_out_of_range", engram.SpreadQuery{Seeds: from("a"), Threshold: nan}},
		{"flow_out_of_range", engram.SpreadQuery{Seeds: from("a"), Flows: map[string]graph.Flow{"x": {Out: nan}}}},
		{"flow_out_of_range", engram.SpreadQuery{Seeds: from("a"), Flows: map[string]graph.Flow{"x": {In: 2}}}},
		{"text_blank", engram.SpreadQuery{Text: "  "}},
	} {
		_, err := s.Spread(context.Background(), c.q)
		mustCode(t, err, c.code)
	}
	clean(t, db)
}

// ExampleSpace_Spread is the story of docs/guide/spread.md.
func ExampleSpace_Spread() {
	ctx := context.Background()
	stands := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) // so the spread waits for the links, however long they take
	db, err := engram.Open(ctx, "data", engram.Options{FS: vfs.NewMem(), AutoLinks: true, Clock: stands})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	space, err := db.Space(engram.DefaultSpace)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range []memory.Episode{
		{ID: "question", Text: "Where do the otters sleep?", Stream: "talk"},
		{ID: "answer", Text: "In a holt by the river, Bo says.", Stream: "talk"},
		{ID: "fish", Text: "Otters like fish."},
	} {
		if _, err := space.Remember(ctx, e, engram.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := space.Link(ctx, memory.Link{From: "answer", Type: "about", To: "fish", Weight: 3}, engram.WriteOptions{}); err != nil {
		log.Fatal(err)
	}
	a, err := space.Spread(ctx, engram.SpreadQuery{IDs: []memory.ID{"question"}, Direction: memory.Out, Paths: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range a.Nodes {
		fmt.Printf("%s %.3f\n", n.ID, n.Activation)
		for _, p := range n.Paths {
			for _, s := range p.Steps {
				fmt.Printf("  %s -%s- %s %.2f\n", s.From, s.Type, s.To, s.Factor)
			}
		}
	}
	// Output:
	// question 1.000
	// answer 0.650
	//   question -next- answer 0.40
	// fish 0.260
	//   question -next- answer 0.40
	//   answer -about- fish 0.40
}

// TestSpreadGuide: the Go of docs/guide/spread.md is that of the example.
func TestSpreadGuide(t *testing.T) {
	page, err := os.ReadFile("docs/guide/spread.md")
	check(t, err)
	own, err := os.ReadFile("spread_test.go")
	check(t, err)
	_, block, _ := strings.Cut(string(page), "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(string(own), block) {
		t.Error("the page and the example differ")
	}
}
