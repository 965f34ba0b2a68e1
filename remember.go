package engram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Remember stores one memory and returns once it is durable. Errors:
// id_conflict, id_in_use (conflict); the codes of memory.Episode.Normalize and
// memory.CheckVectorFor (invalid); disk_full; commit_queue_full (busy).
func (s *Space) Remember(ctx context.Context, e memory.Episode, o WriteOptions) (Written, error) {
	w, err := s.remember(ctx, e, o)
	return w, memory.InOp("remember", err)
}

func (s *Space) remember(ctx context.Context, e memory.Episode, o WriteOptions) (Written, error) {
	if err := s.admit(); err != nil {
		return Written{}, err
	}
	p, err := s.prepare(e, 0)
	if err != nil {
		return Written{}, err
	}
	p.takeApart()
	if err := s.admitVectors(min(1, len(e.Vector))); err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "remember", o, &w, p.args(o), func(tx *store.Tx) error {
		plan, err := p.plan(tx, o)
		if err != nil {
			return err
		}
		w, err = plan.place(tx)
		return err
	})
	w.Replayed = c.Replayed
	if err == nil && o.WaitVector {
		s.waitPending(ctx, &w, false)
	}
	return w, err
}

// admit slows a writer down when the indexes are behind: it moves them on
// itself before it may write.
func (s *Space) admit() error {
	if err := s.alive(); err != nil {
		return err
	}
	t := s.db.towers.peek(s.id)
	if t == nil {
		if s.db.opts.AutoLinks || s.hasModel() {
			s.openSoon() // vectors and links are made while the space is open
		}
		return nil
	}
	if t.tail() < s.db.opts.TailBound {
		return nil
	}
	select {
	case <-t.opened:
	default:
		return nil // it follows the journal when it has opened
	}
	if t.err != nil {
		return nil
	}
	_ = t.catchUp(everything) // a broken index is told to readers, it does not stop writers
	return nil
}

// openSoon opens the space's indexes behind a writer's back while there is room:
// where nothing follows, a writer alone need not pay for indexes that nobody reads.
func (s *Space) openSoon() {
	if !s.db.towers.room(s.db.opts.MaxOpenSpaces) {
		return
	}
	s.db.run.startUnlessClosing("open space", func() {
		if t, err := s.tower(context.Background()); err == nil {
			s.db.towers.release(t)
		} // whoever recalls is told what is wrong
	})
}

// prepared is a memory that has been checked and turned into bytes, on its
// writer's goroutine.
type prepared struct {
	space   *Space
	given   bool // the caller named the id
	id      memory.ID
	episode *memory.Episode
	payload store.Payload
	digest  []byte
	in      *indexed
	follows bool   // a model makes its vector later
	model   string // provenance of the vector that a quick model has made already
}

func (s *Space) prepare(e memory.Episode, ahead int) (*prepared, error) {
	if err := e.Normalize(); err != nil {
		return nil, err
	}
	st := s.state.Load()
	settings := st.Settings
	if err := memory.CheckVectorFor("vector", e.Vector, s.name, settings.Vector); err != nil {
		return nil, err
	}
	p := &prepared{space: s, given: e.ID != "", id: e.ID, episode: &e}
	if !p.given {
		p.id = memory.NewID()
	}
	var err error
	if p.payload, err = store.EncodeEpisode(&e); err != nil {
		return nil, fmt.Errorf("encode memory: %w", err)
	}
	p.payload.Generation = st.Generation
	p.digest = p.payload.Digest()
	if p.in, err = s.index(&e, ahead); err != nil {
		return nil, err
	}
	s.embedInline(p, settings, ahead)
	return p, nil
}

// index makes what the indexes want of a memory, when there is a tower; ahead is
// how many go before it in its batch.
func (s *Space) index(e *memory.Episode, ahead int) (*indexed, error) {
	t := s.db.towers.peek(s.id)
	if t == nil {
		return nil, nil
	}
	return &indexed{episode: kept(e), analyzer: t.analyzer, own: ahead+t.tail() >= wordsLeft}, nil
}

// kept copies what the indexes read of an episode: they may follow after the
// write is answered, and then its lists are the caller's again.
func kept(e *memory.Episode) *memory.Episode {
	own := *e
	own.Vector, own.Tags, own.People = slices.Clone(e.Vector), slices.Clone(e.Tags), slices.Clone(e.People)
	if e.Place != nil {
		place := *e.Place
		own.Place = &place
	}
	return &own
}

