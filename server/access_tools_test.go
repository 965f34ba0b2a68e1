package server_test

import (
	"fmt"
	"testing"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// calledBy is the call that each tool makes.
var calledBy = map[string]string{"remember": "Remember", "recall": "Recall", "get": "GetMemories", "forget": "Forget", "link": "CreateLink", "list_spaces": "ListSpaces"}

// TestAccessOfTools is TestAccessTable for the door of models: tool x key x space.
func TestAccessOfTools(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	arguments := map[string]map[string]any{
		"remember": {"text": "x"}, "recall": {"text": "x"}, "get": {"ids": []string{"none"}}, "forget": {"ids": []string{"none"}},
		"link": {"from": "none", "type": "x", "to": "none"}, "list_spaces": {},
	}
	for key, secret := range g.secret {
		session, err := dialMCP(t, addr, "", secret)
		if unauthenticated[key] != "" {
			if err == nil {
				t.Errorf("the key %q comes in", key)
			}
			continue
		}
		if err != nil {
			t.Fatalf("the key %q: %v", key, err)
		}
		list, err := session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range list.Tools {
			method := calledBy[tool.Name]
			if method == "" {
				t.Fatalf("the tool %s is new: say what it calls", tool.Name)
			}
			for _, space := range []string{"a", "b", "nowhere"} {
				said := map[string]any{}
				for k, v := range arguments[tool.Name] {
					said[k] = v
				}
				if tool.Name != "list_spaces" {
					said["space"] = space
				} else {
					space = ""
				}
				r, _ := useTool(t, session, tool.Name, said)
				var f *engramv1.Error
				if r.IsError {
					f = &engramv1.Error{Code: fmt.Sprint(failureOf(t, r)["code"])}
				}
				checkAccess(t, fmt.Sprintf("%s with the key %q in the space %q", tool.Name, key, space), wanted(method, key, space), space, f)
			}
		}
	}
}

// TestAccessOfTransfers: what is no call of the schema has the same rules.
func TestAccessOfTransfers(t *testing.T) {
	g := newGuarded(t)
	for key := range g.secret {
		for _, space := range []string{"a", "b", "nowhere"} {
			for _, c := range []struct {
				method, path, body string
				needs              []string // calls whose needs it has
			}{
				{"GET", "/v1/spaces/" + space + "/export", "", []string{"ListMemories"}},
				{"POST", "/v1/spaces/" + space + "/import", `{"text":"x"}`, []string{"Remember"}},
				{"PUT", "/v1/models/far", "not a model", []string{"AddModel"}},
			} {
				named := space
				if c.method == "PUT" {
					named = ""
				}
				want := ""
				for _, call := range c.needs {
					if want == "" {
						want = wanted(call, key, named)
					}
				}
				var h []string
				if g.secret[key] != "" {
					h = []string{"Authorization", "Bearer " + g.secret[key]}
				}
				a := do(t, g, c.method, c.path, c.body, h...)
				var f *engramv1.Error
				if code, _ := a.failure()["code"].(string); code != "" {
					f = &engramv1.Error{Code: code}
				}
				checkAccess(t, fmt.Sprintf("%s %s with the key %q", c.method, c.path, key), want, named, f)
			}
		}
	}
}
