package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/engramdb/engram/server"
)

// TestUploadRefused: a model's file is read of an administrator alone, and what is no
// file of a model is refused whole.
func TestUploadRefused(t *testing.T) {
	g := newGuarded(t)
	for key, want := range map[string]int{"none": 401, "read": 403, "both": 403, "both a": 403, "admin": 400} {
		r := do(t, g.Server, "PUT", "/v1/models/m", "no model", "Authorization", g.header(key).Get("Authorization"))
		if r.status != want {
			t.Errorf("with the key %s: %d %s", key, r.status, r.body)
		}
		if code := r.failure()["code"]; key == "admin" && code != "model_file_invalid" {
			t.Errorf("code %v", code)
		}
	}
	admin := g.header("admin").Get("Authorization")
	for path, code := range map[string]string{"/v1/models/Bad%20Name": "model_name_invalid", "/v1/models/m?x=1": "field_unknown"} {
		if r := do(t, g.Server, "PUT", path, "x", "Authorization", admin); r.failure()["code"] != code {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := do(t, g.Server, "PUT", "/v1/models/m", "x", "Authorization", admin, "Content-Encoding", "gzip"); r.failure()["code"] != "encoding_unknown" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := do(t, g.Server, "POST", "/v1/models/m", "x", "Authorization", admin); r.status != http.StatusBadRequest && r.status != http.StatusMethodNotAllowed {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := do(t, g.Server, "GET", "/v1/models/m", "", "Authorization", admin); r.status != http.StatusNotFound {
		t.Errorf("it is there: %d %s", r.status, r.body)
	}
}

// TestModelKeys: over the network a key's file lies in the directory that is named for
// keys, however its path is written, and the answer never has the key.
func TestModelKeys(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.ModelKeys = "/etc/engram/keys" })
	for file, denied := range map[string]bool{
		"openai": false, "/etc/engram/keys/openai": false, "sub/openai": false,
		"../server.key": true, "/etc/passwd": true, "/etc/engram/keys/../server.key": true, "sub/../../x": true, "/etc/engram/keysx": true,
	} {
		r := do(t, s, "POST", "/v1/models", `{"name":"m","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":8,"key_file":"`+file+`"}}`)
		if got := r.failure()["code"] == "model_key_denied"; got != denied || !denied && r.status >= 300 {
			t.Errorf("%s: %d %s", file, r.status, r.body)
		}
		if !denied && !strings.Contains(r.body, `"key_file":"/etc/engram/keys/`) {
			t.Errorf("%s: %s", file, r.body)
		}
		do(t, s, "DELETE", "/v1/models/m", "")
	}
}
