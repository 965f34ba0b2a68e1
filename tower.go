package engram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
	"github.com/engramdb/engram/text"
)

// tower is what a space has in memory while it is open: its indexes, which
// follow the journal. It can be thrown away at any time and built again from
// its last snapshot and the journal, or from the state (snapshot.go).
//
// The committer puts what it has published into queue; whoever comes first
// moves it on into the indexes: the follower goroutine, a recall that must see
// it, or a writer that finds the queue too long. So what is acknowledged is
// found at once, and writers pay when the indexes cannot keep up.
type tower struct {
	space    *Space
	analyzer *text.Analyzer
	model    *openModel // makes the vectors that callers do not give; nil: none

	used    atomic.Int64 // unix nanoseconds of the last use, by the database's clock
	holders int          // guarded by towers.mu: users that keep it from closing
	opened  chan struct{}
	gone    chan struct{} // closed when another takes its place, or none
	err     error         // set before opened is closed: why it could not open

	queue struct {
		sync.Mutex
		items []store.Published
	}
	following sync.Mutex // held by whoever moves the queue on
	linking   sync.Mutex // held by whoever makes links of vectors

	// mu guards the indexes: for reading round every stage of a recall, for
	// writing round each change.
	mu       sync.RWMutex
	facets   *facet.Index
	words    *text.Index
	vectors  *ann.Graph        // nil: the space holds none
	passages *ann.Passages     // of texts that are longer than a model reads; nil with vectors
	near     nearFile          // where its vectors lie
	parts    nearFile          // and those of its passages
	cut      *bitset.BitSet    // while it opens: slots whose texts have passages; nil: it is not known
	cues     recentCues        // what was asked of late, to check the index with
	at       []uint32          // slot -> number under which its vector lies; 0 is none
	lacking  *lacking          // slots whose vector the model has still to make
	next     *nextModel        // the model that the space goes over to; nil: it stays with its own
	st       *store.SpaceState // that the indexes are for; changed by whoever holds following, too
	assoc    *associations     // nil: the engine makes no links here
	applied  memory.LSN
	then     time.Time   // when applied was, of a past (past.go); zero: it is now
	held     holdingCopy // links that hold at a time
	loading  bool        // vectors are read later, in one sweep
	failed   error       // a change that could not be followed: the tower is of no use
	marks    []mark
	saved    memory.LSN // of the newest snapshot
}

// mark says where the journal stood at a time, to know what may be purged.
type mark struct {
	at  time.Time
	lsn memory.LSN
}

func newTower(s *Space) (*tower, error) {
	a, err := text.NewAnalyzer(s.Settings().Language)
	if err != nil {
		return nil, fmt.Errorf("open space %q: %w", s.name, err)
	}
	st := s.state.Load()
	m, _ := s.db.modelOf(st.Settings) // without it the vectors wait; the log says why
	t := &tower{space: s, analyzer: a, model: m, st: st, opened: make(chan struct{}), gone: make(chan struct{})}
	t.clear()
	s.db.warmThesaurus(a)
	return t, nil
}

// clear makes the indexes empty.
func (t *tower) clear() {
	t.facets = facet.New()
	t.words = text.NewIndex(text.Params{Analysis: t.analyzer.Version()})
	t.vectors, t.passages = nil, nil
	if v := t.st.Settings.Vector; v.Dimension > 0 {
		t.vectors = ann.NewGraph(v.Dimension, v.Metric)
		t.passages = ann.NewPassages(v.Dimension, v.Metric)
	}
	t.near, t.parts, t.cut = nearFile{}, nearFile{}, nil
	t.next = t.newNext()
	t.at, t.lacking, t.assoc, t.applied, t.saved = nil, new(lacking), nil, 0, 0
}

func (t *tower) indexes() recall.Indexes {
	ix := recall.Indexes{Facets: t.facets, Words: t.words, Passages: t.passages, Metric: t.space.Settings().Vector.Metric,
		Analyzer: t.analyzer, Thesaurus: t.space.db.thesaurus(t.analyzer)}
	if t.vectors != nil { // or the interface would not be nil
		ix.Vectors = t.vectors
	}
	if t.model != nil {
		ix.Fusion = embed.FusionOf(t.model.Model)
	}
	if t.assoc != nil {
		ix.Links, ix.Known = t.assoc.links, known{t, 0}
	}
	return ix
}

