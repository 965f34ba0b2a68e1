package server_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/internal/telemetry"
	"github.com/engramdb/engram/server"
)

// A spanStore is a collector that keeps what it gets.
type spanStore struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func (c *spanStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var m tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(b, &m)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
}

// named gives the spans of a name.
func (c *spanStore) named(name string) (all []*tracepb.Span) {
	for _, s := range c.spans {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// collector starts a collector, and a tracer that sends to it.
func collector(t *testing.T) (*spanStore, *telemetry.Tracer) {
	t.Helper()
	c := &spanStore{}
	srv := httptest.NewServer(c)
	tracer, err := telemetry.NewTracer(telemetry.Options{URL: srv.URL + "/v1/traces"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tracer.Close(context.Background())
		srv.Close()
	})
	return c, tracer
}

// TestTracesReachACollector: one span a call, below the caller's, with one below it
// for each stage, and none of the words.
func TestTracesReachACollector(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	store, tracer := collector(t)
	var log bytes.Buffer
	s := newServer(t, func(o *server.Options) {
		o.Tracer, o.Logger = tracer, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	remember(t, s, `{"text":"a zanzibar of words","tags":["a"]}`)
	do(t, s, "POST", "/v1/spaces/default/recall", `{"text":"zanzibar"}`, "Request-Id", "r1", "Traceparent", "00-"+trace+"-"+parent+"-01", "Tracestate", "a=b")
	do(t, s, "POST", "/v1/spaces/default/recall", `{"text":"zanzibar"}`, "Traceparent", "00-"+trace+"-"+parent+"-00") // not to be kept
	do(t, s, "GET", "/v1/spaces/default/memories/none", "")
	tracer.Close(context.Background())

	if !strings.Contains(log.String(), "trace_id="+trace) {
		t.Errorf("the log does not name the trace: %s", &log)
	}
	recalls := store.named("recall")
	if len(recalls) != 1 {
		t.Fatalf("%d spans of recall, want 1", len(recalls))
	}
	r := recalls[0]
	if hex.EncodeToString(r.TraceId) != trace || hex.EncodeToString(r.ParentSpanId) != parent || r.TraceState != "a=b" || r.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the span is not below the caller's: %v", r)
	}
	for _, want := range []string{"engram.request_id", `"r1"`, "engram.space", `"default"`, "engram.lsn", "engram.door", "http.response.status_code"} {
		if !strings.Contains(prototext.Format(r), want) {
			t.Errorf("the span lacks %s", want)
		}
	}
	byID := map[string]*tracepb.Span{}
	for _, sp := range store.spans {
		byID[string(sp.SpanId)] = sp
		if strings.Contains(prototext.Format(sp), "zanzibar") {
			t.Errorf("a span has the words of a memory: %v", sp)
		}
	}
	for name, below := range map[string]string{"receive": "recall", "work": "recall", "answer": "recall", "filter": "work", "text": "work", "vector": "work", "fusion": "work", "load": "work"} {
		found := false
		for _, sp := range store.named(name) {
			up := byID[string(sp.ParentSpanId)]
			if up == nil || hex.EncodeToString(sp.TraceId) != trace {
				continue
			}
			found = true
			if up.Name != below || sp.StartTimeUnixNano < up.StartTimeUnixNano || sp.EndTimeUnixNano > up.EndTimeUnixNano {
				t.Errorf("stage %s is not inside of %s: %v, %v", name, below, sp, up)
			}
		}
		if !found {
			t.Errorf("there is no span of the stage %s", name)
		}
	}
	if got := store.named("get_memory"); len(got) != 1 || got[0].Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("a memory that is not there is the server's fault: %v", got)
	}
	if sent, dropped, failed := tracer.Counts(); sent != 3 || dropped != 0 || failed != 0 {
		t.Errorf("%d sent, %d dropped, %d failed", sent, dropped, failed)
	}
}
