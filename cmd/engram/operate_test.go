package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// engramIn runs engram in a directory against a server.
func engramIn(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	c := exec.Command("engram", args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("engram %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return string(out)
}

// TestDebugBundle: the archive has what it says, and no secret is in it: neither
// the key, nor those in settings, variables and the log, nor words of a memory.
func TestDebugBundle(t *testing.T) {
	dir := t.TempDir()
	key := strings.TrimSpace(lastField(engramIn(t, dir, nil, "key", "create", "ops", "--scope", "admin,read", "--data", "db")))
	secret := map[string]string{"key": key, "password in a URL": "hush1", "header of the collector": "hush2", "bearer in the log": "hush3", "private key": "hush4", "words of a memory": "zanzibar"}
	env := []string{"OTEL_EXPORTER_OTLP_HEADERS=api-key=hush2", "ENGRAM_OTLP_ENDPOINT=http://me:hush1@127.0.0.1:1", "ENGRAM_KEY=" + key}
	engramIn(t, dir, nil, "remember", "a zanzibar of words", "--data", "db")
	p, err := start(dir, append(os.Environ(), env...), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	put(t, filepath.Join(dir, "log"), "a line with "+key+"\nauthorization=Bearer hush3 x\nsent api-key=hush2\n-----BEGIN PRIVATE KEY-----\nhush4\n-----END PRIVATE KEY-----\nthe end\n")
	env = append(env, "ENGRAM_SERVER="+p.address)
	engramIn(t, dir, env, "recall", "zanzibar")
	out := engramIn(t, dir, env, "debug", "bundle", "--profile", "1s", "--log", "log", "--out", "b.tar.gz")
	if out != "b.tar.gz\n" {
		t.Errorf("it says %q", out)
	}
	files := unpack(t, filepath.Join(dir, "b.tar.gz"))
	for name, want := range map[string]string{"config.json": `"key":"listen"`, "environment.txt": "ENGRAM_KEY is set", "client-version.json": `"go"`, "server-version.json": `"api_versions"`,
		"ready.json": "ready", "spaces.jsonl": `"default"`, "metrics.txt": "engram_requests_total", "goroutines.txt": "goroutine ", "heap.pprof": "\x1f\x8b", "cpu.pprof": "\x1f\x8b", "log.txt": "the end"} {
		if !strings.Contains(files["engram-debug/"+name], want) {
			t.Errorf("%s lacks %q: %.200q", name, want, files["engram-debug/"+name])
		}
	}
	if missing := files["engram-debug/missing.txt"]; missing != "" {
		t.Errorf("missing: %s", missing)
	}
	for name, body := range files {
		for what, s := range secret {
			if strings.Contains(body, s) {
				t.Errorf("%s has the %s", name, what)
			}
		}
	}
}

// TestDebugBundleWithoutServer: what is here is gathered all the same.
func TestDebugBundleWithoutServer(t *testing.T) {
	dir := t.TempDir()
	engramIn(t, dir, nil, "debug", "bundle", "--server", "127.0.0.1:1", "--out", "b.tar.gz")
	files := unpack(t, filepath.Join(dir, "b.tar.gz"))
	if len(files) != 4 || !strings.Contains(files["engram-debug/missing.txt"], "metrics.txt: no server answers") {
		t.Errorf("there are %d files; missing: %s", len(files), files["engram-debug/missing.txt"])
	}
}

func lastField(s string) string {
	f := strings.Fields(s)
	for _, x := range f {
		if strings.HasPrefix(x, "engram_") {
			return x
		}
	}
	return f[len(f)-1]
}

// unpack reads an archive, and what is compressed in it too.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(b)
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name+" unpacked"] = string(plain)
		}
	}
}

