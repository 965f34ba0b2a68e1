package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

// A renamed client sends another Host than the one that it connects to, as a
// browser does whose page's name was made to point here.
type renamed struct {
	host string
	next http.RoundTripper
}

func (r renamed) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Host = r.host
	return r.next.RoundTrip(q)
}

// TestHostNames: which names a server without keys answers to.
func TestHostNames(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Hosts = []string{"engram", "Memory.Local."} })
	for host, ours := range map[string]bool{
		"127.0.0.1:7432": true, "127.0.0.1": true, "[::1]:7432": true, "[::1]": true, "192.168.7.9:7432": true, "[fe80::1%25eth0]:1": true, "localhost": true,
		"LOCALHOST:80": true, "localhost.:80": true, "x.localhost:1": true, "engram": true, "Engram:7432": true, "memory.local": true, "memory.local.:1": true, "": true,
		"evil.example": false, "evil.example:7432": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "engram.evil.example": false, "evil-localhost": false,
		"127.0.0.1@evil.example": false, "*": false, "[evil.example]:1": false,
	} {
		r, err := http.NewRequest("GET", space, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		w := &kept{sink: sink{h: http.Header{}}}
		s.ServeHTTP(w, r)
		if ours != (w.status == 200) || !ours && (w.status != 403 || !strings.Contains(w.body.String(), `"host_denied"`)) {
			t.Errorf("%q: %d %s", host, w.status, w.body.String())
		}
	}
	all := newServer(t, func(o *server.Options) { o.Hosts = []string{"*"} })
	r, _ := http.NewRequest("GET", space, nil)
	r.Host = "evil.example"
	w := &kept{sink: sink{h: http.Header{}}}
	if all.ServeHTTP(w, r); w.status != 200 {
		t.Errorf("*: %d", w.status)
	}
}

// kept is a sink that keeps the body.
type kept struct {
	sink
	body strings.Builder
}

func (k *kept) Write(b []byte) (int, error) {
	if k.status == 0 {
		k.status = 200
	}
	return k.body.Write(b)
}

// TestDNSRebinding: a page's own name is refused at every door, and what is not the
// API too; where keys or TLS stand in the way it does not matter.
func TestDNSRebinding(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	evil := &http.Client{Transport: renamed{"evil.example", client(t, true).Transport}}
	for name, options := range map[string][]connect.ClientOption{
		"connect-proto": nil, "connect-json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	} {
		_, err := engramv1connect.NewEngramServiceClient(evil, "http://"+addr, options...).GetSpace(context.Background(), &engramv1.GetSpaceRequest{Space: "default"})
		e, ok := err.(*connect.Error)
		if !ok || detailOf(e).GetCode() != "host_denied" || e.Code() != connect.CodePermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		st, err := engramv1connect.NewEventServiceClient(evil, "http://"+addr, options...).Subscribe(ctx, &engramv1.SubscribeRequest{Space: "default"})
		if err == nil {
			for st.Receive() {
			}
			err = st.Err()
		}
		if e, ok := err.(*connect.Error); !ok || detailOf(e).GetCode() != "host_denied" {
			t.Errorf("%s, a stream: %v", name, err)
		}
		cancel()
	}
	upgrade := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://evil.example\r\n\r\n"
	if a, err := raw(t, addr, "GET "+space+"/events HTTP/1.1\r\nHost: evil.example\r\n"+upgrade); err != nil || a.failure()["code"] != "host_denied" {
		t.Errorf("websocket: %d %s %v", a.status, a.body, err)
	}
	for path, status := range map[string]int{space: 403, space + "/events": 403, space + "/export": 403, "/mcp": 403, "/metrics": 403, "/docs": 403, "/openapi.json": 403,
		"/debug/pprof/": 403, "/v1/version": 403, "/v1/keys": 403, "/healthz": 200, "/readyz": 200} {
		a, err := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
		if err != nil || a.status != status || status == 403 && a.failure()["code"] != "host_denied" {
			t.Errorf("%s: %d %.200s %v", path, a.status, a.body, err)
		}
	}
	g := newGuarded(t)
	if a := do(t, g, "GET", "/v1/spaces/a", "", "Authorization", "Bearer "+g.secret["read"]); a.status != 200 {
		t.Errorf("with keys: %d %s", a.status, a.body)
	}
}
