package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
	"github.com/engramdb/engram/server/wirejson"
)

// A door calls any method of the schema in one protocol.
type door struct {
	name string
	call func(t testing.TB, method string, q proto.Message, headers http.Header) reply
}

// A reply is what came out of a door, in the schema's words.
type reply struct {
	answer  proto.Message
	failure *engramv1.Error
	code    connect.Code // of an RPC that failed
	status  int          // of REST
	header  http.Header
}

// doors opens all doors of a server.
func doors(t *testing.T, addr string) []door {
	ds := []door{{"rest", restDoor(client(t, false), "http://"+addr)}}
	for _, r := range []struct {
		name    string
		options []connect.ClientOption
	}{
		{"connect-json", []connect.ClientOption{connect.WithProtoJSON()}}, {"connect-proto", nil},
		{"grpc", []connect.ClientOption{connect.WithGRPC()}}, {"grpc-web", []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		c := engramv1connect.NewEngramServiceClient(client(t, true), "http://"+addr, r.options...)
		ds = append(ds, door{r.name, rpcDoor(c)})
	}
	return ds
}

func rpcDoor(c engramv1connect.EngramServiceClient) func(testing.TB, string, proto.Message, http.Header) reply {
	return func(t testing.TB, method string, q proto.Message, headers http.Header) (r reply) {
		t.Helper()
		ctx, info := connect.NewClientContext(context.Background())
		maps.Copy(info.RequestHeader(), headers)
		out := reflect.ValueOf(c).MethodByName(method).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(q)})
		r.header = info.ResponseHeader()
		err, _ := out[1].Interface().(error)
		if err == nil {
			r.answer = out[0].Interface().(proto.Message)
			return r
		}
		var e *connect.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", method, err)
		}
		r.code, r.failure = e.Code(), detailOf(e)
		if r.failure == nil {
			t.Errorf("%s: the error has no details: %v", method, err)
			r.failure = &engramv1.Error{}
		}
		return r
	}
}

func detailOf(e *connect.Error) *engramv1.Error {
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if own, ok := v.(*engramv1.Error); ok {
				return own
			}
		}
	}
	return nil
}

func methodOf(name string) protoreflect.MethodDescriptor {
	return engramv1.File_engram_v1_engram_proto.Services().ByName("EngramService").Methods().ByName(protoreflect.Name(name))
}

func methodNames() (names []string) {
	ms := engramv1.File_engram_v1_engram_proto.Services().ByName("EngramService").Methods()
	for i := range ms.Len() {
		names = append(names, string(ms.Get(i).Name()))
	}
	return names
}

