package engram

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	links    *graph.Graph
	names    *rules.Names                // of entities and titles
	called   map[memory.Ordinal][]string // what names has of a node
	entities map[memory.Ordinal]struct{}
	people   *rules.Names              // by number
	numbers  map[string]memory.Ordinal // of people, from 1
	who      []person                  // by number - 1
	streams  map[string]*stream
	opened   uint32                     // streams so far: the number of the last
	notes    []note                     // by ordinal
	fresh    []fresh                    // versions that the rules have not been asked about, in order
	near     []fresh                    // whose vectors have come, where the rule similar is on
	resting  bool                       // links could not be made a moment ago
	done     chan struct{}              // closed when fresh becomes empty; nil: nobody waits
	were     map[graph.Link]*store.Link // of a past: links that have changed since, by ends, type and tag
	timed    map[memory.ID]timedLink    // that hold for a time only; nil: nobody has asked (timed.go)
	timing   *timedReading              // somebody reads them just now
	rules    atomic.Pointer[ruleSet]    // of the settings as they were last asked; needs no lock
}

// fresh is a version of a memory, by the record that made it.
type fresh struct {
	node memory.Ordinal
	lsn  memory.LSN
}

// person is someone who was there, by name. Whom no memory knows any more is
// forgotten: the name may have been erased.
type person struct {
	name     string
	memories int
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
	people     []memory.Ordinal
	asks       bool // its text has a question mark
	endsAsking bool
}

// settingAssociated is how far the rules have been asked: an LSN.
const settingAssociated = "associated"

// associateStep is how many memories are linked together.
const associateStep = 64

// associateWait is how long a recall waits for links that are being made.
const associateWait = 50 * time.Millisecond

func newAssociations() *associations {
	return &associations{links: graph.New(), names: rules.NewNames(), called: make(map[memory.Ordinal][]string),
		entities: make(map[memory.Ordinal]struct{}), people: rules.NewNames(), numbers: make(map[string]memory.Ordinal), streams: make(map[string]*stream)}
}

// put takes in a version of a memory.
func (a *associations) put(n *store.Node, e *memory.Episode) {
	if n.Version > 1 {
		a.forget(n.Ordinal)
	}
	if e.Title != "" {
		a.call(n.Ordinal, rules.Title(e.Title))
	}
	for int(n.Ordinal) >= len(a.notes) {
		a.notes = append(a.notes, note{})
	}
	x := note{people: a.present(e.People), asks: rules.Asks(e.Text), endsAsking: rules.EndsAsking(e.Text)}
	if e.Stream != "" {
		x.in, x.name = a.stream(e.Stream), e.Stream
		i, found := slices.BinarySearch(x.in.members, n.Ordinal)
		if !found {
			x.in.members = slices.Insert(x.in.members, i, n.Ordinal)
		}
	}
	a.notes[n.Ordinal] = x
	a.fresh = append(a.fresh, fresh{n.Ordinal, n.LSN})
}

func (a *associations) call(o memory.Ordinal, name string) {
	if a.names.Add(name, o) {
		a.called[o] = append(a.called[o], name)
	}
}

// present counts those who were there, and gives their numbers.
func (a *associations) present(names []string) (numbers []memory.Ordinal) {
	for _, name := range names {
		number := a.numbers[name]
		if number == 0 {
			a.who = append(a.who, person{name: name})
			number = memory.Ordinal(len(a.who))
			a.numbers[name] = number
			a.people.Add(name, number)
		}
		a.who[number-1].memories++
		numbers = append(numbers, number)
	}
	return numbers
}

func (a *associations) absent(numbers []memory.Ordinal) {
	for _, number := range numbers {
		p := &a.who[number-1]
		if p.memories--; p.memories == 0 {
			a.people.Remove(p.name, number)
			delete(a.numbers, p.name)
			p.name = ""
		}
	}
}

func (a *associations) stream(name string) *stream {
	s := a.streams[name]
	if s == nil {
		a.opened++
		s = &stream{number: a.opened}
		a.streams[name] = s
	}
	return s
}

// entity takes in a version of an entity.
func (a *associations) entity(o memory.Ordinal, e *memory.Entity) {
	a.forget(o)
	a.entities[o] = struct{}{}
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
	delete(a.entities, o)
	if int(o) >= len(a.notes) {
		return
	}
	x := a.notes[o]
	a.notes[o] = note{}
	a.absent(x.people)
	if x.in == nil {
		return
	}
	if i, found := slices.BinarySearch(x.in.members, o); found {
		x.in.members = slices.Delete(x.in.members, i, i+1)
	}
	if len(x.in.members) == 0 {
		delete(a.streams, x.name)
	}
}

