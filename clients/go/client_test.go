package engramclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/engramdb/engram"
	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is what a test and an example have in common.
type fixture interface {
	Fatal(...any)
	Cleanup(func())
}

// start starts a server over a database in memory and gives its address.
func start(t fixture) string {
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: vfs.NewMem(), ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, server.Options{PingEvery: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-ended, db.Close()); err != nil {
			t.Fatal(err)
		}
	})
	return ln.Addr().String()
}

func dial(t *testing.T, address string, o engramclient.Options) *engramclient.Client {
	t.Helper()
	c, err := engramclient.New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A road is the way to the server, on which a test can do things.
type road struct {
	next http.RoundTripper
	mu   sync.Mutex
	sent []http.Header                                                                // of each request
	do   func(n int, r *http.Request, next http.RoundTripper) (*http.Response, error) // n from 0; nil passes on
}

func (w *road) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	n := len(w.sent)
	w.sent = append(w.sent, r.Header.Clone())
	w.mu.Unlock()
	if w.do == nil {
		return w.next.RoundTrip(r)
	}
	return w.do(n, r, w.next)
}

// CloseIdleConnections closes those of the way behind.
func (w *road) CloseIdleConnections() { w.next.(*http.Transport).CloseIdleConnections() }

func (w *road) headers(name string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.sent {
		out = append(out, h.Get(name))
	}
	return out
}

func newRoad() *road { return &road{next: &http.Transport{}} }

// refusal is an answer without the schema's error, as a proxy gives one.
func refusal(r *http.Request, status int, headers ...string) *http.Response {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	h := http.Header{"Content-Type": {"text/plain"}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader("no")), Request: r}
}

func note(text string) *engramv1.RememberRequest {
	return &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: text}}
}

func TestBothProtocols(t *testing.T) {
	address := start(t)
	for _, p := range []engramclient.Protocol{engramclient.Connect, engramclient.GRPC} {
		t.Run(string(p), func(t *testing.T) {
			c := dial(t, address, engramclient.Options{Protocol: p})
			w, err := c.Remember(t.Context(), note("the chart is in the boathouse"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := c.GetMemory(t.Context(), &engramv1.GetMemoryRequest{Space: "default", Id: w.GetId()})
			if err != nil || m.GetText() != "the chart is in the boathouse" {
				t.Fatalf("%v, %v", m, err)
			}
			_, err = c.Remember(t.Context(), note(" "))
			var e *memory.Error
			if !errors.As(err, &e) || e.Kind != memory.KindInvalid || e.Code != "text_blank" || e.Field == "" || e.Op != "remember" {
				t.Errorf("the error is %#v", err)
			}
			_, err = c.GetSpace(t.Context(), &engramv1.GetSpaceRequest{Space: "nowhere"})
			if !errors.As(err, &e) || e.Kind != memory.KindNotFound || e.Hint == "" || e.Details["request_id"] == nil {
				t.Errorf("the error is %#v", err)
			}
		})
	}
}

// What may succeed later is repeated, under one key, after the time that was
// asked for and a part of a bound that doubles.
func TestRetries(t *testing.T) {
	w := newRoad()
	w.do = func(n int, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch n {
		case 0:
			return refusal(r, http.StatusTooManyRequests, "Retry-After", "2"), nil
		case 1:
			return refusal(r, http.StatusServiceUnavailable), nil
		case 2:
			return nil, errors.New("connection reset")
		}
		return next.RoundTrip(r)
	}
	var slept []time.Duration
	o := engramclient.Options{Transport: w, Backoff: 100 * time.Millisecond, MaxBackoff: 300 * time.Millisecond}
	o.Waits(0.5, func(d time.Duration) { slept = append(slept, d) })
	c := dial(t, start(t), o)
	if _, err := c.Remember(t.Context(), note("a")); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{2050 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond}; !slices.Equal(slept, want) {
		t.Errorf("waited %v, want %v", slept, want)
	}
	keys := w.headers("Idempotency-Key")
	if len(keys) != 4 || keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[3] {
		t.Errorf("the keys are %q", keys)
	}
	if _, err := c.Remember(t.Context(), note("b")); err != nil {
		t.Fatal(err)
	}
	if again := w.headers("Idempotency-Key"); again[4] == keys[0] {
		t.Error("another call has the same key")
	}
}

// A write whose answer is lost, whole or from its middle on, is done once.
func TestLostAnswer(t *testing.T) {
	for _, x := range []struct{ keyless, cut bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		keyless := x.keyless
		w := newRoad()
		w.do = func(n int, r *http.Request, next http.RoundTripper) (*http.Response, error) {
			a, err := next.RoundTrip(r)
			if n > 0 || err != nil {
				return a, err
			}
			_, _ = io.Copy(io.Discard, a.Body)
			_ = a.Body.Close()
			if x.cut {
				a.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
				return a, nil
			}
			return nil, errors.New("connection reset")
		}
		o := engramclient.Options{Transport: w, NoIdempotencyKeys: keyless}
		o.Waits(0, func(time.Duration) {})
		c := dial(t, start(t), o)
		_, err := c.Remember(t.Context(), note("once"))
		if keyless != (err != nil) {
			t.Errorf("without keys %v: %v", keyless, err)
		}
		sp, err := c.GetSpace(t.Context(), &engramv1.GetSpaceRequest{Space: "default"})
		if err != nil || sp.GetCounts().GetEpisodes() != 1 {
			t.Errorf("without keys %v: %v, %v", keyless, sp.GetCounts(), err)
		}
	}
}

func TestNoRetry(t *testing.T) {
	address := start(t)
	for _, c := range []struct {
		name   string
		status int
		key    bool
		tries  int
		kind   memory.ErrorKind
	}{
		{"not found", 404, true, 1, memory.KindUnimplemented}, // as Connect reads a bare 404
		{"forbidden", 403, true, 1, memory.KindDenied},
		{"busy", 429, true, 3, memory.KindBusy},
		{"busy without a key", 429, false, 3, memory.KindBusy}, // it was refused, so it is safe
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRoad()
			w.do = func(_ int, r *http.Request, _ http.RoundTripper) (*http.Response, error) {
				return refusal(r, c.status), nil
			}
			o := engramclient.Options{Transport: w, Retries: 2, NoIdempotencyKeys: !c.key}
			o.Waits(0, func(time.Duration) {})
			_, err := dial(t, address, o).Remember(t.Context(), note("a"))
			if memory.KindOf(err) != c.kind || len(w.sent) != c.tries {
				t.Errorf("%d tries, %v of kind %s", len(w.sent), err, memory.KindOf(err))
			}
		})
	}
}

