package engram_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

const fakeDimension = 32

// fakeModel hashes words into vectors; "lutra" is its word for "otter". instead, when
// it is set, answers in its place.
type fakeModel struct {
	name    string
	missing atomic.Bool // from the program
	instead atomic.Pointer[func(ctx context.Context, texts []string) ([][]float32, error)]
	mu      sync.Mutex
	seen    []string // every text that it was given
	calls   int
}

var fakes atomic.Int64

func newFake() *fakeModel {
	m := &fakeModel{name: fmt.Sprintf("fake-%d", fakes.Add(1))}
	embed.Register(m.name, func() (embed.Model, error) {
		if m.missing.Load() {
			return nil, embed.ErrUnknown
		}
		return m, nil
	})
	return m
}

func (m *fakeModel) Info() embed.Info {
	return embed.Info{Name: m.name, Version: "7", Digest: strings.Repeat("ab", 32), Dimension: fakeDimension}
}

func (m *fakeModel) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	m.mu.Lock()
	m.calls++
	m.seen = append(m.seen, texts...)
	m.mu.Unlock()
	if f := m.instead.Load(); f != nil {
		return (*f)(ctx, texts)
	}
	return m.made(texts)
}

func (m *fakeModel) made(texts []string) ([][]float32, error) {
	vs := make([][]float32, len(texts))
	for i, t := range texts {
		words := strings.FieldsFunc(strings.ToLower(t), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
		if len(words) == 0 {
			return nil, &embed.TextError{Index: i, Err: embed.ErrEmpty}
		}
		vs[i] = hashed(words)
	}
	return vs, nil
}

func hashed(words []string) []float32 {
	v := make([]float32, fakeDimension)
	sum := 0.0
	for _, w := range words {
		if w == "lutra" {
			w = "otter"
		}
		h := fnv.New32a()
		h.Write([]byte(w))
		v[h.Sum32()%fakeDimension]++
	}
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

func (m *fakeModel) answer(f func(ctx context.Context, texts []string) ([][]float32, error)) {
	m.instead.Store(&f)
}
func (m *fakeModel) heal() { m.instead.Store(nil) }

// hang makes it hang as long as it is let: until its context ends, or release. asked
// gets a token for every call.
func (m *fakeModel) hang() (asked chan struct{}, release func()) {
	return m.hangOn("")
}

// hangOn hangs on texts of which the first has a part.
func (m *fakeModel) hangOn(part string) (asked chan struct{}, release func()) {
	asked, freed := make(chan struct{}, 100), make(chan struct{})
	m.answer(func(ctx context.Context, texts []string) ([][]float32, error) {
		if !strings.Contains(texts[0], part) {
			return m.made(texts)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		select {
		case <-freed:
			return m.made(texts)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return asked, sync.OnceFunc(func() { m.heal(); close(freed) })
}

func (m *fakeModel) sawText(part string) (times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.seen {
		if strings.Contains(t, part) {
			times++
		}
	}
	return times
}

func (m *fakeModel) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

var waiting = engram.WriteOptions{WaitVector: true}

// modelled is a database whose spaces get their vectors from a fake model.
func modelled(t *testing.T, o engram.Options) (*fakeModel, *engram.DB, *engram.Space) {
	t.Helper()
	m := newFake()
	o.DefaultModel = m.name
	fs := o.FS
	if fs == nil {
		fs = vfs.NewMem()
	}
	db := openWith(t, fs, o)
	return m, db, mainSpace(t, db)
}

func mainSpace(t *testing.T, db *engram.DB) *engram.Space {
	t.Helper()
	s, err := db.Space(engram.DefaultSpace)
	check(t, err)
	return s
}

// soon is a context that ends before a test that hangs does.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func rememberWaiting(t *testing.T, s *engram.Space, e memory.Episode) engram.Written {
	t.Helper()
	w, err := s.Remember(soon(t), e, waiting)
	check(t, err)
	if len(w.Pending) > 0 {
		t.Fatalf("%q: still pending: %v", e.ID, w.Pending)
	}
	return w
}

func memoryOf(t *testing.T, s *engram.Space, id memory.ID) memory.Memory {
	t.Helper()
	m, err := s.Get(context.Background(), id, engram.ReadOptions{Vector: true})
	check(t, err)
	return m
}

func hasVector(t *testing.T, s *engram.Space, id memory.ID) func() bool {
	return func() bool { return memoryOf(t, s, id).Vector != nil }
}

func clean(t *testing.T, db *engram.DB) {
	t.Helper()
	r, err := db.Verify(context.Background())
	check(t, err)
	if len(r.Findings) > 0 {
		t.Fatalf("verify: %v", r.Findings)
	}
}

// TestVectorsFollow: a text without a vector gets the model's, says whose it is, and is
// found by other words that mean the same.
func TestVectorsFollow(t *testing.T) {
	ctx := context.Background()
	m, db, s := modelled(t, engram.Options{})
	w := remember(t, s, memory.Episode{ID: "a", Text: "the otter swims"})
	if len(w.Pending) != 1 || w.Pending[0] != engram.PendingVector {
		t.Errorf("pending is %v", w.Pending)
	}
	rememberWaiting(t, s, memory.Episode{ID: "b", Title: "Boats", Text: "the boat is blue"})
	eventually(t, "the vector of a", hasVector(t, s, "a"))
	a := memoryOf(t, s, "a")
	if want := m.name + " 7 sha256:abababababababab"; a.Model != want || a.Version != 1 {
		t.Errorf("model %q version %d, want %q version 1", a.Model, a.Version, want)
	}
	if m.sawText("Boats. the boat") == 0 {
		t.Errorf("the title is not embedded: %q", m.seen)
	}
	cue := memory.Cue{Text: "lutra", Mode: memory.ModeSimilar, Limit: 1}
	if got := recalled(t, s, cue); len(got) != 1 || got[0] != "a" {
		t.Errorf("by meaning: %v", got)
	}
	cue.Stages.NoVector = true
	if got := recalled(t, s, cue); len(got) != 0 {
		t.Errorf("without vectors: %v", got)
	}
	given := hashed([]string{"mine"})
	w, err := s.Remember(ctx, memory.Episode{ID: "c", Text: "otter", Vector: given}, engram.WriteOptions{})
	check(t, err)
	if len(w.Pending) > 0 || memoryOf(t, s, "c").Model != m.name {
		t.Errorf("a given vector: pending %v, model %q", w.Pending, memoryOf(t, s, "c").Model)
	}
	clean(t, db)
}

// TestDefaultModel: it is for spaces that say nothing about vectors; others have their say.
func TestDefaultModel(t *testing.T) {
	ctx := context.Background()
	m, db, s := modelled(t, engram.Options{})
	if v := s.Settings().Vector; v.Model != m.name || v.Dimension != fakeDimension {
		t.Errorf("default: %+v", v)
	}
	own := spaceOf(t, db, "own", 2)
	none, _, err := db.CreateSpace(ctx, "none", memory.Settings{Vector: memory.VectorSettings{Model: engram.ModelNone}})
	check(t, err)
	if v := own.Settings().Vector; v.Model != "" || v.Dimension != 2 {
		t.Errorf("own: %+v", v)
	}
	if v := none.Settings.Vector; v.Model != "" || v.Dimension != 0 {
		t.Errorf("none: %+v", v)
	}
	if w := remember(t, own, memory.Episode{ID: "a", Text: "x"}); len(w.Pending) > 0 {
		t.Errorf("own: pending %v", w.Pending)
	}
	_, _, err = db.CreateSpace(ctx, "wrong", memory.Settings{Vector: memory.VectorSettings{Model: m.name, Dimension: 3}})
	mustCode(t, err, "model_dimension_mismatch")
	_, created, err := db.CreateSpace(ctx, "theirs", memory.Settings{Vector: memory.VectorSettings{Model: "somewhere else", Dimension: 3}})
	check(t, err)
	if !created {
		t.Error("a model that is not ours needs no dimension of ours")
	}
}

// TestNothingToEmbed: such a text keeps nobody waiting and is not tried again.
func TestNothingToEmbed(t *testing.T) {
	m, db, s := modelled(t, engram.Options{})
	for i, text := range []string{"🦦🦦", "...", "\u200b.", "\u2603"} {
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprint(i)), Text: text})
	}
	b, err := s.RememberBatch(soon(t), []memory.Episode{{ID: "x", Text: "otter"}, {ID: "y", Text: "🛶"}}, false, waiting)
	check(t, err)
	if len(b.Items[0].Pending)+len(b.Items[1].Pending) > 0 {
		t.Errorf("pending: %+v", b.Items)
	}
	if memoryOf(t, s, "y").Vector != nil || memoryOf(t, s, "x").Vector == nil {
		t.Error("x has a vector and y has none")
	}
	rememberWaiting(t, s, memory.Episode{ID: "z", Text: "otter too"})
	if n := m.sawText("..."); n != 1 {
		t.Errorf("%d tries", n)
	}
	recalled(t, s, memory.Cue{Text: "..."}) // nor is a cue with nothing to embed an error
	clean(t, db)
}

// TestModelDown: a model that fails delays vectors and nothing else, is left alone for
// a while, and what it missed is made when it is back.
func TestModelDown(t *testing.T) {
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, db, s := modelled(t, engram.Options{Clock: clk})
	m.answer(func(context.Context, []string) ([][]float32, error) { return nil, errors.New("it is down") })
	remember(t, s, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "the first try", func() bool { return m.called() == 1 })
	for i := range 50 { // the clock stands: nothing here may wait for it
		b, err := s.RememberBatch(soon(t), []memory.Episode{{ID: memory.ID(fmt.Sprint("b", i)), Text: "boat"}}, false, engram.WriteOptions{})
		check(t, err)
		if len(b.Items[0].Pending) != 1 {
			t.Fatal("it is pending")
		}
	}
	if n := m.called(); n != 1 {
		t.Errorf("a model that failed was asked %d times at once", n)
	}
	if got := recalled(t, s, memory.Cue{Text: "otter"}); len(got) != 1 {
		t.Errorf("by words: %v", got)
	}
	m.heal()
	eventually(t, "the vectors", func() bool {
		clk.Advance(time.Second)
		return memoryOf(t, s, "a").Vector != nil && memoryOf(t, s, "b49").Vector != nil
	})
	clean(t, db)
}

// TestModelAnswersNonsense: it is not believed more than a caller; neither what it says of
// a text nor of a cue is kept.
func TestModelAnswersNonsense(t *testing.T) {
	nan := hashed([]string{"x"})
	nan[3] = float32(math.NaN())
	for name, wrong := range map[string]func(texts []string) [][]float32{
		"too many":  func(texts []string) [][]float32 { return make([][]float32, len(texts)+1) },
		"too few":   func([]string) [][]float32 { return nil },
		"empty":     func(texts []string) [][]float32 { return make([][]float32, len(texts)) },
		"dimension": func([]string) [][]float32 { return [][]float32{{1, 2, 3}} },
		"NaN":       func([]string) [][]float32 { return [][]float32{nan} },
		"zero":      func([]string) [][]float32 { return [][]float32{make([]float32, fakeDimension)} },
	} {
		t.Run(name, func(t *testing.T) {
			clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
			m, db, s := modelled(t, engram.Options{Clock: clk})
			m.answer(func(_ context.Context, texts []string) ([][]float32, error) { return wrong(texts), nil })
			remember(t, s, memory.Episode{ID: "a", Text: "otter"})
			eventually(t, "a try", func() bool { return m.called() > 0 })
			if got := recalled(t, s, memory.Cue{Text: "otter"}); len(got) != 1 {
				t.Errorf("by words: %v", got)
			}
			if memoryOf(t, s, "a").Vector != nil {
				t.Error("it was kept")
			}
			m.heal()
			eventually(t, "the vector", func() bool { clk.Advance(time.Second); return memoryOf(t, s, "a").Vector != nil })
			clean(t, db)
		})
	}
}

// TestTextThatBreaksTheModel: one text that a model cannot bear holds up no other.
func TestTextThatBreaksTheModel(t *testing.T) {
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, _, s := modelled(t, engram.Options{Clock: clk})
	m.answer(func(_ context.Context, texts []string) ([][]float32, error) {
		for _, text := range texts {
			if strings.Contains(text, "poison") {
				return nil, errors.New("ouch")
			}
		}
		return m.made(texts)
	})
	var es []memory.Episode
	for i := range 40 {
		text := "otter"
		if i == 5 {
			text = "poison"
		}
		es = append(es, memory.Episode{ID: memory.ID(fmt.Sprint(i)), Text: text})
	}
	_, err := s.RememberBatch(soon(t), es, false, engram.WriteOptions{})
	check(t, err)
	eventually(t, "all but one", func() bool {
		clk.Advance(time.Second)
		for i := range 40 {
			if i != 5 && memoryOf(t, s, memory.ID(fmt.Sprint(i))).Vector == nil {
				return false
			}
		}
		return true
	})
}

// TestModelHangs: a batch waits for it as long as the clock says, a recall too, a space
// with another model not at all, and Close ends it.
func TestModelHangs(t *testing.T) {
	before := goleak.IgnoreCurrent()
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, db, s := modelled(t, engram.Options{Clock: clk})
	asked, release := m.hang()
	defer release()
	batch := make(chan engram.BatchWritten, 1)
	go func() {
		b, err := s.RememberBatch(soon(t), []memory.Episode{{ID: "a", Text: "otter"}}, false, engram.WriteOptions{})
		if err != nil {
			t.Error(err)
		}
		batch <- b
	}()
	<-asked
	select {
	case <-batch:
		t.Error("it did not wait")
	default:
	}
	b, err := s.RememberBatch(soon(t), []memory.Episode{{ID: "n", Text: "otter"}}, false, engram.WriteOptions{WaitNone: true})
	check(t, err) // the clock stands: it is answered at once
	if len(b.Items[0].Pending) != 1 {
		t.Errorf("%+v", b)
	}
	eventually(t, "the batch is answered", func() bool {
		clk.Advance(100 * time.Millisecond)
		return len(batch) == 1
	})
	if b := <-batch; len(b.Items) != 1 || len(b.Items[0].Pending) != 1 {
		t.Errorf("%+v", b)
	}
	done := make(chan []memory.ID, 1)
	go func() { done <- recalled(t, s, memory.Cue{Text: "otter"}) }()
	eventually(t, "the recall is answered", func() bool { clk.Advance(100 * time.Millisecond); return len(done) == 1 })
	if got := <-done; len(got) != 2 {
		t.Errorf("by words: %v", got)
	}
	other := newFake()
	_, _, err = db.CreateSpace(context.Background(), "other", memory.Settings{Vector: memory.VectorSettings{Model: other.name}})
	check(t, err)
	o, err := db.Space("other")
	check(t, err)
	remember(t, o, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "the other space's vector", func() bool { clk.Advance(time.Second); return memoryOf(t, o, "a").Vector != nil })
	go func() { // waits for ever, but for the end
		if w, err := s.Remember(context.Background(), memory.Episode{ID: "z", Text: "otter"}, waiting); err == nil && len(w.Pending) != 1 {
			t.Errorf("%+v", w)
		}
		done <- nil
	}()
	eventually(t, "it is stored", func() bool {
		_, err := s.Get(context.Background(), "z", engram.ReadOptions{})
		return err == nil
	})
	check(t, db.Close())
	<-done
	goleak.VerifyNone(t, before)
}

// TestCrashBeforeVector: what a power cut left without a vector gets it afterwards, also
// when it was suppressed meanwhile.
func TestCrashBeforeVector(t *testing.T) {
	fs := vfs.NewCrashableMem()
	m, db, s := modelled(t, engram.Options{FS: fs})
	rememberWaiting(t, s, memory.Episode{ID: "first", Text: "otter one"})
	asked, release := m.hang()
	remember(t, s, memory.Episode{ID: "a", Text: "otter two"})
	remember(t, s, memory.Episode{ID: "hidden", Text: "otter three"})
	remember(t, s, memory.Episode{ID: "none", Text: "🦦"})
	_, err := s.Delete(context.Background(), "hidden", memory.Suppress, 0, engram.WriteOptions{})
	check(t, err)
	<-asked
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	check(t, db.Close())
	release()
	db = openWith(t, after, engram.Options{DefaultModel: m.name})
	s = mainSpace(t, db)
	if memoryOf(t, s, "a").Vector != nil {
		t.Fatal("it has one already")
	}
	recalled(t, s, memory.Cue{Text: "otter"}) // opens the space
	eventually(t, "the vectors", func() bool { return memoryOf(t, s, "a").Vector != nil && memoryOf(t, s, "hidden").Vector != nil })
	if memoryOf(t, s, "first").Model != memoryOf(t, s, "a").Model {
		t.Error("another model")
	}
	if n := m.sawText("otter one"); n != 1 {
		t.Errorf("a vector that stands was made %d times", n)
	}
	clean(t, db)
}

// TestChangedMeanwhile: a vector that is under way when its memory is changed, deleted or
// erased is not taken for that of what stands.
func TestChangedMeanwhile(t *testing.T) {
	ctx := context.Background()
	m, db, s := modelled(t, engram.Options{})
	asked, release := m.hang()
	for _, id := range []memory.ID{"changed", "deleted", "erased", "again"} {
		remember(t, s, memory.Episode{ID: id, Text: "otter"})
	}
	<-asked
	_, err := s.Update(ctx, "changed", func(e *memory.Episode) error { e.Text = "boat"; return nil }, engram.WriteOptions{})
	check(t, err)
	_, err = s.Delete(ctx, "deleted", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	_, err = s.Delete(ctx, "erased", memory.Erase, time.Minute, engram.WriteOptions{})
	check(t, err)
	_, err = s.Delete(ctx, "again", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	remember(t, s, memory.Episode{ID: "again", Text: "harbour"})
	release()
	for id, text := range map[memory.ID]string{"changed": "boat", "again": "harbour"} {
		eventually(t, "the vector", hasVector(t, s, id))
		if got, want := memoryOf(t, s, id).Vector, hashed([]string{text}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	clean(t, db)
}

// TestWaitEnds: who waits for a vector is answered when there is none to come any more:
// the version is gone, or the space is.
func TestWaitEnds(t *testing.T) {
	ctx := soon(t)
	m, db, s := modelled(t, engram.Options{})
	_, release := m.hang()
	defer release()
	wait := func(s *engram.Space) chan engram.Written {
		done := make(chan engram.Written, 1)
		go func() {
			w, err := s.Remember(ctx, memory.Episode{ID: "a", Text: "otter"}, waiting)
			if err != nil {
				t.Error(err) // it is stored
			}
			done <- w
		}()
		eventually(t, "it is stored", func() bool { _, err := s.Get(ctx, "a", engram.ReadOptions{}); return err == nil })
		return done
	}
	done := wait(s)
	_, err := s.Delete(ctx, "a", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	if w := <-done; w.Outcome != engram.Created {
		t.Errorf("%+v", w)
	}
	_, _, err = db.CreateSpace(ctx, "dropped", memory.Settings{})
	check(t, err)
	d, err := db.Space("dropped")
	check(t, err)
	done = wait(d)
	_, err = db.DropSpace(ctx, "dropped")
	check(t, err)
	<-done
	short, cancel := context.WithCancel(ctx)
	cancel()
	w, err := s.Update(short, "none", func(*memory.Episode) error { return nil }, waiting)
	if err == nil {
		t.Errorf("%+v", w)
	}
}

// TestMadeVectorAndVersions: a new version keeps what a model made of the same words, and
// gets its own for others; what a caller gave stays the caller's.
func TestMadeVectorAndVersions(t *testing.T) {
	ctx := soon(t)
	m, db, s := modelled(t, engram.Options{})
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "otter"})
	w, err := s.Update(ctx, "a", func(e *memory.Episode) error { e.Tags = []string{"x"}; return nil }, waiting)
	check(t, err)
	if len(w.Pending) > 0 || memoryOf(t, s, "a").Vector == nil || m.sawText("otter") != 1 {
		t.Errorf("same words: pending %v, made %d times", w.Pending, m.sawText("otter"))
	}
	if got := recalled(t, s, memory.Cue{Text: "lutra", Stages: memory.Stages{NoText: true}}); len(got) != 1 {
		t.Errorf("the vector that was kept is not in the index: %v", got)
	}
	w, err = s.Update(ctx, "a", func(e *memory.Episode) error { e.Text = "boat"; return nil }, waiting)
	check(t, err)
	if got := memoryOf(t, s, "a"); len(w.Pending) > 0 || fmt.Sprint(got.Vector) != fmt.Sprint(hashed([]string{"boat"})) {
		t.Errorf("other words: pending %v, %v", w.Pending, got.Vector)
	}
	replace := engram.WriteOptions{OnConflict: memory.ConflictReplace, WaitVector: true}
	w, err = s.Remember(ctx, memory.Episode{ID: "a", Text: "boat", Tags: []string{"y"}}, replace)
	check(t, err)
	if w.Version != 4 || len(w.Pending) > 0 || m.sawText("boat") != 1 {
		t.Errorf("replaced by the same words: %+v, made %d times", w, m.sawText("boat"))
	}
	_, err = s.Remember(ctx, memory.Episode{ID: "a", Text: "harbour"}, replace)
	check(t, err)
	if got := memoryOf(t, s, "a").Vector; fmt.Sprint(got) != fmt.Sprint(hashed([]string{"harbour"})) {
		t.Errorf("replaced by other words: %v", got)
	}
	given := hashed([]string{"given"})
	_, err = s.Update(ctx, "a", func(e *memory.Episode) error { e.Vector = given; return nil }, waiting)
	check(t, err)
	_, err = s.Update(ctx, "a", func(e *memory.Episode) error { e.Tags = []string{"z"}; return nil }, waiting)
	check(t, err)
	if got := memoryOf(t, s, "a"); fmt.Sprint(got.Vector) != fmt.Sprint(given) || got.Model != m.name {
		t.Errorf("given: %v of %q", got.Vector, got.Model)
	}
	w, err = s.Update(ctx, "a", func(e *memory.Episode) error { e.Vector = nil; return nil }, waiting)
	check(t, err)
	if got := memoryOf(t, s, "a").Vector; len(w.Pending) > 0 || fmt.Sprint(got) != fmt.Sprint(hashed([]string{"harbour"})) {
		t.Errorf("taken away: %v", got)
	}
	clean(t, db)
}

// TestEraseMadeVector: no byte of a vector that a model made of what is erased stays.
func TestEraseMadeVector(t *testing.T) {
	ctx := soon(t)
	fs := vfs.NewMem()
	m, db, s := modelled(t, engram.Options{FS: fs})
	raw := make([]float32, fakeDimension)
	for i := range raw {
		raw[i] = float32(math.Sin(float64(i)*12.9898) * 0.4375)
	}
	m.answer(func(_ context.Context, texts []string) ([][]float32, error) {
		vs := make([][]float32, len(texts))
		for i := range vs {
			vs[i] = raw
		}
		return vs, nil
	})
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "otter"})
	var word strings.Builder
	for _, x := range raw {
		b := math.Float32bits(x)
		word.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
	}
	if len(filesWith(t, fs, "data", word.String())) == 0 {
		t.Fatal("the vector is nowhere to begin with")
	}
	f, err := s.Delete(ctx, "a", memory.Erase, time.Minute, engram.WriteOptions{})
	check(t, err)
	if f.Job != nil {
		t.Fatalf("not done: %+v", f.Job)
	}
	if left := filesWith(t, fs, "data", word.String()); len(left) > 0 {
		t.Errorf("its vector is still in %v", left)
	}
	clean(t, db)
}

// TestExpiredIsNotEmbedded: a text whose time is over is shown to no model.
func TestExpiredIsNotEmbedded(t *testing.T) {
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, _, s := modelled(t, engram.Options{Clock: clk})
	m.answer(func(context.Context, []string) ([][]float32, error) { return nil, errors.New("down") })
	over := clk.Now().Add(3 * time.Second)
	remember(t, s, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "a try", func() bool { return m.called() == 1 })
	remember(t, s, memory.Episode{ID: "b", Text: "private", ExpiresAt: &over})
	clk.Advance(4 * time.Second)
	m.heal()
	eventually(t, "the vector of a", func() bool { clk.Advance(time.Second); return memoryOf(t, s, "a").Vector != nil })
	remember(t, s, memory.Episode{ID: "c", Text: "boat"})
	eventually(t, "the vector of c", hasVector(t, s, "c"))
	if n := m.sawText("private"); n != 0 {
		t.Errorf("it was shown %d times", n)
	}
}

// TestModelGone: a space whose model is no longer in the program is read and written as
// before, by words and by the vectors that it has; when the model is back it goes on.
func TestModelGone(t *testing.T) {
	fs := vfs.NewMem()
	m, db, s := modelled(t, engram.Options{FS: fs})
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "otter"})
	check(t, db.Close())
	m.missing.Store(true)
	db = openWith(t, fs, engram.Options{})
	s = mainSpace(t, db)
	if w := remember(t, s, memory.Episode{ID: "b", Text: "otter boat"}); len(w.Pending) > 0 {
		t.Errorf("pending %v, of whom?", w.Pending)
	}
	if got := recalled(t, s, memory.Cue{Text: "otter"}); len(got) != 2 {
		t.Errorf("by words: %v", got)
	}
	if got := recalled(t, s, memory.Cue{Vector: hashed([]string{"otter"})}); len(got) != 1 {
		t.Errorf("by a vector: %v", got)
	}
	check(t, db.Close())
	m.missing.Store(false)
	db = openWith(t, fs, engram.Options{})
	s = mainSpace(t, db)
	recalled(t, s, memory.Cue{Text: "otter"})
	eventually(t, "the vector of b", hasVector(t, s, "b"))
	clean(t, db)
}

// TestReadOnlyModel: a database that is only read embeds cues and makes no vectors.
func TestReadOnlyModel(t *testing.T) {
	fs := vfs.NewMem()
	m, db, s := modelled(t, engram.Options{FS: fs, AutoLinks: true})
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "otter", Stream: "x"})
	_, release := m.hang()
	remember(t, s, memory.Episode{ID: "b", Text: "boat", Stream: "x"})
	check(t, db.Close())
	release()
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) // stands: a recall waits for nothing
	db = openWith(t, fs, engram.Options{ReadOnly: true, AutoLinks: true, Clock: clk})
	s = mainSpace(t, db)
	if got := recalled(t, s, memory.Cue{Text: "lutra", Limit: 1}); len(got) != 1 || got[0] != "a" {
		t.Errorf("by meaning: %v", got)
	}
	if memoryOf(t, s, "b").Vector != nil {
		t.Error("it was written")
	}
}

