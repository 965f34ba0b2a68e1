package engram_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// wideModel is a fake model of another dimension, which knows no other word for
// "otter" but "beaver".
type wideModel struct{ *fakeModel }

const wideDimension = 48

func newWide(t testing.TB) *wideModel {
	m := &wideModel{&fakeModel{name: fmt.Sprintf("wide-%d", fakes.Add(1))}}
	embed.Register(m.name, func() (embed.Model, error) { return m, nil })
	return m
}

func (m *wideModel) Info() embed.Info {
	i := m.fakeModel.Info()
	i.Dimension, i.Digest = wideDimension, strings.Repeat("cd", 32)
	return i
}

func (m *wideModel) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	short, err := m.fakeModel.Embed(ctx, replaced(texts))
	for i, v := range short {
		if short[i] = make([]float32, wideDimension); len(v) > 0 {
			copy(short[i][wideDimension-fakeDimension:], v)
		}
	}
	return short, err
}

func replaced(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strings.NewReplacer("lutra", "zebra", "beaver", "otter").Replace(strings.ToLower(t))
	}
	return out
}

func jobEnded(t *testing.T, db *engram.DB, id string) engram.Job {
	t.Helper()
	var j engram.Job
	eventually(t, "the job ends", func() bool {
		var err error
		j, err = db.Job(id)
		check(t, err)
		return j.State != engram.JobRunning
	})
	return j
}

func similar(text string) memory.Cue {
	return memory.Cue{Text: text, Mode: memory.ModeSimilar, Limit: 1}
}

func infoOf(t *testing.T, s *engram.Space) engram.SpaceInfo {
	t.Helper()
	i, err := s.Info(context.Background())
	check(t, err)
	return i
}

// TestReembed: a space goes over to a model of another dimension. Until all texts have
// its vector, recall goes by the model before; old and new memories get both.
func TestReembed(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	_, db, s := modelled(t, engram.Options{FS: fs, Clock: clk})
	for i := range 40 {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: "a blue boat"})
	}
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "the otter swims"})
	given, err := s.Remember(ctx, memory.Episode{ID: "given", Text: "a heron", Vector: hashed([]string{"heron"})}, engram.WriteOptions{})
	check(t, err)
	rememberWaiting(t, s, memory.Episode{ID: "old", Text: "first words"})
	rememberWaiting(t, s, memory.Episode{ID: "gone", Text: "to be deleted"})
	_, err = s.Update(ctx, "old", func(e *memory.Episode) error { e.Tags = []string{"x"}; return nil }, engram.WriteOptions{})
	check(t, err)

	wide := newWide(t)
	wide.answer(func(context.Context, []string) ([][]float32, error) { return nil, errors.New("not yet") })
	j, err := s.Reembed(ctx, wide.name)
	check(t, err)
	if j.State != engram.JobRunning || j.Kind != "reembed" {
		t.Errorf("%+v", j)
	}
	_, err = s.Reembed(ctx, wide.name)
	mustCode(t, err, "reembed_running")
	mustCode(t, db.RemoveModel(ctx, wide.name), "model_built_in")
	if r := infoOf(t, s).Reembed; r == nil || r.Model != wide.name || r.Dimension != wideDimension || r.Settling || r.Job != j.ID {
		t.Errorf("%+v", r)
	}
	// While it gives nothing, the model before serves, and writes go on.
	if got := recalled(t, s, similar("lutra")); len(got) != 1 || got[0] != "a" {
		t.Errorf("by the model before: %v", got)
	}
	rememberWaiting(t, s, memory.Episode{ID: "new", Text: "an otter too"})
	check(t, forget(s, "gone", memory.Delete))
	if i := infoOf(t, s); i.Settings.Vector.Dimension != fakeDimension || i.Reembed.Total == 0 {
		t.Errorf("%+v", i)
	}
	if _, err := s.Remember(ctx, memory.Episode{ID: "bare", Vector: hashed([]string{"x"})}, engram.WriteOptions{}); codeOf(err) != "reembed_without_text" {
		t.Errorf("a vector alone: %v", err)
	}
	clean(t, db)
	eventually(t, "it is told why", func() bool { return infoOf(t, s).Reembed.Err != nil })
	if r := infoOf(t, s).Reembed; r.Done != 0 {
		t.Errorf("%+v", r)
	}
	wide.heal()
	eventually(t, "the job goes on", func() bool { clk.Advance(time.Second); return infoOf(t, s).Reembed == nil })
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone || j.Progress != 1 {
		t.Fatalf("%+v", j)
	}
	after := func() {
		t.Helper()
		i := infoOf(t, s)
		if v := i.Settings.Vector; v.Model != wide.name || v.Dimension != wideDimension || i.Reembed != nil {
			t.Errorf("settings %+v, %+v", v, i.Reembed)
		}
		want := wide.name + " 7 sha256:cdcdcdcdcdcdcdcd"
		for _, id := range []memory.ID{"a", "given", "new", "old", "m0", "m39"} {
			if m := memoryOf(t, s, id); m.Model != want || len(m.Vector) != wideDimension {
				t.Errorf("%s: model %q, %d numbers", id, m.Model, len(m.Vector))
			}
		}
		if got := recalled(t, s, similar("beaver")); len(got) != 1 || got[0] != "a" && got[0] != "new" {
			t.Errorf("by the model to come: %v", got)
		}
		clean(t, db)
	}
	after()
	if m := memoryOf(t, s, "given"); m.Version != given.Version {
		t.Errorf("it is a new version: %d", m.Version)
	}
	_, err = s.Remember(ctx, memory.Episode{ID: "wrong", Text: "x", Vector: make([]float32, fakeDimension)}, engram.WriteOptions{})
	mustCode(t, err, "vector_dimension_mismatch")
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	s = mainSpace(t, db)
	after()
	rememberWaiting(t, s, memory.Episode{ID: "later", Text: "beaver dam"})
	if w := remember(t, s, memory.Episode{ID: "a", Text: "the otter swims"}); w.Outcome != engram.Kept {
		t.Errorf("the same again is %s", w.Outcome)
	}
	// And back, to the same dimension of another name.
	narrow := newFake()
	j, err = s.Reembed(ctx, narrow.name)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
		t.Fatalf("%+v", j)
	}
	if got := recalled(t, s, similar("lutra")); len(got) != 1 || got[0] != "a" && got[0] != "new" {
		t.Errorf("after two: %v", got)
	}
	check(t, forget(s, "a", memory.Erase))
	clean(t, db)
}

