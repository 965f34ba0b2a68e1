package engram

import (
	"context"
	"errors"
	"time"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// A live space goes over to another model in three steps (store/turn.go has what
// lies on disk):
//
//  1. Its state names the model to come. From then on the open tower has a second
//     vector index beside the first, and a second list of texts that lack a vector;
//     they are made as all vectors are, old and new memories alike, each a record of
//     its own. Recall goes by the first index and its model all the while.
//  2. When no text lacks one, one record changes the settings and the generation of
//     vectors that is in force. The tower takes the second index for its first.
//  3. Node by node, what the model before made is dropped.
//
// Each step leaves its state on disk, so that Open goes on where a crash came between.
// Cancelled in step 1, the state forgets the model to come, and step 3 drops what it
// made.

// reembedStep is how many nodes are brought in order in one commit.
const reembedStep = 500

// nextModel is what an open tower has of the model that its space goes over to.
// tower.mu guards it.
type nextModel struct {
	*store.NextModel
	model    *openModel // nil: it cannot be opened now
	vectors  *ann.Graph
	passages *ann.Passages
	at       []uint32 // as tower.at
	lacking  *lacking

	// below is up to which slot all must have a vector before the cut-over; rounds is how
	// often it was moved up. See nextLeft.
	below  uint32
	rounds int
}

// newNext makes the second index of a tower; nil when the space stays with its model.
func (t *tower) newNext() *nextModel {
	next := t.st.Next
	if next == nil {
		return nil
	}
	m, err := t.space.db.model(next.Model)
	if err != nil {
		m = nil // the log says why
	}
	return &nextModel{NextModel: next, model: m, vectors: ann.NewGraph(next.Dimension, metricOf(t.st.Settings)),
		passages: ann.NewPassages(next.Dimension, metricOf(t.st.Settings)), lacking: new(lacking)}
}

// metricOf is how vectors are compared in a space that may have had none so far.
func metricOf(s memory.Settings) memory.Metric {
	if s.Vector.Metric == "" {
		return memory.MetricCosine
	}
	return s.Vector.Metric
}

func (x *nextModel) note(slot, number uint32) {
	for uint32(len(x.at)) <= slot {
		x.at = append(x.at, 0)
	}
	x.at[slot] = number
}

func (x *nextModel) put(slot, number uint32, vector []float32) {
	x.note(slot, number)
	if number != 0 && len(vector) == x.Dimension {
		x.vectors.Put(slot, vector)
	}
}

// adapt brings an open tower up to the state of its space: it begins with a second
// index, drops it, or takes it for its first. The caller holds following.
func (t *tower) adapt() error {
	st := t.space.state.Load()
	if st == t.st { // only whoever holds following changes it
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.st
	t.st = st
	t.lacking.tell() // who waits for a vector asks again
	if t.next != nil {
		t.next.lacking.tell()
	}
	switch {
	case st.Generation != before.Generation:
		if t.next == nil || t.next.Generation != st.Generation {
			return errTurned // the next call builds it anew
		}
		passages := t.next.passages
		t.vectors, t.at, t.lacking, t.model, t.next = t.next.vectors, t.next.at, t.next.lacking, t.next.model, nil
		t.passages, t.near, t.parts = passages, nearFile{}, nearFile{}
		t.cues.forget()
	case st.Next == nil:
		t.next = nil
	case t.next == nil || t.next.Generation != st.Next.Generation:
		t.next = t.newNext()
		if !t.space.db.opts.ReadOnly {
			t.next.lacking = t.withoutVector(t.next.at)
		}
	}
	return nil
}

// generation of the vectors that the tower's index holds.
func (t *tower) generation() uint32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.Generation
}

// own are the indexes of the model in force. The caller holds mu.
func (t *tower) own() []*ann.Graph {
	if t.vectors == nil {
		return nil
	}
	return []*ann.Graph{t.vectors, t.passages.Links()}
}

// linked are all indexes whose links are made, its own first. The caller holds mu.
func (t *tower) linked() []*ann.Graph {
	all := t.own()
	if t.next != nil {
		all = append(all, t.next.vectors, t.next.passages.Links())
	}
	return all
}

// unlinked is how many vectors of indexes wait for links. The caller holds mu.
func unlinked(all []*ann.Graph) (n int) {
	for _, g := range all {
		n += g.Tail()
	}
	return n
}

// planLinks plans links of the first index that wants some. The caller holds mu for
// reading.
func (t *tower) planLinks() (*ann.Graph, *ann.Plan) {
	for _, g := range t.linked() {
		if p := g.Plan(); p != nil {
			return g, p
		}
	}
	return nil, nil
}

// openBoth fills both indexes from the store: a file has one at most, and being on the
// way does not last.
func (t *tower) openBoth(ctx context.Context, v *store.View) error {
	n, dimension := t.facets.Stats().Live, t.next.Dimension
	if t.vectors != nil {
		t.newVectors()
		dimension += t.st.Settings.Vector.Dimension
	}
	if err := t.space.db.roomForVectors(vectorBytes(n, dimension, false)); err != nil {
		return err
	}
	err := t.readVectors(ctx, v)
	t.noteVectors()
	return err
}

// leaveOthers takes out of what a snapshot says what is of another model than that in
// force: with it go the files of vectors.
func (t *tower) leaveOthers() {
	for slot, number := range t.at {
		if number != 0 && !store.InGeneration(number, t.st.Generation) {
			t.at[slot], t.near, t.parts, t.cut = 0, nearFile{}, nearFile{}, nil
		}
	}
}

// forget lets the cues go: they are of another model.
func (r *recentCues) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all, r.next = nil, 0
}

