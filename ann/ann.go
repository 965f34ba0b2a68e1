// Package ann finds nearest vectors: for a query, the stored vectors with the
// highest scores, each known by its slot.
//
// # What is here
//
// Flat is the exact index: it compares the query with every vector that it may
// look at. Graph is the approximate one, for many: it follows links between near
// vectors, over codes of a byte a number, and compares what it finds exactly. Both
// have the same verbs; what they must obey is in package anntest, which runs them
// against a plain model. DESIGN.md is about Graph: how an owner drives it, how it
// works, what was measured. The rest of this page is about Flat, and what it says
// of scores and concurrency holds for both.
//
// Passages stands above an index: slots that have several vectors, of the parts of
// their texts, each as near as its nearest.
//
// # Design
//
// The rows lie in chunks of 64 without gaps: no pointer for each vector, and a
// chunk, once full, is never copied to grow. A delete moves the last row into
// the gap and wipes what it leaves, so a scan meets live rows only, memory
// follows the number of vectors and not the number of writes, and what was
// deleted is in no array any more. Slots are never used again, so the table
// from slot to row is in pages that go when their last slot goes. Free lists
// with a bitmap of live rows were the other way; they keep the peak for ever and
// make each scan pay for the holes.
//
// Under cosine the rows are kept at length one, so that all metrics are one
// pass of package vector; the vectors as their caller gave them lie elsewhere.
//
// # Scores
//
// A score is bigger for nearer vectors: the cosine (-1 to 1), the inner
// product, or minus the squared Euclidean distance. It is computed in float32 as
// package vector says, or in float64 when float32 overflows, so it is a finite
// number and the same in every run, with any filter, split or not. Order is
// total: by score, and equal scores by slot, smaller first.
//
// # Concurrency
//
// An index holds no lock. Its owner holds one sync.RWMutex, for writing round
// Put and Delete (of a Graph also Place and Adopt) and for reading round all
// others.
package ann

import (
	"errors"

	"github.com/engramdb/engram/memory"
)

// ErrDimension is the error of a query whose length is not the index's
// dimension.
var ErrDimension = errors.New("vector of another dimension")

// Hit is one vector found: its slot, and its score under the index's metric.
type Hit struct {
	Slot  uint32
	Score float64
}

// better is the order of hits: best first, equal scores by slot.
func (h Hit) better(o Hit) bool {
	if h.Score != o.Score {
		return h.Score > o.Score
	}
	return h.Slot < o.Slot
}

// Options of a search. The zero value is the default.
type Options struct {
	// Workers is how many goroutines may compare at once, at most MaxWorkers.
	// 0 takes two when the work is long enough to pay for them; 1 is for callers
	// that are themselves many. The answer is the same.
	Workers int

	// Exact compares the vectors themselves of all that is allowed. Flat always does.
	Exact bool

	// Walk keeps a Graph from comparing all that is allowed where that is cheaper: a
	// small set, too, is then answered by the links. For tests and measurements.
	Walk bool

	// Effort is how many candidates a walk of a Graph keeps (ef); more find more and
	// take longer. 0 chooses by k, so that some 99 % of the nearest are found.
	Effort int
}

// MaxWorkers bounds the goroutines of one search. They end before it returns.
const MaxWorkers = 2

func knownMetric(m memory.Metric) bool {
	return m == memory.MetricCosine || m == memory.MetricDot || m == memory.MetricL2
}