func forget(s *engram.Space, id memory.ID, mode memory.ForgetMode) error {
	_, err := s.Forget(context.Background(), engram.ForgetQuery{IDs: []memory.ID{id}, Mode: mode}, time.Minute, engram.WriteOptions{})
	return err
}

// TestReembedCancel: cancelled, the space stays with its model, and nothing of the
// other is left; then it can go again.
func TestReembedCancel(t *testing.T) {
	ctx := context.Background()
	m, db, s := modelled(t, engram.Options{})
	for i := range 20 {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: fmt.Sprint("boat ", i)})
	}
	wide := newWide(t)
	var asked atomic.Int64
	stop := make(chan struct{})
	wide.answer(func(ctx context.Context, texts []string) ([][]float32, error) {
		if asked.Add(1) == 1 {
			return wide.made(texts)
		}
		select {
		case <-stop:
		case <-ctx.Done():
		}
		return nil, errors.New("stopped")
	})
	j, err := s.Reembed(ctx, wide.name)
	check(t, err)
	eventually(t, "some are made", func() bool { r := infoOf(t, s).Reembed; return r != nil && r.Done > 0 && asked.Load() > 1 })
	if p, err := db.Job(j.ID); err != nil || !(p.Progress > 0 && p.Progress < 1) {
		t.Errorf("progress %v, %v", p.Progress, err)
	}
	_, err = db.CancelJob(j.ID)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobCancelled {
		t.Errorf("%+v", j)
	}
	close(stop)
	i := infoOf(t, s)
	if i.Reembed != nil || i.Settings.Vector.Model != m.name || i.Version != 1 {
		t.Errorf("%+v %+v", i.Reembed, i.Settings.Vector)
	}
	if mm := memoryOf(t, s, "m0"); len(mm.Vector) != fakeDimension || !strings.HasPrefix(mm.Model, m.name) {
		t.Errorf("model %q, %d numbers", mm.Model, len(mm.Vector))
	}
	if got := recalled(t, s, similar("boat")); len(got) != 1 {
		t.Errorf("%v", got)
	}
	clean(t, db) // it would find vectors that nothing names
	wide.heal()
	j, err = s.Reembed(ctx, wide.name)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
		t.Errorf("%+v", j)
	}
	clean(t, db)
}

