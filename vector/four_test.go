package vector

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The estimate has the law of error that EncodeFour promises, over rotations and
// vectors, near ones and others; and a seventh of the deviation of one bit.
func TestFourEstimates(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, dim := range []int{64, 100, 384, 768} {
			r := rand.New(rand.NewPCG(7, uint64(dim)))
			var deviations, oneBit float64
			var errors errorLaw
			for seed := range uint64(20) {
				rot := NewRotation(dim, seed)
				n := 60
				codes, factors := make([]uint8, n*FourBytes(rot.Padded())), make([]FourFactors, n)
				vectors, out, x := make([][]float32, n), make([]float32, n), make([]float32, rot.Padded())
				q := random(r, dim)
				for i := range vectors {
					vectors[i] = random(r, dim)
					for j := range q {
						vectors[i][j] += float32(i%4) * q[j] / 3
					}
					rot.Rotate(x, vectors[i])
					factors[i] = EncodeFour(codes[i*len(x)/2:(i+1)*len(x)/2], x)
					deviations += float64(factors[i].Error)
					oneBit += float64(EncodeBits(make([]uint64, len(x)/64), x).Error)
				}
				rot.Rotate(x, q)
				var fq FourQuery
				fq.Set(x)
				fq.Estimates(codes, factors, out)
				for i, v := range vectors {
					errors.add(float64(out[i])-DotWide(q, v), fq.Bound(factors[i], 1))
				}
			}
			errors.check(t, dim)
			if part := deviations / oneBit; part > 1./6.5 {
				t.Errorf("%d: the deviation is %.3f of that of one bit", dim, part)
			}
		}
	})
}

// The eight steps that are tried lose little of the deviation to the best of all, which
// is found by trying each at which a number changes.
func TestFourStepsAreEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for dim, most := range map[int]float64{64: 0.025, 384: 0.01} {
		worst, mean := 0.0, 0.0
		const rounds = 20
		for range rounds {
			v := random(r, dim)
			squares, best := DotWide(v, v), 0.0
			for _, x := range v {
				for level := float32(1); level < 8; level++ {
					product, norm := fourFit(v, level/max(x, -x)*1.000001)
					best = max(best, product*product/norm)
				}
			}
			f := EncodeFour(make([]uint8, dim/2), v)
			least := math.Sqrt(squares * (squares/best - 1) / float64(dim-1))
			more := float64(f.Error)/least - 1
			worst, mean = max(worst, more), mean+more/rounds
		}
		t.Logf("%d: %.4f more deviation in the mean, %.4f at most", dim, mean, worst)
		if mean > most {
			t.Errorf("%d: %.4f more deviation than the best step gives", dim, mean)
		}
	}
}

func TestFourCodesOfLittle(t *testing.T) {
	code, out := make([]uint8, 64), make([]float32, 1)
	var q FourQuery
	tiny := make([]float32, 128)
	tiny[5] = 1e-42
	v := random(rand.New(rand.NewPCG(1, 2)), 128)
	spike := make([]float32, 128) // as far from a normal distribution as can be
	spike[77] = -3e6
	for _, c := range []struct {
		of, with []float32
		within   float64
	}{
		{make([]float32, 128), make([]float32, 128), 0},
		{make([]float32, 128), v, 0},
		{tiny, v, 1e-30},
		{v, v, 4 * 1.0 / 127 * DotWide(v, v)},
		{spike, spike, 0.02 * 9e12},
	} {
		f := EncodeFour(code, c.of)
		q.Set(c.with)
		q.Estimates(code, []FourFactors{f}, out)
		if got, want := float64(out[0]), DotWide(c.of, c.with); math.Abs(got-want) > c.within || f.Error-f.Error != 0 {
			t.Errorf("the estimate is %g, the product %g; factors %v", got, want, f)
		}
	}
	if q.Set(make([]float32, 64)); q.Norm() != 0 || q.Bound(FourFactors{1, 1}, 3) != 0 {
		t.Error("a query of nothing")
	}
	for name, call := range map[string]func(){
		"EncodeFour":        func() { EncodeFour(make([]uint8, 3), v[:6]) },
		"EncodeFour, short": func() { EncodeFour(make([]uint8, 31), v[:64]) },
		"FourQuery":         func() { q.Set(v[:6]) },
		"Estimates":         func() { q.Estimates(code, make([]FourFactors, 3), out) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes sizes that do not fit", name)
				}
			}()
			call()
		}()
	}
}
