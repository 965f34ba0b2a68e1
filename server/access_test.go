package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

// A guarded server has keys of all sorts, and the spaces default, a and b.
type guarded struct {
	*server.Server
	db     *engram.DB
	clock  *clock.Virtual
	secret map[string]string // by the key's name
	id     map[string]string
}

func newGuarded(t testing.TB, change ...func(*server.Options)) *guarded {
	t.Helper()
	ctx := context.Background()
	g := &guarded{clock: clock.NewVirtual(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)), secret: map[string]string{"none": ""}, id: map[string]string{}}
	var err error
	if g.db, err = engram.Open(ctx, "data", engram.Options{FS: vfs.NewMem(), ReserveBytes: -1, Clock: g.clock}); err != nil {
		t.Fatal(err)
	}
	var o server.Options
	for _, f := range change {
		f(&o)
	}
	if g.Server, err = server.New(g.db, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := g.db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []memory.SpaceName{"a", "b"} {
		if _, _, err := g.db.CreateSpace(ctx, name, memory.Settings{}); err != nil {
			t.Fatal(err)
		}
	}
	a := []memory.SpaceName{"a"}
	r, w := engram.ScopeRead, engram.ScopeWrite
	for _, k := range []engram.KeySpec{
		{Name: "admin", Scopes: []engram.Scope{engram.ScopeAdmin}},
		{Name: "read", Scopes: []engram.Scope{r}}, {Name: "write", Scopes: []engram.Scope{w}}, {Name: "both", Scopes: []engram.Scope{r, w}},
		{Name: "read a", Scopes: []engram.Scope{r}, Spaces: a}, {Name: "write a", Scopes: []engram.Scope{w}, Spaces: a}, {Name: "both a", Scopes: []engram.Scope{r, w}, Spaces: a},
		{Name: "revoked", Scopes: []engram.Scope{engram.ScopeAdmin}}, {Name: "expired", Scopes: []engram.Scope{engram.ScopeAdmin}, Expires: g.clock.Now().Add(time.Minute)},
	} {
		g.key(t, k)
	}
	g.secret["wrong"] = g.secret["admin"][:len(g.secret["admin"])-4] + "aaaa"
	if _, err := g.db.RevokeKey(ctx, g.id["revoked"]); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(time.Minute)
	return g
}

