package transfer_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is an API over maps: enough of one to see what an import does to it.
type fake struct {
	mu       sync.Mutex      // guards all
	missing  bool            // the space is not there
	made     map[string]bool // memories whose vector a model made
	settings *engramv1.Settings
	order    []string
	memories map[string]*engramv1.MemoryInput
	people   []*engramv1.Entity
	links    []*engramv1.Link
	batches  [][]string                     // of ids, as they came
	before   func(call string, n int) error // what a call answers instead; n counts all calls
	calls    int
}

func newFake() *fake {
	return &fake{memories: map[string]*engramv1.MemoryInput{}, settings: &engramv1.Settings{}}
}

// enter counts a call and locks.
func (f *fake) enter(call string) error {
	f.mu.Lock()
	f.calls++
	if f.before == nil {
		return nil
	}
	return f.before(call, f.calls)
}

func (f *fake) GetSpace(_ context.Context, r *engramv1.GetSpaceRequest) (*engramv1.Space, error) {
	defer f.mu.Unlock()
	if err := f.enter("GetSpace"); err != nil {
		return nil, err
	}
	if f.missing {
		return nil, memory.NotFound("space_not_found", "there is no space %q", r.GetSpace())
	}
	n := &engramv1.Counts{Episodes: uint64(len(f.order)), Entities: uint64(len(f.people)), Links: uint64(len(f.links))}
	return &engramv1.Space{Name: r.GetSpace(), Settings: proto.CloneOf(f.settings), Counts: n, Lsn: 7}, nil
}

func (f *fake) PutSpace(_ context.Context, r *engramv1.PutSpaceRequest) (*engramv1.Space, error) {
	defer f.mu.Unlock()
	if err := f.enter("PutSpace"); err != nil {
		return nil, err
	}
	f.missing, f.settings = false, r.GetSettings()
	return &engramv1.Space{Name: r.GetSpace()}, nil
}

func (f *fake) RememberBatch(_ context.Context, r *engramv1.RememberBatchRequest) (*engramv1.RememberBatchResponse, error) {
	defer f.mu.Unlock()
	if err := f.enter("RememberBatch"); err != nil {
		return nil, err
	}
	size := 0
	for _, m := range r.GetMemories() {
		size += len(m.GetText())
	}
	if !slices.Equal(r.GetWait(), []string{"none"}) {
		return nil, memory.Errorf(memory.KindTimeout, "timeout", "an import that waits for vectors comes to no end")
	}
	if size > 1000 && len(r.GetMemories()) > 1 {
		return nil, memory.Errorf(memory.KindTooLarge, "batch_too_large", "too much")
	}
	a := &engramv1.RememberBatchResponse{}
	var ids []string
	for i, m := range r.GetMemories() {
		ids = append(ids, m.GetId())
		lsn := uint64(len(f.order) + 1)
		x := &engramv1.BatchResult{Index: uint32(i), Id: m.GetId(), Lsn: &lsn, Outcome: "created"}
		old := f.memories[m.GetId()]
		switch {
		case m.GetText() == "bad":
			x = refused(i, "text_blank")
		case f.lost(m) != "":
			x = refused(i, "node_not_found")
		case old == nil:
			f.order = append(f.order, m.GetId())
			f.memories[m.GetId()] = m
			for n, l := range m.GetLinks() {
				f.links = append(f.links, &engramv1.Link{Id: m.GetId() + "-" + strconv.Itoa(n), From: m.GetId(), To: l.GetTo(), Type: l.GetType(), Weight: 1, Rule: memory.RuleCaller})
			}
			for n, e := range m.GetEntities() {
				f.links = append(f.links, &engramv1.Link{Id: m.GetId() + "-m" + strconv.Itoa(n), From: m.GetId(), To: e.GetId(), Type: "mentions", Weight: 1, Rule: memory.RuleMentions})
			}
		case proto.Equal(old, m) || r.GetOnConflict() == "keep":
			x.Outcome = "kept"
		case r.GetOnConflict() == "replace":
			x.Outcome, f.memories[m.GetId()] = "replaced", m
		default:
			x = refused(i, "id_conflict")
		}
		a.Results = append(a.Results, x)
	}
	f.batches = append(f.batches, ids)
	return a, nil
}

// lost is a node that a memory names and that is not there.
func (f *fake) lost(m *engramv1.MemoryInput) string {
	for _, l := range m.GetLinks() {
		if f.memories[l.GetTo()] == nil {
			return l.GetTo()
		}
	}
	for _, e := range m.GetEntities() {
		if f.entity(e.GetId()) == nil {
			return e.GetId()
		}
	}
	return ""
}

func (f *fake) entity(id string) *engramv1.Entity {
	for _, e := range f.people {
		if e.GetId() == id {
			return e
		}
	}
	return nil
}

func refused(i int, code string) *engramv1.BatchResult {
	return &engramv1.BatchResult{Index: uint32(i), Error: &engramv1.Error{Kind: "invalid", Code: code, Message: code}}
}

// page is one page of n things.
func page[T any](all []T, token string, size int32) ([]T, string) {
	from, _ := strconv.Atoi(token)
	to := min(from+int(size), len(all))
	if to == len(all) {
		return all[from:], ""
	}
	return all[from:to], strconv.Itoa(to)
}

