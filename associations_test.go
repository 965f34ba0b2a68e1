package engram_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// linked is a database that makes links by itself.
func linked(t *testing.T, fs vfs.FS) (*engram.DB, *engram.Space) {
	t.Helper()
	db := openWith(t, fs, engram.Options{AutoLinks: true})
	return db, mainSpace(t, db)
}

// linksOf says which links go out from a node, as "type to".
func linksOf(t *testing.T, s *engram.Space, id memory.ID) (said []string) {
	t.Helper()
	token := ""
	for {
		ls, next, err := s.Links(context.Background(), engram.LinkQuery{Node: id, Direction: memory.Out, PageToken: token})
		check(t, err)
		for _, l := range ls {
			said = append(said, l.Type+" "+string(l.To))
		}
		if token = next; next == "" {
			sort.Strings(said)
			return said
		}
	}
}

// settled waits until the engine has made all its links: it says so by its cursor, which
// is the newest record then, or follows the last one.
func settled(t *testing.T, s *engram.Space) {
	t.Helper()
	marker := remember(t, s, memory.Episode{Text: "zzz", Stream: "the marker"})
	next := remember(t, s, memory.Episode{Text: "zzz", Stream: "the marker"})
	eventually(t, "the links of the marker", func() bool { return len(linksOf(t, s, marker.ID)) > 0 })
	for _, id := range []memory.ID{marker.ID, next.ID} {
		_, err := s.Delete(context.Background(), id, memory.Delete, 0, engram.WriteOptions{})
		check(t, err)
	}
}

func wantLinks(t *testing.T, s *engram.Space, id memory.ID, want ...string) {
	t.Helper()
	sort.Strings(want)
	if got := linksOf(t, s, id); !slices.Equal(got, want) {
		t.Errorf("links of %s: %q, want %q", id, got, want)
	}
}

func batch(t *testing.T, s *engram.Space, es ...memory.Episode) {
	t.Helper()
	_, err := s.RememberBatch(context.Background(), es, false, engram.WriteOptions{})
	check(t, err)
}

// TestLinksFollow: a batch chains in order, an answer is tied to its question, and both
// the one that names and the one that is named later are linked.
func TestLinksFollow(t *testing.T) {
	db, s := linked(t, vfs.NewMem())
	_, err := s.PutEntity(context.Background(), memory.Entity{ID: "ada", Name: "Ada Lovelace", Aliases: []string{"Countess"}}, engram.WriteOptions{})
	check(t, err)
	batch(t, s,
		memory.Episode{ID: "t1", Text: "hello there", Stream: "talk"},
		memory.Episode{ID: "other", Text: "elsewhere", Stream: "other"},
		memory.Episode{ID: "t2", Text: "where do they sleep?", Stream: "talk"},
		memory.Episode{ID: "t3", Text: "in a holt by the river", Stream: "talk"},
		memory.Episode{ID: "before", Text: "we saw the Blue Harbour at noon"},
		memory.Episode{ID: "harbour", Title: "Blue Harbour (port)", Text: "a port"},
		memory.Episode{ID: "after", Text: "back at the blue harbour"},
		memory.Episode{ID: "named", Text: "met Ada Lovelace there"},
		memory.Episode{ID: "alias", Text: "the Countess was late"},
		memory.Episode{ID: "p1", Text: "one", People: []string{"Bo"}, Place: &memory.Place{Name: "Home"}},
		memory.Episode{ID: "p2", Text: "two", People: []string{"Bo"}},
		memory.Episode{ID: "p3", Text: "three", Place: &memory.Place{Name: "Home"}},
	)
	settled(t, s)
	wantLinks(t, s, "t1", "next t2")
	wantLinks(t, s, "t2", "answer t3", "next t3")
	wantLinks(t, s, "t3")
	wantLinks(t, s, "other")
	wantLinks(t, s, "before", "mentions harbour")
	wantLinks(t, s, "harbour")
	wantLinks(t, s, "after", "mentions harbour")
	wantLinks(t, s, "named", "mentions ada")
	wantLinks(t, s, "alias", "mentions ada")
	wantLinks(t, s, "p2", "people p1")
	wantLinks(t, s, "p3", "place p1")
	m, err := s.Get(context.Background(), "t2", engram.ReadOptions{Links: true})
	check(t, err)
	for _, l := range m.LinksOf {
		if l.Rule != l.Type || !strings.HasPrefix(string(l.ID), "~"+l.Rule+"~") {
			t.Errorf("a link does not say its rule: %+v", l)
		}
	}
	clean(t, db)
}

