package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
	"github.com/engramdb/engram/transfer"
)

// CheckMemory says what a memory has wrong that can be known without its space.
func CheckMemory(m *engramv1.MemoryInput) error {
	e, err := episodeOf(m)
	if err != nil {
		return err
	}
	return e.Normalize()
}

// GivenLinks calls f for the links that go out from nodes and that callers said. It
// is no call of the API: a whole export is (GET S/export).
func (s *Service) GivenLinks(ctx context.Context, space string, from []string, f func(*engramv1.Link) error) error {
	sp, _, err := s.read(ctx, "list_memory_links", space)
	if err != nil {
		return err
	}
	ids := make([]memory.ID, len(from))
	for i, id := range from {
		ids[i] = memory.ID(id)
	}
	return sp.EachGivenLink(ctx, ids, func(l memory.Link) error { return f(linkPB(&l)) })
}

// POST S/import takes JSONL (docs/format/jsonl.md) as a stream of any length, and
// GET S/export gives it. They stand beside the schema, whose messages are whole:
// what they do is made of its calls, each of which is authorised and counted
// against the key's rate as if the caller had made it.

// ndjson is the type of both bodies.
const ndjson = "application/x-ndjson"

// transferOf gives the verb and the space when a path is one of the two.
func transferOf(u *url.URL) (verb, space string) {
	parts, ok := split(u)
	if !ok || len(parts) != 4 || parts[0] != "v1" || parts[1] != "spaces" || parts[3] != "import" && parts[3] != "export" {
		return "", ""
	}
	return parts[3], parts[2]
}

// streamsBody says whether the body of a request has no bound as a whole: it is
// read line by line, and each has one.
func streamsBody(r *http.Request) bool {
	verb, _ := transferOf(r.URL)
	_, upload := uploadOf(r.Method, r.URL)
	return verb == "import" || upload
}

// transfers answers an import or an export, and says whether the request was one.
func (s *Server) transfers(w http.ResponseWriter, r *http.Request, c *Call) bool {
	verb, space := transferOf(r.URL)
	if verb == "" {
		return false
	}
	c.Verb, c.Space = verb, space
	method := map[string]string{"import": http.MethodPost, "export": http.MethodGet}[verb]
	if r.Method != method {
		s.fail(w, r, c, noRoute(w, r, []string{method}))
		return true
	}
	var err error
	if verb == "import" {
		err = s.importStream(w, r, c)
	} else {
		err = s.exportStream(w, r, c)
	}
	c.Verb, c.Space = verb, space
	if err != nil {
		s.fail(w, r, c, err)
	}
	return true
}

// transferQuery reads the parameters of the URL; each may come once.
func transferQuery(u *url.URL, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, memory.Invalid("query_invalid", "", "the query of the URL can not be read: %v", err)
	}
	out := map[string]string{}
	for _, key := range sortedKeys(values) {
		switch {
		case !slices.Contains(known, key):
			return nil, memory.Invalid("field_unknown", key, "%.64q is not a parameter that is known here", key).Hinted("%s", wirejson.DidYouMean(key, known))
		case len(values[key]) > 1:
			return nil, memory.Invalid("field_repeated", key, "%s is given %d times", key, len(values[key]))
		}
		out[key] = values[key][0]
	}
	return out, nil
}

// A part is the API as one transfer calls it: through the service and in the name
// of its caller, each call with what travels beside it of its own.
type part struct {
	s *Server
	c *Call
}

// step does one call of a transfer, once the caller may make it.
func step[Q proto.Message, A any](ctx context.Context, p part, verb string, q Q, call func(context.Context, Q) (A, error)) (A, error) {
	c := &Call{RequestID: p.c.RequestID, Caller: p.c.Caller, Door: p.c.Door, key: p.c.key, MinLSN: p.c.MinLSN}
	defer c.end()
	if err := p.s.authorize(c, verb, q); err != nil {
		var none A
		return none, err
	}
	return call(WithCall(ctx, c), q)
}

