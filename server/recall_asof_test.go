package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRecallAsOf: an earlier state through REST and as a tool, and not that of another space.
func TestRecallAsOf(t *testing.T) {
	s := newServer(t)
	do(t, s, "PUT", "/v1/spaces/other", "{}")
	do(t, s, "POST", "/v1/spaces/other/memories", `{"id": "x", "text": "an impeller elsewhere"}`)
	w := do(t, s, "POST", space+"/memories", `{"id": "a", "text": "the impeller is cast"}`)
	lsn := w.json["lsn"]
	do(t, s, "PATCH", space+"/memories/a", `{"text": "the impeller is forged"}`)
	do(t, s, "POST", space+"/memories", `{"id": "b", "text": "another impeller"}`)
	a := do(t, s, "POST", space+"/recall", fmt.Sprintf(`{"text": "impeller", "as_of": {"lsn": %q}, "explain": "replay"}`, lsn))
	if a.status != 200 || !saysAt(a, "results.0.memory.text", "the impeller is cast") || strings.Contains(a.body, `"b"`) || a.json["lsn"] != lsn {
		t.Errorf("%s", a.body)
	}
	if took := a.json["took"].(map[string]any); took["as_of"] == nil {
		t.Errorf("%v", took)
	}
	again := do(t, s, "POST", space+"/recall/replay", fmt.Sprintf(`{"receipt": %q}`, a.json["receipt"]))
	if !saysAt(again, "results.0.memory.text", "the impeller is cast") {
		t.Errorf("%s", again.body)
	}
	do(t, s, "DELETE", space+"/memories/a?mode=erase", "")
	if a = do(t, s, "POST", space+"/recall", fmt.Sprintf(`{"text": "impeller", "as_of": {"lsn": %q}}`, lsn)); a.status != 200 || strings.Contains(a.body, "cast") {
		t.Errorf("%s", a.body)
	}
	if a = do(t, s, "POST", "/v1/spaces/other/recall", fmt.Sprintf(`{"text": "impeller", "as_of": {"lsn": %q}}`, lsn)); !saysAt(a, "results.0.memory.id", "x") || strings.Contains(a.body, "cast") {
		t.Errorf("%s", a.body)
	}
	if a = do(t, s, "POST", space+"/recall", `{"text": "impeller", "include": ["prompt"]}`); !strings.Contains(a.body, `{\"id\":\"b\"`) {
		t.Errorf("%s", a.body)
	}
	session, err := dialMCP(t, listen(t, s), "", "")
	if err != nil {
		t.Fatal(err)
	}
	r, body := useTool(t, session, "recall", map[string]any{"text": "impeller", "as_of": map[string]any{"stored": "2020-01-01T00:00:00Z"}})
	if r.IsError || strings.Contains(body, "impeller") {
		t.Error(body)
	}
	if m := do(t, s, "GET", "/metrics", "").body; !strings.Contains(m, "engram_pasts_built_total ") || strings.Contains(m, "engram_pasts_built_total 0\n") || !strings.Contains(m, `stage="as_of"`) {
		t.Error("no figures of earlier states")
	}
}
