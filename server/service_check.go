package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// CheckRecall compares the index of vectors with exact search.
func (s *Service) CheckRecall(ctx context.Context, r *engramv1.CheckRecallRequest) (*engramv1.CheckRecallResponse, error) {
	sp, _, err := s.read(ctx, "check_recall", r.GetSpace())
	if err != nil {
		return nil, err
	}
	sample := -1 // what is said must be in range; 0 is said, too
	if r.Sample == nil {
		sample = 0
	} else if r.GetSample() != 0 {
		sample = int(r.GetSample())
	}
	a, err := sp.CheckRecall(ctx, sample)
	if err != nil {
		return nil, err
	}
	return &engramv1.CheckRecallResponse{Lsn: uint64(a.LSN), Queries: uint32(a.Queries), Live: uint32(a.Live), Recall: a.Recall, Low: a.Low, High: a.High,
		Exact: uint32(a.Exact), ApproximateTook: durationpb.New(a.Approximately), ExactTook: durationpb.New(a.Exactly)}, nil
}
