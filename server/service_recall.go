package server

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// Recall finds the memories that a cue wakes.
func (s *Service) Recall(ctx context.Context, r *engramv1.RecallRequest) (*engramv1.RecallResponse, error) {
	if r.GetSpace() == "" {
		return s.recallAcross(ctx, r.GetCue())
	}
	sp, c, err := s.read(ctx, "recall", r.GetSpace())
	if err != nil {
		return nil, err
	}
	if len(r.GetCue().GetSpaces()) > 0 {
		return nil, memory.Invalid("spaces_unexpected", "spaces", "spaces are for POST /v1/recall; this recall is from space %q", r.GetSpace())
	}
	cue, err := c.cue(r.GetCue())
	if err != nil {
		return nil, err
	}
	a, err := sp.Recall(ctx, cue)
	if err != nil {
		return nil, err
	}
	c.recalled(&a)
	return answerPB(&a, r.GetCue(), cue.Explain), nil
}

// answerPB is the answer of a recall, with a prompt when the cue asks for one.
func answerPB(a *engram.Recollection, r *engramv1.Cue, explain bool) *engramv1.RecallResponse {
	out := recollectionPB(a, explain)
	if slices.Contains(r.GetInclude(), "prompt") {
		out.Prompt = a.Prompt()
	}
	return out
}

// recallAcross recalls from the spaces that a cue names. authorize has seen to it that the
// caller may know of them.
func (s *Service) recallAcross(ctx context.Context, r *engramv1.Cue) (*engramv1.RecallResponse, error) {
	c := callOf(ctx)
	c.Verb = "recall"
	cue, err := c.cue(r)
	if err != nil {
		return nil, err
	}
	names := make([]memory.SpaceName, len(r.GetSpaces()))
	for i, n := range r.GetSpaces() {
		names[i] = memory.SpaceName(n)
	}
	a, err := s.db.RecallAcross(ctx, names, cue)
	if err != nil {
		return nil, err
	}
	c.recalled(&a)
	return answerPB(&a, r, cue.Explain), nil
}

// cue reads a cue, and gives the request the time that it says.
func (c *Call) cue(r *engramv1.Cue) (memory.Cue, error) {
	cue, err := cueOf(r)
	if t := r.GetTimeout(); err == nil && t != nil {
		err = c.allow(t.AsDuration(), "timeout")
	}
	return cue, err
}

// Recognise says whether a cue is familiar, and how much.
func (s *Service) Recognise(ctx context.Context, r *engramv1.RecogniseRequest) (*engramv1.RecogniseResponse, error) {
	sp, c, err := s.read(ctx, "recognise", r.GetSpace())
	if err != nil {
		return nil, err
	}
	cue := memory.Cue{Text: r.GetText(), Vector: r.GetVector(), Explain: r.GetExplain()}
	if l := r.Limit; l != nil {
		if cue.Limit = int(*l); cue.Limit == 0 {
			return nil, limitZero()
		}
	}
	a, err := sp.Recognise(ctx, cue)
	if err != nil {
		return nil, err
	}
	c.recalled(&a)
	out := &engramv1.RecogniseResponse{Familiar: a.Recognition.Familiar, Familiarity: a.Recognition.Familiarity, Threshold: a.Recognition.Threshold,
		Lsn: uint64(a.LSN), Results: make([]*engramv1.RecallResult, len(a.Results))}
	for i := range a.Results {
		out.Results[i] = resultPB(&a.Results[i], cue.Explain)
	}
	return out, nil
}

// recalled puts what a recall read and how long it took into the call.
func (c *Call) recalled(a *engram.Recollection) {
	c.LSN = a.LSN
	for _, t := range a.Took {
		c.part(t.Stage, t.Took)
	}
}

func limitZero() error {
	return memory.Invalid("limit_out_of_range", "limit", "limit is 0; it lies between 1 and %d", memory.MaxLimit)
}

func cueOf(r *engramv1.Cue) (memory.Cue, error) {
	if r == nil {
		r = &engramv1.Cue{}
	}
	c := memory.Cue{Text: r.Text, Vector: r.Vector, IDs: idsOf(r.Ids), Now: zeroable(r.Now), Mode: memory.Mode(r.Mode),
		Order: memory.Order(r.Order), Exact: r.Exact,
		AsOf: memory.AsOf{Stored: zeroable(r.GetAsOf().GetStored()), Valid: zeroable(r.GetAsOf().GetValid()), LSN: memory.LSN(r.GetAsOf().GetLsn())}}
	if err := refuseLater(r); err != nil {
		return c, err
	}
	for _, x := range r.Context {
		c.Context = append(c.Context, memory.ContextItem{Text: x.GetText(), ID: memory.ID(x.GetId()), At: zeroable(x.GetAt())})
	}
	var err error
	if c.Zone, err = zoneOf(r.Zone); err != nil {
		return c, err
	}
	if l := r.Limit; l != nil {
		if c.Limit = int(*l); c.Limit == 0 {
			return c, limitZero()
		}
	}
	if b := r.Budget; b != nil {
		c.Budget = &memory.Budget{Tokens: int(b.Tokens), Tokenizer: b.Tokenizer}
	}
	has, err := words("include", r.Include, "vector", "links", "prompt")
	if err != nil {
		return c, err
	}
	c.IncludeVector, c.IncludeLinks = has["vector"], has["links"]
	if c.Explain, c.Replay, err = explainOf(r.Explain); err != nil {
		return c, err
	}
	if c.Stages, err = stagesOf(r.Stages); err != nil {
		return c, err
	}
	c.Filter, err = filterOf(r)
	return c, err
}

