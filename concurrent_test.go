package engram_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// together runs f on n goroutines and waits for them.
func together(n int, f func(k int)) {
	var g sync.WaitGroup
	for k := range n {
		g.Go(func() { f(k) })
	}
	g.Wait()
}

// rounds says how much work a goroutine does: the race detector is slow.
func rounds(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

// TestFoundAtOnce: what is acknowledged to one goroutine is found by another in
// every way, while many write.
func TestFoundAtOnce(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "vec", 4)
	day := func(k, i int) time.Time {
		return time.Date(2000+k, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i)
	}
	together(8, func(k int) {
		acked := make(chan int)
		done := make(chan struct{})
		go func() { // ends when acked is closed
			defer close(done)
			for i := range acked {
				id := memory.ID(fmt.Sprintf("k%di%d", k, i))
				for what, c := range map[string]memory.Cue{
					"text":   {Text: fmt.Sprintf("uniq%dx%d", k, i), Limit: 3},
					"vector": {Vector: []float32{1, float32(k), float32(i), 0}, Limit: 3},
					"time":   {Filter: memory.Filter{Happened: &memory.Range{From: day(k, i), To: day(k, i+1)}}},
					"id":     {IDs: []memory.ID{id}},
				} {
					r, err := s.Recall(ctx, c)
					if err != nil || len(r.Results) == 0 || !slices.ContainsFunc(r.Results, func(x engram.Result) bool { return x.Memory.ID == id }) {
						t.Errorf("%s is not found by %s: %v %v", id, what, r.Results, err)
					}
				}
			}
		}()
		for i := range rounds(80) {
			e := memory.Episode{ID: memory.ID(fmt.Sprintf("k%di%d", k, i)), Text: fmt.Sprintf("note uniq%dx%d", k, i),
				Vector: []float32{1, float32(k), float32(i), 0}, Happened: memory.At(day(k, i))}
			if _, err := s.Remember(ctx, e, engram.WriteOptions{}); err != nil {
				t.Error(err)
			}
			acked <- i
		}
		close(acked)
		<-done
	})
}

// TestNeverShort: a search that has enough to give gives all of its limit, each
// memory once, while memories are replaced, added, hidden and deleted; and what
// an acknowledged call took out is in no answer that begins afterwards.
func TestNeverShort(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 2)
	const standing, limit = 200, 100
	for i := range standing {
		remember(t, s, memory.Episode{ID: memory.ID(fmt.Sprintf("c%d", i)), Text: fmt.Sprintf("common %d", i), Tags: []string{"common"}, Vector: []float32{1, float32(i)}})
	}
	var gone sync.Map
	var stop atomic.Bool
	var writers sync.WaitGroup
	for k := range 4 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(k)))
			for i := 0; !stop.Load(); i++ {
				o := engram.WriteOptions{OnConflict: memory.ConflictReplace}
				_, err := s.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprintf("c%d", rng.IntN(standing))), Text: fmt.Sprintf("common again %d", i), Tags: []string{"common"}, Vector: []float32{1, float32(i % 7)}}, o)
				noise := memory.ID(fmt.Sprintf("n%dx%d", k, i))
				_, err2 := s.Remember(ctx, memory.Episode{ID: noise, Text: "common noise", Tags: []string{"common"}, Vector: []float32{1, 0}}, o)
				_, err3 := s.Delete(ctx, noise, []memory.ForgetMode{memory.Suppress, memory.Delete}[i%2], 0, engram.WriteOptions{})
				if err != nil || err2 != nil || err3 != nil {
					t.Error(err, err2, err3)
					return
				}
				gone.Store(noise, true)
			}
		})
	}
	together(4, func(k int) {
		cues := []memory.Cue{{Text: "common"}, {Vector: []float32{1, 3}}, {Text: "common", Vector: []float32{1, 3}}, {Filter: memory.Filter{Tags: []string{"common"}}}}
		for range rounds(40) {
			c := cues[k]
			c.Limit = limit
			before := make(map[memory.ID]bool)
			gone.Range(func(id, _ any) bool { before[id.(memory.ID)] = true; return true })
			r, err := s.Recall(ctx, c)
			if err != nil || len(r.Results) != limit {
				t.Errorf("cue %d: %d results, %v", k, len(r.Results), err)
				return
			}
			seen := make(map[memory.ID]bool)
			for _, x := range r.Results {
				if id := x.Memory.ID; seen[id] || before[id] {
					t.Errorf("cue %d: %s twice (%v), or gone (%v)", k, id, seen[id], before[id])
				}
				seen[x.Memory.ID] = true
			}
		}
	})
	stop.Store(true)
	writers.Wait()
}

