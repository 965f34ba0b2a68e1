package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeCollector answers with what it is told, 200 when that is used up, and says
// how many spans each request had.
type fakeCollector struct {
	answers chan int
	got     chan int
	url     string
	header  http.Header
}

func newCollector(t *testing.T, answers ...int) *fakeCollector {
	t.Helper()
	c := &fakeCollector{answers: make(chan int, len(answers)), got: make(chan int, 100)}
	for _, a := range answers {
		c.answers <- a
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m tracepb.TracesData
		if err := proto.Unmarshal(b, &m); err != nil || len(m.ResourceSpans) != 1 {
			t.Errorf("the body is not traces: %v", err)
		}
		c.header = r.Header
		select {
		case status := <-c.answers:
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
		default:
		}
		c.got <- len(m.ResourceSpans[0].ScopeSpans[0].Spans)
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func newTracer(t *testing.T, o Options) *Tracer {
	t.Helper()
	tr, err := NewTracer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(context.Background()) })
	return tr
}

func call() *Call {
	return &Call{Trace: newTraceID(), Name: "recall", Began: time.Unix(1, 0), Took: time.Second}
}

// move moves a clock until something has come: the one that waits may not have
// begun to wait yet.
func move[T any](v *clock.Virtual, by time.Duration, came <-chan T) T {
	for {
		select {
		case x := <-came:
			return x
		default:
			v.Advance(by)
			runtime.Gosched()
		}
	}
}

// TestBatches: calls are sent together, when the first has waited for Every.
func TestBatches(t *testing.T) {
	v := clock.NewVirtual(time.Unix(0, 0))
	c := newCollector(t)
	tr := newTracer(t, Options{URL: c.url, Clock: v, Header: http.Header{"X-Key": {"k"}}})
	for range 3 {
		tr.Tell(call())
	}
	total := 0
	for total < 3 {
		total += move(v, time.Second, c.got)
	}
	if c.header.Get("X-Key") != "k" || c.header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("the headers are %v", c.header)
	}
	for range batchMax {
		tr.Tell(call())
	}
	for total < 3+batchMax { // with the clock at rest
		total += <-c.got
	}
}

// TestRetry: a collector that is busy is asked again, one that refuses is not; the
// log says once that it does not take them, and once that it does again.
func TestRetry(t *testing.T) {
	v := clock.NewVirtual(time.Unix(0, 0))
	c := newCollector(t, 503, 200, 400, 400)
	var log lockedBuffer
	tr := newTracer(t, Options{URL: c.url, Clock: v, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		tr.Tell(call())
		move(v, time.Second, c.got) // 503, then 400
		if sent, _, _ := tr.Counts(); sent == 0 {
			move(v, time.Second, c.got) // 200
		}
	}
	tr.Tell(call())
	move(v, time.Second, c.got) // 400
	tr.Tell(call())
	tr.Close(context.Background())
	if sent, dropped, failed := tr.Counts(); sent != 2 || dropped != 0 || failed != 2 {
		t.Errorf("%d sent, %d dropped, %d failed", sent, dropped, failed)
	}
	if n := strings.Count(log.String(), "does not take traces"); n != 1 || strings.Count(log.String(), "takes traces again") != 1 {
		t.Errorf("the log is %s", &log)
	}
}

// TestFull: what has no room is dropped and counted, and nobody waits.
func TestFull(t *testing.T) {
	hold := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer srv.Close()
	tr := newTracer(t, Options{URL: srv.URL})
	for range queueMax + 3*batchMax {
		tr.Tell(call())
	}
	if _, dropped, _ := tr.Counts(); dropped == 0 {
		t.Error("nothing was dropped")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tr.Close(ctx) // though the collector hangs
	close(hold)
}

// TestNoSecretsInErrors: the collector's address may have a password.
func TestNoSecretsInErrors(t *testing.T) {
	var log lockedBuffer
	tr := newTracer(t, Options{URL: "http://u:" + "hush@127.0.0.1:1/v1/traces", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tr.Tell(call())
	tr.Close(context.Background())
	if !strings.Contains(log.String(), "does not take") || strings.Contains(log.String(), "hush") {
		t.Errorf("the log is %s", &log)
	}
	if _, err := NewTracer(Options{URL: "127.0.0.1:4318"}); err == nil {
		t.Error("an address without a scheme is taken")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
