package nearest

import (
	"bytes"
	"context"
	_ "embed" // for the worker
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/engramdb/engram/vector"
)

//go:embed kernels.py
var kernelWorker string

// KernelLibraries are the libraries from PyPI whose kernels are compared with.
var KernelLibraries = []string{"simsimd", "numkong"}

// Where rows lie when they are compared: in the second-level cache, or in memory that
// no cache holds.
const (
	inCache  = "cache"
	inMemory = "memory"
)

var kernelBytes = map[string]int{inCache: 256 << 10, inMemory: 128 << 20}

// pieceBytes is how much one call reads: others who are at work disturb few of many short
// calls. Before a piece of what lies in memory is read again, all others are.
const pieceBytes = 1 << 20

// Kernel is what comparing one query with a row takes: the median of some rounds of
// the lower quartile of many calls.
type Kernel struct {
	Name     string
	Where    string
	Dim      int
	RowBytes int
	Ours     float64            // ns a row
	Reading  float64            // ns to read as many bytes
	Theirs   map[string]float64 // ns a row, by library
}

// ByReading is ours by the time that reading the bytes takes.
func (k *Kernel) ByReading() float64 { return k.Ours / k.Reading }

// ByBest is ours by the best library's; 0 when none has such a kernel.
func (k *Kernel) ByBest() (float64, string) {
	best, name := math.Inf(1), ""
	for n, t := range k.Theirs {
		if t < best {
			best, name = t, n
		}
	}
	if name == "" {
		return 0, ""
	}
	return k.Ours / best, name
}

// KernelReport is everything of one run.
type KernelReport struct {
	Kernels  []Kernel
	Versions map[string]string
	Missing  map[string]string
}

// oneKernel makes rows and gives a call that compares those of a piece.
type oneKernel struct {
	name  string
	bytes func(dim int) int
	make  func(r *rand.Rand, dim, n int) func(from, to int)
	other bool // libraries have it too
}

var allKernels = []oneKernel{
	{"dot float32", func(dim int) int { return 4 * dim }, func(r *rand.Rand, dim, n int) func(from, to int) {
		q, rows, out := normals(r, dim), normals(r, dim*n), make([]float32, n)
		return func(from, to int) { vector.Dots(q, rows[from*dim:to*dim], dim, out[from:to]) }
	}, true},
	{"l2 float32", func(dim int) int { return 4 * dim }, func(r *rand.Rand, dim, n int) func(from, to int) {
		q, rows, out := normals(r, dim), normals(r, dim*n), make([]float32, n)
		return func(from, to int) { vector.SquaredL2s(q, rows[from*dim:to*dim], dim, out[from:to]) }
	}, true},
	{"dot int8", func(dim int) int { return dim }, func(r *rand.Rand, dim, n int) func(from, to int) {
		q, rows, out := view[int8](codes(r, dim)), view[int8](codes(r, dim*n)), make([]int32, n)
		return func(from, to int) { vector.DotsInt8(q, rows[from*dim:to*dim], dim, out[from:to]) }
	}, true},
	{"l2 int8", func(dim int) int { return dim }, func(r *rand.Rand, dim, n int) func(from, to int) {
		q, rows, out := view[int8](codes(r, dim)), view[int8](codes(r, dim*n)), make([]int32, n)
		return func(from, to int) { vector.SquaredL2sInt8(q, rows[from*dim:to*dim], dim, out[from:to]) }
	}, true},
	{"estimate, 4 bits", func(dim int) int { return dim/2 + 8 }, func(r *rand.Rand, dim, n int) func(from, to int) {
		var q vector.FourQuery
		q.Set(normals(r, dim))
		rows, factors, out := codes(r, dim/2*n), make([]vector.FourFactors, n), make([]float32, n)
		return func(from, to int) { q.Estimates(rows[from*dim/2:to*dim/2], factors[from:to], out[from:to]) }
	}, false},
	{"estimate, 1 bit", func(dim int) int { return dim/8 + 16 }, func(r *rand.Rand, dim, n int) func(from, to int) {
		var q vector.BitQuery
		q.Set(normals(r, dim))
		rows, factors, out := view[uint64](codes(r, dim/8*n)), make([]vector.BitFactors, n), make([]float32, n)
		return func(from, to int) { q.Estimates(rows[from*dim/64:to*dim/64], factors[from:to], out[from:to]) }
	}, false},
}

