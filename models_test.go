package engram_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// tinyModel is the file of a transformer of chance, of 32 numbers.
func tinyModel(t testing.TB, title string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bert.Convert(&b, os.DirFS("embed/bert/testdata/tiny"), bert.Card{Name: title, Licence: "Apache-2.0"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func addTiny(t *testing.T, db *engram.DB, name string) engram.ModelInfo {
	t.Helper()
	i, _, err := db.AddModel(context.Background(), name, bytes.NewReader(tinyModel(t, "tiny")))
	check(t, err)
	return i
}

func modelFiles(t *testing.T, fs vfs.FS, dir string) (names []string) {
	t.Helper()
	names, err := fs.List(fs.PathJoin(dir, "models"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func modelledSpace(t *testing.T, db *engram.DB, name memory.SpaceName, model string) *engram.Space {
	t.Helper()
	_, _, err := db.CreateSpace(context.Background(), name, memory.Settings{Vector: memory.VectorSettings{Model: model}})
	check(t, err)
	s, err := db.Space(name)
	check(t, err)
	return s
}

// TestLocalModel: a model that is added makes a space's vectors, also after a restart,
// is listed with who uses it, and goes when nobody does.
func TestLocalModel(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mapped": vfs.Default, "read": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dir := t.TempDir()
			open := func() *engram.DB {
				db, err := engram.Open(ctx, dir, engram.Options{FS: fs})
				check(t, err)
				return db
			}
			db := open()
			i, added, err := db.AddModel(engram.AsActor(ctx, "ops"), "tiny-1", bytes.NewReader(tinyModel(t, "tiny")))
			check(t, err)
			if !added || i.Kind != engram.ModelLocal || i.Model.Dimension != 32 || i.Licence != "Apache-2.0" || i.AddedBy != "ops" || !strings.HasPrefix(i.Source, "sha256:") {
				t.Errorf("added %v: %+v", added, i)
			}
			s := modelledSpace(t, db, "notes", "tiny-1")
			rememberWaiting(t, s, memory.Episode{ID: "a", Text: "the cat sat"})
			made := memoryOf(t, s, "a")
			if want := fmt.Sprintf("tiny int8-1 sha256:%.16s", i.Model.Digest); made.Model != want || len(made.Vector) != 32 {
				t.Errorf("model %q, want %q; %d numbers", made.Model, want, len(made.Vector))
			}
			check(t, db.Close())
			db = open()
			defer func() { check(t, db.Close()) }()
			if s, err = db.Space("notes"); err != nil {
				t.Fatal(err)
			}
			rememberWaiting(t, s, memory.Episode{ID: "b", Text: "the dog ran"})
			mustCode(t, db.RemoveModel(ctx, "tiny-1"), "model_in_use")
			if err := db.RemoveModel(ctx, "tiny-1"); !strings.Contains(err.Error(), "notes") {
				t.Errorf("it does not name the space: %v", err)
			}
			if i, err = db.Model("tiny-1"); err != nil || len(i.Spaces) != 1 || i.Spaces[0] != "notes" || i.Work.Texts == 0 {
				t.Errorf("%+v %v", i, err)
			}
			clean(t, db)
			_, err = db.DropSpace(ctx, "notes")
			check(t, err)
			check(t, db.RemoveModel(ctx, "tiny-1"))
			if files := modelFiles(t, fs, dir); len(files) > 0 {
				t.Errorf("files stay: %v", files)
			}
			mustCode(t, db.RemoveModel(ctx, "tiny-1"), "model_not_found")
			_, err = db.EmbedTexts(ctx, "tiny-1", []string{"x"}, false)
			mustCode(t, err, "model_not_found")
		})
	}
}

// TestModelFileRefused: of a file that is not whole, or cannot be run, nothing stays.
func TestModelFileRefused(t *testing.T) {
	ctx := context.Background()
	whole := tinyModel(t, "tiny")
	flipped := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return b
	}
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{})
	broken := errors.New("the line is cut")
	for name, c := range map[string]struct {
		body io.Reader
		code string
	}{
		"empty":      {bytes.NewReader(nil), "model_file_invalid"},
		"garbage":    {strings.NewReader(strings.Repeat("not a model ", 100)), "model_file_invalid"},
		"html":       {strings.NewReader("<html>"), "model_file_invalid"},
		"cut short":  {bytes.NewReader(whole[:len(whole)-100]), "model_file_invalid"},
		"a header":   {bytes.NewReader(flipped(20)), "model_file_invalid"},
		"an array":   {bytes.NewReader(flipped(len(whole) - 9)), "model_file_invalid"},
		"vocabulary": {bytes.NewReader(bytes.Replace(whole, []byte("cat\n"), []byte("cat "), 1)), "model_file_invalid"},
		"long title": {bytes.NewReader(bytes.Replace(whole, []byte(`"bert-int8"`), []byte(`"bert-int9"`), 1)), "model_file_invalid"},
		"a network":  {io.MultiReader(bytes.NewReader(whole[:200]), iotest.ErrReader(broken)), ""},
	} {
		_, _, err := db.AddModel(ctx, "tiny-2", c.body)
		if c.code != "" {
			mustCode(t, err, c.code)
		} else if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if files := modelFiles(t, fs, "data"); len(files) > 0 {
			t.Errorf("%s leaves %v", name, files)
		}
		if _, err := db.Model("tiny-2"); codeOf(err) != "model_not_found" {
			t.Errorf("%s: it is there: %v", name, err)
		}
	}
	for _, name := range []string{"", "Upper", "a b", "../x", strings.Repeat("x", 65), ".x"} {
		_, _, err := db.AddModel(ctx, name, bytes.NewReader(whole))
		mustCode(t, err, "model_name_invalid")
	}
	_, _, err := db.AddModel(ctx, "none", bytes.NewReader(whole))
	mustCode(t, err, "model_exists")
	addTiny(t, db, "tiny-2")
	if _, added, err := db.AddModel(ctx, "tiny-2", bytes.NewReader(whole)); added || err != nil {
		t.Errorf("the same again: %v %v", added, err)
	}
	_, _, err = db.AddModel(ctx, "tiny-2", bytes.NewReader(tinyModel(t, "another")))
	mustCode(t, err, "model_exists")
	if files := modelFiles(t, fs, "data"); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}

// TestModelFileSweep: what a crash left between the file and its record is removed, and
// a file that two names share stays until both are gone.
func TestModelFileSweep(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{})
	addTiny(t, db, "tiny-a")
	addTiny(t, db, "tiny-b")
	check(t, db.RemoveModel(ctx, "tiny-a"))
	_, err := db.EmbedTexts(ctx, "tiny-b", []string{"the cat"}, false)
	check(t, err)
	check(t, db.Close())
	for _, name := range []string{"0123.engramt", "x.tmp"} {
		f, err := fs.Create(fs.PathJoin("data", "models", name), vfs.WriteCategoryUnspecified)
		check(t, err)
		check(t, f.Close())
	}
	db = openWith(t, fs, engram.Options{})
	if files := modelFiles(t, fs, "data"); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
	check(t, db.RemoveModel(ctx, "tiny-b"))
	if files := modelFiles(t, fs, "data"); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}

