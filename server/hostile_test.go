package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

const rememberPath = "/engram.v1.EngramService/Remember"

// raw sends bytes as they are and reads an answer.
func raw(t *testing.T, addr, request string) (answer, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, request); err != nil {
		return answer{}, err
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = a.Body.Close() }()
	return read(t, a), nil
}

// TestHostileHeaders: too large is 431 by the HTTP library; what is not HTTP, 400.
// What it lets through is ours to refuse, with a body that says why.
func TestHostileHeaders(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxHeaderBytes, o.HeaderTimeout = 8<<10, 200*time.Millisecond })
	addr := listen(t, s)
	get := "GET " + space + " HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"one header too large":    {get + "X: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", 431, ""},
		"many headers":            {get + strings.Repeat("X: y\r\n", 10<<10) + "\r\n", 431, ""},
		"a long path":             {"GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, ""},
		"not HTTP":                {"\x16\x03\x01\x00\xa5\x01\r\n\r\n", 400, ""},
		"two lengths":             {"POST " + space + "/memories HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400, ""},
		"a length and chunks":     {"POST " + space + "/recall HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, ""},
		"an encoding of transfer": {"POST " + space + "/memories HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, ""},
		"no host":                 {"GET " + space + " HTTP/1.1\r\n\r\n", 400, ""},
		"a method of its own":     {"BREW " + space + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"},
		"an absolute URL":         {"GET http://elsewhere.example" + space + " HTTP/1.1\r\nHost: x\r\n\r\n", 403, "host_denied"},
		"a long known header":     {get + "Idempotency-Key: " + strings.Repeat("x", 256) + "\r\n\r\n", 400, "header_invalid"},
		"a huge number":           {get + "Engram-Min-Lsn: 99999999999999999999999\r\n\r\n", 400, "header_invalid"},
		"a long authorization":    {get + "Authorization: Bearer " + strings.Repeat("x", 4<<10) + "\r\n\r\n", 200, ""}, // no key is needed
	} {
		a, err := raw(t, addr, c.request)
		if err != nil || a.status != c.status || c.code != "" && a.failure()["code"] != c.code {
			t.Errorf("%s: %d %.300s %v", name, a.status, a.body, err)
		}
	}
}

// TestHostileBodies: too large, at each door, is the same typed error.
func TestHostileBodies(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxBodyBytes = 64 << 10 })
	addr := listen(t, s)
	for _, d := range doors(t, addr) {
		q := &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: strings.Repeat("x", 1<<20)}}
		r := d.call(t, "Remember", q, http.Header{})
		if r.failure.GetCode() != "body_too_large" || r.failure.GetDetails().AsMap()["limit_bytes"] == nil {
			t.Errorf("%s: %v", d.name, r.failure)
		}
	}
}

