package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// An endpoint is one call of the schema, without its types.
type endpoint struct {
	fresh func() proto.Message
	call  func(context.Context, proto.Message) (proto.Message, error)
}

// unary takes the types off a call.
func unary[Q, A any, PQ interface {
	*Q
	proto.Message
}, PA interface {
	*A
	proto.Message
}](f func(context.Context, *Q) (*A, error)) endpoint {
	return endpoint{
		fresh: func() proto.Message { return PQ(new(Q)) },
		call: func(ctx context.Context, q proto.Message) (proto.Message, error) {
			a, err := f(ctx, (*Q)(q.(PQ)))
			return PA(a), err
		},
	}
}

// endpoints has every call of the schema by its name; newRouter says when one is
// missing.
func (s *Service) endpoints() map[protoreflect.Name]endpoint {
	return map[protoreflect.Name]endpoint{
		"PutSpace": unary(s.PutSpace), "GetSpace": unary(s.GetSpace), "ListSpaces": unary(s.ListSpaces),
		"UpdateSpace": unary(s.UpdateSpace), "DeleteSpace": unary(s.DeleteSpace),

		"Remember": unary(s.Remember), "RememberBatch": unary(s.RememberBatch), "GetMemory": unary(s.GetMemory),
		"GetMemories": unary(s.GetMemories), "ListMemories": unary(s.ListMemories), "UpdateMemory": unary(s.UpdateMemory),
		"DeleteMemory": unary(s.DeleteMemory), "Forget": unary(s.Forget), "Restore": unary(s.Restore),

		"Recall": unary(s.Recall), "CheckRecall": unary(s.CheckRecall), "ReplayRecall": unary(s.ReplayRecall), "Feedback": unary(s.Feedback),

		"PutEntity": unary(s.PutEntity), "GetEntity": unary(s.GetEntity), "ListEntities": unary(s.ListEntities),
		"UpdateEntity": unary(s.UpdateEntity), "DeleteEntity": unary(s.DeleteEntity), "MergeEntities": unary(s.MergeEntities),
		"UnmergeEntities": unary(s.UnmergeEntities),

		"CreateLink": unary(s.CreateLink), "CreateLinks": unary(s.CreateLinks), "GetLink": unary(s.GetLink),
		"UpdateLink": unary(s.UpdateLink), "DeleteLink": unary(s.DeleteLink),
		"ListMemoryLinks": unary(s.ListMemoryLinks), "ListEntityLinks": unary(s.ListEntityLinks),

		"Spread": unary(s.Spread), "Relink": unary(s.Relink), "Recognise": unary(s.Recognise), "Complete": unary(s.Complete), "Match": unary(s.Match),
		"Query": unary(s.Query), "Consolidate": unary(s.Consolidate), "ListConcepts": unary(s.ListConcepts),
		"GetConcept": unary(s.GetConcept), "ListPlans": unary(s.ListPlans), "RevertPlan": unary(s.RevertPlan),

		"CreateKey": unary(s.CreateKey), "ListKeys": unary(s.ListKeys), "RotateKey": unary(s.RotateKey), "RevokeKey": unary(s.RevokeKey),
		"ListActs": unary(s.ListActs),

		"ListModels": unary(s.ListModels), "GetModel": unary(s.GetModel), "AddModel": unary(s.AddModel), "DeleteModel": unary(s.DeleteModel),
		"EmbedTexts": unary(s.EmbedTexts), "ReembedSpace": unary(s.ReembedSpace),

		"ListEvents": unary(s.ListEvents),
		"GetJob":     unary(s.GetJob), "CancelJob": unary(s.CancelJob), "GetVersion": unary(s.GetVersion),
	}
}

// A route is one http annotation: a method and a path, and where in the request
// message its parts go.
type route struct {
	endpoint
	verb     string
	method   string
	segments []segment
	literals int
	body     protoreflect.FieldDescriptor // nil: the whole message, or none
	hasBody  bool
	said     []string // fields that the path says; the body may not
	noQuery  []string // fields that no query parameter may set
}

// A segment of a path: a word, or the field that takes what stands there.
type segment struct {
	word  string
	field protoreflect.FieldDescriptor
}

// A router finds the route of a request. Routes are few and short; they are
// looked through in order, those with more words first.
type router struct {
	routes map[int][]*route // by number of segments
}