// end takes out a node and its links.
func (a *associations) end(o memory.Ordinal) {
	a.forget(o)
	a.links.EndNode(o)
}

func (a *associations) link(l *store.Link) {
	a.noteTimed(timedChange{link: l})
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
		a.noteTimed(timedChange{l, true})
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

// newEntity follows a new version of an entity: older texts may say its names.
func (t *tower) newEntity(v *store.View, n *store.Node) error {
	err := t.entity(v, n)
	if err == nil && t.assoc != nil {
		t.assoc.fresh = append(t.assoc.fresh, fresh{n.Ordinal, n.LSN})
	}
	return err
}

// findMissing lists the living slots that have no vector yet, suppressed ones too:
// they may be shown again.
func (t *tower) findMissing() {
	t.lacking = new(lacking)
	if t.space.db.opts.ReadOnly {
		return
	}
	if t.model != nil {
		t.lacking = t.withoutVector(t.at)
		t.lacking.uncut = t.beginUncut()
	}
	if t.next != nil {
		t.next.lacking = t.withoutVector(t.next.at)
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
		err = t.openLinks(ctx, v, a)
	}
	if err != nil {
		return opening(ctx, err)
	}
	done, err := associatedUpTo(v, t.space.id)
	if err != nil {
		return err
	}
	a.fresh = nil
	if !t.space.db.opts.ReadOnly {
		a.fresh = freshAfter(nodes, done)
	}
	t.assoc = a
	if t.linksSimilar() {
		return t.findNear(ctx, v, a)
	}
	return nil
}

// freshAfter lists the memories and entities whose version is younger than a record, in
// the order of the journal.
func freshAfter(nodes []*store.Node, done memory.LSN) (list []fresh) {
	for _, n := range nodes {
		if n.LSN > done {
			list = append(list, fresh{n.Ordinal, n.LSN})
		}
	}
	slices.SortFunc(list, func(a, b fresh) int { return cmp.Compare(a.lsn, b.lsn) })
	return list
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
	done := t.associating()
	if done == nil {
		return
	}
	wake(t.space.db.towers.fresh)
	wake(t.space.db.towers.asked)
	t.space.db.shard.Hurry()
	select {
	case <-done:
	case <-t.gone:
	case <-t.space.db.opts.Clock.After(associateWait):
	case <-ctx.Done():
	}
}

// associating gives what is closed when all links are made; nil when they are, or
// cannot be made at present.
func (t *tower) associating() chan struct{} {
	t.mu.RLock()
	idle := t.assoc == nil || len(t.assoc.fresh) == 0 || t.assoc.resting
	t.mu.RUnlock()
	if idle {
		return nil // without keeping other recalls out
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.assoc.fresh) == 0 || t.assoc.resting {
		return nil
	}
	if t.assoc.done == nil {
		t.assoc.done = make(chan struct{})
	}
	return t.assoc.done
}

// associateAll makes links while there are memories that the rules have not been
// asked about.
func (db *DB) associateAll() {
	aside := db.aside()
	for {
		select {
		case <-db.towers.fresh:
		case <-db.run.stop:
			return
		}
		if !db.lull(associateLull, db.towers.asked) {
			return
		}
		db.inTurns(func(t *tower) bool { return db.associatePart(t, aside) })
	}
}

// associateLull is how long the rules wait for more memories to be asked about
// together, unless someone waits for their links: a commit for every one of them would
// take the disk from a writer of many.
const associateLull = 5 * time.Millisecond

// lull waits for more, unless someone waits for what is there; false: the database closes.
// It goes by the machine's clock, as it decides nothing but what is committed together.
func (db *DB) lull(d time.Duration, awaited <-chan struct{}) bool {
	select {
	case <-time.After(d):
	case <-awaited:
	case <-db.run.stop:
		return false
	}
	return true
}

// associatePart makes some of a space's links; it says whether there may be more to
// make.
func (db *DB) associatePart(t *tower, aside *aside) bool {
	if db.opts.ReadOnly || t.space.dropped.Load() {
		return false
	}
	part := t.freshPart()
	near := t.nearPart()
	if len(part)+len(near) == 0 {
		return false
	}
	var err error
	if len(part) > 0 {
		near = nil // their turn comes when there are links to tell what is linked already
		err = t.linkPart(part, aside)
	} else {
		err = t.linkNear(near)
	}
	t.mu.Lock()
	t.assoc.settle(len(part), err != nil)
	if err == nil {
		t.assoc.near = t.assoc.near[len(near):]
	}
	t.mu.Unlock()
	if err == nil {
		return true
	}
	if !db.run.closing() && !t.space.dropped.Load() {
		db.opts.Logger.Warn("links are delayed", "space", t.space.name, "error", err)
		db.later("associate later", t.associateAgain)
	}
	return false
}

// associateAgain ends the rest after a failure.
func (t *tower) associateAgain() {
	t.mu.Lock()
	t.assoc.resting = false
	t.mu.Unlock()
	wake(t.space.db.towers.fresh)
}

// settle takes the first of the fresh list off when their links are committed. Who
// waits for all links is told when they are there, and when they will be late.
func (a *associations) settle(n int, failed bool) {
	a.resting = failed
	if !failed {
		a.fresh = a.fresh[n:]
	}
	if len(a.fresh) == 0 {
		a.fresh = nil
	}
	if a.done != nil && (failed || a.fresh == nil) {
		close(a.done)
		a.done = nil
	}
}

// freshPart is the next memories to ask about; they leave the list once their
// links are committed.
func (t *tower) freshPart() []fresh {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.assoc == nil || t.assoc.resting {
		return nil
	}
	return slices.Clone(t.assoc.fresh[:min(associateStep, len(t.assoc.fresh))])
}

// linksAwaited says whether someone waits for links.
func (t *tower) linksAwaited() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.assoc.done != nil
}

