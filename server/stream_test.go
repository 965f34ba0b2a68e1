package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves on a free port; the address ends with the test.
func listen(t testing.TB, s *server.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// client makes an HTTP client whose connections end with the test.
func client(t *testing.T, h2c bool) *http.Client {
	tr := &http.Transport{}
	if h2c {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// A frame is one server-sent event.
type frame struct {
	id, event string
	data      map[string]any
}

// subscribe opens a stream of events; next reads a frame.
func subscribe(t *testing.T, addr, path string, headers ...string) (next func() (frame, error), hangUp func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := client(t, false).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(a.Body)
		t.Fatalf("%d %s", a.StatusCode, b)
	}
	t.Cleanup(func() { cancel(); _ = a.Body.Close() })
	in := bufio.NewReader(a.Body)
	return func() (f frame, err error) { return readFrame(t, in) }, cancel
}

func readFrame(t *testing.T, in *bufio.Reader) (f frame, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return f, err
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &f.data); err != nil {
				t.Errorf("data is not JSON: %s", value)
			}
		case "":
			return f, nil
		}
	}
}

func must(t *testing.T, next func() (frame, error)) frame {
	t.Helper()
	f, err := next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEventStream(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	remember(t, s, `{"id":"a","text":"first","tags":["x"]}`)
	remember(t, s, `{"id":"b","text":"second"}`)
	next, hangUp := subscribe(t, addr, space+"/events?after=0")
	for _, id := range []string{"a", "b"} {
		f := must(t, next)
		if f.event != "remembered" || f.data["id"] != id || f.data["type"] != "remembered" || f.id != f.data["lsn"] || f.data["time"] == "" {
			t.Fatalf("%+v", f)
		}
	}
	remember(t, s, `{"id":"c","text":"while it is open"}`)
	f := must(t, next)
	if f.data["id"] != "c" || f.data["memory"].(map[string]any)["text"] != "while it is open" {
		t.Errorf("%+v", f)
	}
	do(t, s, "DELETE", space+"/memories/a", "")
	if f = must(t, next); f.event != "forgotten" || f.data["id"] != "a" || f.data["mode"] != "delete" {
		t.Errorf("%+v", f)
	}
	hangUp()

	next, hangUp = subscribe(t, addr, space+"/events", "Last-Event-ID", "2")
	if f := must(t, next); f.data["id"] != "c" {
		t.Errorf("after Last-Event-ID: %+v", f)
	}
	hangUp()

	next, hangUp = subscribe(t, addr, space+"/events") // from now on
	remember(t, s, `{"id":"d","text":"new"}`)
	if f := must(t, next); f.data["id"] != "d" {
		t.Errorf("from now on: %+v", f)
	}
	hangUp()
}

func TestEventStreamFilters(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	remember(t, s, `{"id":"a","text":"first"}`)
	remember(t, s, `{"id":"b","text":"second","tags":["x"]}`)
	next, hangUp := subscribe(t, addr, space+"/events?after=0&types=remembered&tags=x")
	defer hangUp()
	if f := must(t, next); f.data["id"] != "b" {
		t.Errorf("%+v", f)
	}
}

func TestEventPing(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.PingEvery = time.Millisecond })
	addr := listen(t, s)
	next, hangUp := subscribe(t, addr, space+"/events")
	defer hangUp()
	if f := must(t, next); f.event != "ping" || f.data["time"] == "" {
		t.Errorf("%+v", f)
	}
}

func TestEventPage(t *testing.T) {
	s := newServer(t)
	remember(t, s, `{"id":"a","text":"first"}`)
	remember(t, s, `{"id":"b","text":"second"}`)
	a := do(t, s, "GET", space+"/events?page_size=1", "", "Accept", "application/json")
	if a.status != 200 || len(a.json["events"].([]any)) != 1 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a = do(t, s, "GET", space+"/events?after="+a.json["next_after"].(string), "")
	if es := a.json["events"].([]any); len(es) != 1 || es[0].(map[string]any)["id"] != "b" {
		t.Errorf("%s", a.body)
	}
}

func TestStreamRefusals(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxStreams = 1 })
	addr := listen(t, s)
	for path, code := range map[string]string{"/v1/spaces/nowhere/events": "space_not_found", space + "/events?aftre=1": "field_unknown", space + "/events?types=dreamt": "word_unknown"} {
		a := do(t, s, "GET", path, "", "Accept", "text/event-stream")
		if a.status == 200 && strings.Contains(a.body, code) {
			continue // said by the stream itself
		}
		if a.failure()["code"] != code {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := do(t, s, "GET", space+"/events", "", "Accept", "text/event-stream", "Last-Event-ID", "x"); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
	_, hangUp := subscribe(t, addr, space+"/events")
	defer hangUp()
	a := do(t, s, "GET", space+"/events", "", "Accept", "text/event-stream")
	if a.status != 429 || a.failure()["code"] != "too_many_streams" || a.header.Get("Retry-After") != "1" || a.failure()["retriable"] != true {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}

// TestShutdownEndsStreams: a stream would never end by itself.
func TestShutdownEndsStreams(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	next, _ := subscribe(t, addr, space+"/events")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if f, err := next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on: %+v, %v", f, err)
	}
	if a := do(t, s, "GET", "/readyz", ""); a.status != 503 || a.failure()["code"] != "stopping" || a.header.Get("Retry-After") == "" {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
}

// TestShutdownFinishesRequests: a request whose body is still coming is answered.
func TestShutdownFinishesRequests(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	c, in := halfARequest(t, addr)
	defer func() { _ = c.Close() }()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	for { // until it takes no more
		if a := do(t, s, "GET", "/readyz", ""); a.status == 503 {
			break
		}
	}
	if _, err := io.WriteString(c, `{"text":"in flight"}`); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(in, nil)
	if err != nil || a.StatusCode != 201 {
		t.Fatalf("%v %v", a, err)
	}
	_ = a.Body.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// halfARequest sends a request to remember 20 bytes without them, and returns when
// the server waits for them.
func halfARequest(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	// With Expect: 100-continue the server tells that it reads the body now.
	if _, err := io.WriteString(c, "POST "+space+"/memories HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = in.ReadString('\n')
	return c, in
}

// TestHangingClient: one that sends half a body is told so, and cut off.
func TestHangingClient(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.BodyTimeout = time.Millisecond })
	addr := listen(t, s)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "POST "+space+"/memories HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"text\":"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	a, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, a); got.status != 504 || got.failure()["code"] != "body_timeout" {
		t.Errorf("%d %s", got.status, got.body)
	}
	_ = a.Body.Close()
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) && err == nil {
		t.Error("the connection is still open")
	}
}