// TestIdleWithWork: a space with vectors to make stays open until they are made.
func TestIdleWithWork(t *testing.T) {
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, db, s := modelled(t, engram.Options{Clock: clk, IdleClose: time.Minute})
	m.answer(func(context.Context, []string) ([][]float32, error) { return nil, errors.New("down") })
	remember(t, s, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "a try", func() bool { return m.called() > 0 })
	for range 20 {
		clk.Advance(time.Minute)
		<-time.After(time.Millisecond)
	}
	m.heal()
	eventually(t, "the vector, though nobody asks", func() bool { clk.Advance(time.Second); return hasVector(t, s, "a")() })
	eventually(t, "it closes", func() bool { clk.Advance(time.Minute); return db.Stats().OpenSpaces == 0 })
}

// quickModel is a fake model that writers wait for.
type quickModel struct{ *fakeModel }

const quickName = "fake-quick"

func init() {
	m := &quickModel{&fakeModel{name: quickName}}
	embed.Register(quickName, func() (embed.Model, error) { return m, nil })
}

func (m *quickModel) EmbedOne(text string) ([]float32, error) {
	vs, err := m.made([]string{text})
	var empty *embed.TextError
	if errors.As(err, &empty) {
		return nil, empty.Err
	}
	if err != nil {
		return nil, err
	}
	return vs[0], nil
}