// TestLinksOff: a library user who has not asked for links gets none, and recall by
// association is recall by likeness.
func TestLinksOff(t *testing.T) {
	s := mainSpace(t, openWith(t, vfs.NewMem(), engram.Options{}))
	batch(t, s, memory.Episode{ID: "a", Text: "otter one", Stream: "x"}, memory.Episode{ID: "b", Text: "boat", Stream: "x"})
	if got := recalled(t, s, memory.Cue{Text: "otter", Mode: memory.ModeAssociative}); !slices.Equal(got, []memory.ID{"a"}) {
		t.Errorf("%v", got)
	}
	wantLinks(t, s, "a")
}

// TestLinksOfVersions: what an earlier version said is no longer linked once a new one
// does not say it; links that people drew, and those of others, stay.
func TestLinksOfVersions(t *testing.T) {
	ctx := context.Background()
	db, s := linked(t, vfs.NewMem())
	batch(t, s, memory.Episode{ID: "blue", Title: "Blue Harbour", Text: "a port"}, memory.Episode{ID: "red", Title: "Red Castle", Text: "a ruin"},
		memory.Episode{ID: "a", Text: "at the Blue Harbour", Stream: "x"}, memory.Episode{ID: "b", Text: "then the Blue Harbour", Stream: "x"})
	settled(t, s)
	_, err := s.Link(ctx, memory.Link{ID: "drawn", From: "b", To: "blue", Type: "mentions", Weight: 1}, engram.WriteOptions{})
	check(t, err)
	wantLinks(t, s, "b", "mentions blue", "mentions blue")
	for i, change := range []func() error{
		func() error {
			_, err := s.Update(ctx, "b", func(e *memory.Episode) error { e.Text = "then the Red Castle"; return nil }, engram.WriteOptions{})
			return err
		},
		func() error {
			_, err := s.Update(ctx, "a", func(e *memory.Episode) error { e.Tags = []string{"same words"}; return nil }, engram.WriteOptions{})
			return err
		},
	} {
		check(t, change())
		settled(t, s)
		wantLinks(t, s, "b", "mentions blue", "mentions red")
		wantLinks(t, s, "a", "mentions blue", "next b")
		_ = i
	}
	_, err = s.Remember(ctx, memory.Episode{ID: "b", Text: "nowhere", Stream: "y"}, engram.WriteOptions{OnConflict: memory.ConflictReplace})
	check(t, err)
	settled(t, s)
	wantLinks(t, s, "a", "mentions blue")
	clean(t, db)
}

// TestLinksEnd: automatic links end with either end, and an erased name is known no more.
func TestLinksEnd(t *testing.T) {
	ctx := context.Background()
	db, s := linked(t, vfs.NewMem())
	batch(t, s, memory.Episode{ID: "a", Text: "one", Stream: "x"}, memory.Episode{ID: "b", Title: "Blue Harbour", Text: "two", Stream: "x"},
		memory.Episode{ID: "c", Text: "at the Blue Harbour", Stream: "x", People: []string{"Bo"}})
	settled(t, s)
	info, err := s.Info(ctx)
	check(t, err)
	if info.Counts.Links != 3 {
		t.Errorf("%d links, want next, next and mentions", info.Counts.Links)
	}
	es, _, err := s.Events(ctx, engram.EventQuery{Types: []string{engram.EventLinked}})
	check(t, err)
	if len(es) < 3 {
		t.Errorf("%d events of links", len(es))
	}
	_, err = s.Delete(ctx, "b", memory.Erase, time.Minute, engram.WriteOptions{})
	check(t, err)
	wantLinks(t, s, "a")
	wantLinks(t, s, "c")
	remember(t, s, memory.Episode{ID: "d", Text: "again the Blue Harbour", Stream: "x"})
	settled(t, s)
	wantLinks(t, s, "d")
	wantLinks(t, s, "c", "next d")
	r, err := s.Recall(ctx, memory.Cue{Text: "one", Mode: memory.ModeAssociative})
	check(t, err)
	for _, x := range r.Results {
		if x.Memory.ID == "b" {
			t.Error("it was erased")
		}
	}
	clean(t, db)
}

