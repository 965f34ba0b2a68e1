package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// wantsStream says whether the caller asks for server-sent events, or for the
// same frames by WebSocket, rather than for a page.
func wantsStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream") || isWebSocket(r)
}

// events answers with a stream of server-sent events.
func (s *Server) events(w http.ResponseWriter, r *http.Request, c *Call, rt *route, parts []string) {
	c.Verb = "subscribe"
	f, ctx, release, err := s.openStream(r, rt, parts)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	defer release()
	if isWebSocket(r) {
		s.wsEvents(w, r, c, f, ctx)
		return
	}
	out := &eventWriter{w: w, call: c, patience: s.o.WriteTimeout}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if err := out.write(); err != nil { // the headers, before there is an event
		return // the client is gone
	}
	if err := f.run(ctx, out.send); err != nil && !out.broken {
		c.err = asError(ctx, err)
		out.fail(c)
	}
}

// openStream checks all that can be refused before the stream begins.
func (s *Server) openStream(r *http.Request, rt *route, parts []string) (*feed, context.Context, func(), error) {
	if isWebSocket(r) && (r.ProtoMajor > 1 || r.Header.Get("Sec-Websocket-Key") == "") {
		return nil, nil, nil, memory.Invalid(codeHeaderInvalid, "Upgrade", "this is not the opening of a WebSocket, which is made by HTTP/1.1 with Sec-WebSocket-Key").
			Hinted("ask for Accept: text/event-stream, or use a WebSocket client")
	}
	q, err := subscribeRequest(r, rt, parts)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.authorize(callOf(r.Context()), "subscribe", q); err != nil {
		return nil, nil, nil, err
	}
	ctx, release, err := s.stream(r.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := s.service.feed(ctx, q, s.o.PingEvery)
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	return f, ctx, release, nil
}

// subscribeRequest reads the request for a stream: Last-Event-ID, which a browser
// sends when it comes back, goes before after.
func subscribeRequest(r *http.Request, rt *route, parts []string) (*engramv1.SubscribeRequest, error) {
	q := &engramv1.SubscribeRequest{}
	if r.URL.RawQuery != "" {
		if err := wirejson.DecodeQuery(r.URL.Query(), q, rt.said...); err != nil {
			return nil, err
		}
	}
	for i, seg := range rt.segments {
		if seg.field != nil && seg.field.Name() == "space" {
			q.Space = parts[i]
		}
	}
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		return q, nil
	}
	n, err := strconv.ParseUint(last, 10, 64)
	if err != nil {
		return nil, memory.Invalid(codeHeaderInvalid, "Last-Event-ID", "Last-Event-ID is %.32q; it is the id of an event", last)
	}
	q.After = &n
	return q, nil
}

// An eventWriter writes server-sent events. One that is not read within patience
// is broken: the client has gone or hangs.
type eventWriter struct {
	w        http.ResponseWriter
	call     *Call
	patience time.Duration
	buf      []byte
	broken   bool
}

func (o *eventWriter) send(e *engramv1.Event, resume bool) error {
	b := o.buf[:0]
	if resume {
		b = strconv.AppendUint(append(b, "id: "...), e.Lsn, 10)
		b = append(b, '\n')
	}
	b = append(append(b, "event: "...), e.Type...)
	b = append(b, "\ndata: "...)
	b = wirejson.Append(b, e) // has no line breaks
	o.buf = append(b, "\n\n"...)
	return o.write()
}

// fail says as a last event why the stream ends.
func (o *eventWriter) fail(c *Call) {
	b := append(o.buf[:0], "event: error\ndata: "...)
	b = wirejson.Append(b, &engramv1.ErrorResponse{Error: wireError(c.err, c.Verb, c.RequestID)})
	o.buf = append(b, "\n\n"...)
	_ = o.write() // the stream ends either way
}

func (o *eventWriter) write() error {
	err := o.call.within(o.patience, func() error {
		if _, err := o.w.Write(o.buf); err != nil {
			return err
		}
		return http.NewResponseController(o.w).Flush()
	})
	o.broken = o.broken || err != nil
	return err
}