// refuseLater refuses what nothing honours yet, rather than to swallow it.
func refuseLater(r *engramv1.Cue) error {
	switch {
	case r.AsOf != nil && r.AsOf.Valid == nil && r.AsOf.Stored == nil && r.AsOf.Lsn == 0:
		return memory.Invalid("as_of_empty", "as_of", "as_of is empty; give stored, lsn or valid, or leave it out")
	case r.MinConfidence != nil:
		return memory.Unimplemented("min_confidence", "min_confidence is not built yet; confidence is not calibrated")
	}
	return nil
}

func explainOf(v *structpb.Value) (explain, replay bool, err error) {
	switch x := v.AsInterface().(type) {
	case nil:
		return false, false, nil
	case bool:
		return x, false, nil
	case string:
		if x == "replay" {
			return true, true, nil
		}
	}
	return false, false, memory.Invalid("word_unknown", "explain", "explain can be false, true or \"replay\"")
}

// ReplayRecall gives the results of an earlier recall again.
func (s *Service) ReplayRecall(ctx context.Context, r *engramv1.ReplayRecallRequest) (*engramv1.RecallResponse, error) {
	sp, c, err := s.read(ctx, "replay_recall", r.GetSpace())
	if err != nil {
		return nil, err
	}
	a, err := sp.ReplayRecall(ctx, r.GetReceipt())
	if err != nil {
		return nil, err
	}
	c.LSN = a.LSN
	return recollectionPB(&a, true), nil
}

// zoneOf reads a zone: a name such as Europe/Berlin, or an offset such as +02:00.
func zoneOf(s string) (*time.Location, error) {
	if s == "" {
		return nil, nil
	}
	if t, err := time.Parse("-07:00", s); err == nil {
		return t.Location(), nil
	}
	at, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, memory.Invalid("zone_unknown", "zone", "zone is %.64q, which is no known zone", s).Hinted("give a name such as Europe/Berlin, or an offset such as +02:00")
	}
	return at, nil
}

var stageNames = []string{"context", "links", "text", "time", "vector", "widening"}

func stagesOf(on map[string]bool) (s memory.Stages, err error) {
	for _, name := range sortedKeys(on) {
		switch name {
		case "text":
			s.NoText = !on[name]
		case "vector":
			s.NoVector = !on[name]
		case "links":
			s.NoLinks = !on[name]
		case "widening":
			s.NoWidening = !on[name]
		case "time":
			s.NoTime = !on[name]
		case "context":
			s.NoContext = !on[name]
		default:
			return s, memory.Invalid("word_unknown", "stages."+name, "stages.%s is not a stage of recall", name).
				Hinted("%s", wirejson.DidYouMean(name, stageNames))
		}
	}
	return s, nil
}

func recollectionPB(a *engram.Recollection, explain bool) *engramv1.RecallResponse {
	out := &engramv1.RecallResponse{
		Results: make([]*engramv1.RecallResult, len(a.Results)), RecallId: a.RecallID, Lsn: uint64(a.LSN), Now: timestamppb.New(a.Now),
		Exact: a.Exact, Compared: uint64(a.Compared), Partial: a.Partial, Without: a.Without, Approximate: a.Approximate, Receipt: a.Receipt, Took: make(map[string]*durationpb.Duration, len(a.Took)),
	}
	for i := range a.Results {
		out.Results[i] = resultPB(&a.Results[i], explain)
	}
	for _, t := range a.Took {
		out.Took[t.Stage] = durationpb.New(t.Took)
	}
	for name, lsn := range a.LSNs {
		if out.Lsns == nil {
			out.Lsns = make(map[string]uint64, len(a.LSNs))
		}
		out.Lsns[string(name)] = uint64(lsn)
	}
	for _, name := range a.Missing {
		out.Missing = append(out.Missing, string(name))
	}
	if x := a.Recognition; x != nil {
		out.Recognition = &engramv1.Recognition{Familiar: x.Familiar, Familiarity: x.Familiarity, Threshold: x.Threshold}
	}
	for _, t := range a.Times {
		out.Times = append(out.Times, &engramv1.TimeRead{Text: t.Text, From: openTimePB(t.From), To: openTimePB(t.To)})
	}
	return out
}

// openTimePB is the end of an interval; nil when it is open.
func openTimePB(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func resultPB(r *engram.Result, explain bool) *engramv1.RecallResult {
	out := &engramv1.RecallResult{Memory: memoryPB(&r.Memory), Score: r.Score, Origin: r.Origin, Space: string(r.Space)}
	if p := r.Passage; p != nil {
		out.Passage = &engramv1.Passage{Start: uint32(p.Start), End: uint32(p.End), Text: r.Memory.Text[p.Start:p.End]}
	}
	if !explain {
		return out
	}
	out.Why = &engramv1.Why{}
	for _, p := range r.Parts {
		out.Why.Parts = append(out.Why.Parts, &engramv1.WhyPart{Stage: p.Stage, Value: p.Value, Note: p.Note})
	}
	for _, p := range r.Paths {
		out.Why.Paths = append(out.Why.Paths, &engramv1.WhyPath{Ids: stringsOf(p.IDs), Types: p.Types, Activation: p.Activation, Steps: stepsPB(p.Steps)})
	}
	return out
}
