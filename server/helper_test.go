package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server"
)

// newServer makes a server over a database in memory.
func newServer(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	return newServerOver(t, engram.Options{FS: vfs.NewMem(), ReserveBytes: -1}, change...)
}

// newServerOver is newServer over a database of one's own options.
func newServerOver(t testing.TB, own engram.Options, change ...func(*server.Options)) *server.Server {
	t.Helper()
	db, err := engram.Open(context.Background(), "data", own)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Hosts: []string{"example.com", "x"}} // httptest's, and ours
	for _, f := range change {
		f(&o)
	}
	s, err := server.New(db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

// failure is the error in the answer, nil for none.
func (a answer) failure() map[string]any {
	e, _ := a.json["error"].(map[string]any)
	return e
}

// do sends one request, in process; headers are name, value, name, value.
func do(t testing.TB, s http.Handler, method, path, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return read(t, w.Result())
}

func read(t testing.TB, r *http.Response) answer {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: r.StatusCode, header: r.Header, body: string(b)}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(b, &a.json); err != nil {
			t.Fatalf("the answer is not JSON: %v\n%s", err, b)
		}
	}
	return a
}

// remember stores a memory in the space default and gives its id.
func remember(t testing.TB, s http.Handler, body string) string {
	t.Helper()
	a := do(t, s, "POST", "/v1/spaces/default/memories", body)
	if a.status != http.StatusCreated {
		t.Fatalf("remember: %d %s", a.status, a.body)
	}
	return a.json["id"].(string)
}

// memoryOf is a memory of a text.
func memoryOf(text string) memory.Episode { return memory.Episode{Text: text} }
