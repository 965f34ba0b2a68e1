package load

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"
)

var mix = []Kind{{"remember", 500}, {"recall", 425}, {"search", 75}}

func plan(t *testing.T, r Recipe) *Plan {
	t.Helper()
	p, err := NewPlan(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSameSeedSameSequence keeps the digest of one recipe: another platform, Go
// release or edit must not change what a seed stands for.
func TestSameSeedSameSequence(t *testing.T) {
	r := Recipe{Seed: 0xDEADBEEF, Kinds: mix, Rate: 1000, Length: 60 * time.Second}
	const want = "e655db1cb31ae420b1502be0271c4aa8494e8937224a1da534c69f6c07438b19"
	if got := plan(t, r).Digest(); got != want {
		t.Errorf("the digest is %s, want %s", got, want)
	}
	constant := plan(t, r)
	r.Arrival = Poisson
	poisson := plan(t, r)
	n := min(len(constant.Ops), len(poisson.Ops))
	a, b := &Plan{Ops: constant.Ops[:n]}, &Plan{Ops: poisson.Ops[:n]}
	if a.Digest() != b.Digest() {
		t.Error("the arrival changed the sequence of operations")
	}
	r.Seed++
	if plan(t, r).Digest() == poisson.Digest() {
		t.Error("another seed gave the same sequence")
	}
}

func TestMixIsAsWeighted(t *testing.T) {
	p := plan(t, Recipe{Seed: 1, Kinds: mix, Rate: 1000, Length: 60 * time.Second})
	count := make([]float64, len(mix))
	for _, op := range p.Ops {
		count[op.Kind]++
	}
	for i, k := range mix {
		share, want := count[i]/float64(len(p.Ops)), float64(k.Weight)/1000
		if math.Abs(share-want) > 0.01 {
			t.Errorf("%s is %.3f of all operations, want %.3f", k.Name, share, want)
		}
	}
}

func TestArrivals(t *testing.T) {
	r := Recipe{Seed: 2, Kinds: mix, Rate: 300, Length: 20 * time.Second}
	c := plan(t, r)
	if len(c.Ops) != 6000 {
		t.Errorf("a constant 300/s over 20 s has %d operations", len(c.Ops))
	}
	r.Arrival = Poisson
	p := plan(t, r)
	mean := r.Length.Seconds() / float64(len(p.Ops))
	var square float64
	for i := 1; i < len(p.Ops); i++ {
		gap := (p.Ops[i].Due - p.Ops[i-1].Due).Seconds() - mean
		square += gap * gap
	}
	deviation := math.Sqrt(square / float64(len(p.Ops)-1))
	if math.Abs(mean*300-1) > 0.05 || math.Abs(deviation/mean-1) > 0.05 {
		t.Errorf("Poisson gaps have mean %.5f s and deviation %.5f s; both are near 1/300", mean, deviation)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	good := Recipe{Kinds: mix, Rate: 1, Length: time.Second}
	for name, spoil := range map[string]func(*Recipe){
		"no weights":   func(r *Recipe) { r.Kinds = []Kind{{"x", 0}} },
		"no rate":      func(r *Recipe) { r.Rate = 0 },
		"rate NaN":     func(r *Recipe) { r.Rate = math.NaN() },
		"no length":    func(r *Recipe) { r.Length = -time.Second },
		"odd arrival":  func(r *Recipe) { r.Arrival = "sometimes" },
		"far too many": func(r *Recipe) { r.Rate, r.Length = 1e6, time.Hour },
	} {
		r := good
		spoil(&r)
		if _, err := NewPlan(r); err == nil {
			t.Errorf("%s was not refused", name)
		}
	}
}

// virtual is a clock that jumps to the moment that is waited for.
type virtual struct {
	mu  sync.Mutex
	now time.Time
}

func (v *virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *virtual) Until(ctx context.Context, t time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if t.After(v.now) {
		v.now = t
	}
	return ctx.Err() == nil
}

func (v *virtual) pass(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

// TestStallIsChargedToAll is the test of coordinated omission: of 100 operations,
// 10 ms apart and 1 ms long, the 11th stalls for 500 ms. Those that fell due
// meanwhile waited too, and their time says so.
func TestStallIsChargedToAll(t *testing.T) {
	p := plan(t, Recipe{Kinds: []Kind{{"op", 1}}, Rate: 100, Length: time.Second})
	clock := &virtual{now: time.Unix(1_800_000_000, 0)}
	r, err := Run(context.Background(), p, Config{Workers: 1, Clock: clock, Do: func(_ context.Context, _ int, op Op) (any, error) {
		clock.pass(time.Millisecond)
		if op.N == 10 {
			clock.pass(500 * time.Millisecond)
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	// Operation 10+i is done at 100 ms + 501 ms + i ms and was due at 100 ms +
	// 10i ms: it took 501 - 9i ms, until nothing is left of the backlog at i = 56.
	slow := 0
	for i := range 56 {
		if 501-9*i > 100 {
			slow++
		}
	}
	share := 1 - float64(slow)/100
	if got := r.All.At(share); got > 101*time.Millisecond {
		t.Errorf("the share %.2f that was quick took up to %v", share, got)
	}
	if got := r.All.At(share + 0.01); got < 100*time.Millisecond {
		t.Errorf("the stall hit %d operations, but the next quantile is %v", slow, got)
	}
	if got := r.All.Max(); got < 500*time.Millisecond || got > 502*time.Millisecond {
		t.Errorf("the longest is %v, want 501 ms", got)
	}
	if got := r.Kinds[0].Latency.Count(); got != 100 {
		t.Errorf("%d operations were counted, want 100", got)
	}
}

func TestWarmUpErrorsAndVerification(t *testing.T) {
	p := plan(t, Recipe{Kinds: []Kind{{"op", 1}}, Rate: 100, Length: time.Second})
	clock := &virtual{now: time.Unix(1_800_000_000, 0)}
	r, err := Run(context.Background(), p, Config{
		Workers: 1, Clock: clock, WarmUp: 500 * time.Millisecond,
		Do: func(_ context.Context, _ int, op Op) (any, error) {
			clock.pass(time.Millisecond)
			if op.N%10 == 9 {
				return nil, errors.New("refused")
			}
			return op.N, nil
		},
		Verify: func(op Op, answer any) error {
			if answer.(int)%25 == 1 {
				return errors.New("not what was asked for")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kinds[0]
	if k.Latency.Count() != 45 || k.Errors != 5 || k.Wrong != 4 || r.Errors() != 9 {
		t.Errorf("counted %d, errors %d, wrong %d; want 45, 5 (of the 50 after the warm-up) and 4", k.Latency.Count(), k.Errors, k.Wrong)
	}
	if r.Elapsed < 490*time.Millisecond || r.Elapsed > 500*time.Millisecond {
		t.Errorf("the measured part lasted %v", r.Elapsed)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	p := plan(t, Recipe{Kinds: mix, Rate: 1, Length: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, p, Config{Workers: 2, Do: func(context.Context, int, Op) (any, error) {
		cancel()
		return nil, nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestLatency(t *testing.T) {
	l := NewLatency()
	if l.At(0.5) != 0 {
		t.Error("an empty distribution has a median")
	}
	for i := 1; i <= 1000; i++ {
		l.Add(time.Duration(i) * time.Millisecond)
	}
	l.Add(time.Hour) // beyond what is told apart
	for share, want := range map[float64]time.Duration{0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond} {
		if got := l.At(share); math.Abs(float64(got-want)) > 0.002*float64(want) {
			t.Errorf("%.2f did not exceed %v, want %v", share, got, want)
		}
	}
	if l.Max() < maxLatency-time.Second {
		t.Errorf("the longest is %v", l.Max())
	}
	other := NewLatency()
	other.Merge(l)
	if other.Count() != 1001 {
		t.Errorf("merged %d", other.Count())
	}
}

func TestRepeatCountsAndStops(t *testing.T) {
	r, err := Repeat(context.Background(), 4, 100, 0, func(context.Context, int, int) error { return nil })
	if err != nil || r.Latency.Count() != 100 {
		t.Errorf("%d answers, error %v", r.Latency.Count(), err)
	}
	bad := errors.New("bad")
	if _, err := Repeat(context.Background(), 4, 100, 0, func(_ context.Context, _, i int) error {
		if i == 50 {
			return bad
		}
		return nil
	}); !errors.Is(err, bad) {
		t.Errorf("the error is %v", err)
	}
}