// TestLinksAfterCrash: whenever the power is cut, afterwards every pair of a stream is
// linked, and once.
func TestLinksAfterCrash(t *testing.T) {
	const n = 120
	fs := vfs.NewCrashableMem()
	db, s := linked(t, fs)
	for round := range 3 {
		var es []memory.Episode
		for i := range n / 3 {
			es = append(es, memory.Episode{ID: memory.ID(fmt.Sprintf("m%03d", round*n/3+i)), Text: "a turn", Stream: "talk"})
		}
		batch(t, s, es...)
		if round == 1 { // an older one is changed: the cursor must not run ahead with it
			_, err := s.Update(context.Background(), "m001", func(e *memory.Episode) error { e.Tags = []string{"x"}; return nil }, engram.WriteOptions{})
			check(t, err)
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		check(t, db.Close())
		fs = after
		db, s = linked(t, fs)
	}
	settled(t, s)
	for i := range n - 1 {
		wantLinks(t, s, memory.ID(fmt.Sprintf("m%03d", i)), fmt.Sprintf("next m%03d", i+1))
	}
	check(t, db.Close())
	db, s = linked(t, fs)
	before, err := s.LSN()
	check(t, err)
	recalled(t, s, memory.Cue{Text: "turn", Mode: memory.ModeAssociative})
	after, err := s.LSN()
	check(t, err)
	if before != after {
		t.Errorf("a restart wrote %d records", after-before)
	}
	clean(t, db)
}

func associative(t *testing.T, s *engram.Space, c memory.Cue) engram.Recollection {
	t.Helper()
	c.Mode, c.Explain = memory.ModeAssociative, true
	r, err := s.Recall(context.Background(), c)
	check(t, err)
	for _, x := range r.Results {
		sum, through := 0.0, 0.0
		links := 0.0
		for _, p := range x.Parts {
			sum += p.Value
			if p.Stage == "links" {
				links = p.Value
			}
		}
		for _, p := range x.Paths {
			through += p.Activation
			if len(p.IDs) != len(p.Types)+1 || p.IDs[len(p.IDs)-1] != x.Memory.ID {
				t.Errorf("%s: path %v", x.Memory.ID, p)
			}
		}
		if math.Abs(sum-x.Score) > 1e-9 {
			t.Errorf("%s: parts sum to %v, the score is %v", x.Memory.ID, sum, x.Score)
		}
		if through > links+1e-9 || links > 0 && len(x.Paths) == 0 || len(x.Paths) < 3 && math.Abs(through-links) > 1e-9 {
			t.Errorf("%s: %d paths sum to %v of %v", x.Memory.ID, len(x.Paths), through, links)
		}
	}
	return r
}

func resultIDs(r engram.Recollection) (ids []memory.ID) {
	for _, x := range r.Results {
		ids = append(ids, x.Memory.ID)
	}
	return ids
}

// story is some talk in which the answer does not say what the question says.
func story(t *testing.T, s *engram.Space) {
	t.Helper()
	_, err := s.PutEntity(context.Background(), memory.Entity{ID: "ada", Name: "Ada Lovelace", Aliases: []string{"Countess"}}, engram.WriteOptions{})
	check(t, err)
	batch(t, s,
		memory.Episode{ID: "q", Text: "where do the otters sleep?", Stream: "talk", People: []string{"Bo"}, Tags: []string{"in"}},
		memory.Episode{ID: "a", Text: "in a holt by the river", Stream: "talk", Tags: []string{"in"}},
		memory.Episode{ID: "c", Text: "how lovely", Stream: "talk"},
		memory.Episode{ID: "e1", Text: "Ada Lovelace painted gondolas", Tags: []string{"in"}},
		memory.Episode{ID: "e2", Text: "the Countess went to Venice", Tags: []string{"in"}},
		memory.Episode{ID: "far", Text: "nothing of the kind"},
	)
	settled(t, s)
}

// TestAssociation: what belongs to what the cue wakes comes back with it, and says why;
// with links off, or in the mode similar, it does not.
func TestAssociation(t *testing.T) {
	_, s := linked(t, vfs.NewMem())
	story(t, s)
	r := associative(t, s, memory.Cue{Text: "otters sleep"})
	if got := resultIDs(r); !slices.Contains(got, "a") || slices.Contains(got, "far") {
		t.Errorf("%v", got)
	}
	for _, x := range r.Results {
		if x.Memory.ID == "a" && (len(x.Paths) == 0 || x.Paths[0].IDs[0] != "q") {
			t.Errorf("a came by %v", x.Paths)
		}
	}
	similar := recalled(t, s, memory.Cue{Text: "otters sleep", Mode: memory.ModeSimilar})
	off := recalled(t, s, memory.Cue{Text: "otters sleep", Mode: memory.ModeAssociative, Stages: memory.Stages{NoLinks: true}})
	if !slices.Equal(similar, []memory.ID{"q"}) || !slices.Equal(off, similar) {
		t.Errorf("similar %v, links off %v", similar, off)
	}
	if got := resultIDs(associative(t, s, memory.Cue{Text: "gondolas"})); !slices.Equal(got, []memory.ID{"e1", "e2"}) {
		t.Errorf("through an entity and its alias: %v", got)
	}
	if got := resultIDs(associative(t, s, memory.Cue{IDs: []memory.ID{"a"}})); len(got) != 3 || got[0] != "a" {
		t.Errorf("from a memory: %v", got)
	}
}

// TestAssociationFilters: activation brings nothing that the filter keeps out, and goes
// through none of it; nor through what is suppressed, deleted or of another space.
func TestAssociationFilters(t *testing.T) {
	ctx := context.Background()
	db, s := linked(t, vfs.NewMem())
	story(t, s)
	in := memory.Filter{Tags: []string{"in"}}
	if got := resultIDs(associative(t, s, memory.Cue{Text: "otters sleep", Filter: in})); !slices.Equal(got, []memory.ID{"q", "a"}) && !slices.Equal(got, []memory.ID{"a", "q"}) {
		t.Errorf("%v", got)
	}
	_, err := s.Delete(ctx, "a", memory.Suppress, 0, engram.WriteOptions{})
	check(t, err)
	for _, x := range associative(t, s, memory.Cue{Text: "otters sleep"}).Results {
		if x.Memory.ID == "a" {
			t.Error("it is suppressed")
		}
		for _, p := range x.Paths {
			if slices.Contains(p.IDs, "a") {
				t.Errorf("%s came through what is suppressed: %v", x.Memory.ID, p.IDs)
			}
		}
	}
	_, err = s.Restore(ctx, engram.ForgetQuery{IDs: []memory.ID{"a"}}, engram.WriteOptions{})
	check(t, err)
	if got := resultIDs(associative(t, s, memory.Cue{Text: "otters sleep"})); !slices.Contains(got, "a") {
		t.Errorf("it is back: %v", got)
	}
	_, _, err = db.CreateSpace(ctx, "other", memory.Settings{})
	check(t, err)
	o, err := db.Space("other")
	check(t, err)
	batch(t, o, memory.Episode{ID: "q", Text: "where do the otters sleep?", Stream: "talk"}, memory.Episode{ID: "oa", Text: "elsewhere", Stream: "talk"},
		memory.Episode{ID: "oc", Text: "said the Countess"})
	settled(t, o)
	if got := resultIDs(associative(t, o, memory.Cue{Text: "otters sleep"})); !slices.Contains(got, "oa") || len(got) != 2 {
		t.Errorf("in the other space: %v", got)
	}
	wantLinks(t, o, "oc")
}

// TestSuppressedBeforeItsLinks: it has them when it is shown again.
func TestSuppressedBeforeItsLinks(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{}) // nobody makes links yet
	s := mainSpace(t, db)
	batch(t, s, memory.Episode{ID: "a", Text: "one", Stream: "x"}, memory.Episode{ID: "b", Text: "two", Stream: "x"})
	_, err := s.Delete(ctx, "b", memory.Suppress, 0, engram.WriteOptions{})
	check(t, err)
	check(t, db.Close())
	db, s = linked(t, fs)
	settled(t, s)
	_, err = s.Restore(ctx, engram.ForgetQuery{IDs: []memory.ID{"b"}}, engram.WriteOptions{})
	check(t, err)
	wantLinks(t, s, "a", "next b")
	clean(t, db)
}

