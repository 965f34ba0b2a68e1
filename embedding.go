package engram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// A space whose settings name a model that this program has gets a vector for
// every text that comes without one. Vectors follow like an index: the open
// tower knows which living slots lack one, a goroutine of the database makes
// them a few at a time, and each becomes a record of its own (store.VectorPut).
// So Remember waits for no model, what a crash left without a vector is found
// when the space opens, and a model that fails delays vectors and never writes.

// ModelNone in a space's settings asks for no vectors where there would be a
// default model.
const ModelNone = "none"

// embedStep is how many texts are embedded before their vectors are committed.
const embedStep = 16

// embedRetry is how long a model that failed is left alone.
const embedRetry = 5 * time.Second

// vectorWait is how long a batch waits for the vectors of its texts: a writer of
// many is slowed to about the model's speed for that long, so that what it asks
// next finds most of them.
const vectorWait = 3 * time.Second

// models are the models that are open, each once.
type models struct {
	sync.Mutex
	open map[string]embed.Model
}

// model opens a model by its name, or gives the one that is open.
func (db *DB) model(name string) (embed.Model, error) {
	db.models.Lock()
	defer db.models.Unlock()
	if m := db.models.open[name]; m != nil {
		return m, nil
	}
	m, err := embed.Open(name)
	if err == nil {
		if db.models.open == nil {
			db.models.open = make(map[string]embed.Model)
		}
		db.models.open[name] = m
	}
	return m, err
}

// modelOf gives the model that makes a space's vectors; nil when the caller does,
// or none are kept.
func (db *DB) modelOf(s memory.Settings) embed.Model {
	if s.Vector.Dimension == 0 || s.Vector.Model == "" {
		return nil
	}
	m, err := db.model(s.Vector.Model)
	if err != nil || m.Info().Dimension != s.Vector.Dimension {
		return nil // the name is the caller's own word for what made the vectors
	}
	return m
}

// withModel fills in what a model says about a space's vectors, and the default
// model where the settings say nothing about vectors.
func (db *DB) withModel(s *memory.Settings) error {
	v := &s.Vector
	if *v == (memory.VectorSettings{}) {
		v.Model = db.opts.DefaultModel
	}
	if v.Model == ModelNone || v.Model == "" {
		v.Model = ""
		return nil
	}
	m, err := db.model(v.Model)
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

// provenance is what a node keeps of the model that made its vector.
func provenance(i embed.Info) string {
	return fmt.Sprintf("%s %s sha256:%.16s", i.Name, i.Version, i.Digest)
}

// embedded is the text that a model sees of a memory.
func embedded(e *memory.Episode) string {
	body := searched(e)
	if e.Title == "" {
		return body
	}
	return e.Title + ". " + body
}

// embeddable says whether a memory has words for a model.
func embeddable(e *memory.Episode) bool { return e.Text != "" || e.Title != "" || e.Fact != nil }

// pendingVectors is how many living memories lack a vector.
func (t *tower) pendingVectors() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.missing)
}

// embedAll makes vectors while there are texts without one.
func (db *DB) embedAll() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db.run.start("embed stop", func() { <-db.run.stop; cancel() })
	for {
		select {
		case <-db.towers.texts:
		case <-db.run.stop:
			return
		}
		for _, t := range db.towers.open() {
			if err := db.embedTower(ctx, t); err != nil && ctx.Err() == nil {
				db.opts.Logger.Warn("vectors are delayed", "space", t.space.name, "error", err)
				db.embedLater()
			}
		}
	}
}

// embedLater looks again after a while.
func (db *DB) embedLater() {
	db.run.start("embed later", func() {
		select {
		case <-db.opts.Clock.After(embedRetry):
			wake(db.towers.texts)
		case <-db.run.stop:
		}
	})
}

// embedTower makes one space's missing vectors.
func (db *DB) embedTower(ctx context.Context, t *tower) error {
	select {
	case <-t.opened:
	default:
		return nil // it says so when it has opened
	}
	for t.err == nil && t.model != nil && ctx.Err() == nil && !t.space.dropped.Load() {
		slots := t.takeMissing(embedStep)
		if len(slots) == 0 {
			return nil
		}
		if err := t.embedSlots(ctx, slots); err != nil {
			t.mu.Lock()
			t.missing = append(slots, t.missing...)
			t.mu.Unlock()
			return err
		}
	}
	return ctx.Err()
}

func (t *tower) takeMissing(n int) []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.missing))
	slots := slices.Clone(t.missing[:n])
	t.missing = t.missing[n:]
	if len(t.missing) == 0 {
		t.missing = nil
	}
	return slots
}

// wanting is one version whose vector is to be made.
type wanting struct {
	node *store.Node
	text string
}

