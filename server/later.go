package server

import (
	"context"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// later has the calls of the schema that are not built yet.
type later struct{}

// notBuilt answers a call that is not built yet.
func notBuilt[T any](ctx context.Context, verb, space string) (*T, error) {
	c := callOf(ctx)
	c.Verb, c.Space = verb, space
	return nil, memory.Unimplemented("", "%s is not built yet", verb).Hinted("see /openapi.json for what the API has; a later release answers this")
}

func (later) Feedback(ctx context.Context, r *engramv1.FeedbackRequest) (*engramv1.FeedbackResponse, error) {
	return notBuilt[engramv1.FeedbackResponse](ctx, "feedback", r.GetSpace())
}

func (later) Complete(ctx context.Context, r *engramv1.CompleteRequest) (*engramv1.CompleteResponse, error) {
	return notBuilt[engramv1.CompleteResponse](ctx, "complete", r.GetSpace())
}

func (later) Match(ctx context.Context, r *engramv1.MatchRequest) (*engramv1.MatchResponse, error) {
	return notBuilt[engramv1.MatchResponse](ctx, "match", r.GetSpace())
}

func (later) Query(ctx context.Context, r *engramv1.QueryRequest) (*engramv1.QueryResponse, error) {
	return notBuilt[engramv1.QueryResponse](ctx, "query", r.GetSpace())
}

func (later) Consolidate(ctx context.Context, r *engramv1.ConsolidateRequest) (*engramv1.ConsolidateResponse, error) {
	return notBuilt[engramv1.ConsolidateResponse](ctx, "consolidate", r.GetSpace())
}

func (later) ListConcepts(ctx context.Context, r *engramv1.ListConceptsRequest) (*engramv1.ListConceptsResponse, error) {
	return notBuilt[engramv1.ListConceptsResponse](ctx, "list_concepts", r.GetSpace())
}

func (later) GetConcept(ctx context.Context, r *engramv1.GetConceptRequest) (*engramv1.Concept, error) {
	return notBuilt[engramv1.Concept](ctx, "get_concept", r.GetSpace())
}

func (later) ListPlans(ctx context.Context, r *engramv1.ListPlansRequest) (*engramv1.ListPlansResponse, error) {
	return notBuilt[engramv1.ListPlansResponse](ctx, "list_plans", r.GetSpace())
}

func (later) RevertPlan(ctx context.Context, r *engramv1.RevertPlanRequest) (*engramv1.RevertPlanResponse, error) {
	return notBuilt[engramv1.RevertPlanResponse](ctx, "revert_plan", r.GetSpace())
}
