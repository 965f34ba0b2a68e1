package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/engramdb/engram"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

// What hostile clients do, and where it is tested:
//
//	oversized headers            TestHostileHeaders
//	oversized bodies             TestHostileBodies, TestImportStreams (a line has a bound)
//	slow-loris                   TestSlowLoris, TestHangingClient, TestImportHangs
//	half-closed streams          TestHalfClosed, TestHalfClosedStreams
//	10,000 idle connections      TestIdleConnections
//	compressed bombs             TestCompressedBombs
//	unknown methods              TestHostileMessages, TestHostileHeaders
//	wrong content types          TestHostileMessages, TestContentTypesOfREST
//	invalid UTF-8                TestHostileMessages
//	path tricks                  TestPathTricks
//	a key of another space       TestAccessTable, TestStreamAccess, TestJobsOfOthers
//	a key that ends on the way   TestKeyEndsMidStream, TestKeyEndsMidBody, TestKeyEndsMidTransfer
//	log injection                TestLogInjection
//	pages of others              TestPagesOfOthers, TestDNSRebinding

// TestContentTypesOfREST: the body of the REST door is JSON, whatever its type says,
// as curl says application/x-www-form-urlencoded; what is none is refused as that.
func TestContentTypesOfREST(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ contentType, body, code string }{
		{"application/x-www-form-urlencoded", `{"text":"by curl"}`, ""},
		{"", `{"text":"of no type"}`, ""},
		{"application/json; charset=latin1", `{"text":"ascii"}`, ""},
		{"application/x-www-form-urlencoded", `text=a+form`, "json_invalid"},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nx\r\n--b--", "type_mismatch"},
		{"application/xml", "<text>x</text>", "json_invalid"},
		{"application/grpc", string(envelope(0, []byte{10, 1, 'a'})), "json_invalid"},
		{"application/json; charset=latin1", "{\"text\":\"caf\xe9\"}", "utf8_invalid"},
		{"application/json", "\xef\xbb\xbf{\"text\":\"marked\"}", "json_invalid"},
	} {
		a := do(t, s, "POST", space+"/memories", c.body, "Content-Type", c.contentType)
		if c.code == "" && a.status != 201 || c.code != "" && (a.status != 400 || a.failure()["code"] != c.code) {
			t.Errorf("%s, %q: %d %s", c.contentType, c.body, a.status, a.body)
		}
	}
}

// TestHalfClosedStreams: who ends its half of a stream, at each door that streams, or
// goes without a word, leaves nothing behind.
func TestHalfClosedStreams(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.PingEvery = 10 * time.Millisecond })
	addr := listen(t, s)
	ws := dialEvents(t, addr, space+"/events", nil)
	if err := ws.conn.CloseNow(); err != nil { // no closing frame
		t.Error(err)
	}
	for _, options := range [][]connect.ClientOption{nil, {connect.WithGRPC()}, {connect.WithGRPCWeb()}} {
		ctx, cancel := context.WithCancel(context.Background())
		st, err := engramv1connect.NewEventServiceClient(client(t, true), "http://"+addr, options...).Subscribe(ctx, &engramv1.SubscribeRequest{Space: "default"})
		if err != nil {
			t.Fatal(err)
		}
		st.Receive() // the client's half is closed behind its one message; the stream lives
		if err := st.Err(); err != nil {
			t.Error(err)
		}
		cancel() // RST_STREAM
		_ = st.Close()
	}
	_, hangUp := subscribe(t, addr, space+"/events")
	hangUp()
	in, out := io.Pipe() // an import whose client goes in the middle of a line
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+space+"/import", in)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a, err := client(t, true).Do(r); err == nil {
			_ = a.Body.Close()
		}
	}()
	if _, err := io.WriteString(out, `{"text":"ha`); err != nil {
		t.Error(err)
	}
	cancel()
	<-done
	_ = out.Close()
	for !strings.Contains(do(t, s, "GET", "/metrics", "").body, "engram_streams 0") {
		runtime.Gosched()
	}
}

// TestKeyEndsMidTransfer: an import and an export whose key is revoked on the way end
// with that; what came in before stays.
func TestKeyEndsMidTransfer(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	in, out := io.Pipe()
	r, err := http.NewRequest("POST", "http://"+addr+"/v1/spaces/a/import", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = g.header("both a")
	answered := make(chan answer, 1)
	go func() {
		a, err := client(t, true).Do(r)
		if err != nil {
			t.Error(err)
			answered <- answer{}
			return
		}
		defer func() { _ = a.Body.Close() }()
		answered <- read(t, a)
	}()
	w := bufio.NewWriter(out)
	for range 1500 { // more than the batches that fill
		_, _ = w.WriteString(`{"text":"before"}` + "\n")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for do(t, g, "GET", "/v1/spaces/a", "", "Authorization", "Bearer "+g.secret["admin"]).json["counts"].(map[string]any)["episodes"] == "0" {
		runtime.Gosched()
	}
	if _, err := g.db.RevokeKey(context.Background(), g.id["both a"]); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(out, `{"text":"too late"}`+"\n") // it may be closed already
	_ = out.Close()
	if a := <-answered; !strings.Contains(a.body, `"key_revoked"`) || strings.Contains(a.body, `"done"`) {
		t.Errorf("import: %d %s", a.status, a.body)
	}

	text := strings.Repeat("long ", 100_000) // the answer does not fit what is buffered on the way
	for range 40 {
		sp, err := g.db.Space("b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sp.Remember(context.Background(), memoryOf(text), engram.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := http.NewRequest("GET", "http://"+addr+"/v1/spaces/b/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Header = g.header("read")
	a, err := client(t, false).Do(e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	if _, err := io.ReadFull(a.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.db.RevokeKey(context.Background(), g.id["read"]); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(a.Body)
	if err != nil || !strings.Contains(string(b[max(0, len(b)-2000):]), `"key_revoked"`) || strings.Contains(string(b), `{"end":`) {
		t.Errorf("export: %v, it ends with %.300q", err, b[max(0, len(b)-300):])
	}
}
