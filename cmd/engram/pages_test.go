package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// elsewhere are pages whose commands other tests run: they need more than a server.
var elsewhere = map[string]string{
	"docs/guide/cli.md":           "TestGuide",
	"docs/guide/import-export.md": "TestPages",
	"docs/guide/mcp.md":           "TestPages",
	"docs/guide/grpc.md":          "TestGRPCGuide of the server, with grpcurl",
	"docs/guide/spread.md":        "TestSpreadGuide, which compares what is printed",
}

// beforehand is what a page takes for granted.
var beforehand = map[string]string{
	"docs/guide/recall.md": `engram remember "Ada feeds the otters at the harbour" --person Ada --happened-at 2026-05-04`,
	"docs/format/jsonl.md": `engram space create copy && engram remember "Low water at six" --space copy`,
}

// bySomebodyElse are commands that a page shows and a test of its own has: to run them
// here would be to build and to test within a test, or to start a second server.
var bySomebodyElse = regexp.MustCompile(`(?m)^(go install|go run \./cmd/engram demo|go run \./examples/|make test|engram serve --data \./data &).*$`)

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
	otherBlock = regexp.MustCompile("(?ms)^(<!-- not run: [^\n]{10,} -->\n)?```(?:text)?\n(.*?)^```")
	aCommand   = regexp.MustCompile(`(?m)^(\$ )?(engram|curl|grpcurl|docker|systemctl|install|make|go) `)
)

// TestEveryPage runs the commands of every page, on a server and in a folder of its
// own, and wants those that it does not run to be marked with the reason.
func TestEveryPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it is the pages that this tests; the commands are those of TestGuide")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	for _, page := range pages(t) {
		doc := read(t, "../../"+page)
		for _, b := range otherBlock.FindAllStringSubmatch(doc, -1) {
			if b[1] == "" && aCommand.MatchString(b[2]) {
				t.Errorf("%s shows commands that no test runs, and does not say why:\n%s", page, b[2])
			}
		}
		blocks := shellBlock.FindAllStringSubmatch(doc, -1)
		if elsewhere[page] != "" || len(blocks) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) { runPage(t, page, blocks) })
	}
}

// pages lists the README and all pages below docs.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"README.md"}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			list = append(list, filepath.ToSlash(strings.TrimPrefix(path, "../../")))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func runPage(t *testing.T, page string, blocks [][]string) {
	dir := t.TempDir()
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	sh := func(script string) {
		script = strings.ReplaceAll(bySomebodyElse.ReplaceAllString(script, ""), "localhost:7432", p.address)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "sh", "-e", "-c", script)
		c.WaitDelay = time.Second // for what it started
		c.Dir = dir
		c.Env = append(os.Environ(), "ENGRAM_SERVER="+p.address, "HOME="+dir, "XDG_CONFIG_HOME=", "TMPDIR="+dir)
		out, err := c.CombinedOutput()
		if err != nil || strings.Contains(string(out), "nothing found") || strings.Contains(string(out), `{"error"`) {
			t.Errorf("%s%v\n%s", script, err, out)
		}
	}
	if s := beforehand[page]; s != "" {
		sh(s)
	}
	for _, b := range blocks {
		sh(b[1])
	}
}