// TestFusedParts: parts sum to the score with words, vectors, names and links at work, and
// with vectors so large that they swallow all else.
func TestFusedParts(t *testing.T) {
	m := newFake()
	db := openWith(t, vfs.NewMem(), engram.Options{AutoLinks: true, DefaultModel: m.name})
	s := mainSpace(t, db)
	story(t, s)
	rememberWaiting(t, s, memory.Episode{ID: "last", Title: "Blue Harbour", Text: "lutra by the harbour"})
	r := associative(t, s, memory.Cue{Text: "Did Bo see otters sleep at the Blue Harbour?"})
	stages := make(map[string]bool)
	for _, x := range r.Results {
		for _, p := range x.Parts {
			stages[p.Stage] = true
		}
	}
	for _, want := range []string{"text", "vector", "scale", "links", "stream", "named", "people", "asks"} {
		if !stages[want] {
			t.Errorf("no part of the stage %s in %v", want, stages)
		}
	}
	associative(t, s, memory.Cue{Text: "otters", IDs: []memory.ID{"far"}})
	_, _, err := db.CreateSpace(context.Background(), "large", memory.Settings{Vector: memory.VectorSettings{Dimension: 2, Metric: memory.MetricDot}})
	check(t, err)
	large, err := db.Space("large")
	check(t, err)
	batch(t, large, memory.Episode{ID: "a", Text: "one", Stream: "x", Vector: []float32{1e15, 1}}, memory.Episode{ID: "b", Text: "two", Stream: "x", Vector: []float32{2e15, 3}},
		memory.Episode{ID: "c", Text: "three", Stream: "x", Vector: []float32{-1e15, 3}})
	settled(t, large)
	associative(t, large, memory.Cue{Vector: []float32{1e15, 1}})
}