func (t *tower) tail() int {
	t.queue.Lock()
	defer t.queue.Unlock()
	return len(t.queue.items)
}

func (t *tower) enqueue(p []store.Published) {
	t.queue.Lock()
	defer t.queue.Unlock()
	t.queue.items = append(t.queue.items, p...)
}

// followStep bounds how many changes are made under one lock, so that recalls
// get their turn.
const followStep = 64

// catchUp moves the indexes on until they have applied lsn, or all that waits.
func (t *tower) catchUp(lsn memory.LSN) error {
	t.following.Lock()
	defer t.following.Unlock()
	if err := t.adapt(); err != nil {
		t.mu.Lock()
		t.failed = err
		t.mu.Unlock()
	}
	for {
		t.mu.RLock()
		applied, failed := t.applied, t.failed
		t.mu.RUnlock()
		if failed != nil || applied >= lsn {
			return failed
		}
		t.queue.Lock()
		part := t.queue.items[:min(followStep, len(t.queue.items))]
		t.queue.items = t.queue.items[len(part):]
		if len(t.queue.items) == 0 {
			t.queue.items = nil
		}
		t.queue.Unlock()
		if len(part) == 0 {
			return nil
		}
		if err := t.apply(part); err != nil {
			return err
		}
	}
}

// everything is beyond every LSN: catchUp(everything) empties the queue.
const everything = memory.LSN(1<<64 - 1)

