package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/bench/record"
	"github.com/engramdb/engram/memory"
)

// open measures what stands between a start and the first answer.
func open(ctx context.Context, b *bench) error {
	if b.does("large") {
		if err := b.openLarge(ctx); err != nil {
			return fmt.Errorf("large space: %w", err)
		}
	}
	if b.does("server") {
		if err := b.openServer(ctx); err != nil {
			return fmt.Errorf("empty server: %w", err)
		}
	}
	if b.does("spaces") {
		if err := b.openSpaces(ctx); err != nil {
			return fmt.Errorf("small spaces: %w", err)
		}
	}
	b.Note("The files are in the system's page cache: it is the database's work that is measured, not the first reading of a cold disk.")
	return nil
}

// openLarge times Open, Space and the first Recall together.
func (b *bench) openLarge(ctx context.Context) error {
	dir, n := filepath.Join(b.scratch, "large"), b.n(100_000)
	db, err := engram.Open(ctx, dir, engram.Options{})
	if err != nil {
		return err
	}
	_, err = fillPassages(ctx, db, "large", b.seed, n)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	question := makeQuestions(b.seed+1, 1)[0]
	var took []time.Duration
	for range 5 {
		begin := time.Now()
		if err := openAndRecall(ctx, dir, question, func() { took = append(took, time.Since(begin)) }); err != nil {
			return err
		}
	}
	b.Millis(fmt.Sprintf("%d memories, open to first recall", n), load.Median(took), len(took), record.AtMost(2000))
	return nil
}

func openAndRecall(ctx context.Context, dir, question string, answered func()) (err error) {
	db, err := engram.Open(ctx, dir, engram.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := db.Space("large")
	if err != nil {
		return err
	}
	r, err := s.Recall(ctx, memory.Cue{Text: question})
	if err != nil {
		return err
	}
	answered()
	if len(r.Results) == 0 {
		return errors.New("the first recall found nothing")
	}
	return nil
}

// openServer builds the binary as it is released and starts it on an empty
// folder, as a process of its own.
func (b *bench) openServer(ctx context.Context) error {
	step("building the binary")
	bin := filepath.Join(b.scratch, "engram")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "github.com/engramdb/engram/cmd/engram")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		return err
	}
	b.Add(record.Figure{Name: "size of the binary", Value: float64(info.Size()) / 1e6, Unit: "MB"}, record.AtMost(70))
	models := 0.0
	for _, file := range []string{"embed/minilm/minilm.bin", "embed/static/table.bin"} { // as the folders of flags, from the root
		if f, err := os.Stat(file); err == nil {
			models += float64(f.Size())
		}
	}
	b.Add(record.Figure{Name: "size of the binary without its models", Value: (float64(info.Size()) - models) / 1e6, Unit: "MB"}, record.AtMost(45))
	step("starting it")
	l := load.NewLatency()
	for i := range b.n(30) {
		took, err := startOnce(ctx, bin, filepath.Join(b.scratch, fmt.Sprintf("empty%d", i)))
		if err != nil {
			return err
		}
		l.Add(took)
	}
	n := int(l.Count())
	b.Millis("empty server ready, p50", l.At(0.5), n, record.AtMost(100))
	b.Millis("empty server ready, max", l.Max(), n, nil)
	return nil
}

// freeAddress is one that nothing listens on at present.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// startOnce says how long a server takes from its start to its first yes.
func startOnce(ctx context.Context, bin, dir string) (time.Duration, error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	server := exec.CommandContext(ctx, bin, "serve", "--data", dir, "--listen", address)
	begin := time.Now()
	if err := server.Start(); err != nil {
		return 0, err
	}
	err = pollReady(ctx, "http://"+address+"/readyz", begin.Add(10*time.Second))
	took := time.Since(begin)
	return took, errors.Join(err, server.Process.Signal(syscall.SIGTERM), server.Wait())
}

func pollReady(ctx context.Context, url string, deadline time.Time) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for time.Now().Before(deadline) && ctx.Err() == nil {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(500 * time.Microsecond) // a refused connection comes back at once
	}
	return fmt.Errorf("%s did not say yes in time", url)
}

// childSpaces is the hidden command that openSpaces runs in a process of its
// own, so that memory is that of the database and not of what filled it.
const childSpaces = "open-spaces-child"

// inChild is what the child prints.
type inChild struct {
	OpenMillis    float64
	ResidentBytes int64 // with 500 spaces open
	P50, P99, Max float64
	N             int
	AfterBytes    int64 // when the recalls in closed spaces are done
}

