package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestEveryPackageHasARoom refuses packages that the table does not know.
func TestEveryPackageHasARoom(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		if seen[f.dir] {
			continue
		}
		seen[f.dir] = true
		if roomOf(f.dir) == nil {
			t.Errorf("package %q has no room: name it in internal/arch/tower_test.go, with its level and one sentence", f.dir)
		}
	}
}

// TestImportsPointDown refuses the arrows that the tower forbids.
func TestImportsPointDown(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, to := range f.imports() {
			if why := judge(f.dir, to, f.isTest); why != "" {
				t.Errorf("%s imports %s: %s", f.name, to, why)
			}
		}
	}
}

// TestStandardBans keeps I/O, locks and loggers out of the rooms that must not
// have them. Tests may use what they like.
func TestStandardBans(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest {
			continue
		}
		for _, to := range f.imports() {
			if why := judgeStandard(f, to); why != "" {
				t.Errorf("%s imports %s: %s", f.name, to, why)
			}
		}
	}
}

// TestJudge shows that the judge finds what it is there for.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test, ok bool
	}{
		{from: "recall", to: module + "/ann", ok: true},
		{from: "ann", to: module + "/vector", ok: true},
		{from: "ann", to: module + "/text"},
		{from: "ann", to: module + "/recall"},
		{from: "store", to: module},
		{from: "", to: module + "/store", ok: true},
		{from: "", to: module + "/server"},
		{from: "server", to: module, ok: true},
		{from: "server", to: module + "/server/wirejson", ok: true},
		{from: "server", to: module + "/store"},
		{from: "server", to: module + "/proto/engram/v1", ok: true},
		{from: "memory", to: module + "/proto/engram/v1"},
		{from: "", to: module + "/proto/engram/v1"},
		{from: "memory", to: module + "/internal/clock", ok: true},
		{from: "internal/clock", to: module + "/memory"},
		{from: "server", to: module + "/bench/load"},
		{from: "bench/load", to: module + "/server", ok: true},
		{from: "bench/load", to: module + "/cmd/engram"},
		{from: "proto/gen", to: module + "/memory"},
		{from: "store", to: module + "/nowhere"},
		{from: "store", to: "github.com/cockroachdb/pebble/v2", ok: true},
		{from: "", to: "github.com/cockroachdb/pebble/v2"},
		{from: "", to: "github.com/cockroachdb/pebble/v2/vfs", ok: true},
		{from: "recall", to: "github.com/cockroachdb/pebble/v2/vfs"},
		{from: "recall", to: "github.com/cockroachdb/pebble/v2/vfs", test: true, ok: true},
		{from: "text", to: "connectrpc.com/connect"},
		{from: "text", to: "example.com/new/thing"},
		{from: "text", to: "pgregory.net/rapid"},
		{from: "text", to: "pgregory.net/rapid", test: true, ok: true},
		{from: "text", to: "strings", ok: true},
	} {
		if why := judge(c.from, c.to, c.test); (why == "") != c.ok {
			t.Errorf("judge(%q, %q, test %v) = %q, want ok %v", c.from, c.to, c.test, why, c.ok)
		}
	}
}

// roomOf finds the room of a folder by its longest path; nil when there is none.
func roomOf(dir string) *room {
	var best *room
	for i := range rooms {
		r := &rooms[i]
		inside := dir == r.path || r.path != "" && strings.HasPrefix(dir, r.path+"/")
		if inside && (best == nil || len(r.path) > len(best.path)) {
			best = r
		}
	}
	return best
}

// judge says why a package must not import another; "" when it may.
func judge(fromDir, importPath string, test bool) string {
	from := roomOf(fromDir)
	if from == nil {
		return "" // TestEveryPackageHasARoom says so
	}
	if importPath == module || strings.HasPrefix(importPath, module+"/") {
		dir := strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
		to := roomOf(dir)
		if to == nil {
			return fmt.Sprintf("package %q has no room in the tower", dir)
		}
		if test && slices.Contains(from.tries, to.path) {
			return ""
		}
		return judgeArrow(from, to)
	}
	if !strings.Contains(strings.SplitN(importPath, "/", 2)[0], ".") {
		return "" // the standard library
	}
	return judgeLibrary(from, importPath, test)
}

func judgeArrow(from, to *room) string {
	if from == to {
		return ""
	}
	for _, a := range arrows {
		if (a.from == nil || slices.Contains(a.from, from.path)) && slices.Contains(a.to, to.path) {
			return a.why
		}
	}
	if slices.Contains(from.opens, anything) || slices.Contains(from.opens, to.path) {
		return ""
	}
	for _, m := range mayOpen {
		if slices.Contains(m.from, from.path) && slices.Contains(m.to, to.path) {
			return ""
		}
	}
	switch {
	case from.level == beside || to.level == beside:
		return fmt.Sprintf("%s and %s stand beside each other: %q is %s", name(from), name(to), to.path, to.says)
	case to.level == leaf:
		return ""
	case from.level == leaf:
		return fmt.Sprintf("%s is a leaf that everyone may use; it can know nothing of %s", name(from), name(to))
	case to.level == from.level:
		return fmt.Sprintf("%s and %s stand on one floor (%d): pass in what is needed, or move the idea down", name(from), name(to), to.level)
	case to.level > from.level:
		return fmt.Sprintf("%s (floor %d: %s) is above %s (floor %d)", name(to), to.level, to.says, name(from), from.level)
	}
	return ""
}

func name(r *room) string {
	if r.path == "" {
		return "the root"
	}
	return r.path
}

func judgeLibrary(from *room, importPath string, test bool) string {
	if test && slices.ContainsFunc(testLibraries, func(p string) bool { return inPath(importPath, p) }) {
		return ""
	}
	var best *library
	for i := range libraries {
		l := &libraries[i]
		if inPath(importPath, l.path) && (best == nil || len(l.path) > len(best.path)) {
			best = l
		}
	}
	if best == nil {
		return "this library is new here: give it a line in internal/arch/tower_test.go and in docs/decisions/dependencies.md, with the reason"
	}
	if !slices.Contains(best.rooms, from.path) {
		return best.why
	}
	return ""
}

func inPath(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func judgeStandard(f *goFile, importPath string) string {
	from := roomOf(f.dir)
	if from == nil {
		return ""
	}
	for _, b := range standardBans {
		if !slices.Contains(b.rooms, from.path) || !slices.Contains(b.packages, importPath) {
			continue
		}
		for _, used := range selectors(f.syntax, importPath) {
			if !slices.Contains(b.but, used) {
				return b.why + " (" + used + ")"
			}
		}
	}
	return ""
}

// selectors lists what a file uses of a package, as "os.Open".
func selectors(f *ast.File, importPath string) []string {
	called := path.Base(importPath)
	for _, i := range f.Imports {
		if strings.Trim(i.Path.Value, `"`) == importPath && i.Name != nil {
			called = i.Name.Name
		}
	}
	used := []string{}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == called {
			used = append(used, path.Base(importPath)+"."+s.Sel.Name)
		}
		return true
	})
	if len(used) == 0 { // imported for its side effects, or by dot
		used = append(used, importPath)
	}
	return used
}
