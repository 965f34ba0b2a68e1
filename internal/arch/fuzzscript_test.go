package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFuzzScript runs .ci/fuzz over one target with a go command that only says
// what the case gives: a finding is shown whole and fails the run, while the go
// command's stop at the end of the time is neither a failure nor a FAIL line.
func TestFuzzScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash")
	}
	const progress = "fuzz: elapsed: 2s, execs: 9 (4/sec), new interesting: 0 (total: 3)\n"
	for _, c := range []struct {
		name, says string
		exit       string
		fails      bool
		shows      []string
		hides      []string
	}{
		{"all is well", progress + "PASS\nok  \tx/p\t2.1s\n", "0", false, []string{progress, "ok  \tx/p\t2.1s\n"}, nil},
		{"the time was up", progress + "--- FAIL: FuzzOne (2.02s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tx/p\t2.04s\n", "1",
			false, []string{progress, "fuzz: ./p FuzzOne: the time was up\n"}, []string{"FAIL", "exit status", "deadline"}},
		{"a finding", progress + "--- FAIL: FuzzOne (0.02s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:7: wrong\n\n    Failing input written to testdata/fuzz/FuzzOne/0a\nFAIL\nexit status 1\nFAIL\tx/p\t0.1s\n", "1",
			true, []string{"--- FAIL: FuzzOne (0.02s)\n", "one_test.go:7: wrong\n", "Failing input written", "FAIL\tx/p\t0.1s\n"}, nil},
		{"a finding that is a deadline", "--- FAIL: FuzzOne (0.02s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:7: context deadline exceeded\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tx/p\t0.1s\n", "1",
			true, []string{"one_test.go:7: context deadline exceeded\n"}, nil},
		{"a hang", "--- FAIL: FuzzOne (12.02s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\nexit status 1\nFAIL\tx/p\t12.1s\n", "1",
			true, []string{"hung or terminated"}, nil},
		{"a target of another name", "--- FAIL: FuzzTwo (2.02s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tx/p\t2.04s\n", "1", true, []string{"FuzzTwo"}, nil},
		{"what does not build", "# x/p\np/one_test.go:3:1: syntax error\nFAIL\tx/p [build failed]\nFAIL\n", "1", true, []string{"syntax error", "build failed"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runFuzzScript(t, c.says, c.exit)
			if failed := err != nil; failed != c.fails {
				t.Errorf("it ends with %v\n%s", err, out)
			}
			for _, s := range c.shows {
				if !strings.Contains(out, s) {
					t.Errorf("it does not show %q\n%s", s, out)
				}
			}
			for _, s := range c.hides {
				if strings.Contains(out, s) {
					t.Errorf("it shows %q\n%s", s, out)
				}
			}
		})
	}
}

// runFuzzScript runs the script in a module of one target, with a go command
// that prints says and ends with exit.
func runFuzzScript(t *testing.T, says, exit string) (string, error) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, s string, mode os.FileMode) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(s), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"fuzz", "gofiles"} {
		b, err := os.ReadFile(filepath.Join(root, ".ci", name))
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(".ci", name), string(b), 0o755)
	}
	write("p/one_test.go", "package p\n\nfunc FuzzOne(f *testing.F) {}\n", 0o644)
	write("says", says, 0o644)
	write("bin/go", "#!/usr/bin/env bash\ncat '"+filepath.Join(dir, "says")+"'\nexit "+exit+"\n", 0o755)
	cmd := exec.Command("bash", filepath.Join(dir, ".ci", "fuzz"), "2", "2")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