// TestSpacesNeverMix: two spaces with the same ids and words, used side by side.
func TestSpacesNeverMix(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	names := []memory.SpaceName{"left", "right"}
	spaces := []*engram.Space{spaceOf(t, db, "left", 0), spaceOf(t, db, "right", 0)}
	together(8, func(k int) {
		s, name := spaces[k%2], string(names[k%2])
		for i := range rounds(60) {
			id := memory.ID(fmt.Sprintf("m%d", i))
			if _, err := s.Remember(ctx, memory.Episode{ID: id, Text: "word in the " + name}, engram.WriteOptions{OnConflict: memory.ConflictReplace}); err != nil {
				t.Error(err)
			}
			r, err := s.Recall(ctx, memory.Cue{Text: "word", Limit: 1000})
			for _, x := range r.Results {
				if x.Memory.Text != "word in the "+name {
					t.Errorf("space %s gave %q", name, x.Memory.Text)
				}
			}
			p, err2 := s.List(ctx, engram.ListQuery{})
			for _, m := range p.Memories {
				if m.Text != "word in the "+name {
					t.Errorf("space %s listed %q", name, m.Text)
				}
			}
			if err != nil || err2 != nil || len(r.Results) == 0 {
				t.Error(err, err2, len(r.Results))
			}
		}
	})
}

// TestOwners: eight goroutines do all verbs to memories of their own in one
// space and know what must come back; then the database is opened again.
func TestOwners(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{TailBound: 50})
	s := spaceOf(t, db, "s", 2)
	var mine [8]map[memory.ID]string
	together(8, func(k int) {
		rng := rand.New(rand.NewPCG(7, uint64(k)))
		own := make(map[memory.ID]string)
		mine[k] = own
		for i := range rounds(300) {
			id := memory.ID(fmt.Sprintf("k%dn%d", k, rng.IntN(20)))
			text := fmt.Sprintf("uniq%dx%d", k, i)
			_, stands := own[id]
			var err error
			switch verb := rng.IntN(10); {
			case verb < 3:
				_, err = s.Remember(ctx, memory.Episode{ID: id, Text: text, Vector: []float32{1, 2}, Tags: []string{fmt.Sprint("owner", k)}}, engram.WriteOptions{OnConflict: memory.ConflictReplace})
				own[id] = text
			case verb < 5:
				es := make([]memory.Episode, 4)
				for j := range es {
					id := memory.ID(fmt.Sprintf("k%dn%d", k, rng.IntN(20)))
					es[j] = memory.Episode{ID: id, Text: fmt.Sprintf("%sx%d", text, j), Tags: []string{fmt.Sprint("owner", k)}}
					own[id] = es[j].Text
				}
				_, err = s.RememberBatch(ctx, es, false, engram.WriteOptions{OnConflict: memory.ConflictReplace})
			case verb < 6 && stands:
				_, err = s.Update(ctx, id, func(e *memory.Episode) error { e.Text = text; return nil }, engram.WriteOptions{})
				own[id] = text
			case verb < 7 && stands:
				_, err = s.Delete(ctx, id, []memory.ForgetMode{memory.Delete, memory.Erase}[rng.IntN(2)], 0, engram.WriteOptions{})
				delete(own, id)
			case verb < 8:
				var p engram.Page
				p, err = s.List(ctx, engram.ListQuery{Filter: memory.Filter{Tags: []string{fmt.Sprint("owner", k)}}})
				if len(p.Memories) != len(own) {
					t.Errorf("owner %d lists %d, has %d", k, len(p.Memories), len(own))
				}
			default:
				var r engram.Recollection
				want := 0
				if stands {
					want = 1
				}
				r, err = s.Recall(ctx, memory.Cue{Text: own[id] + " nothingelse", Limit: 5})
				if len(r.Results) != want || want == 1 && (r.Results[0].Memory.ID != id || r.Results[0].Memory.Text != own[id]) {
					t.Errorf("owner %d, %s: got %+v, want %q", k, id, r.Results, own[id])
				}
			}
			if err != nil {
				t.Errorf("owner %d: %v", k, err)
				return
			}
		}
	})
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	s = spaceOf(t, db, "s", 2)
	for k, own := range mine {
		p, err := s.List(ctx, engram.ListQuery{Filter: memory.Filter{Tags: []string{fmt.Sprint("owner", k)}}})
		check(t, err)
		if len(p.Memories) != len(own) {
			t.Errorf("owner %d lists %d after the restart, has %d", k, len(p.Memories), len(own))
		}
		for _, m := range p.Memories {
			if own[m.ID] != m.Text {
				t.Errorf("%s: %q, want %q", m.ID, m.Text, own[m.ID])
			}
		}
	}
	r, err := db.Verify(ctx)
	check(t, err)
	if len(r.Findings) > 0 {
		t.Errorf("the journal and the state differ: %+v", r.Findings)
	}
}