// bomb is megabytes of nothing in a few kilobytes.
func bomb(t *testing.T, megabytes int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := bytes.Repeat([]byte("0"), 1<<20)
	for range megabytes {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func envelope(flags byte, b []byte) []byte {
	out := make([]byte, 5, 5+len(b))
	out[0] = flags
	binary.BigEndian.PutUint32(out[1:], uint32(len(b)))
	return append(out, b...)
}

// TestCompressedBombs: refused at the REST door, bounded at the others, and never
// unpacked whole.
func TestCompressedBombs(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxBodyBytes = 256 << 10 })
	addr := listen(t, s)
	b := bomb(t, 24)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, c := range []struct {
		name, path, code string
		body             []byte
		headers          []string
	}{
		{"rest", space + "/memories", "encoding_unknown", b, []string{"Content-Encoding", "gzip"}},
		{"an import", space + "/import", "encoding_unknown", b, []string{"Content-Encoding", "gzip"}},
		{"tools", "/mcp", "encoding_unknown", b, []string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Content-Encoding", "gzip"}},
		{"connect-json", rememberPath, "body_too_large", b, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}},
		{"connect-proto", rememberPath, "body_too_large", b, []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}},
		{"connect, brotli", rememberPath, "encoding_unknown", b, []string{"Content-Type", "application/proto", "Content-Encoding", "br"}},
		{"connect, not gzip", rememberPath, "body_unreadable", []byte("zzz"), []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}},
		{"connect, half a gzip", rememberPath, "body_unreadable", bomb(t, 0)[:12], []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}},
		{"grpc", rememberPath, "body_too_large", envelope(1, b), []string{"Content-Type", "application/grpc", "Grpc-Encoding", "gzip"}},
		{"grpc, of no kind", rememberPath, "encoding_unknown", envelope(1, b), []string{"Content-Type", "application/grpc", "Grpc-Encoding", "zstd"}},
		{"grpc-web", rememberPath, "body_too_large", envelope(1, b), []string{"Content-Type", "application/grpc-web+proto", "Grpc-Encoding", "gzip"}},
		{"a stream", "/engram.v1.EventService/Subscribe", "body_too_large", envelope(1, b), []string{"Content-Type", "application/connect+proto", "Connect-Content-Encoding", "gzip"}},
	} {
		if got := post(t, addr, c.path, c.body, c.headers...); got != c.code {
			t.Errorf("%s: %q, want %q", c.name, got, c.code)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

// post sends a body as it is over HTTP/2 and gives the code of the error.
func post(t *testing.T, addr, path string, body []byte, headers ...string) string {
	t.Helper()
	r, err := http.NewRequest("POST", "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := client(t, true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return codeIn(t, a, b)
}

// codeIn finds the code of the error in an answer of any door.
func codeIn(t *testing.T, a *http.Response, b []byte) string {
	t.Helper()
	status := a.Trailer.Get("Grpc-Status-Details-Bin") + a.Header.Get("Grpc-Status-Details-Bin")
	for line := range strings.SplitSeq(string(b), "\r\n") { // the trailers of gRPC-Web stand in the body
		if v, ok := strings.CutPrefix(strings.ToLower(line), "grpc-status-details-bin: "); ok {
			status += line[len(line)-len(v):]
		}
	}
	if status != "" {
		return codeOfStatus(t, status)
	}
	var e struct {
		Code  string
		Error struct {
			Code    string
			Details []struct{ Type, Value string }
		}
		Details []struct{ Type, Value string }
	}
	if len(b) > 5 && b[0] == 2 { // the end of a stream of Connect
		b = b[5:]
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return fmt.Sprintf("%d %.100q", a.StatusCode, b)
	}
	for _, d := range append(e.Details, e.Error.Details...) {
		if d.Type == "engram.v1.Error" {
			return codeOfDetail(t, d.Value)
		}
	}
	return e.Error.Code
}

func codeOfDetail(t *testing.T, value string) string {
	t.Helper()
	b, err := connect.DecodeBinaryHeader(value)
	if err != nil {
		t.Fatal(err)
	}
	var own engramv1.Error
	if err := proto.Unmarshal(b, &own); err != nil {
		t.Fatal(err)
	}
	return own.Code
}

// codeOfStatus reads a google.rpc.Status: its details are field 3, each an Any.
func codeOfStatus(t *testing.T, header string) string {
	t.Helper()
	b, err := connect.DecodeBinaryHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		b = b[size:]
		size = protowire.ConsumeFieldValue(n, typ, b)
		if n == 3 {
			detail, _ := protowire.ConsumeBytes(b)
			if i := bytes.Index(detail, []byte("engram.v1.Error\x12")); i >= 0 {
				value, _ := protowire.ConsumeBytes(detail[i+len("engram.v1.Error\x12"):])
				var own engramv1.Error
				if err := proto.Unmarshal(value, &own); err != nil {
					t.Fatal(err)
				}
				return own.Code
			}
		}
		b = b[size:]
	}
	return ""
}

// TestHostileMessages: what is no message of the call, at the doors of RPC.
func TestHostileMessages(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	badUTF8 := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "de\xfffault")
	fault := protowire.AppendString(protowire.AppendTag(nil, 536870911, protowire.BytesType), "made_up\x00f\x00m\xff\x00h")
	for _, c := range []struct {
		name, path, code string
		body             []byte
		contentType      string
	}{
		{"UTF-8, connect", rememberPath, "utf8_invalid", badUTF8, "application/proto"},
		{"UTF-8, grpc", rememberPath, "utf8_invalid", envelope(0, badUTF8), "application/grpc"},
		{"UTF-8, grpc-web", rememberPath, "utf8_invalid", envelope(0, badUTF8), "application/grpc-web"},
		{"UTF-8, json", rememberPath, "utf8_invalid", []byte("{\"space\":\"\xff\"}"), "application/json"},
		{"UTF-8, a stream", "/engram.v1.EventService/Subscribe", "utf8_invalid", envelope(0, protowire.AppendString(protowire.AppendTag(nil, 11, protowire.BytesType), "\xff")), "application/grpc"},
		{"garbage, connect", rememberPath, "message_invalid", []byte("\xff\xff\xff"), "application/proto"},
		{"garbage, grpc", rememberPath, "message_invalid", envelope(0, []byte("\xff\xff\xff")), "application/grpc"},
		{"an error that the caller made up", rememberPath, "made_up", envelope(0, fault), "application/grpc"},
		{"no envelope", rememberPath, "body_unreadable", []byte("abc"), "application/grpc"},
		{"an envelope that lies", rememberPath, "body_unreadable", append(envelope(0, nil)[:1], 0xff, 0xff, 0xff, 0xff), "application/grpc"},
		{"two messages", rememberPath, "body_unreadable", append(envelope(0, nil), envelope(0, nil)...), "application/grpc"},
		{"not JSON", rememberPath, "json_invalid", []byte("{oops"), "application/json"},
		{"an unknown field", rememberPath, "field_unknown", []byte(`{"space":"default","memroy":{}}`), "application/json"},
		{"a wrong type", rememberPath, "type_mismatch", []byte(`{"space":7}`), "application/json"},
		{"an empty body", rememberPath, "json_invalid", nil, "application/json"},
		{"a method that is none, connect", "/engram.v1.EngramService/Nothing", "path_unknown", []byte("{}"), "application/json"},
		{"a method that is none, grpc", "/engram.v1.EngramService/Nothing", "path_unknown", envelope(0, nil), "application/grpc"},
		{"a service that is none, grpc", "/grpc.nothing.Nothing/Nothing", "path_unknown", envelope(0, nil), "application/grpc"},
		{"a form that is none", rememberPath, "header_invalid", []byte("{}"), "application/x-www-form-urlencoded"},
		{"no content type", rememberPath, "header_invalid", []byte("{}"), ""},
		{"a form of gRPC that is none", rememberPath, "header_invalid", envelope(0, nil), "application/grpc+thrift"},
		{"gRPC-Web as text", rememberPath, "header_invalid", []byte("AAAAAAA="), "application/grpc-web-text"},
		{"a path trick, connect", rememberPath, "space_name_invalid", []byte(`{"space":"../default"}`), "application/json"},
	} {
		if got := post(t, addr, c.path, c.body, "Content-Type", c.contentType); got != c.code {
			t.Errorf("%s: %q, want %q", c.name, got, c.code)
		}
	}
}

// TestPathTricks: no spelling of a path gets around a key's spaces.
func TestPathTricks(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	for _, path := range []string{"/v1/spaces/a/../b", "/v1/spaces/a%2F..%2Fb", "/v1/spaces/%62", "/v1/spaces/./b", "/v1//spaces/b", "/v1/spaces/b/", "/v1/spaces/b%00", "/v1/spaces/b%20", "/v1/spaces/B",
		"/v1/spaces/a;b", "/v1/spaces/a%00/../b", "/v1/spaces/..%2Fb", "//v1/spaces/b", "/v1/spaces/%2e%2e/b", "/v1/spaces/b?space=a", "/v1/spaces/b%0d%0aX:y", "/v1/spaces/\xff", "/v1/spaces/a/memories/../../b", "/V1/spaces/b"} {
		a, err := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+g.secret["both a"]+"\r\n\r\n")
		if err != nil || a.status != 404 && a.status != 400 || a.failure()["code"] == nil && !strings.HasPrefix(a.body, "400") || strings.Contains(a.body, `"counts"`) {
			t.Errorf("%q: %d %.200s %v", path, a.status, a.body, err)
		}
	}
}