// TestReembedResumes: a crash at any moment of the way loses nothing: the job goes on
// when the database is opened, from what is there.
func TestReembedResumes(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	_, db, s := modelled(t, engram.Options{FS: fs})
	for i := range 30 {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: fmt.Sprint("otter ", i)})
	}
	wide := newWide(t)
	var crashes []*vfs.MemFS
	var mu sync.Mutex
	wide.answer(func(ctx context.Context, texts []string) ([][]float32, error) {
		mu.Lock()
		crashes = append(crashes, fs.CrashClone(vfs.CrashCloneCfg{}))
		mu.Unlock()
		return wide.made(texts)
	})
	j, err := s.Reembed(ctx, wide.name)
	check(t, err)
	jobEnded(t, db, j.ID)
	check(t, db.Close())
	wide.heal()
	if len(crashes) < 2 {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for _, fs := range crashes[:2] {
		before := wide.called() // it goes on as soon as the database is open
		db := openWith(t, fs, engram.Options{})
		s := mainSpace(t, db)
		eventually(t, "it goes on to its end", func() bool { return infoOf(t, s).Reembed == nil })
		if v := infoOf(t, s).Settings.Vector; v.Model != wide.name {
			t.Errorf("%+v", v)
		}
		if wide.called() == before {
			t.Error("nothing was left to make")
		}
		for i := range 30 {
			if m := memoryOf(t, s, memory.ID(fmt.Sprint("m", i))); len(m.Vector) != wideDimension {
				t.Errorf("m%d: %d numbers", i, len(m.Vector))
			}
		}
		if got := recalled(t, s, similar("beaver")); len(got) != 1 {
			t.Errorf("%v", got)
		}
		clean(t, db)
		check(t, db.Close())
	}
}

// TestReembedGivenVectors: a space whose vectors callers brought goes over when its
// memories have texts, and else refuses; one without vectors gets its first.
func TestReembedGivenVectors(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	wide := newWide(t)
	s := spaceOf(t, db, "given", 3)
	remember(t, s, memory.Episode{ID: "a", Text: "the otter", Vector: []float32{1, 0, 0}})
	remember(t, s, memory.Episode{ID: "b", Vector: []float32{0, 1, 0}})
	_, err := s.Reembed(ctx, wide.name)
	mustCode(t, err, "reembed_without_text")
	if i := infoOf(t, s); i.Reembed != nil {
		t.Errorf("%+v", i.Reembed)
	}
	check(t, forget(s, "b", memory.Delete))
	_, err = s.Reembed(ctx, "nobody's")
	mustCode(t, err, "model_not_found")
	j, err := s.Reembed(ctx, wide.name)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
		t.Fatalf("%+v", j)
	}
	if m := memoryOf(t, s, "a"); len(m.Vector) != wideDimension || !m.Made {
		t.Errorf("%d numbers, made %v", len(m.Vector), m.Made)
	}
	if got := recalled(t, s, similar("beaver")); len(got) != 1 || got[0] != "a" {
		t.Errorf("%v", got)
	}
	none := spaceOf(t, db, "none", 0)
	remember(t, none, memory.Episode{ID: "a", Text: "the otter"})
	j, err = none.Reembed(ctx, wide.name)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
		t.Fatalf("%+v", j)
	}
	if got := recalled(t, none, similar("beaver")); len(got) != 1 || got[0] != "a" {
		t.Errorf("%v", got)
	}
	clean(t, db)
}

// TestReembedUnderLoad: writers and readers go on while a space goes over and back
// again; nothing is lost, no recall fails.
func TestReembedUnderLoad(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	_, db, s := modelled(t, engram.Options{FS: fs})
	wide, narrow := newWide(t), newFake()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var written atomic.Int64
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := memory.ID(fmt.Sprintf("w%d-%d", w, i))
				if _, err := s.Remember(ctx, memory.Episode{ID: id, Text: fmt.Sprint("otter ", w, " ", i)}, waiting); err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					_, err := s.Update(ctx, id, func(e *memory.Episode) error { e.Tags = []string{"t"}; return nil }, engram.WriteOptions{})
					if err != nil {
						t.Error(err)
					}
				}
				if i%7 == 0 {
					if err := forget(s, id, memory.Delete); err != nil {
						t.Error(err)
					}
				}
				written.Add(1)
			}
		})
	}
	writers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if r, err := s.Recall(ctx, similar("otter")); err != nil || r.Partial {
				t.Errorf("recall: partial %v, %v", r.Partial, err)
				return
			}
		}
	})
	eventually(t, "something is there", func() bool { return written.Load() > 50 })
	for _, name := range []string{wide.name, narrow.name, wide.name} {
		j, err := s.Reembed(ctx, name)
		check(t, err)
		if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
			t.Fatalf("%+v", j)
		}
	}
	close(stop)
	writers.Wait()
	all := func(t *testing.T, s *engram.Space) {
		t.Helper()
		eventually(t, "all have the vector of the last model", func() bool {
			p, err := s.List(ctx, engram.ListQuery{PageSize: 1000, IncludeVector: true})
			check(t, err)
			for _, m := range p.Memories {
				if len(m.Vector) != wideDimension {
					return false
				}
			}
			return true
		})
	}
	all(t, s)
	clean(t, db)
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	all(t, mainSpace(t, db))
	clean(t, db)
}