// A call ends with its time, and does not wait for what lies behind it.
func TestDeadline(t *testing.T) {
	w := newRoad()
	w.do = func(_ int, r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return refusal(r, http.StatusServiceUnavailable, "Retry-After", "3600"), nil
	}
	o := engramclient.Options{Transport: w}
	o.Waits(0, func(time.Duration) { t.Error("it waits") })
	c := dial(t, start(t), o)
	_, err := c.Recall(t.Context(), &engramv1.RecallRequest{Space: "default", Cue: &engramv1.Cue{Text: "a"}})
	var e *memory.Error
	if !errors.As(err, &e) || e.Kind != memory.KindUnavailable || e.RetryAfter != time.Hour {
		t.Errorf("got %#v", err)
	}
	w.do = func(_ int, r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = c.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: "default"})
	if !errors.As(err, &e) || e.Kind != memory.KindTimeout || e.Code != "deadline" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %#v", err)
	}
	ctx, give := context.WithCancel(t.Context())
	give()
	_, err = c.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: "default"})
	if memory.KindOf(err) != memory.KindCancelled {
		t.Errorf("got %#v", err)
	}
}

func TestReadYourWrites(t *testing.T) {
	address := start(t)
	w := newRoad()
	c := dial(t, address, engramclient.Options{Transport: w})
	if _, err := c.Remember(t.Context(), note("a")); err != nil {
		t.Fatal(err)
	}
	lsn := c.LSN("default")
	if _, err := c.ListMemories(t.Context(), &engramv1.ListMemoriesRequest{Space: "default"}); err != nil {
		t.Fatal(err)
	}
	if got := w.headers("Engram-Min-Lsn"); got[0] != "" || lsn == 0 || got[1] == "" {
		t.Errorf("the headers are %q, the LSN %d", got, lsn)
	}
	stale := newRoad()
	s := dial(t, address, engramclient.Options{Transport: stale, StaleReads: true})
	s.Saw("default", lsn)
	if _, err := s.GetSpace(t.Context(), &engramv1.GetSpaceRequest{Space: "default"}); err != nil {
		t.Fatal(err)
	}
	if got := stale.headers("Engram-Min-Lsn"); got[0] != "" {
		t.Errorf("a client of stale reads sends %q", got)
	}
	// A space that is made again counts from 1.
	c.Saw("notes", 1_000_000)
	if _, err := c.GetSpace(t.Context(), &engramv1.GetSpaceRequest{Space: "notes"}); memory.KindOf(err) != memory.KindNotFound || c.LSN("notes") != 0 {
		t.Errorf("%v, LSN %d", err, c.LSN("notes"))
	}
}

