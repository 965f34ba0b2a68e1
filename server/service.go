package server

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// A Service is the API over a database: each call of the schema once, for every
// door. What travels beside a message is the Call of its context. Its errors are
// *memory.Error or become internal ones at the door. It is safe for concurrent
// use; of its own it holds only which space a job is of.
type Service struct {
	later
	db      *engram.DB
	version string
	jobs    jobSpaces

	modelKeys string // directory of the keys of models that callers over the network may name; "" is none
}

// NewService makes the Service of a database; version is the server's own, ""
// for what the build says.
func NewService(db *engram.DB, version string) *Service {
	return &Service{db: db, version: version}
}

// open gives the space that a call names, and the call. For a read it waits
// first until the state that the caller has seen is there.
func (s *Service) open(ctx context.Context, verb, name string) (*engram.Space, *Call, error) {
	c := callOf(ctx)
	c.Verb, c.Space = verb, name
	n := memory.SpaceName(name)
	if err := n.Check(); err != nil {
		return nil, c, err
	}
	sp, err := s.db.Space(n)
	return sp, c, err
}

// read opens a space to be read: at least the state that the caller has seen.
// The call's LSN is taken before the read, so that what is read is no older.
func (s *Service) read(ctx context.Context, verb, name string) (*engram.Space, *Call, error) {
	sp, c, err := s.open(ctx, verb, name)
	if err != nil {
		return nil, c, err
	}
	if c.MinLSN != 0 {
		if err := sp.WaitFor(ctx, c.MinLSN); err != nil {
			return nil, c, err
		}
	}
	c.LSN, err = sp.LSN()
	return sp, c, err
}

// write gives the options of a write.
func (c *Call) write(onConflict, durability string) (o engram.WriteOptions, err error) {
	o.IdempotencyKey, o.Caller, o.MaxMemories = c.IdempotencyKey, c.Caller, c.maxMemories
	if o.OnConflict, err = memory.ParseOnConflict(onConflict); err != nil {
		return o, err
	}
	if o.Durability, err = memory.ParseDurability(durability); err != nil {
		return o, err
	}
	return o, c.match(&o)
}

// wrote puts what a write did into the call.
func (c *Call) wrote(w *engram.Written) {
	c.LSN, c.Replayed = w.LSN, w.Replayed
	if w.Version != 0 {
		c.ETag = etag(w.Version, w.LSN, w.StoredAt)
	}
	if w.Outcome == engram.Created && !w.Replayed {
		c.Status = statusCreated
	}
}

const (
	statusCreated  = 201
	statusAccepted = 202
)

// PutSpace makes a space.
func (s *Service) PutSpace(ctx context.Context, r *engramv1.PutSpaceRequest) (*engramv1.Space, error) {
	c := callOf(ctx)
	c.Verb, c.Space = "put_space", r.GetSpace()
	settings, err := settingsOf(r.GetSettings())
	if err != nil {
		return nil, err
	}
	info, created, err := s.db.CreateSpace(ctx, memory.SpaceName(r.GetSpace()), settings)
	if err != nil {
		return nil, err
	}
	if created {
		c.Status = statusCreated
		s.record(ctx, c, engram.ActSpaceCreated)
	}
	return c.space(&info), nil
}

// record keeps what an administrator did to a space. The space is as it is when
// that fails; the log says both.
func (s *Service) record(ctx context.Context, c *Call, what string) {
	if c.key == nil && !c.local() {
		return // whoever it was has no name
	}
	if err := s.db.RecordAct(c.acting(ctx), what, c.Space); err != nil {
		s.db.LogUnrecorded(what, c.Space, err)
	}
}

// space answers with a space.
func (c *Call) space(i *engram.SpaceInfo) *engramv1.Space {
	c.LSN, c.ETag = i.LSN, spaceTag(i)
	return spacePB(i)
}

// spaceTag is a space's ETag: a name that is made again is another space.
func spaceTag(i *engram.SpaceInfo) string {
	return fmt.Sprintf(`"%d-%d"`, i.ID, i.Version)
}

// GetSpace reads a space.
func (s *Service) GetSpace(ctx context.Context, r *engramv1.GetSpaceRequest) (*engramv1.Space, error) {
	sp, c, err := s.read(ctx, "get_space", r.GetSpace())
	if err != nil {
		return nil, err
	}
	info, err := sp.Info(ctx)
	if err != nil {
		return nil, err
	}
	return c.space(&info), nil
}

// maxSpaces is the most spaces of one page, and how many there are when the
// caller does not say.
const maxSpaces = 1000

// ListSpaces lists the spaces by name; a page token is the last name.
func (s *Service) ListSpaces(ctx context.Context, r *engramv1.ListSpacesRequest) (*engramv1.ListSpacesResponse, error) {
	callOf(ctx).Verb = "list_spaces"
	n, err := pageSize(r.PageSize, maxSpaces)
	if err != nil {
		return nil, err
	}
	after := memory.SpaceName(r.GetPageToken())
	if after != "" && after.Check() != nil {
		return nil, memory.Invalid("page_token_invalid", "page_token", "page_token is not one that this server gave")
	}
	infos, err := s.spaces(ctx, after, n+1)
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListSpacesResponse{}
	if len(infos) > n {
		infos = infos[:n]
		out.NextPageToken = string(infos[n-1].Name)
	}
	for i := range infos {
		out.Spaces = append(out.Spaces, spacePB(&infos[i]))
	}
	return out, nil
}