// rotatedModel is a fake model of the same dimension whose vectors are like none of
// the others'.
type rotatedModel struct{ *fakeModel }

func newRotated() *rotatedModel {
	m := &rotatedModel{&fakeModel{name: fmt.Sprintf("rotated-%d", fakes.Add(1))}}
	embed.Register(m.name, func() (embed.Model, error) { return m, nil })
	return m
}

func (m *rotatedModel) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vs, err := m.fakeModel.Embed(ctx, texts)
	for _, v := range vs {
		last := v[len(v)-1]
		copy(v[1:], v)
		v[0] = last
	}
	return vs, err
}

// TestReembedLarge: a snapshot and a file of vectors from before the cut-over, which
// a crash leaves, are not taken for those of the model in force.
func TestReembedLarge(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	db := openWith(t, fs, engram.Options{DefaultModel: quickName})
	s := mainSpace(t, db)
	const n = 5000
	for i := 0; i < n; i += 1000 {
		es := make([]memory.Episode, 1000)
		for k := range es {
			es[k] = memory.Episode{ID: memory.ID(fmt.Sprint("m", i+k)), Text: "a blue boat"}
		}
		es[500].Text = fmt.Sprint("the otter ", i)
		_, err := s.RememberBatch(ctx, es, false, engram.WriteOptions{})
		check(t, err)
	}
	recalled(t, s, similar("otter"))
	check(t, db.Close())
	if files, err := fs.List("data/index"); err != nil || !strings.Contains(strings.Join(files, " "), ".near") {
		t.Fatalf("no file of vectors was saved: %v %v", files, err)
	}
	db = openWith(t, fs, engram.Options{})
	s = mainSpace(t, db)
	rotated := newRotated()
	j, err := s.Reembed(ctx, rotated.name)
	check(t, err)
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone || j.Space != engram.DefaultSpace {
		t.Fatalf("%+v", j)
	}
	look := func(db *engram.DB) {
		t.Helper()
		s := mainSpace(t, db)
		r, err := s.Recall(ctx, memory.Cue{Text: "lutra", Mode: memory.ModeSimilar, Limit: 5})
		check(t, err)
		for _, x := range r.Results {
			if !strings.Contains(x.Memory.Text, "otter") {
				t.Errorf("%s: %q", x.Memory.ID, x.Memory.Text)
			}
		}
		if len(r.Results) != 5 || r.Partial {
			t.Errorf("%d results, partial %v", len(r.Results), r.Partial)
		}
		clean(t, db)
	}
	look(db)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	check(t, db.Close())
	again := openWith(t, crashed, engram.Options{})
	look(again)
	check(t, again.Close())
	db = openWith(t, fs, engram.Options{})
	look(db)
}

// TestReembedPassages: the passages of long texts are made by the model to come, too.
func TestReembedPassages(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	_, db, s := modelled(t, engram.Options{FS: fs})
	long := book("plum", "pear", "fig", "otter", "lime", "date")
	rememberWaiting(t, s, memory.Episode{ID: "long", Text: long})
	cue := byMeaning
	if id, word := cites(t, s, cue); id != "long" || word != "" {
		t.Errorf("by a model that reads all: %q %q", id, word)
	}
	short := newShortSighted()
	for range 2 { // there, and back to one without
		j, err := s.Reembed(ctx, short.name)
		check(t, err)
		if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
			t.Fatalf("%+v", j)
		}
		if id, word := cites(t, s, cue); id != "long" || word != "otter" {
			t.Errorf("the passage: %q %q", id, word)
		}
		clean(t, db)
		check(t, db.Close())
		db = openWith(t, fs, engram.Options{})
		s = mainSpace(t, db)
		if id, word := cites(t, s, cue); id != "long" || word != "otter" {
			t.Errorf("the passage after a restart: %q %q", id, word)
		}
		whole := newFake()
		j, err = s.Reembed(ctx, whole.name)
		check(t, err)
		jobEnded(t, db, j.ID)
		if id, word := cites(t, s, cue); id != "long" || word == "otter" {
			t.Errorf("without passages: %q %q", id, word)
		}
		clean(t, db)
	}
}
