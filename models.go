package engram

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/remote"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// A model makes the vectors of texts. Some are part of the program (package
// embed); others are added to a database: local ones, whose weights lie in a file
// of the data directory (modelfile.go), and remote ones, which a server runs. What
// is known of those is a setting of space 0, as keys are, so that it is in the
// journal and in every copy; a remote model's key is not: it stays in a file or an
// environment variable, and the record says which.

// ModelKind says where a model is.
type ModelKind string

// The kinds of model.
const (
	ModelBuiltIn ModelKind = "built_in" // in the program
	ModelLocal   ModelKind = "local"    // in a file of the data directory
	ModelRemote  ModelKind = "remote"   // on a server
)

// ModelInfo is what is known of a model.
type ModelInfo struct {
	Name    string // what a space's settings say
	Kind    ModelKind
	Model   embed.Info // title, version, digest, dimension
	Source  string     // digest of the weights that it was converted from, or the server's address
	Licence string
	Bytes   int64 // of its file; 0 when it has none of its own

	Added   time.Time
	AddedBy string             // see AsActor
	Spaces  []memory.SpaceName // whose settings name it
	Remote  *RemoteModel       // of a remote one
	Work    ModelWork
	Err     error // why it cannot be used now; nil when it can
}

// RemoteModel says how a server is asked for vectors. Zeros mean the defaults of
// package embed/remote.
type RemoteModel struct {
	Protocol   string        `cbor:"1,keyasint"` // openai (default), ollama, cohere
	URL        string        `cbor:"2,keyasint"`
	Model      string        `cbor:"3,keyasint"` // as the server calls it
	Dimension  int           `cbor:"4,keyasint"`
	MaxTokens  int           `cbor:"5,keyasint,omitempty"`
	TextPrefix string        `cbor:"6,keyasint,omitempty"`
	CuePrefix  string        `cbor:"7,keyasint,omitempty"`
	KeyFile    string        `cbor:"8,keyasint,omitempty"` // that holds the key; read at each call
	KeyEnv     string        `cbor:"9,keyasint,omitempty"` // variable that holds the key
	Batch      int           `cbor:"10,keyasint,omitempty"`
	Timeout    time.Duration `cbor:"11,keyasint,omitempty"` // of each try
	PerSecond  float64       `cbor:"12,keyasint,omitempty"`
}

// Bounds of models.
const (
	// MaxModels bounds how many may be added: each can be a label of metrics.
	MaxModels = 64
	// MaxModelBytes bounds a model's file: that of a transformer of 340 million
	// parameters has 350 MB.
	MaxModelBytes = 1 << 30
	maxModelWords = 1 << 10 // of each text in the description of a remote model
)

// modelRecord is what the database keeps of a model that was added.
type modelRecord struct {
	Kind      ModelKind    `cbor:"1,keyasint"`
	Title     string       `cbor:"2,keyasint"`
	Version   string       `cbor:"3,keyasint"`
	Digest    string       `cbor:"4,keyasint"`
	Dimension int          `cbor:"5,keyasint"`
	MaxTokens int          `cbor:"6,keyasint,omitempty"`
	Source    string       `cbor:"7,keyasint,omitempty"`
	Licence   string       `cbor:"8,keyasint,omitempty"`
	Bytes     int64        `cbor:"9,keyasint,omitempty"`
	Added     time.Time    `cbor:"10,keyasint"`
	AddedBy   string       `cbor:"11,keyasint"`
	Remote    *RemoteModel `cbor:"12,keyasint,omitempty"`
}

func (r *modelRecord) info() embed.Info {
	return embed.Info{Name: r.Title, Version: r.Version, Digest: r.Digest, Dimension: r.Dimension, MaxTokens: r.MaxTokens}
}

func recordOf(kind ModelKind, i embed.Info) *modelRecord {
	return &modelRecord{Kind: kind, Title: i.Name, Version: i.Version, Digest: i.Digest, Dimension: i.Dimension, MaxTokens: i.MaxTokens}
}

// modelSetting is the prefix of the settings of space 0 that models are kept as.
const modelSetting = "model/"

// models are the models of a database.
type models struct {
	// changing is held by whoever adds or removes a model, before any other lock:
	// its file and its record come and go together.
	changing sync.Mutex

	sync.Mutex // guards what follows
	added      map[string]*modelRecord
	open       map[string]*openModel // of all kinds, each once
}