// TestSlowLoris: who sends headers a byte at a time is cut off.
func TestSlowLoris(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.HeaderTimeout = 30 * time.Millisecond })
	addr := listen(t, s)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
		t.Fatal(err)
	}
	drip := make(chan struct{})
	go func() { // until the connection is closed
		defer close(drip)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(io.Discard, c) // ends when the server has cut it off; go test has a time limit
	_ = c.Close()
	<-drip
}

// TestSlowLorisRefused: who is refused before the body is read may not take longer for
// the body than others.
func TestSlowLorisRefused(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.BodyTimeout = 30 * time.Millisecond })
	c, err := net.Dial("tcp", listen(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "POST "+space+"/memories HTTP/1.1\r\nHost: x\r\nEngram-Min-Lsn: none\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c) // ends when the server closes
	if err != nil || !strings.Contains(string(answer), `"header_invalid"`) {
		t.Errorf("%v: %s", err, answer)
	}
}

// TestHalfClosed: a client that ends its half is answered, or let go; nothing of
// it stays.
func TestHalfClosed(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	half := func(request string) string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(c)
		return string(b)
	}
	if got := half("POST " + space + "/memories HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"text\":"); !strings.Contains(got, `"body_unreadable"`) {
		t.Errorf("half a body: %s", got)
	}
	half("GET " + space + "/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n") // returns when the stream has ended
	half("GET / HTTP/1.1\r\nHo")
	for !strings.Contains(do(t, s, "GET", "/metrics", "").body, "engram_streams 0") {
		runtime.Gosched()
	}
}