func (b *bench) openSpaces(ctx context.Context) error {
	dir, n := filepath.Join(b.scratch, "spaces"), b.n(10_000)
	if err := fillSpaces(ctx, dir, b.seed, n); err != nil {
		return err
	}
	step("recall in closed spaces, in a process of its own")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, childSpaces, "-scratch", dir, "-scale", fmt.Sprint(b.scale))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return err
	}
	var c inChild
	if err := json.Unmarshal(out, &c); err != nil {
		return err
	}
	name := fmt.Sprintf("%d small spaces, %d open", n, b.n(openAtOnce))
	b.Add(record.Figure{Name: name + ", memory", Value: float64(c.ResidentBytes) / 1e6, Unit: "MB"}, record.AtMost(300))
	b.Add(record.Figure{Name: name + ", memory after the recalls", Value: float64(c.AfterBytes) / 1e6, Unit: "MB"}, record.AtMost(300))
	b.Add(record.Figure{Name: "first recall in a closed space, p50", Value: c.P50, Unit: "ms", N: c.N}, nil)
	b.Add(record.Figure{Name: "first recall in a closed space, p99", Value: c.P99, Unit: "ms", N: c.N}, record.AtMost(20))
	b.Add(record.Figure{Name: "open a database of so many spaces", Value: c.OpenMillis, Unit: "ms"}, nil)
	return nil
}

const (
	openAtOnce = 500
	inEach     = 20 // memories in a small space
)

func smallSpace(i int) memory.SpaceName { return memory.SpaceName(fmt.Sprintf("small-%05d", i)) }

func fillSpaces(ctx context.Context, dir string, seed uint64, n int) (err error) {
	step("making %d spaces of %d memories", n, inEach)
	db, err := engram.Open(ctx, dir, engram.Options{MaxOpenSpaces: openAtOnce})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = load.Repeat(ctx, 8, n, 0, func(ctx context.Context, _, i int) error {
		return fillSmall(ctx, db, smallSpace(i), seed+uint64(i))
	})
	return err
}

func fillSmall(ctx context.Context, db *engram.DB, name memory.SpaceName, seed uint64) error {
	if _, _, err := db.CreateSpace(ctx, name, memory.Settings{}); err != nil {
		return err
	}
	s, err := db.Space(name)
	if err != nil {
		return err
	}
	// A source is for one goroutine and takes longer to make than the space, so
	// the words come from a stock.
	es := make([]memory.Episode, inEach)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range es {
		es[i] = memory.Episode{Text: fmt.Sprintf("%s, said for the %dth time", stock()[rng.IntN(len(stock()))], i), Tags: []string{"small"}}
	}
	_, err = s.RememberBatch(ctx, es, false, engram.WriteOptions{})
	return err
}

// stock is a supply of passages, made when it is first needed.
var stock = sync.OnceValue(func() []string {
	src := prose.New(1)
	passages := make([]string, 1000)
	for i := range passages {
		passages[i] = src.Passage(src.Topic(), 40)
	}
	return passages
})

// spacesInChild opens 500 spaces, says how much memory that takes, and asks in
// others, each of which has to be opened and another closed for it.
func spacesInChild(ctx context.Context, b *bench) (err error) {
	n, atOnce := b.n(10_000), b.n(openAtOnce)
	var c inChild
	begin := time.Now()
	db, err := engram.Open(ctx, b.scratch, engram.Options{MaxOpenSpaces: atOnce})
	if err != nil {
		return err
	}
	c.OpenMillis = millis(time.Since(begin))
	defer func() { err = errors.Join(err, db.Close()) }()
	for i := range atOnce {
		if err := askSmall(ctx, db, i); err != nil {
			return err
		}
	}
	c.ResidentBytes = record.ResidentBytes(0)
	l := load.NewLatency()
	closed := rand.New(rand.NewPCG(1, 1)).Perm(n - atOnce)
	for _, i := range closed[:min(len(closed), b.n(2000))] {
		begin := time.Now()
		if err := askSmall(ctx, db, atOnce+i); err != nil {
			return err
		}
		l.Add(time.Since(begin))
	}
	c.P50, c.P99, c.Max, c.N = millis(l.At(0.5)), millis(l.At(0.99)), millis(l.Max()), int(l.Count())
	c.AfterBytes = record.ResidentBytes(0)
	return json.NewEncoder(os.Stdout).Encode(c)
}

func askSmall(ctx context.Context, db *engram.DB, i int) error {
	s, err := db.Space(smallSpace(i))
	if err != nil {
		return err
	}
	r, err := s.Recall(ctx, memory.Cue{Text: "what was said the 3th time"})
	if err == nil && len(r.Results) == 0 {
		err = fmt.Errorf("%s: nothing was found", smallSpace(i))
	}
	return err
}