// asked is a version and the links that the rules propose for it.
type asked struct {
	node  *store.Node
	links []*store.Link
}

// linkPart asks the rules about memories and commits what they propose, and that they
// have been asked up to the last of them. A writer may wait for what is being decided, so
// that is done in steps, unless there are so many memories that links fall behind.
func (t *tower) linkPart(part []fresh, aside *aside) error {
	all, err := t.proposals(part, aside)
	if err != nil {
		return err
	}
	step, behind := linksStep, len(part) == associateStep
	if behind {
		step = len(part) * rules.EntityLinksMost
	}
	for {
		some, rest := firstOf(all, step)
		upTo := part[len(part)-1].lsn
		if len(rest) > 0 {
			upTo = some[len(some)-1].node.LSN
		}
		if err := t.commitLinks(some, upTo, behind); err != nil {
			return err
		}
		if all = rest; len(all) == 0 {
			return t.catchUp(everything) // the next memory is asked about with these links in place
		}
	}
}

// linksStep is how many links are made in one commit, if a memory alone has not more. One
// takes some 25 microseconds there, and three or four are made of a memory: fewer at once
// fall behind 200 writes a second.
const linksStep = 8

// firstOf splits a list where it has so many links.
func firstOf(all []asked, links int) (some, rest []asked) {
	n, have := 0, 0
	for n < len(all) && (n == 0 || have+len(all[n].links) <= links) {
		have += len(all[n].links)
		n++
	}
	return all[:n], all[n:]
}

// commitLinks commits what was proposed, and how far the rules have been asked.
func (t *tower) commitLinks(all []asked, upTo memory.LSN, atOnce bool) error {
	s := t.space
	_, err := s.db.shard.Commit(context.Background(), &store.Write{Space: s.id, Later: !atOnce && !t.linksAwaited(), Decide: func(tx *store.Tx) error {
		if s.dropped.Load() {
			return spaceNotFound(s.name)
		}
		for _, a := range all {
			if err := a.place(tx); err != nil {
				return err
			}
		}
		return tx.PutSetting(settingAssociated, store.Encode(upTo))
	}})
	return err
}

// place adds the links that were proposed for a version, if it still stands: of one
// that was changed meanwhile the rules are asked again.
func (a asked) place(tx *store.Tx) error {
	n, err := tx.NodeIfLives(a.node.Ordinal)
	if err != nil || n == nil || n.Version != a.node.Version {
		return err
	}
	if n.Kind == memory.KindEntity {
		return a.placeAtEntity(tx)
	}
	if n.Version > 1 {
		if err := a.endOutdated(tx); err != nil {
			return err
		}
	}
	for _, l := range a.links {
		if _, err := placeProposal(tx, l); err != nil {
			return err
		}
	}
	return nil
}

