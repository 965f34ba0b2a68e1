package nearest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"
)

// Selectivities are the shares of the vectors that filters let through.
var Selectivities = []float64{0.5, 0.1, 0.01, 0.001, 0.0001}

// Relations say how a filter lies to the query: it lets through vectors by
// chance; those round the query; or those round another place.
var Relations = []string{"random", "correlated", "anti-correlated"}

// filteredQueries is how many are asked with each filter.
const filteredQueries = 100

// Filtered is what one filter gave.
type Filtered struct {
	Share    float64
	Relation string
	Passing  int
	Ways     []FilteredWay
}

// FilteredWay is a way of answering: ours, the plain scan, a rival.
type FilteredWay struct {
	Name     string
	Recall   float64
	P50, P99 time.Duration
	Failed   string
}

// Filters asks ours and, when it is not nil, hnswlib with a filter function; both
// have been built for the set. Beside them stands the plain scan of what passes.
func Filters(ctx context.Context, s *Set, o *Ours, hnswlib Engine, scratch string, say func(string, ...any)) ([]Filtered, error) {
	rng := rand.New(rand.NewPCG(5, 5))
	var all []Filtered
	for _, share := range Selectivities {
		for _, relation := range Relations {
			say("%s: filter of %g %%, %s", s.Name, share*100, relation)
			f, err := s.filter(rng, share, relation)
			if err != nil {
				return nil, err
			}
			row := Filtered{Share: share, Relation: relation, Passing: f.passing}
			ours, err := o.filtered(ctx, f)
			if err != nil {
				return nil, err
			}
			row.Ways = append(row.Ways, ours, f.scan())
			if hnswlib != nil {
				way, err := f.byFunction(hnswlib, scratch)
				if err != nil {
					return nil, err
				}
				row.Ways = append(row.Ways, way)
			}
			all = append(all, row)
		}
	}
	return all, nil
}

// filter is a set of vectors that pass, queries, and the truth.
type filter struct {
	set     *Set
	allowed []byte
	passing int
	queries []float32
	truth   [][]Near
}

// filter draws one. A place is a vector of the set; those nearest to it pass, or
// by chance; queries are those nearest to the place, or farthest from it.
func (s *Set) filter(rng *rand.Rand, share float64, relation string) (*filter, error) {
	f := &filter{set: s, allowed: make([]byte, s.N)}
	place := s.row(rng.IntN(s.N))
	n := max(K, int(share*float64(s.N)))
	switch relation {
	case "random":
		for _, i := range rng.Perm(s.N)[:n] {
			f.allowed[i] = 1
		}
	case "correlated", "anti-correlated":
		for _, h := range s.nearestOf(s.Base, place)[:n] {
			f.allowed[h.ID] = 1
		}
	default:
		return nil, fmt.Errorf("there is no relation %q", relation)
	}
	f.passing = n
	order := s.nearestOf(s.Queries, place)
	if relation == "anti-correlated" {
		slices.Reverse(order)
	}
	for _, h := range order[:min(filteredQueries, len(order))] {
		f.queries = append(f.queries, s.query(int(h.ID))...)
	}
	f.truth = s.exactAll(f.queries, f.allowed)
	return f, nil
}

// nearestOf sorts rows by their nearness to a place.
func (s *Set) nearestOf(rows, place []float32) []Near {
	scores := make([]float32, len(rows)/s.Dim)
	s.compare(place, rows, scores)
	all := make([]Near, len(scores))
	for i, x := range scores {
		all[i] = Near{uint32(i), x}
	}
	slices.SortFunc(all, func(a, b Near) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
	return all
}

func (f *filter) n() int { return len(f.queries) / f.set.Dim }

func (f *filter) query(i int) []float32 { return f.queries[i*f.set.Dim : (i+1)*f.set.Dim] }

// way times each query and judges what was found.
func (f *filter) way(name string, ask func(q []float32) ([]uint32, error)) (FilteredWay, error) {
	found := make([][]uint32, f.n())
	took := make([]time.Duration, f.n())
	for pass := range 2 { // in the first one, caches fill
		for i := range found {
			began := time.Now()
			ids, err := ask(f.query(i))
			took[i] = time.Since(began)
			if err != nil {
				return FilteredWay{}, err
			}
			if pass > 0 {
				continue
			}
			for _, id := range ids {
				if f.allowed[id] == 0 {
					return FilteredWay{}, fmt.Errorf("%s gave %d, which the filter does not let through", name, id)
				}
			}
			found[i] = ids
		}
	}
	slices.Sort(took)
	return FilteredWay{Name: name, Recall: f.set.recall(f.queries, f.truth, found), P50: took[len(took)/2], P99: took[len(took)*99/100]}, nil
}

func (o *Ours) filtered(ctx context.Context, f *filter) (FilteredWay, error) {
	allow := bitset.New(uint(f.set.N))
	for i, a := range f.allowed {
		if a != 0 {
			allow.Set(uint(i))
		}
	}
	return f.way("engram", func(q []float32) ([]uint32, error) {
		hits, _, err := o.index.Search(ctx, q, K, allow, o.defaults())
		return slotsOf(hits), err
	})
}

// scan compares all that pass, without any index.
func (f *filter) scan() FilteredWay {
	// The plain scan cannot fail.
	w, _ := f.way("exact scan", func(q []float32) ([]uint32, error) {
		var ids []uint32
		for _, h := range f.set.exact(q, f.allowed) {
			ids = append(ids, h.ID)
		}
		return ids, nil
	})
	return w
}

// byFunction asks hnswlib at ef 100, which gives .99 and more without a filter on all
// sets here.
func (f *filter) byFunction(e Engine, scratch string) (FilteredWay, error) {
	r, ok := e.(*rival)
	if !ok {
		return FilteredWay{}, fmt.Errorf("%s takes no filter function", e.Name())
	}
	allowed, queries := filepath.Join(scratch, "allowed"), filepath.Join(scratch, "filtered.f32")
	if err := os.WriteFile(allowed, f.allowed, 0o644); err != nil {
		return FilteredWay{}, err
	}
	out, err := newRows(queries, false)
	if err != nil {
		return FilteredWay{}, err
	}
	if err := out.add(f.queries); err != nil {
		return FilteredWay{}, err
	}
	if err := out.close(); err != nil {
		return FilteredWay{}, err
	}
	ids, took, err := r.filtered(Effort{100}, allowed, queries, f.n())
	if err != nil {
		return FilteredWay{}, err
	}
	each := took / time.Duration(f.n())
	return FilteredWay{Name: r.name, Recall: f.set.recall(f.queries, f.truth, ids), P50: each}, nil
}
