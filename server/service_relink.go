package server

import (
	"context"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// Relink starts the job that brings the links of a space in line with its rules.
func (s *Service) Relink(ctx context.Context, r *engramv1.RelinkRequest) (*engramv1.RelinkResponse, error) {
	sp, c, err := s.open(ctx, "relink", r.GetSpace())
	if err != nil {
		return nil, err
	}
	job, err := sp.Relink(ctx)
	if err != nil {
		return nil, err
	}
	c.Status = statusAccepted
	return &engramv1.RelinkResponse{Job: job.ID}, nil
}

// jobSpace is the space that a job works on; "" for one that is of none.
func (s *Service) jobSpace(id string) string {
	if space, ok := s.jobs.space(id); ok {
		return space
	}
	job, err := s.db.Job(id)
	if err != nil {
		return ""
	}
	return string(job.Space)
}
