package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExamples runs the programs that the README names, against a server.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("they take a while to build")
	}
	p, err := start(t.TempDir(), os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	readme := read(t, "../../README.md")
	for _, c := range []struct{ line, says string }{
		{"client", "Mara found the old chart in the boathouse"},
		{"mcp", "Tomek repaired the bilge pump"},
		{"mcp stdio", "Tomek repaired the bilge pump"},
		{"embedded", "Ada fed the otters at the harbour"},
	} {
		if !strings.Contains(readme, "go run ./examples/"+c.line) {
			t.Errorf("the README does not name go run ./examples/%s", c.line)
		}
		name, argument, _ := strings.Cut(c.line, " ")
		program := filepath.Join(t.TempDir(), name)
		if out, err := exec.Command("go", "build", "-o", program, "../../examples/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", c.line, err, out)
			continue
		}
		run := exec.Command(program, strings.Fields(argument)...)
		run.Dir, run.Env = t.TempDir(), append(os.Environ(), "ENGRAM_SERVER="+p.address)
		if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v %s", c.line, err, out)
		}
	}
}

// TestGoOfPages wants the Go of the README to stand in the example that it names.
func TestGoOfPages(t *testing.T) {
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	example := flat(read(t, "../../examples/embedded/main.go"))
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(read(t, "../../README.md"), -1)
	if len(blocks) == 0 {
		t.Error("the README has no Go")
	}
	for _, b := range blocks {
		if !strings.Contains(example, flat(b[1])) {
			t.Errorf("not in examples/embedded:\n%s", b[1])
		}
	}
}
