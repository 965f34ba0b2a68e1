package nearest

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/engramdb/engram/ann"
)

// Ours is the index of this repository, in this process. Its vectors lie in a file
// of its own, as they do in a database that has written a snapshot.
type Ours struct {
	Scratch string // folder of that file

	set   *Set
	index *ann.Graph
}

// Name is what it is called in tables.
func (o *Ours) Name() string { return "engram" }

// Codes says what is compared.
func (o *Ours) Codes() string { return "8 bits, re-ranked from float32" }

// Version is of no use: it is what stands here.
func (o *Ours) Version() string { return "this" }

// Efforts are the widths of a walk.
func (o *Ours) Efforts() []Effort { return graphEfforts() }

// Build makes the index.
func (o *Ours) Build(ctx context.Context, s *Set) (Built, error) {
	before := ownBytes()
	began := time.Now()
	o.set, o.index = s, newIndex(s)
	for i := range s.N {
		if i%1024 == 0 && ctx.Err() != nil {
			return Built{}, ctx.Err()
		}
		o.index.Put(uint32(i), s.row(i))
	}
	if err := o.settle(ctx); err != nil {
		return Built{}, err
	}
	took := time.Since(began)
	if o.Scratch != "" {
		if err := o.adopt(); err != nil {
			return Built{}, err
		}
	}
	return Built{Took: took, Bytes: max(ownBytes()-before, int64(o.index.Bytes()))}, nil
}

// adopt lets the vectors lie in a file.
func (o *Ours) adopt() error {
	name := filepath.Join(o.Scratch, "engram.near")
	if err := save(o.index, name); err != nil {
		return err
	}
	b, err := mapFile(name)
	if err != nil {
		return err
	}
	return o.index.Adopt(b)
}

func save(g *ann.Graph, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(g.Save(out), out.Flush(), f.Sync(), f.Close())
}

func newIndex(s *Set) *ann.Graph { return ann.NewGraph(s.Dim, s.Metric) }

func (o *Ours) options(e Effort) ann.Options {
	if len(e) == 0 {
		return o.defaults()
	}
	return ann.Options{Workers: 1, Walk: true, Effort: e[0]}
}

// IDs asks all queries of the set.
func (o *Ours) IDs(ctx context.Context, e Effort) ([][]uint32, error) {
	ids := make([][]uint32, o.set.queries())
	for i := range ids {
		hits, _, err := o.index.Search(ctx, o.set.query(i), K, nil, o.options(e))
		if err != nil {
			return nil, err
		}
		ids[i] = slotsOf(hits)
	}
	return ids, nil
}

func slotsOf(hits []ann.Hit) []uint32 {
	ids := make([]uint32, len(hits))
	for i, h := range hits {
		ids[i] = h.Slot
	}
	return ids
}

// Time asks one query a call; there is no other way to ask.
func (o *Ours) Time(ctx context.Context, e Effort, least time.Duration) (each, block float64, err error) {
	const together = 50
	options, n := o.options(e), o.set.queries()
	part := func(from int) error {
		for i := from; i < from+together; i++ {
			if _, _, err := o.index.Search(ctx, o.set.query(i%n), K, nil, options); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(part(n-2*together), part(n-together)); err != nil { // caches fill
		return 0, 0, err
	}
	asked, began := 0, time.Now()
	for asked == 0 || time.Since(began) < least {
		if err := part(asked % n); err != nil {
			return 0, 0, err
		}
		asked += together
	}
	return float64(asked) / time.Since(began).Seconds(), 0, nil
}

// Close lets the index go.
func (o *Ours) Close() error {
	o.set, o.index = nil, nil
	debug.FreeOSMemory()
	return nil
}

// ownBytes is the memory of this process that is no file's, after what is unused
// was given back; 0 where the system does not say.
func ownBytes() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// defaults are the options of a search whose effort is the engine's choice.
func (o *Ours) defaults() ann.Options { return ann.Options{Workers: 1} }

// settle makes the links of what was put, with two threads, as rivals build.
func (o *Ours) settle(ctx context.Context) error { return o.index.Settle(ctx, 2) }
