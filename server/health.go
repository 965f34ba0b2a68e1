package server

import (
	"context"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// serviceNames are what reflection and health tell of; "" in a question of health
// is the server.
var serviceNames = []string{engramv1connect.EngramServiceName, engramv1connect.EventServiceName}

// health answers grpc.health.v1.Health as /readyz does.
type health struct{ s *Server }

// Check says whether a service serves.
func (h health) Check(_ context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if r.Service != "" && r.Service != serviceNames[0] && r.Service != serviceNames[1] {
		return nil, connect.NewError(connect.CodeNotFound, errUnknownService)
	}
	if h.s.stopping.Load() || h.s.db.Ready() != nil {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