func (g *guarded) key(t testing.TB, spec engram.KeySpec) {
	t.Helper()
	k, secret, err := g.db.CreateKey(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	g.secret[spec.Name], g.id[spec.Name] = secret, k.ID
}

func (g *guarded) header(key string) http.Header {
	if g.secret[key] == "" {
		return http.Header{}
	}
	return http.Header{"Authorization": {"Bearer " + g.secret[key]}}
}

// needed is what each call of the schema needs: written down here again, so that
// a slip of the server's own table is seen.
var needed = map[string]string{
	"GetVersion": "nothing", "GetJob": "key",
	"GetSpace": "read", "ListSpaces": "read", "GetMemory": "read", "GetMemories": "read", "ListMemories": "read", "Recall": "read", "CheckRecall": "admin", "ReplayRecall": "read",
	"GetEntity": "read", "ListEntities": "read", "GetLink": "read", "ListMemoryLinks": "read", "ListEntityLinks": "read", "Spread": "read", "Recognise": "read",
	"Complete": "read", "Match": "read", "Query": "read", "ListConcepts": "read", "GetConcept": "read", "ListPlans": "read", "ListEvents": "read",
	"Remember": "write", "RememberBatch": "write", "UpdateMemory": "write", "DeleteMemory": "write", "Forget": "write", "Restore": "write", "Feedback": "write",
	"PutEntity": "write", "UpdateEntity": "write", "DeleteEntity": "write", "MergeEntities": "write", "UnmergeEntities": "write", "Relink": "write", "CreateLink": "write", "CreateLinks": "write",
	"UpdateLink": "write", "DeleteLink": "write", "Consolidate": "write", "RevertPlan": "write", "CancelJob": "write",
	"PutSpace": "admin", "UpdateSpace": "admin", "DeleteSpace": "admin", "CreateKey": "admin", "ListKeys": "admin", "RotateKey": "admin", "RevokeKey": "admin", "ListActs": "admin",
	"ListModels": "admin", "GetModel": "admin", "AddModel": "admin", "DeleteModel": "admin", "EmbedTexts": "admin", "ReembedSpace": "admin",
}

// has is what each key may do; a key whose name ends in " a" sees that space alone.
var has = map[string]string{"admin": "read write admin", "read": "read", "write": "write", "both": "read write", "read a": "read", "write a": "write", "both a": "read write"}

var unauthenticated = map[string]string{"none": "key_missing", "wrong": "key_invalid", "revoked": "key_revoked", "expired": "key_expired"}

// wanted says with which code a call is refused, "" for not at all.
func wanted(method, key, space string) string {
	need := needed[method]
	switch code, bad := unauthenticated[key]; {
	case need == "nothing":
		return ""
	case bad:
		return code
	case strings.HasSuffix(key, " a") && space != "" && space != "a":
		return "space_not_found"
	case need != "key" && !strings.Contains(" "+has[key]+" ", " "+need+" "):
		return "scope_missing"
	}
	return ""
}

// minimal is a message that names a space and an id, and says nothing else.
func minimal(m protoreflect.MethodDescriptor, space string) (proto.Message, bool) {
	q := fresh(m.Input())
	set := func(name protoreflect.Name, v string) bool {
		fd := m.Input().Fields().ByName(name)
		if fd == nil || fd.Kind() != protoreflect.StringKind || fd.IsList() {
			return false
		}
		q.ProtoReflect().Set(fd, protoreflect.ValueOfString(v))
		return true
	}
	set("id", "none")
	named := set("space", space)
	return q, named
}

// TestAccessTable goes through door x key x space x verb.
func TestAccessTable(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	n := 0
	hidden := map[string]string{} // what is said of a space, by how it is hidden
	for _, d := range doors(t, addr) {
		for _, name := range methodNames() {
			if needed[name] == "" {
				t.Fatalf("%s is new: say what it needs", name)
			}
			for key := range g.secret {
				for _, space := range []string{"a", "b", "nowhere"} {
					q, named := minimal(methodOf(name), space)
					if !named {
						space = ""
					}
					if name == "PutSpace" && key == "admin" && space == "nowhere" {
						continue // it would be there
					}
					r := d.call(t, name, q, g.header(key))
					n++
					where := fmt.Sprintf("%s: %s with the key %q in the space %q", d.name, name, key, space)
					checkAccess(t, where, wanted(name, key, space), space, r.failure)
					if r.failure.GetCode() == "space_not_found" {
						f := proto.Clone(r.failure).(*engramv1.Error)
						f.RequestId, f.Op = "", ""
						hidden[strings.ReplaceAll(f.String(), `\"`+space+`\"`, `\"SPACE\"`)] = where
					}
					if space == "" {
						break
					}
				}
			}
		}
	}
	hint := map[string]bool{}
	for said := range hidden {
		said = strings.NewReplacer("/spaces/b", "/spaces/X", "/spaces/nowhere", "/spaces/X", "create b,", "create X,", "create nowhere,", "create X,").Replace(said)
		hint[strings.Join(strings.Fields(said), " ")] = true
	}
	if len(hint) != 1 {
		t.Errorf("a space that is hidden and one that is not there are told apart: %v", hint)
	}
	t.Logf("%d calls", n)
}

func checkAccess(t *testing.T, where, want, space string, f *engramv1.Error) {
	t.Helper()
	got := f.GetCode()
	if want != "" {
		if got != want {
			t.Errorf("%s: %q, want %q", where, got, want)
		}
		return
	}
	switch got { // it was let in; whatever the call itself says is fine, but not these
	case "key_missing", "key_invalid", "key_revoked", "key_expired", "scope_missing", "internal":
		t.Errorf("%s: %v", where, f)
	case "space_not_found":
		if space != "nowhere" {
			t.Errorf("%s: %v", where, f)
		}
	}
}

// TestStreamAccess: the same rules where events are streamed.
func TestStreamAccess(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	needed := func(key, space string) string {
		if code := wanted("ListEvents", key, space); code != "" || space != "nowhere" {
			return code
		}
		return "space_not_found"
	}
	for key := range g.secret {
		for _, space := range []string{"a", "b", "nowhere"} {
			path, want := "/v1/spaces/"+space+"/events", needed(key, space)
			checkStream(t, "sse "+key+" "+space, want, func(ctx context.Context) string {
				r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = g.header(key)
				r.Header.Set("Accept", "text/event-stream")
				a, err := client(t, false).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = a.Body.Close() }()
				if a.StatusCode == 200 {
					return ""
				}
				return read(t, a).failure()["code"].(string)
			})
			checkStream(t, "websocket "+key+" "+space, want, func(context.Context) string {
				_, a, err := tryEvents(t, addr, path, g.header(key))
				if err == nil {
					return ""
				}
				return read(t, a).failure()["code"].(string)
			})
			for name, options := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}} {
				checkStream(t, name+" "+key+" "+space, want, func(ctx context.Context) string {
					return subscribeCode(ctx, t, g, addr, key, space, want, options)
				})
			}
		}
	}
}

