package engram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
	"github.com/engramdb/engram/text"
)

// associations are what an open space knows of its memories beside what they are
// like: the links, who is called how, who spoke when. They follow the journal like
// every index; they are built from the state when the space opens.
//
// Links that rules make follow their memories as vectors do: a goroutine of the
// database asks the rules about each fresh memory, in the order of the journal,
// and commits what they propose as records of their own, together with how far it
// has come (settingAssociated). So Remember waits for no rule, one memory of a
// batch finds the one before it, and what a crash left without links is found when
// the space opens. The id of such a link says its rule and ends, so that asking
// twice makes nothing twice.
type associations struct {
	links   *graph.Graph
	names   *rules.Names                // of entities and titles
	called  map[memory.Ordinal][]string // what names has of a node
	people  *rules.Names                // by number
	numbers map[string]memory.Ordinal   // of people, from 1
	who     []string                    // by number - 1
	streams map[string]*stream
	notes   []note           // by ordinal
	fresh   []memory.Ordinal // memories that the rules have not been asked about, in order
	done    chan struct{}    // closed when fresh becomes empty; nil: nobody waits
}

// stream is the living memories of a stream, in order.
type stream struct {
	number  uint32
	members []memory.Ordinal
}

// note is what the blend wants to know of a memory.
type note struct {
	in         *stream // nil: none
	name       string  // of the stream
	asks       bool    // its text has a question mark
	endsAsking bool
}

// settingAssociated is how far the rules have been asked: an LSN.
const settingAssociated = "associated"

// associateStep is how many memories are linked in one commit.
const associateStep = 64

// associateWait is how long a recall waits for links that are being made.
const associateWait = 50 * time.Millisecond

func newAssociations() *associations {
	return &associations{links: graph.New(), names: rules.NewNames(), called: make(map[memory.Ordinal][]string),
		people: rules.NewNames(), numbers: make(map[string]memory.Ordinal), streams: make(map[string]*stream)}
}

// put takes in a version of a memory.
func (a *associations) put(n *store.Node, e *memory.Episode) {
	if n.Version > 1 {
		a.forget(n.Ordinal)
	}
	if e.Title != "" {
		a.call(n.Ordinal, rules.Title(e.Title))
	}
	for _, p := range e.People {
		a.person(p)
	}
	for int(n.Ordinal) >= len(a.notes) {
		a.notes = append(a.notes, note{})
	}
	x := note{asks: rules.Asks(e.Text), endsAsking: rules.EndsAsking(e.Text)}
	if e.Stream != "" {
		x.in, x.name = a.stream(e.Stream), e.Stream
		i, found := slices.BinarySearch(x.in.members, n.Ordinal)
		if !found {
			x.in.members = slices.Insert(x.in.members, i, n.Ordinal)
		}
	}
	a.notes[n.Ordinal] = x
	a.fresh = append(a.fresh, n.Ordinal)
}

func (a *associations) call(o memory.Ordinal, name string) {
	if a.names.Add(name, o) {
		a.called[o] = append(a.called[o], name)
	}
}

func (a *associations) person(name string) {
	if a.numbers[name] != 0 {
		return
	}
	a.who = append(a.who, name)
	a.numbers[name] = memory.Ordinal(len(a.who))
	a.people.Add(name, a.numbers[name])
}

func (a *associations) stream(name string) *stream {
	s := a.streams[name]
	if s == nil {
		s = &stream{number: uint32(len(a.streams) + 1)}
		a.streams[name] = s
	}
	return s
}

// entity takes in a version of an entity.
func (a *associations) entity(o memory.Ordinal, e *memory.Entity) {
	a.forget(o)
	a.call(o, e.Name)
	for _, alias := range e.Aliases {
		a.call(o, alias)
	}
}

// forget takes out what a node is called and where it stood.
func (a *associations) forget(o memory.Ordinal) {
	for _, name := range a.called[o] {
		a.names.Remove(name, o)
	}
	delete(a.called, o)
	if int(o) >= len(a.notes) || a.notes[o].in == nil {
		return
	}
	s := a.notes[o].in
	if i, found := slices.BinarySearch(s.members, o); found {
		s.members = slices.Delete(s.members, i, i+1)
	}
	a.notes[o] = note{}
}

// end takes out a node and its links.
func (a *associations) end(o memory.Ordinal) {
	a.forget(o)
	a.links.EndNode(o)
}