// TestModelFileDamaged: a model whose file is damaged or gone delays vectors, cues are
// recalled by their words and say so, and all is well when the file is back.
func TestModelFileDamaged(t *testing.T) {
	ctx := context.Background()
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	fs := vfs.NewMem()
	o := engram.Options{Clock: clk}
	db := openWith(t, fs, o)
	addTiny(t, db, "tiny-3")
	s := modelledSpace(t, db, "notes", "tiny-3")
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "the cat sat"})
	check(t, db.Close())
	path := fs.PathJoin("data", "models", modelFiles(t, fs, "data")[0])
	put := func(b []byte) {
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		check(t, err)
		_, err = f.Write(bytes.Clone(b)) // the disk in memory scrambles what it was given under the race detector
		check(t, errors.Join(err, f.Close()))
	}
	whole := tinyModel(t, "tiny")
	bad := bytes.Clone(whole)
	bad[len(bad)-9] ^= 1
	for name, body := range map[string][]byte{"header": whole[:100], "array": bad, "another": tinyModel(t, "another")} {
		put(body)
		db = openWith(t, fs, o)
		if s, _ = db.Space("notes"); s == nil {
			t.Fatal("no space")
		}
		id := memory.ID("b-" + name)
		remember(t, s, memory.Episode{ID: id, Text: "the dog ran"})
		r, err := s.Recall(ctx, memory.Cue{Text: "dog"})
		check(t, err)
		if len(r.Results) == 0 || !r.Partial || len(r.Without) != 1 || r.Without[0] != engram.WithoutVector {
			t.Errorf("%s: %d results, partial %v, without %v", name, len(r.Results), r.Partial, r.Without)
		}
		_, err = db.EmbedTexts(ctx, "tiny-3", []string{"x"}, false)
		mustCode(t, err, "model_damaged")
		put(whole)
		if name == "array" { // what is open stays as it was read
			check(t, db.Close())
			db = openWith(t, fs, o)
			s, _ = db.Space("notes")
			recalled(t, s, memory.Cue{Text: "dog"})
		}
		eventually(t, "the vector of "+string(id), func() bool {
			clk.Advance(time.Second)
			recalled(t, s, memory.Cue{Text: "dog"})
			return memoryOf(t, s, id).Vector != nil
		})
		if r, err = s.Recall(ctx, memory.Cue{Text: "dog"}); err != nil || r.Partial {
			t.Errorf("%s: partial %v, %v", name, r.Partial, err)
		}
		clean(t, db)
		check(t, db.Close())
	}
}

