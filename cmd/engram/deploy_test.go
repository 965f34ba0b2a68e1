package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDeployFiles: the settings that the files name exist, commands in them parse,
// and the container runs as nobody from nothing.
func TestDeployFiles(t *testing.T) {
	names, err := filepath.Glob("../../deploy/*")
	if err != nil || len(names) < 5 {
		t.Fatalf("%v %v", names, err)
	}
	known := map[string]bool{}
	for i := range allSettings {
		known[allSettings[i].env()] = true
	}
	for _, name := range names {
		for _, env := range regexp.MustCompile(`\bENGRAM_[A-Z_]+`).FindAllString(read(t, name), -1) {
			if !known[env] {
				t.Errorf("%s sets %s, which is no setting", name, env)
			}
		}
	}
	var last string
	for line := range strings.Lines(read(t, "../../deploy/Dockerfile")) {
		if strings.HasPrefix(line, "FROM ") || strings.HasPrefix(line, "USER ") {
			last += line
		}
	}
	if !strings.HasSuffix(last, "FROM scratch\nUSER 65532:65532\n") {
		t.Errorf("the image is not from scratch, or runs as somebody:\n%s", last)
	}
	run := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/engram (.*)$`).FindStringSubmatch(read(t, "../../deploy/engram.service"))
	if run == nil {
		t.Fatal("the unit starts nothing")
	}
	args := strings.Fields(run[1])
	c, rest, err := newRoot().Find(args)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err != nil || c.Name() != "serve" {
		t.Errorf("the unit's command is wrong: %v", err)
	}
	for _, doc := range []string{"../../docs/operate/deploy.md", "../../deploy/compose.yaml", "../../deploy/Dockerfile"} {
		for _, m := range regexp.MustCompile(`engram (key create .*)`).FindAllStringSubmatch(strings.ReplaceAll(read(t, doc), "`", "\n"), -1) {
			c, rest, err := newRoot().Find(strings.Fields(m[1]))
			if err == nil {
				err = c.ParseFlags(rest)
			}
			if err == nil && !slices.Contains(rest, "--scope") {
				continue // it is about the command
			}
			if err == nil {
				err = c.Args(c, c.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %s: %v", doc, m[0], err)
			}
		}
	}
}

// TestUnitIsRead lets systemd read the units, with this binary in its place.
func TestUnitIsRead(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (the Debian package systemd has it)")
	}
	binary, err := exec.LookPath("engram")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"engram.service", "engram.socket"} {
		put(t, filepath.Join(dir, name), strings.ReplaceAll(read(t, "../../deploy/"+name), "/usr/local/bin/engram", binary))
	}
	c := exec.Command(tool, "verify", "--man=no", filepath.Join(dir, "engram.service"), filepath.Join(dir, "engram.socket"))
	c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := c.CombinedOutput()
	if err != nil || strings.Contains(string(out), "engram") {
		t.Errorf("systemd says: %v\n%s", err, out)
	}
}