func (t *tower) apply(part []store.Published) error {
	v, err := t.space.db.shard.View()
	if err != nil {
		return err
	}
	defer v.Close()
	for _, p := range part { // before the lock: it takes a while
		if in, ok := p.Attachment.(*indexed); ok {
			in.takeApart()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range part {
		if p.Record.LSN <= t.applied {
			continue // it was read from the journal when the tower opened
		}
		if err := t.followRecord(v, p.Record, p.Attachment); err != nil {
			t.failed = memory.InOp("follow", err)
			t.space.db.opts.Logger.Error("index cannot follow the journal", "space", t.space.name, "lsn", p.Record.LSN, "error", err)
			return t.failed
		}
	}
	t.purgeLocked()
	t.noteVectors()
	t.lacking.tell() // who waits for a vector may wait for a version that has gone
	if t.next != nil {
		t.next.lacking.tell()
	}
	return nil
}

// indexed is what a writer hands to the indexes along with the record. While few
// wait, whoever moves the queue on takes the words apart, beside the disk's work;
// when more than wordsLeft wait, each writer does it for its own, so that the
// queue gets shorter.
type indexed struct {
	episode  *memory.Episode
	analyzer *text.Analyzer
	apart    sync.Once // makes document
	document text.Document
	own      bool      // its writer takes it apart
	made     []float32 // the vector that a quick model has made; nil: none
	passages *store.Passages
}

// wordsLeft is how many texts may wait with their words together: a recall that
// comes then has to take them apart first.
const wordsLeft = 64

// takeApart makes the document of a text, once: its writer and who moves the queue on
// may meet at it.
func (in *indexed) takeApart() {
	in.apart.Do(func() { in.document = in.analyzer.Analyze(in.episode.Title, searched(in.episode)) })
}

// followRecord places one record in the indexes. Where the writer gave nothing
// along (the record comes from the journal), the payload is read.
func (t *tower) followRecord(v *store.View, r *store.Record, given any) error {
	defer func() { t.applied = r.LSN }()
	switch r.Kind {
	case store.NodeCreated, store.NodeRevised:
		if r.Node.Kind == memory.KindEntity {
			return t.newEntity(v, r.Node)
		}
		in, err := t.content(v, r.Node, given)
		if err != nil || in == nil {
			return err
		}
		t.put(r.Node, in)
		if t.assoc != nil {
			t.assoc.put(r.Node, in.episode)
		}
		if r.Node.Vector != 0 {
			t.hasVector(r.Node.Ordinal, r.LSN)
		}
	case store.VectorPut, store.VectorMade:
		if !r.Vector.Next {
			t.hasVector(r.Vector.Ordinal, r.LSN)
		}
		return t.putVector(v, r.Vector, given)
	case store.PassagesPut:
		return t.putPassages(v, r.Passages, given)
	case store.VectorsTurned:
		return t.turned(v, r.Turn)
	case store.LinkPut:
		if t.assoc != nil {
			t.assoc.link(r.Link)
		}
	case store.LinksEnded:
		if ended, ok := given.([]*store.Link); ok && t.assoc != nil {
			t.assoc.unlink(ended)
		}
	case store.EntitiesMerged, store.LinksMoved, store.MergeUndone:
		return t.merge(v, r, given)
	case store.NodesEnded:
		for _, o := range r.Nodes.Ordinals {
			t.end(o, r.LSN, r.Nodes.Mode)
			if t.assoc != nil && r.Nodes.Mode != memory.Suppress {
				t.assoc.end(o)
			}
		}
		if r.Nodes.Mode == memory.Erase {
			t.words.Compact() // no word of it stays, in memory or in a snapshot
		}
	case store.NodesShown:
		for _, o := range r.Nodes.Ordinals {
			t.facets.Suppress(o, false, r.LSN)
		}
	}
	return nil
}

// content gives what is to be indexed of a version; nil when it is gone.
func (t *tower) content(v *store.View, n *store.Node, given any) (*indexed, error) {
	if in, ok := given.(*indexed); ok {
		return t.withVector(v, n, in)
	}
	head, found, err := v.Head(t.space.id, n.Ordinal, n.Version)
	if err != nil || !found {
		return nil, err
	}
	e, err := store.DecodeEpisode(head)
	if err != nil {
		return nil, damaged(t.space, n, err)
	}
	if n.Vector != 0 && !t.loading {
		if e.Vector, err = v.Vector(t.space.id, n.Ordinal, n.Vector); err != nil {
			return nil, err
		}
	}
	passages, err := t.passagesOf(v, n)
	return &indexed{episode: &e, document: t.analyzer.Analyze(e.Title, searched(&e)), passages: passages}, err
}

// withVector gives content its vector where the caller did not say it again: a
// model made it of the words, which are the same in this version.
func (t *tower) withVector(v *store.View, n *store.Node, in *indexed) (*indexed, error) {
	if n.Vector == 0 || len(in.episode.Vector) > 0 || t.loading {
		return in, nil
	}
	e := *in.episode
	var err error
	if e.Vector = in.made; e.Vector == nil || n.Vector != n.Version {
		if e.Vector, err = v.Vector(t.space.id, n.Ordinal, n.Vector); err != nil {
			return nil, err
		}
	}
	passages, err := t.passagesOf(v, n)
	return &indexed{episode: &e, document: in.document, passages: passages}, err
}

// putVector gives a version the vector that a model has made of it.
func (t *tower) putVector(v *store.View, of *store.VectorOf, given any) error {
	slot, ok := t.facets.Live(of.Ordinal)
	if !ok {
		return nil
	}
	if row, _ := t.facets.At(slot); row.Version != of.Version {
		return nil
	}
	number := of.At()
	next := t.next != nil && of.Generation == t.next.Generation
	switch {
	case next:
		t.next.note(slot, number)
	case of.Generation == t.st.Generation:
		t.noteVector(slot, number)
		t.noteCut(slot, of.Passages)
	default:
		return nil // of a model that was given up
	}
	if t.loading {
		return nil // it is read in one sweep afterwards
	}
	made, err := t.madeVector(v, of, given)
	if err != nil {
		return err
	}
	if next {
		t.next.put(slot, number, made.Vector)
		putPassages(t.next.passages, slot, made.Passages, t.next.Dimension)
	} else if t.vectors != nil && len(made.Vector) == t.st.Settings.Vector.Dimension {
		t.vectors.Put(slot, made.Vector)
		t.indexPassages(slot, made.Passages)
	}
	return nil
}

// searched is the body that words are searched in: the text, and what a fact says.
func searched(e *memory.Episode) string {
	if e.Fact == nil {
		return e.Text
	}
	return e.Text + "\n" + e.Fact.Subject + " " + e.Fact.Attribute + " " + e.Fact.Value
}

func damaged(s *Space, n *store.Node, cause error) error {
	err := memory.Errorf(memory.KindCorrupt, "corrupt", "the payload of memory %q (version %d) in space %q is damaged: %v", n.ID, n.Version, s.name, cause)
	err.Cause = cause
	return err.Hinted("run `engram verify` on the data directory; restore from a backup what it names")
}

// put gives a version its slot in every index; the version before it dies.
func (t *tower) put(n *store.Node, in *indexed) {
	e := in.episode
	if old, ok := t.facets.Live(n.Ordinal); ok {
		t.unindex(old)
	}
	slot := t.facets.Next()
	t.facets.Put(facetEntry(slot, n, e))
	t.words.Put(slot, in.document)
	vector := e.Vector
	if len(vector) == 0 {
		vector = in.made
	}
	t.placeVector(slot, n, e, vector, in.passages)
}

func facetEntry(slot uint32, n *store.Node, e *memory.Episode) facet.Entry {
	return facet.Entry{Slot: slot, Ordinal: n.Ordinal, Version: n.Version, Kind: n.Kind, Born: n.LSN, Stored: n.Stored,
		Happened: e.Happened, Tags: e.Tags, People: e.People, Stream: e.Stream, Place: e.Place, Metadata: e.Metadata,
		Expires: e.ExpiresAt, Suppressed: n.Suppressed}
}

func (t *tower) noteVector(slot, version uint32) {
	for uint32(len(t.at)) <= slot {
		t.at = append(t.at, 0)
	}
	t.at[slot] = version
}

// unindex takes a slot out of search; the facets keep it for older views.
func (t *tower) unindex(slot uint32) {
	t.words.Delete(slot)
	if t.vectors != nil {
		t.vectors.Delete(slot)
		t.passages.Delete(slot)
	}
	if t.next != nil {
		t.next.vectors.Delete(slot)
		t.next.passages.Delete(slot)
	}
}

func (t *tower) end(o memory.Ordinal, at memory.LSN, mode memory.ForgetMode) {
	if mode == memory.Suppress {
		t.facets.Suppress(o, true, at)
		return
	}
	slot, ok := t.facets.Live(o)
	if ok {
		t.unindex(slot)
	}
	if mode == memory.Erase {
		t.facets.Erase(o)
		return
	}
	t.facets.End(o, at)
}

// purgeLocked lets go of dead slots that no page walk may ask for any more.
func (t *tower) purgeLocked() {
	now, window := t.space.db.Now(), t.space.db.opts.WalkWindow
	if n := len(t.marks); n == 0 || now.Sub(t.marks[n-1].at) >= window/15 {
		t.marks = append(t.marks, mark{now, t.applied})
	}
	for len(t.marks) > 0 && now.Sub(t.marks[0].at) > window {
		t.facets.Purge(t.marks[0].lsn)
		t.marks = t.marks[1:]
	}
}

// towers are the spaces that are open.
type towers struct {
	mu       sync.Mutex
	byID     map[memory.SpaceID]*tower
	work     chan struct{} // holds one token when a queue has something
	unlinked chan struct{} // holds one token when vectors want links
	texts    chan struct{} // holds one token when a text wants a vector
	awaited  chan struct{} // and one when someone waits for it
	fresh    chan struct{} // holds one token when a memory wants links
	asked    chan struct{} // and one when someone waits for them
	shut     bool
}

func (ts *towers) init() {
	ts.byID = make(map[memory.SpaceID]*tower)
	ts.work, ts.texts, ts.fresh, ts.asked = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	ts.unlinked, ts.awaited = make(chan struct{}, 1), make(chan struct{}, 1)
}

// wake puts a token where a goroutine waits for work.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// haveWork wakes whoever makes vectors and links, when there are some to make.
func (ts *towers) haveWork(t *tower) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, b := range t.backlogs() {
		if b.works() {
			wake(ts.texts)
		}
	}
	if t.assoc != nil && len(t.assoc.fresh)+len(t.assoc.near) > 0 && !t.assoc.resting {
		wake(ts.fresh)
	}
	if all := t.linked(); unlinked(all) > 0 || slices.ContainsFunc(all, (*ann.Graph).LacksSketches) {
		wake(ts.unlinked)
	}
}

// hasWork says whether vectors or links are still to be made.
func (t *tower) hasWork() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.lacking.slots.Any() && !t.lacking.full || t.lacking.uncut != nil || unlinked(t.linked()) > 0 || t.assoc != nil && len(t.assoc.fresh)+len(t.assoc.near) > 0 ||
		t.next != nil && t.next.lacking.slots.Any()
}