// newRouter makes the router from the schema's annotations.
func newRouter(s *Service) (*router, error) {
	endpoints := s.endpoints()
	rt := &router{routes: map[int][]*route{}}
	methods := engramv1.File_engram_v1_engram_proto.Services().ByName("EngramService").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		e, ok := endpoints[m.Name()]
		if !ok {
			return nil, fmt.Errorf("the schema has a call %s that the service has not", m.Name())
		}
		rule, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !ok || rule == nil {
			return nil, fmt.Errorf("the call %s has no http annotation", m.Name())
		}
		for _, r := range append([]*annotations.HttpRule{rule}, rule.AdditionalBindings...) {
			if err := rt.add(e, m, r); err != nil {
				return nil, err
			}
		}
	}
	for _, rs := range rt.routes {
		slices.SortStableFunc(rs, func(a, b *route) int { return b.literals - a.literals })
	}
	return rt, nil
}

func (rt *router) add(e endpoint, m protoreflect.MethodDescriptor, rule *annotations.HttpRule) error {
	r := &route{endpoint: e, verb: snake(string(m.Name()))}
	var path string
	switch p := rule.Pattern.(type) {
	case *annotations.HttpRule_Get:
		r.method, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		r.method, path = http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		r.method, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		r.method, path = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		r.method, path = http.MethodDelete, p.Delete
	}
	fields := m.Input().Fields()
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		name, ok := strings.CutPrefix(s, "{")
		if !ok {
			r.segments, r.literals = append(r.segments, segment{word: s}), r.literals+1
			continue
		}
		name = strings.TrimSuffix(name, "}")
		fd := fields.ByName(protoreflect.Name(name))
		if fd == nil {
			return fmt.Errorf("the path %s names %s, which %s has not", path, name, m.Input().Name())
		}
		r.segments, r.said = append(r.segments, segment{field: fd}), append(r.said, name)
	}
	if err := r.bindBody(rule.Body, fields); err != nil {
		return err
	}
	rt.routes[len(r.segments)] = append(rt.routes[len(r.segments)], r)
	return nil
}

func (r *route) bindBody(body string, fields protoreflect.FieldDescriptors) error {
	r.hasBody = body != ""
	r.noQuery = slices.Clip(r.said)
	switch body {
	case "":
		return nil
	case "*": // what a body may say, no parameter may
		for i := range fields.Len() {
			r.noQuery = append(r.noQuery, string(fields.Get(i).Name()))
		}
		return nil
	}
	r.body = fields.ByName(protoreflect.Name(body))
	if r.body == nil {
		return fmt.Errorf("the body of %s is %s, which is no field", r.verb, body)
	}
	r.noQuery = append(slices.Clip(r.said), body)
	return nil
}

func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// find gives the route of a request and what stands in its path. Without one the
// methods that the path has are in allowed, which is empty for an unknown path.
func (rt *router) find(method string, u *url.URL) (r *route, parts []string, allowed []string) {
	parts, ok := split(u)
	if !ok {
		return nil, nil, nil
	}
	for _, r := range rt.routes[len(parts)] {
		if !r.matches(parts) {
			continue
		}
		if r.method == method {
			return r, parts, nil
		}
		allowed = append(allowed, r.method)
	}
	slices.Sort(allowed)
	return nil, nil, slices.Compact(allowed)
}

// split gives the segments of a path. An escaped slash is a character of its
// segment and no border.
func split(u *url.URL) ([]string, bool) {
	if u.RawPath == "" {
		return strings.Split(strings.TrimPrefix(u.Path, "/"), "/"), true
	}
	parts := strings.Split(strings.TrimPrefix(u.RawPath, "/"), "/")
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil {
			return nil, false
		}
		parts[i] = s
	}
	return parts, true
}

func (r *route) matches(parts []string) bool {
	for i, s := range r.segments {
		if s.field == nil && s.word != parts[i] {
			return false
		}
	}
	return true
}

// decode makes the request message of a route.
func (r *route) decode(req *http.Request, parts []string) (proto.Message, error) {
	msg := r.fresh()
	m := msg.ProtoReflect()
	if req.URL.RawQuery != "" {
		values, err := url.ParseQuery(req.URL.RawQuery)
		if err != nil {
			return nil, memory.Invalid("query_invalid", "", "the query of the URL can not be read: %v", err)
		}
		if err := wirejson.DecodeQuery(values, msg, r.noQuery...); err != nil {
			return nil, err
		}
	}
	if err := r.decodeBody(req, m); err != nil {
		return nil, err
	}
	for i, s := range r.segments {
		if s.field != nil {
			m.Set(s.field, protoreflect.ValueOfString(strings.ToValidUTF8(parts[i], "\ufffd")))
		}
	}
	return msg, nil
}