func TestWalks(t *testing.T) {
	c := dial(t, start(t), engramclient.Options{})
	b := &engramv1.RememberBatchRequest{Space: "default"}
	for range 7 {
		b.Memories = append(b.Memories, &engramv1.MemoryInput{Text: "one of seven", Entities: []*engramv1.EntityRef{{Type: "person", Name: "Mara"}}})
	}
	if _, err := c.RememberBatch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	size, n := int32(2), 0
	for m, err := range c.Memories(t.Context(), &engramv1.ListMemoriesRequest{Space: "default", PageSize: &size}) {
		if err != nil || m.GetText() != "one of seven" {
			t.Fatal(m, err)
		}
		n++
	}
	var entity string
	for e, err := range c.Entities(t.Context(), &engramv1.ListEntitiesRequest{Space: "default"}) {
		if err != nil {
			t.Fatal(err)
		}
		entity = e.GetId()
	}
	links := 0
	for _, err := range c.EntityLinks(t.Context(), &engramv1.ListEntityLinksRequest{Space: "default", Id: entity, PageSize: &size}) {
		if err != nil {
			t.Fatal(err)
		}
		links++
	}
	spaces := 0
	for _, err := range c.Spaces(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		spaces++
	}
	if n != 7 || links != 7 || spaces != 1 {
		t.Errorf("%d memories, %d links, %d spaces", n, links, spaces)
	}
	for m, err := range c.Memories(t.Context(), &engramv1.ListMemoriesRequest{Space: "nowhere"}) {
		if m != nil || memory.KindOf(err) != memory.KindNotFound {
			t.Error(m, err)
		}
	}
}

// A cutting body ends after so many bytes.
type cutting struct {
	io.ReadCloser
	left int
}

func (c *cutting) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("connection reset")
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Events come each once and in order, wherever the connection breaks.
func TestEventsResume(t *testing.T) {
	address := start(t)
	plain := dial(t, address, engramclient.Options{})
	ctx := t.Context()
	for i := range 12 {
		m := &engramv1.MemoryInput{Text: strings.Repeat("word ", 10+i), Entities: []*engramv1.EntityRef{{Type: "thing", Name: string(rune('a' + i))}, {Type: "thing", Name: "all"}}}
		if _, err := plain.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: m}); err != nil {
			t.Fatal(err)
		}
	}
	size := int32(1000)
	page, err := plain.ListEvents(ctx, &engramv1.ListEventsRequest{Space: "default", PageSize: &size})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range page.GetEvents() {
		want = append(want, e.GetType()+" "+e.GetId())
	}
	if len(want) < 24 {
		t.Fatalf("there are only %d events", len(want))
	}
	for _, cut := range []int{1, 150, 400, 777, 2000} {
		w := newRoad()
		w.do = func(_ int, r *http.Request, next http.RoundTripper) (*http.Response, error) {
			a, err := next.RoundTrip(r)
			if err == nil && cut < 1<<20 {
				a.Body = &cutting{a.Body, cut}
				cut += 200 // so that it comes to an end
			}
			return a, err
		}
		o := engramclient.Options{Transport: w, Retries: 100}
		o.Waits(0, func(time.Duration) {})
		c := dial(t, address, o)
		var got []string
		after := uint64(0)
		for e, err := range c.Events(ctx, &engramv1.SubscribeRequest{Space: "default", After: &after}) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, e.GetType()+" "+e.GetId()); len(got) == len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("cut at %d: got %q, want %q", cut, got, want)
		}
		if len(w.sent) < 2 {
			t.Errorf("cut at %d: the stream was never taken up again", cut)
		}
	}
}

// A stream that says nothing at all is taken up again; one that only pings is not.
func TestEventsSilence(t *testing.T) {
	address := start(t)
	w := newRoad()
	w.do = func(n int, r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/Subscribe") && n == 1 { // behind the question where to begin
			_, _ = io.Copy(io.Discard, r.Body)
			pipe, hold := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = hold.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/connect+proto"}}, Body: pipe, Request: r}, nil
		}
		return next.RoundTrip(r)
	}
	o := engramclient.Options{Transport: w, Silence: 200 * time.Millisecond}
	retried := make(chan bool, 10)
	o.Waits(0, func(time.Duration) { retried <- true })
	c := dial(t, address, o)
	got := make(chan *engramv1.Event)
	ctx, cancel := context.WithCancel(t.Context())
	var follower sync.WaitGroup
	follower.Go(func() {
		for e, err := range c.Events(ctx, &engramv1.SubscribeRequest{Space: "default"}) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- e
		}
	})
	<-retried
	if _, err := dial(t, address, engramclient.Options{}).Remember(t.Context(), note("now")); err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.GetType() != "remembered" || e.GetMemory().GetText() != "now" {
		t.Errorf("got %v", e)
	}
	cancel()
	follower.Wait()
}