func (f *fake) ListMemories(_ context.Context, r *engramv1.ListMemoriesRequest) (*engramv1.ListMemoriesResponse, error) {
	defer f.mu.Unlock()
	if err := f.enter("ListMemories"); err != nil {
		return nil, err
	}
	ids, next := page(f.order, r.GetPageToken(), r.GetPageSize())
	a := &engramv1.ListMemoriesResponse{NextPageToken: next}
	for _, id := range ids {
		m := f.shown(id)
		if !slices.Contains(r.GetInclude(), "vector") {
			m.Vector = nil
		}
		a.Memories = append(a.Memories, m)
	}
	return a, nil
}

func (f *fake) shown(id string) *engramv1.Memory {
	m := proto.CloneOf(f.memories[id])
	return &engramv1.Memory{Id: id, Title: m.Title, Text: m.Text, Vector: m.Vector, HappenedAt: m.HappenedAt, Happened: m.Happened, Place: m.Place, People: m.People,
		Tags: m.Tags, Metadata: m.Metadata, Stream: m.Stream, Source: m.Source, Salience: m.Salience, ExpiresAt: m.ExpiresAt, Fact: m.Fact, Kind: "episode", Version: 1, VectorMade: f.made[id]}
}

func (f *fake) PutEntity(_ context.Context, r *engramv1.PutEntityRequest) (*engramv1.PutEntityResponse, error) {
	defer f.mu.Unlock()
	if err := f.enter("PutEntity"); err != nil {
		return nil, err
	}
	f.people = slices.DeleteFunc(f.people, func(e *engramv1.Entity) bool { return e.GetId() == r.GetId() })
	in := r.GetEntity()
	f.people = append(f.people, &engramv1.Entity{Id: r.GetId(), Name: in.GetName(), Type: in.GetType(), Aliases: in.GetAliases(), Metadata: in.GetMetadata(), Version: 1})
	return &engramv1.PutEntityResponse{Id: r.GetId(), Outcome: "created"}, nil
}

func (f *fake) GetEntity(_ context.Context, r *engramv1.GetEntityRequest) (*engramv1.Entity, error) {
	defer f.mu.Unlock()
	if err := f.enter("GetEntity"); err != nil {
		return nil, err
	}
	if e := f.entity(r.GetId()); e != nil {
		return e, nil
	}
	return nil, memory.NotFound("entity_not_found", "there is none")
}

func (f *fake) ListEntities(_ context.Context, r *engramv1.ListEntitiesRequest) (*engramv1.ListEntitiesResponse, error) {
	defer f.mu.Unlock()
	if err := f.enter("ListEntities"); err != nil {
		return nil, err
	}
	es, next := page(f.people, r.GetPageToken(), r.GetPageSize())
	return &engramv1.ListEntitiesResponse{Entities: es, NextPageToken: next}, nil
}

func (f *fake) CreateLinks(_ context.Context, r *engramv1.CreateLinksRequest) (*engramv1.CreateLinksResponse, error) {
	defer f.mu.Unlock()
	if err := f.enter("CreateLinks"); err != nil {
		return nil, err
	}
	a := &engramv1.CreateLinksResponse{}
	for i, l := range r.GetLinks() {
		there := func(id string) bool { return f.memories[id] != nil || f.entity(id) != nil }
		if !there(l.GetFrom()) || !there(l.GetTo()) {
			a.Results = append(a.Results, &engramv1.LinkResult{Index: uint32(i), Error: &engramv1.Error{Kind: "not_found", Code: "node_not_found"}})
			continue
		}
		outcome := "created"
		if n := slices.IndexFunc(f.links, func(o *engramv1.Link) bool { return o.GetId() == l.GetId() }); n >= 0 {
			switch old := f.links[n]; {
			case old.GetType() == l.GetType() || r.GetOnConflict() == "keep":
				outcome = "kept"
			case r.GetOnConflict() == "replace":
				outcome, old.Type = "replaced", l.GetType()
			default:
				a.Results = append(a.Results, &engramv1.LinkResult{Index: uint32(i), Error: &engramv1.Error{Kind: "conflict", Code: "id_conflict"}})
				continue
			}
		} else {
			w := 1.0
			if l.Weight != nil {
				w = *l.Weight
			}
			f.links = append(f.links, &engramv1.Link{Id: l.GetId(), From: l.GetFrom(), To: l.GetTo(), Type: l.GetType(), Weight: w, Metadata: l.GetMetadata(), Valid: l.GetValid(), Rule: memory.RuleCaller})
		}
		a.Results = append(a.Results, &engramv1.LinkResult{Index: uint32(i), Id: l.GetId(), Outcome: outcome})
	}
	return a, nil
}

func (f *fake) GivenLinks(_ context.Context, _ string, from []string, each func(*engramv1.Link) error) error {
	defer f.mu.Unlock()
	if err := f.enter("GivenLinks"); err != nil {
		return err
	}
	for _, id := range from {
		for _, l := range f.links {
			if l.GetFrom() != id || l.GetRule() != memory.RuleCaller && l.GetRule() != memory.RuleMentions {
				continue
			}
			if err := each(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts are the texts of a stream in the order in which they were stored.
func (f *fake) texts(stream string) (out []string) {
	for _, id := range f.order {
		if m := f.memories[id]; m.GetStream() == stream {
			out = append(out, m.GetText())
		}
	}
	return out
}

func (f *fake) String() string {
	return fmt.Sprintf("%d memories, %d entities, %d links", len(f.order), len(f.people), len(f.links))
}
