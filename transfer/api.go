package transfer

import (
	"context"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// An API is the calls that an import needs: those of the generated client, and of
// the service in process.
type API interface {
	GetSpace(context.Context, *engramv1.GetSpaceRequest) (*engramv1.Space, error)
	PutSpace(context.Context, *engramv1.PutSpaceRequest) (*engramv1.Space, error)
	RememberBatch(context.Context, *engramv1.RememberBatchRequest) (*engramv1.RememberBatchResponse, error)
	PutEntity(context.Context, *engramv1.PutEntityRequest) (*engramv1.PutEntityResponse, error)
	GetEntity(context.Context, *engramv1.GetEntityRequest) (*engramv1.Entity, error)
	CreateLinks(context.Context, *engramv1.CreateLinksRequest) (*engramv1.CreateLinksResponse, error)
}

// A Source is what an export reads: the service in process. A server's is had as a
// whole, by GET S/export.
type Source interface {
	GetSpace(context.Context, *engramv1.GetSpaceRequest) (*engramv1.Space, error)
	ListMemories(context.Context, *engramv1.ListMemoriesRequest) (*engramv1.ListMemoriesResponse, error)
	ListEntities(context.Context, *engramv1.ListEntitiesRequest) (*engramv1.ListEntitiesResponse, error)
	// GivenLinks calls f for the links that go out from nodes and that callers
	// said, those of a node together; not for those that rules made.
	GivenLinks(ctx context.Context, space string, from []string, f func(*engramv1.Link) error) error
}
