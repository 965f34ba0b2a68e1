package server

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// TestWireKinds holds the table against that of API.md.
func TestWireKinds(t *testing.T) {
	for kind, want := range map[memory.ErrorKind]struct {
		status int
		code   string
	}{
		"invalid": {400, "invalid_argument"}, "unauthenticated": {401, "unauthenticated"}, "denied": {403, "permission_denied"},
		"not_found": {404, "not_found"}, "conflict": {409, "already_exists"}, "gone": {410, "out_of_range"}, "precondition": {412, "failed_precondition"},
		"too_large": {413, "out_of_range"}, "busy": {429, "resource_exhausted"}, "cancelled": {499, "canceled"}, "internal": {500, "internal"},
		"corrupt": {500, "data_loss"}, "unimplemented": {501, "unimplemented"}, "unavailable": {503, "unavailable"},
		"timeout": {504, "deadline_exceeded"}, "disk_full": {507, "resource_exhausted"}, "of no known kind": {500, "internal"},
	} {
		e := memory.Errorf(kind, "code", "message")
		w := httptest.NewRecorder()
		writeError(w, e, "op", "id")
		if w.Code != want.status {
			t.Errorf("%s: HTTP %d, want %d", kind, w.Code, want.status)
		}
		if got := connectError(e, "op", "id").Code().String(); got != want.code {
			t.Errorf("%s: %s, want %s", kind, got, want.code)
		}
		if retry := w.Header().Get("Retry-After") != ""; retry != (kind == "busy" || kind == "unavailable") {
			t.Errorf("%s: Retry-After %v", kind, retry)
		}
	}
}

func TestTimeFor(t *testing.T) {
	s := &Server{o: Options{RequestTimeout: 30 * time.Second, MaxRequestTimeout: 5 * time.Minute}}
	for _, c := range []struct {
		door, header, value string
		want                time.Duration
	}{
		{doorGRPC, "Grpc-Timeout", "100m", 100 * time.Millisecond}, {doorGRPC, "Grpc-Timeout", "2M", 2 * time.Minute},
		{doorGRPCWeb, "Grpc-Timeout", "99999999H", 5 * time.Minute}, {doorGRPC, "Grpc-Timeout", "nonsense", 30 * time.Second},
		{doorGRPC, "Grpc-Timeout", "", 30 * time.Second}, {doorGRPC, "Grpc-Timeout", "5x", 30 * time.Second},
		{doorConnect, "Connect-Timeout-Ms", "1500", 1500 * time.Millisecond}, {doorConnect, "Connect-Timeout-Ms", "-1", 30 * time.Second},
		{doorREST, "Grpc-Timeout", "100m", 30 * time.Second},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set(c.header, c.value)
		if got := s.timeFor(r, c.door); got != c.want {
			t.Errorf("%s %s=%q: %v, want %v", c.door, c.header, c.value, got, c.want)
		}
	}
}

func TestRetryAfterRoundsUp(t *testing.T) {
	e := memory.Errorf(memory.KindBusy, "code", "message")
	e.RetryAfter = 1200 * time.Millisecond
	w := httptest.NewRecorder()
	writeError(w, e, "", "")
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %s", got)
	}
}

// TestAsError: what a context says goes before what the engine made of it.
func TestAsError(t *testing.T) {
	over, cancel := context.WithCancelCause(context.Background())
	cancel(errRequestTimeout)
	gone, cancel2 := context.WithCancel(context.Background())
	cancel2()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		kind memory.ErrorKind
	}{
		{over, context.Canceled, memory.KindTimeout},
		{over, fmt.Errorf("read: %w", context.Canceled), memory.KindTimeout},
		{over, memory.Errorf(memory.KindCancelled, "cancelled", "x"), memory.KindTimeout},
		{over, memory.NotFound("a", "b"), memory.KindNotFound},
		{gone, context.Canceled, memory.KindCancelled},
		{context.Background(), context.DeadlineExceeded, memory.KindTimeout},
		{context.Background(), errors.New("disk on fire"), memory.KindInternal},
	} {
		got := asError(c.ctx, c.err)
		if got.Kind != c.kind {
			t.Errorf("%v: %s, want %s", c.err, got.Kind, c.kind)
		}
		if strings.Contains(got.Message, "fire") {
			t.Errorf("an internal cause is told to the caller: %s", got.Message)
		}
	}
}