// openModel is a model that is open, or could not be opened a moment ago.
type openModel struct {
	embed.Model
	name  string
	work  *modelWork
	err   error
	until time.Time // of err: when opening is tried again
}

// beside says whether the model runs elsewhere, so that who waits for it keeps no
// core busy, and no other model waiting.
func (m *openModel) beside() bool { return m.resting() != nil }

// resting is what a remote model knows of its server; nil for others.
func (m *openModel) resting() interface{ RestingUntil() time.Time } {
	r, _ := m.Model.(interface{ RestingUntil() time.Time })
	return r
}

// load reads the models that were added, at Open. One whose record cannot be read
// stops nothing: its spaces get no vectors, and the log says so.
func (ms *models) load(db *DB, v *store.View) error {
	return v.Settings(0, modelSetting, func(name string, value []byte) bool {
		if err := ms.put(name, value); err != nil {
			db.opts.Logger.Error("a model cannot be read", "model", strings.TrimPrefix(name, modelSetting), "error", err)
		}
		return true
	})
}

// put takes up a value of the settings; an empty one takes the model out.
func (ms *models) put(name string, value []byte) error {
	name = strings.TrimPrefix(name, modelSetting)
	ms.Lock()
	defer ms.Unlock()
	if ms.added == nil {
		ms.added = map[string]*modelRecord{}
	}
	delete(ms.added, name)
	delete(ms.open, name)
	if len(value) == 0 {
		return nil
	}
	r := new(modelRecord)
	if err := store.Decode(value, r); err != nil {
		return err
	}
	ms.added[name] = r
	return nil
}

// followModel takes up a record of space 0. Spaces that name the model open anew,
// to get their vectors from it.
func (db *DB) followModel(s *store.Setting) {
	name, ok := strings.CutPrefix(s.Name, modelSetting)
	if !ok {
		return
	}
	if err := db.models.put(s.Name, s.Value); err != nil {
		db.opts.Logger.Error("a model cannot be read", "model", name, "error", err)
	}
	db.reopenUsers(name)
}

// reopenUsers lets the spaces that name a model open anew.
func (db *DB) reopenUsers(name string) {
	db.spaces.RLock()
	var named []*Space
	for _, sp := range db.spaces.byID {
		if st := sp.state.Load(); st.Settings.Vector.Model == name || st.Next != nil && st.Next.Model == name {
			named = append(named, sp)
		}
	}
	db.spaces.RUnlock()
	for _, sp := range named {
		db.towers.discard(sp.id)
		sp.openSoon()
	}
}

// model opens a model by its name, or gives the one that is open. A model that
// cannot be opened is tried again after embedRetry.
func (db *DB) model(name string) (*openModel, error) {
	ms := &db.models
	ms.Lock()
	defer ms.Unlock()
	if m := ms.open[name]; m != nil && (m.err == nil || db.opts.Clock.Now().Before(m.until)) {
		return m, m.err
	}
	added := ms.added[name]
	m, err := db.openModel(name, added)
	if err != nil && added == nil {
		return nil, err // nobody knows it; the names of such are not ours to keep
	}
	open := &openModel{Model: m, name: name, work: new(modelWork), err: err}
	if old := ms.open[name]; old != nil {
		open.work = old.work
		if old.err != nil && err == nil { // beside: whoever opens a tower may hold the towers
			db.run.startUnlessClosing("model is back", func() { db.reopenUsers(name) })
		}
	}
	if err != nil {
		open.until = db.opts.Clock.Now().Add(embedRetry)
		open.work.failed(db.Now(), err)
		db.opts.Logger.Error("a model cannot be opened", "model", name, "error", err)
	}
	if ms.open == nil {
		ms.open = make(map[string]*openModel)
	}
	ms.open[name] = open
	return open, err
}

// openModel opens what was added under a name, else what the program has.
func (db *DB) openModel(name string, r *modelRecord) (embed.Model, error) {
	switch {
	case r == nil:
		return embed.Open(name)
	case r.Kind == ModelRemote && r.Remote != nil:
		return db.openRemote(r.Remote)
	}
	return db.openModelFile(r.Digest)
}

