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
	"github.com/engramdb/engram/internal/sched"
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

// embedLull is how long texts wait for more, whose vectors are committed with theirs, unless
// someone waits for one: where one comes every few milliseconds, a commit and a round of
// the indexes for each would be in the way of callers.
const embedLull = 10 * time.Millisecond

// embedTimeout is how long a model may take for embedStep texts: one that hangs must
// not keep the texts of other spaces waiting for ever.
const embedTimeout = time.Minute

// cueTimeout is how long a recall waits for the vector of its cue.
const cueTimeout = 2 * time.Second

// vectorWait is how long a batch waits for the vectors of its texts: a writer of many is
// slowed to the model's speed, so that what it asks next finds them, also where the cores
// are shared: 200 paragraphs take a second alone.
const vectorWait = 10 * time.Second

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
	uncut   *uncut        // long texts that are still looked for; nil: none are
	resting bool          // the model failed a moment ago, or there was no memory
	full    bool          // it was memory
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

// again puts back what take gave, of which half is taken next.
func (l *lacking) again(slots []uint32) {
	l.queue = append(slots, l.queue...)
	l.step = len(slots) / 2
}

func (l *lacking) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// embedAll makes vectors while there are texts without one. Models in the process
// take turns on one goroutine, so that they take one core at most. A model that runs
// elsewhere has one of its own: while it hangs, only those who wait for it wait.
func (db *DB) embedAll() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db.run.start("embed stop", func() { <-db.run.stop; cancel() })
	var lanes lanes
	for {
		select {
		case <-db.towers.texts:
		case <-db.run.stop:
			return
		}
		if !db.lull(embedLull, db.towers.awaited) {
			return
		}
		for _, t := range db.towers.open() {
			for _, b := range t.worthwhile() {
				db.embedIn(ctx, &lanes, b.lane())
			}
		}
	}
}

// embedIn works on the backlogs of a lane, unless somebody does.
func (db *DB) embedIn(ctx context.Context, lanes *lanes, lane string) {
	if !lanes.enter(lane) {
		return
	}
	db.run.startUnlessClosing("embed", func() {
		if lane == "" { // what runs elsewhere takes no core
			defer sched.GiveWay()()
		}
		var before putting
		aside := db.aside()
		db.inTurns(func(t *tower) (more bool) {
			for _, b := range t.worthwhile() {
				if b.lane() == lane && db.embedPart(ctx, t, b, aside, &before) {
					more = true
				}
			}
			return more
		})
		before.wait()
		lanes.leave(lane)
		wake(db.towers.texts) // for what came between the last look and now
	})
}

// lanes are the goroutines that make vectors, by name; at most one for each model
// that runs elsewhere, and one, "", for all others.
type lanes struct {
	mu   sync.Mutex // guards busy
	busy map[string]bool
}

func (l *lanes) enter(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[name] {
		return false
	}
	if l.busy == nil {
		l.busy = map[string]bool{}
	}
	l.busy[name] = true
	return true
}

func (l *lanes) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, name)
}

// worthwhile are the backlogs of a tower in which there is something to do.
func (t *tower) worthwhile() (some []backlog) {
	select {
	case <-t.opened:
	default:
		return nil
	}
	if t.err != nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, b := range t.backlogs() {
		if b.works() {
			some = append(some, b)
		}
	}
	return some
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

// later does something after embedRetry, unless the database closes first.
func (db *DB) later(name string, f func()) { db.laterBy(name, embedRetry, f) }

func (db *DB) laterBy(name string, d time.Duration, f func()) {
	db.run.start(name, func() {
		select {
		case <-db.opts.Clock.After(d):
			f()
		case <-db.run.stop:
		}
	})
}

// errTooLong is why a context of within ends by itself.
var errTooLong = errors.New("it did not answer in time")

// within gives a context that ends after d by the database's clock (errTooLong), or
// when it closes.
func (db *DB) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	after := db.opts.Clock.After(d)
	started := db.run.startUnlessClosing("within", func() {
		select {
		case <-after:
			cancel(errTooLong)
		case <-ctx.Done():
		case <-db.run.stop:
			cancel(nil)
		}
	})
	if !started {
		cancel(nil)
	}
	return ctx, func() { cancel(nil) }
}

