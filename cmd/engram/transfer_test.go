package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// TestImportKilled kills imports with SIGKILL in the middle, and once the server,
// and wants everything in at the end, once, and each bad line told once.
func TestImportKilled(t *testing.T) {
	const lines = 6000
	dir := t.TempDir()
	var file bytes.Buffer
	bad := 0
	for i := range lines {
		if i%500 == 7 {
			bad++
			fmt.Fprintf(&file, "{\"txt\":\"line %d\"}\n", i)
			continue
		}
		fmt.Fprintf(&file, "{\"text\":\"line %d\",\"stream\":\"s%d\"}\n", i, i%3)
	}
	if err := os.WriteFile(filepath.Join(dir, "big.jsonl"), file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	makeBulk(t, dir, p.address)
	// The second is killed when there is something for the third to go on behind:
	// 12 batches of 3 streams are enough for that, as each stream has 4 of them.
	killDuring(t, dir, p.address, func(batch int) bool { return batch > 1 })
	killDuring(t, dir, p.address, func(int) bool { return noted(filepath.Join(dir, "big.jsonl.import.json")) })
	killDuring(t, dir, p.address, func(batch int) bool { return batch > 1 })
	out, err := runEngram(dir, "import", "big.jsonl", "--space", "bulk", "--server", p.address)
	if !strings.Contains(out, "done before") || !strings.Contains(out, "items were refused") {
		t.Errorf("%v %s", err, out)
	}
	api, err := dial(p.address)
	if err != nil {
		t.Fatal(err)
	}
	sp, err := api.GetSpace(t.Context(), &engramv1.GetSpaceRequest{Space: "bulk"})
	if err != nil || sp.GetCounts().GetEpisodes() != uint64(lines-bad) {
		t.Errorf("%v, %v; want %d", sp.GetCounts(), err, lines-bad)
	}
	if body := read(t, filepath.Join(dir, "big.jsonl.rejected.jsonl")); strings.Count(body, "\n") != bad {
		t.Errorf("%d rejections are told, not %d:\n%s", strings.Count(body, "\n"), bad, body)
	}
	if _, err := os.Stat(filepath.Join(dir, "big.jsonl.import.json")); err == nil {
		t.Error("the note is still there")
	}
	stream := int32(1000)
	a, err := api.ListMemories(t.Context(), &engramv1.ListMemoriesRequest{Space: "bulk", Stream: "s1", PageSize: &stream})
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, m := range a.GetMemories() {
		var n int
		if _, err := fmt.Sscanf(m.GetText(), "line %d", &n); err != nil || n <= last {
			t.Fatalf("the stream is out of order: %d behind %d", n, last)
		}
		last = n
	}
}

// makeBulk makes a space in which no model reads the texts: the tests are about
// other things, and would wait for it.
func makeBulk(t *testing.T, dir, address string) {
	t.Helper()
	if out, err := runEngram(dir, "space", "create", "bulk", "--dimension", "2", "--server", address); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// noted says whether the note beside a file has a good part that is done.
func noted(path string) bool {
	var note importNote
	body, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(body, &note) == nil && note.Done >= noteItems
}

// killDuring runs an import through a proxy, which kills it at a batch: the first for
// which die is true.
func killDuring(t *testing.T, dir, address string, die func(batch int) bool) {
	t.Helper()
	c := exec.Command("engram", "import", "big.jsonl", "--space", "bulk")
	started := make(chan struct{})
	var once sync.Once
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // the client is dead
	n := 0
	var mu sync.Mutex
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/RememberBatch") {
			mu.Lock()
			n++
			now := die(n)
			mu.Unlock()
			if now {
				<-started
				once.Do(func() { _ = c.Process.Kill() })
			}
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	c.Dir = dir
	c.Env = append(os.Environ(), "ENGRAM_SERVER="+proxy.URL)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := c.Wait()
	if err == nil || strings.Contains(out.String(), "refused") {
		t.Fatalf("the import was not killed: %v %s", err, &out)
	}
}

// runEngram runs a command and gives what it prints.
func runEngram(dir string, args ...string) (string, error) {
	c := exec.Command("engram", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// An import goes on when the server is killed and comes back at its address.
func TestImportOverRestart(t *testing.T) {
	dir := t.TempDir()
	var file bytes.Buffer
	for i := range 4000 {
		fmt.Fprintf(&file, "{\"text\":\"line %d\"}\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "big.jsonl"), file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := p.address
	makeBulk(t, dir, address)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	var once sync.Once
	var mu sync.Mutex
	n := 0
	forward.ErrorLog = log.New(io.Discard, "", 0) // that the server is gone is meant
	again := make(chan *process, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		die := n > 4
		mu.Unlock()
		if die {
			once.Do(func() {
				p.kill()
				next, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", address)
				if err != nil {
					t.Error(err)
				}
				again <- next
			})
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	out, err := runEngram(dir, "import", "big.jsonl", "--space", "bulk", "--server", proxy.URL)
	if next := <-again; next != nil {
		defer next.kill()
	}
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err = runEngram(dir, "space", "show", "bulk", "--server", address); err != nil || !strings.Contains(out, "4000 episodes") {
		t.Errorf("%v %s", err, out)
	}
}

func TestBarLine(t *testing.T) {
	for _, c := range []struct {
		done, of, items int64
		want            string
	}{
		{50, 100, 1000, "[============            ]  50%  1000 items, 500/s, 2s left"},
		{100, 100, 10, "[========================] 100%  10 items, 5/s"},
		{5, 0, 10, "10 items, 5/s"},
		{0, 100, 0, "[                        ]   0%  0 items, 0/s"},
		{500, 100, 1, "[========================] 100%  1 items, 0/s"},
	} {
		if got := barLine(c.done, c.of, c.items, 2*time.Second); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestMCPOverStdio speaks with the real command, as a program that starts it does.
func TestMCPOverStdio(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command("engram", "mcp", "--data", "db")
	c.Dir, c.Stderr = dir, os.Stderr
	s, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &sdk.CommandTransport{Command: c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Mara found the chart", "the pump broke"} {
		r, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "remember", Arguments: map[string]any{"text": text}})
		if err != nil || r.IsError {
			t.Fatalf("%v %v", r, err)
		}
	}
	r, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "recall", Arguments: map[string]any{"text": "chart"}})
	if err != nil || r.IsError {
		t.Fatalf("%v %v", r, err)
	}
	if body, _ := json.Marshal(r.StructuredContent); !strings.Contains(string(body), "Mara found the chart") {
		t.Error(string(body))
	}
	if err := s.Close(); err != nil {
		t.Errorf("the command ended badly: %v", err)
	}
}

// TestPages runs the commands of the pages that have a server to themselves.
func TestPages(t *testing.T) {
	for _, page := range []string{"import-export", "mcp"} {
		t.Run(page, func(t *testing.T) {
			doc := read(t, "../../docs/guide/"+page+".md")
			dir := t.TempDir()
			p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer p.kill()
			for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(doc, -1) {
				if strings.Contains(block[1], "curl") {
					if _, err := exec.LookPath("curl"); err != nil {
						continue
					}
				}
				c := exec.Command("sh", "-e", "-c", block[1])
				c.Dir = dir
				c.Env = append(os.Environ(), "ENGRAM_SERVER="+p.address, "HOME="+dir, "XDG_CONFIG_HOME=", "TMPDIR="+dir)
				out, err := c.CombinedOutput()
				if err != nil || strings.Contains(string(out), "nothing found") || strings.Contains(string(out), `"error"`) {
					t.Errorf("%s%v\n%s", block[1], err, out)
				}
			}
		})
	}
}
