package nearest

import (
	"bufio"
	"context"
	_ "embed" // for the rivals' worker
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/engramdb/engram/bench/python"
	"github.com/engramdb/engram/memory"
)

//go:embed rival.py
var worker string

// kinds are the rivals that there are, by the package that brings them.
var kinds = []struct{ name, codes, pip string }{
	{"faiss-hnsw", "float32", "faiss-cpu"},
	{"hnswlib", "float32", "hnswlib"},
	{"usearch", "float32", "usearch"},
	{"qdrant-edge", "float32", "qdrant-edge-py"},
	{"faiss-hnsw-8bit", "8 bits", "faiss-cpu"},
	{"usearch-i8", "8 bits", "usearch"},
	{"faiss-ivf-rabitq", "1 bit, re-ranked from float32", "faiss-cpu"},
}

// Rivals can be started.
type Rivals struct {
	Python  string            // of the virtual environment
	Missing map[string]string // packages that could not be installed, and why

	Left map[string]string // by set: who was left out, and why

	env             *python.Env
	scratch, script string
	chosen          []string
}

// InstallRivals makes the virtual environment in the cache, if it is not there,
// and installs what is missing. chosen are names of rivals; none are all. What
// cannot be installed is named in Missing: a table says so, and is no less honest.
func InstallRivals(ctx context.Context, cache, scratch string, chosen []string, say func(string, ...any)) (*Rivals, error) {
	r := &Rivals{scratch: scratch, script: filepath.Join(scratch, "rival.py"), chosen: chosen, Missing: map[string]string{}, Left: map[string]string{}}
	for _, name := range chosen {
		if !slices.ContainsFunc(kinds, func(k struct{ name, codes, pip string }) bool { return k.name == name }) {
			return nil, fmt.Errorf("there is no rival %q", name)
		}
	}
	env, err := python.Open(ctx, cache, say)
	if err != nil {
		return nil, err
	}
	r.env, r.Python = env, env.Python
	if err := os.WriteFile(r.script, []byte(worker), 0o644); err != nil {
		return nil, err
	}
	if why := env.Install(ctx, "numpy"); why != "" {
		return nil, fmt.Errorf("the rivals need numpy: %s", why)
	}
	for _, k := range kinds {
		if _, tried := r.Missing[k.pip]; tried || !r.wants(k.name) {
			continue
		}
		if why := env.Install(ctx, k.pip); why != "" {
			r.Missing[k.pip] = why
		}
	}
	return r, ctx.Err()
}

func (r *Rivals) wants(name string) bool {
	return len(r.chosen) == 0 || slices.Contains(r.chosen, name)
}

// qdrantMost is up to how many vectors the slowest builder takes part.
const qdrantMost = 25_000

// Engines gives the rivals that could be installed, none of them started.
func (r *Rivals) Engines(s *Set) []Engine {
	var es []Engine
	for _, k := range kinds {
		if _, missing := r.Missing[k.pip]; r.wants(k.name) && !missing {
			if why := r.leaves(k.name, s); why != "" {
				r.Left[s.Name] = strings.TrimPrefix(r.Left[s.Name]+"; "+why, "; ")
				continue
			}
			es = append(es, &rival{rivals: r, name: k.name, codes: k.codes})
		}
	}
	return es
}

// leaves says why a rival does not take part on a set; "" when it does.
func (r *Rivals) leaves(name string, s *Set) string {
	switch {
	case name == "usearch-i8" && s.Metric == memory.MetricL2:
		return "usearch-i8, whose codes are of vectors of length one"
	case name == "qdrant-edge" && s.N > qdrantMost && len(r.chosen) == 0:
		return fmt.Sprintf("qdrant-edge, of which building %d vectors takes minutes; -rivals names it all the same", s.N)
	}
	return ""
}

// rival is one in its process.
type rival struct {
	rivals      *Rivals
	name, codes string
	version     string

	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func (r *rival) Name() string    { return r.name }
func (r *rival) Codes() string   { return r.codes }
func (r *rival) Version() string { return r.version }

func (r *rival) Efforts() []Effort {
	if r.name == "faiss-ivf-rabitq" {
		return clusterEfforts()
	}
	return graphEfforts()
}

// answer is what the worker says; each question fills some of it.
type answer struct {
	Error   string     `json:"error"`
	Version string     `json:"version"`
	Seconds float64    `json:"seconds"`
	Bytes   int64      `json:"bytes"`
	Asked   int        `json:"asked"`
	IDs     [][]uint32 `json:"ids"`
}

func (r *rival) Build(ctx context.Context, s *Set) (Built, error) {
	if err := r.start(ctx); err != nil {
		return Built{}, err
	}
	a, err := r.ask("open", map[string]any{"kind": r.name, "base": s.BaseFile, "n": s.N, "dim": s.Dim, "metric": s.Metric})
	if err != nil {
		return Built{}, err
	}
	r.version = a.Version
	if a, err = r.ask("build", map[string]any{"threads": 2}); err != nil {
		return Built{}, err
	}
	_, err = r.ask("queries", map[string]any{"path": s.QueryFile, "n": s.queries()})
	return Built{Took: seconds(a.Seconds), Bytes: a.Bytes}, err
}

func (r *rival) start(ctx context.Context) (err error) {
	r.process = exec.CommandContext(ctx, r.rivals.Python, r.rivals.script, filepath.Join(r.rivals.scratch, r.name))
	r.process.Env = append(os.Environ(), "OMP_NUM_THREADS=2", "OMP_WAIT_POLICY=passive", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1")
	r.process.Stderr = os.Stderr
	if r.in, err = r.process.StdinPipe(); err != nil {
		return err
	}
	out, err := r.process.StdoutPipe()
	if err != nil {
		return err
	}
	r.out = bufio.NewReaderSize(out, 1<<20)
	return r.process.Start()
}

func (r *rival) ask(what string, with map[string]any) (answer, error) {
	with["do"] = what
	line, err := json.Marshal(with)
	if err != nil {
		return answer{}, err
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.name, err)
	}
	if line, err = r.out.ReadBytes('\n'); err != nil {
		return answer{}, fmt.Errorf("%s ended: %w", r.name, err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.name, err)
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("%s: %s: %s", r.name, what, a.Error)
	}
	return a, nil
}

func (r *rival) IDs(_ context.Context, e Effort) ([][]uint32, error) {
	a, err := r.ask("ids", map[string]any{"effort": e, "k": K})
	return a.IDs, err
}

func (r *rival) Time(_ context.Context, e Effort, least time.Duration) (each, block float64, err error) {
	rates := map[string]float64{}
	for _, mode := range []string{"each", "block"} {
		a, err := r.ask("time", map[string]any{"effort": e, "k": K, "least": least.Seconds(), "mode": mode, "n": QueryCount})
		if err != nil {
			return 0, 0, err
		}
		if a.Asked > 0 {
			rates[mode] = float64(a.Asked) / a.Seconds
		}
	}
	return rates["each"], rates["block"], nil
}

// filtered asks queries of a file with a filter function, one a call.
func (r *rival) filtered(e Effort, allowed, queries string, n int) ([][]uint32, time.Duration, error) {
	a, err := r.ask("filtered", map[string]any{"effort": e, "k": K, "allowed": allowed, "path": queries, "n": n})
	return a.IDs, seconds(a.Seconds), err
}

// Close ends the process.
func (r *rival) Close() error {
	if r.process == nil || r.process.Process == nil {
		return nil
	}
	err := r.in.Close()
	// It ends because its questions do; how does not matter any more.
	_ = r.process.Wait()
	r.process = nil
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