func (a *associations) link(l *store.Link) {
	if l.Version > 1 { // it may have had another type
		for _, t := range a.links.Types() {
			if t != l.Type {
				a.links.End(graph.Link{From: l.From, To: l.To, Type: t, Tag: graph.TagOf(l.ID)})
			}
		}
	}
	_ = a.links.Put(graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(l.ID), Weight: l.Weight}) // memory has checked it
}

func (a *associations) unlink(ended []*store.Link) {
	for _, l := range ended {
		a.links.End(graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(l.ID)})
	}
}

// entity follows the record of an entity.
func (t *tower) entity(v *store.View, n *store.Node) error {
	if t.assoc == nil {
		return nil
	}
	head, found, err := v.Head(t.space.id, n.Ordinal, n.Version)
	if err != nil || !found {
		return err
	}
	e, err := store.DecodeEntity(head)
	if err != nil {
		return damaged(t.space, n, err)
	}
	t.assoc.entity(n.Ordinal, &e)
	return nil
}

// findMissing lists the living slots that have no vector yet.
func (t *tower) findMissing() {
	if t.model == nil {
		return
	}
	t.missing = nil
	live, _ := t.facets.Visible(t.facets.Newest(), time.Time{})
	for i, ok := live.NextSet(0); ok; i, ok = live.NextSet(i + 1) {
		if int(i) >= len(t.at) || t.at[i] == 0 {
			t.missing = append(t.missing, uint32(i))
		}
	}
}

// associate builds the associations from the state, when the engine makes links.
func (t *tower) associate(ctx context.Context, v *store.View) error {
	if !t.space.db.opts.AutoLinks {
		return nil
	}
	a := newAssociations()
	var nodes []*store.Node
	err := v.Nodes(t.space.id, 0, func(n *store.Node) (bool, error) {
		nodes = append(nodes, n)
		return true, ctx.Err()
	})
	if err == nil {
		err = t.eachHead(ctx, v, nodes, a.read)
	}
	if err == nil {
		err = v.Links(t.space.id, func(l *store.Link) (bool, error) {
			a.link(l)
			return true, ctx.Err()
		})
	}
	if err != nil {
		return opening(ctx, err)
	}
	done, err := associatedUpTo(v, t.space.id)
	if err != nil {
		return err
	}
	a.fresh = nil
	for _, n := range nodes {
		if n.LSN > done && n.Kind != memory.KindEntity {
			a.fresh = append(a.fresh, n.Ordinal)
		}
	}
	t.assoc = a
	return nil
}

// read takes in a node and its head.
func (a *associations) read(n *store.Node, head []byte) error {
	if n.Kind == memory.KindEntity {
		e, err := store.DecodeEntity(head)
		a.entity(n.Ordinal, &e)
		return err
	}
	e, err := store.DecodeEpisode(head)
	a.put(n, &e)
	return err
}

// eachHead calls f for each of the nodes, which are in the order of their heads,
// with its head, which f does not keep.
func (t *tower) eachHead(ctx context.Context, v *store.View, nodes []*store.Node, f func(*store.Node, []byte) error) error {
	var failed error
	err := v.Heads(t.space.id, func(o memory.Ordinal, version uint32, b []byte) bool {
		if len(nodes) == 0 || nodes[0].Ordinal != o || nodes[0].Version != version {
			return len(nodes) > 0 && ctx.Err() == nil // of an earlier version
		}
		if err := f(nodes[0], b); err != nil {
			failed = damaged(t.space, nodes[0], err)
		}
		nodes = nodes[1:]
		return failed == nil && ctx.Err() == nil
	})
	if err = errors.Join(err, failed, ctx.Err()); err == nil && len(nodes) > 0 {
		return damaged(t.space, nodes[0], errors.New("it is missing"))
	}
	return err
}

func associatedUpTo(v *store.View, id memory.SpaceID) (lsn memory.LSN, err error) {
	failed := v.Settings(id, settingAssociated, func(_ string, value []byte) bool {
		err = store.Decode(value, &lsn)
		return false
	})
	return lsn, errors.Join(failed, err)
}

// waitAssociated waits a little for the links of what is in the indexes.
func (t *tower) waitAssociated(ctx context.Context) {
	t.mu.Lock()
	if t.assoc == nil || len(t.assoc.fresh) == 0 {
		t.mu.Unlock()
		return
	}
	if t.assoc.done == nil {
		t.assoc.done = make(chan struct{})
	}
	done := t.assoc.done
	t.mu.Unlock()
	wake(t.space.db.towers.fresh)
	select {
	case <-done:
	case <-t.space.db.opts.Clock.After(associateWait):
	case <-ctx.Done():
	}
}

