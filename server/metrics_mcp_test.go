package server_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/engramdb/engram/server"
)

// TestToolsAreCountedOnce: the call of a tool is one call through the door mcp, in metrics,
// log and traces, whatever its way inside; a request to /mcp without one is of the verb mcp.
func TestToolsAreCountedOnce(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	var log bytes.Buffer
	spans, tracer := collector(t)
	s := newServer(t, func(o *server.Options) {
		o.Tracer, o.Logger = tracer, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ask := func(method, params string) {
		t.Helper()
		a := do(t, s, "POST", "/mcp", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params), "Content-Type", "application/json",
			"Accept", "application/json, text/event-stream", "Request-Id", "r1", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		if a.status != 200 {
			t.Fatalf("%s: %d %s", method, a.status, a.body)
		}
	}
	ask("tools/call", `{"name":"remember","arguments":{"text":"the chart is in the boathouse"}}`)
	ask("tools/call", `{"name":"recall","arguments":{"text":"chart"}}`)
	ask("tools/call", `{"name":"recall","arguments":{"text":"chart","space":"nowhere"}}`)
	ask("tools/call", `{"name":"fly","arguments":{}}`)
	ask("tools/list", `{}`)
	do(t, s, "POST", "/mcp?spaces=a", "{}")
	body := do(t, s, "GET", "/metrics", "").body
	want := []string{`outcome="invalid",verb="mcp"} 1`, `outcome="not_found",verb="recall"} 1`, `outcome="ok",verb="mcp"} 2`, `outcome="ok",verb="recall"} 1`, `outcome="ok",verb="remember"} 1`}
	var got []string
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), `engram_requests_total{door="mcp",`); ok {
			got = append(got, rest)
		} else if strings.HasPrefix(line, "engram_requests_total{") {
			t.Errorf("counted again: %s", line)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("through the door mcp\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(body, `engram_request_seconds_count{door="mcp",verb="recall"} 2`) {
		t.Error("the times lack recall")
	}
	if n := strings.Count(log.String(), "msg=request request_id=r1 "); n != 5 || !strings.Contains(log.String(), "verb=remember door=mcp") {
		t.Errorf("%d lines, want 5: %s", n, log.String())
	}
	tracer.Close(context.Background())
	if r := spans.named("remember"); len(r) != 1 || hex.EncodeToString(r[0].TraceId) != trace || len(spans.named("mcp")) != 3 {
		t.Errorf("%d spans, of remember %v", len(spans.spans), r)
	}
}