// TestSharedArguments: what a caller hands over may be shared between calls that
// run side by side, and is the caller's again when the call returns.
func TestSharedArguments(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 2)
	recalled(t, s, memory.Cue{Text: "open"}) // so that writers hand their words to the indexes
	shared := memory.Metadata{"n": 1, "list": []any{1, 2}}
	filter := memory.Filter{Metadata: map[string]memory.Condition{"n": {In: []any{1}}}, Happened: &memory.Range{From: time.Now()}}
	together(8, func(k int) {
		buffer, tags := make([]float32, 2), make([]string, 1)
		for i := range rounds(40) {
			buffer[0], buffer[1], tags[0] = float32(k+1), float32(i), fmt.Sprintf("k%di%d", k, i)
			_, err := s.Remember(ctx, memory.Episode{ID: memory.ID(tags[0]), Vector: buffer, Tags: tags, Metadata: shared, Happened: memory.At(time.Now())}, engram.WriteOptions{})
			_, err2 := s.Recall(ctx, memory.Cue{Filter: filter})
			_, err3 := s.Forget(ctx, engram.ForgetQuery{Filter: &filter, DryRun: true}, 0, engram.WriteOptions{})
			_, err4 := s.List(ctx, engram.ListQuery{Filter: filter})
			if err != nil || err2 != nil || err3 != nil || err4 != nil {
				t.Error(err, err2, err3, err4)
			}
		}
	})
	for k := range 8 {
		for i := range rounds(40) {
			id := memory.ID(fmt.Sprintf("k%di%d", k, i))
			if got := recalled(t, s, memory.Cue{Filter: memory.Filter{Tags: []string{string(id)}}}); !slices.Equal(got, []memory.ID{id}) {
				t.Errorf("by the tag of %s: %v", id, got)
			}
			r, err := s.Recall(ctx, memory.Cue{Vector: []float32{float32(k + 1), float32(i)}, IDs: []memory.ID{id}, Limit: 1})
			check(t, err)
			if cos := r.Results[0].Parts[0].Value; cos < 0.9999 {
				t.Errorf("%s lies under another vector: cosine %v with its own", id, cos)
			}
		}
	}
}

// TestUpdateContention: updates of one memory without If-Match, from many
// goroutines, lose nothing of what they were acknowledged.
func TestUpdateContention(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	remember(t, s, memory.Episode{ID: "count", Text: "x", Metadata: memory.Metadata{"n": 0}})
	var acked atomic.Int64
	together(8, func(int) {
		for range rounds(40) {
			_, err := s.Update(ctx, "count", func(e *memory.Episode) error {
				e.Metadata = memory.Metadata{"n": e.Metadata["n"].(float64) + 1}
				return nil
			}, engram.WriteOptions{})
			switch {
			case err == nil:
				acked.Add(1)
			case codeOf(err) != "version_moved":
				t.Error(err)
			}
		}
	})
	m, err := s.Get(ctx, "count", engram.ReadOptions{})
	check(t, err)
	if n := m.Metadata["n"].(float64); int64(n) != acked.Load() || int64(m.Version) != acked.Load()+1 {
		t.Errorf("n is %v, version %d; %d updates were acknowledged", n, m.Version, acked.Load())
	}
	if asked := int64(8 * rounds(40)); acked.Load() < asked*9/10 {
		t.Errorf("only %d of %d updates got their turn", acked.Load(), asked)
	}
}

// TestCloseUnderLoad: Close while everything goes on ends every goroutine, every
// call is answered, and what was acknowledged is there afterwards.
func TestCloseUnderLoad(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ctx := context.Background()
	fs := vfs.NewMem()
	db, err := engram.Open(ctx, "data", engram.Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
	check(t, err)
	s, err := db.Space(engram.DefaultSpace)
	check(t, err)
	var acked sync.Map
	var some atomic.Int64
	enough := make(chan struct{})
	var g sync.WaitGroup
	for k := range 8 {
		g.Go(func() {
			for i := 0; ; i++ {
				id := memory.ID(fmt.Sprintf("k%di%d", k, i))
				_, err := s.Remember(ctx, memory.Episode{ID: id, Text: "under load"}, engram.WriteOptions{})
				if err == nil {
					acked.Store(id, true)
					if some.Add(1) == 50 {
						close(enough)
					}
				}
				var err2 error
				switch k % 4 {
				case 0:
					_, err2 = s.Recall(ctx, memory.Cue{Text: "load"})
				case 1:
					_, err2 = s.Delete(ctx, id, memory.Erase, 0, engram.WriteOptions{})
					acked.Delete(id)
				case 2:
					err2 = s.WaitFor(ctx, 1<<40)
				case 3:
					_, _, err2 = s.Events(ctx, engram.EventQuery{})
				}
				for _, err := range []error{err, err2} {
					if err != nil && codeOf(err) != "closed" && codeOf(err) != "memory_not_found" && memory.KindOf(err) != memory.KindInternal {
						t.Errorf("%v (%s)", err, codeOf(err))
					}
				}
				if db.Ready() != nil {
					return
				}
			}
		})
	}
	<-enough
	check(t, db.Close())
	g.Wait()
	mustCode(t, db.Close(), "closed")
	goleak.VerifyNone(t, before)
	db = openWith(t, fs, engram.Options{})
	s, err = db.Space(engram.DefaultSpace)
	check(t, err)
	acked.Range(func(id, _ any) bool {
		_, err := s.Get(ctx, id.(memory.ID), engram.ReadOptions{})
		check(t, err)
		return true
	})
}