// args is what an idempotency key vouches for.
func (p *prepared) args(o WriteOptions) [][]byte {
	id := ""
	if p.given {
		id = string(p.id)
	}
	return [][]byte{[]byte(id), p.digest, {byte(o.OnConflict)}}
}

// plan is a decision about one memory that has read all and changed nothing
// yet, so that a batch can leave a bad item out.
type plan struct {
	p        *prepared
	outcome  Outcome
	old      *store.Node // what stands under the id; nil when nothing does
	replaces bool        // its mentions and links are said anew; an update lets them be
	mentions []mention
	links    []*store.Link
	over     *store.Node            // what stood under the id until its time was over; nil when nothing did
	standing map[string][]memory.ID // links from what is replaced, by what they say
}

// mention is an entity that the memory names.
type mention struct {
	ordinal memory.Ordinal // 0: to be made
	id      memory.ID
	ref     memory.EntityRef
}

func (p *prepared) plan(tx *store.Tx, o WriteOptions) (*plan, error) {
	pl := &plan{p: p, outcome: Created}
	if err := p.underCommit(tx); err != nil {
		return nil, err
	}
	if p.given {
		old, err := tx.Lookup(p.id)
		if err != nil {
			return nil, err
		}
		pl.old = old
		if err := pl.dropExpired(tx); err != nil {
			return nil, err
		}
	}
	if err := pl.against(o); err != nil {
		return nil, err
	}
	if pl.outcome == Kept {
		return pl, nil
	}
	pl.replaces = pl.outcome == Replaced
	if err := pl.planMentions(tx); err != nil {
		return nil, err
	}
	return pl, pl.planLinks(tx)
}

// dropExpired frees an id whose memory no reader sees any more: the sweep may
// come later. The same content again is the first answer all the same.
func (pl *plan) dropExpired(tx *store.Tx) error {
	if pl.old == nil || string(pl.old.Digest) == string(pl.p.digest) {
		return nil
	}
	over, err := expiredIn(tx, pl.old)
	if over {
		pl.old, pl.over = nil, pl.old
	}
	return err
}

// expiredIn says whether a memory's time is over at the commit.
func expiredIn(tx *store.Tx, n *store.Node) (bool, error) {
	if n.Kind == memory.KindEntity {
		return false, nil
	}
	head, err := tx.Head(n)
	if err != nil {
		return false, err
	}
	e, err := store.DecodeEpisode(head)
	return e.ExpiresAt != nil && !e.ExpiresAt.After(tx.Now()), err
}

// against decides what to do about what stands under the id.
func (pl *plan) against(o WriteOptions) error {
	if pl.old == nil {
		return o.none("memory " + string(pl.p.id))
	}
	if pl.old.Kind == memory.KindEntity {
		return idInUse(pl.p.id, pl.old.Kind)
	}
	if err := o.matches("memory "+string(pl.p.id), nodeWritten(pl.old, "")); err != nil {
		return err
	}
	switch {
	case string(pl.old.Digest) == string(pl.p.digest) || o.OnConflict == memory.ConflictKeep:
		pl.outcome = Kept
	case o.OnConflict == memory.ConflictReplace:
		pl.outcome = Replaced
	default:
		e := memory.Errorf(memory.KindConflict, "id_conflict", "id %q stands with other content (version %d)", pl.p.id, pl.old.Version)
		e.Field = "id"
		return e.Hinted("use another id, or say on_conflict=replace or on_conflict=keep")
	}
	return nil
}

func idInUse(id memory.ID, kind memory.Kind) error {
	e := memory.Errorf(memory.KindConflict, "id_in_use", "id %q names an existing %s; all nodes of a space share their ids", id, kind)
	e.Field = "id"
	return e.Hinted("use another id")
}

func (pl *plan) planMentions(tx *store.Tx) error {
	made := make(map[[16]byte]memory.ID)
	for i, ref := range pl.p.episode.Entities {
		m, err := planMention(tx, ref, made)
		if err != nil {
			return memory.InField(fmt.Sprintf("entities[%d]", i), err)
		}
		if m.id == pl.p.id {
			return memory.InField(fmt.Sprintf("entities[%d]", i), idInUse(m.id, memory.KindEpisode))
		}
		pl.mentions = append(pl.mentions, m)
	}
	return nil
}

