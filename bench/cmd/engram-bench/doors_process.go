package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
)

// What is measured here is the program as it is released, in processes of its own.

// binary builds it, once.
func (b *bench) binary(ctx context.Context) (string, error) {
	bin, err := filepath.Abs(filepath.Join(b.scratch, "engram"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	step("building the binary")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "github.com/engramdb/engram/cmd/engram")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
}

// A process is a server that runs.
type process struct {
	url string
	cmd *exec.Cmd
}

func startServer(ctx context.Context, bin, dir string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{"http://" + address, exec.CommandContext(ctx, bin, "serve", "--data", dir, "--listen", address)}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := pollReady(ctx, p.url+"/readyz", time.Now().Add(10*time.Second)); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *process) stop() error {
	return errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
}

// doorsTransfer brings 100,000 passages in and out: by the command line over a
// server, by the API as a stream, and by the command line with a directory of its
// own, each in spaces without a model, so that nothing but the transfer is at work;
// and once with the default settings, whose vectors follow while the export runs.
func (b *bench) doorsTransfer(ctx context.Context) error {
	bin, err := b.binary(ctx)
	if err != nil {
		return err
	}
	t := &transfers{b: b, bin: bin, n: b.n(100_000), file: filepath.Join(b.scratch, "passages.jsonl")}
	if err := writePassages(t.file, b.seed, t.n); err != nil {
		return err
	}
	b.Parameters["passages"] = fmt.Sprintf("%d of about 60 words, with people, tags, metadata and a time", t.n)
	return errors.Join(t.served(ctx), t.byItself(ctx), t.withModel(ctx))
}

const (
	importBar = 10_000
	exportBar = 50_000
)

// transfers are those of one file.
type transfers struct {
	b    *bench
	bin  string
	file string
	n    int
}

// plainSpace is a space whose texts no model reads.
const plainSpace = "plain"

// served moves the file through a server.
func (t *transfers) served(ctx context.Context) (err error) {
	p, err := startServer(ctx, t.bin, filepath.Join(t.b.scratch, "served"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	at := []string{"--server", p.url, "--space", plainSpace}
	if err := command(ctx, t.bin, "space", "create", plainSpace, "--model", "none", "--server", p.url); err != nil {
		return err
	}
	out := t.file + ".out"
	for _, m := range []struct {
		name string
		bar  float64
		do   func() error
	}{
		{"import, command line", importBar, func() error { return command(ctx, t.bin, append([]string{"import", t.file}, at...)...) }},
		{"export, command line", exportBar, func() error { return command(ctx, t.bin, append([]string{"export", out}, at...)...) }},
		{"import, API", importBar, func() error { return p.post(ctx, "/v1/spaces/copy/import", out) }}, // the file's header makes the space
		{"export, API", exportBar, func() error { return p.get(ctx, "/v1/spaces/copy/export") }},
	} {
		if err := t.b.moved(m.name, t.n, m.bar, m.do); err != nil {
			return err
		}
	}
	links, _, err := p.state(ctx, plainSpace)
	t.b.Note("Spaces without a model; beside their passages the first one has %.0f links that rules made by the end.", links)
	return err
}

// byItself moves the file into a directory and out of it, without a server.
func (t *transfers) byItself(ctx context.Context) error {
	at := []string{"--data", filepath.Join(t.b.scratch, "by-itself"), "--space", plainSpace}
	if err := command(ctx, t.bin, "space", "create", plainSpace, "--model", "none", "--data", at[1]); err != nil {
		return err
	}
	if err := t.b.moved("import with --data", t.n, importBar, func() error { return command(ctx, t.bin, append([]string{"import", t.file}, at...)...) }); err != nil {
		return err
	}
	return t.b.moved("export with --data", t.n, exportBar, func() error { return command(ctx, t.bin, append([]string{"export", t.file + ".own"}, at...)...) })
}

// withModel moves the file into the space that everybody begins with. Its vectors
// follow for minutes, which nothing waits for here.
func (t *transfers) withModel(ctx context.Context) (err error) {
	p, err := startServer(ctx, t.bin, filepath.Join(t.b.scratch, "with-model"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := t.b.moved("import with the default model, vectors follow", t.n, importBar, func() error { return command(ctx, t.bin, "import", t.file, "--server", p.url) }); err != nil {
		return err
	}
	if err := t.b.moved("export while its vectors are made", t.n, exportBar, func() error { return command(ctx, t.bin, "export", t.file+".out2", "--server", p.url) }); err != nil {
		return err
	}
	_, behind, err := p.state(ctx, "default")
	t.b.Note("With the default model, %.0f of %d vectors were still to come at the end of that export.", behind, t.n)
	return err
}

// moved times something that moves n things.
func (b *bench) moved(name string, n int, bar float64, do func() error) error {
	step("%s", name)
	begin := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.Add(record.Figure{Name: name, Value: float64(n) / time.Since(begin).Seconds(), Unit: "/s", N: n}, record.AtLeast(bar))
	return nil
}

// command runs the program to its end.
func command(ctx context.Context, bin string, args ...string) error {
	c := exec.CommandContext(ctx, bin, args...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("engram %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func writePassages(file string, seed uint64, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	src := prose.New(seed)
	for i := range n {
		e := passage(src, i)
		line, err := json.Marshal(map[string]any{"id": e.ID, "text": e.Text, "people": e.People, "tags": e.Tags, "metadata": e.Metadata, "happened_at": e.Happened.From})
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), f.Close())
}

func (p *process) post(ctx context.Context, path, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, f)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var last string
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		last = lines.Text()
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !strings.Contains(last, `"done"`) || !strings.Contains(last, `"rejected":0`) {
		return fmt.Errorf("the import ends with %s", last)
	}
	return nil
}

func (p *process) get(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_, err = drain(answer.Body)
	return err
}

// state is how many links a space has, and how many vectors are to come.
func (p *process) state(ctx context.Context, space string) (links, behind float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/spaces/"+space, nil)
	if err != nil {
		return 0, 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	var a struct {
		Counts struct {
			Links float64 `json:",string"`
		}
		Indexes map[string]struct {
			Tail float64 `json:",string"`
		}
	}
	err = json.NewDecoder(answer.Body).Decode(&a)
	return a.Counts.Links, a.Indexes["vector"].Tail, err
}

// settle waits until a space's vectors are made and its links have stopped to grow,
// at most so long.
func (p *process) settle(ctx context.Context, space string, most time.Duration) error {
	before := -1.0
	for end := time.Now().Add(most); time.Now().Before(end); {
		links, behind, err := p.state(ctx, space)
		if err != nil {
			return err
		}
		if behind == 0 && links == before {
			return nil
		}
		before = links
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// doorsIdle looks at a server that nobody asks: an empty one, and one that has
// memories, was asked, and was left alone.
func (b *bench) doorsIdle(ctx context.Context) error {
	bin, err := b.binary(ctx)
	if err != nil {
		return err
	}
	step("starting the server")
	ready := load.NewLatency()
	for i := range b.n(20) {
		took, err := startOnce(ctx, bin, filepath.Join(b.scratch, fmt.Sprint("ready", i)))
		if err != nil {
			return err
		}
		ready.Add(took)
	}
	b.Millis("ready, p50", ready.At(0.5), int(ready.Count()), record.AtMost(100))
	if err := b.atRest(ctx, bin, "idle, empty", record.AtMost(60), func(*process) error { return nil }); err != nil {
		return err
	}
	return b.atRest(ctx, bin, "idle, 1,000 memories with vectors", nil, func(p *process) error {
		file := filepath.Join(b.scratch, "thousand.jsonl")
		if err := writePassages(file, b.seed, 1000); err != nil {
			return err
		}
		if err := command(ctx, bin, "import", file, "--server", p.url); err != nil {
			return err
		}
		if err := p.settle(ctx, "default", time.Minute); err != nil {
			return err
		}
		return command(ctx, bin, "recall", "what was said about the harbour", "--server", p.url)
	})
}

// atRest measures a server some time after the last call.
func (b *bench) atRest(ctx context.Context, bin, name string, memory *record.Bar, before func(*process) error) (err error) {
	p, err := startServer(ctx, bin, filepath.Join(b.scratch, strings.ReplaceAll(name, " ", "-")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := before(p); err != nil {
		return err
	}
	step("%s: waiting", name)
	rest := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := rest(b.seconds(10)); err != nil {
		return err
	}
	pid := p.cmd.Process.Pid
	spent, begin := processorTime(pid), time.Now()
	if err := rest(b.seconds(20)); err != nil {
		return err
	}
	part := (processorTime(pid) - spent).Seconds() / time.Since(begin).Seconds()
	b.Add(record.Figure{Name: name + ", resident memory", Value: float64(record.ResidentBytes(pid)) / 1e6, Unit: "MB"}, memory)
	b.Add(record.Figure{Name: name + ", of a core", Value: 100 * part, Unit: "%"}, record.AtMost(1))
	return nil
}

// ticks are those of /proc in a second, on every Linux that Go runs on.
const ticks = 100

// processorTime is what a process has used; 0 where there is no /proc.
func processorTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name may have spaces
	var user, system int64
	if len(fields) < 13 {
		return 0
	}
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * time.Second / ticks
}
