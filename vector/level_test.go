package vector

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// atLevel runs f with the kernels of one level.
func atLevel(l level, f func()) {
	before := active
	active = l
	defer func() { active = before }()
	f()
}

// eachLevel runs f for all levels up to the one that runs in this test: the best,
// or the one that the environment forces.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for l := plain; l <= active; l++ {
		t.Run(l.String(), func(t *testing.T) { atLevel(l, func() { f(t) }) })
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name string
		best level
		want level
		says string
	}{
		{"", avx512, avx512, ""},
		{"", plain, plain, ""},
		{"plain", avx512, plain, ""},
		{"avx2", avx512, avx2, ""},
		{"avx512", avx512, avx512, ""},
		{"avx512", avx2, plain, `"avx512", which this processor cannot run; its best is "avx2"`},
		{"avx2", plain, plain, "cannot run"},
		{"AVX2", avx512, plain, "it may be plain, avx2 or avx512"},
		{"neon", avx512, plain, `"neon"; it may be`},
	} {
		got, err := choose(c.name, c.best)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("choose(%q, %v) = %v, %v", c.name, c.best, got, err)
		}
	}
}

// The environment is really asked: a child that is told nonsense says so.
func TestEnvironment(t *testing.T) {
	for name, says := range map[string]string{"plain": "level: plain", "nonsense": "it may be plain, avx2 or avx512"} {
		c := exec.Command(os.Args[0], "-test.run=^TestSayLevel$", "-test.v")
		c.Env = append(os.Environ(), "ENGRAM_VECTOR="+name)
		out, err := c.CombinedOutput()
		if _, ran := err.(*exec.ExitError); err != nil && !ran {
			t.Skipf("the test cannot start itself here, perhaps it is emulated: %v", err)
		}
		if !bytes.Contains(out, []byte(says)) || (err == nil) != (name == "plain") {
			t.Errorf("with ENGRAM_VECTOR=%s: %v\n%s", name, err, out)
		}
	}
}

// TestSayLevel also asks for the variable by os, which the go command notes: it
// then gives no cached result of another level.
func TestSayLevel(t *testing.T) {
	if forced := os.Getenv("ENGRAM_VECTOR"); forced != "" && forced != Level() {
		t.Errorf("the level is %s, want %s", Level(), forced)
	}
	t.Log("level: " + Level())
}

// The committed assembly is what the generator writes.
func TestAssemblyIsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	dir := t.TempDir()
	generator := filepath.Join(dir, "asm")
	build := exec.Command("go", "build", "-o", generator, ".")
	build.Dir = "asm"
	build.Env = append(os.Environ(), "GOOS=", "GOARCH=", "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		if noModules(out) {
			t.Skipf("the generator's modules cannot be obtained here: %s", out)
		}
		t.Fatalf("the generator does not build: %v\n%s", err, out)
	}
	run := exec.Command(generator, "-out", filepath.Join(dir, "kernels_amd64.s"), "-stubs", filepath.Join(dir, "kernels_amd64.go"), "-pkg", "vector")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("the generator: %v\n%s", err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
		want, got := withoutHead(t, filepath.Join(dir, name)), withoutHead(t, name)
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not what the generator writes: go generate ./vector", name)
		}
	}
}

func noModules(out []byte) bool {
	for _, sign := range []string{"dial tcp", "no such host", "module lookup disabled", "i/o timeout", "connection refused", "proxyconnect", "502 Bad Gateway", "503 Service"} {
		if bytes.Contains(out, []byte(sign)) {
			return true
		}
	}
	return false
}

// withoutHead is a file without its first line, which has the command in it.
func withoutHead(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(raw, []byte("\n"))
	return rest
}
