package server

import (
	"context"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// MergeEntities makes one entity of several.
func (s *Service) MergeEntities(ctx context.Context, r *engramv1.MergeEntitiesRequest) (*engramv1.MergeEntitiesResponse, error) {
	sp, c, err := s.open(ctx, "merge_entities", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	m, err := sp.MergeEntities(ctx, memory.ID(r.GetInto()), idsOf(r.GetFrom()), o)
	if err != nil {
		return nil, err
	}
	c.merged(&m)
	return &engramv1.MergeEntitiesResponse{Entity: entityPB(&m.Entity), Lsn: uint64(m.LSN), Merge: uint64(m.Merge), Links: uint32(m.Links)}, nil
}

// UnmergeEntities takes a merge back.
func (s *Service) UnmergeEntities(ctx context.Context, r *engramv1.UnmergeEntitiesRequest) (*engramv1.UnmergeEntitiesResponse, error) {
	sp, c, err := s.open(ctx, "unmerge_entities", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	m, err := sp.UnmergeEntities(ctx, memory.ID(r.GetId()), memory.LSN(r.GetMerge()), o)
	if err != nil {
		return nil, err
	}
	c.merged(&m)
	return &engramv1.UnmergeEntitiesResponse{Entity: entityPB(&m.Entity), Lsn: uint64(m.LSN), Restored: stringsOf(m.IDs), Links: uint32(m.Links)}, nil
}

func (c *Call) merged(m *engram.Merged) {
	c.LSN, c.Replayed, c.ETag = m.LSN, m.Replayed, etag(m.Entity.Version, m.Entity.LSN, m.Entity.StoredAt)
}