func fresh(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// restDoor makes the request that the schema's annotation says.
func restDoor(h *http.Client, base string) func(testing.TB, string, proto.Message, http.Header) reply {
	return func(t testing.TB, method string, q proto.Message, headers http.Header) (r reply) {
		t.Helper()
		m := methodOf(method)
		verb, path, body := restRequest(t, m, q)
		req, err := http.NewRequest(verb, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(req.Header, headers)
		a, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		said, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.status, r.header = a.StatusCode, a.Header
		if a.StatusCode >= 300 {
			var e engramv1.ErrorResponse
			if err := wirejson.Decode(said, &e); err != nil || e.Error == nil {
				t.Errorf("%s: %d %s is not the body of an error: %v", method, a.StatusCode, said, err)
				e.Error = &engramv1.Error{}
			}
			r.failure = e.Error
			return r
		}
		r.answer = fresh(m.Output())
		if err := wirejson.Decode(said, r.answer); err != nil {
			t.Errorf("%s: the answer %s: %v", method, said, err)
		}
		return r
	}
}

func restRequest(t testing.TB, m protoreflect.MethodDescriptor, q proto.Message) (verb, path string, body io.Reader) {
	t.Helper()
	rule := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	var p string
	switch x := rule.Pattern.(type) {
	case *annotations.HttpRule_Get:
		verb, p = "GET", x.Get
	case *annotations.HttpRule_Put:
		verb, p = "PUT", x.Put
	case *annotations.HttpRule_Post:
		verb, p = "POST", x.Post
	case *annotations.HttpRule_Patch:
		verb, p = "PATCH", x.Patch
	case *annotations.HttpRule_Delete:
		verb, p = "DELETE", x.Delete
	}
	if space := q.ProtoReflect().Descriptor().Fields().ByName("space"); space != nil && !q.ProtoReflect().Has(space) && len(rule.AdditionalBindings) > 0 {
		rule = rule.AdditionalBindings[0] // a recall over several spaces names none in its path
		p = rule.GetPost()
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(p, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			p = strings.Replace(p, part, url.PathEscape(plainText(fields[name])), 1)
			delete(fields, name)
		}
	}
	switch rule.Body {
	case "":
	case "*":
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return verb, p, bytes.NewReader(b)
	default:
		body = bytes.NewReader(fields[rule.Body])
		delete(fields, rule.Body)
	}
	query := url.Values{}
	for name, v := range fields {
		var list []json.RawMessage
		if json.Unmarshal(v, &list) == nil {
			for _, x := range list {
				query.Add(name, plainText(x))
			}
			continue
		}
		query.Set(name, plainText(v))
	}
	if len(query) > 0 {
		p += "?" + query.Encode()
	}
	return verb, p, body
}

// plainText is a JSON value as a path or a query has it.
func plainText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// A step is one call of the scenario that goes through every door. $names in it are
// what chance gave to an earlier answer: see given.
type step struct {
	method, request string // the message as JSON
	code            string // the error that it gives, "" for none
	headers         []string
}

// shows is the header of the key that was made so many calls before.
func shows(n int) []string { return []string{"Authorization", fmt.Sprintf("Bearer $secret%d", n)} }

// scenario calls every method, most of them well and badly.
var scenario = []step{
	{"GetVersion", `{}`, "", nil},
	{"PutSpace", `{"space":"s","settings":{"vector":{"dimension":2},"language":"de"}}`, "", nil},
	{"PutSpace", `{"space":"s"}`, "space_exists", nil},
	{"PutSpace", `{"space":"../s"}`, "space_name_invalid", nil},
	{"UpdateSpace", `{"space":"s","patch":{"settings":{"horizon":"3600s"}}}`, "", nil},
	{"UpdateSpace", `{"space":"s","patch":{"settings":{"links":{"rules":{"people":false},"patterns":[{"rule":"ticket","pattern":"TICK-[0-9]+"}]}}}}`, "", nil},
	{"UpdateSpace", `{"space":"s","patch":{"settings":{"links":{"rules":{"peopel":false}}}}}`, "rule_unknown", nil},
	{"UpdateSpace", `{"space":"s","patch":{"settings":{"links":{"patterns":[{"rule":"t","pattern":"("}]}}}}`, "pattern_invalid", nil},
	{"UpdateSpace", `{"space":"s","patch":{"settings":{"horizont":"3600s"}}}`, "field_unknown", nil},
	{"UpdateSpace", `{"space":"s","patch":{}}`, "version_mismatch", []string{"If-Match", `"9-9"`}},
	{"GetSpace", `{"space":"s"}`, "", nil},
	{"GetSpace", `{"space":"nowhere"}`, "space_not_found", nil},
	{"ListSpaces", `{"page_size":1}`, "", nil},
	{"ListSpaces", `{"page_size":0}`, "page_size_out_of_range", nil},

	{"Remember", `{"space":"s","memory":{"id":"a","text":"otters at the harbour","vector":[1,0],"tags":["x","y"],"people":["Ada"],"metadata":{"n":3,"list":["a",1,true]},"happened_at":"2026-05-04T10:00:00.123456789Z","salience":0.5,"stream":"d"}}`, "", []string{"Idempotency-Key", "k"}},
	{"Remember", `{"space":"s","memory":{"id":"a","text":"otters at the harbour","vector":[1,0],"tags":["x","y"],"people":["Ada"],"metadata":{"n":3,"list":["a",1,true]},"happened_at":"2026-05-04T10:00:00.123456789Z","salience":0.5,"stream":"d"}}`, "", []string{"Idempotency-Key", "k"}},
	{"Remember", `{"space":"s","memory":{"id":"z","text":"other"}}`, "idempotency_mismatch", []string{"Idempotency-Key", "k"}},
	{"Remember", `{"space":"s","memory":{"id":"a","text":"other"}}`, "id_conflict", nil},
	{"Remember", `{"space":"s","memory":{"text":"x","vector":[1,2,3]}}`, "vector_dimension_mismatch", nil},
	{"Remember", `{"space":"s","memory":{"text":"x","salience":7}}`, "salience_out_of_range", nil},
	{"Remember", `{"space":"s","on_conflict":"maybe","memory":{"text":"x"}}`, "word_unknown", nil},
	{"Remember", `{"space":"s","memory":{"id":"../a","text":"x"}}`, "id_invalid", nil},
	{"RememberBatch", `{"space":"s","memories":[{"id":"b","text":"cats","vector":[0,1]},{"id":"c","text":"dogs"},{"text":""}],"partial":true}`, "", nil},
	{"RememberBatch", `{"space":"s","memories":[{"text":"x"},{"text":""}]}`, "memory_empty", nil},
	{"GetMemory", `{"space":"s","id":"a","include":["vector","versions"]}`, "", nil},
	{"GetMemory", `{"space":"s","id":"none"}`, "memory_not_found", nil},
	{"GetMemory", `{"space":"s","id":"a"}`, "request_timeout", []string{"Engram-Min-Lsn", "1000000"}},
	{"GetMemories", `{"space":"s","ids":["a","none"]}`, "", nil},
	{"ListMemories", `{"space":"s","tags":["x","y"],"page_size":2}`, "", nil},
	{"ListMemories", `{"space":"s","page_token":"nonsense"}`, "page_token_invalid", nil},
	{"UpdateMemory", `{"space":"s","id":"a","patch":{"tags":["z"],"salience":null}}`, "", nil},
	{"UpdateMemory", `{"space":"s","id":"a","patch":{"tags":["z"]}}`, "version_mismatch", []string{"If-Match", `"1"`}},
	{"UpdateMemory", `{"space":"s","id":"a","patch":{"txet":1}}`, "field_unknown", nil},
	{"Recall", `{"space":"s","cue":{"text":"otters","explain":true}}`, "", nil},
	{"Recall", `{"space":"s","cue":{}}`, "cue_empty", nil},
	{"CheckRecall", `{"space":"s","sample":0}`, "sample_out_of_range", nil},
	{"CheckRecall", `{"space":"s","sample":10}`, "", nil},
	{"Recall", `{"cue":{"text":"otters","spaces":["s","default"]}}`, "", nil},
	{"Recall", `{"cue":{"text":"otters","spaces":["s","nowhere"]}}`, "space_not_found", nil},
	{"Recall", `{"space":"s","cue":{"text":"otters","explain":"replay"}}`, "", nil},
	{"ReplayRecall", `{"space":"s","receipt":"$receipt"}`, "", nil},
	{"ReplayRecall", `{"space":"default","receipt":"$receipt"}`, "receipt_invalid", nil},
	{"Recall", `{"space":"s","cue":{"text":"x","limit":0}}`, "limit_out_of_range", nil},
	{"ListEvents", `{"space":"s","after":"0","types":["remembered"]}`, "", nil},
	{"ListEvents", `{"space":"s","types":["dreamt"]}`, "word_unknown", nil},

	{"PutEntity", `{"space":"s","id":"ada","entity":{"name":"Ada","type":"person","aliases":["A"]}}`, "", nil},
	{"PutEntity", `{"space":"s","id":"a","entity":{"name":"Ada"}}`, "id_in_use", nil},
	{"GetEntity", `{"space":"s","id":"ada"}`, "", nil},
	{"GetEntity", `{"space":"s","id":"none"}`, "entity_not_found", nil},
	{"ListEntities", `{"space":"s","type":"person"}`, "", nil},
	{"UpdateEntity", `{"space":"s","id":"ada","patch":{"type":null}}`, "", nil},
	{"CreateLink", `{"space":"s","link":{"id":"l","from":"a","to":"ada","type":"about","weight":0.5}}`, "", nil},
	{"CreateLink", `{"space":"s","link":{"from":"a","to":"nobody","type":"x"}}`, "node_not_found", nil},
	{"CreateLinks", `{"space":"s","links":[{"id":"m","from":"a","to":"b","type":"x"},{"id":"n","from":"a","to":"nobody","type":"x"}],"partial":true}`, "", nil},
	{"GetLink", `{"space":"s","id":"l"}`, "", nil},
	{"UpdateLink", `{"space":"s","id":"l","patch":{"weight":0.7}}`, "", nil},
	{"UpdateLink", `{"space":"s","id":"l","patch":{"to":"b"}}`, "field_fixed", nil},
	{"ListMemoryLinks", `{"space":"s","id":"a","direction":"out"}`, "", nil},
	{"ListMemoryLinks", `{"space":"s","id":"a","direction":"up"}`, "word_unknown", nil},
	{"ListEntityLinks", `{"space":"s","id":"ada"}`, "", nil},
	{"Spread", `{"space":"s","ids":["a"],"flows":{"about":{"out":1}},"hops":2}`, "", nil},
	{"Spread", `{"space":"s","seeds":[{"id":"a","weight":0.5}],"text":"otters","types":["about"],"kinds":["entity"]}`, "", nil},
	{"Spread", `{"space":"s"}`, "seeds_empty", nil},
	{"Spread", `{"space":"s","ids":["nobody"]}`, "node_not_found", nil},
	{"Spread", `{"space":"s","ids":["a"],"hops":0}`, "hops_out_of_range", nil},
	{"Spread", `{"space":"s","ids":["a"],"fan":"wide"}`, "word_unknown", nil},
	{"Spread", `{"space":"s","seeds":[{"id":"a","weight":-1}]}`, "seed_invalid", nil},
	{"DeleteLink", `{"space":"s","id":"l"}`, "", nil},
	{"PutEntity", `{"space":"s","id":"countess","entity":{"name":"Countess"}}`, "", nil},
	{"MergeEntities", `{"space":"s","into":"ada","from":["countess"]}`, "", []string{"Idempotency-Key", "merge"}},
	{"MergeEntities", `{"space":"s","into":"ada","from":["countess"]}`, "", []string{"Idempotency-Key", "merge"}},
	{"MergeEntities", `{"space":"s","into":"ada","from":[]}`, "merge_empty", nil},
	{"GetEntity", `{"space":"s","id":"countess"}`, "", nil},
	{"PutEntity", `{"space":"s","id":"countess","entity":{"name":"x"}}`, "entity_merged", nil},
	{"UnmergeEntities", `{"space":"s","id":"countess"}`, "", nil},
	{"UnmergeEntities", `{"space":"s","id":"ada","merge":"1"}`, "merge_not_found", nil},
	{"DeleteEntity", `{"space":"s","id":"ada"}`, "", nil},

	{"Forget", `{"space":"s","ids":["b","none"],"mode":"suppress"}`, "", nil},
	{"Forget", `{"space":"s"}`, "forget_unclear", nil},
	{"Restore", `{"space":"s","ids":["b"]}`, "", nil},
	{"DeleteMemory", `{"space":"s","id":"c"}`, "", nil},
	{"DeleteMemory", `{"space":"s","id":"c"}`, "memory_not_found", nil},

	{"ReplayRecall", `{"space":"s"}`, "receipt_invalid", nil}, {"Feedback", `{"space":"s"}`, "", nil},
	{"Recognise", `{"space":"s","text":"otters","explain":true}`, "", nil}, {"Complete", `{"space":"s"}`, "", nil},
	{"Match", `{"space":"s"}`, "", nil}, {"Query", `{"space":"s"}`, "", nil}, {"Consolidate", `{"space":"s"}`, "", nil},
	{"ListConcepts", `{"space":"s"}`, "", nil}, {"GetConcept", `{"space":"s","id":"c"}`, "", nil}, {"ListPlans", `{"space":"s"}`, "", nil},
	{"RevertPlan", `{"space":"s","id":"p"}`, "", nil},

	{"Relink", `{"space":"s"}`, "links_off", nil},
	{"ListModels", `{}`, "", nil},
	{"GetModel", `{"name":"none"}`, "model_not_found", nil},
	{"AddModel", `{"name":"far"}`, "model_invalid", nil},
	{"AddModel", `{"name":"far","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":8,"key_file":"/etc/passwd"}}`, "model_key_denied", nil},
	{"AddModel", `{"name":"far","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":8,"key_env":"HOME"}}`, "model_key_denied", nil},
	{"AddModel", `{"name":"far","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":8}}`, "", nil},
	{"GetModel", `{"name":"far"}`, "", nil},
	{"AddModel", `{"name":"near","remote":{"url":"$models/v1","model":"m","dimension":3}}`, "", nil},
	{"EmbedTexts", `{"name":"near","texts":["x","yy"]}`, "", nil},
	{"AddModel", `{"name":"away","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":3}}`, "", nil},
	{"PutSpace", `{"space":"t"}`, "", nil},
	{"Remember", `{"space":"t","memory":{"id":"a","text":"otters"}}`, "", nil},
	{"ReembedSpace", `{"space":"t","model":"away"}`, "", nil},
	{"GetJob", `{"id":"$job1"}`, "", nil},
	{"CancelJob", `{"id":"$job1"}`, "", nil},
	{"PutSpace", `{"space":"u"}`, "", nil},
	{"ReembedSpace", `{"space":"u","model":"near"}`, "", nil},
	{"GetJob", toItsEnd, "", nil}, // its act is in the log from then on
	{"DeleteSpace", `{"space":"t","confirm":"t"}`, "", nil},
	{"DeleteSpace", `{"space":"u","confirm":"u"}`, "", nil},
	{"EmbedTexts", `{"name":"none","texts":["x"]}`, "model_not_found", nil},
	{"EmbedTexts", `{"name":"far"}`, "batch_empty", nil},
	{"ReembedSpace", `{"space":"nowhere","model":"far"}`, "space_not_found", nil},
	{"ReembedSpace", `{"space":"s","model":"none"}`, "model_not_found", nil},
	{"DeleteModel", `{"name":"far"}`, "", nil},
	{"DeleteModel", `{"name":"far"}`, "model_not_found", nil},

	{"GetJob", `{"id":"none"}`, "job_not_found", nil},
	{"CancelJob", `{"id":"none"}`, "job_not_found", nil},
	{"DeleteSpace", `{"space":"s"}`, "confirm_missing", nil},
	{"DeleteSpace", `{"space":"s","confirm":"s"}`, "", nil},

	{"ListKeys", `{}`, "", nil},
	{"CreateKey", `{"name":"x"}`, "scopes_missing", nil},
	{"CreateKey", `{"name":"x","scopes":["read"]}`, "first_key_not_admin", nil},
	{"RotateKey", `{"id":"none"}`, "key_not_found", nil},
	{"RevokeKey", `{"id":"none"}`, "key_not_found", nil},
	{"ListActs", `{}`, "", nil},
	{"CreateKey", `{"name":"ops","scopes":["admin"],"expires_at":"2030-01-01T00:00:00Z"}`, "", nil},
	{"ListKeys", `{}`, "key_missing", nil}, // from now on
	{"GetVersion", `{}`, "", nil},
	{"ListKeys", `{}`, "", shows(1)},
	{"CreateKey", `{"name":"y","scopes":["read"],"spaces":["default"]}`, "", shows(1)},
	{"ListSpaces", `{}`, "", shows(2)},
	{"Remember", `{"space":"default","memory":{"text":"x"}}`, "scope_missing", shows(2)},
	{"Recall", `{"space":"nowhere","cue":{"text":"x"}}`, "space_not_found", shows(2)},
	{"RotateKey", `{"id":"$key2","grace":"60s"}`, "", shows(1)},
	{"RevokeKey", `{"id":"$key2"}`, "", shows(1)},
	{"ListSpaces", `{}`, "key_revoked", shows(2)},
	{"ListKeys", `{}`, "", shows(1)},
}

// linked is a scenario of a database that links by itself.
var linked = []step{
	{"PutSpace", `{"space":"r"}`, "", nil},
	{"Relink", `{"space":"r"}`, "", nil},
	{"GetJob", `{"id":"$job1"}`, "", nil},
}

// given are the words that chance gave to the answers of one server, by the $name that
// steps use: $receipt, the last one; $job1 and so on, $key1 and $secret1.
type given map[string]string

func (g given) hear(m proto.Message) {
	if m == nil {
		return
	}
	next := func(name, value string) {
		if value == "" || slices.Contains(slices.Collect(maps.Values(g)), value) {
			return
		}
		n := 1
		for g[fmt.Sprintf("$%s%d", name, n)] != "" {
			n++
		}
		g[fmt.Sprintf("$%s%d", name, n)] = value
	}
	switch a := m.(type) {
	case *engramv1.RecallResponse:
		if a.Receipt != "" {
			g["$receipt"] = a.Receipt
		}
	case interface{ GetJob() string }:
		next("job", a.GetJob())
	case interface {
		GetKey() *engramv1.Key
		GetSecret() string
	}:
		next("key", a.GetKey().GetId())
		next("secret", a.GetSecret())
	}
}

// fill puts the words into a step.
func (g given) fill(text string) string {
	for name, value := range g {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

// longestFirst orders the names by their words: a key's id is a part of its secret.
func (g given) longestFirst() []string {
	return slices.SortedFunc(maps.Keys(g), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(g[b]), len(g[a])), cmp.Compare(a, b))
	})
}

// mask puts the names in place of the words again, so that answers can be compared.
func (g given) mask(m protoreflect.Message) {
	back := func(v protoreflect.Value) protoreflect.Value {
		text := v.String()
		for _, name := range g.longestFirst() {
			text = strings.ReplaceAll(text, g[name], name)
		}
		return protoreflect.ValueOfString(text)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
		case fd.Kind() == protoreflect.StringKind && !fd.IsList():
			m.Set(fd, back(v))
		case fd.Kind() == protoreflect.MessageKind && fd.IsList():
			for i := range v.List().Len() {
				g.mask(v.List().Get(i).Message())
			}
		case fd.Kind() == protoreflect.MessageKind:
			g.mask(v.Message())
		}
		return true
	})
}