func normals(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v { // sums of bytes are normal enough, and quick to make
		x := r.Uint64()
		v[i] = float32(int(x&255)+int(x>>8&255)+int(x>>16&255)-382) / 128
	}
	return v
}

func codes(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		*(*uint64)(unsafe.Pointer(&b[i])) = r.Uint64() &^ 0x8080808080808080
	}
	return b[:n]
}

func view[T any](b []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(one)))
}

// bestOf calls f for a while and gives the quickest call.
func bestOf(least time.Duration, f func()) float64 {
	best := math.Inf(1)
	for began := time.Now(); time.Since(began) < least || math.IsInf(best, 1); {
		at := time.Now()
		f()
		best = min(best, float64(time.Since(at)))
	}
	return best
}

// eachRow goes over n rows piece by piece, for a while and at least once, and gives the
// lower quartile of what a row takes, in ns.
func eachRow(least time.Duration, n, piece int, f func(from, to int)) float64 {
	var took []float64
	for began := time.Now(); time.Since(began) < least || len(took) == 0; {
		for from := 0; from+piece <= n; from += piece {
			at := time.Now()
			f(from, from+piece)
			took = append(took, float64(time.Since(at))/float64(piece))
		}
	}
	slices.Sort(took)
	return took[len(took)/4]
}

// reading reads rows of so many bytes, as quickly as the library's search for a byte can.
func reading(n, each int) func(from, to int) {
	b := make([]byte, n*each)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 2 // pages of zeros may be one
	}
	return func(from, to int) {
		if bytes.IndexByte(b[from*each:to*each], 1) >= 0 {
			panic("nearest: there is no such byte")
		}
	}
}

