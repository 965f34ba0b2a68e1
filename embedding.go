package engram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bits-and-blooms/bitset"

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

// embedRetry is how long a space is left alone after its model, or its rules, failed.
const embedRetry = 5 * time.Second

// embedTimeout is how long a model may take for embedStep texts: one that hangs must
// not keep the texts of other spaces waiting for ever.
const embedTimeout = time.Minute

// cueTimeout is how long a recall waits for the vector of its cue.
const cueTimeout = 2 * time.Second

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

// lacking are the living slots that have no vector yet; tower.mu guards it.
type lacking struct {
	queue   []uint32      // to be taken, in order
	slots   bitset.BitSet // in the queue or under way
	step    int           // how many to take next; 0: embedStep
	resting bool          // the model failed a moment ago
	news    chan struct{} // closed when something has changed; nil: nobody waits
}

func (l *lacking) add(slot uint32) {
	l.queue = append(l.queue, slot)
	l.slots.Set(uint(slot))
}

// take gives the next slots; they are under way until settled.
func (l *lacking) take() []uint32 {
	if l.resting {
		return nil
	}
	if l.step == 0 {
		l.step = embedStep
	}
	n := min(l.step, len(l.queue))
	slots := slices.Clone(l.queue[:n])
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return slots
}

// settle ends what take began. Slots that failed go to the end, and fewer are taken
// next: so a text that a model cannot bear is alone in the end, and holds up no other.
func (l *lacking) settle(slots []uint32, failed bool) {
	l.resting = failed
	if failed {
		l.queue = append(l.queue, slots...)
		l.step = max(1, len(slots)/2)
	} else {
		for _, slot := range slots {
			l.slots.Clear(uint(slot))
		}
		l.step = min(embedStep, 2*l.step)
	}
	l.tell()
}

func (l *lacking) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
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
		db.inTurns(func(t *tower) bool { return db.embedPart(ctx, t) })
	}
}

// inTurns lets every open space do a part of its work after the other until none has
// more: so a space with a long backlog does not keep others waiting.
func (db *DB) inTurns(part func(*tower) bool) {
	for more := true; more && !db.run.closing(); {
		more = false
		for _, t := range db.towers.open() {
			if !db.towers.use(t) {
				continue
			}
			more = part(t) || more
			db.towers.release(t)
		}
	}
}

// later does something after a while, unless the database closes first.
func (db *DB) later(name string, f func()) {
	db.run.start(name, func() {
		select {
		case <-db.opts.Clock.After(embedRetry):
			f()
		case <-db.run.stop:
		}
	})
}

// within gives a context that ends after d by the database's clock, or when it closes.
func (db *DB) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	after := db.opts.Clock.After(d)
	started := db.run.startUnlessClosing("within", func() {
		select {
		case <-after:
		case <-ctx.Done():
		case <-db.run.stop:
		}
		cancel()
	})
	if !started {
		cancel()
	}
	return ctx, cancel
}

// embedPart makes some of a space's vectors; it says whether there may be more to make.
func (db *DB) embedPart(ctx context.Context, t *tower) bool {
	if t.model == nil || t.space.dropped.Load() {
		return false
	}
	t.mu.Lock()
	slots := t.lacking.take()
	t.mu.Unlock()
	if len(slots) == 0 {
		return false
	}
	err := t.embedSlots(ctx, slots)
	t.mu.Lock()
	t.lacking.settle(slots, err != nil)
	t.mu.Unlock()
	if err == nil {
		return true
	}
	if ctx.Err() == nil && !t.space.dropped.Load() {
		db.opts.Logger.Warn("vectors are delayed", "space", t.space.name, "error", err)
		db.later("embed later", t.embedAgain)
	}
	return false
}

// embedAgain ends the rest after a failure.
func (t *tower) embedAgain() {
	t.mu.Lock()
	t.lacking.resting = false
	t.mu.Unlock()
	wake(t.space.db.towers.texts)
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
	s := t.space
	vectors, err := s.embedTexts(ctx, t.model, texts)
	if err != nil {
		return err
	}
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
	now := t.space.db.Now()
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
		over := e.ExpiresAt != nil && !e.ExpiresAt.After(now) // nobody will ask for it, and it is not to be shown to others
		if embeddable(&e) && !over {
			texts = append(texts, wanting{n, embedded(&e)})
		}
	}
	return texts, nil
}