// spaces lists the spaces that the caller may see.
func (s *Service) spaces(ctx context.Context, after memory.SpaceName, n int) ([]engram.SpaceInfo, error) {
	k := callOf(ctx).key
	if k == nil || len(k.Spaces) == 0 {
		return s.db.Spaces(ctx, after, n)
	}
	var infos []engram.SpaceInfo
	for _, name := range k.Spaces { // they are sorted, and few
		if name <= after || len(infos) == n {
			continue
		}
		sp, err := s.db.Space(name)
		if err != nil {
			continue // it may see one that is not there
		}
		info, err := sp.Info(ctx)
		if memory.KindOf(err) == memory.KindNotFound && err != nil {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// pageSize reads a page size: standard when it is not given. The database says
// what is too much, but for a size that its default stands for.
func pageSize(given *int32, standard int) (int, error) {
	if given == nil {
		return standard, nil
	}
	if *given < 1 || *given > engram.MaxPage {
		return 0, memory.Invalid("page_size_out_of_range", "page_size", "page_size is %d; it lies between 1 and %d", *given, engram.MaxPage)
	}
	return int(*given), nil
}

// defaultPage is how many things a page has when the caller does not say.
const defaultPage = engram.DefaultPage

// UpdateSpace patches a space's settings.
func (s *Service) UpdateSpace(ctx context.Context, r *engramv1.UpdateSpaceRequest) (*engramv1.Space, error) {
	sp, c, err := s.open(ctx, "update_space", r.GetSpace())
	if err != nil {
		return nil, err
	}
	ifMatch, err := c.spaceVersion(ctx, sp)
	if err != nil {
		return nil, err
	}
	info, err := s.db.UpdateSpace(ctx, sp.Name(), ifMatch, func(m *memory.Settings) error {
		next := &engramv1.PutSpaceRequest{Settings: settingsPB(m)}
		if err := patch(next, r.GetPatch(), "space"); err != nil {
			return err
		}
		*m, err = settingsOf(next.Settings)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.record(ctx, c, engram.ActSpaceChanged)
	return c.space(&info), nil
}

// spaceVersion reads the If-Match of a space: 0 for any.
func (c *Call) spaceVersion(ctx context.Context, sp *engram.Space) (uint32, error) {
	if c.IfMatch == "" || c.IfMatch == "*" {
		return 0, nil
	}
	info, err := sp.Info(ctx)
	if err != nil {
		return 0, err
	}
	if c.IfMatch != spaceTag(&info) {
		return 0, c.mismatch()
	}
	return info.Version, nil
}

// DeleteSpace drops a space whose name is given twice.
func (s *Service) DeleteSpace(ctx context.Context, r *engramv1.DeleteSpaceRequest) (*engramv1.DeleteSpaceResponse, error) {
	sp, c, err := s.open(ctx, "delete_space", r.GetSpace())
	if err != nil {
		return nil, err
	}
	if r.GetConfirm() != r.GetSpace() {
		return nil, memory.Invalid("confirm_missing", "confirm", "confirm is not the name of the space; a space is dropped only with confirm=%s", r.GetSpace())
	}
	if _, err := c.spaceVersion(ctx, sp); err != nil {
		return nil, err
	}
	job, err := s.db.DropSpace(ctx, sp.Name())
	if err != nil {
		return nil, err
	}
	c.Status = statusAccepted
	s.jobs.add(job.ID, r.GetSpace())
	s.record(ctx, c, engram.ActSpaceDropped)
	return &engramv1.DeleteSpaceResponse{Job: job.ID}, nil
}

// GetJob reads the state of a job.
func (s *Service) GetJob(ctx context.Context, r *engramv1.GetJobRequest) (*engramv1.Job, error) {
	c := callOf(ctx)
	c.Verb = "get_job"
	job, err := s.db.Job(r.GetId())
	if err != nil {
		return nil, err
	}
	return s.jobPB(&job, c), nil
}

func (s *Service) jobPB(j *engram.Job, c *Call) *engramv1.Job {
	out := jobPB(j, c.RequestID)
	out.Space = s.jobSpace(j.ID)
	return out
}

// CancelJob asks a job to stop.
func (s *Service) CancelJob(ctx context.Context, r *engramv1.CancelJobRequest) (*engramv1.Job, error) {
	c := callOf(ctx)
	c.Verb = "cancel_job"
	job, err := s.db.CancelJob(r.GetId())
	if err != nil {
		return nil, err
	}
	return s.jobPB(&job, c), nil
}

// GetVersion says what the server is.
func (s *Service) GetVersion(ctx context.Context, _ *engramv1.GetVersionRequest) (*engramv1.GetVersionResponse, error) {
	callOf(ctx).Verb = "get_version"
	out := &engramv1.GetVersionResponse{Version: s.version, Go: runtime.Version(), ApiVersions: []string{"v1"}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out, nil
	}
	if out.Version == "" {
		out.Version = info.Main.Version
	}
	for _, kv := range info.Settings {
		switch kv.Key {
		case "vcs.revision":
			out.Commit = kv.Value
		case "vcs.time":
			out.BuildDate = kv.Value
		}
	}
	return out, nil
}

// words reads a list of words, such as include, each of which must be known.
func words(field string, given []string, known ...string) (map[string]bool, error) {
	has := make(map[string]bool, len(given))
	for i, w := range given {
		if !slices.Contains(known, w) {
			f := field + "[" + strconv.Itoa(i) + "]"
			return nil, memory.Invalid("word_unknown", f, "%s is %.48q; it can be %s", f, w, strings.Join(known, ", ")).
				Hinted("%s", wirejson.DidYouMean(w, known))
		}
		has[w] = true
	}
	return has, nil
}

// wait is how long an erasure is waited for when the caller does not say.
const wait = 10 * time.Second

// waitOf reads a timeout and gives the request as much time, and a little more
// for the answer.
func (c *Call) waitOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return wait, nil
	}
	return d.AsDuration(), c.allow(d.AsDuration()+answerTime, "timeout")
}

// answerTime is what an answer may take after the thing that it waited for.
const answerTime = time.Second
