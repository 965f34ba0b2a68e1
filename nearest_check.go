package engram

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/memory"
)

// RecallCheck is how much of what exact search finds the index of vectors finds.
type RecallCheck struct {
	LSN     memory.LSN
	Queries int
	Live    int     // of them, cues that were asked of late; the rest are stored vectors
	Recall  float64 // the share of the ten nearest that the index found; 1 when there is nothing to find
	Low     float64 // of the 95 % interval (Wilson's, of so many queries)
	High    float64
	Exact   int // queries that the index answered by comparing all
	// P50 of the two ways, on this machine as it is now.
	Approximately, Exactly time.Duration
}

const (
	// recallCheckNear is how many neighbours are compared.
	recallCheckNear = 10
	// RecallCheckSample is how many queries are asked when the caller does not say.
	RecallCheckSample = 50
	// RecallCheckMost bounds them: each is compared with all vectors.
	RecallCheckMost = 1000
	// cuesKept is how many cues of late a space remembers, in memory alone.
	cuesKept = 100
	// cuesWorth is from how many vectors on they are remembered: fewer are compared
	// all.
	cuesWorth = 2048
)

// CheckRecall compares what the index of vectors answers with exact search: for cues
// that were asked of late, with their filters, and when there are fewer than sample
// of them for stored vectors as well. 0 is RecallCheckSample. Errors:
// sample_out_of_range; vectors_off for a space without vectors.
func (s *Space) CheckRecall(ctx context.Context, sample int) (RecallCheck, error) {
	r, err := s.checkRecall(ctx, sample)
	return r, memory.InOp("check_recall", err)
}

func (s *Space) checkRecall(ctx context.Context, sample int) (RecallCheck, error) {
	if sample == 0 {
		sample = RecallCheckSample
	}
	if sample < 1 || sample > RecallCheckMost {
		return RecallCheck{}, memory.Invalid("sample_out_of_range", "sample", "sample is %d; it is 1 to %d", sample, RecallCheckMost)
	}
	if s.Settings().Vector.Dimension == 0 {
		return RecallCheck{}, memory.Invalid("vectors_off", "space", "space %q holds no vectors", s.name)
	}
	t, err := s.current(ctx)
	if err != nil {
		return RecallCheck{}, err
	}
	defer s.db.towers.release(t)
	cues := t.cues.last(sample)
	r := RecallCheck{Live: len(cues)}
	cues = append(cues, t.storedCues(sample-len(cues))...)
	var found, all float64
	var near, exact []time.Duration
	for _, c := range cues {
		one, err := t.checkCue(ctx, c)
		if err != nil {
			return r, contextOr(ctx, err)
		}
		r.LSN = one.lsn
		if one.all == 0 {
			continue
		}
		r.Queries++
		found, all = found+float64(one.found)/float64(one.all), all+1
		if one.exact {
			r.Exact++
		}
		near, exact = append(near, one.near), append(exact, one.scan)
	}
	r.Recall, r.Low, r.High = 1, 0, 1
	if all > 0 {
		r.Recall = found / all
		r.Low, r.High = wilson(r.Recall, all)
		r.Approximately, r.Exactly = middle(near), middle(exact)
	}
	s.db.vectors.checked(s, r.Recall)
	return r, nil
}

// contextOr tells the end of a context from other errors.
func contextOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return contextError(ctx, "the check did not end in time")
	}
	return err
}

// wilson is the 95 % interval of a share of n.
func wilson(p, n float64) (low, high float64) {
	const z = 1.96
	middle := p + z*z/(2*n)
	off := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return max(0, min(p, (middle-off)/scale)), min(1, max(p, (middle+off)/scale)) // p = 1 may be rounded past
}

// askedCue is what is kept of a cue: enough to ask the index again.
type askedCue struct {
	vector []float32
	filter memory.Filter
	exact  *bool
}

// recentCues are the last cues by vector, oldest first from next on.
type recentCues struct {
	mu   sync.Mutex
	all  []askedCue
	next int
}