// errTurned says that indexes are not those of the space's model any more.
var errTurned = errors.New("the space has gone over to another model")

// withoutVector lists the living slots that have none.
func (t *tower) withoutVector(at []uint32) *lacking {
	l := new(lacking)
	for slot := range t.facets.Next() {
		if int(slot) < len(at) && at[slot] != 0 {
			continue
		}
		if row, ok := t.facets.At(slot); ok && row.Died == 0 {
			l.add(slot)
		}
	}
	return l
}

// placeVector notes which vectors a version has, and puts the one that is given
// where it belongs.
func (t *tower) placeVector(slot uint32, n *store.Node, e *memory.Episode, vector []float32, passages *store.Passages) {
	node := n.In(t.st.Generation)
	own := node.Vector
	t.noteVector(slot, own)
	t.noteCut(slot, node.Passages)
	if own != 0 && own == n.Vector && t.vectors != nil && len(vector) == t.st.Settings.Vector.Dimension {
		t.vectors.Put(slot, vector)
		t.indexPassages(slot, passages)
	}
	if t.model != nil && own == 0 && embeddable(e) {
		t.lacking.add(slot)
	}
	x := t.next
	if x == nil {
		return
	}
	next := n.In(x.Generation).Vector
	if next != n.Vector {
		vector, passages = nil, nil
	}
	x.put(slot, next, vector)
	putPassages(x.passages, slot, passages, x.Dimension)
	if next == 0 && embeddable(e) {
		x.lacking.add(slot)
	}
}

// madeVector gives a vector that a model has made: as it came along with the record, or
// from the store.
func (t *tower) madeVector(v *store.View, of *store.VectorOf, given any) (made store.MadeVector, err error) {
	switch x := given.(type) {
	case store.MadeVector:
		return x, nil
	case []float32:
		return store.MadeVector{Vector: x}, nil
	}
	if made.Vector, err = v.Vector(t.space.id, of.Ordinal, of.At()); err == nil && len(of.Passages) > 0 {
		made.Passages, err = v.Passages(t.space.id, of.Ordinal, of.At())
	}
	return made, err
}

