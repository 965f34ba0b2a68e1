package server_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// grpcurl is the version that the guide's lines are run with.
const grpcurl = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"

// TestGRPCGuide runs the lines of docs/guide/grpc.md against a server. It is
// skipped when grpcurl can not be fetched.
func TestGRPCGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("grpcurl takes a while to build")
	}
	guide, err := os.ReadFile("../docs/guide/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "go install "+grpcurl) {
		t.Errorf("the guide does not say that it is run with %s", grpcurl)
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", grpcurl, "-version").CombinedOutput(); err != nil {
		t.Skipf("grpcurl can not be had: %s", out)
	}
	script := "#!/bin/sh\nexec go run " + grpcurl + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "grpcurl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	addr := listen(t, newServer(t))
	lines := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(guide), -1) {
		for line := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n") {
			lines++
			c := exec.Command("sh", "-e", "-c", strings.ReplaceAll(line, "localhost:7432", addr))
			c.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := c.CombinedOutput()
			if err != nil || len(out) == 0 || strings.Contains(string(out), "ERROR") {
				t.Errorf("%s\n%v\n%s", line, err, out)
			}
		}
	}
	if lines < 5 {
		t.Errorf("the guide has only %d lines", lines)
	}
}
