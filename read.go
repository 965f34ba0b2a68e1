package engram

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// ReadOptions say what a read brings along.
type ReadOptions struct {
	Vector, Links, Versions bool
	GivenLinks              bool       // with Links, only what callers said: see LinkQuery.Given
	AsOf                    time.Time  // system time; zero: now. beyond_horizon (gone) when too old; as_of_without_links with Links
	AsOfLSN                 memory.LSN // instead of AsOf
}

// Get reads one memory; memory_not_found.
func (s *Space) Get(ctx context.Context, id memory.ID, o ReadOptions) (memory.Memory, error) {
	m, err := s.get(ctx, id, o)
	return m, memory.InOp("get", err)
}

func (s *Space) get(ctx context.Context, id memory.ID, o ReadOptions) (memory.Memory, error) {
	if err := id.Check("id"); err != nil {
		return memory.Memory{}, err
	}
	v, err := s.view()
	if err != nil {
		return memory.Memory{}, err
	}
	defer v.Close()
	at, err := s.readAt(v, o)
	if err == nil {
		err = s.readsThen(v, o)
	}
	if err != nil {
		return memory.Memory{}, err
	}
	return s.read(v, id, at, o)
}

// readsThen says whether a read of an earlier state can be answered. Of links the state keeps
// no history; those of now beside a memory of then would be no answer.
func (s *Space) readsThen(v *store.View, o ReadOptions) error {
	if o.AsOfLSN == 0 && o.AsOf.IsZero() {
		return nil
	}
	if o.Links {
		return memory.Invalid("as_of_without_links", "include", "include has links, which are given as they are now; leave them out, or leave out as_of").
			Hinted("a recall with as_of goes along the links of then, and explains its paths")
	}
	m, err := v.Meta(s.id)
	if err == nil && o.AsOfLSN > m.LSN {
		return memory.Invalid("lsn_ahead", "as_of", "as_of is %d, and the newest record of space %q is %d", o.AsOfLSN, s.name, m.LSN)
	}
	return err
}

// readAt is the LSN that a read is to see; everything when it is the newest.
func (s *Space) readAt(v *store.View, o ReadOptions) (memory.LSN, error) {
	if o.AsOfLSN == 0 && o.AsOf.IsZero() {
		return everything, nil
	}
	at := o.AsOfLSN
	if at == 0 {
		var err error
		if at, err = v.LSNAt(s.id, o.AsOf); err != nil {
			return 0, err
		}
	}
	return at, s.beyond(v, at)
}

func (s *Space) read(v *store.View, id memory.ID, at memory.LSN, o ReadOptions) (memory.Memory, error) {
	var n *store.Node
	var err error
	if at == everything {
		n, err = v.Lookup(s.id, id)
	} else {
		n, err = v.LookupAt(s.id, id, at)
	}
	if err != nil {
		return memory.Memory{}, err
	}
	if n == nil || n.Kind == memory.KindEntity {
		return memory.Memory{}, memoryNotFound(s, id)
	}
	m, found, err := s.load(v, n, o)
	if err == nil && (!found || at == everything && expired(&m, s.db.Now())) {
		err = memoryNotFound(s, id)
	}
	return m, err
}

func expired(m *memory.Memory, now time.Time) bool {
	return m.ExpiresAt != nil && !m.ExpiresAt.After(now)
}

func memoryNotFound(s *Space, id memory.ID) error {
	return memory.NotFound("memory_not_found", "there is no memory %q in space %q", id, s.name)
}

// load reads the payload of a version and makes a Memory of it; found is false
// when the payload is erased.
func (s *Space) load(v *store.View, n *store.Node, o ReadOptions) (m memory.Memory, found bool, err error) {
	head, found, err := v.Head(s.id, n.Ordinal, n.Version)
	if err != nil || !found {
		return m, false, err
	}
	if m.Episode, err = store.DecodeEpisode(head); err != nil {
		return m, false, damaged(s, n, err)
	}
	if now := n.In(s.state.Load().Generation); now.Vector != 0 {
		n = now // else it is an older version, or one whose vector is still of the model before
	}
	m.Episode.Entities, m.Episode.Links = nil, nil // what was said once; what holds are the links
	m.ID, m.Kind, m.Version, m.StoredAt, m.LSN, m.Model, m.Suppressed = n.ID, n.Kind, n.Version, n.Stored, n.LSN, n.Model, n.Suppressed
	m.Made = len(n.Made) > 0
	if o.Vector && n.Vector != 0 {
		if m.Vector, err = v.Vector(s.id, n.Ordinal, n.Vector); err != nil {
			return m, false, err
		}
	}
	if o.Links {
		if m.LinksOf, err = s.linksOf(v, n.Ordinal, linkWalk{memory.Both, o.GivenLinks}, maxIncluded); err != nil {
			return m, false, err
		}
	}
	if o.Versions {
		m.Versions, err = s.versions(v, n.Ordinal)
	}
	return m, err == nil, err
}