func subscribeCode(ctx context.Context, t *testing.T, g *guarded, addr, key, space, want string, options []connect.ClientOption) string {
	c := engramv1connect.NewEventServiceClient(client(t, true), "http://"+addr, options...)
	ctx, info := connect.NewClientContext(ctx)
	for k, v := range g.header(key) {
		info.RequestHeader()[k] = v
	}
	st, err := c.Subscribe(ctx, &engramv1.SubscribeRequest{Space: space, After: new(uint64)})
	if err == nil {
		defer func() { _ = st.Close() }()
		if want == "" {
			return "" // it would wait for an event
		}
		st.Receive()
		err = st.Err()
	}
	e, ok := err.(*connect.Error)
	if !ok {
		return fmt.Sprint(err)
	}
	return detailOf(e).GetCode()
}

func checkStream(t *testing.T, where, want string, open func(context.Context) string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if got := open(ctx); got != want {
		t.Errorf("%s: %q, want %q", where, got, want)
	}
}

// TestPagesAccess: what is not the API.
func TestPagesAccess(t *testing.T) {
	g := newGuarded(t)
	for path, open := range map[string]string{
		"/healthz": "all", "/readyz": "all", "/openapi.json": "all", "/docs": "all", "/v1/version": "all",
		"/metrics": "admin, read, both", "/debug/pprof/": "admin", "/debug/pprof/heap": "admin", "/debug/pprof/goroutine": "admin", "/debug/pprof/symbol": "admin",
	} {
		for key := range g.secret {
			h := []string{}
			if g.secret[key] != "" {
				h = []string{"Authorization", "bearer " + g.secret[key]}
			}
			a := do(t, g, "GET", path, "", h...)
			let := open == "all"
			for _, k := range strings.Split(open, ", ") {
				let = let || k == key
			}
			if let != (a.status == 200) {
				t.Errorf("%s with the key %q: %d %.200s", path, key, a.status, a.body)
			}
			if !let && a.failure()["code"] == nil || a.status == 401 && a.header.Get("WWW-Authenticate") != `Bearer realm="engram"` {
				t.Errorf("%s with the key %q: %d %.200s %v", path, key, a.status, a.body, a.header)
			}
		}
	}
	if a := do(t, g, "GET", "/metrics", "", "Authorization", "bearer "+g.secret["read a"]); a.failure()["code"] != "key_of_some_spaces" {
		t.Errorf("metrics with a key of one space: %s", a.body)
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/../../x"} {
		if a := do(t, g, "GET", path, "", "Authorization", "Bearer "+g.secret["admin"]); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	open := newGuarded(t, func(o *server.Options) { o.MetricsOpen = true })
	if a := do(t, open, "GET", "/metrics", ""); a.status != 200 {
		t.Errorf("open metrics: %d", a.status)
	}
}

// TestNoKeyIsNeededUntilThereIsOne, unless the operator says so.
func TestNoKeyIsNeededUntilThereIsOne(t *testing.T) {
	s := newServer(t)
	if a := do(t, s, "GET", space, "", "Authorization", "Bearer nonsense"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := do(t, s, "POST", "/v1/keys", `{"name":"ops","scopes":["admin"]}`)
	if a.status != 201 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	secret := "Bearer " + a.json["secret"].(string)
	if a := do(t, s, "GET", space, ""); a.status != 401 || a.failure()["code"] != "key_missing" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", space, "", "Authorization", secret); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, h := range []string{"Basic YTpi", "Bearer", "Bearer ", secret + "x", "nonsense"} {
		if a := do(t, s, "GET", space, "", "Authorization", h); a.status != 401 || a.failure()["code"] != "key_invalid" {
			t.Errorf("%q: %d %s", h, a.status, a.body)
		}
	}
	// A key in the query would stand in logs; it is a parameter like any other.
	if a := do(t, s, "GET", space+"?key="+strings.TrimPrefix(secret, "Bearer "), ""); a.status != 401 {
		t.Errorf("%d", a.status)
	}
	strict := newServer(t, func(o *server.Options) { o.RequireKeys = true })
	if a := do(t, strict, "GET", space, ""); a.status != 401 {
		t.Errorf("%d", a.status)
	}
	if a := do(t, strict, "POST", "/v1/keys", `{"name":"ops","scopes":["admin"]}`); a.status != 401 {
		t.Errorf("%d", a.status)
	}
}

// TestListsLeaveHiddenSpacesOut, also page by page.
func TestListsLeaveHiddenSpacesOut(t *testing.T) {
	g := newGuarded(t)
	g.key(t, engram.KeySpec{Name: "some", Scopes: []engram.Scope{engram.ScopeRead}, Spaces: []memory.SpaceName{"a", "default", "nowhere"}})
	var names []string
	token := ""
	for {
		a := do(t, g, "GET", "/v1/spaces?page_size=1&page_token="+token, "", "Authorization", "Bearer "+g.secret["some"])
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for _, s := range a.json["spaces"].([]any) {
			names = append(names, s.(map[string]any)["name"].(string))
		}
		if token = a.json["next_page_token"].(string); token == "" {
			break
		}
	}
	if strings.Join(names, " ") != "a default" {
		t.Errorf("%v", names)
	}
}

// TestWriteAloneTellsNothing: a key that may only write does not learn what there
// is by writing.
func TestWriteAloneTellsNothing(t *testing.T) {
	g := newGuarded(t)
	write := []string{"Authorization", "Bearer " + g.secret["write a"]}
	for _, body := range []string{`{"filter":{"tags":["x"]}}`, `{"ids":["a"],"dry_run":true}`} {
		for _, verb := range []string{"forget", "restore"} {
			if a := do(t, g, "POST", "/v1/spaces/a/memories/"+verb, body, write...); a.status != 403 || a.failure()["details"].(map[string]any)["needs"] != "read" {
				t.Errorf("%s %s: %d %s", verb, body, a.status, a.body)
			}
			if a := do(t, g, "POST", "/v1/spaces/a/memories/"+verb, body, "Authorization", "Bearer "+g.secret["both a"]); a.status != 200 {
				t.Errorf("%s %s: %d %s", verb, body, a.status, a.body)
			}
		}
	}
}

// TestIdempotencyKeysBelongToAKey: two callers may use the same.
func TestIdempotencyKeysBelongToAKey(t *testing.T) {
	g := newGuarded(t)
	say := func(key, text string) answer {
		return do(t, g, "POST", "/v1/spaces/a/memories", `{"text":"`+text+`"}`, "Authorization", "Bearer "+g.secret[key], "Idempotency-Key", "k")
	}
	one, other, again := say("write", "one"), say("write a", "other"), say("write", "one")
	if one.status != 201 || other.status != 201 || again.status != 200 || one.json["id"] == other.json["id"] || again.json["id"] != one.json["id"] {
		t.Errorf("%s, %s, %s", one.body, other.body, again.body)
	}
}

// TestJobsOfOthers: a key of another space does not see a job.
func TestJobsOfOthers(t *testing.T) {
	g := newGuarded(t)
	d := do(t, g, "DELETE", "/v1/spaces/b?confirm=b", "", "Authorization", "Bearer "+g.secret["admin"])
	job, _ := d.json["job"].(string)
	if d.status != 202 || job == "" {
		t.Fatalf("%d %s", d.status, d.body)
	}
	for key, status := range map[string]int{"admin": 200, "read": 200, "write": 200, "both a": 404, "read a": 404} {
		a := do(t, g, "GET", "/v1/jobs/"+job, "", "Authorization", "Bearer "+g.secret[key])
		if a.status != status || status == 200 && a.json["space"] != "b" {
			t.Errorf("%s: %d %s", key, a.status, a.body)
		}
		none := do(t, g, "GET", "/v1/jobs/none", "", "Authorization", "Bearer "+g.secret[key])
		if status == 404 && strings.ReplaceAll(a.failure()["message"].(string), job, "none") != none.failure()["message"] {
			t.Errorf("%s: told apart: %s, %s", key, a.body, none.body)
		}
	}
}

// TestActsOfServers: what an administrator did through a door is recorded.
func TestActsOfServers(t *testing.T) {
	g := newGuarded(t)
	admin := []string{"Authorization", "Bearer " + g.secret["admin"]}
	do(t, g, "PUT", "/v1/spaces/c", `{}`, admin...)
	do(t, g, "PUT", "/v1/spaces/c", `{}`, admin...) // changes nothing
	do(t, g, "PATCH", "/v1/spaces/c", `{"settings":{"horizon":"3600s"}}`, admin...)
	do(t, g, "DELETE", "/v1/spaces/c?confirm=c", "", admin...)
	k := do(t, g, "POST", "/v1/keys", `{"name":"new","scopes":["read"]}`, admin...)
	id := k.json["key"].(map[string]any)["id"].(string)
	do(t, g, "POST", "/v1/keys/"+id+"/rotate", `{"grace":"0s"}`, admin...)
	do(t, g, "DELETE", "/v1/keys/"+id, "", admin...)
	a := do(t, g, "GET", "/v1/acts?page_size=1000", "", admin...)
	var said []string
	for _, x := range a.json["acts"].([]any) {
		if m := x.(map[string]any); m["who"] == "key "+g.id["admin"] {
			said = append(said, m["what"].(string)+" "+m["target"].(string))
		}
	}
	want := fmt.Sprintf("space_created c, space_changed c, space_dropped c, key_created %s, key_rotated %s, key_revoked %s", id, id, id)
	if strings.Join(said, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(said, ", "), want)
	}
}

