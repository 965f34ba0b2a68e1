package server_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/engramdb/engram/proto"
)

// TestDescribedBesideTheSchema: the OpenAPI description has the paths that no call of
// the schema is, with the parameters that they take.
func TestDescribedBesideTheSchema(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Schema   struct {
					Type string
					Enum []string
				}
			}
		}
	}
	if err := json.Unmarshal(proto.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := doc.Paths["/v1/models/{name}"]["put"]; !ok {
		t.Error("the upload of a model is not described")
	}
	s := newServer(t)
	for _, c := range []struct {
		method, path, body string
		known              []string
		headers            []string
	}{
		{"GET", "/v1/spaces/{space}/export", "", []string{"vectors"}, nil},
		{"POST", "/v1/spaces/{space}/import", `{"text":"a"}`, []string{"dry_run", "durability", "on_conflict", "source"}, nil},
		{"POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, []string{"read_only", "space"}, []string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}},
	} {
		op, ok := doc.Paths[c.path][strings.ToLower(c.method)]
		if !ok {
			t.Errorf("%s %s is not described", c.method, c.path)
			continue
		}
		var names []string
		given := url.Values{}
		for _, p := range op.Parameters {
			if p.In != "query" {
				continue
			}
			names = append(names, p.Name)
			switch {
			case len(p.Schema.Enum) > 0:
				given.Set(p.Name, p.Schema.Enum[len(p.Schema.Enum)-1])
			case p.Schema.Type == "boolean":
				given.Set(p.Name, "true")
			default:
				given.Set(p.Name, "default")
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, c.known) {
			t.Errorf("%s: %v are described, and it takes %v", c.path, names, c.known)
		}
		path := strings.ReplaceAll(c.path, "{space}", "default")
		if a := do(t, s, c.method, path+"?"+given.Encode(), c.body, c.headers...); a.status != 200 {
			t.Errorf("%s?%s: %d %s", path, given.Encode(), a.status, a.body)
		}
		if a := do(t, s, c.method, path+"?other=1", c.body, c.headers...); a.status != 400 || a.failure()["code"] != "field_unknown" {
			t.Errorf("%s?other=1: %d %s", path, a.status, a.body)
		}
	}
}