// TestIdleConnections: as many as the limit of files allows, in bounded memory;
// one more than the server's bound is closed at once, and the others still work.
func TestIdleConnections(t *testing.T) {
	most := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	most = min(most, (int(limit.Cur)-200)/2) // both ends are in this process
	if testing.Short() {
		most = min(most, 500)
	}
	s := newServer(t, func(o *server.Options) { o.MaxConnections = most })
	addr := listen(t, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, most)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := w; i < most; i += 4 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
				if !used(c) { // it is accepted, and idle from now on
					t.Errorf("connection %d does not work", i)
				}
			}
		})
	}
	wait.Wait()
	extra, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = extra.Close() }()
	if used(extra) {
		t.Error("a connection too many is served")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / int64(most)
	t.Logf("%d connections, %d bytes each", most, each)
	if each > 64<<10 {
		t.Errorf("an idle connection takes %d bytes", each)
	}
	for _, i := range []int{0, most / 2, most - 1} {
		if !used(conns[i]) {
			t.Errorf("connection %d does not work any more", i)
		}
	}
	_ = conns[0].Close()
	for { // until the server has seen that there is room
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		ok := used(c)
		_ = c.Close()
		if ok {
			break
		}
	}
}

// used sends a request on a connection and says whether it was answered.
func used(c net.Conn) bool {
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	var b [1024]byte
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		if n += m; bytes.HasSuffix(b[:n], []byte("\"alive\"}\n")) {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

// TestLogInjection: what a caller writes into names and headers stays on one line
// of the log, with no character that could move a terminal's cursor.
func TestLogInjection(t *testing.T) {
	for _, handler := range []func(io.Writer) slog.Handler{
		func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		var log bytes.Buffer
		s := newServer(t, func(o *server.Options) { o.Logger = slog.New(handler(&log)) })
		evil := "x\nlevel=ERROR msg=\"all is lost\"\x1b[2J\u0085\u202e"
		text, err := json.Marshal(evil)
		if err != nil {
			t.Fatal(err)
		}
		do(t, s, "GET", "/v1/spaces/x%0Aforged=1%1b[2J", "", "Request-Id", evil)
		do(t, s, "POST", space+"/memories", `{`+string(text)+`:1}`, "Idempotency-Key", evil)
		do(t, s, "POST", space+"/recall", `{"text":"x","mode":`+string(text)+`}`)
		do(t, s, "POST", "/v1/keys", `{"name":`+string(text)+`,"scopes":["admin"]}`)
		do(t, s, "GET", "/v1/jobs/%0Aforged=1", "")
		do(t, s, "POST", rememberPath, `{"space":`+string(text)+`}`, "Content-Type", "application/json")
		do(t, s, "GET", "/"+"%0Aforged=1", "", "Authorization", evil)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 7 {
			t.Errorf("%d lines for 7 requests:\n%s", len(lines), &log)
		}
		for _, l := range lines {
			if !strings.HasPrefix(l, "time=") && !strings.HasPrefix(l, `{"time":`) || strings.ContainsAny(l, "\x1b\u0085\u202e\r") {
				t.Errorf("a line that the caller wrote: %q", l)
			}
		}
	}
}

// TestHealthAndReflection: gRPC's own services, which grpcurl and load balancers ask.
func TestHealthAndReflection(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	const check = "/grpc.health.v1.Health/Check"
	for service, want := range map[string]string{"": "", "engram.v1.EngramService": "", "engram.v1.Nothing": "rpc_not_found"} {
		body := envelope(0, protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service))
		r, err := http.NewRequest("POST", "http://"+addr+check, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		a, err := client(t, true).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		status := a.Trailer.Get("Grpc-Status") + a.Header.Get("Grpc-Status")
		if (want == "") != (status == "0" && bytes.Equal(b, envelope(0, []byte{8, 1}))) {
			t.Errorf("%q: status %s, %x", service, status, b)
		}
	}
	// Reflection tells what there is, to who has a key.
	list := envelope(0, protowire.AppendString(protowire.AppendTag(nil, 7, protowire.BytesType), "*"))
	for _, path := range []string{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"} {
		if got := post(t, addr, path, list, "Content-Type", "application/grpc"); got != "key_missing" {
			t.Errorf("%s: %q", path, got)
		}
		r, err := http.NewRequest("POST", "http://"+addr+path, bytes.NewReader(list))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = g.header("read a")
		r.Header.Set("Content-Type", "application/grpc")
		a, err := client(t, true).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		for _, name := range []string{engramv1connect.EngramServiceName, engramv1connect.EventServiceName, "grpc.health.v1.Health"} {
			if !bytes.Contains(b, []byte(name)) {
				t.Errorf("%s does not tell of %s: %q", path, name, b)
			}
		}
	}
}