// putting is the commit of vectors that were made a moment ago: a lane makes the next
// meanwhile.
type putting struct{ done chan struct{} }

func (p *putting) wait() {
	if p.done != nil {
		<-p.done
	}
}

// start begins the next when the one before has ended; false: the database closes.
func (p *putting) start(db *DB, t *tower, put func()) bool {
	p.wait()
	done := make(chan struct{})
	if !db.towers.use(t) { // the lane holds it no longer than it works on it
		return false
	}
	started := db.run.startUnlessClosing("put vectors", func() {
		defer close(done)
		put()
		db.towers.release(t)
	})
	if !started {
		db.towers.release(t)
		return false
	}
	p.done = done
	return true
}

// embedPart makes some of a space's vectors; it says whether there may be more to make.
func (db *DB) embedPart(ctx context.Context, t *tower, b backlog, aside *aside, before *putting) bool {
	if t.space.dropped.Load() {
		return false
	}
	t.mu.Lock()
	slots := b.take()
	t.mu.Unlock()
	if len(slots) == 0 {
		return db.findUncut(ctx, t, b, before)
	}
	making := ctx
	if !t.awaited(b) {
		making = embed.Aside(ctx, aside.step)
	}
	put, room, err := t.embedSlots(making, b, slots)
	if err == nil { // what was put a moment ago counts
		before.wait()
		_ = t.catchUp(everything) // readers are told what is wrong
		err = room()
	}
	if errors.Is(err, errNoRoom) && len(slots) > 1 { // some may fit
		t.mu.Lock()
		b.again(slots)
		t.mu.Unlock()
		return true
	}
	if err == nil && before.start(db, t, func() { db.settle(ctx, t, b, slots, put()) }) {
		return t.manyLack(b)
	}
	if err == nil {
		err = store.ErrClosed // of the database or of the space: they are made when it opens
	}
	before.wait() // or its success, which comes later, would say that nothing is wrong
	db.settle(ctx, t, b, slots, err)
	return false
}

// settle ends what embedPart began.
func (db *DB) settle(ctx context.Context, t *tower, b backlog, slots []uint32, err error) {
	full := errors.Is(err, errNoRoom)
	t.mu.Lock()
	told := b.full && full
	b.full = full
	b.settle(slots, err != nil)
	t.mu.Unlock()
	if told {
		db.laterBy("embed later", embedRetryRefused, func() { t.embedAgain(b) })
		return
	}
	if err != nil && !errors.Is(err, store.ErrClosed) && ctx.Err() == nil && !t.space.dropped.Load() {
		db.opts.Logger.Warn("vectors are delayed", "space", t.space.name, "model", b.model.name, "error", err)
		db.laterBy("embed later", retryAfter(err), func() { t.embedAgain(b) })
	}
}

// embedAgain ends the rest after a failure.
func (t *tower) embedAgain(b backlog) {
	t.mu.Lock()
	b.resting = false
	t.mu.Unlock()
	wake(t.space.db.towers.texts)
}

// wanting is one version whose vector is to be made.
type wanting struct {
	node    *store.Node
	text    string
	episode *memory.Episode
	uncut   bool // it has a vector, and lacks passages
}

// embedSlots makes the vectors of slots; put commits them.
// room says whether there is memory for them still, when those made before are in; it is
// asked before the model is, too.
func (t *tower) embedSlots(ctx context.Context, b backlog, slots []uint32) (put, room func() error, err error) {
	nothing := func() error { return nil }
	texts, err := t.textsOf(slots, b)
	if err != nil || len(texts) == 0 {
		return nothing, nothing, err
	}
	if err := t.roomForMade(b, len(texts), 0); err != nil {
		return nil, nil, err
	}
	vectors, err := t.space.embedTexts(ctx, b.model, texts)
	if err != nil {
		return nil, nil, err
	}
	passages, err := t.embedPassages(ctx, b, texts)
	made := 0
	for _, p := range passages {
		if p != nil {
			made += len(p.Spans)
		}
	}
	put = func() error { return t.putVectors(ctx, b, texts, vectors, passages) }
	return put, func() error { return t.roomForMade(b, len(texts), made) }, err
}

