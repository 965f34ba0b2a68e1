package arch

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestFormat wants every Go file as gofmt writes it.
func TestFormat(t *testing.T) {
	for _, f := range goFiles(t) {
		out, err := format.Source(f.src)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		} else if !bytes.Equal(out, f.src) {
			t.Errorf("%s is not formatted; run gofmt -w %s", f.name, f.name)
		}
	}
}

// TestPackageDocs wants one sentence at each package that says what it holds or
// does, in the form that go doc shows.
func TestPackageDocs(t *testing.T) {
	docs := map[string][]string{}
	names := map[string]string{}
	for _, f := range goFiles(t) {
		if f.isTest {
			continue
		}
		names[f.dir] = f.syntax.Name.Name
		if f.syntax.Doc != nil && !f.generated {
			docs[f.dir] = append(docs[f.dir], f.syntax.Doc.Text())
		} else if f.generated && docs[f.dir] == nil {
			docs[f.dir] = []string{}
		}
	}
	for dir, pkg := range names {
		if docs[dir] != nil && len(docs[dir]) == 0 {
			continue // generated whole
		}
		if len(docs[dir]) != 1 {
			t.Errorf("package %q has %d package docs; it has one, in one file", dir, len(docs[dir]))
			continue
		}
		start := "Package " + pkg + " "
		if pkg == "main" {
			start = "Command " + path.Base(dir) + " "
		}
		first, _, _ := strings.Cut(docs[dir][0], "\n\n")
		if !strings.HasPrefix(first, start) {
			t.Errorf("the doc of package %q starts %q; it starts %q", dir, firstWords(first), start)
		}
		if !strings.ContainsAny(first, ".:") {
			t.Errorf("the doc of package %q has no whole first sentence", dir)
		}
	}
}

func firstWords(s string) string {
	w := strings.Fields(s)
	return strings.Join(w[:min(len(w), 4)], " ")
}

// TestExportedDocs wants a sentence at every exported name.
func TestExportedDocs(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest || f.generated || f.syntax.Name.Name == "main" {
			continue
		}
		for _, d := range f.syntax.Decls {
			for _, bare := range undocumented(d) {
				t.Errorf("%s: exported %s has no doc", files.Position(bare.Pos()), bare.Name)
			}
		}
	}
}

// spokenFor are methods whose meaning the interface that they satisfy gives.
var spokenFor = []string{"String", "Error", "Unwrap", "Len", "Less", "Swap", "Push", "Pop", "ServeHTTP", "MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON"}

func undocumented(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || d.Doc != nil || d.Recv != nil && !heard(d) {
			return nil
		}
		return []*ast.Ident{d.Name}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		return bareSpecs(d)
	}
	return nil
}

// heard says whether a method shows in the package's documentation and its name
// alone does not say what it does.
func heard(d *ast.FuncDecl) bool {
	recv := d.Recv.List[0].Type
	for {
		switch r := recv.(type) {
		case *ast.StarExpr:
			recv = r.X
			continue
		case *ast.IndexExpr:
			recv = r.X
			continue
		case *ast.IndexListExpr:
			recv = r.X
			continue
		case *ast.Ident:
			return r.IsExported() && !slices.Contains(spokenFor, d.Name.Name)
		}
		return false
	}
}

func bareSpecs(d *ast.GenDecl) (bare []*ast.Ident) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				bare = append(bare, s.Name)
			}
		case *ast.ValueSpec:
			if s.Doc != nil || s.Comment != nil || d.Doc != nil {
				continue
			}
			for _, n := range s.Names {
				if n.IsExported() {
					bare = append(bare, n)
				}
			}
		}
	}
	return bare
}

// TestNoVagueNames refuses packages that are a drawer for everything.
func TestNoVagueNames(t *testing.T) {
	vague := []string{"util", "utils", "utility", "common", "commons", "helper", "helpers", "manager", "managers", "misc", "shared", "lib"}
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		if seen[f.dir] {
			continue
		}
		seen[f.dir] = true
		for _, part := range append(strings.Split(f.dir, "/"), f.syntax.Name.Name) {
			if slices.Contains(vague, part) {
				t.Errorf("package %q: %q says nothing about what is in it; name it after its one idea", f.dir, part)
			}
		}
	}
}

// TestTestsNeverSleep wants tests that move a clock instead of waiting for one.
func TestTestsNeverSleep(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.isTest {
			continue
		}
		for _, p := range calls(f.syntax, "time", "Sleep") {
			t.Errorf("%s: a test sleeps; move a virtual clock, wait on a channel, or poll with a deadline", files.Position(p))
		}
	}
}

// TestNothingUnwritten refuses bodies that were left for later.
func TestNothingUnwritten(t *testing.T) {
	for _, f := range goFiles(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) != 1 {
				return true
			}
			fun, isIdent := c.Fun.(*ast.Ident)
			arg, isLit := c.Args[0].(*ast.BasicLit)
			if isIdent && isLit && fun.Name == "panic" && arg.Value == `"unwritten"` {
				t.Errorf("%s: this body is unwritten", files.Position(c.Pos()))
			}
			return true
		})
	}
}

// calls finds the uses of pkg.name in a file.
func calls(f *ast.File, pkg, name string) (at []token.Pos) {
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || s.Sel.Name != name {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
			at = append(at, s.Pos())
		}
		return true
	})
	return at
}
