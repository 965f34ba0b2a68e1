package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/engramdb/engram/server"
)

const space = "/v1/spaces/default"

// TestErrors goes through what a client can do wrong. Each answer has the whole
// body of API.md, whatever the path.
func TestErrors(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxBodyBytes = 64 << 10 })
	do(t, s, "PUT", "/v1/spaces/vec", `{"settings":{"vector":{"dimension":4}}}`)
	remember(t, s, `{"id":"stands","text":"first"}`)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind, code, field        string
		says                     string // somewhere in the body
		headers                  []string
	}{
		{"unknown path", "GET", "/v1/nothing", "", 404, "not_found", "path_unknown", "", "/v1/nothing", nil},
		{"outside of v1", "GET", "/favicon.ico", "", 404, "not_found", "path_unknown", "", "", nil},
		{"the root", "GET", "/", "", 404, "not_found", "path_unknown", "", "", nil},
		{"an RPC that is none", "POST", "/engram.v1.EngramService/Nothing", "{}", 404, "not_found", "path_unknown", "", "", nil},
		{"dots are no border", "GET", "/v1/spaces/x%2F..%2Fy", "", 400, "invalid", "space_name_invalid", "space", "", nil},
		{"wrong method", "DELETE", "/v1/version", "", 405, "invalid", "method_not_allowed", "", "GET", nil},
		{"wrong method of a list", "PUT", space + "/memories", "{}", 405, "invalid", "method_not_allowed", "", "GET, POST", nil},
		{"wrong method of health", "POST", "/healthz", "", 405, "invalid", "method_not_allowed", "", "GET", nil},
		{"unknown space", "GET", "/v1/spaces/nowhere", "", 404, "not_found", "space_not_found", "", "nowhere", nil},
		{"space name", "PUT", "/v1/spaces/Upper", "{}", 400, "invalid", "space_name_invalid", "space", "Upper", nil},
		{"other settings", "PUT", "/v1/spaces/vec", `{"settings":{"vector":{"dimension":8}}}`, 409, "conflict", "space_exists", "", "", nil},
		{"unconfirmed", "DELETE", "/v1/spaces/vec", "", 400, "invalid", "confirm_missing", "confirm", "confirm=vec", nil},
		{"unknown memory", "GET", space + "/memories/none-such", "", 404, "not_found", "memory_not_found", "", "none-such", nil},
		{"unknown field", "POST", space + "/memories", `{"text":"x","txet":"y"}`, 400, "invalid", "field_unknown", "txet", "did you mean text?", nil},
		{"field of the path in the body", "POST", space + "/memories/get", `{"space":"vec","ids":["a"]}`, 400, "invalid", "field_unknown", "space", "", nil},
		{"wrong type", "POST", space + "/memories", `{"text":7}`, 400, "invalid", "type_mismatch", "text", "it must be a string", nil},
		{"wrong type in a batch", "POST", space + "/memories/batch", `{"memories":[{"text":"a"},{"text":"b","vector":[1,"x"]}]}`, 400, "invalid", "type_mismatch", "memories[1].vector[1]", "", nil},
		{"empty memory", "POST", space + "/memories", ``, 400, "invalid", "memory_empty", "text", "", nil},
		{"not JSON", "POST", space + "/memories", `{oops`, 400, "invalid", "json_invalid", "", "byte 1", nil},
		{"trailing", "POST", space + "/memories", `{"text":"x"}x`, 400, "invalid", "json_invalid", "", "", nil},
		{"UTF-8", "POST", space + "/memories", "{\"text\":\"\xff\xfe\"}", 400, "invalid", "utf8_invalid", "", "", nil},
		{"bad time", "POST", space + "/memories", `{"text":"x","happened_at":"yesterday"}`, 400, "invalid", "time_invalid", "happened_at", "RFC 3339", nil},
		{"two times", "POST", space + "/memories", `{"text":"x","happened_at":"2026-01-01T00:00:00Z","happened":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}}`, 400, "invalid", "happened_twice", "happened_at", "", nil},
		{"NaN", "POST", "/v1/spaces/vec/memories", `{"vector":[1,2,3,NaN]}`, 400, "invalid", "json_invalid", "vector[3]", "", nil},
		{"1e39", "POST", "/v1/spaces/vec/memories", `{"vector":[1,2,3,1e39]}`, 400, "invalid", "number_out_of_range", "vector[3]", "", nil},
		{"dimension", "POST", "/v1/spaces/vec/memories", `{"vector":[1,2,3]}`, 400, "invalid", "vector_dimension_mismatch", "vector", `"expected":4`, nil},
		{"nested metadata", "POST", space + "/memories", `{"text":"x","metadata":{"a":{"b":1}}}`, 400, "invalid", "metadata_type", "metadata.a", "", nil},
		{"body too large", "POST", space + "/memories", `{"text":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "too_large", "body_too_large", "", "65536", nil},
		{"body of a GET", "GET", space + "/memories/stands", `{}`, 400, "invalid", "body_unexpected", "", "", nil},
		{"unknown parameter", "GET", space + "/memories?pagesize=3", "", 400, "invalid", "field_unknown", "pagesize", "did you mean page_size?", nil},
		{"parameter of a body", "POST", space + "/memories?text=x", `{"text":"x"}`, 400, "invalid", "field_unknown", "text", "", nil},
		{"parameter beside a whole body", "POST", space + "/memories/batch?partial=true", `{"memories":[]}`, 400, "invalid", "field_unknown", "partial", "", nil},
		{"broken query", "GET", space + "/memories?a=%zz", "", 400, "invalid", "query_invalid", "", "", nil},
		{"unknown option", "POST", space + "/memories?on_conflict=maybe", `{"text":"x"}`, 400, "invalid", "word_unknown", "on_conflict", "replace", nil},
		{"unknown wait", "POST", space + "/memories?wait=godot", `{"text":"x"}`, 400, "invalid", "word_unknown", "wait[0]", "vector", nil},
		{"unknown include", "GET", space + "/memories/stands?include=vektor", "", 400, "invalid", "word_unknown", "include[0]", "did you mean vector?", nil},
		{"unknown mode", "DELETE", space + "/memories/stands?mode=maybe", "", 400, "invalid", "word_unknown", "mode", "erase", nil},
		{"id conflict", "POST", space + "/memories", `{"id":"stands","text":"second"}`, 409, "conflict", "id_conflict", "id", "", nil},
		{"stale If-Match", "PATCH", space + "/memories/stands", `{"tags":["a"]}`, 412, "precondition", "version_mismatch", "", "", []string{"If-Match", `"other"`}},
		{"old If-Match", "PATCH", space + "/memories/stands", `{"tags":["a"]}`, 412, "precondition", "version_mismatch", "", "", []string{"If-Match", `"7"`}},
		{"stale If-Match of a space", "PATCH", "/v1/spaces/vec", `{"settings":{"durability":"process"}}`, 412, "precondition", "version_mismatch", "", "", []string{"If-Match", `"1-77"`}},
		{"unknown field of a patch", "PATCH", space + "/memories/stands", `{"txet":null}`, 400, "invalid", "field_unknown", "txet", "did you mean text?", nil},
		{"wrong type in a patch", "PATCH", space + "/memories/stands", `{"place":{"lat":"x"}}`, 400, "invalid", "type_mismatch", "place.lat", "", nil},
		{"id in a patch", "PATCH", space + "/memories/stands", `{"id":"other"}`, 400, "invalid", "field_fixed", "id", "", nil},
		{"idempotency key", "POST", space + "/memories", `{"text":"x"}`, 400, "invalid", "header_invalid", "Idempotency-Key", "", []string{"Idempotency-Key", "naïve"}},
		{"min LSN", "GET", space, "", 400, "invalid", "header_invalid", "Engram-Min-Lsn", "", []string{"Engram-Min-Lsn", "x"}},
		{"empty cue", "POST", space + "/recall", `{}`, 400, "invalid", "cue_empty", "text", "", nil},
		{"unknown cue field", "POST", space + "/recall", `{"text":"x","limt":3}`, 400, "invalid", "field_unknown", "limt", "did you mean limit?", nil},
		{"limit", "POST", space + "/recall", `{"text":"x","limit":100000}`, 400, "invalid", "limit_out_of_range", "limit", "", nil},
		{"limit 0", "POST", space + "/recall", `{"text":"x","limit":0}`, 400, "invalid", "limit_out_of_range", "limit", "", nil},
		{"filter operator", "POST", space + "/recall", `{"text":"x","metadata":{"n":{"gt":1,"lessthan":2}}}`, 400, "invalid", "field_unknown", "metadata.n.lessthan", "gte", nil},
		{"filter kind", "GET", space + "/memories?kinds=dream", "", 400, "invalid", "word_unknown", "kinds[0]", "episode", nil},
		{"half a circle", "GET", space + "/memories?place.lat=3", "", 400, "invalid", "place_incomplete", "place", "", nil},
		{"a stage", "POST", space + "/recall", `{"text":"x","stages":{"txt":false}}`, 400, "invalid", "word_unknown", "stages.txt", "did you mean text?", nil},
		{"timeout", "POST", space + "/recall", `{"text":"x","timeout":"9999s"}`, 400, "invalid", "timeout_out_of_range", "timeout", "5m0s", nil},
		{"no timeout", "POST", space + "/recall", `{"text":"x","timeout":"0s"}`, 400, "invalid", "timeout_out_of_range", "timeout", "", nil},
		{"page token", "GET", space + "/memories?page_token=nonsense", "", 400, "invalid", "page_token_invalid", "page_token", "", nil},
		{"page size", "GET", space + "/memories?page_size=0", "", 400, "invalid", "page_size_out_of_range", "page_size", "", nil},
		{"link to nowhere", "POST", space + "/links", `{"from":"stands","to":"nobody","type":"causes"}`, 404, "not_found", "node_not_found", "to", "nobody", nil},
		{"negative weight", "POST", space + "/links", `{"from":"stands","to":"stands","type":"x","weight":-1}`, 400, "invalid", "weight_out_of_range", "weight", "", nil},
		{"direction", "GET", space + "/memories/stands/links?direction=up", "", 400, "invalid", "word_unknown", "direction", "", nil},
		{"as of", "GET", space + "/memories/stands?as_of=then", "", 400, "invalid", "time_invalid", "as_of", "", nil},
		{"as of, links", "GET", space + "/memories/stands?as_of=1&include=links", "", 400, "invalid", "as_of_without_links", "include", "recall", nil},
		{"as of, given links", "GET", space + "/memories/stands?as_of=2026-01-01T00:00:00Z&include=given_links", "", 400, "invalid", "as_of_without_links", "include", "", nil},
		{"as of to come", "GET", space + "/memories/stands?as_of=99999", "", 400, "invalid", "lsn_ahead", "as_of", "", nil},
		{"unknown job", "GET", "/v1/jobs/none", "", 404, "not_found", "job_not_found", "", "", nil},
		{"websocket", "GET", space + "/events", "", 400, "invalid", "header_invalid", "Upgrade", "", []string{"Upgrade", "websocket"}},
		{"compressed", "POST", space + "/memories", "x", 400, "invalid", "encoding_unknown", "Content-Encoding", "gzip", []string{"Content-Encoding", "gzip"}},
		{"not swallowed", "POST", space + "/recall", `{"text":"x","min_confidence":0.5}`, 501, "unimplemented", "unimplemented", "min_confidence", "", nil},
		{"as of nothing", "POST", space + "/recall", `{"text":"x","as_of":{}}`, 400, "invalid", "as_of_empty", "as_of", "", nil},
		{"as of both", "POST", space + "/recall", `{"text":"x","as_of":{"stored":"2026-01-01T00:00:00Z","lsn":"1"}}`, 400, "invalid", "as_of_contradicts", "as_of", "", nil},
		{"as of links", "POST", space + "/recall", `{"text":"x","as_of":{"lsn":1},"include":["links"]}`, 400, "invalid", "as_of_without_links", "include", "", nil},
		{"retention", "PUT", "/v1/spaces/r", `{"settings":{"retention":{"law":"x"}}}`, 501, "unimplemented", "unimplemented", "settings.retention", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := do(t, s, c.method, c.path, c.body, c.headers...)
			e := a.failure()
			if a.status != c.status || e["kind"] != c.kind || e["code"] != c.code {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			if f, _ := e["field"].(string); f != c.field {
				t.Errorf("field %q, want %q: %s", f, c.field, a.body)
			}
			if !strings.Contains(a.body, c.says) {
				t.Errorf("%q is not in %s", c.says, a.body)
			}
			if e["message"] == "" || e["request_id"] != a.header.Get("Request-Id") || e["request_id"] == "" {
				t.Errorf("message or request_id: %s (Request-Id %q)", a.body, a.header.Get("Request-Id"))
			}
			if _, ok := e["retriable"].(bool); !ok {
				t.Errorf("retriable is missing: %s", a.body)
			}
		})
	}
}

// TestLater: what is in API.md and not built yet says so.
func TestLater(t *testing.T) {
	s := newServer(t)
	for _, c := range [][2]string{
		{"POST", space + "/feedback"}, {"POST", space + "/complete"},
		{"POST", space + "/match"}, {"POST", space + "/query"}, {"POST", space + "/consolidate"}, {"GET", space + "/concepts"},
		{"GET", space + "/concepts/c"}, {"GET", space + "/plans"}, {"POST", space + "/plans/p/revert"},
	} {
		body := ""
		if c[0] == "POST" {
			body = "{}"
		}
		if a := do(t, s, c[0], c[1], body); a.status != 501 || a.failure()["code"] != "unimplemented" {
			t.Errorf("%s %s: %d %s", c[0], c[1], a.status, a.body)
		}
	}
}

func TestMemoryLife(t *testing.T) {
	s := newServer(t)
	const said = `{"id":"m","title":"Otters","text":"Ada fed the otters","happened_at":"2026-05-04T10:00:00.123456789Z","place":{"name":"harbour","lat":59.9,"lon":10.7},` +
		`"people":["Ada"],"tags":["animals"],"metadata":{"list":["a",1,true],"mood":"calm","n":3},"stream":"diary","source":"me","salience":0.5,` +
		`"expires_at":"2036-05-04T10:00:00Z","fact":{"subject":"Ada","attribute":"likes","value":"otters"}}`
	a := do(t, s, "POST", space+"/memories", said, "Request-Id", "mine-1")
	if a.status != 201 || a.json["id"] != "m" || a.json["outcome"] != "created" || a.header.Get("Request-Id") != "mine-1" {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	if lsn := a.header.Get("Engram-Lsn"); lsn == "" || a.json["lsn"] != lsn {
		t.Errorf("Engram-Lsn %q, body %v", lsn, a.json["lsn"])
	}
	if p, ok := a.json["pending"].([]any); !ok || len(p) != 0 {
		t.Errorf("pending is %v", a.json["pending"])
	}
	g := do(t, s, "GET", space+"/memories/m", "", "Engram-Min-Lsn", a.header.Get("Engram-Lsn"))
	var want map[string]any
	if err := json.Unmarshal([]byte(said), &want); err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if !equalJSON(g.json[k], v) {
			t.Errorf("%s: got %v, want %v", k, g.json[k], v)
		}
	}
	tag := g.header.Get("ETag")
	if g.json["kind"] != "episode" || g.json["version"] != 1.0 || !strings.HasPrefix(tag, `"1-`) || g.json["stored_at"] == "" {
		t.Errorf("%s, ETag %s", g.body, tag)
	}
	p := do(t, s, "PATCH", space+"/memories/m", `{"tags":["changed"],"metadata":{"mood":null,"new":"x"},"salience":null,"happened":{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","precision":"month"}}`,
		"If-Match", tag, "Content-Type", "application/merge-patch+json")
	if p.status != 200 || p.json["version"] != 2.0 || !strings.HasPrefix(p.header.Get("ETag"), `"2-`) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	g = do(t, s, "GET", space+"/memories/m?include=versions", "")
	for k, v := range map[string]any{"text": "Ada fed the otters", "tags": []any{"changed"}, "salience": nil, "happened_at": nil,
		"metadata": map[string]any{"list": []any{"a", 1.0, true}, "n": 3.0, "new": "x"}} {
		if !equalJSON(g.json[k], v) {
			t.Errorf("patched %s: got %v, want %v", k, g.json[k], v)
		}
	}
	if vs := g.json["versions"].([]any); len(vs) != 2 {
		t.Errorf("versions %v", vs)
	}
	if d := do(t, s, "DELETE", space+"/memories/m", "", "If-Match", tag); d.status != 412 {
		t.Errorf("stale delete: %d %s", d.status, d.body)
	}
	if d := do(t, s, "DELETE", space+"/memories/m", ""); d.status != 200 || d.json["lsn"] == "" || d.header.Get("Engram-Lsn") != d.json["lsn"] {
		t.Errorf("delete: %d %s", d.status, d.body)
	}
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func TestIdempotency(t *testing.T) {
	s := newServer(t)
	first := do(t, s, "POST", space+"/memories", `{"text":"once"}`, "Idempotency-Key", "k1")
	again := do(t, s, "POST", space+"/memories", `{"text":"once"}`, "Idempotency-Key", "k1")
	if first.status != 201 || again.status != 200 || again.header.Get("Idempotent-Replayed") != "true" || first.json["id"] != again.json["id"] {
		t.Errorf("%d %s; %d %s %v", first.status, first.body, again.status, again.body, again.header)
	}
	other := do(t, s, "POST", space+"/memories", `{"text":"twice"}`, "Idempotency-Key", "k1")
	if other.status != 409 || other.failure()["code"] != "idempotency_mismatch" {
		t.Errorf("%d %s", other.status, other.body)
	}
	id := first.json["id"].(string)
	for _, status := range []int{200, 200} {
		if a := do(t, s, "PATCH", space+"/memories/"+id, `{"tags":["a"]}`, "Idempotency-Key", "k2"); a.status != status || a.json["version"] != 2.0 {
			t.Errorf("patch: %d %s", a.status, a.body)
		}
	}
}

func TestBatch(t *testing.T) {
	s := newServer(t)
	bad := `{"memories":[{"text":"good"},{"text":""},{"text":"x","happened_at":"2026-01-01T00:00:00Z","happened":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}},{"text":"good too"}],"partial":true}`
	a := do(t, s, "POST", space+"/memories/batch", bad)
	if a.status != 201 || a.json["stored"] != 2.0 || a.json["failed"] != 2.0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for i, r := range a.json["results"].([]any) {
		m := r.(map[string]any)
		_, failed := m["error"]
		if m["index"] != float64(i) || failed != (i == 1 || i == 2) {
			t.Errorf("result %d: %v", i, m)
		}
	}
}

func TestGraph(t *testing.T) {
	s := newServer(t)
	remember(t, s, `{"id":"a","text":"a"}`)
	remember(t, s, `{"id":"b","text":"b"}`)
	if a := do(t, s, "PUT", space+"/entities/ada", `{"name":"Ada","type":"person","aliases":["A"],"metadata":{"n":1}}`); a.status != 201 || a.json["outcome"] != "created" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "PATCH", space+"/entities/ada", `{"type":null}`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", space+"/entities/ada", ""); a.json["name"] != "Ada" || a.json["type"] != nil || !strings.HasPrefix(a.header.Get("ETag"), `"2-`) {
		t.Errorf("%s", a.body)
	}
	if a := do(t, s, "GET", space+"/entities", ""); len(a.json["entities"].([]any)) != 1 || a.json["next_page_token"] != "" {
		t.Errorf("%s", a.body)
	}
	l := do(t, s, "POST", space+"/links", `{"from":"a","to":"ada","type":"about","weight":0.5,"valid":{"from":"2026-01-01T00:00:00Z"}}`)
	if l.status != 201 {
		t.Fatalf("%d %s", l.status, l.body)
	}
	id := l.json["id"].(string)
	if a := do(t, s, "PATCH", space+"/links/"+id, `{"weight":0.7}`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "PATCH", space+"/links/"+id, `{"to":"b"}`); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", space+"/links/"+id, ""); a.json["weight"] != 0.7 || a.json["rule"] != "caller" {
		t.Errorf("%s", a.body)
	}
	for path, n := range map[string]int{"/memories/a/links?direction=out": 1, "/memories/a/links?direction=in": 0, "/entities/ada/links?types=about,other": 1,
		"/memories/a/links?as_of=2025-01-01T00:00:00Z": 0} {
		if a := do(t, s, "GET", space+path, ""); a.status != 200 || len(a.json["links"].([]any)) != n {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	b := do(t, s, "POST", space+"/links/batch", `{"links":[{"from":"a","to":"b","type":"x"},{"from":"a","to":"nobody","type":"x"}],"partial":true}`)
	if b.status != 201 || b.json["stored"] != 1.0 || b.json["failed"] != 1.0 {
		t.Errorf("%d %s", b.status, b.body)
	}
	if a := do(t, s, "DELETE", space+"/links/"+id, ""); a.status != 200 || a.json["lsn"] == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "DELETE", space+"/entities/ada", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSpaces(t *testing.T) {
	s := newServer(t)
	a := do(t, s, "PUT", "/v1/spaces/two", `{"settings":{"vector":{"dimension":4,"metric":"dot","model":"m"},"horizon":"86400s"}}`)
	if a.status != 201 || a.header.Get("ETag") == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if c := a.json["counts"].(map[string]any); c["episodes"] != "0" || c["bindings"] != "0" {
		t.Errorf("counts %v", c)
	}
	if a = do(t, s, "PUT", "/v1/spaces/two", `{"settings":{"vector":{"dimension":4,"metric":"dot","model":"m"},"horizon":"86400s"}}`); a.status != 200 {
		t.Errorf("again: %d %s", a.status, a.body)
	}
	if a := do(t, s, "PATCH", "/v1/spaces/two", `{"settings":{"horizon":"3600s"}}`, "If-Match", a.header.Get("ETag")); a.status != 200 || a.json["settings"].(map[string]any)["horizon"] != "3600s" {
		t.Errorf("patch: %d %s", a.status, a.body)
	}
	one := do(t, s, "GET", "/v1/spaces?page_size=1", "")
	next := one.json["next_page_token"].(string)
	if len(one.json["spaces"].([]any)) != 1 || next == "" {
		t.Fatalf("%s", one.body)
	}
	if a := do(t, s, "GET", "/v1/spaces?page_size=1&page_token="+next, ""); a.json["next_page_token"] != "" || !strings.Contains(a.body, `"two"`) {
		t.Errorf("%s", a.body)
	}
	d := do(t, s, "DELETE", "/v1/spaces/two?confirm=two", "")
	if d.status != 202 || d.json["job"] == "" {
		t.Fatalf("%d %s", d.status, d.body)
	}
	if a := do(t, s, "GET", "/v1/spaces/two", ""); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/v1/jobs/"+d.json["job"].(string), ""); a.status != 200 || a.json["state"] == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRecallAndLists(t *testing.T) {
	s := newServer(t)
	remember(t, s, `{"id":"a","text":"the otters at the harbour","tags":["x","y"],"metadata":{"n":1}}`)
	remember(t, s, `{"id":"b","text":"the cats at home","tags":["x"],"metadata":{"n":2}}`)
	a := do(t, s, "POST", space+"/recall", `{"text":"otters","explain":true,"mode":"similar","timeout":"5s","stages":{"vector":false}}`)
	rs, _ := a.json["results"].([]any)
	if a.status != 200 || len(rs) != 1 || a.header.Get("Engram-Lsn") == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := rs[0].(map[string]any); r["memory"].(map[string]any)["id"] != "a" || r["why"] == nil || r["origin"] == "" {
		t.Errorf("%v", r)
	}
	if a := do(t, s, "POST", space+"/recall", `{"text":"zebra"}`); a.status != 200 || a.json["results"] == nil || len(a.json["results"].([]any)) != 0 {
		t.Errorf("nothing found: %d %s", a.status, a.body)
	}
	for path, want := range map[string]int{"?tags=x": 2, "?tags=x,y": 1, "?tags=x&tags=y": 1, "?not_tags=y": 1, "?metadata.n=2": 1, `?metadata={"n":{"gte":1}}`: 2, "?page_size=1": 1,
		"?order=happened": 2, "?stored.from=2100-01-01T00:00:00Z": 0} {
		if a := do(t, s, "GET", space+"/memories"+strings.NewReplacer(`"`, "%22", "{", "%7B", "}", "%7D").Replace(path), ""); a.status != 200 || len(a.json["memories"].([]any)) != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := do(t, s, "POST", space+"/memories/list", `{"any_tags":["y","z"]}`); a.status != 200 || len(a.json["memories"].([]any)) != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", space+"/memories/get", `{"ids":["a","none"]}`); !strings.Contains(a.body, `"missing":["none"]`) {
		t.Errorf("%s", a.body)
	}
	f := do(t, s, "POST", space+"/memories/forget", `{"filter":{"tags":["y"]},"mode":"suppress","reason":"test"}`)
	if f.status != 200 || f.json["matched"] != 1.0 || f.json["forgotten"] != 1.0 {
		t.Errorf("%d %s", f.status, f.body)
	}
	if a := do(t, s, "GET", space+"/memories/a", ""); a.json["suppressed"] != true {
		t.Errorf("%s", a.body)
	}
	if r := do(t, s, "POST", space+"/memories/restore", `{"ids":["a"]}`); r.status != 200 || r.json["restored"] != 1.0 || r.json["forgotten"] != 0.0 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestPlainEndpoints(t *testing.T) {
	s := newServer(t)
	remember(t, s, `{"text":"x"}`)
	for path, want := range map[string]string{"/healthz": "alive", "/readyz": "ready", "/openapi.json": `"/v1/spaces/{space}/recall"`, "/v1/version": `"api_versions":["v1"]`} {
		a := do(t, s, "GET", path, "")
		if a.status != 200 || !strings.Contains(a.body, want) || a.header.Get("Request-Id") == "" {
			t.Errorf("%s: %d %.200s", path, a.status, a.body)
		}
	}
	if a := do(t, s, "HEAD", "/v1/version", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	m := do(t, s, "GET", "/metrics", "")
	for _, want := range []string{`engram_requests_total{door="rest",outcome="ok",verb="remember"} 1`, `engram_request_seconds_bucket{door="rest",verb="remember",le="5e-05"}`,
		`engram_space_requests_total{outcome="ok",space="default"} 1`, "engram_records_total", "engram_sync_seconds_count", `engram_limit{name="in_flight"} 1024`, "engram_requests_in_flight 0", "engram_streams 0", "go_goroutines"} {
		if !strings.Contains(m.body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestSpaceLabelsAreBounded: a client that makes spaces does not make metrics.
func TestSpaceLabelsAreBounded(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxSpaceLabels = 2 })
	for _, n := range []string{"a", "b", "c", "d"} {
		do(t, s, "PUT", "/v1/spaces/"+n, "{}")
	}
	do(t, s, "GET", "/v1/spaces/made-up", "")
	m := do(t, s, "GET", "/metrics", "").body
	if !strings.Contains(m, `space="a"`) || strings.Contains(m, `space="c"`) || !strings.Contains(m, `engram_space_requests_total{outcome="ok",space="other"} 2`) || strings.Contains(m, "made-up") {
		t.Errorf("%s", m)
	}
}

// TestLogHasNoWords: what a caller wrote never reaches the log.
func TestLogHasNoWords(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(o *server.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	remember(t, s, `{"text":"the secret word","tags":["secret"]}`)
	do(t, s, "POST", space+"/memories", `{"text":"secret","secret":"secret"}`)
	do(t, s, "POST", space+"/recall", `{"text":"secret","mode":"secret"}`)
	do(t, s, "GET", space+"/memories?tags=secret", "")
	if strings.Contains(strings.ReplaceAll(log.String(), `"field":"secret"`, ""), "secret") {
		t.Errorf("the log has words: %s", &log)
	}
	for _, want := range []string{`"verb":"remember"`, `"space":"default"`, `"lsn":`, `"request_id":`, `"outcome":"invalid"`, `"code":"field_unknown"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, &log)
		}
	}
}

func TestCheckListen(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:7432": true, "localhost:0": true, "[::1]:1": true, "127.9.9.9:1": true,
		"0.0.0.0:7432": false, ":7432": false, "[::]:1": false, "10.0.0.1:1": false, "example.org:1": false, "nonsense": false} {
		err := server.CheckListen(addr, false)
		if (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		if err != nil && addr != "nonsense" && !strings.Contains(err.Error(), "keys") {
			t.Errorf("%s: the message does not say keys: %v", addr, err)
		}
	}
	if err := server.CheckListen("0.0.0.0:1", true); err != nil {
		t.Error(err)
	}
}

// TestServiceInProcess: the Service serves a caller in the same process.
func TestServiceInProcess(t *testing.T) {
	s := newServer(t)
	c := &server.Call{IdempotencyKey: "k"}
	ctx := server.WithCall(context.Background(), c)
	if _, err := s.Service().GetVersion(ctx, nil); err != nil {
		t.Error(err)
	}
	if c.Verb != "get_version" {
		t.Errorf("verb %q", c.Verb)
	}
}
