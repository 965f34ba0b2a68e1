package engram

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Link stores a link between two nodes that exist (node_not_found names the one
// that does not). Without an ID one is made; an ID that stands with other
// content is id_conflict unless OnConflict says otherwise.
func (s *Space) Link(ctx context.Context, l memory.Link, o WriteOptions) (Written, error) {
	w, err := s.link(ctx, l, o)
	return w, memory.InOp("link", err)
}

func (s *Space) link(ctx context.Context, l memory.Link, o WriteOptions) (Written, error) {
	if err := s.alive(); err != nil {
		return Written{}, err
	}
	p, err := prepareLink(l)
	if err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "link", o, &w, p.args(), func(tx *store.Tx) error {
		w, err = p.place(tx, o)
		return err
	})
	w.Replayed = c.Replayed
	return w, err
}

type preparedLink struct {
	given    bool
	link     memory.Link
	metadata []byte
}

func prepareLink(l memory.Link) (*preparedLink, error) {
	if err := l.Normalize(); err != nil {
		return nil, err
	}
	l.Rule = memory.RuleCaller
	p := &preparedLink{given: l.ID != "", link: l}
	if !p.given {
		p.link.ID = memory.NewID()
	}
	var err error
	p.metadata, err = store.EncodeMetadata(l.Metadata)
	return p, err
}

func (p *preparedLink) args() [][]byte {
	l := p.link
	if !p.given {
		l.ID = ""
	}
	return [][]byte{[]byte(l.ID), []byte(l.From), []byte(l.To), store.Encode(&l)}
}

// place refuses before it changes anything.
func (p *preparedLink) place(tx *store.Tx, o WriteOptions) (Written, error) {
	l := &store.Link{ID: p.link.ID, FromID: p.link.From, ToID: p.link.To, Type: p.link.Type, Weight: p.link.Weight, Valid: p.link.Valid, Rule: p.link.Rule}
	for _, end := range []struct {
		field string
		id    *memory.ID
		o     *memory.Ordinal
	}{{"from", &l.FromID, &l.From}, {"to", &l.ToID, &l.To}} {
		n, err := tx.Lookup(*end.id)
		if err != nil {
			return Written{}, err
		}
		if n == nil {
			return Written{}, nodeNotFound(end.field, *end.id)
		}
		*end.o, *end.id = n.Ordinal, n.ID // of a merged entity, the one that stays
	}
	var old *store.Link
	if p.given {
		var err error
		if old, err = tx.Link(l.ID); err != nil {
			return Written{}, err
		}
	}
	return placeLink(tx, l, old, p.metadata, o)
}

func placeLink(tx *store.Tx, l, old *store.Link, metadata []byte, o WriteOptions) (Written, error) {
	outcome := Created
	if old == nil {
		if err := o.none("link " + string(l.ID)); err != nil {
			return Written{}, err
		}
	}
	if old != nil {
		if err := o.matches("link "+string(l.ID), linkWritten(old, "")); err != nil {
			return Written{}, err
		}
		outcome = Replaced
		same := sameLink(l, old, metadata)
		switch {
		case same || o.OnConflict == memory.ConflictKeep:
			return linkWritten(old, Kept), nil
		case l.From != old.From || l.To != old.To || o.OnConflict != memory.ConflictReplace:
			e := memory.Errorf(memory.KindConflict, "id_conflict", "link id %q stands with other content (version %d)", l.ID, old.Version)
			e.Field = "id"
			return Written{}, e.Hinted("use another id, or say on_conflict=replace; the ends of a link cannot change")
		}
	}
	if err := tx.PutLink(l, metadata, nil); err != nil {
		return Written{}, err
	}
	return linkWritten(l, outcome), nil
}

func linkWritten(l *store.Link, outcome Outcome) Written {
	return Written{ID: l.ID, LSN: l.LSN, Version: l.Version, StoredAt: l.Stored, Outcome: outcome}
}

func sameLink(a, b *store.Link, metadata []byte) bool {
	var digest []byte
	if len(metadata) > 0 {
		digest = store.Payload{Head: metadata}.Digest()
	}
	return a.From == b.From && a.To == b.To && a.Type == b.Type && a.Weight == b.Weight && a.Rule == b.Rule &&
		sameValidity(a.Valid, b.Valid) && string(digest) == string(b.Metadata)
}

