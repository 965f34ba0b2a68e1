package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// makers are the functions that make an error, and which argument is the code.
var makers = map[string]int{"Errorf": 1, "Invalid": 0, "NotFound": 0}

var codeWord = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

// TestCodesAreDocumented: a client finds every code in docs/guide/errors.md.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/guide/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"..", "../memory", "../store", "../facet", "../graph", "../text", "../ann", "../recall", ".", "wirejson"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			for _, code := range codesOf(t, f) {
				if !strings.Contains(string(doc), "`"+code+"`") {
					t.Errorf("%s gives the code %s, which docs/guide/errors.md does not list", f, code)
				}
			}
		}
	}
}

// codesOf finds the literal codes of errors in a file: arguments of the makers,
// fields named Code, and constants named code....
func codesOf(t *testing.T, file string) (codes []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && codeWord.MatchString(s) {
			codes = append(codes, s)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			if i, ok := makers[nameOf(x.Fun)]; ok && i < len(x.Args) {
				add(x.Args[i])
			}
		case *ast.KeyValueExpr:
			if id, ok := x.Key.(*ast.Ident); ok && id.Name == "Code" {
				add(x.Value)
			}
		case *ast.ValueSpec:
			for i, name := range x.Names {
				if strings.HasPrefix(name.Name, "code") && i < len(x.Values) {
					add(x.Values[i])
				}
			}
		}
		return true
	})
	return codes
}

func nameOf(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}