// embedSlots makes the vectors of slots and commits them. What was ended or
// changed in the meantime is left out.
func (t *tower) embedSlots(ctx context.Context, slots []uint32) error {
	texts, err := t.textsOf(slots)
	if err != nil || len(texts) == 0 {
		return err
	}
	vectors, err := embedTexts(ctx, t.model, texts)
	if err != nil {
		return err
	}
	s := t.space
	model := provenance(t.model.Info())
	_, err = s.db.shard.Commit(ctx, &store.Write{Space: s.id, Decide: func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		for i, x := range texts {
			n, err := tx.NodeIfLives(x.node.Ordinal)
			if err != nil {
				return err
			}
			if vectors[i] == nil || n == nil || n.Version != x.node.Version || n.Vector != 0 {
				continue
			}
			if err := tx.PutVector(n, store.EncodeVector(vectors[i]), model, vectors[i]); err != nil {
				return err
			}
		}
		return nil
	}})
	return err
}

// textsOf reads what is to be embedded.
func (t *tower) textsOf(slots []uint32) ([]wanting, error) {
	t.mu.RLock()
	var ordinals []memory.Ordinal
	for _, slot := range slots {
		if row, ok := t.facets.At(slot); ok && row.Died == 0 {
			ordinals = append(ordinals, row.Ordinal)
		}
	}
	t.mu.RUnlock()
	v, err := t.space.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var texts []wanting
	for _, o := range ordinals {
		n, err := v.Node(t.space.id, o)
		if err != nil {
			return nil, err
		}
		if n == nil || n.Vector != 0 {
			continue
		}
		head, found, err := v.Head(t.space.id, o, n.Version)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		e, err := store.DecodeEpisode(head)
		if err != nil {
			return nil, damaged(t.space, n, err)
		}
		if embeddable(&e) {
			texts = append(texts, wanting{n, embedded(&e)})
		}
	}
	return texts, nil
}

// embedTexts embeds texts; one that has nothing to embed gets no vector.
func embedTexts(ctx context.Context, m embed.Model, texts []wanting) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	at := make([]int, len(texts))
	words := make([]string, len(texts))
	for i, x := range texts {
		at[i], words[i] = i, x.text
	}
	for len(words) > 0 {
		made, err := m.Embed(ctx, words)
		var bad *embed.TextError
		if errors.As(err, &bad) && bad.Index < len(words) {
			at, words = slices.Delete(at, bad.Index, bad.Index+1), slices.Delete(words, bad.Index, bad.Index+1)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		for i, v := range made {
			vectors[at[i]] = v
		}
		return vectors, nil
	}
	return vectors, nil
}

// cueVector embeds the words of a cue that brings no vector. A model that fails
// leaves the cue with its words.
func (s *Space) cueVector(ctx context.Context, c *memory.Cue) {
	if c.Text == "" || len(c.Vector) > 0 || c.Stages.NoVector || c.Mode == memory.ModeRecent {
		return
	}
	m := s.db.modelOf(s.Settings())
	if m == nil {
		return
	}
	vs, err := m.Embed(ctx, []string{c.Text})
	if err != nil {
		if !errors.Is(err, embed.ErrEmpty) {
			s.db.opts.Logger.Warn("the cue is recalled by its words alone", "space", s.name, "error", err)
		}
		return
	}
	c.Vector = vs[0]
}

// waitVector waits until a version has its vector, has none coming, or no longer
// stands; it says whether it still lacks one when ctx ends.
func (s *Space) waitVector(ctx context.Context, id memory.ID, version uint32) (pending bool, err error) {
	t, err := s.tower(ctx) // vectors are made while the space is open
	if err != nil {
		return true, err
	}
	defer s.db.towers.release(t)
	for {
		n, lsn, err := s.nodeAndLSN(id)
		if err != nil || n == nil || n.Version != version || n.Vector != 0 {
			return false, err
		}
		if s.WaitFor(ctx, lsn+1) != nil {
			return true, nil
		}
	}
}

func (s *Space) nodeAndLSN(id memory.ID) (*store.Node, memory.LSN, error) {
	v, err := s.view()
	if err != nil {
		return nil, 0, err
	}
	defer v.Close()
	m, err := v.Meta(s.id)
	if err != nil {
		return nil, 0, err
	}
	n, err := v.Lookup(s.id, id)
	return n, m.LSN, err
}

// waitPending waits for the vector of a write, if one is to come.
func (s *Space) waitPending(ctx context.Context, w *Written) error {
	if len(w.Pending) == 0 {
		return nil
	}
	pending, err := s.waitVector(ctx, w.ID, w.Version)
	if err == nil && !pending {
		w.Pending = nil
	}
	return err
}

// waitBatch waits for the vectors of a batch: they are made in order, so the last
// one stands for all. Without WaitVector it waits no longer than vectorWait.
func (s *Space) waitBatch(ctx context.Context, b *BatchWritten, o WriteOptions) error {
	last := -1
	for i := range b.Items {
		if b.Items[i].Err == nil && len(b.Items[i].Pending) > 0 {
			last = i
		}
	}
	if last < 0 || b.Replayed {
		return nil
	}
	if !o.WaitVector {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, vectorWait)
		defer cancel()
	}
	if err := s.waitPending(ctx, &b.Items[last].Written); err != nil || len(b.Items[last].Pending) > 0 {
		return err
	}
	for i := range b.Items {
		b.Items[i].Pending = nil
	}
	return nil
}
