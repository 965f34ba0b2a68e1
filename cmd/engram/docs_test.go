package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestGuide runs the examples of the guide in their order, and checks that there
// is one of every command and a line for every setting.
func TestGuide(t *testing.T) {
	guide := read(t, "../../docs/guide/cli.md")
	runGuide(t, guide)
	eachCommand(newRoot(), func(c *cobra.Command) {
		if !c.HasSubCommands() && !regexp.MustCompile("(?m)^"+c.CommandPath()+"\\b").MatchString(guide) {
			t.Errorf("the guide has no example of %s", c.CommandPath())
		}
	})
}

// TestModelsGuide runs the examples of the page about models.
func TestModelsGuide(t *testing.T) { runGuide(t, read(t, "../../docs/guide/models.md")) }

// runGuide runs the examples of a page against a server of its own.
func runGuide(t *testing.T, guide string) {
	t.Helper()
	dir := t.TempDir()
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(guide, -1) {
		c := exec.Command("sh", "-e", "-c", block[1])
		c.Dir = dir
		c.Env = append(os.Environ(), "ENGRAM_SERVER="+p.address, "HOME="+dir, "XDG_CONFIG_HOME=", "TMPDIR="+dir)
		out, err := c.CombinedOutput()
		if err != nil || strings.Contains(string(out), "nothing found") {
			t.Errorf("%s%v\n%s", block[1], err, out)
		}
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	doc := read(t, "../../docs/operate/config.md")
	for _, s := range allSettings {
		standard := " `" + s.standard + "`"
		if s.standard == "" {
			standard = ""
		}
		if !strings.Contains(doc, "| `"+s.key+"` |"+standard+" |") {
			t.Errorf("docs/operate/config.md has no row of %s with its default %q", s.key, s.standard)
		}
	}
}

// Every command says what it is, shows an example, and refuses stray arguments.
func TestEveryCommandIsExplained(t *testing.T) {
	eachCommand(newRoot(), func(c *cobra.Command) {
		if c.Short == "" || !c.HasSubCommands() && c.Example == "" || c.HasParent() && c.Args == nil {
			t.Errorf("%s lacks a short text, an example or a rule for its arguments", c.CommandPath())
		}
	})
}

func eachCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		eachCommand(child, visit)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
