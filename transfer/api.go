package transfer

import (
	"context"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// An API is the calls that an import and an export need: those of the generated
// client, and of the service in process.
type API interface {
	GetSpace(context.Context, *engramv1.GetSpaceRequest) (*engramv1.Space, error)
	PutSpace(context.Context, *engramv1.PutSpaceRequest) (*engramv1.Space, error)
	RememberBatch(context.Context, *engramv1.RememberBatchRequest) (*engramv1.RememberBatchResponse, error)
	GetMemories(context.Context, *engramv1.GetMemoriesRequest) (*engramv1.GetMemoriesResponse, error)
	ListMemories(context.Context, *engramv1.ListMemoriesRequest) (*engramv1.ListMemoriesResponse, error)
	PutEntity(context.Context, *engramv1.PutEntityRequest) (*engramv1.PutEntityResponse, error)
	GetEntity(context.Context, *engramv1.GetEntityRequest) (*engramv1.Entity, error)
	ListEntities(context.Context, *engramv1.ListEntitiesRequest) (*engramv1.ListEntitiesResponse, error)
	CreateLinks(context.Context, *engramv1.CreateLinksRequest) (*engramv1.CreateLinksResponse, error)
	ListMemoryLinks(context.Context, *engramv1.ListMemoryLinksRequest) (*engramv1.ListMemoryLinksResponse, error)
	ListEntityLinks(context.Context, *engramv1.ListEntityLinksRequest) (*engramv1.ListEntityLinksResponse, error)
}