// TestPanic: a panic is one "internal", and the server goes on.
func TestPanic(t *testing.T) {
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: vfs.NewMem(), ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	s, err := New(db, Options{Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	boom := unary(func(context.Context, *engramv1.GetVersionRequest) (*engramv1.GetVersionResponse, error) {
		panic("boom")
	})
	s.router.routes[1] = append(s.router.routes[1], &route{endpoint: boom, verb: "boom", method: "GET", segments: []segment{{word: "boom"}}})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/boom", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"code":"internal"`) || strings.Contains(w.Body.String(), "boom\"}") || w.Header().Get("Request-Id") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.inFlight.Load(); n != 0 {
		t.Errorf("%d are still counted in", n)
	}
	if got := s.rpcPanic(context.Background(), connect.Spec{Procedure: "/a/Boom"}, nil, "boom"); connect.CodeOf(got) != connect.CodeInternal {
		t.Errorf("rpc: %v", got)
	}
}

// TestRoutesCoverTheSchema: every call has a route, and no two take the same request.
func TestRoutesCoverTheSchema(t *testing.T) {
	rt, err := newRouter(NewService(nil, ""))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, rs := range rt.routes {
		for _, r := range rs {
			key := r.method
			for _, s := range r.segments {
				key += "/" + s.word
			}
			if other, twice := seen[key]; twice {
				t.Errorf("%s and %s take the same requests: %s", r.verb, other, key)
			}
			seen[key] = r.verb
		}
	}
	if len(seen) < 45 {
		t.Errorf("only %d routes", len(seen))
	}
}

func TestMergePatch(t *testing.T) {
	// The examples of RFC 7396, appendix A, that have objects on both sides.
	for _, c := range []struct{ target, patch, want map[string]any }{
		{m("a", "b"), m("a", "c"), m("a", "c")},
		{m("a", "b"), m("b", "c"), m("a", "b", "b", "c")},
		{m("a", "b"), m("a", nil), m()},
		{m("a", "b", "b", "c"), m("a", nil), m("b", "c")},
		{m("a", []any{"b"}), m("a", "c"), m("a", "c")},
		{m("a", "c"), m("a", []any{"b"}), m("a", []any{"b"})},
		{m("a", m("b", "c")), m("a", m("b", "d", "c", nil)), m("a", m("b", "d"))},
		{m("e", nil), m("a", 1), m("e", nil, "a", 1)},
		{m(), m("a", m("bb", m("ccc", nil))), m("a", m("bb", m()))},
	} {
		before := fmt.Sprint(c.target)
		merge(c.target, c.patch)
		if fmt.Sprint(c.target) != fmt.Sprint(c.want) {
			t.Errorf("%s + %v: got %v, want %v", before, c.patch, c.target, c.want)
		}
	}
}

func m(kv ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(kv); i += 2 {
		out[kv[i].(string)] = kv[i+1]
	}
	return out
}

// TestGap: a subscriber from beyond the horizon is told, and goes on behind it.
func TestGap(t *testing.T) {
	at := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	f := &feed{query: engram.EventQuery{After: 3}, now: func() time.Time { return at }}
	beyond := memory.Errorf(memory.KindGone, "beyond_horizon", "too far back").With("horizon", memory.LSN(10))
	e, ok := f.gap(beyond)
	if !ok || e.Type != "gap" || e.Lsn != 10 || e.GetHorizon() != 10 || f.query.After != 10 {
		t.Errorf("%v %v, after %d", e, ok, f.query.After)
	}
	if _, ok := f.gap(beyond); ok {
		t.Error("the same gap twice: the stream would spin")
	}
	for _, err := range []error{nil, errors.New("x"), memory.Errorf(memory.KindGone, "beyond_horizon", "of no known horizon")} {
		if _, ok := f.gap(err); ok {
			t.Errorf("%v is no gap", err)
		}
	}
}
