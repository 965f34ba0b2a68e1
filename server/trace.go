package server

import (
	"net/http"
	"time"

	"github.com/engramdb/engram/internal/telemetry"
)

// joinTrace finds the trace that a request belongs to; the zero TraceID when it
// is not kept.
func (s *Server) joinTrace(r *http.Request, c *Call) {
	if s.o.Tracer == nil {
		return
	}
	p := telemetry.ParseParent(r.Header.Get("Traceparent"), r.Header.Get("Tracestate"))
	if id, kept := s.o.Tracer.Keeps(p); kept {
		c.trace, c.parent = id, p
	}
}

// trace tells the tracer of a request that has been answered: names and numbers,
// as in the log.
func (s *Server) trace(rec *recorder, verb, outcome string, took time.Duration, stages []stage) {
	c := rec.call
	if c.trace == (telemetry.TraceID{}) {
		return
	}
	t := &telemetry.Call{Trace: c.trace, Parent: c.parent, Name: verb, Began: c.began, Took: took, Attrs: make([]telemetry.Attr, 0, 7)}
	add := func(name string, value any) { t.Attrs = append(t.Attrs, telemetry.Attr{Name: name, Value: value}) }
	add("engram.door", c.seenDoor())
	add("engram.outcome", outcome)
	add("engram.request_id", c.RequestID)
	add("http.response.status_code", int64(rec.status))
	if c.Space != "" {
		add("engram.space", c.Space)
	}
	if c.Caller != "" {
		add("engram.key", c.Caller)
	}
	if c.LSN != 0 {
		add("engram.lsn", int64(c.LSN))
	}
	if c.err != nil {
		add("engram.code", c.err.Code)
		if statusOf(c.err) >= http.StatusInternalServerError {
			t.Fault = c.err.Code
		}
	}
	for _, st := range stages {
		one := telemetry.Stage{Name: st.name, After: st.after, Took: st.took, In: -1}
		if st.ours {
			one.In = workIndex
		}
		t.Stages = append(t.Stages, one)
	}
	s.o.Tracer.Tell(t)
}