// associateAll makes links while there are memories that the rules have not been
// asked about.
func (db *DB) associateAll() {
	for {
		select {
		case <-db.towers.fresh:
		case <-db.run.stop:
			return
		}
		for _, t := range db.towers.open() {
			if err := db.associateTower(t); err != nil && !db.run.closing() {
				db.opts.Logger.Warn("links are delayed", "space", t.space.name, "error", err)
			}
		}
	}
}

func (db *DB) associateTower(t *tower) error {
	select {
	case <-t.opened:
	default:
		return nil // it says so when it has opened
	}
	if t.err != nil || db.opts.ReadOnly {
		return nil
	}
	for !db.run.closing() && !t.space.dropped.Load() {
		part := t.freshPart()
		if len(part) == 0 {
			return nil
		}
		if err := t.linkPart(part); err != nil {
			return err
		}
	}
	return nil
}

// freshPart is the next memories to ask about; they leave the list once their
// links are committed.
func (t *tower) freshPart() []memory.Ordinal {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.assoc == nil {
		return nil
	}
	return slices.Clone(t.assoc.fresh[:min(associateStep, len(t.assoc.fresh))])
}

// linkPart asks the rules about memories and commits what they propose.
func (t *tower) linkPart(part []memory.Ordinal) error {
	links, upTo, err := t.proposals(part)
	if err != nil {
		return err
	}
	s := t.space
	_, err = s.db.shard.Commit(context.Background(), &store.Write{Space: s.id, Decide: func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		for _, l := range links {
			if err := placeProposal(tx, l); err != nil {
				return err
			}
		}
		if upTo == 0 {
			return nil
		}
		return tx.PutSetting(settingAssociated, store.Encode(upTo))
	}})
	if err != nil {
		return err
	}
	if err := t.catchUp(everything); err != nil { // the next memory is asked about with these links in place
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.assoc
	a.fresh = a.fresh[len(part):]
	if len(a.fresh) == 0 {
		a.fresh = nil
		if a.done != nil {
			close(a.done)
			a.done = nil
		}
	}
	return nil
}

// placeProposal adds a link that a rule proposed, unless it stands or an end of it
// has gone.
func placeProposal(tx *store.Tx, l *store.Link) error {
	old, err := tx.Link(l.ID)
	if err != nil || old != nil {
		return err
	}
	for _, end := range []struct {
		o  memory.Ordinal
		id *memory.ID
	}{{l.From, &l.FromID}, {l.To, &l.ToID}} {
		n, err := tx.NodeIfLives(end.o)
		if err != nil || n == nil {
			return err
		}
		*end.id = n.ID
	}
	return tx.PutLink(l, nil, nil)
}

// proposals asks the rules about memories as they stand; upTo is the newest record
// of them.
func (t *tower) proposals(part []memory.Ordinal) (links []*store.Link, upTo memory.LSN, err error) {
	v, err := t.space.view()
	if err != nil {
		return nil, 0, err
	}
	defer v.Close()
	for _, o := range part {
		n, err := v.Node(t.space.id, o)
		if err != nil {
			return nil, 0, err
		}
		if n == nil {
			continue
		}
		upTo = max(upTo, n.LSN)
		m, found, err := t.space.load(v, n, ReadOptions{})
		if err != nil {
			return nil, 0, err
		}
		if !found || n.Suppressed {
			continue
		}
		t.mu.RLock()
		proposed := rules.Set{}.Propose(&m.Episode, lookup{known{t, o}, v})
		t.mu.RUnlock()
		for _, p := range proposed {
			links = append(links, linkOf(o, p))
		}
	}
	return links, upTo, nil
}

// linkOf is the link of a proposal. Its id says what made it.
func linkOf(o memory.Ordinal, p rules.Proposal) *store.Link {
	from, to := o, p.Other
	if p.Back {
		from, to = to, from
	}
	return &store.Link{ID: memory.ID(fmt.Sprintf("~%s~%d~%d", p.Rule, from, to)), From: from, To: to, Type: p.Type, Weight: p.Weight, Rule: p.Rule}
}

// known answers what the rules and recall ask about an open space. Its methods are
// called with t.mu held for reading.
type known struct {
	t    *tower
	self memory.Ordinal // the memory that is asked about; it is never the answer
}

// seen says whether a node can be linked to: it lives, and is not suppressed.
func (k known) seen(o memory.Ordinal) bool {
	slot, ok := k.t.facets.Live(o)
	if !ok {
		return len(k.t.assoc.called[o]) > 0 // an entity has no slot
	}
	row, _ := k.t.facets.At(slot)
	return !row.Suppressed
}