// planMention finds the entity that is named, or decides to make it. made are
// those that this memory makes already.
func planMention(tx *store.Tx, ref memory.EntityRef, made map[[16]byte]memory.ID) (mention, error) {
	m := mention{id: ref.ID, ref: ref}
	name := nameDigest(ref.Type, ref.Name)
	if ref.ID == "" {
		o, err := tx.LookupName(name)
		if err != nil {
			return m, err
		}
		if o != 0 {
			n, err := tx.Node(o)
			if err != nil {
				return m, err
			}
			m.ordinal, m.id = o, n.ID
			return m, nil
		}
		if id, ok := made[name]; ok {
			m.id = id
			return m, nil
		}
		m.id = memory.NewID()
		made[name] = m.id
		return m, nil
	}
	n, err := tx.Lookup(ref.ID)
	switch {
	case err != nil:
		return m, err
	case n == nil && ref.Name == "":
		e := memory.NotFound("entity_not_found", "id: there is no entity %q", ref.ID)
		e.Field = "id"
		return m, e.Hinted("store it first, or give its name (and type) too")
	case n != nil && n.Kind != memory.KindEntity:
		return m, idInUse(ref.ID, n.Kind)
	case n != nil:
		m.ordinal, m.id = n.Ordinal, n.ID // of a merged entity, the one that stays
	}
	return m, nil
}

// nameDigest is how an entity is found by its type and name, whatever their case.
func nameDigest(typ, name string) [16]byte {
	fold := cases.Fold() // not safe for concurrent use
	return store.DigestKey([]byte(fold.String(typ)), []byte(fold.String(strings.TrimSpace(name))))
}

func (pl *plan) planLinks(tx *store.Tx) error {
	for i, d := range pl.p.episode.Links {
		to, err := tx.Lookup(d.To)
		if err != nil {
			return err
		}
		l := &store.Link{ID: memory.NewID(), FromID: pl.p.id, ToID: d.To, Type: d.Type, Weight: 1, Valid: d.Valid, Rule: memory.RuleCaller}
		if d.Weight != nil {
			l.Weight = *d.Weight
		}
		switch {
		case to != nil:
			l.To, l.ToID = to.Ordinal, to.ID
		case d.To != pl.p.id: // a link to itself gets its ordinal when it is placed
			return memory.InField(fmt.Sprintf("links[%d]", i), nodeNotFound("to", d.To))
		}
		pl.links = append(pl.links, l)
	}
	return nil
}

func nodeNotFound(field string, id memory.ID) error {
	e := memory.NotFound("node_not_found", "%s: there is no memory or entity %q", field, id)
	e.Field = field
	return e.Hinted("store it first; a link joins two nodes that exist")
}

// place adds the records of the plan. From here on nothing is refused.
func (pl *plan) place(tx *store.Tx) (Written, error) {
	p := pl.p
	if pl.outcome == Kept {
		n := pl.old
		return Written{ID: n.ID, LSN: n.LSN, Version: n.Version, StoredAt: n.Stored, Outcome: Kept}, nil
	}
	if pl.over != nil {
		if err := tx.End(memory.Delete, []*store.Node{pl.over}, "expired"); err != nil {
			return Written{}, err
		}
	}
	if err := pl.readStanding(tx); err != nil {
		return Written{}, err
	}
	n, err := pl.placeNode(tx)
	if err != nil {
		return Written{}, err
	}
	if err := pl.placeMentions(tx, n); err != nil {
		return Written{}, err
	}
	for i, l := range pl.links {
		l.From = n.Ordinal
		if l.ToID == p.id {
			l.To = n.Ordinal
		}
		metadata, err := store.EncodeMetadata(p.episode.Links[i].Metadata)
		if err != nil {
			return Written{}, err
		}
		if err := pl.putLink(tx, l, metadata); err != nil {
			return Written{}, err
		}
	}
	if err := pl.endMentions(tx); err != nil {
		return Written{}, err
	}
	w := Written{ID: n.ID, LSN: n.LSN, Version: n.Version, StoredAt: n.Stored, Outcome: pl.outcome}
	if n.Vector == 0 && p.follows {
		w.Pending = []string{PendingVector}
	}
	return w, nil
}

