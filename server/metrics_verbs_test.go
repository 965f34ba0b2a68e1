package server_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsOfEveryVerb: each call of the schema, through each door, is counted with
// its outcome, its time, its bytes and the time of its stages, and so are the calls
// that are not of the schema.
func TestMetricsOfEveryVerb(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	labels := map[string]string{"rest": "rest", "connect-json": "connect", "grpc": "grpc", "grpc-web": "grpc-web"}
	for _, d := range doors(t, addr) {
		if labels[d.name] == "" {
			continue
		}
		for _, name := range methodNames() {
			if name == "CreateKey" { // from the first key on nobody would come in
				continue
			}
			q, _ := minimal(methodOf(name), "nowhere")
			d.call(t, name, q, http.Header{})
		}
	}
	do(t, s, "GET", space+"/export", "")
	do(t, s, "POST", space+"/import", `{"text":"a"}`)
	do(t, s, "PUT", "/v1/models/far", "not a model")
	do(t, s, "POST", "/mcp", "{}", "Content-Type", "application/json", "Accept", "application/json, text/event-stream")
	body := do(t, s, "GET", "/metrics", "").body
	has := func(format string, args ...any) {
		t.Helper()
		line := fmt.Sprintf(format, args...)
		if !regexp.MustCompile(`(?m)^` + line + ` [0-9]`).MatchString(body) {
			t.Errorf("metrics lack %s", strings.ReplaceAll(line, `\`, ""))
		}
	}
	for _, name := range methodNames() {
		if name == "CreateKey" {
			continue
		}
		verb := snake(name)
		for _, door := range labels {
			has(`engram_requests_total\{door="%s",outcome="[a-z_]+",verb="%s"\}`, door, verb)
			has(`engram_request_seconds_count\{door="%s",verb="%s"\}`, door, verb)
			has(`engram_response_bytes_total\{door="%s",verb="%s"\}`, door, verb)
		}
		for _, stage := range []string{"receive", "work", "answer"} {
			has(`engram_stage_seconds_count\{stage="%s",verb="%s"\}`, stage, verb)
		}
	}
	has(`engram_requests_total\{door="mcp",outcome="[a-z_]+",verb="mcp"\}`)
	for _, verb := range []string{"export", "import", "upload_model"} {
		has(`engram_requests_total\{door="rest",outcome="[a-z_]+",verb="%s"\}`, verb)
	}
}

var capitals = regexp.MustCompile(`[A-Z]`)

// snake is the verb of a call.
func snake(name string) string {
	return strings.TrimPrefix(capitals.ReplaceAllStringFunc(name, func(c string) string { return "_" + strings.ToLower(c) }), "_")
}