// embedTexts embeds texts; one that has nothing to embed gets no vector.
func (s *Space) embedTexts(ctx context.Context, m embed.Model, texts []wanting) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	at := make([]int, len(texts))
	words := make([]string, len(texts))
	for i, x := range texts {
		at[i], words[i] = i, x.text
	}
	for len(words) > 0 {
		made, err := s.embed(ctx, m, words, embedTimeout)
		var bad *embed.TextError
		if errors.As(err, &bad) && bad.Index >= 0 && bad.Index < len(words) {
			at, words = slices.Delete(at, bad.Index, bad.Index+1), slices.Delete(words, bad.Index, bad.Index+1)
			continue
		}
		if err != nil {
			return nil, err
		}
		for i, v := range made {
			vectors[at[i]] = v
		}
		return vectors, nil
	}
	return vectors, nil
}

// embed asks a model, and believes its answer only as far as a caller's: a server may
// send another number of vectors, of another dimension, with NaN in them.
func (s *Space) embed(ctx context.Context, m embed.Model, words []string, most time.Duration) ([][]float32, error) {
	ctx, cancel := s.db.within(ctx, most)
	defer cancel()
	made, err := m.Embed(ctx, words)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if len(made) != len(words) {
		return nil, fmt.Errorf("embed: the model made %d vectors of %d texts", len(made), len(words))
	}
	for _, v := range made {
		if len(v) == 0 {
			return nil, errors.New("embed: the model made an empty vector")
		}
		if err := memory.CheckVectorFor("vector", v, s.name, s.Settings().Vector); err != nil {
			return nil, fmt.Errorf("embed: the model made what is no vector of the space: %w", err)
		}
	}
	return made, nil
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
	vs, err := s.embed(ctx, m, []string{c.Text}, cueTimeout)
	if err != nil {
		if !errors.Is(err, embed.ErrEmpty) && ctx.Err() == nil {
			s.db.opts.Logger.Warn("the cue is recalled by its words alone", "space", s.name, "error", err)
		}
		return
	}
	c.Vector = vs[0]
}

// waitVector waits until a version has its vector, has none coming, or no longer
// stands; it says whether one is still to come when ctx ends. With hasty it does not
// wait for a model that fails. The version is stored: nothing here is an error.
func (s *Space) waitVector(ctx context.Context, w *Written, hasty bool) (pending bool) {
	for ctx.Err() == nil {
		t, err := s.current(ctx) // vectors are made while the space is open
		if err != nil {
			return true
		}
		news, err := t.lacks(w, hasty)
		if err == nil && news != nil {
			select {
			case <-news:
			case <-t.gone: // dropped, or built anew
			case <-ctx.Done():
			case <-s.db.run.stop:
			}
		}
		s.db.towers.release(t)
		if err != nil || news == nil {
			return err != nil
		}
	}
	return true
}

// errResting says that the model failed a moment ago.
var errResting = errors.New("the model rests")

// lacks says whether a version lacks a vector that is to come: by a channel that is
// closed when it should be asked again, else nil.
func (t *tower) lacks(w *Written, hasty bool) (news chan struct{}, err error) {
	n, err := t.space.nodeOf(w.ID)
	if err != nil || n == nil || n.Version != w.Version || n.Vector != 0 {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, ok := t.facets.Live(n.Ordinal)
	if !ok || !t.lacking.slots.Test(uint(slot)) {
		return nil, nil
	}
	if hasty && t.lacking.resting {
		return nil, errResting
	}
	if t.lacking.news == nil {
		t.lacking.news = make(chan struct{})
	}
	return t.lacking.news, nil
}

func (s *Space) nodeOf(id memory.ID) (*store.Node, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return v.Lookup(s.id, id)
}

// waitPending waits for the vector of a write, if one is to come.
func (s *Space) waitPending(ctx context.Context, w *Written, hasty bool) {
	if len(w.Pending) > 0 && !s.waitVector(ctx, w, hasty) {
		w.Pending = nil
	}
}

// waitBatch waits for the vectors of a batch. Without WaitVector it waits no longer
// than vectorWait, and not for a model that fails; with WaitNone not at all.
func (s *Space) waitBatch(ctx context.Context, b *BatchWritten, o WriteOptions) {
	if (b.Replayed || o.WaitNone) && !o.WaitVector {
		return
	}
	if !o.WaitVector {
		var cancel context.CancelFunc
		ctx, cancel = s.db.within(ctx, vectorWait)
		defer cancel()
	}
	for i := range slices.Backward(b.Items) { // the last one is made last, more often than not
		if it := &b.Items[i]; it.Err == nil {
			s.waitPending(ctx, &it.Written, !o.WaitVector)
		}
	}
}
