package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// pathsTold is how many ways are told of each node when the caller does not say.
const pathsTold = 3

// Spread lets activation run from nodes, and says where it came to.
func (s *Service) Spread(ctx context.Context, r *engramv1.SpreadRequest) (*engramv1.SpreadResponse, error) {
	sp, c, err := s.read(ctx, "spread", r.GetSpace())
	if err != nil {
		return nil, err
	}
	q, err := spreadOf(r)
	if err != nil {
		return nil, err
	}
	a, err := sp.Spread(ctx, q)
	if err != nil {
		return nil, err
	}
	c.LSN = a.LSN
	for _, t := range a.Took {
		c.part(t.Stage, t.Took)
	}
	return spreadingPB(&a), nil
}

func spreadOf(r *engramv1.SpreadRequest) (q engram.SpreadQuery, err error) {
	q = engram.SpreadQuery{IDs: idsOf(r.Ids), Text: r.Text, Vector: r.Vector, Types: r.Types, AsOf: zeroable(r.AsOf), Paths: pathsTold}
	for _, x := range r.Seeds {
		seed := engram.SpreadSeed{ID: memory.ID(x.GetId()), Weight: 1}
		if x.Weight != nil {
			seed.Weight = *x.Weight
		}
		q.Seeds = append(q.Seeds, seed)
	}
	for t, f := range r.Flows {
		if q.Flows == nil {
			q.Flows = make(map[string]engram.Flow, len(r.Flows))
		}
		q.Flows[t] = engram.Flow{Out: f.GetOut(), In: f.GetIn()}
	}
	if q.Direction, err = memory.ParseDirection(r.Direction); err != nil {
		return q, err
	}
	if q.Fan, err = engram.ParseFan(r.Fan); err != nil {
		return q, err
	}
	if err := spreadBounds(r, &q); err != nil {
		return q, err
	}
	q.Filter, err = filterOf(r)
	return q, err
}

// spreadBounds reads what has a default, which in the engine is 0: a 0 that is said
// is refused, but for paths.
func spreadBounds(r *engramv1.SpreadRequest, q *engram.SpreadQuery) error {
	for _, x := range []struct {
		field string
		given *int32
		at    *int
		most  int
	}{{"limit", r.Limit, &q.Limit, memory.MaxLimit}, {"hops", r.Hops, &q.Hops, engram.MaxSpreadHops}, {"max_work", r.MaxWork, &q.MaxWork, engram.MaxSpreadWork}} {
		if x.given == nil {
			continue
		}
		if *x.at = int(*x.given); *x.at < 1 || *x.at > x.most {
			return memory.Invalid(x.field+"_out_of_range", x.field, "%s is %d; it lies between 1 and %d", x.field, *x.given, x.most)
		}
	}
	if r.Paths != nil {
		q.Paths = int(*r.Paths)
	}
	for _, x := range []struct {
		field string
		given *float64
		at    *float64
	}{{"decay", r.Decay, &q.Decay}, {"threshold", r.Threshold, &q.Threshold}} {
		if x.given == nil {
			continue
		}
		if *x.at = *x.given; !(*x.at > 0) {
			return memory.Invalid(x.field+"_out_of_range", x.field, "%s is %v; it is above 0", x.field, *x.given)
		}
	}
	return nil
}

func spreadingPB(a *engram.Spreading) *engramv1.SpreadResponse {
	out := &engramv1.SpreadResponse{Nodes: make([]*engramv1.ActiveNode, len(a.Nodes)), Lsn: uint64(a.LSN), Reached: uint32(a.Reached),
		Work: uint32(a.Work), Hops: uint32(a.Hops), Bounds: a.Bounds, Took: make(map[string]*durationpb.Duration, len(a.Took))}
	for i := range a.Nodes {
		out.Nodes[i] = activePB(&a.Nodes[i])
	}
	for _, t := range a.Took {
		out.Took[t.Stage] = durationpb.New(t.Took)
	}
	return out
}

func activePB(n *engram.ActiveNode) *engramv1.ActiveNode {
	out := &engramv1.ActiveNode{Id: string(n.ID), Kind: n.Kind.String(), Activation: n.Activation, Seed: n.Seed, Label: n.Label, Rest: n.Rest}
	for _, p := range n.Paths {
		out.Paths = append(out.Paths, &engramv1.SpreadPath{Seed: string(p.Seed), Activation: p.Activation, Steps: stepsPB(p.Steps)})
	}
	return out
}

func stepsPB(steps []engram.SpreadStep) (out []*engramv1.SpreadStep) {
	for _, s := range steps {
		out = append(out, &engramv1.SpreadStep{Link: string(s.Link), From: string(s.From), To: string(s.To), Type: s.Type,
			Rule: s.Rule, Weight: s.Weight, Direction: s.Direction.String(), Fan: uint32(s.Fan), Factor: s.Factor, RuleVersion: s.RuleVersion})
	}
	return out
}
