package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/engramdb/engram"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server"
)

// TestRateOfAKey: each key has its own, at every door the same.
func TestRateOfAKey(t *testing.T) {
	g := newGuarded(t, func(o *server.Options) { o.Limits.PerKey = server.Rate{PerSecond: 1e-3, Burst: 2} })
	addr := listen(t, g.Server)
	for _, d := range doors(t, addr) {
		g.key(t, engram.KeySpec{Name: d.name, Scopes: []engram.Scope{engram.ScopeRead}})
		for i := range 3 {
			r := d.call(t, "GetSpace", &engramv1.GetSpaceRequest{Space: "a"}, g.header(d.name))
			if i < 2 {
				if r.failure != nil {
					t.Errorf("%s: %v", d.name, r.failure)
				}
				continue
			}
			if r.failure.GetCode() != "rate_limited" || !r.failure.GetRetriable() || r.failure.GetDetails().AsMap()["of"] != "key" {
				t.Errorf("%s: %v", d.name, r.failure)
			}
			if d.name == "rest" && (r.status != 429 || r.header.Get("Retry-After") == "" || r.header.Get("Retry-After") == "0") || d.name != "rest" && r.code != connect.CodeResourceExhausted {
				t.Errorf("%s: %d %s %v", d.name, r.status, r.code, r.header)
			}
		}
	}
	// What is open to all is not counted.
	for range 5 {
		if a := do(t, g, "GET", "/v1/version", ""); a.status != 200 {
			t.Errorf("%d", a.status)
		}
	}
	g.SetLimits(server.Limits{}) // as a reload does
	if a := do(t, g, "GET", "/v1/spaces/a", "", "Authorization", "Bearer "+g.secret["rest"]); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestRateOfASpace: all keys share it, and made-up names take no bucket.
func TestRateOfASpace(t *testing.T) {
	g := newGuarded(t, func(o *server.Options) { o.Limits.PerSpace = server.Rate{PerSecond: 1e-3, Burst: 2} })
	get := func(key, space string) answer {
		return do(t, g, "GET", "/v1/spaces/"+space, "", "Authorization", "Bearer "+g.secret[key])
	}
	for i, key := range []string{"read", "read a", "both"} {
		if a := get(key, "a"); (a.status == 200) != (i < 2) {
			t.Errorf("%d %s: %d %s", i, key, a.status, a.body)
		}
	}
	if a := get("both", "b"); a.status != 200 {
		t.Errorf("another space: %d", a.status)
	}
	for i := range 100 {
		get("both", fmt.Sprint("made-up-", i))
	}
	if n := server.Buckets(g.Server); n > 3 {
		t.Errorf("%d buckets", n)
	}
}

func TestQuotaOfMemories(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Limits.SpaceMemories = 2 })
	for i := range 3 {
		a := do(t, s, "POST", space+"/memories", fmt.Sprintf(`{"id":"m%d","text":"x"}`, i))
		if i < 2 {
			if a.status != 201 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			continue
		}
		d, _ := a.failure()["details"].(map[string]any)
		if a.status != http.StatusInsufficientStorage || a.failure()["code"] != "quota_exceeded" || a.failure()["retriable"] != false || d["of"] != "memories" || d["most"] != "2" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := do(t, s, "POST", space+"/recall", `{"text":"x"}`); a.status != 200 {
		t.Errorf("reads are refused too: %d", a.status)
	}
	if a := do(t, s, "PATCH", space+"/memories/m0", `{"tags":["x"]}`); a.status != 200 {
		t.Errorf("a change adds no memory: %d %s", a.status, a.body)
	}
	if a := do(t, s, "DELETE", space+"/memories/m0", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", space+"/memories", `{"text":"x"}`); a.status != 201 {
		t.Errorf("there is room: %d %s", a.status, a.body)
	}
}