// TestAssociationIsDeterminate: the same writes give the same answers, also after a
// restart.
func TestAssociationIsDeterminate(t *testing.T) {
	var first []engram.Result
	for run := range 3 {
		fs := vfs.NewMem()
		db, s := linked(t, fs)
		story(t, s)
		if run == 2 {
			check(t, db.Close())
			_, s = linked(t, fs)
		}
		r := associative(t, s, memory.Cue{Text: "otters sleep by the river, Countess"})
		for i := range r.Results { // the journal has the links where time put them
			r.Results[i].Memory = memory.Memory{Episode: memory.Episode{ID: r.Results[i].Memory.ID}}
		}
		if first == nil {
			first = r.Results
		}
		if !reflect.DeepEqual(first, r.Results) {
			t.Errorf("run %d:\n%+v\nrun 0:\n%+v", run, r.Results, first)
		}
	}
}

// TestHub: a name that 10,000 memories mention pulls none of them up, and costs no recall
// its time.
func TestHub(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 memories")
	}
	_, s := linked(t, vfs.NewMem())
	remember(t, s, memory.Episode{ID: "hub", Title: "Grand Central", Text: "a station"})
	for part := range 10 {
		var es []memory.Episode
		var ls []memory.Link
		for i := range 1000 {
			id := memory.ID(fmt.Sprintf("m%05d", part*1000+i))
			es = append(es, memory.Episode{ID: id, Text: fmt.Sprintf("passed by on day %d", part*1000+i)})
			ls = append(ls, memory.Link{From: id, To: "hub", Type: "mentions", Weight: 1})
		}
		batch(t, s, es...)
		_, err := s.LinkBatch(context.Background(), ls, false, engram.WriteOptions{})
		check(t, err)
	}
	remember(t, s, memory.Episode{ID: "x", Text: "the clock at Grand Central was slow", Stream: "x"})
	remember(t, s, memory.Episode{ID: "y", Text: "so we ran", Stream: "x"})
	settled(t, s)
	r := associative(t, s, memory.Cue{Text: "which clock was slow?", Limit: 50})
	if got := resultIDs(r); got[0] != "x" || !slices.Contains(got, "y") || len(got) > 3 {
		t.Errorf("%v", got)
	}
	if r.Partial {
		t.Error("it took too long")
	}
}

// TestPoison: a space of which 1 % is copies of one text ranks what is asked for as before.
func TestPoison(t *testing.T) {
	const n = 1000
	rank := func(poison int) (found int) {
		_, s := linked(t, vfs.NewMem())
		var es []memory.Episode
		for i := range n {
			es = append(es, memory.Episode{ID: memory.ID(fmt.Sprintf("m%d", i)), Stream: fmt.Sprintf("s%d", i/10),
				Text: fmt.Sprintf("on day%d we saw bird%d in field%d with friend%d", i, i%97, i%89, i%31)})
		}
		for i := range poison {
			es = append(es, memory.Episode{ID: memory.ID(fmt.Sprintf("p%d", i)), Stream: "poison", Text: "we saw bird in field with friend on day we saw"})
		}
		batch(t, s, es[:n]...)
		if poison > 0 {
			batch(t, s, es[n:]...)
		}
		settled(t, s)
		for i := 0; i < n; i += 10 {
			got := recalled(t, s, memory.Cue{Text: fmt.Sprintf("we saw bird%d with friend%d on day%d", (i+1)%97, (i+1)%31, i+1), Mode: memory.ModeAssociative})
			for _, id := range []memory.ID{memory.ID(fmt.Sprintf("m%d", i+1)), memory.ID(fmt.Sprintf("m%d", i+2))} {
				if slices.Contains(got, id) {
					found++
				}
			}
		}
		return found
	}
	if without, with := rank(0), rank(n/100); without < 195 || with < without-4 {
		t.Errorf("found %d of 200 without poison, %d with", without, with)
	}
}