// TestTooManyModels: there is a bound.
func TestTooManyModels(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	remote := engram.RemoteModel{URL: "http://127.0.0.1:1/v1", Model: "m", Dimension: 8}
	for i := range engram.MaxModels {
		_, added, err := db.AddRemoteModel(ctx, fmt.Sprintf("m%d", i), remote)
		if check(t, err); !added {
			t.Fatal("not added")
		}
	}
	_, _, err := db.AddRemoteModel(ctx, "more", remote)
	mustCode(t, err, "too_many_models")
	if _, added, err := db.AddRemoteModel(ctx, "m0", remote); added || err != nil {
		t.Errorf("the same again: %v %v", added, err)
	}
	remote.Model = "other"
	_, _, err = db.AddRemoteModel(ctx, "m0", remote)
	mustCode(t, err, "model_exists")
	for field, wrong := range map[string]engram.RemoteModel{
		"url":       {URL: "ftp://x", Model: "m", Dimension: 8},
		"password":  {URL: "http://a:b@127.0.0.1/v1", Model: "m", Dimension: 8},
		"protocol":  {Protocol: "soap", URL: "http://127.0.0.1/v1", Model: "m", Dimension: 8},
		"model":     {URL: "http://127.0.0.1/v1", Dimension: 8},
		"two keys":  {URL: "http://127.0.0.1/v1", Model: "m", Dimension: 8, KeyFile: "a", KeyEnv: "b"},
		"unprinted": {URL: "http://127.0.0.1/v1", Model: "m\n", Dimension: 8},
		"timeout":   {URL: "http://127.0.0.1/v1", Model: "m", Dimension: 8, Timeout: time.Hour},
	} {
		if _, _, err := db.AddRemoteModel(ctx, "wrong", wrong); codeOf(err) != "model_invalid" {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, _, err = db.AddRemoteModel(ctx, "wrong", engram.RemoteModel{URL: "http://127.0.0.1/v1", Model: "m", Dimension: 1})
	mustCode(t, err, "dimension_out_of_range")
}

// provider is a server of vectors that does as it is told.
type provider struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int64
	key    atomic.Pointer[string] // that it saw last
}

func newProvider(t *testing.T) *provider {
	p := new(provider)
	p.behave(p.well)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		key := r.Header.Get("Authorization")
		p.key.Store(&key)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) behave(h http.HandlerFunc) { p.answer.Store(&h) }

// well answers with hashed words, as the fake models do.
func (p *provider) well(w http.ResponseWriter, r *http.Request) {
	var q struct{ Input []string }
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	type one struct {
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	var all []one
	for i, text := range q.Input {
		all = append(all, one{i, hashed(strings.Fields(strings.ToLower(text)))})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": all})
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangs never answers.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not look whether the client has gone
	<-r.Context().Done()
}

// remotely is a database with a space whose vectors a provider makes.
func remotely(t *testing.T) (*provider, *clock.Virtual, *engram.DB, *engram.Space) {
	t.Helper()
	p := newProvider(t)
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	db := openWith(t, vfs.NewMem(), engram.Options{Clock: clk})
	key := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(key, []byte("sesame\n"), 0o600))
	_, _, err := db.AddRemoteModel(context.Background(), "far", engram.RemoteModel{URL: p.URL + "/v1", Model: "hash", Dimension: fakeDimension, KeyFile: key})
	check(t, err)
	return p, clk, db, modelledSpace(t, db, "notes", "far")
}

// TestRemoteModel: a provider makes a space's vectors, and gets the key.
func TestRemoteModel(t *testing.T) {
	p, clk, db, s := remotely(t)
	remember(t, s, memory.Episode{ID: "a", Text: "the otter swims"})
	eventually(t, "the vector", func() bool { clk.Advance(100 * time.Millisecond); return memoryOf(t, s, "a").Vector != nil })
	if got := memoryOf(t, s, "a").Model; !strings.HasPrefix(got, "hash openai sha256:") {
		t.Errorf("model %q", got)
	}
	done := make(chan []memory.ID, 1)
	go func() { done <- recalled(t, s, memory.Cue{Text: "lutra", Mode: memory.ModeSimilar, Limit: 1}) }()
	var got []memory.ID
	eventually(t, "the recall", func() bool {
		clk.Advance(10 * time.Millisecond)
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	if len(got) != 1 || got[0] != "a" {
		t.Errorf("by meaning: %v", got)
	}
	if *p.key.Load() != "Bearer sesame" {
		t.Errorf("the key was %q", *p.key.Load())
	}
	for _, m := range db.ModelStats() {
		if m.Name == "far" && (m.Work.Texts == 0 || m.Work.Cues == 0 || m.Work.Failures != 0) {
			t.Errorf("%+v", m)
		}
	}
	clean(t, db)
}

// TestRemoteMisbehaves: whatever a provider does, writes are answered, no vector of it
// is kept, cues are recalled by their words and say so, the key is told to nobody,
// and the vectors come when the provider is well.
func TestRemoteMisbehaves(t *testing.T) {
	vector := func(n int, x string) string { return "[" + strings.TrimSuffix(strings.Repeat(x+",", n), ",") + "]" }
	data := func(v string) string { return `{"data":[{"index":0,"embedding":` + v + `}]}` }
	for name, h := range map[string]http.HandlerFunc{
		"dimension": says(200, data(vector(3, "1"))),
		"NaN":       says(200, data(vector(fakeDimension, "NaN"))),
		"infinite":  says(200, data(vector(fakeDimension, "1e999"))),
		"zero":      says(200, data(vector(fakeDimension, "0"))),
		"too few":   says(200, `{"data":[]}`),
		"HTML":      says(200, "<html>sesame</html>", "Content-Type", "text/html"),
		"hidden":    says(200, "<html>"),
		"down":      says(503, "sesame is down"),
		"refused":   says(401, "sesame is no key of ours"),
		"echo":      says(400, "cannot embed: the otter swims"),
		"redirect":  says(302, "", "Location", "http://127.0.0.1:1/"),
		"busy":      says(429, "", "Retry-After", "7"),
		"hangs":     hangs,
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"data":`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, clk, db, s := remotely(t)
			p.behave(h)
			// The clock stands: a write that waited for the provider would hang.
			remember(t, s, memory.Episode{ID: "a", Text: "the otter swims"})
			b, err := s.RememberBatch(soon(t), []memory.Episode{{ID: "b", Text: "the otter eats"}}, false, engram.WriteOptions{})
			check(t, err)
			if len(b.Items[0].Pending) != 1 {
				t.Errorf("pending %v", b.Items[0].Pending)
			}
			eventually(t, "a failure", func() bool {
				clk.Advance(time.Second)
				i, err := db.Model("far")
				return err == nil && i.Work.Failures > 0
			})
			var r engram.Recollection
			done := make(chan error, 1)
			go func() {
				var err error
				r, err = s.Recall(soon(t), memory.Cue{Text: "otter"})
				done <- err
			}()
			eventually(t, "the recall", func() bool {
				clk.Advance(100 * time.Millisecond)
				select {
				case err := <-done:
					check(t, err)
					return true
				default:
					return false
				}
			})
			if len(r.Results) != 2 || !r.Partial || len(r.Without) != 1 {
				t.Errorf("%d results, partial %v, without %v", len(r.Results), r.Partial, r.Without)
			}
			if memoryOf(t, s, "a").Vector != nil {
				t.Error("a vector was kept")
			}
			i, err := db.Model("far")
			check(t, err)
			if i.Work.LastError == nil || strings.Contains(i.Work.LastError.Error(), "sesame") || strings.Contains(i.Work.LastError.Error(), "otter") {
				t.Errorf("last error: %v", i.Work.LastError)
			}
			p.behave(p.well)
			eventually(t, "the vectors", func() bool {
				clk.Advance(time.Second)
				return memoryOf(t, s, "a").Vector != nil && memoryOf(t, s, "b").Vector != nil
			})
			clean(t, db)
		})
	}
}

// TestRemoteHoldsUpNobody: a provider that hangs keeps no space of another model
// waiting, and rests after some failures in a row.
func TestRemoteHoldsUpNobody(t *testing.T) {
	p, clk, db, s := remotely(t)
	p.behave(hangs)
	remember(t, s, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "it is asked", func() bool { clk.Advance(10 * time.Millisecond); return p.asked.Load() > 0 })
	other := newFake()
	o := modelledSpace(t, db, "other", other.name)
	remember(t, o, memory.Episode{ID: "a", Text: "otter"})
	eventually(t, "the other space's vector", hasVector(t, o, "a")) // while the clock stands
	p.behave(says(500, ""))
	eventually(t, "it rests", func() bool {
		clk.Advance(100 * time.Millisecond)
		i, err := db.Model("far")
		return err == nil && i.Work.RestingUntil.After(clk.Now())
	})
}

// TestQuickModel: the vector of a quick model lies in the commit of the memory.
func TestQuickModel(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := engram.Options{DefaultModel: quickName}
	db := openWith(t, fs, o)
	s := mainSpace(t, db)
	for _, e := range []memory.Episode{{ID: "a", Text: "the otter swims"}, {ID: "b", Title: "Boat", Text: "blue"}} {
		if w := remember(t, s, e); len(w.Pending) > 0 || w.LSN == 0 {
			t.Errorf("%s: pending %v", e.ID, w.Pending)
		}
	}
	b, err := s.RememberBatch(ctx, []memory.Episode{{ID: "c", Text: "a boat"}, {ID: "d", Text: "..."}, {ID: "e", Text: "mine", Vector: hashed([]string{"mine"})}}, false, engram.WriteOptions{})
	check(t, err)
	for _, it := range b.Items {
		if len(it.Pending) > 0 {
			t.Errorf("%s: pending %v", it.ID, it.Pending)
		}
	}
	lsn, err := s.LSN()
	check(t, err)
	if lsn != 5 {
		t.Errorf("%d records for 5 memories", lsn)
	}
	want := quickName + " 7 sha256:abababababababab"
	for _, c := range []struct {
		id    memory.ID
		model string
	}{{"a", want}, {"b", want}, {"c", want}, {"d", ""}, {"e", quickName}} {
		if m := memoryOf(t, s, c.id); m.Model != c.model || (m.Vector != nil) != (c.model != "") {
			t.Errorf("%s: model %q, %d numbers", c.id, m.Model, len(m.Vector))
		}
	}
	cue := memory.Cue{Text: "lutra", Mode: memory.ModeSimilar, Limit: 1}
	if got := recalled(t, s, cue); len(got) != 1 || got[0] != "a" {
		t.Errorf("by meaning: %v", got)
	}
	// The vector is no part of what was said: the same again is kept, a title changes it, a tag does not.
	if w := remember(t, s, memory.Episode{ID: "a", Text: "the otter swims"}); w.Outcome != engram.Kept {
		t.Errorf("the same again is %s", w.Outcome)
	}
	before := memoryOf(t, s, "a").Vector
	update := func(change func(e *memory.Episode) error) memory.Memory {
		w, err := s.Update(ctx, "a", change, engram.WriteOptions{})
		if check(t, err); len(w.Pending) > 0 {
			t.Errorf("pending %v", w.Pending)
		}
		return memoryOf(t, s, "a")
	}
	if m := update(func(e *memory.Episode) error { e.Tags = []string{"x"}; return nil }); fmt.Sprint(m.Vector) != fmt.Sprint(before) || m.Model != want {
		t.Errorf("a tag changed the vector: %q", m.Model)
	}
	if m := update(func(e *memory.Episode) error { e.Text = "the badger digs"; return nil }); fmt.Sprint(m.Vector) == fmt.Sprint(before) || m.Model != want {
		t.Errorf("another text has the same vector: %q", m.Model)
	}
	if got := recalled(t, s, cue); len(got) == 1 && got[0] == "a" {
		t.Error("the old vector is still searched")
	}
	clean(t, db)
	check(t, db.Close())
	db = openWith(t, fs, o)
	s = mainSpace(t, db)
	if got := recalled(t, s, memory.Cue{Text: "badger", Mode: memory.ModeSimilar, Limit: 1}); len(got) != 1 || got[0] != "a" {
		t.Errorf("after a restart: %v", got)
	}
	clean(t, db)
}