// placeAtEntity adds the links of memories to an entity that came after them, to those
// that have room for one.
func (a asked) placeAtEntity(tx *store.Tx) error {
	for _, l := range a.links {
		made, err := madeIn(tx, l.From)
		if err != nil {
			return err
		}
		if len(made) < rules.LinksMost {
			if _, err := placeProposal(tx, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// madeIn lists the links that rules have read in a memory: those that go out from it,
// and those of the one before it in its stream. Whatever else points to it is not looked
// at.
func madeIn(tx *store.Tx, o memory.Ordinal) (ids []memory.ID, err error) {
	for _, part := range []struct {
		d      memory.Direction
		prefix memory.ID
	}{{memory.Out, madeIDs}, {memory.In, madeIDs + rules.RuleNext + madeIDs}, {memory.In, madeIDs + rules.RuleAnswer + madeIDs}} {
		some, err := tx.LinkIDsOf(o, part.d, part.prefix)
		if err != nil {
			return nil, err
		}
		ids = append(ids, slices.DeleteFunc(some, func(id memory.ID) bool { return !readIn(id, o) })...)
	}
	return ids, nil
}

// endOutdated takes out what the rules have read in an earlier version and do not read
// in this one. Links that others have drawn stay.
func (a asked) endOutdated(tx *store.Tx) error {
	ids, err := madeIn(tx, a.node.Ordinal)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id memory.ID) bool {
		return slices.ContainsFunc(a.links, func(l *store.Link) bool { return l.ID == id })
	})
	if len(ids) == 0 {
		return nil
	}
	return tx.EndLinks(ids)
}

// placeProposal adds a link that a rule proposed, unless it stands or an end of it
// has gone; it says whether it did.
func placeProposal(tx *store.Tx, l *store.Link) (bool, error) {
	old, err := tx.Link(l.ID)
	if err != nil || old != nil {
		return false, err
	}
	for _, end := range []struct {
		o  memory.Ordinal
		id *memory.ID
	}{{l.From, &l.FromID}, {l.To, &l.ToID}} {
		n, err := tx.NodeIfLives(end.o)
		if err != nil || n == nil {
			return false, err
		}
		*end.id = n.ID
	}
	return true, tx.PutLink(l, nil, nil)
}

// proposals asks the rules about memories as they stand. What was changed since it
// came to the list comes again. A suppressed memory has its links like any other: no
// recall goes along them until it is shown again.
func (t *tower) proposals(part []fresh, aside *aside) (all []asked, err error) {
	v, err := t.space.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	for _, f := range part {
		if !t.linksAwaited() {
			aside.step()
		}
		n, err := v.Node(t.space.id, f.node)
		if err != nil {
			return nil, err
		}
		if n == nil || n.LSN != f.lsn {
			continue
		}
		one, found, err := t.ask(v, n)
		if err != nil {
			return nil, err
		}
		if found {
			all = append(all, one)
		}
	}
	return all, nil
}

// ask asks the rules about a version.
func (t *tower) ask(v *store.View, n *store.Node) (a asked, found bool, err error) {
	a.node = n
	if n.Kind == memory.KindEntity {
		e, err := t.space.loadEntity(v, n)
		if memory.KindOf(err) == memory.KindNotFound {
			return a, false, nil
		}
		a.links = t.proposeEntity(v, n.Ordinal, &e)
		return a, err == nil, err
	}
	m, found, err := t.space.load(v, n, ReadOptions{})
	if found {
		a.links = t.propose(v, n.Ordinal, &m.Episode)
	}
	return a, found, err
}

// rules are those that the space's settings say.
func (t *tower) rules() rules.Set {
	st := t.space.state.Load()
	if r := t.assoc.rules.Load(); r != nil && r.version == st.Version {
		return r.set
	}
	r := &ruleSet{st.Version, rules.SetOf(st.Settings.Links, st.Version)}
	t.assoc.rules.Store(r)
	return r.set
}

// ruleSet is the rules of a version of the space's settings.
type ruleSet struct {
	version uint32
	set     rules.Set
}

// proposeEntity says which older memories are linked to an entity. One that has a link
// of the rule to it already, by the name of another that was merged into it, needs none.
func (t *tower) proposeEntity(v *store.View, o memory.Ordinal, e *memory.Entity) (links []*store.Link) {
	set := t.rules()
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range set.ProposeEntity(e, lookup{known{t, o}, v}) {
		if len(t.assoc.links.Tags(p.Other, o, p.Type)) == 0 {
			links = append(links, linkOf(o, p))
		}
	}
	return links
}

func (t *tower) propose(v *store.View, o memory.Ordinal, e *memory.Episode) (links []*store.Link) {
	set := t.rules()
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range set.Propose(e, lookup{known{t, o}, v}) {
		links = append(links, linkOf(o, p))
	}
	return links
}

// linkOf is the link of a proposal. Its id says what made it.
func linkOf(o memory.Ordinal, p rules.Proposal) *store.Link {
	from, to := o, p.Other
	if p.Back {
		from, to = to, from
	}
	return &store.Link{ID: madeID(p.Rule, from, to), From: from, To: to, Type: p.Type, Weight: p.Weight, Rule: p.Rule, RuleVersion: p.Version}
}

// readIn says whether a link is one that a rule reads in a node's own content: what it
// mentions, who and what place it shares, what comes before it. See linkOf.
func readIn(id memory.ID, o memory.Ordinal) bool {
	part := strings.Split(string(id), "~")
	if len(part) != 4 || part[0] != "" {
		return false
	}
	self := strconv.FormatUint(uint64(o), 10)
	switch part[1] {
	case rules.RuleNext, rules.RuleAnswer:
		return part[3] == self
	}
	return part[2] == self
}

// madeID is the id of a link that a rule makes: one, whoever asks twice.
func madeID(rule string, from, to memory.Ordinal) memory.ID {
	return memory.ID(fmt.Sprintf("%s%s%s%d%s%d", madeIDs, rule, madeIDs, from, madeIDs, to))
}

// ruleVersion is the version of the rule that made a link. Those of the first version did
// not say it.
func ruleVersion(l *store.Link) uint32 {
	if l.RuleVersion == 0 && afterMade(l.ID) != "" && l.Rule != memory.RuleCaller {
		return 1
	}
	return l.RuleVersion
}

// madeIDs begins the ids of links that rules make. See linkOf.
const madeIDs = "~"

// afterMade is where the links end that were made by the rule that made one, in the
// order of ids; "" when a caller named the link. What a caller has called so, with
// the number that follows the rule, is passed over with them.
func afterMade(id memory.ID) memory.ID {
	if len(id) == 0 || id[0] != madeIDs[0] {
		return ""
	}
	rule, rest, _ := strings.Cut(string(id[1:]), madeIDs)
	from, to, ok := strings.Cut(rest, madeIDs)
	if !ok || !isNumber(from) || !isNumber(to) {
		return ""
	}
	return memory.ID(madeIDs + rule + madeIDs + "9\x7f")
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
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
		return k.Carries(o)
	}
	row, _ := k.t.facets.At(slot)
	return !row.Suppressed
}

// Carries says whether a node is an entity, which has no slot.
func (k known) Carries(o memory.Ordinal) bool {
	_, ok := k.t.assoc.entities[o]
	return ok
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

// Earlier says whether a node came before it.
func (k known) Earlier(o memory.Ordinal) bool { return o < k.self }

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
	for looked := 0; ok && looked < beforeLooked; looked++ {
		row, _ := k.t.facets.At(uint32(at))
		if row.Ordinal < k.self {
			return row.Ordinal
		}
		if at == 0 {
			break
		}
		at, ok = selected.PreviousSet(at - 1) // it came later, and was changed
	}
	return 0
}

// beforeLooked bounds how many memories are passed over that came later.
const beforeLooked = 1000

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
			f := &memory.Filter{People: []string{k.t.assoc.who[number-1].name}}
			selected, _ := k.t.facets.Select(f, k.t.applied, k.t.now())
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

// holdingLooked is how many texts are read to find words in them, at least: four times as
// many as are wanted.
const holdingLooked = 24

// Holding gives memories whose text has these words one after the other, the
// latest first. It reads texts with the lock held for reading; there are few.
func (l lookup) Holding(words string, most int) []memory.Ordinal {
	t := l.t
	allowed, _ := t.facets.Visible(t.applied, t.space.db.Now())
	var ns []memory.Ordinal
	for _, h := range t.words.Search(t.analyzer.Query(words), text.SearchOptions{Limit: max(holdingLooked, 4*most), Allow: allowed}) {
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