func TestQuotaOfBytes(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Limits.SpaceBytes = 64 << 10 })
	text := strings.Repeat("otters ", 2000)
	stored := 0
	for range 20 {
		a := do(t, s, "POST", space+"/memories", `{"text":"`+text+`"}`)
		if a.status != 201 {
			if a.failure()["code"] != "quota_exceeded" || a.failure()["details"].(map[string]any)["of"] != "bytes" {
				t.Errorf("%d %s", a.status, a.body)
			}
			break
		}
		stored += len(text)
	}
	if stored == 0 || stored > 64<<10 {
		t.Errorf("%d bytes were stored", stored)
	}
	if a := do(t, s, "DELETE", space+"/memories/none", ""); a.status != 404 {
		t.Errorf("a delete is refused: %d", a.status)
	}
	s.SetLimits(server.Limits{})
	if a := do(t, s, "POST", space+"/memories", `{"text":"x"}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// together sends so many writes at the same time, and says how many were taken; each
// of the others must have been refused for the quota.
func together(t *testing.T, s *server.Server, n int, body func(i int) (path, body string)) (taken int64) {
	t.Helper()
	var writers sync.WaitGroup
	var good atomic.Int64
	for i := range n {
		writers.Go(func() {
			path, body := body(i)
			switch a := do(t, s, "POST", space+path, body); {
			case a.status == 201:
				good.Add(1)
			case a.failure()["code"] != "quota_exceeded":
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	writers.Wait()
	return good.Load()
}

// TestQuotaTogether: writes that come together cannot pass a quota together.
func TestQuotaTogether(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Limits.SpaceMemories = 10 })
	taken := together(t, s, 64, func(i int) (string, string) { return "/memories", fmt.Sprintf(`{"id":"m%d","text":"x"}`, i) })
	if n := episodes(t, s); taken != 10 || n != "10" {
		t.Errorf("%d were taken, %s are there", taken, n)
	}
	if a := do(t, s, "DELETE", space+"/memories/"+anyMemory(t, s), ""); a.status != 200 {
		t.Fatal(a.body)
	}
	// A batch is taken whole or not at all, also where half of it would have room.
	if taken := together(t, s, 8, func(int) (string, string) { return "/memories/batch", `{"memories":[{"text":"a"},{"text":"b"}]}` }); taken != 0 {
		t.Errorf("%d batches were taken", taken)
	}
	if a := do(t, s, "POST", space+"/memories/batch", `{"memories":[{"text":"a"}]}`); a.status != 201 || episodes(t, s) != "10" {
		t.Errorf("%d %s", a.status, a.body)
	}
	// What is there already adds nothing.
	id := anyMemory(t, s)
	if a := do(t, s, "POST", space+"/memories?on_conflict=replace", `{"id":"`+id+`","text":"other"}`); a.status != 201 && a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	in := do(t, s, "POST", space+"/import", `{"text":"one more"}`)
	if !strings.Contains(in.body, `"quota_exceeded"`) {
		t.Error(in.body)
	}

	const most, each = 64 << 10, 3 << 10
	s = newServer(t, func(o *server.Options) { o.Limits.SpaceBytes = most })
	text := strings.Repeat("o", each)
	taken = together(t, s, 64, func(int) (string, string) { return "/memories", `{"text":"` + text + `"}` })
	if taken == 0 || taken*each > most {
		t.Errorf("%d of %d bytes were taken", taken, each)
	}
	if a := do(t, s, "POST", space+"/memories", `{"text":"`+strings.Repeat("o", most)+`"}`); a.failure()["code"] != "quota_exceeded" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", space+"/memories", `{"text":"what was refused takes no room"}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func episodes(t *testing.T, s *server.Server) string {
	t.Helper()
	return do(t, s, "GET", space, "").json["counts"].(map[string]any)["episodes"].(string)
}

func anyMemory(t *testing.T, s *server.Server) string {
	t.Helper()
	return do(t, s, "GET", space+"/memories?page_size=1", "").json["memories"].([]any)[0].(map[string]any)["id"].(string)
}