// noteGenerations learns from the state which vectors nodes have, where a snapshot
// cannot know: while the space goes over to another model.
func (t *tower) noteGenerations(ctx context.Context, v *store.View) error {
	if t.next == nil && !t.st.Turning {
		return nil
	}
	return v.Nodes(t.space.id, 0, func(n *store.Node) (bool, error) {
		slot, ok := t.facets.Live(n.Ordinal)
		if !ok {
			return true, ctx.Err()
		}
		t.noteVector(slot, n.In(t.st.Generation).Vector)
		if t.next != nil {
			t.next.note(slot, n.In(t.next.Generation).Vector)
		}
		return true, ctx.Err()
	})
}

// turned follows nodes that were brought in order: their vectors lie under other
// numbers.
func (t *tower) turned(v *store.View, r *store.Turn) error {
	for _, one := range r.Nodes {
		slot, ok := t.facets.Live(one.Ordinal)
		if !ok {
			continue
		}
		n, err := v.Node(t.space.id, one.Ordinal)
		if err != nil {
			return err
		}
		if row, _ := t.facets.At(slot); n != nil && n.Version == row.Version {
			t.noteVector(slot, n.In(t.st.Generation).Vector)
		}
	}
	return nil
}

// backlog is a list of texts that lack a vector, and the model that makes it.
type backlog struct {
	*lacking
	model      *openModel
	generation uint32
}

// backlogs are the lists of an open tower. The caller holds mu.
func (t *tower) backlogs() []backlog {
	var all []backlog
	if t.model != nil {
		all = append(all, backlog{t.lacking, t.model, t.st.Generation})
	}
	if t.next != nil && t.next.model != nil {
		all = append(all, backlog{t.next.lacking, t.next.model, t.next.Generation})
	}
	return all
}

// lane says where a backlog is worked on.
func (b *backlog) lane() string {
	if b.model.beside() {
		return b.model.name
	}
	return ""
}

func (b *backlog) works() bool { return (len(b.queue) > 0 || b.uncut != nil) && !b.resting }

// Reembedding says how far a space is on its way to another model.
type Reembedding struct {
	Model     string
	Dimension int
	Since     time.Time
	// Settling says that the model is in force, and that what the one before made, or
	// the one that was given up, is being dropped.
	Settling    bool
	Done, Total int // memories; 0 while the space is not open
	Job         string
	Err         error // the last failure of the model
}