// TestTogether: writers, changers and recalls side by side, with vectors and links under
// way; then all is there, and nothing is left running.
func TestTogether(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ctx := context.Background()
	m := newFake()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{AutoLinks: true, DefaultModel: m.name})
	s := mainSpace(t, db)
	n := rounds(40)
	var turn atomic.Int64
	m.answer(func(_ context.Context, texts []string) ([][]float32, error) {
		if turn.Add(1)%17 == 0 {
			return nil, nil // nonsense, now and then
		}
		return m.made(texts)
	})
	together(8, func(k int) {
		stream := fmt.Sprintf("s%d", k)
		for i := range n {
			id := memory.ID(fmt.Sprintf("k%di%d", k, i))
			_, err := s.Remember(ctx, memory.Episode{ID: id, Text: fmt.Sprintf("otter %d of Blue Harbour", i), Stream: stream, People: []string{stream}}, engram.WriteOptions{})
			switch {
			case err != nil:
			case i%5 == 1:
				_, err = s.Update(ctx, id, func(e *memory.Episode) error { e.Text += "?"; return nil }, engram.WriteOptions{})
			case i%5 == 2:
				_, err = s.Delete(ctx, id, memory.Erase, 0, engram.WriteOptions{})
			case i%5 == 3:
				_, err = s.Recall(ctx, memory.Cue{Text: "otter " + stream, Mode: memory.ModeAssociative, Explain: true})
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	m.heal()
	eventually(t, "the vectors", func() bool {
		info, err := s.Info(ctx)
		check(t, err)
		i := slices.IndexFunc(info.Indexes, func(x engram.IndexInfo) bool { return x.Name == "vector" })
		return info.Indexes[i].Tail == 0 && info.Indexes[i].Items == int(info.Counts.Episodes)
	})
	settled(t, s)
	for k := range 8 {
		last := memory.ID("")
		for i := range n {
			if i%5 == 2 {
				continue
			}
			id := memory.ID(fmt.Sprintf("k%di%d", k, i))
			if last != "" && i%5 != 3 && !slices.Contains(linksOf(t, s, last), "next "+string(id)) { // what follows an erased one may have been asked about before it went
				t.Errorf("%s does not lead to %s", last, id)
			}
			last = id
		}
	}
	clean(t, db)
	check(t, db.Close())
	goleak.VerifyNone(t, before)
}

// ExampleSpace_Recall_why is the story of docs/guide/why.md.
func ExampleSpace_Recall_why() {
	ctx := context.Background()
	stands := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) // so the recall waits for the links, however long they take
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
		{ID: "lovely", Text: "How lovely!", Stream: "talk"},
		{ID: "lunch", Text: "We had lunch at noon."},
	} {
		if _, err := space.Remember(ctx, e, engram.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	r, err := space.Recall(ctx, memory.Cue{Text: "otters sleeping", Explain: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range r.Results {
		fmt.Printf("%s %.2f\n", x.Memory.ID, x.Score)
		for _, p := range x.Parts {
			fmt.Printf("  %s %.2f\n", p.Stage, p.Value)
		}
		for _, p := range x.Paths {
			fmt.Printf("  by %v %v: %.2f\n", p.IDs, p.Types, p.Activation)
		}
	}
	// Output:
	// question 1.10
	//   text 1.14
	//   scale -0.14
	//   stream 0.30
	//   asks -0.20
	// answer 0.95
	//   links 0.65
	//   stream 0.30
	//   by [question answer] [next]: 0.40
	//   by [question answer] [answer]: 0.25
	// lovely 0.56
	//   links 0.26
	//   stream 0.30
	//   by [question answer lovely] [next next]: 0.16
	//   by [question answer lovely] [answer next]: 0.10
}

// TestWhyGuide: the Go of docs/guide/why.md is that of the example.
func TestWhyGuide(t *testing.T) {
	page, err := os.ReadFile("docs/guide/why.md")
	check(t, err)
	own, err := os.ReadFile("associations_test.go")
	check(t, err)
	_, block, _ := strings.Cut(string(page), "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(string(own), block) {
		t.Error("the page and the example differ")
	}
}