// The calls of transfer.API and transfer.Source.

func (p part) GetSpace(ctx context.Context, q *engramv1.GetSpaceRequest) (*engramv1.Space, error) {
	return step(ctx, p, "get_space", q, p.s.service.GetSpace)
}

func (p part) PutSpace(ctx context.Context, q *engramv1.PutSpaceRequest) (*engramv1.Space, error) {
	return step(ctx, p, "put_space", q, p.s.service.PutSpace)
}

func (p part) RememberBatch(ctx context.Context, q *engramv1.RememberBatchRequest) (*engramv1.RememberBatchResponse, error) {
	return step(ctx, p, "remember_batch", q, p.s.service.RememberBatch)
}

func (p part) ListMemories(ctx context.Context, q *engramv1.ListMemoriesRequest) (*engramv1.ListMemoriesResponse, error) {
	return step(ctx, p, "list_memories", q, p.s.service.ListMemories)
}

func (p part) PutEntity(ctx context.Context, q *engramv1.PutEntityRequest) (*engramv1.PutEntityResponse, error) {
	return step(ctx, p, "put_entity", q, p.s.service.PutEntity)
}

func (p part) GetEntity(ctx context.Context, q *engramv1.GetEntityRequest) (*engramv1.Entity, error) {
	return step(ctx, p, "get_entity", q, p.s.service.GetEntity)
}

func (p part) ListEntities(ctx context.Context, q *engramv1.ListEntitiesRequest) (*engramv1.ListEntitiesResponse, error) {
	return step(ctx, p, "list_entities", q, p.s.service.ListEntities)
}

func (p part) CreateLinks(ctx context.Context, q *engramv1.CreateLinksRequest) (*engramv1.CreateLinksResponse, error) {
	return step(ctx, p, "create_links", q, p.s.service.CreateLinks)
}

// GivenLinks reads the links of nodes that callers said, for exports: a caller may
// who may list the links of a node.
func (p part) GivenLinks(ctx context.Context, space string, from []string, f func(*engramv1.Link) error) error {
	_, err := step(ctx, p, "list_memory_links", &engramv1.ListMemoryLinksRequest{Space: space}, func(ctx context.Context, _ *engramv1.ListMemoryLinksRequest) (bool, error) {
		return true, p.s.service.GivenLinks(ctx, space, from, f)
	})
	return err
}

// exportStream answers with a space. An error before the first byte is returned,
// a later one is the last line.
func (s *Server) exportStream(w http.ResponseWriter, r *http.Request, c *Call) error {
	given, err := transferQuery(r.URL, "vectors")
	if err != nil {
		return err
	}
	ctx, release, err := s.stream(r.Context())
	if err != nil {
		return err
	}
	defer release()
	out := &lineWriter{w: w, c: c, patience: s.o.WriteTimeout}
	_, err = transfer.Export(ctx, part{s, c}, out, transfer.ExportOptions{Space: c.Space, Vectors: transfer.Vectors(given["vectors"])}) // the last line has the digest
	return out.finish(ctx, err)
}