// TestKeepAliveAfterDeadline: the deadline of one body is not that of the next.
func TestKeepAliveAfterDeadline(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	h := client(t, false)
	for range 3 {
		a, err := h.Post("http://"+addr+space+"/memories", "application/x-www-form-urlencoded", strings.NewReader(`{"text":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, a); got.status != 201 {
			t.Errorf("%d %s", got.status, got.body)
		}
		_ = a.Body.Close()
	}
}

func TestBusy(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxInFlight = 1 })
	addr := listen(t, s)
	c, _ := halfARequest(t, addr)
	defer func() { _ = c.Close() }()
	a := do(t, s, "GET", space, "")
	if a.status != 429 || a.failure()["code"] != "too_many_requests" || a.failure()["retriable"] != true || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz is refused too: %d", a.status)
	}
}

// TestMinLSNTimesOut: a state that never comes is waited for, but not for ever.
func TestMinLSNTimesOut(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.RequestTimeout = time.Millisecond })
	a := do(t, s, "GET", space, "", "Engram-Min-Lsn", "1000000")
	if a.status != 504 || a.failure()["kind"] != "timeout" || a.failure()["retriable"] != true {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestRPC drives the same Service over Connect, gRPC and gRPC-Web on one port.
func TestRPC(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{"connect": nil, "connect-json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			addr := listen(t, s) // before the client: what is made last goes first, and an idle connection would be waited for
			c := engramv1connect.NewEngramServiceClient(client(t, true), "http://"+addr, options...)
			ctx, info := connect.NewClientContext(context.Background())
			info.RequestHeader().Set("Idempotency-Key", "k")
			w, err := c.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Id: "m", Text: "otters"}})
			if err != nil || w.Id != "m" || w.Outcome != "created" {
				t.Fatalf("%v %v", w, err)
			}
			if h := info.ResponseHeader(); h.Get("Engram-Lsn") == "" || h.Get("Request-Id") == "" || !strings.HasPrefix(h.Get("ETag"), `"1-`) {
				t.Errorf("headers %v", h)
			}
			r, err := c.Recall(context.Background(), &engramv1.RecallRequest{Space: "default", Cue: &engramv1.Cue{Text: "otters"}})
			if err != nil || len(r.Results) != 1 {
				t.Errorf("%v %v", r, err)
			}
			_, err = c.Remember(context.Background(), &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: "x", Salience: new(float64(7))}})
			checkRPCError(t, err)
			_, err = c.Consolidate(context.Background(), &engramv1.ConsolidateRequest{Space: "default"})
			if connect.CodeOf(err) != connect.CodeUnimplemented {
				t.Errorf("consolidate: %v", err)
			}
		})
	}
}

func checkRPCError(t *testing.T, err error) {
	t.Helper()
	var e *connect.Error
	if !errors.As(err, &e) || e.Code() != connect.CodeInvalidArgument {
		t.Fatalf("got %v", err)
	}
	var info, bad, own bool
	for _, d := range e.Details() {
		v, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		switch m := v.(type) {
		case *errdetails.ErrorInfo:
			info = m.Reason == "salience_out_of_range" && m.Metadata["kind"] == "invalid"
		case *errdetails.BadRequest:
			bad = m.FieldViolations[0].Field == "salience"
		case *engramv1.Error:
			own = m.Code == "salience_out_of_range" && m.RequestId != "" && m.Op == "remember"
		}
	}
	if !info || !bad || !own {
		t.Errorf("ErrorInfo %v, BadRequest %v, Error %v", info, bad, own)
	}
}

func TestRPCStream(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			addr := listen(t, s)
			remember(t, s, `{"id":"a","text":"first"}`)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c := engramv1connect.NewEventServiceClient(client(t, true), "http://"+addr, options...)
			after := uint64(0)
			st, err := c.Subscribe(ctx, &engramv1.SubscribeRequest{Space: "default", After: &after})
			if err != nil {
				t.Fatal(err)
			}
			if !st.Receive() || st.Msg().Id != "a" {
				t.Fatalf("%v %v", st.Msg(), st.Err())
			}
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if st.Receive() {
				t.Errorf("goes on with %v", st.Msg())
			}
			_ = st.Close()
		})
	}
}

func TestRPCForms(t *testing.T) {
	s := newServer(t)
	const path = "/engram.v1.EngramService/GetVersion"
	if a := do(t, s, "GET", path, ""); a.status != 405 || a.failure()["code"] != "method_not_allowed" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", path, "{}", "Content-Type", "text/plain"); a.status != 400 || a.failure()["field"] != "Content-Type" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", path, "{}", "Content-Type", "application/json"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