// nearby is a provider of vectors.
func nearby(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Input []string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		data := []map[string]any{}
		for i, text := range q.Input {
			data = append(data, map[string]any{"index": i, "embedding": []int{len(text), 1, 0}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestEveryMethodThroughEveryDoor sends the same calls through each door, of a
// server of its own, and wants the same answers, errors and headers.
func TestEveryMethodThroughEveryDoor(t *testing.T) {
	answered := map[string]bool{} // with what was asked for, or as not built yet
	walkDoors(t, scenario, engram.Options{}, answered)
	walkDoors(t, linked, engram.Options{AutoLinks: true}, answered)
	for _, name := range methodNames() {
		if !answered[name] {
			t.Errorf("the scenario has no good call of %s", name)
		}
	}
	// Streams are no calls of the scenario: TestEventsThroughEveryDoor and
	// TestStreamAccess have the one there is.
	services := engramv1.File_engram_v1_engram_proto.Services()
	for i := range services.Len() {
		switch s := services.Get(i); s.Name() {
		case "EngramService":
		case "EventService":
			if ms := s.Methods(); ms.Len() != 1 || ms.Get(0).Name() != "Subscribe" {
				t.Errorf("%s has calls that no test makes", s.Name())
			}
		default:
			t.Errorf("no test knows of %s", s.Name())
		}
	}
}

// walkDoors walks through a scenario at each door.
func walkDoors(t *testing.T, scenario []step, o engram.Options, answered map[string]bool) {
	models := nearby(t)
	var first []reply
	for i, name := range []string{"rest", "connect-json", "connect-proto", "grpc", "grpc-web"} {
		o.FS, o.ReserveBytes, o.Clock = vfs.NewMem(), -1, clock.NewVirtual(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
		db, err := engram.Open(context.Background(), "data", o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.New(db, server.Options{Version: "test", RequestTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closed(t, s, db) })
		d := doors(t, listen(t, s))[i]
		if d.name != name {
			t.Fatal(d.name)
		}
		heard := given{"$models": models}
		for j, st := range scenario {
			q := fresh(methodOf(st.method).Input())
			if err := protojson.Unmarshal([]byte(heard.fill(st.request)), q); err != nil {
				t.Fatalf("step %d: %v", j, err)
			}
			h := http.Header{"Request-Id": {"same"}}
			for k := 0; k+1 < len(st.headers); k += 2 {
				h.Set(st.headers[k], heard.fill(st.headers[k+1]))
			}
			r := d.call(t, st.method, q, h)
			for st.request == toItsEnd && goesOn(r.answer) {
				r = d.call(t, st.method, q, h)
			}
			where := fmt.Sprintf("%s, step %d %s %s", d.name, j, st.method, st.request)
			answered[st.method] = answered[st.method] || r.failure == nil || r.failure.GetCode() == "unimplemented"
			heard.hear(r.answer)
			if r.answer = settled(r.answer); r.answer != nil {
				heard.mask(r.answer.ProtoReflect())
			}
			if r.failure != nil {
				heard.mask(r.failure.ProtoReflect())
			}
			if i == 0 {
				checkStep(t, where, st, r)
				first = append(first, r)
				continue
			}
			compare(t, where, first[j], r)
		}
	}
}

// toItsEnd asks for a job until it has ended.
const toItsEnd = `{"id":"$job2"}`

func goesOn(m proto.Message) bool {
	j, ok := m.(*engramv1.Job)
	return ok && j.GetState() == "running"
}

func closed(t *testing.T, s *server.Server, db *engram.DB) {
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func checkStep(t *testing.T, where string, st step, r reply) {
	t.Helper()
	got := r.failure.GetCode()
	if got != st.code && got != "unimplemented" {
		t.Errorf("%s: %q, want %q: %v", where, got, st.code, r.failure)
	}
	if r.header.Get("Request-Id") != "same" {
		t.Errorf("%s: Request-Id %q", where, r.header.Get("Request-Id"))
	}
}

var statuses = map[string]struct {
	status int
	code   connect.Code
}{
	"invalid": {400, connect.CodeInvalidArgument}, "not_found": {404, connect.CodeNotFound}, "conflict": {409, connect.CodeAlreadyExists},
	"precondition": {412, connect.CodeFailedPrecondition}, "unimplemented": {501, connect.CodeUnimplemented}, "timeout": {504, connect.CodeDeadlineExceeded},
	"unauthenticated": {401, connect.CodeUnauthenticated}, "denied": {403, connect.CodePermissionDenied},
}

func compare(t *testing.T, where string, want, got reply) {
	t.Helper()
	if (want.failure == nil) != (got.failure == nil) {
		t.Errorf("%s: error %v, at the REST door %v", where, got.failure, want.failure)
		return
	}
	if want.failure != nil {
		if !proto.Equal(want.failure, got.failure) {
			t.Errorf("%s: error\n%v\nat the REST door\n%v", where, got.failure, want.failure)
		}
		w := statuses[got.failure.GetKind()]
		if want.status != w.status || got.code != w.code {
			t.Errorf("%s: status %d, code %s of the kind %s", where, want.status, got.code, got.failure.GetKind())
		}
	} else if !proto.Equal(want.answer, got.answer) {
		t.Errorf("%s: answer\n%v\nat the REST door\n%v", where, got.answer, want.answer)
	}
	for _, h := range []string{"Engram-Lsn", "ETag", "Idempotent-Replayed", "Request-Id"} {
		if want.header.Get(h) != got.header.Get(h) {
			t.Errorf("%s: %s %q, at the REST door %q", where, h, got.header.Get(h), want.header.Get(h))
		}
	}
}

// settled is an answer without what chance or the machine decides. What is left
// out of JSON is empty in protobuf, and the other way round.
func settled(m proto.Message) proto.Message {
	if m == nil {
		return nil
	}
	m = proto.Clone(m)
	switch a := m.(type) {
	case *engramv1.RecallResponse:
		a.Took = nil
		a.RecallId = strings.Repeat("x", len(a.RecallId))
	case *engramv1.SpreadResponse:
		a.Took = nil
	case *engramv1.CheckRecallResponse:
		a.ApproximateTook, a.ExactTook = nil, nil
	case *engramv1.ListKeysResponse: // those of one moment are in the order of their ids
		slices.SortFunc(a.Keys, func(x, y *engramv1.Key) int { return cmp.Compare(x.Name, y.Name) })
	case *engramv1.Job: // how far it is
		a.State, a.Progress, a.Error, a.Result, a.EndedAt = "", 0, nil, nil, nil
	case *engramv1.ListActsResponse:
		a.NextAfter = 0 // the jobs of spaces add records when they are done
		for _, act := range a.Acts {
			act.Lsn = 0
		}
	case *engramv1.Space:
		a.Bytes = 0
	case *engramv1.ListSpacesResponse:
		for _, s := range a.Spaces {
			s.Bytes = 0
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	out := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// TestEventsThroughEveryDoor: the same events as server-sent events, by WebSocket
// and as a stream of Connect, gRPC and gRPC-Web.
func TestEventsThroughEveryDoor(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	remember(t, s, `{"id":"a","text":"first","tags":["x"]}`)
	remember(t, s, `{"id":"b","text":"second"}`)
	do(t, s, "DELETE", space+"/memories/a", "")
	var want []*engramv1.Event
	next, hangUp := subscribe(t, addr, space+"/events?after=0")
	for range 3 {
		f := must(t, next)
		want = append(want, eventOf(t, f.data))
		if f.id != f.data["lsn"] {
			t.Errorf("id %s of lsn %s", f.id, f.data["lsn"])
		}
	}
	hangUp()
	ws := dialEvents(t, addr, space+"/events?after=0", nil)
	for i := range 3 {
		f := ws.next(t)
		if got := eventOf(t, f.data); !proto.Equal(got, want[i]) || f.event != want[i].Type || f.id != fmt.Sprint(want[i].Lsn) {
			t.Errorf("websocket: %v, want %v", got, want[i])
		}
	}
	for name, options := range map[string][]connect.ClientOption{"connect-json": {connect.WithProtoJSON()}, "connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}} {
		c := engramv1connect.NewEventServiceClient(client(t, true), "http://"+addr, options...)
		ctx, cancel := context.WithCancel(context.Background())
		st, err := c.Subscribe(ctx, &engramv1.SubscribeRequest{Space: "default", After: new(uint64)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if !st.Receive() || !proto.Equal(settled(st.Msg()), settled(want[i])) {
				t.Errorf("%s: %v %v, want %v", name, st.Msg(), st.Err(), want[i])
			}
		}
		cancel()
		_ = st.Close()
	}
}

func eventOf(t *testing.T, data map[string]any) *engramv1.Event {
	t.Helper()
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e := &engramv1.Event{}
	if err := wirejson.Decode(b, e); err != nil {
		t.Fatal(err)
	}
	return e
}