// TestStatusPage: the page and its JSON say how the server is.
func TestStatusPage(t *testing.T) {
	dir := t.TempDir()
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	env := []string{"ENGRAM_SERVER=" + p.address}
	engramIn(t, dir, env, "remember", "a memory")
	engramIn(t, dir, env, "space", "create", "other")
	var st status
	if err := json.Unmarshal([]byte(engramIn(t, dir, env, "status", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	if !st.Ready || st.Version == "" || st.Spaces != 2 || len(st.PerSpace) != 2 || st.PerSpace[0].LSN == 0 || st.PerSpace[0].Memories != 1 || st.Disk.Free == 0 || st.Uptime > 600 {
		t.Errorf("the status is %+v", st)
	}
	page := engramIn(t, dir, env, "status", "--spaces", "1")
	for _, want := range []string{"state     ready", "2, 1 of them open", "SPACE    LSN", "default  ", "and 1 more"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	top := engramIn(t, dir, env, "top", "--once")
	for _, want := range []string{"VERB", "remember ", "SPACE", "default  ", "changes for indexes"} {
		if !strings.Contains(top, want) {
			t.Errorf("top lacks %q:\n%s", want, top)
		}
	}
}

// TestTopDraws: the view shows what happened between two looks, and goes on when
// the server is away for a while.
func TestTopDraws(t *testing.T) {
	at := time.Unix(1000, 0)
	look := func(after time.Duration, ok, failed, slow string, lsn uint64) *moment {
		f, err := parseFigures([]byte(`
# TYPE engram_start_time_seconds gauge
engram_start_time_seconds 900
# TYPE engram_requests_total counter
engram_requests_total{verb="recall",door="rest",outcome="ok"} `+ok+`
engram_requests_total{verb="recall",door="grpc",outcome="busy"} `+failed+`
# TYPE engram_request_seconds histogram
engram_request_seconds_bucket{verb="recall",door="rest",le="0.001"} 100
engram_request_seconds_bucket{verb="recall",door="rest",le="0.01"} `+slow+`
engram_request_seconds_bucket{verb="recall",door="rest",le="+Inf"} `+slow+`
engram_request_seconds_sum{verb="recall",door="rest"} 1
engram_request_seconds_count{verb="recall",door="rest"} `+slow+`
`), at.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return momentOf(f, []*engramv1.Space{{Name: "a", Lsn: lsn}, {Name: "b", Lsn: 7}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	looks := []func() (*moment, error){
		func() (*moment, error) { return look(0, "100", "0", "100", 5), nil },
		func() (*moment, error) { return nil, failed(exitNotNow, "away") },
		func() (*moment, error) { return look(10*time.Second, "190", "10", "200", 25), nil },
		func() (*moment, error) { cancel(); return nil, ctx.Err() },
	}
	tick := make(chan time.Time)
	drawn := make(chan string, len(looks))
	ended := make(chan error)
	n := 0
	go func() {
		ended <- watch(ctx, writerTo(drawn), tick, func(context.Context) (*moment, error) { n++; return looks[n-1]() })
	}()
	for i, want := range [][]string{
		{"\x1b[Huptime", "1m40s", "recall  1.0 "}, // since the start
		{"engram: away"},
		{"recall  10.0        10 %    5.5 ms  9.91 ms", "a      25   2.0", "b      7    0.0"},
	} {
		got := <-drawn
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("view %d lacks %q:\n%s", i, w, got)
			}
		}
		tick <- time.Time{}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type writerTo chan string

func (w writerTo) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		s          spread
		part, want float64
	}{
		{spread{1: 10, 2: 10, inf: 10}, .5, .5},
		{spread{1: 0, 2: 10, inf: 10}, .5, 1.5},
		{spread{1: 5, 2: 10, inf: 10}, .99, 1.98},
		{spread{1: 0, 2: 0, inf: 10}, .5, 2}, // beyond the last bound
		{spread{1: 10, inf: 10}, 1, 1},
	} {
		if got := c.s.quantile(c.part); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile(%v) of %v is %v, want %v", c.part, c.s, got, c.want)
		}
	}
	if !math.IsNaN(spread{}.quantile(.5)) {
		t.Error("nothing has a quantile")
	}
}
