package server_test

import (
	"strconv"
	"strings"
	"testing"
)

// TestRecallHints: times, zone, context and recognition through REST.
func TestRecallHints(t *testing.T) {
	s := newServer(t)
	for _, m := range []string{
		`{"id": "may", "text": "lunch with Mara", "happened_at": "2025-05-03T23:30:00Z"}`,
		`{"id": "june", "text": "lunch with Mara and Bo", "happened_at": "2025-06-03T12:00:00Z"}`,
	} {
		if a := do(t, s, "POST", space+"/memories", m); a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	first := func(a answer) string {
		t.Helper()
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		l, _ := a.json["results"].([]any)
		if len(l) == 0 {
			return ""
		}
		m := l[0].(map[string]any)["memory"].(map[string]any)
		return m["id"].(string)
	}
	a := do(t, s, "POST", space+"/recall", `{"text": "lunch last May", "now": "2025-06-10T00:00:00Z", "explain": true}`)
	if first(a) != "may" || !saysAt(a, "times.0.text", "last May") || !saysAt(a, "times.0.from", "2025-05-01T00:00:00Z") {
		t.Errorf("%s", a.body)
	}
	a = do(t, s, "POST", space+"/recall", `{"text": "lunch on 4 May", "now": "2025-06-10T00:00:00Z", "zone": "Europe/Berlin", "explain": true}`)
	if first(a) != "may" || !saysAt(a, "times.0.from", "2025-05-03T22:00:00Z") || !saysAt(a, "results.0.why.parts.2.stage", "time") {
		t.Errorf("%s", a.body)
	}
	a = do(t, s, "POST", space+"/recall", `{"text": "lunch", "context": [{"text": "Bo"}, {"id": "june", "at": "2025-06-10T00:00:00Z"}], "explain": true}`)
	if !saysAt(a, "results.1.memory.id", "june") || !saysAt(a, "results.1.why.parts.2.stage", "context") {
		t.Errorf("%s", a.body)
	}
	for body, code := range map[string]string{
		`{"text": "x", "zone": "Mars/Olympus"}`:    "zone_unknown",
		`{"text": "x", "zone": "Local"}`:           "zone_unknown",
		`{"text": "x", "context": [{}]}`:           "context_item_invalid",
		`{"text": "x", "context": [{"id": "no"}]}`: "memory_not_found",
		`{"text": "x", "stages": {"tme": false}}`:  "word_unknown",
		`{"ids": ["may"], "mode": "recognise"}`:    "cue_empty",
	} {
		if a := do(t, s, "POST", space+"/recall", body); a.failure()["code"] != code {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	a = do(t, s, "POST", space+"/recognise", `{"text": "lunch with Mara", "explain": true}`)
	if first(a) == "" || a.json["familiar"] != true || a.json["confidence"] != nil || a.json["familiarity"].(float64) < 0.9 {
		t.Errorf("%s", a.body)
	}
	a = do(t, s, "POST", space+"/recognise", `{"text": "a violin in Vienna"}`)
	if a.status != 200 || a.json["familiar"] != false || a.json["familiarity"] != 0.0 {
		t.Errorf("%s", a.body)
	}
	if a := do(t, s, "POST", space+"/recognise", `{}`); a.failure()["code"] != "cue_empty" || a.failure()["op"] != "recognise" {
		t.Errorf("%s", a.body)
	}
}

// TestRecallSpaces: one recall from several spaces; one that the key may not see is as if it
// were not there.
func TestRecallSpaces(t *testing.T) {
	s := newServer(t)
	for name, text := range map[string]string{"alice": "Ada feeds the otters.", "bob": "Bo feeds the cats."} {
		if a := do(t, s, "PUT", "/v1/spaces/"+name, "{}"); a.status != 201 {
			t.Fatal(a.body)
		}
		if a := do(t, s, "POST", "/v1/spaces/"+name+"/memories", `{"id": "m", "text": "`+text+`"}`); a.status != 201 {
			t.Fatal(a.body)
		}
	}
	a := do(t, s, "POST", "/v1/recall", `{"spaces": ["bob", "alice"], "text": "who feeds the otters", "timeout": "5s"}`)
	if a.status != 200 || !saysAt(a, "results.0.space", "alice") || !saysAt(a, "results.1.space", "bob") || !saysAt(a, "lsns.alice", "1") || a.header.Get("Engram-Lsn") != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for body, code := range map[string]string{
		`{"spaces": ["alice", "nowhere"], "text": "x"}`: "space_not_found",
		`{"text": "x"}`:                       "spaces_missing",
		`{}`:                                  "spaces_missing",
		`{"spaces": ["alice"], "ids": ["m"]}`: "ids_of_one_space",
		`{"spaces": ["alice"], "text": "x", "limit": -1}`: "limit_out_of_range",
	} {
		if a := do(t, s, "POST", "/v1/recall", body); a.failure()["code"] != code {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	if a := do(t, s, "POST", "/v1/spaces/alice/recall", `{"spaces": ["bob"], "text": "x"}`); a.failure()["code"] != "spaces_unexpected" {
		t.Errorf("%s", a.body)
	}
}

// saysAt says whether an answer has a string at a path such as results.0.score.
func saysAt(a answer, path, want string) bool {
	var x any = a.json
	for step := range strings.SplitSeq(path, ".") {
		switch v := x.(type) {
		case map[string]any:
			x = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return false
			}
			x = v[i]
		}
	}
	return x == want
}

// TestReplayBytes: the results of a replay are those of the recall, byte for byte.
func TestReplayBytes(t *testing.T) {
	s := newServer(t)
	for _, m := range []string{`{"id": "a", "text": "Where do otters sleep?", "stream": "s"}`, `{"id": "b", "text": "In a holt.", "stream": "s", "happened_at": "2025-05-03T12:00:00Z"}`} {
		if a := do(t, s, "POST", space+"/memories", m); a.status != 201 {
			t.Fatal(a.body)
		}
	}
	first := do(t, s, "POST", space+"/recall", `{"text": "otters last May", "now": "2025-06-01T12:00:00Z", "explain": "replay"}`)
	receipt, _ := first.json["receipt"].(string)
	if first.status != 200 || receipt == "" {
		t.Fatal(first.body)
	}
	do(t, s, "DELETE", space+"/memories/a", "")
	again := do(t, s, "POST", space+"/recall/replay", `{"receipt": "`+receipt+`"}`)
	if again.status != 200 || resultsIn(first) == "" || resultsIn(again) != resultsIn(first) {
		t.Errorf("%s\n%s", again.body, first.body)
	}
	if a := do(t, s, "DELETE", space+"/memories/b?mode=erase", ""); a.status != 200 {
		t.Fatal(a.body)
	}
	if a := do(t, s, "POST", space+"/recall/replay", `{"receipt": "`+receipt+`"}`); a.status != 409 || a.failure()["code"] != "payload_erased" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "POST", space+"/recall/replay", `{}`); a.status != 400 || a.failure()["code"] != "receipt_invalid" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// resultsIn is the results of an answer as they were written.
func resultsIn(a answer) string {
	from, to := strings.Index(a.body, `"results"`), strings.Index(a.body, `"recall_id"`)
	if from < 0 || to < from {
		return ""
	}
	return a.body[from:to]
}

// TestRecallSpacesNeedsAll: a space that the key may not see is answered like one that is not
// there, also beside one that it may.
func TestRecallSpacesNeedsAll(t *testing.T) {
	g := newGuarded(t)
	ask := func(key, spaces string) answer {
		return do(t, g, "POST", "/v1/recall", `{"spaces": `+spaces+`, "text": "x"}`, "Authorization", "Bearer "+g.secret[key])
	}
	if a := ask("read", `["a", "b"]`); a.status != 200 {
		t.Errorf("%s", a.body)
	}
	if a := ask("read a", `["a"]`); a.status != 200 {
		t.Errorf("%s", a.body)
	}
	hidden, none := ask("read a", `["a", "b"]`), ask("read a", `["a", "z"]`)
	if hidden.status != 404 || none.status != 404 || hidden.failure()["code"] != "space_not_found" || none.failure()["code"] != "space_not_found" {
		t.Errorf("%s %s", hidden.body, none.body)
	}
	if a := ask("write a", `["a"]`); a.status != 403 {
		t.Errorf("%s", a.body)
	}
}