// readStanding learns the links that go out from a memory that is replaced: the
// new version keeps those that it says again.
func (pl *plan) readStanding(tx *store.Tx) error {
	if !pl.replaces {
		return nil
	}
	ids, err := tx.LinkIDs(pl.old.Ordinal)
	if err != nil {
		return err
	}
	pl.standing = make(map[string][]memory.ID)
	for _, id := range ids {
		l, err := tx.Link(id)
		if err != nil {
			return err
		}
		if l != nil && l.From == pl.old.Ordinal {
			says := whatItSays(l, l.Metadata)
			pl.standing[says] = append(pl.standing[says], id)
		}
	}
	return nil
}

// whatItSays is all of a link but its id and from where it comes.
func whatItSays(l *store.Link, metadata []byte) string {
	return string(store.Encode([]any{l.Rule, l.To, l.Type, l.Weight, l.Valid, metadata}))
}

// putLink adds a link from the memory, unless one that says the same stands.
func (pl *plan) putLink(tx *store.Tx, l *store.Link, metadata []byte) error {
	var digest []byte
	if len(metadata) > 0 {
		digest = store.Payload{Head: metadata}.Digest()
	}
	says := whatItSays(l, digest)
	if ids := pl.standing[says]; len(ids) > 0 {
		pl.standing[says] = ids[1:]
		return nil
	}
	return tx.PutLink(l, metadata, nil)
}

// endMentions takes out the mentions of the version before that the new one does
// not make. Links that the caller drew stay: they have ids of their own.
func (pl *plan) endMentions(tx *store.Tx) error {
	var gone []memory.ID
	for _, ids := range pl.standing {
		for _, id := range ids {
			l, err := tx.Link(id)
			if err != nil {
				return err
			}
			if l != nil && l.Rule == memory.RuleMentions {
				gone = append(gone, id)
			}
		}
	}
	slices.Sort(gone) // of a map: its order must not reach the journal
	return tx.EndLinks(gone)
}

func (pl *plan) placeNode(tx *store.Tx) (*store.Node, error) {
	p := pl.p
	model := p.space.Settings().Vector.Model
	if p.model != "" {
		model = p.model
	}
	if pl.old == nil {
		return tx.Create(p.id, memory.KindEpisode, p.payload, model, nil, p.attachment())
	}
	pl.old = pl.old.In(p.payload.Generation)
	same, err := pl.keepsVector(tx)
	if err != nil {
		return nil, err
	}
	if same {
		return tx.Revise(pl.old, p.payload, pl.old.Vector, pl.old.Model, nil, p.attachment())
	}
	return tx.Revise(pl.old, p.payload, 0, model, nil, p.attachment())
}

// attachment is nil, not a nil pointer in an interface, when there is none.
func (p *prepared) attachment() any {
	if p.in == nil {
		return nil
	}
	return p.in
}

// keepsVector says whether the vector of the version before is that of this one.
func (pl *plan) keepsVector(tx *store.Tx) (bool, error) {
	if len(pl.old.Made) == 0 || len(pl.p.payload.Vector) > 0 {
		return sameVector(tx, pl.old, pl.p.payload.Vector)
	}
	head, err := tx.Head(pl.old)
	if err != nil {
		return false, err
	}
	e, err := store.DecodeEpisode(head)
	return err == nil && embedded(&e) == embedded(pl.p.episode), err
}

// sameVector says whether a node's vector is these bytes, so that they need not
// be stored again.
func sameVector(tx *store.Tx, n *store.Node, b []byte) (bool, error) {
	if n.Vector == 0 || len(b) == 0 {
		return false, nil
	}
	old, err := tx.Vector(n)
	return string(old) == string(b), err
}

func (pl *plan) placeMentions(tx *store.Tx, n *store.Node) error {
	made := make(map[memory.ID]memory.Ordinal)
	for _, m := range pl.mentions {
		if m.ordinal == 0 {
			m.ordinal = made[m.id]
		}
		if m.ordinal == 0 {
			e := memory.Entity{ID: m.id, Name: m.ref.Name, Type: m.ref.Type}
			made2, err := createEntity(tx, &e)
			if err != nil {
				return err
			}
			m.ordinal = made2.Ordinal
			made[m.id] = m.ordinal
		}
		var role memory.Metadata
		if m.ref.Role != "" {
			role = memory.Metadata{"role": m.ref.Role}
		}
		metadata, err := store.EncodeMetadata(role)
		if err != nil {
			return err
		}
		l := &store.Link{ID: memory.NewID(), From: n.Ordinal, FromID: n.ID, To: m.ordinal, ToID: m.id,
			Type: memory.RuleMentions, Weight: 1, Rule: memory.RuleMentions}
		if err := pl.putLink(tx, l, metadata); err != nil {
			return err
		}
	}
	return nil
}

