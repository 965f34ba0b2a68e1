package server_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server"
	"github.com/engramdb/engram/server/mcp"
	"github.com/engramdb/engram/server/wirejson"
)

// A toolStep is a call of a tool, and the request of REST that asks for the same.
type toolStep struct {
	tool, arguments    string
	method, path, body string
	answer             func() proto.Message
	code               string // the error that both give, "" for none
}

var toolSteps = []toolStep{
	{"remember", `{"id":"a","text":"otters at the harbour","people":["Ada"],"metadata":{"n":3},"happened_at":"2026-05-04T10:00:00Z"}`,
		"POST", space + "/memories", `{"id":"a","text":"otters at the harbour","people":["Ada"],"metadata":{"n":3},"happened_at":"2026-05-04T10:00:00Z"}`, func() proto.Message { return &engramv1.RememberResponse{} }, ""},
	{"remember", `{"id":"a","text":"other"}`, "POST", space + "/memories", `{"id":"a","text":"other"}`, nil, "id_conflict"},
	{"remember", `{"id":"a","text":"other otters","on_conflict":"replace"}`, "POST", space + "/memories?on_conflict=replace", `{"id":"a","text":"other otters"}`, func() proto.Message { return &engramv1.RememberResponse{} }, ""},
	{"remember", `{"id":"b","text":"a harbour"}`, "POST", space + "/memories", `{"id":"b","text":"a harbour"}`, func() proto.Message { return &engramv1.RememberResponse{} }, ""},
	{"remember", `{"txt":"x"}`, "POST", space + "/memories", `{"txt":"x"}`, nil, "field_unknown"},
	{"remember", `{"text":" "}`, "POST", space + "/memories", `{"text":" "}`, nil, "text_blank"},
	{"recall", `{"text":"otters","limit":1}`, "POST", space + "/recall", `{"text":"otters","limit":1,"explain":true}`, func() proto.Message { return &engramv1.RecallResponse{} }, ""},
	{"recall", `{}`, "POST", space + "/recall", `{}`, nil, "cue_empty"},
	{"recall", `{"text":"x","space":"nowhere"}`, "POST", "/v1/spaces/nowhere/recall", `{"text":"x"}`, nil, "space_not_found"},
	{"get", `{"ids":["a","none"],"include":["versions"]}`, "POST", space + "/memories/get", `{"ids":["a","none"],"include":["versions"]}`, func() proto.Message { return &engramv1.GetMemoriesResponse{} }, ""},
	{"link", `{"from":"a","type":"near","to":"b","id":"l","weight":0.5}`, "POST", space + "/links", `{"from":"a","type":"near","to":"b","id":"l","weight":0.5}`, func() proto.Message { return &engramv1.CreateLinkResponse{} }, ""},
	{"link", `{"from":"a","type":"near","to":"none"}`, "POST", space + "/links", `{"from":"a","type":"near","to":"none"}`, nil, "node_not_found"},
	{"forget", `{"ids":["b"],"dry_run":true}`, "POST", space + "/memories/forget", `{"ids":["b"],"dry_run":true}`, func() proto.Message { return &engramv1.ForgetResponse{} }, ""},
	{"forget", `{"ids":["b"],"mode":"suppress"}`, "POST", space + "/memories/forget", `{"ids":["b"],"mode":"suppress"}`, func() proto.Message { return &engramv1.ForgetResponse{} }, ""},
	{"forget", `{}`, "POST", space + "/memories/forget", `{}`, nil, "forget_unclear"},
	{"list_spaces", `{}`, "GET", "/v1/spaces", "", func() proto.Message { return &engramv1.ListSpacesResponse{} }, ""},
}

// TestToolsAnswerAsTheAPI: what a tool of the Model Context Protocol gives, and how it
// refuses, is what REST gives and refuses, of a server of its own each.
func TestToolsAnswerAsTheAPI(t *testing.T) {
	fresh := func() *server.Server {
		return newServerOver(t, engram.Options{FS: vfs.NewMem(), ReserveBytes: -1, Clock: clock.NewVirtual(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))})
	}
	plain, spoken := fresh(), fresh()
	session, err := dialMCP(t, listen(t, spoken), "", "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	untried := map[string]bool{}
	for _, tool := range list.Tools {
		untried[tool.Name] = true
	}
	for i, st := range toolSteps {
		a := do(t, plain, st.method, st.path, st.body)
		r, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: st.tool, Arguments: json.RawMessage(st.arguments)})
		if err != nil {
			t.Fatal(err)
		}
		where := st.tool + " " + st.arguments
		if st.code != "" {
			want, got := pruned(bare(a.failure())), pruned(bare(failureOf(t, r)))
			if a.failure()["code"] != st.code || !r.IsError || !reflect.DeepEqual(got, want) {
				t.Errorf("step %d, %s: error %v, over REST %v; want %s", i, where, got, want, st.code)
			}
			continue
		}
		delete(untried, st.tool)
		want, got := st.answer(), st.answer()
		if err := wirejson.Decode([]byte(a.body), want); err != nil || a.status >= 300 {
			t.Fatalf("step %d, %s over REST: %d %s %v", i, where, a.status, a.body, err)
		}
		if err := wirejson.Decode(answerOf(t, r), got); err != nil || r.IsError {
			t.Fatalf("step %d, %s: %v, %v", i, where, r.StructuredContent, err)
		}
		if a, b := plainOf(t, settled(want)), plainOf(t, settled(got)); !reflect.DeepEqual(a, b) {
			t.Errorf("step %d, %s:\n%v\nover REST\n%v", i, where, b, a)
		}
	}
	for name := range untried {
		t.Errorf("no good call of the tool %s", name)
	}
}

// bare is an error without the id of its request. Of a name that is not known a tool
// says that it is no argument of it, and has been no call of the API yet.
func bare(e map[string]any) map[string]any {
	delete(e, "request_id")
	if e["code"] == "field_unknown" {
		delete(e, "message")
		delete(e, "op")
	}
	return e
}

// pruned takes out what holds nothing, as tools do.
func pruned(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok {
			for i := range list {
				list[i] = pruned(list[i])
			}
		}
		return v
	}
	for k, x := range m {
		x = pruned(x)
		if m[k] = x; x == nil || x == false || x == "" {
			delete(m, k)
		} else if s := reflect.ValueOf(x); (s.Kind() == reflect.Map || s.Kind() == reflect.Slice) && s.Len() == 0 {
			delete(m, k)
		}
	}
	return m
}

func plainOf(t *testing.T, m proto.Message) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(wirejson.Append(nil, m), &v); err != nil {
		t.Fatal(err)
	}
	return pruned(v)
}

// structured is what a tool gives, as JSON.
func structured(t *testing.T, r *sdk.CallToolResult) map[string]json.RawMessage {
	t.Helper()
	body, err := json.Marshal(r.StructuredContent)
	var out map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return out
}

// answerOf is the answer of a tool without its note.
func answerOf(t *testing.T, r *sdk.CallToolResult) []byte {
	t.Helper()
	out := structured(t, r)
	var note string
	if json.Unmarshal(out["note"], &note) != nil || note != mcp.Note {
		t.Errorf("the note is %s", out["note"])
	}
	delete(out, "note")
	body, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func failureOf(t *testing.T, r *sdk.CallToolResult) (e map[string]any) {
	t.Helper()
	if err := json.Unmarshal(structured(t, r)["error"], &e); err != nil {
		t.Fatalf("%v: %v", r.StructuredContent, err)
	}
	return e
}
