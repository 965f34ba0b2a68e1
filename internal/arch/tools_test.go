package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// staticcheck is pinned here and in the Makefile; TestToolsAgree compares.
const staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"

// TestVet runs go vet over the module.
func TestVet(t *testing.T) {
	if testing.Short() {
		t.Skip("vet takes long: left out with -short")
	}
	inModule(t, "go", "vet", "./...")
}

// TestStaticcheck runs staticcheck over the module. Where it cannot be had (no
// network) the test is skipped, unless ENGRAM_REQUIRE_TOOLS is set.
func TestStaticcheck(t *testing.T) {
	if testing.Short() {
		t.Skip("staticcheck takes long: left out with -short")
	}
	if out, err := command("go", "run", staticcheck, "-version").CombinedOutput(); err != nil {
		if os.Getenv("ENGRAM_REQUIRE_TOOLS") != "" {
			t.Fatalf("%s cannot be had: %v\n%s", staticcheck, err, out)
		}
		t.Skipf("%s cannot be had: %v", staticcheck, err)
	}
	inModule(t, "go", "run", staticcheck, "./...")
}

// TestToolsAgree wants the version of the Makefile to be the one tested here.
func TestToolsAgree(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), staticcheck) {
		t.Errorf("the Makefile does not name %s", staticcheck)
	}
}

// inModule runs a tool in the module's root; what it finds is the test's error.
func inModule(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	if root, err := moduleRoot(); err == nil {
		c.Dir = root
	}
	return c
}