// maxIncluded bounds the links that come along with a memory; GET .../links
// pages through all.
const maxIncluded = 100

func (s *Space) versions(v *store.View, o memory.Ordinal) ([]memory.Version, error) {
	nodes, err := v.History(s.id, o)
	if err != nil {
		return nil, err
	}
	vs := make([]memory.Version, len(nodes))
	for i, n := range nodes {
		vs[i] = memory.Version{Version: n.Version, LSN: n.LSN, StoredAt: n.Stored}
	}
	return vs, nil
}

// maxGetMany bounds the ids of one GetMany.
const maxGetMany = 1000

// GetMany reads memories in the order of ids; missing lists those not found.
func (s *Space) GetMany(ctx context.Context, ids []memory.ID, o ReadOptions) (found []memory.Memory, missing []memory.ID, err error) {
	found, missing, err = s.getMany(ids, o)
	return found, missing, memory.InOp("get_many", err)
}

func (s *Space) getMany(ids []memory.ID, o ReadOptions) (found []memory.Memory, missing []memory.ID, err error) {
	if len(ids) > maxGetMany {
		return nil, nil, memory.Invalid("list_too_long", "ids", "ids has %d entries; at most %d are read at once", len(ids), maxGetMany)
	}
	v, err := s.view()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	at, err := s.readAt(v, o)
	if err == nil {
		err = s.readsThen(v, o)
	}
	if err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		if err := id.Check(fmt.Sprintf("ids[%d]", i)); err != nil {
			return nil, nil, err
		}
		m, err := s.read(v, id, at, o)
		switch {
		case err == nil:
			found = append(found, m)
		case memory.KindOf(err) == memory.KindNotFound:
			missing = append(missing, id)
		default:
			return nil, nil, err
		}
	}
	return found, missing, nil
}

// ListOrder is the order of a list.
type ListOrder string

// The orders of a list.
const (
	ListStored   ListOrder = "stored"   // as they were first stored; the default
	ListHappened ListOrder = "happened" // by when they happened, unknown last
)

// ListQuery asks for a page of memories.
type ListQuery struct {
	Filter        memory.Filter
	Order         ListOrder
	PageSize      int    // default DefaultPage, at most MaxPage
	PageToken     string // "" for the first; page_token_invalid, beyond_horizon (gone)
	IncludeVector bool
}

// Bounds of a page.
const (
	DefaultPage = 50
	MaxPage     = 1000
)

// Page is a page of memories; NextPageToken is empty at the end.
type Page struct {
	Memories      []memory.Memory
	NextPageToken string
	LSN           memory.LSN // the state that the walk sees
}

// pageToken is what a page token says.
type pageToken struct {
	Call  [16]byte   `cbor:"1,keyasint"` // digest of what was asked: a token is good for that alone
	LSN   memory.LSN `cbor:"2,keyasint"`
	After []byte     `cbor:"3,keyasint"`
}

func (t pageToken) String() string { return base64.RawURLEncoding.EncodeToString(store.Encode(t)) }

// call is the digest of what was asked of the space.
func (s *Space) call(what string, args ...[]byte) [16]byte {
	return store.DigestKey(append([][]byte{[]byte(what), []byte(strconv.FormatUint(uint64(s.id), 10))}, args...)...)
}

// reachable says whether the journal reaches back to a walk's state.
func (s *Space) reachable(at memory.LSN) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	return s.beyond(v, at)
}

func (s *Space) beyond(v *store.View, at memory.LSN) error {
	horizon, err := v.Horizon(s.id)
	if err == nil && at < horizon {
		err = memory.Errorf(memory.KindGone, "beyond_horizon", "LSN %d is below the journal's horizon %d", at, horizon).With("horizon", horizon.String())
	}
	return err
}