// use holds a tower that is open and whole for a part of the work beside calls; false
// when it is not.
func (ts *towers) use(t *tower) bool {
	select {
	case <-t.opened:
	default:
		return false // it says so when it has opened
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.err != nil || ts.byID[t.space.id] != t {
		return false
	}
	t.holders++
	return true
}

func (ts *towers) open() []*tower {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	all := make([]*tower, 0, len(ts.byID))
	for _, t := range ts.byID {
		all = append(all, t)
	}
	return all
}

// tower gives the open tower of a space, opening it first when it is not. The
// caller calls release when it has done with it.
func (s *Space) tower(ctx context.Context) (*tower, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	t, mine, err := s.db.towers.hold(s)
	if err != nil {
		return nil, err
	}
	if mine {
		if t.err = t.open(ctx); t.err != nil {
			if ctx.Err() != nil {
				t.err = contextError(ctx, "the space did not open in time")
			}
			s.db.towers.discardTower(t) // before those who wait look, so that they find another
		}
		close(t.opened)
		s.db.towers.haveWork(t)
		wake(s.db.towers.work) // the follower passed over what was written while it opened
		s.db.towers.shrink(s.db)
	}
	if !t.waitOpened(ctx) {
		s.db.towers.release(t)
		return nil, contextError(ctx, "the space did not open in time")
	}
	if t.err != nil {
		s.db.towers.release(t)
		if kind := memory.KindOf(t.err); !mine && (kind == memory.KindCancelled || kind == memory.KindTimeout) {
			return s.tower(ctx) // whoever opened it has gone; that is not this caller's end
		}
		return nil, t.err
	}
	return t, nil
}

// waitOpened waits until the tower is open; one that is open is so also for a caller whose
// time is over.
func (t *tower) waitOpened(ctx context.Context) bool {
	select {
	case <-t.opened:
		return true
	default:
	}
	select {
	case <-t.opened:
		return true
	case <-ctx.Done():
		return false
	}
}

// current gives the tower with all that is acknowledged in its indexes.
func (s *Space) current(ctx context.Context) (*tower, error) {
	t, err := s.tower(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.catchUp(everything); err != nil {
		s.db.towers.release(t)
		s.db.towers.discardTower(t) // the next call builds it anew
		if errors.Is(err, errTurned) {
			return s.current(ctx)
		}
		return nil, err
	}
	return t, nil
}

// hold finds or makes the tower of a space; mine says that the caller opens it.
func (ts *towers) hold(s *Space) (t *tower, mine bool, err error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.shut {
		return nil, false, store.ErrClosed
	}
	t, ok := ts.byID[s.id]
	if !ok {
		if t, err = newTower(s); err != nil {
			return nil, false, err
		}
		ts.byID[s.id] = t
	}
	t.holders++
	t.used.Store(s.db.Now().UnixNano())
	return t, !ok, nil
}

func (ts *towers) release(t *tower) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.holders--
}

// room says whether another space may be open without one being closed.
func (ts *towers) room(most int) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.byID) < most
}

