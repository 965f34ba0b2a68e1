package server_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/engramdb/engram/server"
)

// TestPagesOfOthers: a browser's page of another origin is refused, reads and
// writes, unless its origin is set.
func TestPagesOfOthers(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", space, ""}, {"POST", space + "/memories", `{"text":"planted"}`}, {"GET", "/metrics", ""}, {"GET", "/debug/pprof/heap", ""}, {"OPTIONS", space, ""},
		{"POST", "/engram.v1.EngramService/GetVersion", "{}"},
	} {
		a := do(t, s, c.method, c.path, c.body, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		if a.status != 403 || a.failure()["code"] != "origin_denied" || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: %d %s %v", c.method, c.path, a.status, a.body, a.header)
		}
	}
	for _, origin := range []string{"null", "https://", "http://example.com.evil.example", "http://example.com:81"} {
		if a := do(t, s, "GET", space, "", "Origin", origin); a.status != 403 {
			t.Errorf("%s: %d", origin, a.status)
		}
	}
	if a := do(t, s, "GET", space, "", "Origin", "http://example.com"); a.status != 200 { // what httptest calls the server
		t.Errorf("the own origin: %d %s", a.status, a.body)
	}
}

func TestCORS(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Origins = []string{"https://console.example"}; o.RequireKeys = true })
	pre := do(t, s, "OPTIONS", space+"/memories", "", "Origin", "https://console.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	if pre.status != 204 || pre.header.Get("Access-Control-Allow-Origin") != "https://console.example" || !strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "Authorization") ||
		!strings.Contains(pre.header.Get("Access-Control-Allow-Methods"), "PATCH") || pre.header.Get("Vary") != "Origin" || pre.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", pre.status, pre.header)
	}
	a := do(t, s, "GET", space, "", "Origin", "https://console.example")
	if a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != "https://console.example" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Engram-Lsn") {
		t.Errorf("the page may read why: %d %v", a.status, a.header)
	}
	if a := do(t, s, "GET", space, "", "Origin", "https://other.example"); a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{space, "/healthz", "/v1/nothing", "/openapi.json", "/docs", "/metrics"} {
		h := do(t, s, "GET", path, "").header
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// TestDocsWorkOffline: the page loads nothing but the description, and its policy
// lets its own script run.
func TestDocsWorkOffline(t *testing.T) {
	s := newServer(t)
	a := do(t, s, "GET", "/docs", "")
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if out := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}|\bon[a-z]+="|<link|<img|<script src|style="|innerHTML|\beval\b`).FindString(a.body); out != "" {
		t.Errorf("the page has %q", out)
	}
	policy := a.header.Get("Content-Security-Policy")
	if n := strings.Count(policy, "'sha256-"); n != 2 || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %s", policy)
	}
	if strings.Count(a.body, "<script") != 1 || strings.Count(a.body, "<style") != 1 {
		t.Error("a script or style that the policy does not know")
	}
	if a := do(t, s, "POST", "/docs", ""); a.status != 405 {
		t.Errorf("%d", a.status)
	}
}