var errPageToken = memory.Invalid("page_token_invalid", "page_token", "page_token is not one that this call gave").
	Hinted("give next_page_token of the page before, with the same filter and order; leave it out to begin anew")

func parsePageToken(s string, call [16]byte) (t pageToken, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || store.Decode(b, &t) != nil || t.Call != call {
		return t, errPageToken
	}
	return t, nil
}

func checkPageSize(n *int) error {
	if *n == 0 {
		*n = DefaultPage
	}
	if *n < 1 || *n > MaxPage {
		return memory.Invalid("page_size_out_of_range", "page_size", "page_size is %d; it lies between 1 and %d", *n, MaxPage)
	}
	return nil
}

// List pages through memories that match a filter, as they stood when the walk
// began: what is written meanwhile neither hides nor repeats any. What is
// suppressed or erased meanwhile is left out, and what was ended longer than
// Options.WalkWindow ago may be.
func (s *Space) List(ctx context.Context, q ListQuery) (Page, error) {
	p, err := s.list(ctx, q)
	return p, memory.InOp("list", err)
}

func (s *Space) list(ctx context.Context, q ListQuery) (Page, error) {
	if err := q.Filter.Normalize(); err != nil {
		return Page{}, err
	}
	if err := checkPageSize(&q.PageSize); err != nil {
		return Page{}, err
	}
	orders := map[ListOrder]facet.Order{"": facet.ByStored, ListStored: facet.ByStored, ListHappened: facet.ByHappened}
	order, ok := orders[q.Order]
	if !ok {
		return Page{}, memory.Invalid("word_unknown", "order", "order is %q; it can be happened, stored", q.Order)
	}
	call := s.call("list", []byte{byte(order)}, store.Encode(q.Filter))
	token := pageToken{Call: call}
	var after facet.Position
	if q.PageToken != "" {
		var err error
		if token, err = parsePageToken(q.PageToken, call); err != nil {
			return Page{}, err
		}
		if after, err = facet.ParsePosition(token.After); err != nil {
			return Page{}, errPageToken
		}
		if err := s.reachable(token.LSN); err != nil {
			return Page{}, err
		}
	}
	t, err := s.current(ctx)
	if err != nil {
		return Page{}, err
	}
	defer s.db.towers.release(t)
	places, rows, lsn := t.page(&q.Filter, order, token.LSN, after, q.PageSize+1)
	page := Page{LSN: lsn}
	if len(places) > q.PageSize {
		places = places[:q.PageSize]
		last, err := places[len(places)-1].AppendBinary(nil)
		if err != nil {
			return Page{}, fmt.Errorf("page token: %w", err)
		}
		page.NextPageToken = pageToken{call, lsn, last}.String()
	}
	page.Memories, err = s.loadRows(rows[:len(places)], ReadOptions{Vector: q.IncludeVector})
	return page, err
}

// page finds the next places of a walk that sees the state at lsn, or at the
// newest when it is 0.
func (t *tower) page(f *memory.Filter, order facet.Order, lsn memory.LSN, after facet.Position, n int) ([]facet.Position, []facet.Row, memory.LSN) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if lsn == 0 || lsn > t.applied {
		lsn = t.applied
	}
	// After a restart the indexes begin where they were built: the walk goes on
	// from its place, and sees what stands.
	view := max(lsn, t.facets.Floor())
	selected, _ := t.facets.Select(f, view, t.space.db.Now())
	places := t.facets.Page(selected, order, true, after, n)
	rows := make([]facet.Row, len(places))
	for i, p := range places {
		rows[i], _ = t.facets.At(p.Slot)
	}
	return places, rows, lsn
}

// loadRows reads the memories of slots. One that was erased since the slots
// were chosen is left out.
func (s *Space) loadRows(rows []facet.Row, o ReadOptions) ([]memory.Memory, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	ms := make([]memory.Memory, 0, len(rows))
	for _, r := range rows {
		m, found, err := s.loadRow(v, r, o)
		if err != nil {
			return nil, err
		}
		if found {
			ms = append(ms, m)
		}
	}
	return ms, nil
}

// loadRow reads the version of a slot, living or ended.
func (s *Space) loadRow(v *store.View, r facet.Row, o ReadOptions) (memory.Memory, bool, error) {
	n, err := v.NodeAt(s.id, r.Ordinal, r.Born)
	if err != nil || n == nil || n.Version != r.Version {
		return memory.Memory{}, false, err
	}
	return s.load(v, n, o)
}