// reembedding of a space; nil when it stays with its model.
func (s *Space) reembedding() *Reembedding {
	st := s.state.Load()
	if st.Next == nil && !st.Turning {
		return nil
	}
	r := &Reembedding{Model: st.Settings.Vector.Model, Dimension: st.Settings.Vector.Dimension, Settling: st.Next == nil}
	if r.Job = st.TurnJob; st.Next == nil {
		return r
	}
	r.Model, r.Dimension, r.Since = st.Next.Model, st.Next.Dimension, time.Unix(0, st.Next.Since).UTC()
	if m, err := s.db.model(st.Next.Model); m != nil {
		r.Err = m.work.read().LastError
	} else {
		r.Err = err
	}
	t := s.db.towers.peek(s.id)
	if t == nil {
		return r
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.next != nil {
		r.Total = t.facets.Stats().Live
		r.Done = max(r.Total-int(t.next.lacking.slots.Count()), 0)
		if t.next.lacking.full {
			r.Err = errNoRoom
		}
	}
	return r
}

// progress of the job: most of it is making vectors.
func (s *Space) progress() float64 {
	r := s.reembedding()
	switch {
	case r == nil:
		return 1
	case r.Settling:
		return .95
	case r.Total == 0:
		return 0
	}
	return .95 * float64(r.Done) / float64(r.Total)
}

// Reembed moves the space to another model, in a job: recall goes by the model before
// until all texts have a vector of the new one. Cancelled before that, all stays as it
// was. It goes on after a restart. Errors: model_not_found; reembed_running (conflict);
// reembed_without_text (conflict) when a memory is a vector alone, which a model cannot
// make anew; vector_memory_full (busy) when there is no room for a second index.
func (s *Space) Reembed(ctx context.Context, model string) (Job, error) {
	const op = "reembed"
	if err := s.alive(); err != nil {
		return Job{}, memory.InOp(op, err)
	}
	m, err := s.db.model(model)
	if errors.Is(err, embed.ErrUnknown) {
		err = modelNotFound(model)
	} else if err != nil {
		err = modelFailed(model, err)
	}
	if err == nil {
		err = s.allHaveText(ctx)
	}
	if err == nil {
		err = s.roomForNext(m.Info().Dimension)
	}
	if err != nil {
		return Job{}, memory.InOp(op, err)
	}
	err = s.changeState(ctx, func(tx *store.Tx, st *store.SpaceState) error {
		if st.Next != nil || st.Turning {
			return s.reembedRuns()
		}
		if err := s.db.models.stands(tx, model); err != nil {
			return err
		}
		st.TurnJob = string(memory.NewID())
		st.Next = &store.NextModel{Model: model, Dimension: m.Info().Dimension, Generation: st.Generation + 1, Since: tx.Now().UnixNano(), By: actorOf(ctx)}
		return nil
	})
	if err != nil {
		return Job{}, memory.InOp(op, err)
	}
	return s.startReembed().snapshot(), nil
}

// roomForNext says whether a second index fits into memory.
func (s *Space) roomForNext(dimension int) error {
	n, err := s.Memories()
	if err != nil {
		return err
	}
	return s.db.roomForVectors(vectorBytes(int(n), dimension, false))
}

func (s *Space) reembedRuns() error {
	e := memory.Errorf(memory.KindConflict, "reembed_running", "space %q is on its way to another model already", s.name)
	e.With("job", s.state.Load().TurnJob)
	return e.Hinted("wait for the job, or cancel it")
}

// allHaveText refuses when a memory is a vector alone.
func (s *Space) allHaveText(ctx context.Context) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Nodes(s.id, 0, func(n *store.Node) (bool, error) {
		if n.Vector == 0 || len(n.Made) > 0 || n.Kind == memory.KindEntity {
			return true, ctx.Err()
		}
		head, found, err := v.Head(s.id, n.Ordinal, n.Version)
		if err != nil || !found {
			return true, err
		}
		e, err := store.DecodeEpisode(head)
		if err != nil {
			return false, damaged(s, n, err)
		}
		if !embeddable(&e) {
			return false, withoutText(n.ID)
		}
		return true, ctx.Err()
	})
}

func withoutText(id memory.ID) error {
	return memory.Errorf(memory.KindConflict, "reembed_without_text", "memory %q is a vector without words: a model cannot make its vector anew", id).
		Hinted("give it a text, or store such memories in a space of their own").With("id", string(id))
}

// changeState changes what space 0 knows of the space, in one record.
func (s *Space) changeState(ctx context.Context, change func(*store.Tx, *store.SpaceState) error) error {
	_, err := s.db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		old, err := tx.Space(s.name)
		if err != nil {
			return err
		}
		if old == nil || old.ID != s.id {
			return spaceNotFound(s.name)
		}
		st := *old
		if err := change(tx, &st); err != nil {
			return err
		}
		return tx.PutSpace(&st)
	}})
	return err
}

// startReembed starts the job that takes a space through the steps that it has before it.
func (s *Space) startReembed() *job {
	as := Job{ID: s.state.Load().TurnJob, Kind: "reembed", Space: s.name}
	return s.db.jobs.startAs(&s.db.run, as, func(ctx context.Context, one *job) (map[string]any, error) {
		result, err := s.runReembed(ctx, one)
		if err != nil && ctx.Err() == nil && !s.db.run.closing() {
			s.db.opts.Logger.Error("a space does not get to another model", "space", s.name, "error", err)
		}
		return result, err
	})
}