// Kernels compares our kernels with those of libraries and with reading the same
// bytes, each in turn, round after round. rivals may be nil: ours are then alone.
func Kernels(ctx context.Context, rivals *Rivals, rounds int, least time.Duration, say func(string, ...any)) (*KernelReport, error) {
	r := &KernelReport{Versions: map[string]string{}, Missing: map[string]string{}}
	libraries, err := startLibraries(ctx, rivals, r, say)
	defer func() {
		for _, l := range libraries {
			// It has answered all that it was asked.
			_ = l.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, dim := range []int{384, 768} {
		for _, where := range []string{inCache, inMemory} {
			for _, k := range allKernels {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				say("kernels: %s, %d numbers, in %s", k.name, dim, where)
				one, err := k.compare(libraries, dim, where, rounds, least)
				if err != nil {
					return nil, err
				}
				r.Kernels = append(r.Kernels, one)
			}
		}
	}
	return r, nil
}

func startLibraries(ctx context.Context, rivals *Rivals, r *KernelReport, say func(string, ...any)) ([]*rival, error) {
	if rivals == nil {
		return nil, nil
	}
	with := *rivals
	with.script = filepath.Join(rivals.scratch, "kernels.py") // beside rival.py, which it imports
	if err := os.WriteFile(with.script, []byte(kernelWorker), 0o644); err != nil {
		return nil, err
	}
	var all []*rival
	for _, name := range KernelLibraries {
		if why := with.env.Install(ctx, name); why != "" {
			r.Missing[name] = why
			continue
		}
		l := &rival{rivals: &with, name: name}
		if err := l.start(ctx); err != nil {
			return all, err
		}
		all = append(all, l)
		a, err := l.ask("open", map[string]any{"library": name})
		if err != nil {
			return all, err
		}
		r.Versions[name] = a.Version
	}
	return all, nil
}

func (k *oneKernel) compare(libraries []*rival, dim int, where string, rounds int, least time.Duration) (Kernel, error) {
	bytes := k.bytes(dim)
	n := max(8, kernelBytes[where]/bytes)
	piece := max(1, min(n, pieceBytes/bytes))
	ours, read := k.make(rand.New(rand.NewPCG(1, 2)), dim, n), reading(n, bytes)
	times := map[string][]float64{}
	for range rounds {
		times[""] = append(times[""], eachRow(least, n, piece, ours))
		times["reading"] = append(times["reading"], eachRow(least, n, piece, read))
		for _, l := range libraries {
			if !k.other {
				continue
			}
			a, err := l.ask("kernel", map[string]any{"kernel": k.name, "dim": dim, "n": n, "piece": piece, "least": least.Seconds()})
			if err != nil {
				return Kernel{}, err
			}
			times[l.name] = append(times[l.name], a.Seconds*1e9)
		}
	}
	one := Kernel{Name: k.name, Where: where, Dim: dim, RowBytes: bytes, Theirs: map[string]float64{}}
	for name, t := range times {
		slices.Sort(t)
		each := t[len(t)/2]
		switch name {
		case "":
			one.Ours = each
		case "reading":
			one.Reading = each
		default:
			one.Theirs[name] = each
		}
	}
	return one, nil
}

// Markdown writes the table.
func (r *KernelReport) Markdown(machine string, date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Distance kernels\n\n%s, %s\n\n", date.Format(time.RFC3339), machine)
	fmt.Fprintf(&b, "- one thread, one query against up to %d KB of rows a call; the median of rounds, interleaved, of the lower quartile of calls; kernels: %s\n", pieceBytes>>10, vector.Level())
	fmt.Fprintf(&b, "- cache: %d KB of rows, memory: %d MB; reading is bytes.IndexByte over as many bytes\n", kernelBytes[inCache]>>10, kernelBytes[inMemory]>>20)
	for _, name := range KernelLibraries {
		if v := r.Versions[name]; v != "" {
			fmt.Fprintf(&b, "- %s %s, by cdist\n", name, v)
		}
		if why := r.Missing[name]; why != "" {
			fmt.Fprintf(&b, "- missing: %s could not be installed (%s)\n", name, why)
		}
	}
	b.WriteString("\n| kernel | numbers | rows in | bytes a row | ours, ns | GB/s | reading, ns |")
	for _, name := range KernelLibraries {
		b.WriteString(" " + name + ", ns |")
	}
	b.WriteString(" ours by reading | ours by the best other |\n|" + strings.Repeat("---|", 9+len(KernelLibraries)) + "\n")
	for _, k := range r.Kernels {
		fmt.Fprintf(&b, "| %s | %d | %s | %d | %.1f | %.0f | %.1f |", k.Name, k.Dim, k.Where, k.RowBytes, k.Ours, float64(k.RowBytes)/k.Ours, k.Reading)
		for _, name := range KernelLibraries {
			if t, ok := k.Theirs[name]; ok {
				fmt.Fprintf(&b, " %.1f |", t)
			} else {
				b.WriteString(" - |")
			}
		}
		by, name := k.ByBest()
		fmt.Fprintf(&b, " %.2f |", k.ByReading())
		if name == "" {
			b.WriteString(" - |\n")
		} else {
			fmt.Fprintf(&b, " %.2f |\n", by)
		}
	}
	return b.String()
}

// Bound is what a kernel is held to, and what by: from memory, reading the bytes; in
// the cache, the best of the libraries, where there is one.
func (k *Kernel) Bound() (ratio float64, by string) {
	if k.Where == inMemory {
		return k.ByReading(), "reading the bytes"
	}
	return k.ByBest()
}