// peek gives the tower if it is open, without holding it.
func (ts *towers) peek(id memory.SpaceID) *tower {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.byID[id]
}

// discard forgets a tower without saving it.
func (ts *towers) discard(id memory.SpaceID) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.byID[id]; t != nil {
		ts.removeLocked(t)
	}
}

func (ts *towers) removeLocked(t *tower) {
	delete(ts.byID, t.space.id)
	close(t.gone)
	t.space.db.vectors.forget(t)
}

func (ts *towers) discardTower(t *tower) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.byID[t.space.id] == t {
		ts.removeLocked(t)
	}
}

// shrink closes the towers that were used least recently until the bound holds.
// Towers in use stay: the bound is exceeded by at most the calls under way.
func (ts *towers) shrink(db *DB) {
	for {
		t := ts.takeIdle(db.opts.MaxOpenSpaces, time.Time{})
		if t == nil {
			return
		}
		db.save(t, snapshotWorth)
	}
}

// closeIdle closes the towers that were last used before a time.
func (ts *towers) closeIdle(db *DB, before time.Time) {
	for {
		t := ts.takeIdle(0, before)
		if t == nil {
			return
		}
		db.save(t, snapshotWorth)
	}
}

// takeIdle takes out the least recently used tower that nobody holds, when more
// than most are open and it was used before the time (zero: at any time). What has
// vectors or links to make is not idle: nobody makes them while it is closed.
func (ts *towers) takeIdle(most int, before time.Time) *tower {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.byID) <= most {
		return nil
	}
	var idle *tower
	for _, t := range ts.byID {
		if t.holders == 0 && (before.IsZero() || !t.hasWork()) && (idle == nil || t.used.Load() < idle.used.Load()) {
			idle = t
		}
	}
	if idle == nil || !before.IsZero() && idle.used.Load() >= before.UnixNano() {
		return nil
	}
	ts.removeLocked(idle)
	return idle
}