// Previous is the memory before it in a stream.
func (k known) Previous(name string) memory.Ordinal {
	s := k.t.assoc.streams[name]
	if s == nil {
		return 0
	}
	i, _ := slices.BinarySearch(s.members, k.self)
	for i--; i >= 0; i-- {
		if k.seen(s.members[i]) {
			return s.members[i]
		}
	}
	return 0
}

// Asks says whether a memory's text asks something.
func (k known) Asks(o memory.Ordinal) bool {
	return int(o) < len(k.t.assoc.notes) && k.t.assoc.notes[o].asks
}

// Named gives the known names in a text.
func (k known) Named(text string, give func(rules.Mention) bool) {
	k.t.assoc.names.Find(text, func(m rules.Mention) bool {
		m.Nodes = slices.DeleteFunc(m.Nodes, func(o memory.Ordinal) bool { return o == k.self || !k.seen(o) })
		return len(m.Nodes) == 0 || give(m)
	})
}

// Frequency is in how many memories words stand, at most.
func (k known) Frequency(words string) (have, of int) {
	return k.t.words.Frequency(k.t.analyzer.Query(words)), k.t.words.Stats().Docs
}

// WithPerson is the latest memory before it with a person.
func (k known) WithPerson(name string) memory.Ordinal {
	return k.before(&memory.Filter{People: []string{name}})
}

// AtPlace is the latest memory before it at a place.
func (k known) AtPlace(name string) memory.Ordinal {
	return k.before(&memory.Filter{Place: &memory.PlaceFilter{Name: name}})
}

func (k known) before(f *memory.Filter) memory.Ordinal {
	slot, ok := k.t.facets.Live(k.self)
	if !ok || slot == 0 {
		return 0
	}
	selected, _ := k.t.facets.Select(f, k.t.applied, k.t.space.db.Now())
	at, ok := selected.PreviousSet(uint(slot - 1))
	if !ok {
		return 0
	}
	row, _ := k.t.facets.At(uint32(at))
	return row.Ordinal
}

// Stream is the number of a memory's stream; 0: none.
func (k known) Stream(o memory.Ordinal) uint32 {
	if int(o) >= len(k.t.assoc.notes) || k.t.assoc.notes[o].in == nil {
		return 0
	}
	return k.t.assoc.notes[o].in.number
}

// EndsAsking says whether a memory's text ends with a question.
func (k known) EndsAsking(o memory.Ordinal) bool {
	return int(o) < len(k.t.assoc.notes) && k.t.assoc.notes[o].endsAsking
}

// PeopleIn are the slots of memories with someone whom a cue names; nil: it names
// nobody.
func (k known) PeopleIn(cue string) *bitset.BitSet {
	var all *bitset.BitSet
	k.t.assoc.people.Find(cue, func(m rules.Mention) bool {
		for _, number := range m.Nodes {
			f := &memory.Filter{People: []string{k.t.assoc.who[number-1]}}
			selected, _ := k.t.facets.Select(f, k.t.applied, k.t.space.db.Now())
			if all == nil {
				all = bitset.New(selected.Len())
			}
			all.InPlaceUnion(selected)
		}
		return true
	})
	return all
}

// Holding is none: recall asks for no texts. See lookup.
func (k known) Holding(string, int) []memory.Ordinal { return nil }

// lookup is known with the texts themselves, for the rules.
type lookup struct {
	known
	v *store.View
}

// holdingLooked bounds the texts that are read to find words in them.
const holdingLooked = 24

// Holding gives memories whose text has these words one after the other, the
// latest first. It reads texts with the lock held for reading; there are few.
func (l lookup) Holding(words string, most int) []memory.Ordinal {
	t := l.t
	allowed, _ := t.facets.Visible(t.applied, t.space.db.Now())
	var ns []memory.Ordinal
	for _, h := range t.words.Search(t.analyzer.Query(words), text.SearchOptions{Limit: holdingLooked, Allow: allowed}) {
		row, _ := t.facets.At(h.Doc)
		if row.Ordinal == l.self {
			continue
		}
		m, found, err := t.space.loadRow(l.v, row, ReadOptions{})
		if err == nil && found && rules.Holds(searched(&m.Episode), words) {
			ns = append(ns, row.Ordinal)
		}
	}
	slices.SortFunc(ns, func(a, b memory.Ordinal) int { return int(b) - int(a) })
	return ns[:min(len(ns), most)]
}
