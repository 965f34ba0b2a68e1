package load

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Kind is one sort of operation: a name and how often it comes, relative to the
// weights of the other kinds. Weights are whole numbers, so that no rounding
// can make two platforms choose differently.
type Kind struct {
	Name   string
	Weight uint64
}

// Arrival says how operations are spread over time.
type Arrival string

// The arrivals.
const (
	Constant Arrival = "constant" // evenly, 1/Rate apart
	Poisson  Arrival = "poisson"  // independently of each other, 1/Rate apart on average
)

// Recipe is all that a plan depends on.
type Recipe struct {
	Seed    uint64
	Kinds   []Kind
	Arrival Arrival       // default Constant
	Rate    float64       // operations a second
	Length  time.Duration // of the whole plan, warm-up included
}

// Op is one operation of a plan.
type Op struct {
	N    int           // its place in the plan, from 0
	Kind int           // index into Recipe.Kinds
	Due  time.Duration // since the beginning of the run
	Seed uint64        // for what the operation chooses itself
}

// Plan is the sequence of operations that a recipe gives.
type Plan struct {
	Recipe
	Ops []Op
}

// NewPlan works a recipe out. It refuses one that says nothing or nonsense.
func NewPlan(r Recipe) (*Plan, error) {
	if r.Arrival == "" {
		r.Arrival = Constant
	}
	total, err := r.check()
	if err != nil {
		return nil, err
	}
	p := &Plan{Recipe: r}
	// Kinds and times have generators of their own: another rate or arrival
	// keeps the sequence of operations.
	choose := rand.New(rand.NewPCG(r.Seed, 1))
	gaps := rand.New(rand.NewPCG(r.Seed, 2))
	for due := time.Duration(0); due < r.Length; {
		p.Ops = append(p.Ops, Op{N: len(p.Ops), Kind: pick(r.Kinds, choose.Uint64N(total)), Due: due, Seed: choose.Uint64()})
		due = r.next(due, len(p.Ops), gaps)
	}
	return p, nil
}

func (r Recipe) check() (total uint64, err error) {
	for _, k := range r.Kinds {
		total += k.Weight
	}
	switch {
	case total == 0:
		return 0, errors.New("the weights of the plan sum to 0")
	case !(r.Rate > 0) || math.IsInf(r.Rate, 0):
		return 0, fmt.Errorf("the rate is %v; it is above 0", r.Rate)
	case r.Length <= 0:
		return 0, fmt.Errorf("the length is %v; it is above 0", r.Length)
	case r.Arrival != Constant && r.Arrival != Poisson:
		return 0, fmt.Errorf("the arrival is %q; it is constant or poisson", r.Arrival)
	case r.Rate*r.Length.Seconds() > 50e6:
		return 0, fmt.Errorf("the plan has %.0f operations; at most 50 million are held", r.Rate*r.Length.Seconds())
	}
	return total, nil
}

// next is when operation n is due, after one that was due at last. The constant
// arrival multiplies instead of adding, or a rate of 300 would drift.
func (r Recipe) next(last time.Duration, n int, gaps *rand.Rand) time.Duration {
	if r.Arrival == Constant {
		return time.Duration(float64(n) / r.Rate * float64(time.Second))
	}
	return last + time.Duration(gaps.ExpFloat64()/r.Rate*float64(time.Second))
}

func pick(kinds []Kind, at uint64) int {
	for i, k := range kinds {
		if at < k.Weight {
			return i
		}
		at -= k.Weight
	}
	return len(kinds) - 1
}

// Digest is the SHA-256 of the sequence of kinds and seeds: the proof that two
// runs did the same. Times are not part of it.
func (p *Plan) Digest() string {
	h := sha256.New()
	var b [16]byte
	for _, op := range p.Ops {
		binary.LittleEndian.PutUint64(b[:8], uint64(op.Kind))
		binary.LittleEndian.PutUint64(b[8:], op.Seed)
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
