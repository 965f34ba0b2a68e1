package telemetry

import (
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// A Call is what is told of one call once it has ended.
type Call struct {
	Trace  TraceID
	Parent Parent
	Name   string // the verb
	Began  time.Time
	Took   time.Duration
	Fault  string // why it failed, when that is the server's fault; else ""
	Stages []Stage
	Attrs  []Attr
}

// A Stage is a part of a call; one that lies inside of another is below it.
type Stage struct {
	Name  string
	After time.Duration // since the call began
	Took  time.Duration
	In    int // index of the stage that it is a part of; -1: of the call itself
}

// An Attr is a name and a value, a string or an int64.
type Attr struct {
	Name  string
	Value any
}

// tracesOf makes the request's message. It is ExportTraceServiceRequest by another
// name: both have the spans in field 1. That one lies in a package with gRPC.
func tracesOf(o *Options, calls []*Call) *tracepb.TracesData {
	var spans []*tracepb.Span
	for _, c := range calls {
		spans = append(spans, spansOf(c)...)
	}
	who := []*commonpb.KeyValue{keyValue(Attr{"service.name", o.Service})}
	if o.Version != "" {
		who = append(who, keyValue(Attr{"service.version", o.Version}))
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: who},
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: "github.com/engramdb/engram", Version: o.Version}, Spans: spans,
		}},
	}}}
}

// spansOf makes the span of a call and those of its stages.
func spansOf(c *Call) []*tracepb.Span {
	root := newSpan(c, c.Name, 0, c.Took)
	root.Kind, root.TraceState = tracepb.Span_SPAN_KIND_SERVER, c.Parent.State
	if c.Parent.Span != (SpanID{}) {
		root.ParentSpanId = c.Parent.Span[:]
	}
	if c.Fault != "" {
		root.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: c.Fault}
	}
	for _, a := range c.Attrs {
		root.Attributes = append(root.Attributes, keyValue(a))
	}
	spans := []*tracepb.Span{root}
	for _, st := range c.Stages {
		s := newSpan(c, st.Name, st.After, st.Took)
		s.Kind, s.ParentSpanId = tracepb.Span_SPAN_KIND_INTERNAL, spans[st.In+1].SpanId
		spans = append(spans, s)
	}
	return spans
}

func newSpan(c *Call, name string, after, took time.Duration) *tracepb.Span {
	id, began := newSpanID(), c.Began.Add(after)
	return &tracepb.Span{TraceId: c.Trace[:], SpanId: id[:], Name: name,
		StartTimeUnixNano: uint64(began.UnixNano()), EndTimeUnixNano: uint64(began.Add(took).UnixNano())}
}

func keyValue(a Attr) *commonpb.KeyValue {
	v := &commonpb.AnyValue{}
	switch x := a.Value.(type) {
	case string:
		v.Value = &commonpb.AnyValue_StringValue{StringValue: x}
	case int64:
		v.Value = &commonpb.AnyValue_IntValue{IntValue: x}
	}
	return &commonpb.KeyValue{Key: a.Name, Value: v}
}