// BatchItem is the outcome of one item of a batch: Written, or Err.
type BatchItem struct {
	Written
	Err error
}

// BatchWritten is the answer of a batch, in the order of its items.
type BatchWritten struct {
	Items          []BatchItem
	Stored, Failed int
	LSN            memory.LSN
	Replayed       bool
}

// batchAnswer is what an idempotency key keeps of a batch.
type batchAnswer struct {
	Items []batchAnswerItem `cbor:"1,keyasint"`
}

type batchAnswerItem struct {
	Written Written    `cbor:"1,keyasint"`
	Err     *keptError `cbor:"2,keyasint,omitempty"`
}

type keptError struct {
	Kind    memory.ErrorKind `cbor:"1,keyasint"`
	Code    string           `cbor:"2,keyasint"`
	Message string           `cbor:"3,keyasint"`
	Field   string           `cbor:"4,keyasint,omitempty"`
	Hint    string           `cbor:"5,keyasint,omitempty"`
}

// RememberBatch stores memories in one commit, whole or not at all. With
// partial the bad ones are left out and say why; without it one bad item
// refuses the batch, with the kind and code of the first bad one, and the
// message and Details["items"] name all bad items as memories[i].field.
func (s *Space) RememberBatch(ctx context.Context, es []memory.Episode, partial bool, o WriteOptions) (BatchWritten, error) {
	b, err := s.rememberBatch(ctx, es, partial, o)
	return b, memory.InOp("remember_batch", err)
}

func (s *Space) rememberBatch(ctx context.Context, es []memory.Episode, partial bool, o WriteOptions) (BatchWritten, error) {
	if err := s.admit(); err != nil {
		return BatchWritten{}, err
	}
	if err := checkBatch("memories", len(es)); err != nil {
		return BatchWritten{}, err
	}
	size := 0
	for i := range es {
		size += es[i].Size()
	}
	if size > memory.MaxBatchBytes {
		return BatchWritten{}, memory.Errorf(memory.KindTooLarge, "batch_too_large", "the batch has about %d bytes; at most %d fit one", size, memory.MaxBatchBytes).
			Hinted("split it into smaller batches")
	}
	if err := s.admitVectors(vectorCount(es)); err != nil {
		return BatchWritten{}, err
	}
	items := make([]*prepared, len(es))
	b, err := s.batch(ctx, batchCall{
		op: "remember_batch", field: "memories", n: len(es), partial: partial, o: o,
		prepare: func(i int) (err error) {
			items[i], err = s.prepare(es[i], i)
			return err
		},
		args: func(i int) [][]byte { return items[i].args(o) },
		place: func(tx *store.Tx, i int) (Written, error) {
			plan, err := items[i].plan(tx, o)
			if err != nil {
				return Written{}, err
			}
			return plan.place(tx)
		},
		beside: func() func(bool) { return takeApartBeside(items) },
	})
	if err == nil {
		s.waitBatch(ctx, &b, o)
	}
	return b, err
}

func checkBatch(field string, n int) error {
	if n == 0 {
		return memory.Invalid("batch_empty", field, "%s is empty", field)
	}
	if n > memory.MaxBatch {
		e := memory.Errorf(memory.KindTooLarge, "batch_too_large", "%s has %d items; a batch has at most %d", field, n, memory.MaxBatch)
		e.Field = field
		return e.Hinted("split it into smaller batches")
	}
	return nil
}

// batchCall is a batch of memories or of links.
type batchCall struct {
	op, field string
	n         int
	partial   bool
	o         WriteOptions
	prepare   func(i int) error                          // on the caller's goroutine
	args      func(i int) [][]byte                       // what an idempotency key vouches for
	place     func(tx *store.Tx, i int) (Written, error) // refuses before it changes anything
	beside    func() (end func(stored bool))             // starts what goes on beside the commit; may be nil
}