// openRemote makes the client of a remote model. Nothing is sent yet.
func (db *DB) openRemote(r *RemoteModel) (embed.Model, error) {
	return remote.Open(remote.Options{
		Protocol: remote.Protocol(r.Protocol), Address: r.URL, Model: r.Model, Dimension: r.Dimension, MaxTokens: r.MaxTokens,
		TextPrefix: r.TextPrefix, CuePrefix: r.CuePrefix, KeyFile: r.KeyFile, KeyVariable: r.KeyEnv,
		BatchTexts: r.Batch, Timeout: r.Timeout, PerSecond: r.PerSecond,
		Now: db.Now, Sleep: db.sleep,
	})
}

// sleep waits by the database's clock, until ctx or the database ends.
func (db *DB) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-db.opts.Clock.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-db.run.stop:
		return store.ErrClosed
	}
}

// modelOf gives the model that makes a space's vectors; nil when the caller does,
// or none are kept. The error is that of a model that was added and cannot be
// opened: then vectors wait.
func (db *DB) modelOf(s memory.Settings) (*openModel, error) {
	if s.Vector.Dimension == 0 || s.Vector.Model == "" {
		return nil, nil
	}
	m, err := db.model(s.Vector.Model)
	if m == nil {
		return nil, nil // the name is the caller's own word for what made the vectors
	}
	if err != nil {
		return nil, err
	}
	if m.Info().Dimension != s.Vector.Dimension {
		return nil, nil // likewise
	}
	return m, nil
}

// withModel fills in what a model says about a space's vectors, and the default
// model where the settings say nothing about vectors.
func (db *DB) withModel(s *memory.Settings) error {
	v := &s.Vector
	standard := *v == (memory.VectorSettings{})
	if standard {
		v.Model = db.opts.DefaultModel
	}
	if v.Model == ModelNone || v.Model == "" {
		v.Model = ""
		return nil
	}
	m, err := db.model(v.Model)
	if errors.Is(err, embed.ErrUnknown) && standard {
		return modelNotFound(v.Model)
	}
	if errors.Is(err, embed.ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open model %q: %w", v.Model, err)
	}
	d := m.Info().Dimension
	if v.Dimension == 0 {
		v.Dimension = d
	}
	if v.Dimension != d {
		return memory.Invalid("model_dimension_mismatch", "settings.vector.dimension", "settings.vector.dimension is %d; model %q makes vectors of %d", v.Dimension, v.Model, d).
			Hinted("leave the dimension out, or use a name for the model that is your own")
	}
	return nil
}

// stands refuses a space that names a model which has been removed since withModel.
func (ms *models) stands(tx *store.Tx, name string) error {
	ms.Lock()
	added := ms.added[name] != nil
	ms.Unlock()
	if !added {
		return nil
	}
	b, err := tx.Setting(modelSetting + name)
	if err == nil && b == nil {
		err = modelNotFound(name)
	}
	return err
}

func modelNotFound(name string) error {
	return memory.NotFound("model_not_found", "there is no model %.80q", name).Hinted("engram model list shows those that there are")
}

// AddRemoteModel makes a model on a server known under a name. The server is not
// asked: whether it answers, the first text tells, and EmbedTexts. added is false
// when it stands the same. Errors: model_exists (conflict) when the name is that of
// another, model_invalid, too_many_models.
func (db *DB) AddRemoteModel(ctx context.Context, name string, m RemoteModel) (info ModelInfo, added bool, err error) {
	const op = "add_model"
	if err := memory.CheckModelName("name", name); err != nil {
		return info, false, memory.InOp(op, err)
	}
	if m.Protocol == "" {
		m.Protocol = string(remote.OpenAI)
	}
	if err := m.check(); err != nil {
		return info, false, memory.InOp(op, err)
	}
	client, err := db.openRemote(&m)
	if err != nil {
		return info, false, memory.InOp(op, memory.Invalid("model_invalid", "remote", "remote: %v", err))
	}
	db.models.changing.Lock()
	defer db.models.changing.Unlock()
	r := recordOf(ModelRemote, client.Info())
	r.Source, r.Remote = m.URL, &m
	return db.addModel(ctx, op, name, r)
}

