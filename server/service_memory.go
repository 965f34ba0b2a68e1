package server

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// Remember stores one memory.
func (s *Service) Remember(ctx context.Context, r *engramv1.RememberRequest) (*engramv1.RememberResponse, error) {
	sp, c, err := s.open(ctx, "remember", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write(r.GetOnConflict(), r.GetDurability())
	if err != nil {
		return nil, err
	}
	if err := waitFor(&o, r.GetWait()); err != nil {
		return nil, err
	}
	e, err := episodeOf(r.GetMemory())
	if err != nil {
		return nil, err
	}
	w, err := sp.Remember(ctx, e, o)
	if err != nil {
		return nil, err
	}
	return c.remembered(&w), nil
}

// waitFor reads what a write of memories waits for.
func waitFor(o *engram.WriteOptions, given []string) error {
	wait, err := words("wait", given, "none", "vector")
	if err != nil {
		return err
	}
	if wait["none"] && wait["vector"] {
		return memory.Invalid("wait_contradicts", "wait", "wait is none and vector; it is one of them")
	}
	o.WaitVector, o.WaitNone = wait["vector"], wait["none"]
	return nil
}

// remembered answers a write of a memory.
func (c *Call) remembered(w *engram.Written) *engramv1.RememberResponse {
	c.wrote(w)
	return &engramv1.RememberResponse{Id: string(w.ID), Lsn: uint64(w.LSN), Version: w.Version,
		StoredAt: timestamppb.New(w.StoredAt), Outcome: string(w.Outcome), Pending: w.Pending}
}

// RememberBatch stores several memories.
func (s *Service) RememberBatch(ctx context.Context, r *engramv1.RememberBatchRequest) (*engramv1.RememberBatchResponse, error) {
	sp, c, err := s.open(ctx, "remember_batch", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write(r.GetOnConflict(), r.GetDurability())
	if err != nil {
		return nil, err
	}
	if err := waitFor(&o, r.GetWait()); err != nil {
		return nil, err
	}
	es, bad, err := episodesOf(r)
	if err != nil {
		return nil, err
	}
	b, err := sp.RememberBatch(ctx, es, r.GetPartial(), o)
	if err != nil {
		return nil, err
	}
	c.wroteBatch(&b)
	out := &engramv1.RememberBatchResponse{Stored: uint32(b.Stored), Failed: uint32(b.Failed + len(bad))}
	good := 0
	for i := range r.GetMemories() {
		item := &engram.BatchItem{Err: bad[i]}
		if item.Err == nil {
			item, good = &b.Items[good], good+1
		}
		out.Results = append(out.Results, c.batchResult(i, item))
	}
	return out, nil
}

// episodesOf translates a batch. What can not be translated refuses the batch,
// or is left out and stands in bad, by its index, when the batch is partial.
func episodesOf(r *engramv1.RememberBatchRequest) (es []memory.Episode, bad map[int]error, err error) {
	es = make([]memory.Episode, 0, len(r.GetMemories()))
	for i, m := range r.GetMemories() {
		e, err := episodeOf(m)
		switch {
		case err == nil:
			es = append(es, e)
		case !r.GetPartial():
			return nil, nil, memory.InField("memories["+strconv.Itoa(i)+"]", err)
		default:
			if bad == nil {
				bad = map[int]error{}
			}
			bad[i] = err
		}
	}
	return es, bad, nil
}

// wroteBatch puts what a batch did into the call: 201 when it made anything.
func (c *Call) wroteBatch(b *engram.BatchWritten) {
	c.LSN, c.Replayed = b.LSN, b.Replayed
	for i := range b.Items {
		if b.Items[i].Outcome == engram.Created && !b.Replayed {
			c.Status = statusCreated
			return
		}
	}
}

func (c *Call) batchResult(i int, item *engram.BatchItem) *engramv1.BatchResult {
	out := &engramv1.BatchResult{Index: uint32(i)}
	if item.Err != nil {
		out.Error = itemError(item.Err, c.Verb, c.RequestID)
		return out
	}
	lsn := uint64(item.LSN)
	out.Id, out.Lsn, out.Outcome, out.Version = string(item.ID), &lsn, string(item.Outcome), &item.Version
	return out
}

// itemError is the error of one item inside an answer that is not one.
func itemError(err error, op, requestID string) *engramv1.Error {
	return wireError(asError(context.Background(), err), op, requestID)
}

// GetMemory reads one memory.
func (s *Service) GetMemory(ctx context.Context, r *engramv1.GetMemoryRequest) (*engramv1.Memory, error) {
	sp, c, err := s.read(ctx, "get_memory", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := readOptions(r.GetInclude())
	if err != nil {
		return nil, err
	}
	if err := asOf(r.GetAsOf(), &o); err != nil {
		return nil, err
	}
	m, err := sp.Get(ctx, memory.ID(r.GetId()), o)
	if err != nil {
		return nil, err
	}
	c.ETag = etag(m.Version, m.LSN, m.StoredAt)
	return memoryPB(&m), nil
}

func readOptions(include []string) (o engram.ReadOptions, err error) {
	has, err := words("include", include, "vector", "links", "given_links", "versions")
	return engram.ReadOptions{Vector: has["vector"], Links: has["links"] || has["given_links"], GivenLinks: !has["links"], Versions: has["versions"]}, err
}

// asOf reads an LSN or an instant.
func asOf(s string, o *engram.ReadOptions) error {
	if s == "" {
		return nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > 0 {
		o.AsOfLSN = memory.LSN(n)
		return nil
	}
	t, ok := wirejson.ParseTime(s)
	if !ok {
		return memory.Invalid("time_invalid", "as_of", "as_of is %.48q, which is neither an LSN nor a time", s).
			Hinted("write an LSN, or RFC 3339 such as 2026-05-04T10:00:00Z")
	}
	o.AsOf = t
	return nil
}

// GetMemories reads several memories.
func (s *Service) GetMemories(ctx context.Context, r *engramv1.GetMemoriesRequest) (*engramv1.GetMemoriesResponse, error) {
	sp, _, err := s.read(ctx, "get_memories", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := readOptions(r.GetInclude())
	if err != nil {
		return nil, err
	}
	found, missing, err := sp.GetMany(ctx, idsOf(r.GetIds()), o)
	if err != nil {
		return nil, err
	}
	return &engramv1.GetMemoriesResponse{Memories: memoriesPB(found), Missing: stringsOf(missing)}, nil
}

func memoriesPB(ms []memory.Memory) []*engramv1.Memory {
	out := make([]*engramv1.Memory, len(ms))
	for i := range ms {
		out[i] = memoryPB(&ms[i])
	}
	return out
}

func stringsOf(ids []memory.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// ListMemories reads a page of memories.
func (s *Service) ListMemories(ctx context.Context, r *engramv1.ListMemoriesRequest) (*engramv1.ListMemoriesResponse, error) {
	sp, c, err := s.read(ctx, "list_memories", r.GetSpace())
	if err != nil {
		return nil, err
	}
	q := engram.ListQuery{Order: engram.ListOrder(r.GetOrder()), PageToken: r.GetPageToken()}
	if q.PageSize, err = pageSize(r.PageSize, defaultPage); err != nil {
		return nil, err
	}
	has, err := words("include", r.GetInclude(), "vector")
	if err != nil {
		return nil, err
	}
	q.IncludeVector = has["vector"]
	if q.Filter, err = filterOf(r); err != nil {
		return nil, err
	}
	page, err := sp.List(ctx, q)
	if err != nil {
		return nil, err
	}
	c.LSN = page.LSN
	return &engramv1.ListMemoriesResponse{Memories: memoriesPB(page.Memories), NextPageToken: page.NextPageToken}, nil
}

// UpdateMemory patches one memory.
func (s *Service) UpdateMemory(ctx context.Context, r *engramv1.UpdateMemoryRequest) (*engramv1.RememberResponse, error) {
	sp, c, err := s.open(ctx, "update_memory", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	o.Body = vouched(r)
	w, err := sp.Update(ctx, memory.ID(r.GetId()), func(e *memory.Episode) error { return patchEpisode(e, r) }, o)
	if err != nil {
		return nil, err
	}
	return c.remembered(&w), nil
}

// patchEpisode patches what stands. An instant takes the place of an interval,
// and the other way round.
func patchEpisode(e *memory.Episode, r *engramv1.UpdateMemoryRequest) error {
	m := inputPB(e)
	if given(r, "happened_at") {
		m.Happened = nil
	}
	if given(r, "happened") {
		m.HappenedAt = nil
	}
	if err := patch(m, r.GetPatch(), "id", "entities", "links"); err != nil {
		return err
	}
	next, err := episodeOf(m)
	if err != nil {
		return err
	}
	next.ID, next.Entities, next.Links = e.ID, e.Entities, e.Links
	*e = next
	return nil
}

// given says whether the patch sets a field to something.
func given(r *engramv1.UpdateMemoryRequest, field string) bool {
	v := r.GetPatch().GetFields()[field]
	return v != nil && v.AsInterface() != nil
}

// DeleteMemory forgets one memory.
func (s *Service) DeleteMemory(ctx context.Context, r *engramv1.DeleteMemoryRequest) (*engramv1.DeleteMemoryResponse, error) {
	sp, c, err := s.open(ctx, "delete_memory", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", r.GetDurability())
	if err != nil {
		return nil, err
	}
	mode, err := memory.ParseForgetMode(r.GetMode())
	if err != nil {
		return nil, err
	}
	if r.GetReason() != "" {
		return nil, memory.Unimplemented("reason", "reason is kept for POST memories/forget alone").Hinted("use POST memories/forget with ids")
	}
	d, err := c.waitOf(r.GetTimeout())
	if err != nil {
		return nil, err
	}
	f, err := sp.Delete(ctx, memory.ID(r.GetId()), mode, d, o)
	if err != nil {
		return nil, err
	}
	return &engramv1.DeleteMemoryResponse{Lsn: uint64(f.LSN), Job: s.forgot(c, &f)}, nil
}

// forgot puts what was forgotten into the call, and gives the job that goes on.
func (s *Service) forgot(c *Call, f *engram.Forgotten) string {
	c.LSN, c.Replayed = f.LSN, f.Replayed
	if f.Job == nil {
		return ""
	}
	c.Status = statusAccepted
	s.jobs.add(f.Job.ID, c.Space)
	return f.Job.ID
}

// A selection is every message that names memories by ids or a filter.
type selection interface {
	GetIds() []string
	GetFilter() *engramv1.Filter
	GetDryRun() bool
	GetReason() string
}

func selectionOf(r selection, most *uint32) (q engram.ForgetQuery, err error) {
	q.IDs, q.DryRun, q.Reason = idsOf(r.GetIds()), r.GetDryRun(), r.GetReason()
	if f := r.GetFilter(); f != nil {
		filter, err := filterOf(f)
		if err != nil {
			return q, memory.InField("filter", err)
		}
		q.Filter = &filter
	}
	if most == nil {
		return q, nil
	}
	if *most == 0 {
		return q, memory.Invalid("max_out_of_range", "max", "max is 0; it is at least 1")
	}
	q.Max = int(*most)
	return q, nil
}

// Forget forgets memories by ids or filter.
func (s *Service) Forget(ctx context.Context, r *engramv1.ForgetRequest) (*engramv1.ForgetResponse, error) {
	sp, c, err := s.open(ctx, "forget", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", "")
	if err != nil {
		return nil, err
	}
	q, err := selectionOf(r, r.Max)
	if err != nil {
		return nil, err
	}
	if q.Mode, err = memory.ParseForgetMode(r.GetMode()); err != nil {
		return nil, err
	}
	d, err := c.waitOf(r.GetTimeout())
	if err != nil {
		return nil, err
	}
	f, err := sp.Forget(ctx, q, d, o)
	if err != nil {
		return nil, err
	}
	return &engramv1.ForgetResponse{Matched: uint32(f.Matched), Forgotten: uint32(f.Forgotten), Lsn: uint64(f.LSN),
		Missing: stringsOf(f.Missing), Job: s.forgot(c, &f)}, nil
}

// Restore brings suppressed memories back.
func (s *Service) Restore(ctx context.Context, r *engramv1.RestoreRequest) (*engramv1.RestoreResponse, error) {
	sp, c, err := s.open(ctx, "restore", r.GetSpace())
	if err != nil {
		return nil, err
	}
	o, err := c.write("", "")
	if err != nil {
		return nil, err
	}
	q, err := selectionOf(r, r.Max)
	if err != nil {
		return nil, err
	}
	f, err := sp.Restore(ctx, q, o)
	if err != nil {
		return nil, err
	}
	s.forgot(c, &f)
	return &engramv1.RestoreResponse{Matched: uint32(f.Matched), Restored: uint32(f.Forgotten), Lsn: uint64(f.LSN),
		Forgotten: uint32(f.Matched - f.Forgotten), Missing: stringsOf(f.Missing)}, nil
}
