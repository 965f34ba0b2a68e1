package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestOldTag: what was forgotten and stored again is another thing, also when all of it
// is as before; the tag of the first does not change or end the second.
func TestOldTag(t *testing.T) {
	const text, name = `{"id":"x","text":"Ada fed the otters"}`, `{"name":"Ada"}`
	const edge = `{"id":"x","from":"a","to":"b","type":"likes"}`
	for what, c := range map[string]struct{ put, path, body, patch, forget string }{
		"deleted memory": {"POST /v1/spaces/s/memories", "/v1/spaces/s/memories/x", text, `{"tags":["t"]}`, "/v1/spaces/s/memories/x"},
		"erased memory":  {"POST /v1/spaces/s/memories", "/v1/spaces/s/memories/x", text, `{"tags":["t"]}`, "/v1/spaces/s/memories/x?mode=erase"},
		"entity":         {"PUT /v1/spaces/s/entities/x", "/v1/spaces/s/entities/x", name, `{"type":"t"}`, "/v1/spaces/s/entities/x"},
		"link":           {"POST /v1/spaces/s/links", "/v1/spaces/s/links/x", edge, `{"weight":2}`, "/v1/spaces/s/links/x"},
		"dropped space":  {"POST /v1/spaces/s/memories", "/v1/spaces/s/memories/x", text, `{"tags":["t"]}`, "/v1/spaces/s?confirm=s"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			store := func() string {
				t.Helper()
				for _, call := range [][3]string{{"PUT", "/v1/spaces/s", `{}`}, {"POST", "/v1/spaces/s/memories?on_conflict=keep", `{"id":"a","text":"a"}`},
					{"POST", "/v1/spaces/s/memories?on_conflict=keep", `{"id":"b","text":"b"}`}} {
					if a := do(t, s, call[0], call[1], call[2]); a.status >= 300 {
						t.Fatalf("%v: %d %s", call, a.status, a.body)
					}
				}
				method, path, _ := strings.Cut(c.put, " ")
				a := do(t, s, method, path, c.body)
				g := do(t, s, "GET", c.path, "")
				if a.status != http.StatusCreated || a.header.Get("ETag") == "" || a.header.Get("ETag") != g.header.Get("ETag") {
					t.Fatalf("%d %s, ETag %s; read back: %s", a.status, a.body, a.header.Get("ETag"), g.header.Get("ETag"))
				}
				return a.header.Get("ETag")
			}
			old := store()
			if a := do(t, s, "DELETE", c.forget, "", "If-Match", "*"); a.status >= 300 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			now := store()
			if old == now {
				t.Errorf("both have the tag %s", now)
			}
			for _, bad := range []string{old, `"1"`, strings.Trim(now, `"`), strings.Replace(now, `"1-`, `"01-`, 1), `"1-0-0"`, `"1-2"`} {
				if a := do(t, s, "PATCH", c.path, c.patch, "If-Match", bad); a.status != http.StatusPreconditionFailed {
					t.Errorf("patch with %s: %d %s", bad, a.status, a.body)
				}
				if a := do(t, s, "DELETE", c.path, "", "If-Match", bad); a.status != http.StatusPreconditionFailed {
					t.Errorf("delete with %s: %d %s", bad, a.status, a.body)
				}
			}
			a := do(t, s, "PATCH", c.path, c.patch, "If-Match", now)
			if a.status != http.StatusOK {
				t.Fatalf("patch with %s: %d %s", now, a.status, a.body)
			}
			if d := do(t, s, "DELETE", c.path, "", "If-Match", a.header.Get("ETag")); d.status != http.StatusOK {
				t.Errorf("delete with %s: %d %s", a.header.Get("ETag"), d.status, d.body)
			}
		})
	}
}