// check says what the client of a server would not.
func (m *RemoteModel) check() error {
	for _, s := range []struct{ field, text string }{
		{"url", m.URL}, {"model", m.Model}, {"text_prefix", m.TextPrefix}, {"cue_prefix", m.CuePrefix}, {"key_file", m.KeyFile}, {"key_env", m.KeyEnv},
	} {
		if len(s.text) > maxModelWords || strings.IndexFunc(s.text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			return memory.Invalid("model_invalid", "remote."+s.field, "remote.%s has more than %d bytes, or a character that does not print", s.field, maxModelWords)
		}
	}
	if m.Dimension < memory.MinDimension || m.Dimension > memory.MaxDimension {
		return memory.Invalid("dimension_out_of_range", "remote.dimension", "remote.dimension is %d; it lies between %d and %d", m.Dimension, memory.MinDimension, memory.MaxDimension)
	}
	if m.Timeout < 0 || m.Timeout > embedTimeout {
		return memory.Invalid("model_invalid", "remote.timeout", "remote.timeout is %v; it lies between 0 and %v", m.Timeout, embedTimeout)
	}
	return nil
}

// addModel commits the record of a model. The caller holds changing.
func (db *DB) addModel(ctx context.Context, op, name string, r *modelRecord) (info ModelInfo, added bool, err error) {
	if slices.Contains(embed.Names(), name) || name == ModelNone {
		return info, false, memory.InOp(op, memory.Errorf(memory.KindConflict, "model_exists", "%q is the name of a model in the program", name).Hinted("give it another name"))
	}
	_, err = db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		old, err := tx.Setting(modelSetting + name)
		if err != nil {
			return err
		}
		if old != nil {
			return sameModel(name, old, r)
		}
		if err := db.roomForModel(); err != nil {
			return err
		}
		added, r.Added, r.AddedBy = true, tx.Now(), actorOf(ctx)
		if err := tx.PutSetting(modelSetting+name, store.Encode(r)); err != nil {
			return err
		}
		return (&Act{Who: r.AddedBy, What: ActModelAdded, Target: name, Note: r.Title}).put(tx)
	}})
	if err != nil {
		return info, false, memory.InOp(op, err)
	}
	info, err = db.Model(name)
	return info, added, err
}

// sameModel says whether what stands is what is to be added.
func sameModel(name string, old []byte, r *modelRecord) error {
	var o modelRecord
	if err := store.Decode(old, &o); err == nil && o.Kind == r.Kind && o.Digest == r.Digest && sameRemote(o.Remote, r.Remote) {
		return nil
	}
	return memory.Errorf(memory.KindConflict, "model_exists", "there is another model %q", name).
		Hinted("give it another name, and move spaces to it with engram space reembed; or remove the one that stands")
}

func sameRemote(a, b *RemoteModel) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (db *DB) roomForModel() error {
	db.models.Lock()
	defer db.models.Unlock()
	if len(db.models.added) >= MaxModels {
		return memory.Errorf(memory.KindConflict, "too_many_models", "there are %d models beside those in the program, which is the most", MaxModels).
			Hinted("remove one that no space uses")
	}
	return nil
}

// RemoveModel takes a model out, and its file. Errors: model_not_found;
// model_built_in (conflict); model_in_use (conflict), which names the spaces that
// use it.
func (db *DB) RemoveModel(ctx context.Context, name string) error {
	const op = "delete_model"
	db.models.changing.Lock()
	defer db.models.changing.Unlock()
	var gone *modelRecord
	_, err := db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		b, err := tx.Setting(modelSetting + name)
		if err != nil {
			return err
		}
		if b == nil {
			if slices.Contains(embed.Names(), name) {
				return memory.Errorf(memory.KindConflict, "model_built_in", "%q is a model in the program", name)
			}
			return modelNotFound(name)
		}
		if err := notUsed(tx, name); err != nil {
			return err
		}
		gone = new(modelRecord)
		_ = store.Decode(b, gone) // one that cannot be read can still be removed
		if err := tx.PutSetting(modelSetting+name, nil); err != nil {
			return err
		}
		return (&Act{Who: actorOf(ctx), What: ActModelRemoved, Target: name, Note: gone.Title}).put(tx)
	}})
	if err == nil && gone.Kind == ModelLocal {
		db.sweepModelFiles()
	}
	return memory.InOp(op, err)
}

// notUsed refuses when a space's settings name a model.
func notUsed(tx *store.Tx, name string) error {
	var names []string
	err := tx.Spaces(func(st *store.SpaceState) bool {
		if st.Settings.Vector.Model == name || st.Next != nil && st.Next.Model == name {
			names = append(names, string(st.Name))
		}
		return true
	})
	if err != nil || len(names) == 0 {
		return err
	}
	shown := names[:min(len(names), 10)]
	return memory.Errorf(memory.KindConflict, "model_in_use", "model %q makes the vectors of %d spaces: %s", name, len(names), strings.Join(shown, ", ")).
		Hinted("move them to another with engram space reembed, or drop them").With("spaces", names)
}

