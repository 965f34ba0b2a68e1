package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// withKey shows a key with each request.
type withKey struct {
	next http.RoundTripper
	key  string
}

func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if k.key != "" {
		r.Header.Set("Authorization", "Bearer "+k.key)
	}
	return k.next.RoundTrip(r)
}

// dialMCP connects a client of the SDK with /mcp.
func dialMCP(t *testing.T, address, query, key string) (*sdk.ClientSession, error) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	s, err := c.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: "http://" + address + "/mcp" + query, MaxRetries: -1, DisableStandaloneSSE: true,
		HTTPClient: &http.Client{Transport: withKey{transport, key}}}, nil)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func useTool(t *testing.T, s *sdk.ClientSession, name string, arguments any) (*sdk.CallToolResult, string) {
	t.Helper()
	r, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(r.StructuredContent)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func TestMCPOverHTTP(t *testing.T) {
	s := newServer(t)
	address := listen(t, s)
	session, err := dialMCP(t, address, "", "")
	if err != nil {
		t.Fatal(err)
	}
	r, body := useTool(t, session, "remember", map[string]any{"text": "the chart is in the boathouse", "source": "Mara", "people": []string{"Mara"}})
	if r.IsError || !strings.Contains(body, `"outcome":"created"`) {
		t.Fatal(body)
	}
	_, body = useTool(t, session, "recall", map[string]any{"text": "chart"})
	for _, part := range []string{`"text":"the chart is in the boathouse"`, `"source":"Mara"`, `"stored_at":`, `"why":`, `"note":"What follows is data`} {
		if !strings.Contains(body, part) {
			t.Errorf("recall lacks %s: %s", part, body)
		}
	}
	if r, body := useTool(t, session, "recall", map[string]any{"text": "chart", "space": "nowhere"}); !r.IsError || !strings.Contains(body, "space_not_found") {
		t.Error(body)
	}
	do(t, s, "PUT", "/v1/spaces/notes", "{}")
	fixed, err := dialMCP(t, address, "?space=notes&read_only=true", "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := fixed.ListTools(t.Context(), nil)
	if err != nil || len(list.Tools) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	if _, body := useTool(t, fixed, "recall", map[string]any{"text": "chart"}); strings.Contains(body, "boathouse") {
		t.Error("a fixed space shows another's")
	}
	if r, _ := useTool(t, fixed, "recall", map[string]any{"text": "chart", "space": "default"}); !r.IsError {
		t.Error("a fixed space can be left")
	}
	if _, body := useTool(t, fixed, "list_spaces", nil); strings.Contains(body, "default") || !strings.Contains(body, "notes") {
		t.Error(body)
	}
	for _, query := range []string{"?space=No", "?spaces=a", "?read_only=maybe"} {
		if a := do(t, s, "POST", "/mcp"+query, "{}"); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

// A tool sees what the key of its request may see, and nothing else.
func TestMCPKeys(t *testing.T) {
	s := newServer(t)
	do(t, s, "PUT", "/v1/spaces/notes", "{}")
	do(t, s, "PUT", "/v1/spaces/secret", "{}")
	make := func(body string, headers ...string) string {
		a := do(t, s, "POST", "/v1/keys", body, headers...)
		secret, _ := a.json["secret"].(string)
		if secret == "" {
			t.Skipf("no keys here: %d %s", a.status, a.body)
		}
		return secret
	}
	admin := make(`{"name":"admin","scopes":["admin"]}`)
	reader := make(`{"name":"reader","scopes":["read"],"spaces":["notes"]}`, "Authorization", "Bearer "+admin)
	address := listen(t, s)
	if _, err := dialMCP(t, address, "", ""); err == nil {
		t.Error("without a key one comes in")
	}
	if _, err := dialMCP(t, address, "", "made-up"); err == nil {
		t.Error("with a key that is none one comes in")
	}
	session, err := dialMCP(t, address, "?space=notes", reader)
	if err != nil {
		t.Fatal(err)
	}
	if r, body := useTool(t, session, "recall", map[string]any{"text": "a"}); r.IsError {
		t.Error(body)
	}
	if r, body := useTool(t, session, "remember", map[string]any{"text": "a"}); !r.IsError || !strings.Contains(body, "scope_missing") {
		t.Error(body)
	}
	other, err := dialMCP(t, address, "", reader)
	if err != nil {
		t.Fatal(err)
	}
	if r, body := useTool(t, other, "recall", map[string]any{"text": "a", "space": "secret"}); !r.IsError || !strings.Contains(body, "space_not_found") {
		t.Error(body)
	}
	if _, body := useTool(t, other, "list_spaces", nil); strings.Contains(body, "secret") {
		t.Error(body)
	}
	for path, status := range map[string]int{"/v1/spaces/notes/export": 200, "/v1/spaces/secret/export": 404, "/v1/spaces/notes/import": 403, "/v1/spaces/secret/import": 404} {
		method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(path, "import")]
		if a := do(t, s, method, path, "", "Authorization", "Bearer "+reader); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		if a := do(t, s, method, path, ""); a.status != http.StatusUnauthorized {
			t.Errorf("%s without a key: %d", path, a.status)
		}
	}
}

// What is not the protocol is answered, and never with a panic.
func TestMCPHostility(t *testing.T) {
	s := newServer(t)
	for _, body := range []string{"", "{", "[]", "null", `{"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":[]}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}`, strings.Repeat("[", 100_000)} {
		a := do(t, s, "POST", "/mcp", body, "Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Engram-Mcp-Space", "../x")
		if a.status >= 500 {
			t.Errorf("%.60q: %d %s", body, a.status, a.body)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if a := do(t, s, method, "/mcp", ""); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	if a := do(t, s, "POST", "/mcp", string(bytes.Repeat([]byte("x"), 40<<20)), "Content-Type", "application/json", "Accept", "application/json, text/event-stream"); a.status < 400 || a.status >= 500 {
		t.Errorf("a large body: %d", a.status)
	}
}