func (s *Space) runReembed(ctx context.Context, one *job) (map[string]any, error) {
	next := s.state.Load().Next
	var gaveUp error
	if next != nil {
		err := s.fillNext(ctx, next.Generation, one)
		if err == nil {
			err = s.cutOver(ctx, next)
		}
		if err != nil && (s.db.run.closing() || s.dropped.Load()) {
			return nil, err // it goes on when the database is opened again
		}
		if gaveUp = err; err != nil {
			if err := s.giveUp(next); err != nil {
				return nil, err
			}
		}
	}
	n, err := s.settle()
	if err == nil {
		err = gaveUp
	}
	v := s.Settings().Vector
	return map[string]any{"model": v.Model, "dimension": v.Dimension, "settled": n}, err
}

// fillNext waits until no text lacks a vector by the model to come: others make them.
func (s *Space) fillNext(ctx context.Context, generation uint32, one *job) error {
	for {
		t, err := s.current(ctx)
		if err != nil {
			return err
		}
		one.at(s.progress())
		news, left := t.nextLeft(generation)
		if left {
			s.db.towers.haveWork(t)
			select {
			case <-news:
			case <-t.gone:
			case <-ctx.Done():
			case <-s.db.run.stop:
			}
		}
		s.db.towers.release(t)
		if err := errors.Join(ctx.Err(), s.db.Ready()); err != nil || !left {
			return err
		}
	}
}

// nextLeft says whether texts lack a vector by the model to come: ask again when the
// channel is closed.
func (t *tower) nextLeft(generation uint32) (news chan struct{}, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.next
	if x == nil || x.Generation != generation {
		return nil, false // it was cancelled: the cut-over finds that
	}
	if !x.left(t.facets.Next(), t.lacking.slots.Count()) && x.vectors.Tail() <= x.vectors.TailBound() {
		return nil, false
	}
	if x.lacking.news == nil {
		x.lacking.news = make(chan struct{})
	}
	return x.lacking.news, true
}

// Where writers do not rest there is no moment in which no text lacks a vector. Those
// that were there when the last look was taken must have theirs; what came since may
// follow after the cut-over, as it would have without one, when it is little, or as
// little as what waits for the model before, or when it does not get less.
const (
	nextFew    = 2 * embedStep
	nextRounds = 4
)

// left says whether texts must still get their vector before the cut-over; end is
// behind the last slot, waiting how many wait for the model before.
func (x *nextModel) left(end uint32, waiting uint) bool {
	if x.rounds == 0 {
		x.below, x.rounds = end, 1
	}
	for {
		if slot, some := x.lacking.slots.NextSet(0); !some {
			return false
		} else if slot < uint(x.below) {
			return true
		}
		if n := x.lacking.slots.Count(); n <= max(nextFew, waiting) || x.rounds == nextRounds {
			return false
		}
		x.below = end
		x.rounds++
	}
}

// cutOver makes the model to come the space's own, in one record.
func (s *Space) cutOver(ctx context.Context, next *store.NextModel) error {
	return s.changeState(ctx, func(tx *store.Tx, st *store.SpaceState) error {
		if st.Next == nil || st.Next.Generation != next.Generation {
			return memory.Errorf(memory.KindConflict, "job_ended", "the change of model was given up")
		}
		st.Settings.Vector = memory.VectorSettings{Dimension: next.Dimension, Metric: metricOf(st.Settings), Model: next.Model}
		st.Generation, st.Next, st.Turning = next.Generation, nil, true
		st.Version++
		return (&Act{Who: next.By, What: ActSpaceReembedded, Target: string(s.name), Note: next.Model}).put(tx)
	})
}