// TestKeyEndsMidStream: revoked, expired and rotated keys are cut at every door
// that streams, and told why.
func TestKeyEndsMidStream(t *testing.T) {
	for _, how := range []string{"revoked", "expired", "rotated"} {
		t.Run(how, func(t *testing.T) {
			g := newGuarded(t)
			addr := listen(t, g.Server)
			spec := engram.KeySpec{Name: "reader", Scopes: []engram.Scope{engram.ScopeRead}}
			if how == "expired" {
				spec.Expires = g.clock.Now().Add(time.Hour)
			}
			g.key(t, spec)
			next, _ := subscribe(t, addr, space+"/events", "Authorization", "Bearer "+g.secret["reader"])
			ws := dialEvents(t, addr, space+"/events", nil, "engram.events", "engram.key."+g.secret["reader"])
			c := engramv1connect.NewEventServiceClient(client(t, true), "http://"+addr, connect.WithGRPC())
			ctx, info := connect.NewClientContext(context.Background())
			info.RequestHeader()["Authorization"] = g.header("reader")["Authorization"]
			st, err := c.Subscribe(ctx, &engramv1.SubscribeRequest{Space: "default"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = st.Close() }()
			want := "key_" + strings.Replace(how, "rotated", "expired", 1)
			endKey(t, g, how)
			if f := must(t, next); f.event != "error" || f.data["error"].(map[string]any)["code"] != want {
				t.Errorf("sse: %+v", f)
			}
			if f, err := next(); err == nil {
				t.Errorf("sse goes on: %+v", f)
			}
			if f := ws.next(t); f.event != "error" || f.data["error"].(map[string]any)["code"] != want {
				t.Errorf("websocket: %+v", f)
			}
			if _, err := ws.read(); err != nil {
				if _, reason := closedWith(err); reason != want {
					t.Errorf("websocket: closed with %v", err)
				}
			}
			for st.Receive() {
				t.Errorf("grpc goes on: %v", st.Msg())
			}
			e, ok := st.Err().(*connect.Error)
			if !ok || e.Code() != connect.CodeUnauthenticated || detailOf(e).GetCode() != want {
				t.Errorf("grpc: %v", st.Err())
			}
		})
	}
}

// TestKeyEndsMidBody: a key that is revoked while the body is still coming does
// not let it through.
func TestKeyEndsMidBody(t *testing.T) {
	g := newGuarded(t)
	addr := listen(t, g.Server)
	in, out := io.Pipe()
	r, err := http.NewRequest("POST", "http://"+addr+"/v1/spaces/a/memories", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = g.header("write a")
	r.Header.Set("Expect", "100-continue") // so that it is known when the server reads the body
	go func() {
		if _, err := out.Write([]byte(`{"text":`)); err != nil {
			t.Error(err)
		}
		if _, err := g.db.RevokeKey(context.Background(), g.id["write a"]); err != nil {
			t.Error(err)
		}
		_, _ = out.Write([]byte(`"too late"}`))
		_ = out.Close()
	}()
	h := client(t, false)
	h.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	a, err := h.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	if got := read(t, a); got.status != 401 || got.failure()["code"] != "key_revoked" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// endKey ends the key reader. The clock is moved on until the streams are gone:
// one may have looked at it before it began to wait.
func endKey(t *testing.T, g *guarded, how string) {
	t.Helper()
	switch how {
	case "revoked":
		if _, err := g.db.RevokeKey(context.Background(), g.id["reader"]); err != nil {
			t.Fatal(err)
		}
		return
	case "rotated":
		if _, _, err := g.db.RotateKey(context.Background(), g.id["reader"], time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for {
		g.clock.Advance(time.Hour)
		if m := do(t, g, "GET", "/metrics", "", "Authorization", "Bearer "+g.secret["admin"]); strings.Contains(m.body, "engram_streams 0") {
			return
		}
	}
}

func TestKeysAPI(t *testing.T) {
	g := newGuarded(t)
	admin := []string{"Authorization", "Bearer " + g.secret["admin"]}
	a := do(t, g, "POST", "/v1/keys", `{"name":"n","scopes":["write","read"],"spaces":["b","a"],"expires_at":"2030-01-01T00:00:00Z"}`, admin...)
	k, _ := a.json["key"].(map[string]any)
	if a.status != 201 || k["state"] != "active" || fmt.Sprint(k["scopes"], k["spaces"]) != "[read write] [a b]" || k["created_by"] != "key "+g.id["admin"] || k["expires_at"] != "2030-01-01T00:00:00Z" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	l := do(t, g, "GET", "/v1/keys?page_size=4", "", admin...)
	seen := 0
	for {
		for _, x := range l.json["keys"].([]any) {
			seen++
			if _, ok := x.(map[string]any)["secret"]; ok {
				t.Errorf("a list has a secret: %v", x)
			}
		}
		next := l.json["next_page_token"].(string)
		if next == "" {
			break
		}
		l = do(t, g, "GET", "/v1/keys?page_size=4&page_token="+next, "", admin...)
	}
	if seen != len(g.id)+1 {
		t.Errorf("%d keys, want %d", seen, len(g.id)+1)
	}
	r := do(t, g, "POST", "/v1/keys/"+k["id"].(string)+"/rotate", `{}`, admin...)
	if r.status != 200 || r.json["secret"] == a.json["secret"] || r.json["key"].(map[string]any)["old_until"] != "2026-05-05T10:01:00Z" {
		t.Errorf("%d %s", r.status, r.body)
	}
	d := do(t, g, "DELETE", "/v1/keys/"+k["id"].(string), "", admin...)
	if d.status != 200 || d.json["key"].(map[string]any)["state"] != "revoked" {
		t.Errorf("%d %s", d.status, d.body)
	}
}
