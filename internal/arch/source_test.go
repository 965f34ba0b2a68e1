package arch

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// goFile is one Go file of the module, parsed with its comments.
type goFile struct {
	name      string // below the module root, with slashes
	dir       string // its package's folder, "" for the root
	src       []byte
	syntax    *ast.File
	isTest    bool
	generated bool
}

// imports lists the paths that the file imports.
func (f *goFile) imports() []string {
	var paths []string
	for _, i := range f.syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

var files = token.NewFileSet()

// source parses the module once for all tests.
var source = sync.OnceValues(func() ([]*goFile, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	var found []*goFile
	err = eachFile(root, func(name string, src []byte) error {
		if !strings.HasSuffix(name, ".go") || isTestdata(name) {
			return nil
		}
		f, err := parse(name, src)
		found = append(found, f)
		return err
	})
	return found, err
})

// goFiles gives the module's Go files, of nested modules none.
func goFiles(t *testing.T) []*goFile {
	t.Helper()
	fs, err := source()
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func parse(name string, src []byte) (*goFile, error) {
	syntax, err := parser.ParseFile(files, name, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	return &goFile{
		name: name, dir: dir, src: src, syntax: syntax,
		isTest:    strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(syntax),
	}, nil
}

func isTestdata(name string) bool { return slices.Contains(strings.Split(name, "/"), "testdata") }

// moduleRoot is the folder of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test")
		}
		dir = up
	}
}

// eachFile reads every text file of the checkout that git would keep: what
// stands in hidden folders other than .ci, and files with a zero byte, are left
// out. Nested modules are given too when they are not Go.
func eachFile(root string, visit func(name string, src []byte) error) error {
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if skipFolder(root, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		src, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file that went while we walked
		}
		if err != nil {
			return err
		}
		if bytes.IndexByte(src, 0) >= 0 || len(src) > 4<<20 {
			return nil
		}
		return visit(name, src)
	})
}

func skipFolder(root, name string) bool {
	base := path.Base(name)
	switch {
	case name == ".":
		return false
	case base == "node_modules" || base == "vendor":
		return true
	case name == "bin" || name == "dist":
		return true // built by the Makefile, ignored by git
	case strings.HasPrefix(base, "."):
		return base != ".ci" && base != ".github"
	}
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name), "go.mod"))
	return err == nil
}