func (r *recentCues) add(c askedCue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) < cuesKept {
		r.all = append(r.all, c)
		return
	}
	r.all[r.next] = c
	r.next = (r.next + 1) % cuesKept
}

// last gives at most n of them, the newest ones.
func (r *recentCues) last(n int) []askedCue {
	r.mu.Lock()
	defer r.mu.Unlock()
	ordered := append(append([]askedCue(nil), r.all[r.next:]...), r.all[:r.next]...)
	return ordered[max(0, len(ordered)-n):]
}

// rememberCue keeps a cue that was answered by its vector. The caller holds mu for
// reading.
func (t *tower) rememberCue(c *memory.Cue) {
	if t.vectors == nil || len(c.Vector) == 0 || c.Stages.NoVector || t.vectors.Len() <= cuesWorth || c.Exact != nil && *c.Exact {
		return
	}
	t.cues.add(askedCue{vector: append([]float32(nil), c.Vector...), filter: c.Filter, exact: c.Exact})
}

// storedCues draws living vectors to ask for.
func (t *tower) storedCues(n int) []askedCue {
	t.mu.RLock()
	var ordinals []memory.Ordinal
	var versions []uint32
	if next := int(t.facets.Next()); n > 0 && next > 0 {
		rng := rand.New(rand.NewPCG(uint64(t.applied), 1)) // the same state draws the same
		for range 20 * n {
			slot := uint32(rng.IntN(next))
			if row, _ := t.facets.At(slot); t.wantsVector(slot) && t.vectors.Has(slot) {
				ordinals, versions = append(ordinals, row.Ordinal), append(versions, t.at[slot])
			}
			if len(ordinals) == n {
				break
			}
		}
	}
	t.mu.RUnlock()
	v, err := t.space.view()
	if err != nil {
		return nil // the space goes: the check finds out by itself
	}
	defer v.Close()
	var cues []askedCue
	for i, o := range ordinals {
		if vector, err := v.Vector(t.space.id, o, versions[i]); err == nil && len(vector) == t.space.Settings().Vector.Dimension {
			cues = append(cues, askedCue{vector: vector})
		}
	}
	return cues
}

// checkedCue is one cue's outcome.
type checkedCue struct {
	lsn        memory.LSN
	found, all int
	exact      bool
	near, scan time.Duration
}

// checkCue asks both ways under one lock, so that both see the same.
func (t *tower) checkCue(ctx context.Context, c askedCue) (r checkedCue, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r.lsn = t.applied
	allowed := t.allowed(c.filter)
	o := ann.Options{Walk: c.exact != nil && !*c.exact}
	began := time.Now() // times are told, never decided on
	// As many as recall asks for, whose limit is mostly below its candidates.
	found, err := t.vectors.Find(ctx, c.vector, checkCandidates, allowed, o)
	if err != nil {
		return r, err
	}
	r.near, began = time.Since(began), time.Now()
	truth, err := t.vectors.Find(ctx, c.vector, recallCheckNear, allowed, ann.Options{Exact: true})
	if err != nil {
		return r, err
	}
	r.scan, r.exact, r.all = time.Since(began), found.Exact, len(truth.Hits)
	if r.all == 0 {
		return r, nil
	}
	worst := truth.Hits[r.all-1].Score // equal vectors may take each other's place
	for _, h := range found.Hits[:min(r.all, len(found.Hits))] {
		if h.Score >= worst {
			r.found++
		}
	}
	return r, nil
}

// checkCandidates is how many candidates recall asks the index for.
const checkCandidates = 100

func (t *tower) allowed(f memory.Filter) *bitset.BitSet {
	var allowed *bitset.BitSet
	if f.IsEmpty() {
		allowed, _ = t.facets.Visible(t.applied, t.space.db.Now())
	} else {
		allowed, _ = t.facets.Select(&f, t.applied, t.space.db.Now())
	}
	return allowed
}

// middle is the median, of at least one.
func middle(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}