// importStream stores what is sent, and answers with lines as it goes: of each
// refused item, now and then of how far it is, and last {"done": ...}.
func (s *Server) importStream(w http.ResponseWriter, r *http.Request, c *Call) error {
	given, err := transferQuery(r.URL, "on_conflict", "durability", "source", "dry_run")
	if err != nil {
		return err
	}
	dry, err := truthOf(given, "dry_run", false)
	if err != nil {
		return err
	}
	if t := r.Header.Get("Content-Encoding"); t != "" && t != "identity" {
		return encodingUnknown(t, "Content-Encoding", "no compression here")
	}
	source := given["source"]
	if source == "" {
		source = "import"
	}
	// Refuse before the first byte is read who may not write here.
	p := part{s, c}
	if _, err := step(r.Context(), p, "remember_batch", &engramv1.RememberBatchRequest{Space: c.Space}, func(ctx context.Context, q *engramv1.RememberBatchRequest) (bool, error) {
		return true, memory.SpaceName(q.GetSpace()).Check()
	}); err != nil {
		return err
	}
	ctx, release, err := s.stream(r.Context())
	if err != nil {
		return err
	}
	defer release()
	_ = c.conn.EnableFullDuplex() // the answer begins before the body ends; HTTP/2 can without
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // or the rest of a body that hangs would be waited for
	}
	out := &lineWriter{w: w, c: c, patience: s.o.WriteTimeout}
	began := time.Now()
	o := transfer.ImportOptions{Space: c.Space, OnConflict: given["on_conflict"], Durability: given["durability"], DryRun: dry, Check: CheckMemory}
	o.Rejected = func(x *transfer.Rejection) error {
		return out.line("rejected", struct {
			Line  int             `json:"line"`
			Error json.RawMessage `json:"error"`
		}{x.Item.Line, wirejson.Append(nil, itemError(x.Reason, c.Verb, c.RequestID))})
	}
	o.Moved = func(t transfer.Tally, _ int64) error {
		if time.Since(began) < sayEvery {
			return nil
		}
		began = time.Now()
		return out.line("progress", t)
	}
	body := &timedBody{r: r, c: c, patience: s.o.BodyTimeout}
	t, err := transfer.Import(ctx, p, transfer.JSONL(source, body), o)
	c.LSN = memory.LSN(t.LSN)
	if err == nil {
		err = out.line("done", t)
	}
	return out.finish(ctx, err)
}

// sayEvery is how often an import says how far it is.
const sayEvery = 2 * time.Second

func truthOf(given map[string]string, name string, standard bool) (bool, error) {
	switch s := given[name]; s {
	case "":
		return standard, nil
	case "true", "false":
		return s == "true", nil
	default:
		return false, memory.Invalid("word_unknown", name, "%s is %.32q; it can be true or false", name, s)
	}
}

// A timedBody gives each read of a body its time; the whole has none.
type timedBody struct {
	r        *http.Request
	c        *Call
	patience time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	_ = b.c.conn.SetReadDeadline(time.Now().Add(b.patience)) // not every connection has deadlines
	n, err := b.r.Body.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.c.conn.SetReadDeadline(time.Time{})
		return n, err
	}
	if err != nil {
		err = bodyError(err)
	}
	return n, err
}

// A lineWriter writes the lines of a transfer. It begins the answer with the
// first of them.
type lineWriter struct {
	w        http.ResponseWriter
	c        *Call
	patience time.Duration
	begun    bool
	broken   bool
}

func (o *lineWriter) Write(b []byte) (int, error) {
	if !o.begun {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", ndjson)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
	}
	var n int
	err := o.c.within(o.patience, func() (err error) {
		if n, err = o.w.Write(b); err != nil {
			return err
		}
		return http.NewResponseController(o.w).Flush()
	})
	o.broken = o.broken || err != nil
	return n, err
}

// line writes {"name": what}.
func (o *lineWriter) line(name string, what any) error {
	body, err := json.Marshal(map[string]any{name: what})
	if err == nil {
		_, err = o.Write(append(body, '\n'))
	}
	return err
}

// finish ends the answer. An error is the caller's when nothing has been said
// yet, and else the last line.
func (o *lineWriter) finish(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // a key that has ended, say
	}
	if errors.Is(err, errStopping) {
		err = memory.Errorf(memory.KindUnavailable, codeStopping, "the server is stopping; what is stored stays, and the same again goes on")
	}
	if err == nil || !o.begun {
		return err
	}
	o.c.err = asError(ctx, err)
	if !o.broken {
		_ = o.line("error", json.RawMessage(wirejson.Append(nil, wireError(o.c.err, o.c.Verb, o.c.RequestID)))) // it ends either way
	}
	return nil
}