func (s *Space) batch(ctx context.Context, c batchCall) (_ BatchWritten, err error) {
	bad := make(map[int]error)
	args := [][]byte{{boolByte(c.partial)}}
	prepareAll(c.n, func(i int) error { return c.prepare(i) }, bad)
	for i := range c.n {
		if bad[i] != nil {
			args = append(args, []byte(bad[i].Error()))
			continue
		}
		args = append(args, c.args(i)...)
	}
	if len(bad) > 0 && !c.partial {
		return BatchWritten{}, batchError(c.field, c.n, bad)
	}
	if c.beside != nil {
		end := c.beside()
		defer func() { end(err == nil) }()
	}
	var answer batchAnswer
	out, err := s.commit(ctx, c.op, c.o, &answer, args, func(tx *store.Tx) error {
		answer.Items = make([]batchAnswerItem, c.n)
		failed := make(map[int]error, len(bad))
		for i := range c.n {
			err := bad[i]
			if err == nil {
				answer.Items[i].Written, err = c.place(tx, i)
			}
			if err != nil && memory.KindOf(err) == memory.KindInternal {
				return err
			}
			if err != nil {
				failed[i] = err
				answer.Items[i].Err = keep(memory.InField(fmt.Sprintf("%s[%d]", c.field, i), err))
			}
		}
		if len(failed) > 0 && !c.partial {
			return batchError(c.field, c.n, failed)
		}
		return nil
	})
	if err != nil {
		return BatchWritten{}, err
	}
	return answer.written(out), nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// batchError joins the errors of bad items into one that names them all.
func batchError(field string, n int, bad map[int]error) error {
	var first *memory.Error
	var items []any
	var names []string
	for i := range n {
		if bad[i] == nil {
			continue
		}
		var e *memory.Error
		if !errors.As(bad[i], &e) {
			return bad[i]
		}
		var at *memory.Error
		errors.As(memory.InField(fmt.Sprintf("%s[%d]", field, i), e), &at)
		if at.Field == "" { // an error of the whole item
			c := *at
			c.Field, c.Message = fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%s[%d]: %s", field, i, e.Message)
			at = &c
		}
		if first == nil {
			first = at
		}
		items = append(items, map[string]any{"index": float64(i), "field": at.Field, "code": at.Code, "message": at.Message})
		names = append(names, at.Message)
	}
	const shown = 20 // in the message; the details have all
	c := *first
	if len(names) > shown {
		names = append(names[:shown], fmt.Sprintf("and %d more", len(names)-shown))
	}
	c.Message = fmt.Sprintf("%d of %d items are refused, nothing is stored: %s", len(items), n, strings.Join(names, "; "))
	return (&c).With("items", items)
}

func keep(err error) *keptError {
	var e *memory.Error
	if !errors.As(err, &e) {
		return &keptError{Kind: memory.KindInternal, Code: "internal", Message: err.Error()}
	}
	return &keptError{Kind: e.Kind, Code: e.Code, Message: e.Message, Field: e.Field, Hint: e.Hint}
}

func (k *keptError) error() error {
	if k == nil {
		return nil
	}
	e := memory.Errorf(k.Kind, k.Code, "%s", k.Message)
	e.Field, e.Hint = k.Field, k.Hint
	return e
}

func (a *batchAnswer) written(c store.Committed) BatchWritten {
	b := BatchWritten{Items: make([]BatchItem, len(a.Items)), LSN: c.LSN, Replayed: c.Replayed}
	for i, it := range a.Items {
		b.Items[i] = BatchItem{Written: it.Written, Err: it.Err.error()}
		if it.Err != nil {
			b.Failed++
			continue
		}
		b.Stored++
		b.Items[i].StoredAt = b.Items[i].StoredAt.UTC()
		if c.Replayed {
			b.LSN = max(b.LSN, it.Written.LSN)
		}
	}
	return b
}

// prepareWorkers bounds the goroutines that take one batch apart.
const prepareWorkers = 2

// prepareAll prepares items side by side and collects what is wrong with them.
func prepareAll(n int, prepare func(i int) error, bad map[int]error) {
	errs := make([]error, n)
	if n < 2*prepareWorkers {
		for i := range n {
			errs[i] = prepare(i)
		}
	} else {
		done := make(chan struct{})
		half := n / prepareWorkers
		go func() { // ends before this function does
			defer close(done)
			for i := range half {
				errs[i] = prepare(i)
			}
		}()
		for i := half; i < n; i++ {
			errs[i] = prepare(i)
		}
		<-done
	}
	for i, err := range errs {
		if err != nil {
			bad[i] = err
		}
	}
}
