// Command engram-bench measures what the project promises: each figure stands
// beside its bar, with the machine that it was measured on.
//
//	go run ./bench/cmd/engram-bench quality   evidence recall on real questions (needs ENGRAM_DATA)
//	go run ./bench/cmd/engram-bench fusion    ways to fuse words and meaning, on the same questions
//	go run ./bench/cmd/engram-bench ablation  what each stage of recall gives, with the model and without (needs ENGRAM_DATA)
//	go run ./bench/cmd/engram-bench embed     the models in the binary, alone and under writes and recalls
//	go run ./bench/cmd/engram-bench write     durable writes against the bare disk and the bare store
//	go run ./bench/cmd/engram-bench recall    recall by text, exact vector scan, filters
//	go run ./bench/cmd/engram-bench spread    activation along links: graphs, hostile ones, a large space, writes
//	go run ./bench/cmd/engram-bench open      opening: a large space, an empty server, many small spaces
//	go run ./bench/cmd/engram-bench mix       the reference workload, open loop
//	go run ./bench/cmd/engram-bench doors     gRPC and REST beside the library, import, export, a server at rest
//	go run ./bench/cmd/engram-bench nearest   nearest vectors beside the indexes that people use
//
// It ends with 0 when every bar is met, 1 when one is missed, 3 when it could
// not measure and 130 when it was interrupted. docs/operate/benchmarks.md says
// what each figure means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/engramdb/engram/bench/record"
)

const (
	exitMet         = 0
	exitMissed      = 1
	exitFailed      = 3
	exitInterrupted = 130
)

// bench is one run: its flags and what it measured.
type bench struct {
	seed    uint64
	scale   float64 // of sizes and times; 1 is the measuring of record
	scratch string  // a folder on the disk that is measured, removed at the end
	results string
	profile string
	only    string
	nearest nearestFlags
	*record.Result
}

// n scales a count.
func (b *bench) n(full int) int { return max(1, int(b.scale*float64(full))) }

// does says whether a part of the benchmark was asked for.
func (b *bench) does(part string) bool {
	if b.only == "" {
		return true
	}
	for p := range strings.SplitSeq(b.only, ",") {
		if p == part {
			return true
		}
	}
	return false
}

var commands = map[string]func(context.Context, *bench) error{
	"quality":   quality,
	"fusion":    fusion,
	"ablation":  ablation,
	"embed":     embedding,
	"write":     write,
	"recall":    recall,
	"spread":    spread,
	"open":      open,
	"mix":       mix,
	"doors":     doors,
	"nearest":   compareNearest,
	childSpaces: spacesInChild,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// names are those of the commands that people call.
func names() []string {
	all := slices.Sorted(maps.Keys(commands))
	return slices.DeleteFunc(all, func(name string) bool { return name == childSpaces })
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: engram-bench "+strings.Join(names(), "|")+" [flags]; -h after one of them lists its flags")
		return exitFailed
	}
	b, err := parse(args[0], args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return exitMet
	}
	if err != nil {
		return exitFailed // flag has said why
	}
	if err := b.measure(ctx, args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "engram-bench "+args[0]+":", err)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		return exitFailed
	}
	if b.Result != nil && len(b.Missed()) > 0 {
		return exitMissed
	}
	return exitMet
}

func parse(name string, args []string) (*bench, error) {
	b := &bench{}
	f := flag.NewFlagSet("engram-bench "+name, flag.ContinueOnError)
	f.Uint64Var(&b.seed, "seed", 42, "seed of everything that is made up")
	f.Float64Var(&b.scale, "scale", 1, "share of the sizes and times of record, for a quick look; results are saved at 1 alone")
	f.StringVar(&b.scratch, "scratch", "bench/scratch", "folder on the disk to be measured; it is emptied")
	f.StringVar(&b.results, "results", "bench/results", "folder of the results")
	f.StringVar(&b.profile, "profile", "", "file for a CPU profile of the run")
	f.StringVar(&b.only, "only", "", "parts to do, with commas between them; all when empty (results are not saved)")
	switch name {
	case "nearest":
		b.nearest.register(f)
	case "embed":
		f.StringVar(&b.nearest.cache, "cache", defaultCache(), "folder that is kept: the virtual environment of onnxruntime, and its graph")
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if !(b.scale > 0 && b.scale <= 1) {
		err := fmt.Errorf("scale is %v; it is above 0 and at most 1", b.scale)
		fmt.Fprintln(f.Output(), err)
		return nil, err
	}
	return b, nil
}

// measure runs a benchmark in a scratch folder of its own, prints the table and
// saves it when it is one of record.
func (b *bench) measure(ctx context.Context, name string) (err error) {
	if name == childSpaces { // works in its parent's folder, and prints for it
		return commands[name](ctx, b)
	}
	if err := os.MkdirAll(b.scratch, 0o755); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(b.scratch, name+"-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	m, err := record.ThisMachine(b.scratch)
	if err != nil {
		return err
	}
	fmt.Println(m)
	b.Result = record.New(name, m, map[string]any{"seed": b.seed, "scale": b.scale})
	stop, err := startProfile(b.profile)
	if err != nil {
		return err
	}
	err = commands[name](ctx, b)
	stop()
	fmt.Print(b.Result) // also what was measured before something failed
	if err != nil {
		return err
	}
	if missed := b.Missed(); len(missed) > 0 {
		fmt.Printf("\nnot met: %s\n", strings.Join(missed, "; "))
	}
	if b.scale < 1 || b.only != "" || name == "nearest" { // which saves each set for itself
		return nil
	}
	if err := b.Save(b.results); err != nil || name != "doors" {
		return err
	}
	return b.SaveMarkdown(b.results)
}

func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// step says what is being done, for whoever waits.
func step(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }
