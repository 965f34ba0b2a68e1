package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// PutEntity makes an entity or a new version of it.
func (s *Service) PutEntity(ctx context.Context, r *engramv1.PutEntityRequest) (*engramv1.PutEntityResponse, error) {
	sp, c, err := s.open(ctx, "put_entity", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	w, err := sp.PutEntity(ctx, entityOf(r.GetId(), r.GetEntity()), o)
	if err != nil {
		return nil, err
	}
	return c.putEntity(&w), nil
}

func (c *Call) putEntity(w *engram.Written) *engramv1.PutEntityResponse {
	c.wrote(w)
	return &engramv1.PutEntityResponse{Id: string(w.ID), Lsn: uint64(w.LSN), Version: w.Version, StoredAt: timestamppb.New(w.StoredAt), Outcome: string(w.Outcome)}
}

// GetEntity reads one entity.
func (s *Service) GetEntity(ctx context.Context, r *engramv1.GetEntityRequest) (*engramv1.Entity, error) {
	sp, c, err := s.read(ctx, "get_entity", r.GetSpace())
	if err != nil {
		return nil, err
	}
	e, err := sp.Entity(ctx, memory.ID(r.GetId()))
	if err != nil {
		return nil, err
	}
	c.ETag = etag(e.Version, e.LSN, e.StoredAt)
	return entityPB(&e), nil
}

// ListEntities reads a page of entities.
func (s *Service) ListEntities(ctx context.Context, r *engramv1.ListEntitiesRequest) (*engramv1.ListEntitiesResponse, error) {
	sp, _, err := s.read(ctx, "list_entities", r.GetSpace())
	if err != nil {
		return nil, err
	}
	n, err := pageSize(r.PageSize, defaultPage)
	if err != nil {
		return nil, err
	}
	es, next, err := sp.Entities(ctx, r.GetType(), n, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListEntitiesResponse{NextPageToken: next, Entities: make([]*engramv1.Entity, len(es))}
	for i := range es {
		out.Entities[i] = entityPB(&es[i])
	}
	return out, nil
}

// UpdateEntity patches one entity.
func (s *Service) UpdateEntity(ctx context.Context, r *engramv1.UpdateEntityRequest) (*engramv1.PutEntityResponse, error) {
	sp, c, err := s.open(ctx, "update_entity", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	o.Body = vouched(r)
	w, err := sp.UpdateEntity(ctx, memory.ID(r.GetId()), func(e *memory.Entity) error {
		next := &engramv1.EntityInput{Name: e.Name, Type: e.Type, Aliases: e.Aliases, Metadata: metadataPB(e.Metadata)}
		if err := patch(next, r.GetPatch()); err != nil {
			return err
		}
		*e = entityOf(r.GetId(), next)
		return nil
	}, o)
	if err != nil {
		return nil, err
	}
	return c.putEntity(&w), nil
}

// DeleteEntity takes an entity away.
func (s *Service) DeleteEntity(ctx context.Context, r *engramv1.DeleteEntityRequest) (*engramv1.DeleteEntityResponse, error) {
	sp, c, err := s.open(ctx, "delete_entity", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	w, err := sp.DeleteEntity(ctx, memory.ID(r.GetId()), o)
	if err != nil {
		return nil, err
	}
	return &engramv1.DeleteEntityResponse{Lsn: c.gone(&w)}, nil
}

// gone puts what was taken away into the call; it has no ETag any more.
func (c *Call) gone(w *engram.Written) uint64 {
	c.LSN, c.Replayed = w.LSN, w.Replayed
	return uint64(w.LSN)
}

// CreateLink makes a link.
func (s *Service) CreateLink(ctx context.Context, r *engramv1.CreateLinkRequest) (*engramv1.CreateLinkResponse, error) {
	sp, c, err := s.open(ctx, "create_link", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write(r.GetOnConflict(), r.GetDurability())
	if err != nil {
		return nil, err
	}
	w, err := sp.Link(ctx, linkOf(r.GetLink()), o)
	if err != nil {
		return nil, err
	}
	return c.linked(&w), nil
}

func (c *Call) linked(w *engram.Written) *engramv1.CreateLinkResponse {
	c.wrote(w)
	return &engramv1.CreateLinkResponse{Id: string(w.ID), Lsn: uint64(w.LSN), Version: w.Version, StoredAt: timestamppb.New(w.StoredAt), Outcome: string(w.Outcome)}
}

// CreateLinks makes several links.
func (s *Service) CreateLinks(ctx context.Context, r *engramv1.CreateLinksRequest) (*engramv1.CreateLinksResponse, error) {
	sp, c, err := s.open(ctx, "create_links", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write(r.GetOnConflict(), r.GetDurability())
	if err != nil {
		return nil, err
	}
	ls := make([]memory.Link, len(r.GetLinks()))
	for i, l := range r.GetLinks() {
		ls[i] = linkOf(l)
	}
	b, err := sp.LinkBatch(ctx, ls, r.GetPartial(), o)
	if err != nil {
		return nil, err
	}
	c.wroteBatch(&b)
	out := &engramv1.CreateLinksResponse{Stored: uint32(b.Stored), Failed: uint32(b.Failed), Results: make([]*engramv1.LinkResult, len(b.Items))}
	for i := range b.Items {
		out.Results[i] = c.linkResult(i, &b.Items[i])
	}
	return out, nil
}

func (c *Call) linkResult(i int, item *engram.BatchItem) *engramv1.LinkResult {
	out := &engramv1.LinkResult{Index: uint32(i)}
	if item.Err != nil {
		out.Error = itemError(item.Err, c.Verb, c.RequestID)
		return out
	}
	lsn := uint64(item.LSN)
	out.Id, out.Lsn, out.Outcome = string(item.ID), &lsn, string(item.Outcome)
	return out
}

// GetLink reads one link.
func (s *Service) GetLink(ctx context.Context, r *engramv1.GetLinkRequest) (*engramv1.Link, error) {
	sp, c, err := s.read(ctx, "get_link", r.GetSpace())
	if err != nil {
		return nil, err
	}
	l, err := sp.GetLink(ctx, memory.ID(r.GetId()))
	if err != nil {
		return nil, err
	}
	c.ETag = etag(l.Version, l.LSN, l.StoredAt)
	return linkPB(&l), nil
}

// UpdateLink patches one link; its ends stay.
func (s *Service) UpdateLink(ctx context.Context, r *engramv1.UpdateLinkRequest) (*engramv1.CreateLinkResponse, error) {
	sp, c, err := s.open(ctx, "update_link", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	o.Body = vouched(r)
	w, err := sp.UpdateLink(ctx, memory.ID(r.GetId()), func(l *memory.Link) error {
		next := &engramv1.LinkInput{Type: l.Type, Weight: &l.Weight, Metadata: metadataPB(l.Metadata), Valid: validityPB(l.Valid)}
		if err := patch(next, r.GetPatch(), "id", "from", "to"); err != nil {
			return err
		}
		out := linkOf(next)
		l.Type, l.Weight, l.Metadata, l.Valid = out.Type, out.Weight, out.Metadata, out.Valid
		return nil
	}, o)
	if err != nil {
		return nil, err
	}
	return c.linked(&w), nil
}

// DeleteLink takes a link away.
func (s *Service) DeleteLink(ctx context.Context, r *engramv1.DeleteLinkRequest) (*engramv1.DeleteLinkResponse, error) {
	sp, c, err := s.open(ctx, "delete_link", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	w, err := sp.Unlink(ctx, memory.ID(r.GetId()), o)
	if err != nil {
		return nil, err
	}
	return &engramv1.DeleteLinkResponse{Lsn: c.gone(&w)}, nil
}

// ListMemoryLinks reads the links of a memory.
func (s *Service) ListMemoryLinks(ctx context.Context, r *engramv1.ListMemoryLinksRequest) (*engramv1.ListMemoryLinksResponse, error) {
	ls, next, err := s.links(ctx, "list_memory_links", r, r.PageSize)
	return &engramv1.ListMemoryLinksResponse{Links: ls, NextPageToken: next}, err
}

// ListEntityLinks reads the links of an entity.
func (s *Service) ListEntityLinks(ctx context.Context, r *engramv1.ListEntityLinksRequest) (*engramv1.ListEntityLinksResponse, error) {
	ls, next, err := s.links(ctx, "list_entity_links", r, r.PageSize)
	return &engramv1.ListEntityLinksResponse{Links: ls, NextPageToken: next}, err
}

// A linkQuery is both requests for the links of a node.
type linkQuery interface {
	GetSpace() string
	GetId() string
	GetDirection() string
	GetTypes() []string
	GetAsOf() *timestamppb.Timestamp
	GetPageToken() string
	GetGiven() bool
}

func (s *Service) links(ctx context.Context, verb string, r linkQuery, size *int32) ([]*engramv1.Link, string, error) {
	sp, _, err := s.read(ctx, verb, r.GetSpace())
	if err != nil {
		return nil, "", err
	}
	q := engram.LinkQuery{Node: memory.ID(r.GetId()), Types: r.GetTypes(), AsOf: zeroable(r.GetAsOf()), PageToken: r.GetPageToken(), Given: r.GetGiven()}
	if q.Direction, err = memory.ParseDirection(r.GetDirection()); err != nil {
		return nil, "", err
	}
	if q.PageSize, err = pageSize(size, defaultPage); err != nil {
		return nil, "", err
	}
	ls, next, err := sp.Links(ctx, q)
	if err != nil {
		return nil, "", err
	}
	out := make([]*engramv1.Link, len(ls))
	for i := range ls {
		out[i] = linkPB(&ls[i])
	}
	return out, next, nil
}