// closeAll saves and forgets all towers; none opens afterwards.
func (ts *towers) closeAll(db *DB) {
	ts.mu.Lock()
	ts.shut = true
	all := ts.byID
	ts.byID = make(map[memory.SpaceID]*tower)
	ts.mu.Unlock()
	for _, t := range all {
		<-t.opened
		if t.err == nil {
			db.save(t, snapshotWorth)
		}
	}
}

// indexes says how the indexes of a space stand.
func (ts *towers) indexes(s *Space) []IndexInfo {
	names := []string{"facets", "text"}
	if s.Settings().Vector.Dimension > 0 {
		names = append(names, "vector")
	}
	if s.db.opts.AutoLinks {
		names = append(names, "links")
	}
	infos := make([]IndexInfo, len(names))
	t := ts.peek(s.id)
	for i, name := range names {
		infos[i].Name = name
	}
	if t == nil {
		return infos
	}
	tail := t.tail()
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range infos {
		infos[i].LSN, infos[i].Tail = t.applied, tail
		infos[i].Bytes, infos[i].Items = t.indexSize(infos[i].Name)
		switch {
		case infos[i].Name == "vector":
			infos[i].Tail += int(t.lacking.slots.Count()) + unlinked(t.own())
		case infos[i].Name == "links" && t.assoc != nil:
			infos[i].Tail += len(t.assoc.fresh) + len(t.assoc.near)
		}
	}
	return infos
}

func (t *tower) indexSize(name string) (bytes int64, items int) {
	switch name {
	case "facets":
		st := t.facets.Stats()
		return int64(st.Bytes), st.Live
	case "text":
		st := t.words.Stats()
		return int64(st.Bytes), st.Docs
	case "links":
		if t.assoc == nil {
			return 0, 0
		}
		st := t.assoc.links.Stats()
		return int64(st.Bytes), st.Links
	default:
		if t.vectors == nil { // the space got its first model a moment ago
			return 0, 0
		}
		n, _ := t.passages.Len()
		return int64(t.vectors.Bytes() + t.passages.Bytes()), t.vectors.Len() + n
	}
}

// published is called by the committer for each synced group.
func (db *DB) published(ps []store.Published) {
	for len(ps) > 0 {
		n := 1
		for n < len(ps) && ps[n].Space == ps[0].Space {
			n++
		}
		if ps[0].Space == 0 {
			db.followSpaces(ps[:n])
		} else {
			db.tell(ps[0].Space, ps[:n])
		}
		ps = ps[n:]
	}
	wake(db.towers.work)
}

func (db *DB) tell(id memory.SpaceID, ps []store.Published) {
	db.pasts.tell(id, ps)
	if t := db.towers.peek(id); t != nil {
		t.enqueue(ps)
	}
	db.spaces.RLock()
	s := db.spaces.byID[id]
	db.spaces.RUnlock()
	if s != nil {
		s.hear(ps[len(ps)-1].Record.LSN)
	}
}

// follow moves the indexes on while nobody asks.
func (db *DB) follow() {
	for {
		select {
		case <-db.towers.work:
		case <-db.run.stop:
			return
		}
		for _, t := range db.towers.open() {
			select {
			case <-t.opened:
				if t.err == nil {
					_ = t.catchUp(everything) // kept in the tower; whoever asks next is told
					db.towers.haveWork(t)
				}
			default: // it opens, and catches up then
			}
		}
	}
}