func (r *route) decodeBody(req *http.Request, m protoreflect.Message) error {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	if e := req.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return encodingUnknown(e, "Content-Encoding", "no compression here")
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer release(buf)
	if n := req.ContentLength; n > 0 && n < maxPooled {
		buf.Grow(int(n) + bytes.MinRead) // so that reading does not grow it again
	}
	if _, err := buf.ReadFrom(req.Body); err != nil {
		return bodyError(err)
	}
	if buf.Len() == 0 {
		return nil
	}
	switch {
	case !r.hasBody:
		return memory.Invalid("body_unexpected", "", "%s %s takes no body", r.method, req.URL.Path)
	case r.body != nil:
		return wirejson.Decode(buf.Bytes(), m.Mutable(r.body).Message().Interface())
	}
	return wirejson.Decode(buf.Bytes(), m.Interface(), r.said...)
}

// bodyError says why a body could not be read.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return memory.Errorf(memory.KindTooLarge, codeBodyTooLarge, "the body has more than %d bytes, which is the most", tooLarge.Limit).
			Hinted("split it: a text has at most 8 MiB, and so has a batch").With("limit_bytes", int(tooLarge.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return memory.Errorf(memory.KindTimeout, codeBodyTimeout, "the body did not arrive in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return memory.Invalid(codeBodyUnreadable, "", "the body ended before its end")
	}
	e := memory.Invalid(codeBodyUnreadable, "", "the body can not be read")
	e.Cause = err
	return e
}

// buffers holds the bodies of requests and answers between two of them. What is
// decoded from one shares no memory with it.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled is the largest buffer that is kept.
const maxPooled = 1 << 20

func release(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

// rest answers a request of the REST door.
func (s *Server) rest(w http.ResponseWriter, r *http.Request, c *Call) {
	method := r.Method
	if method == http.MethodHead { // net/http leaves the body out
		method = http.MethodGet
	}
	if s.transfers(w, r, c) || s.uploads(w, r, c) {
		return
	}
	rt, parts, allowed := s.router.find(method, r.URL)
	if rt == nil {
		s.fail(w, r, c, noRoute(w, r, allowed))
		return
	}
	c.Verb = rt.verb
	if rt.verb == "list_events" && wantsStream(r) {
		s.events(w, r, c, rt, parts)
		return
	}
	q, err := rt.decode(r, parts)
	if err == nil {
		err = s.authorize(c, rt.verb, q)
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	worked := c.working()
	a, err := rt.call(r.Context(), q)
	worked()
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	writeMessage(w, a)
}

func noRoute(w http.ResponseWriter, r *http.Request, allowed []string) error {
	if len(allowed) == 0 {
		return memory.NotFound(codePathUnknown, "there is nothing at %.128q", r.URL.Path).Hinted("see /docs for what there is")
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return memory.Invalid(codeMethodNotAllowed, "", "%.16q is not a method of %.128q", r.Method, r.URL.Path).Hinted("it has %s", list)
}

func writeMessage(w http.ResponseWriter, m proto.Message) {
	buf := buffers.Get().(*bytes.Buffer)
	defer release(buf)
	b := append(wirejson.Append(buf.AvailableBuffer(), m), '\n') // for those who look at it in a terminal
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	_, _ = w.Write(b) // the client may be gone, which is its own affair
	if cap(b) > buf.Cap() {
		*buf = *bytes.NewBuffer(b) // keep what has grown
	}
}

var jsonType = []string{"application/json"}

// fail answers with an error in the words of the request's door, and keeps it for
// the metrics and the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, c *Call, err error) {
	c.err = asError(r.Context(), err)
	c.Status = 0
	challenge(w, c.err)
	if c.Door != doorREST && r.Method == http.MethodPost && s.rpcErrors.IsSupported(r) {
		_ = s.rpcErrors.Write(w, r, connectError(c.err, c.Verb, c.RequestID)) // the client may be gone
		return
	}
	writeError(w, c.err, c.Verb, c.RequestID)
}