func TestEventsOfNothing(t *testing.T) {
	c := dial(t, start(t), engramclient.Options{})
	n := 0
	for e, err := range c.Events(t.Context(), &engramv1.SubscribeRequest{Space: "nowhere"}) {
		n++
		if e != nil || memory.KindOf(err) != memory.KindNotFound {
			t.Errorf("%v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	var slept int
	o := engramclient.Options{Retries: 3}
	o.Waits(1, func(time.Duration) { slept++ })
	_, err = dial(t, address, o).GetVersion(t.Context(), &engramv1.GetVersionRequest{})
	var e *memory.Error
	if !errors.As(err, &e) || e.Code != "unreachable" || !e.Retriable || !strings.Contains(e.Message, "no server answers at "+address) || slept != 3 {
		t.Errorf("%d waits, %#v", slept, err)
	}
}

func TestKey(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "localhost": true, "[::1]:1": true, "https://memory.example": true, "memory.example": false, "http://10.0.0.1:7432": false} {
		c, err := engramclient.New(address, engramclient.Options{Key: "secret"})
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
		if c != nil {
			c.Close()
		}
	}
	w := newRoad()
	c := dial(t, start(t), engramclient.Options{Key: "secret", Transport: w})
	_, _ = c.GetVersion(t.Context(), &engramv1.GetVersionRequest{}) // only what is sent counts
	if got := w.headers("Authorization"); got[0] != "Bearer secret" {
		t.Errorf("sent %q", got)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:7432": "http://127.0.0.1:7432", "box": "http://box:7432", ":80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80",
		"::1": "http://[::1]:7432", "https://m.example/x/": "https://m.example/x", "a b": "", "a/b": "", "u@h:1": "", "http://": "", "http://%": "",
	} {
		got, err := engramclient.BaseURL(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := engramclient.New("box", engramclient.Options{Protocol: "carrier pigeon"}); memory.KindOf(err) != memory.KindInvalid {
		t.Error(err)
	}
}

// A call of the schema is a read, or it is a write and has a key.
func TestEveryCallIsJudged(t *testing.T) {
	reads := strings.Fields(`PutSpace GetSpace ListSpaces UpdateSpace DeleteSpace GetMemory GetMemories ListMemories Recall ReplayRecall
		GetEntity ListEntities GetLink ListMemoryLinks ListEntityLinks Spread Recognise Complete Match Query ListConcepts GetConcept ListPlans
		Relink CheckRecall ListEvents GetJob CancelJob GetVersion CreateKey ListKeys RotateKey RevokeKey ListActs
		ListModels GetModel AddModel DeleteModel EmbedTexts ReembedSpace`) // and what no key would help
	methods := engramv1.File_engram_v1_engram_proto.Services().ByName("EngramService").Methods()
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		if engramclient.Writes(name) == slices.Contains(reads, name) {
			t.Errorf("%s is neither a read nor a write here, or both: say which in call.go", name)
		}
	}
}

func TestOwnKey(t *testing.T) {
	w := newRoad()
	c := dial(t, start(t), engramclient.Options{Transport: w})
	var ids []string
	for range 2 {
		a, err := c.Remember(engramclient.WithIdempotencyKey(t.Context(), "order-17"), note("paid"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.GetId())
	}
	if ids[0] != ids[1] || w.headers("Idempotency-Key")[0] != "order-17" {
		t.Errorf("stored %q", ids)
	}
	_, err := c.UpdateMemory(engramclient.WithIfMatch(t.Context(), `"9"`), &engramv1.UpdateMemoryRequest{Space: "default", Id: ids[0]})
	if memory.KindOf(err) != memory.KindPrecondition {
		t.Error(err)
	}
}

// What stands in an answer that is no Engram's is never taken for one.
func TestForeignAnswer(t *testing.T) {
	w := newRoad()
	w.do = func(_ int, r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		a := refusal(r, http.StatusOK)
		a.Body = io.NopCloser(bytes.NewReader([]byte("<html>")))
		return a, nil
	}
	_, err := dial(t, start(t), engramclient.Options{Transport: w}).GetVersion(t.Context(), &engramv1.GetVersionRequest{})
	var e *memory.Error
	if !errors.As(err, &e) || e.Code != "not_an_engram" || e.Hint == "" {
		t.Errorf("got %#v", err)
	}
}