// putVectors commits the vectors of texts. What was ended or changed in the meantime is
// left out, and all when the space has no use for the model any more.
func (t *tower) putVectors(ctx context.Context, b backlog, texts []wanting, vectors [][]float32, passages []*store.Passages) error {
	s, model := t.space, provenance(b.model.Info())
	_, err := s.db.shard.Commit(ctx, &store.Write{Space: s.id, Later: !t.awaited(b), Decide: func(tx *store.Tx) error {
		st, err := s.generationIn(tx)
		if err != nil {
			return err
		}
		next := st.Generation != b.generation
		if next && (st.Next == nil || st.Next.Generation != b.generation) {
			return nil
		}
		for i, x := range texts {
			n, err := tx.NodeIfLives(x.node.Ordinal)
			if err != nil {
				return err
			}
			if vectors[i] == nil || n == nil || n.Version != x.node.Version {
				continue
			}
			if own := n.In(b.generation); own.Vector != 0 && !(x.uncut && len(own.Passages) == 0 && passages[i] != nil) {
				continue
			}
			made := store.MadeVector{Vector: vectors[i], Passages: passages[i], Model: model}
			if err := tx.PutVectorOf(n, b.generation, next, made); err != nil {
				return err
			}
		}
		return nil
	}})
	return err
}

// manyLack says whether there are enough texts for another step at once; fewer wait for more.
func (t *tower) manyLack(b backlog) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(b.queue) >= embedStep || len(b.queue) > 0 && b.news != nil
}

// awaited says whether someone waits for the vectors of a backlog.
func (t *tower) awaited(b backlog) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return b.news != nil
}

// textsOf reads what is to be embedded.
func (t *tower) textsOf(slots []uint32, b backlog) ([]wanting, error) {
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
		if n == nil {
			continue
		}
		own := n.In(b.generation)
		has := own.Vector != 0
		if has && !uncutBy(b.model, own) {
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
		if embeddable(&e) && !over && (!has || passageSpans(b.model.Model, &e) != nil) {
			texts = append(texts, wanting{n, embedded(&e), &e, has})
		}
	}
	return texts, nil
}

// embedTexts embeds texts; one that has nothing to embed gets no vector.
func (s *Space) embedTexts(ctx context.Context, m *openModel, texts []wanting) ([][]float32, error) {
	words := make([]string, len(texts))
	for i, x := range texts {
		words[i] = x.text
	}
	return withoutEmpty(words, func(words []string) ([][]float32, error) { return s.embed(ctx, m, words, false) })
}

// embedSome embeds texts for who compares models.
func (db *DB) embedSome(ctx context.Context, m *openModel, words []string, cues bool) ([][]float32, error) {
	return withoutEmpty(words, func(words []string) ([][]float32, error) { return db.ask(ctx, m, words, cues) })
}

