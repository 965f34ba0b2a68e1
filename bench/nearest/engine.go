package nearest

import (
	"context"
	"time"
)

// Engine is an index that is compared.
type Engine interface {
	// Name and Codes say what it is: "hnswlib", "float32".
	Name() string
	Codes() string
	Version() string
	// Efforts are the settings of a search, from the quickest to the most thorough.
	Efforts() []Effort
	// Build makes the index of a set with two threads; until Close it answers.
	Build(ctx context.Context, s *Set) (Built, error)
	// IDs asks all queries of the set.
	IDs(ctx context.Context, e Effort) ([][]uint32, error)
	// Time asks all queries again and again, for at least so long, in one thread, and
	// gives queries a second: asked one a call, and all in one (0 where it cannot).
	Time(ctx context.Context, e Effort, least time.Duration) (each, block float64, err error)
	Close() error
}

// Effort is how hard a search tries: ef of a graph; lists read and factor of
// candidates of a cluster index.
type Effort []int

// Built is what building an index took.
type Built struct {
	Took  time.Duration
	Bytes int64 // memory of the process's own that it holds beyond the vectors' file
}

// graphEfforts are the widths of a graph's search.
func graphEfforts() []Effort {
	var es []Effort
	for _, ef := range []int{8, 10, 12, 15, 19, 24, 30, 38, 48, 62, 80, 105, 140, 190, 260, 360, 500} {
		es = append(es, Effort{ef})
	}
	return es
}

func clusterEfforts() []Effort {
	var es []Effort
	for _, factor := range []int{4, 10, 25} {
		for _, lists := range []int{1, 2, 4, 8, 12, 18, 26, 38, 56, 84, 128, 190, 280} {
			es = append(es, Effort{lists, factor})
		}
	}
	return es
}