// giveUp lets the space forget the model to come.
func (s *Space) giveUp(next *store.NextModel) error {
	ctx, cancel := s.db.untilClosing()
	defer cancel()
	return s.changeState(ctx, func(_ *store.Tx, st *store.SpaceState) error {
		if st.Next != nil && st.Next.Generation == next.Generation {
			st.Next, st.Turning = nil, true
		}
		return nil
	})
}

// untilClosing gives a context that ends when the database closes.
func (db *DB) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if !db.run.startUnlessClosing("until closing", func() {
		select {
		case <-db.run.stop:
			cancel()
		case <-ctx.Done():
		}
	}) {
		cancel()
	}
	return ctx, cancel
}

// settle brings the nodes in order, drops the vectors of other generations, and says
// so. It is not cancelled: half way is no place to stay.
func (s *Space) settle() (settled int, err error) {
	ctx, cancel := s.db.untilClosing()
	defer cancel()
	generation := s.state.Load().Generation
	for from := memory.Ordinal(0); ; {
		part, err := s.unsettled(generation, from)
		if err != nil {
			return settled, err
		}
		if len(part) == 0 {
			break
		}
		from = part[len(part)-1] + 1
		_, err = s.db.shard.Commit(ctx, &store.Write{Space: s.id, Decide: func(tx *store.Tx) error {
			if s.dropped.Load() {
				return spaceNotFound(s.name)
			}
			n, err := tx.Turn(generation, part)
			settled += n
			return err
		}})
		if err != nil {
			return settled, err
		}
	}
	return settled, s.changeState(ctx, func(_ *store.Tx, st *store.SpaceState) error {
		st.Turning, st.TurnJob = false, ""
		return nil
	})
}

// unsettled finds the next nodes that have something of another generation.
func (s *Space) unsettled(generation uint32, from memory.Ordinal) (part []memory.Ordinal, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	err = v.Nodes(s.id, from, func(n *store.Node) (bool, error) {
		if !n.Settled(generation) {
			part = append(part, n.Ordinal)
		}
		return len(part) < reembedStep, nil
	})
	return part, err
}

// resumeReembeds goes on where the last process was.
func (db *DB) resumeReembeds() {
	db.spaces.RLock()
	defer db.spaces.RUnlock()
	for _, s := range db.spaces.byID {
		if st := s.state.Load(); st.Next != nil || st.Turning {
			s.startReembed()
		}
	}
}

// underCommit brings what was prepared up to the state that its commit finds: the
// space may have gone over to another model meanwhile.
func (p *prepared) underCommit(tx *store.Tx) error {
	s := p.space
	if st := s.state.Load(); st.Next == nil && st.Generation == p.payload.Generation {
		return nil
	}
	st, err := tx.Space(s.name)
	if err != nil || st == nil || st.ID != s.id {
		return err
	}
	if st.Next != nil && len(p.episode.Vector) > 0 && !embeddable(p.episode) {
		return withoutText(p.id)
	}
	if st.Generation == p.payload.Generation {
		return nil
	}
	p.payload.Generation = st.Generation
	if len(p.payload.Made) > 0 { // by the model before
		p.payload.Made, p.model, p.follows = nil, "", true
		if p.in != nil {
			p.in.made = nil
		}
	}
	return memory.CheckVectorFor("vector", p.episode.Vector, s.name, st.Settings.Vector)
}

// generationIn is what a commit finds in force, and on its way.
func (s *Space) generationIn(tx *store.Tx) (st *store.SpaceState, err error) {
	if st, err = tx.Space(s.name); err == nil && (st == nil || st.ID != s.id) {
		err = spaceNotFound(s.name)
	}
	return st, err
}

// steady reads again when the space has gone over to another model meanwhile: the cue
// was embedded by the one before, and may have been compared with vectors of the other.
// Generations only grow, so one that is the same before and after was so between.
func steady[T any](s *Space, read func() (T, error)) (T, error) {
	for {
		before := s.state.Load().Generation
		r, err := read()
		if s.state.Load().Generation == before {
			return r, err
		}
	}
}