func sameValidity(a, b *memory.Validity) bool {
	if a == nil || b == nil {
		return a == b
	}
	return sameTime(a.From, b.From) && sameTime(a.To, b.To)
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// LinkBatch stores links in one commit, whole or not at all; as RememberBatch,
// with links[i].field.
func (s *Space) LinkBatch(ctx context.Context, ls []memory.Link, partial bool, o WriteOptions) (BatchWritten, error) {
	if err := s.alive(); err != nil {
		return BatchWritten{}, memory.InOp("link_batch", err)
	}
	if err := checkBatch("links", len(ls)); err != nil {
		return BatchWritten{}, memory.InOp("link_batch", err)
	}
	items := make([]*preparedLink, len(ls))
	b, err := s.batch(ctx, batchCall{
		op: "link_batch", field: "links", n: len(ls), partial: partial, o: o,
		prepare: func(i int) (err error) {
			items[i], err = prepareLink(ls[i])
			return err
		},
		args:  func(i int) [][]byte { return items[i].args() },
		place: func(tx *store.Tx, i int) (Written, error) { return items[i].place(tx, o) },
	})
	return b, memory.InOp("link_batch", err)
}

func linkNotFound(s *Space, id memory.ID) error {
	return memory.NotFound("link_not_found", "there is no link %q in space %q", id, s.name)
}

// GetLink reads one; link_not_found.
func (s *Space) GetLink(ctx context.Context, id memory.ID) (memory.Link, error) {
	l, err := s.getLink(id)
	return l, memory.InOp("get_link", err)
}

func (s *Space) getLink(id memory.ID) (memory.Link, error) {
	if err := id.Check("id"); err != nil {
		return memory.Link{}, err
	}
	v, err := s.view()
	if err != nil {
		return memory.Link{}, err
	}
	defer v.Close()
	l, err := v.Link(s.id, id)
	if err != nil {
		return memory.Link{}, err
	}
	if l == nil {
		return memory.Link{}, linkNotFound(s, id)
	}
	return s.loadLink(v, l)
}

func (s *Space) loadLink(v *store.View, l *store.Link) (memory.Link, error) {
	m := memory.Link{ID: l.ID, From: l.FromID, To: l.ToID, Type: l.Type, Weight: l.Weight, Valid: l.Valid, Rule: l.Rule, RuleVersion: ruleVersion(l),
		LSN: l.LSN, Version: l.Version, StoredAt: l.Stored}
	var err error
	m.Metadata, err = v.LinkMetadata(s.id, l)
	return m, err
}

// UpdateLink makes a new version; its ends cannot change.
func (s *Space) UpdateLink(ctx context.Context, id memory.ID, change func(*memory.Link) error, o WriteOptions) (Written, error) {
	w, err := retryMoved(o, func() (Written, error) { return s.updateLink(ctx, id, change, o) })
	return w, memory.InOp("update_link", err)
}

func (s *Space) updateLink(ctx context.Context, id memory.ID, change func(*memory.Link) error, o WriteOptions) (Written, error) {
	old, err := s.getLink(id)
	if err != nil {
		return Written{}, err
	}
	n := old
	if err := change(&n); err != nil {
		return Written{}, err
	}
	if n.ID != old.ID || n.From != old.From || n.To != old.To || n.Rule != old.Rule {
		return Written{}, memory.Invalid("field_fixed", "from", "from: the id, the ends and the rule of a link cannot change")
	}
	if err := n.Normalize(); err != nil {
		return Written{}, err
	}
	metadata, err := store.EncodeMetadata(n.Metadata)
	if err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "update_link", o, &w, [][]byte{[]byte(id), store.Encode(&n)}, func(tx *store.Tx) error {
		now, err := tx.Link(id)
		if err != nil {
			return err
		}
		if now == nil {
			return linkNotFound(s, id)
		}
		if now.LSN != old.LSN && o.matches("", linkWritten(now, "")) == nil {
			return errMoved
		}
		l := *now
		l.Type, l.Weight, l.Valid = n.Type, n.Weight, n.Valid
		replace := o
		replace.OnConflict = memory.ConflictReplace
		w, err = placeLink(tx, &l, now, metadata, replace)
		return err
	})
	w.Replayed = c.Replayed
	return w, err
}

// Unlink removes a link; link_not_found.
func (s *Space) Unlink(ctx context.Context, id memory.ID, o WriteOptions) (Written, error) {
	w, err := s.unlink(ctx, id, o)
	return w, memory.InOp("unlink", err)
}

func (s *Space) unlink(ctx context.Context, id memory.ID, o WriteOptions) (Written, error) {
	if err := id.Check("id"); err != nil {
		return Written{}, err
	}
	if err := s.alive(); err != nil {
		return Written{}, err
	}
	var w Written
	c, err := s.commit(ctx, "unlink", o, &w, [][]byte{[]byte(id)}, func(tx *store.Tx) error {
		l, err := tx.Link(id)
		if err != nil {
			return err
		}
		if l == nil {
			return linkNotFound(s, id)
		}
		if err := o.matches("link "+string(id), linkWritten(l, "")); err != nil {
			return err
		}
		if err := tx.EndLinks([]memory.ID{id}); err != nil {
			return err
		}
		w = Written{ID: id, LSN: tx.Meta().LSN, Version: l.Version, StoredAt: tx.Now(), Outcome: Deleted}
		return nil
	})
	w.Replayed = c.Replayed
	return w, err
}

// LinkQuery asks for the links of a node.
type LinkQuery struct {
	Node      memory.ID
	Direction memory.Direction
	Types     []string
	AsOf      time.Time // valid time; zero: any
	Given     bool      // only what callers said, nothing that a rule made by itself
	PageSize  int       // default DefaultPage, at most MaxPage
	PageToken string
}