// Model says what is known of a model; model_not_found.
func (db *DB) Model(name string) (ModelInfo, error) {
	all, err := db.Models()
	if err != nil {
		return ModelInfo{}, err
	}
	for i := range all {
		if all[i].Name == name {
			return all[i], nil
		}
	}
	return ModelInfo{}, memory.InOp("get_model", modelNotFound(name))
}

// Models lists all models by name, those in the program too. It opens none that
// was added: whether one can be used is known once it has been.
func (db *DB) Models() ([]ModelInfo, error) {
	if err := db.Ready(); err != nil {
		return nil, memory.InOp("list_models", err)
	}
	users := db.modelUsers()
	var all []ModelInfo
	for _, name := range embed.Names() {
		i := ModelInfo{Name: name, Kind: ModelBuiltIn, Spaces: users[name]}
		m, err := db.model(name)
		if i.Err = err; err == nil {
			i.Model, i.Work = m.Info(), m.work.read()
		}
		all = append(all, i)
	}
	db.models.Lock()
	defer db.models.Unlock()
	for _, name := range slices.Sorted(maps.Keys(db.models.added)) {
		r := db.models.added[name]
		i := ModelInfo{Name: name, Kind: r.Kind, Model: r.info(), Source: r.Source, Licence: r.Licence, Bytes: r.Bytes,
			Added: r.Added.UTC(), AddedBy: r.AddedBy, Spaces: users[name], Remote: r.Remote}
		if m := db.models.open[name]; m != nil {
			i.Err, i.Work = m.err, m.work.read()
			if rest := m.resting(); rest != nil {
				i.Work.RestingUntil = rest.RestingUntil()
			}
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b ModelInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// modelUsers gives the spaces that name each model, by name.
func (db *DB) modelUsers() map[string][]memory.SpaceName {
	users := map[string][]memory.SpaceName{}
	db.spaces.RLock()
	defer db.spaces.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(db.spaces.byName)) {
		st := db.spaces.byName[name].state.Load()
		if m := st.Settings.Vector.Model; m != "" {
			users[m] = append(users[m], name)
		}
		if st.Next != nil && st.Next.Model != st.Settings.Vector.Model {
			users[st.Next.Model] = append(users[st.Next.Model], name)
		}
	}
	return users
}

// EmbedTexts gives a model's vectors of texts, or of cues; one that has nothing to
// embed has none. Errors: model_not_found, batch_empty, batch_too_large;
// model_failed (unavailable), which says what the model did.
func (db *DB) EmbedTexts(ctx context.Context, name string, texts []string, cues bool) ([][]float32, error) {
	const op = "embed_texts"
	if err := checkBatch("texts", len(texts)); err != nil {
		return nil, memory.InOp(op, err)
	}
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	if size > memory.MaxBatchBytes {
		return nil, memory.InOp(op, memory.Errorf(memory.KindTooLarge, "batch_too_large", "the texts have %d bytes; at most %d fit one call", size, memory.MaxBatchBytes))
	}
	m, err := db.model(name)
	if m == nil || err != nil && errors.Is(err, embed.ErrUnknown) {
		return nil, memory.InOp(op, modelNotFound(name))
	}
	if err == nil {
		var vectors [][]float32
		if vectors, err = db.embedSome(ctx, m, texts, cues); err == nil {
			return vectors, nil
		}
	}
	if ctx.Err() != nil {
		return nil, memory.InOp(op, contextError(ctx, "the model did not answer in time"))
	}
	return nil, memory.InOp(op, modelFailed(name, err))
}

// modelFailed says what a model that was asked for vectors did instead.
func modelFailed(name string, err error) error {
	if errors.Is(err, embed.ErrDamaged) {
		return modelDamaged(name, err)
	}
	e := memory.Errorf(memory.KindUnavailable, "model_failed", "model %q gives no vectors: %v", name, err)
	e.Cause = err
	return e
}

func modelDamaged(name string, err error) error {
	e := memory.Errorf(memory.KindCorrupt, "model_damaged", "the file of model %q is damaged: %v", name, err)
	e.Cause = err
	return e.Hinted("put the file back from a copy, or remove the model and add it again; the vectors that it made are not touched")
}
