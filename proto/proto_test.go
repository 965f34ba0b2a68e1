package proto_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/engramdb/engram/proto"
)

// gen runs the generator; it skips the test only when the tools can not be
// fetched, which is when the module proxy is out of reach.
func gen(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"run", "./gen"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	if unreachable(out) {
		t.Skipf("the schema tools can not be fetched: the module proxy is out of reach\n%s", out)
	}
	t.Fatalf("go run ./gen %s: %v\n%s", strings.Join(args, " "), err, out)
}

func unreachable(out []byte) bool {
	for _, s := range []string{"dial tcp", "no such host", "i/o timeout", "connection refused", "GOPROXY=off"} {
		if bytes.Contains(out, []byte(s)) {
			return true
		}
	}
	return false
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	dir := t.TempDir()
	gen(t, "-out", dir)
	fresh := os.DirFS(filepath.Join(dir, "proto"))
	committed := os.DirFS(".")
	seen := map[string]bool{}
	walk(t, fresh, func(name string) {
		seen[name] = true
		want, err := fs.ReadFile(fresh, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(committed, name)
		if errors.Is(err, fs.ErrNotExist) || !bytes.Equal(got, want) {
			t.Errorf("proto/%s is not what the schema gives; run go run ./proto/gen", name)
		}
	})
	walk(t, committed, func(name string) {
		if _, err := fs.ReadFile(committed, name); err != nil { // so that a cached result knows the file
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "engram/") && !strings.HasSuffix(name, ".proto") && !seen[name] {
			t.Errorf("proto/%s comes from nothing in the schema", name)
		}
	})
}

func walk(t *testing.T, fsys fs.FS, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			f(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSchemaIsCleanAndCompatible(t *testing.T) {
	gen(t, "-check")
}

// TestOpenAPIIsWhole: every reference leads somewhere, and nothing is null.
func TestOpenAPIIsWhole(t *testing.T) {
	var doc any
	if err := json.Unmarshal(proto.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var look func(path string, v any)
	look = func(path string, v any) {
		switch x := v.(type) {
		case nil:
			t.Errorf("%s is null", path)
		case []any:
			for _, e := range x {
				look(path+"[]", e)
			}
		case map[string]any:
			if ref, ok := x["$ref"].(string); ok && !resolves(doc, ref) {
				t.Errorf("%s leads nowhere: %s", path, ref)
			}
			for k, e := range x {
				look(path+"/"+k, e)
			}
		}
	}
	look("", doc)
}

func resolves(doc any, ref string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := doc.(map[string]any)
		if doc = m[part]; doc == nil {
			return false
		}
	}
	return true
}

func TestOpenAPISpeaksSnakeCase(t *testing.T) {
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(proto.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi is %q", doc.OpenAPI)
	}
	if doc.Paths["/v1/spaces/{space}/recall"]["post"].OperationID != "Recall" {
		t.Errorf("no Recall at POST /v1/spaces/{space}/recall")
	}
	for name, s := range doc.Components.Schemas {
		for p := range s.Properties {
			if strings.ToLower(p) != p {
				t.Errorf("%s.%s is not snake_case", name, p)
			}
		}
	}
	if _, ok := doc.Components.Schemas["ErrorResponse"]; !ok {
		t.Error("no ErrorResponse")
	}
}