// withoutEmpty embeds texts, those left out that have nothing to embed.
func withoutEmpty(words []string, embedThem func([]string) ([][]float32, error)) ([][]float32, error) {
	vectors := make([][]float32, len(words))
	at := make([]int, len(words))
	words = slices.Clone(words)
	for i := range words {
		at[i] = i
	}
	for len(words) > 0 {
		made, err := embedThem(words)
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
func (s *Space) embed(ctx context.Context, m *openModel, words []string, cues bool) ([][]float32, error) {
	most := embedTimeout
	if cues {
		most = cueTimeout
	}
	ctx, cancel := s.db.within(ctx, most)
	defer cancel()
	made, err := s.db.ask(ctx, m, words, cues)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if len(made) != len(words) {
		return nil, fmt.Errorf("embed: the model made %d vectors of %d texts", len(made), len(words))
	}
	for _, v := range made {
		if err := s.checkMade(m, v); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func (s *Space) checkMade(m *openModel, v []float32) error {
	if len(v) == 0 {
		return errors.New("embed: the model made an empty vector")
	}
	settings := memory.VectorSettings{Dimension: m.Info().Dimension, Metric: metricOf(s.Settings())}
	if err := memory.CheckVectorFor("vector", v, s.name, settings); err != nil {
		return fmt.Errorf("embed: the model made what is no vector of the space: %w", err)
	}
	return nil
}

// cueVector embeds the words of a cue that brings no vector. A model that fails
// leaves the cue with its words; failed says so.
func (s *Space) cueVector(ctx context.Context, c *memory.Cue) (failed bool) {
	if c.Text == "" || len(c.Vector) > 0 || c.Stages.NoVector || c.Mode == memory.ModeRecent {
		return false
	}
	m, err := s.db.modelOf(s.Settings())
	if err != nil {
		return true // the log has it
	}
	if m == nil {
		return false
	}
	vs, err := s.embed(ctx, m, []string{c.Text}, true)
	if errors.Is(err, embed.ErrEmpty) {
		return false
	}
	if err != nil {
		if ctx.Err() == nil {
			s.db.opts.Logger.Warn("the cue is recalled by its words alone", "space", s.name, "error", err)
		}
		return true
	}
	c.Vector = vs[0]
	return false
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
			wake(s.db.towers.awaited)
			s.db.shard.Hurry()
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

// errResting says that the model failed a moment ago, or that there is no memory.
var errResting = errors.New("the model rests")

// lacks says whether a version lacks a vector that is to come: by a channel that is
// closed when it should be asked again, else nil.
func (t *tower) lacks(w *Written, hasty bool) (news chan struct{}, err error) {
	n, err := t.space.nodeOf(w.ID)
	if err != nil || n == nil || n.Version != w.Version || n.In(t.space.state.Load().Generation).Vector != 0 {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, ok := t.facets.Live(n.Ordinal)
	if !ok || !t.lacking.slots.Test(uint(slot)) {
		return nil, nil
	}
	if hasty && t.lacking.resting || t.lacking.full {
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
// than vectorWait, and not for a model that fails, or that runs elsewhere (a server
// that hangs must not hold up writes); with WaitNone not at all.
func (s *Space) waitBatch(ctx context.Context, b *BatchWritten, o WriteOptions) {
	if (b.Replayed || o.WaitNone) && !o.WaitVector {
		return
	}
	if m, _ := s.db.modelOf(s.Settings()); !o.WaitVector && (m == nil || m.beside()) {
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

// hasModel says whether a model makes the space's vectors.
func (s *Space) hasModel() bool {
	m, err := s.db.modelOf(s.Settings())
	return m != nil || err != nil
}

// embedInline makes the vector of a memory that brings none, when the space's model
// takes microseconds: it is stored in the memory's own record, and nothing is
// pending. Of another model, when this one fails, or while there is no memory for it, the
// vector follows. ahead is how many go before it in its batch.
func (s *Space) embedInline(p *prepared, settings memory.Settings, ahead int) {
	e := p.episode
	if len(e.Vector) > 0 || !embeddable(e) {
		return
	}
	m, err := s.db.modelOf(settings)
	if m == nil {
		p.follows = err != nil
		return
	}
	quick, ok := m.Model.(embed.QuickModel)
	if !ok || !s.roomInline(ahead) || passageSpans(m.Model, e) != nil { // passages follow together with the vector
		p.follows = true
		return
	}
	v, err := quick.EmbedOne(embedded(e))
	if errors.Is(err, embed.ErrEmpty) {
		return // it has none, now and later
	}
	if err == nil {
		err = s.checkMade(m, v)
	}
	if err != nil {
		m.work.failed(s.db.Now(), err)
		p.follows = true
		return
	}
	m.work.did(1, false)
	p.payload, p.model = p.payload.WithMade(v), provenance(m.Info())
	if p.in != nil {
		p.in.made = v
	}
}