// Links lists the links of a node (memory or entity), outgoing ones first, each
// once; node_not_found. A page may be short and have a next one.
func (s *Space) Links(ctx context.Context, q LinkQuery) (ls []memory.Link, next string, err error) {
	ls, next, err = s.links(ctx, q)
	return ls, next, memory.InOp("links", err)
}

// linksLooked bounds how many links one page looks at.
const linksLooked = 10_000

func (s *Space) links(ctx context.Context, q LinkQuery) ([]memory.Link, string, error) {
	if err := q.Node.Check("id"); err != nil {
		return nil, "", err
	}
	if err := checkPageSize(&q.PageSize); err != nil {
		return nil, "", err
	}
	call := s.call("links", []byte(q.Node), []byte{byte(q.Direction)}, store.Encode(q.Types), store.Encode(q.AsOf), []byte{boolByte(q.Given)})
	var after linkPlace
	if q.PageToken != "" {
		tok, err := parsePageToken(q.PageToken, call)
		if err != nil || store.Decode(tok.After, &after) != nil {
			return nil, "", errPageToken
		}
	}
	v, err := s.view()
	if err != nil {
		return nil, "", err
	}
	defer v.Close()
	n, err := v.Lookup(s.id, q.Node)
	if err != nil {
		return nil, "", err
	}
	if n == nil {
		return nil, "", memory.NotFound("node_not_found", "there is no memory or entity %q in space %q", q.Node, s.name)
	}
	var ls []memory.Link
	more, err := s.walkLinks(v, n.Ordinal, linkWalk{q.Direction, q.Given}, &after, func(l *store.Link) (bool, error) {
		if len(q.Types) > 0 && !slices.Contains(q.Types, l.Type) || !holdsAt(l.Valid, q.AsOf) {
			return true, nil
		}
		m, err := s.loadLink(v, l)
		ls = append(ls, m)
		return len(ls) < q.PageSize, err
	})
	if err != nil || !more {
		return ls, "", err
	}
	return ls, pageToken{Call: call, After: store.Encode(after)}.String(), nil
}

// linkPlace is the last link that a page looked at.
type linkPlace struct {
	Direction memory.Direction `cbor:"1,keyasint"`
	ID        memory.ID        `cbor:"2,keyasint"`
}

// linkWalk says which links of a node are walked over.
type linkWalk struct {
	d     memory.Direction
	given bool // those that rules made are passed over, however many they are
}

// adjacent calls f for the links of a node in one direction, after one. What is to
// be passed over is not read: the ids of what one rule made lie side by side.
func (s *Space) adjacent(v *store.View, o memory.Ordinal, way memory.Direction, after memory.ID, given bool, f func(memory.ID, memory.Ordinal) bool) error {
	for {
		var beyond memory.ID
		err := v.Adjacent(s.id, o, way, after, func(id memory.ID, other memory.Ordinal) bool {
			if given {
				beyond = afterMade(id)
			}
			return beyond == "" && f(id, other)
		})
		if err != nil || beyond == "" {
			return err
		}
		after = beyond
	}
}

// walkLinks calls f for the links at a node after a place, which it moves on; a
// link from a node to itself comes once. more says that it stopped before the
// end.
func (s *Space) walkLinks(v *store.View, o memory.Ordinal, w linkWalk, at *linkPlace, f func(*store.Link) (bool, error)) (more bool, err error) {
	d := w.d
	looked := 0
	for _, way := range []memory.Direction{memory.Out, memory.In} {
		if d != memory.Both && d != way || way < at.Direction {
			continue
		}
		if at.Direction != way {
			*at = linkPlace{Direction: way}
		}
		var ids []memory.ID
		err := s.adjacent(v, o, way, at.ID, w.given, func(id memory.ID, other memory.Ordinal) bool {
			if other != o || way == memory.Out || d == memory.In {
				ids = append(ids, id)
			}
			return len(ids) <= linksLooked
		})
		if err != nil {
			return false, err
		}
		for i, id := range ids {
			at.ID = id
			looked++
			l, err := v.Link(s.id, id)
			if err != nil {
				return false, err
			}
			if l == nil {
				return false, fmt.Errorf("link %q stands at a node and is missing", id)
			}
			on, err := f(l)
			if err != nil {
				return false, err
			}
			if !on || looked >= linksLooked {
				return i+1 < len(ids) || way == memory.Out && d == memory.Both, nil
			}
		}
	}
	return false, nil
}

func holdsAt(v *memory.Validity, at time.Time) bool {
	if v == nil || at.IsZero() {
		return true
	}
	return (v.From == nil || !at.Before(*v.From)) && (v.To == nil || at.Before(*v.To))
}

// linksOf reads up to n links at a node.
func (s *Space) linksOf(v *store.View, o memory.Ordinal, w linkWalk, n int) ([]memory.Link, error) {
	var ls []memory.Link
	var at linkPlace
	_, err := s.walkLinks(v, o, w, &at, func(l *store.Link) (bool, error) {
		m, err := s.loadLink(v, l)
		ls = append(ls, m)
		return len(ls) < n, err
	})
	return ls, err
}
