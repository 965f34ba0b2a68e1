package server_test

import (
	"io"
	"net/http/httptest"
	"testing"
)

// unread is a body that nobody reads.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

// TestDeclaredBodies: a body that says itself that it is too large is not waited for.
func TestDeclaredBodies(t *testing.T) {
	s := newServer(t)
	for path, contentType := range map[string]string{space + "/memories": "application/json", rememberPath: "application/json", "/mcp": "application/json"} {
		r := httptest.NewRequest("POST", "http://localhost"+path, unread{t})
		r.ContentLength = 1 << 40
		r.Header.Set("Content-Type", contentType)
		a := httptest.NewRecorder()
		s.ServeHTTP(a, r)
		if a.Code != 413 && path != rememberPath || a.Code == 200 {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
}
