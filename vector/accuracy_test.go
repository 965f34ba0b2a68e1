package vector

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

// The twins in twins_test.go say that all levels agree; these say that what they
// agree on is right, against float64 and exact arithmetic.

func TestExp(t *testing.T) {
	worst := 0.0
	for x := float32(-87.29); x < 88; x += 0.000713 {
		want := math.Exp(float64(x))
		worst = max(worst, math.Abs(float64(exp(x))/want-1))
	}
	if worst > 2e-7 {
		t.Errorf("exp is off by %g", worst)
	}
	if exp(-88) != 0 || exp(float32(math.Inf(-1))) != 0 || exp(0) != 1 {
		t.Error("exp of -88, -Inf or 0")
	}
	if e := exp(float32(math.NaN())); e == e {
		t.Errorf("exp of NaN is %g", e)
	}
}

func TestGELU(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		var src []float32
		for x := float32(-30); x < 30; x += 0.00103 {
			src = append(src, x)
		}
		dst, worst := make([]float32, len(src)), 0.0
		GELU(dst, src)
		for i, x := range src {
			want := float64(x) / 2 * (1 + math.Erf(float64(x)/math.Sqrt2))
			worst = max(worst, math.Abs(float64(dst[i])-want)/max(1, math.Abs(want)))
		}
		if worst > 1e-6 {
			t.Errorf("GELU is off by %g", worst)
		}
		ends := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e30, -1e30, 0}
		GELU(ends, ends)
		if !math.IsInf(float64(ends[0]), 1) || ends[1] == ends[1] || ends[2] == ends[2] || ends[3] != 1e30 || ends[4] != 0 || ends[5] != 0 {
			t.Errorf("GELU of the ends: %v", ends)
		}
	})
}

func TestSoftmaxRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := 1; n < 80; n++ {
			x := Matrix{Data: random(r, 3*n), Rows: 3, Cols: n}
			for i := range x.Data {
				x.Data[i] *= 20
			}
			before := append([]float32(nil), x.Data...)
			SoftmaxRows(x, 0.5)
			for i := range 3 {
				checkSoftmax(t, x.Row(i), before[i*n:(i+1)*n], 0.5)
			}
		}
		inf := float32(math.Inf(1))
		masked := Matrix{Data: []float32{0, -inf, 0, float32(math.NaN()), 1, 2, inf, 0, 1, -inf, -inf, -inf}, Rows: 4, Cols: 3}
		SoftmaxRows(masked, 1)
		if d := masked.Data; d[0] != 0.5 || d[1] != 0 || d[2] != 0.5 {
			t.Errorf("softmax with -Inf: %v", d[:3])
		}
		for _, x := range masked.Data[3:] {
			if x == x {
				t.Errorf("softmax with NaN, +Inf or nothing but -Inf: %v", masked.Data[3:])
			}
		}
	})
}

func checkSoftmax(t *testing.T, got, x []float32, scale float64) {
	t.Helper()
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, float64(v))
	}
	for _, v := range x {
		sum += math.Exp(scale * (float64(v) - top))
	}
	for i, v := range x {
		// Rounding of the difference moves the power by up to its size times 2^-24.
		d := scale * (float64(v) - top)
		want := math.Exp(d) / sum
		if math.Abs(float64(got[i])-want) > want*(5e-7-d*2e-7)+1e-38 {
			t.Errorf("softmax[%d] of %d = %g, want %g", i, len(x), got[i], want)
		}
	}
}

func TestLayerNorm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, k := range []int{1, 5, 16, 31, 384} {
			src, gain, bias := random(r, 3*k), random(r, k), random(r, k)
			dst := make([]float32, 3*k)
			LayerNorm(dst, src, k, gain, bias, 1e-5)
			for i := range 3 {
				row := src[i*k : (i+1)*k]
				mean, variance := 0.0, 0.0
				for _, x := range row {
					mean += float64(x) / float64(k)
				}
				for _, x := range row {
					variance += (float64(x) - mean) * (float64(x) - mean) / float64(k)
				}
				for j, x := range row {
					want := (float64(x)-mean)/math.Sqrt(variance+1e-5)*float64(gain[j]) + float64(bias[j])
					if got := float64(dst[i*k+j]); math.Abs(got-want) > 3e-6*(1+math.Abs(want)) {
						t.Errorf("LayerNorm of %d [%d] = %g, want %g", k, j, got, want)
					}
				}
			}
		}
		flat := []float32{3, 3, 3, 3}
		LayerNorm(flat, flat, 4, []float32{1, 1, 1, 1}, []float32{1, 2, 3, 4}, 1e-12)
		if flat[0] != 1 || flat[3] != 4 {
			t.Errorf("a row of equal numbers becomes %v, want the bias", flat)
		}
	})
}

func TestQuantizeRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 100 {
			src := random(r, 2*n)
			for i := range src {
				src[i] = src[i]*float32(1+n) + float32(n%3-1)*5
			}
			if n > 0 {
				src[0] = 0
			}
			dst, q := make([]uint8, 2*n), make([]RowQuant, 2)
			QuantizeRows(dst, q, src, n)
			for i, x := range src {
				s := q[i/n]
				back := s.Scale * float32(int32(dst[i])-s.Zero)
				bound := 0.5001 * s.Scale
				if dst[i] == 0 || dst[i] == 255 {
					bound = 1.0001 * s.Scale
				}
				if d := back - x; d > bound || -d > bound || x == 0 && back != 0 {
					t.Errorf("%g of a row of %d comes back as %g, with a step of %g", x, n, back, s.Scale)
				}
			}
		}
		dst, q := make([]uint8, 40), make([]RowQuant, 2)
		tiny := make([]float32, 40)
		tiny[25] = 1e-44
		QuantizeRows(dst, q, tiny, 20)
		if q[0] != (RowQuant{Scale: 1}) || q[1] != (RowQuant{Scale: 1}) || dst[25] != 0 {
			t.Errorf("zeros are quantised as %v %v", q, dst)
		}
	})
}

func TestMatMulInt8(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range []struct{ m, n, k int }{
			{0, 5, 5}, {5, 0, 5}, {5, 5, 0}, {1, 1, 1}, {3, 63, 3}, {7, 64, 4}, {8, 65, 5}, {13, 130, 66}, {11, 1, 384}, {25, 200, 97}, {12, 128, 1536},
		} {
			for _, extreme := range []bool{false, true} {
				a, b := make([]uint8, s.m*s.k), make([]int8, s.n*s.k)
				for i := range a {
					if a[i] = uint8(r.Uint32()); extreme {
						a[i] = 255
					}
				}
				for i := range b {
					if b[i] = int8(r.Uint32()); extreme {
						b[i] = int8(127 - i%2*255*(i%5/4)) // mostly 127, sometimes -128
					}
				}
				checkMatMulInt8(t, a, b, s.m, s.n, s.k)
			}
		}
	})
}

func checkMatMulInt8(t *testing.T, a []uint8, b []int8, m, n, k int) {
	t.Helper()
	p, dst := PackInt8(b, n, k), make([]int32, m*n)
	MatMulInt8(dst, a, m, p)
	for j := range n {
		sum := int32(0)
		for x := range k {
			sum += int32(b[j*k+x])
		}
		if p.Sums()[j] != sum {
			t.Fatalf("the sum of row %d is %d, want %d", j, p.Sums()[j], sum)
		}
		for i := range m {
			want := int32(0)
			for x := range k {
				want += int32(a[i*k+x]) * int32(b[j*k+x])
			}
			if dst[i*n+j] != want {
				t.Fatalf("product of %dx%d and %dx%d at (%d, %d) = %d, want %d", m, k, k, n, i, j, dst[i*n+j], want)
			}
		}
	}
}

// A whole layer: what goes in as floats comes out as their product.
func TestQuantizedLayer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const m, n, k = 9, 70, 384
	x, w, bias := random(r, m*k), random(r, n*k), random(r, n)
	codes, scale := make([]int8, n*k), make([]float32, n)
	for j := range n {
		scale[j] = EncodeInt8(codes[j*k:(j+1)*k], w[j*k:(j+1)*k])
	}
	b, q, bytes := PackInt8(codes, n, k), make([]RowQuant, m), make([]uint8, m*k)
	QuantizeRows(bytes, q, x, k)
	acc, dst := make([]int32, m*n), make([]float32, m*n)
	MatMulInt8(acc, bytes, m, b)
	Dequantize(dst, acc, q, b, scale, bias)
	errors, sizes := 0.0, 0.0
	for i := range m {
		for j := range n {
			want := DotWide(x[i*k:(i+1)*k], w[j*k:(j+1)*k]) + float64(bias[j])
			errors += (float64(dst[i*n+j]) - want) * (float64(dst[i*n+j]) - want)
			sizes += want * want
		}
	}
	if off := math.Sqrt(errors / sizes); off > 0.015 {
		t.Errorf("the quantised layer is off by %.3f of its size", off)
	}
}

func TestMatMulFloat32(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range []struct{ m, n, k int }{{1, 1, 1}, {3, 5, 0}, {9, 33, 32}, {20, 16, 7}, {17, 70, 65}} {
			whole := random(r, s.m*3*s.k+1) // a is the middle third of a wider matrix
			a := Matrix{Data: whole[s.k:], Rows: s.m, Cols: s.k, Stride: max(1, 3*s.k)}
			if s.k == 0 {
				a.Stride = 0
			}
			b := Matrix{Data: random(r, s.k*s.n), Rows: s.k, Cols: s.n}
			turned := Matrix{Data: make([]float32, s.n*s.k), Rows: s.n, Cols: s.k}
			transpose(turned, b)
			dst := Matrix{Data: make([]float32, s.m*s.n), Rows: s.m, Cols: s.n}
			MatMulFloat32(dst, a, b)
			again := Matrix{Data: make([]float32, s.m*s.n), Rows: s.m, Cols: s.n}
			MatMulFloat32T(again, a, turned, make([]float32, s.n*s.k))
			for i := range s.m {
				for j := range s.n {
					want := 0.0
					for x := range s.k {
						want += float64(a.Row(i)[x]) * float64(b.Row(x)[j])
					}
					if got := float64(dst.Row(i)[j]); math.Abs(got-want) > 1e-5*float64(1+s.k) || float64(again.Row(i)[j]) != got {
						t.Errorf("product %v at (%d, %d) = %g and %g, want %g", s, i, j, got, again.Row(i)[j], want)
					}
				}
			}
		}
	})
}

func TestInt8(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 300 {
			a, b := make([]int8, n), make([]int8, n)
			for i := range a {
				a[i], b[i] = int8(r.Uint32()), int8(r.Uint32())
				if n%3 == 0 {
					a[i], b[i] = -128, []int8{127, -128}[n%2]
				}
			}
			dot, square := int32(0), int32(0)
			for i := range a {
				dot += int32(a[i]) * int32(b[i])
				square += (int32(a[i]) - int32(b[i])) * (int32(a[i]) - int32(b[i]))
			}
			if got := DotInt8(a, b); got != dot {
				t.Errorf("DotInt8 of %d = %d, want %d", n, got, dot)
			}
			if got := SquaredL2Int8(a, b); got != square {
				t.Errorf("SquaredL2Int8 of %d = %d, want %d", n, got, square)
			}
		}
		least := make([]int8, 131_071)
		for i := range least {
			least[i] = -128
		}
		if got := DotInt8(least, least); got != 131_071<<14 {
			t.Errorf("DotInt8 of the most numbers = %d", got)
		}
	})
}

func TestEncodeInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		v, q := random(r, n), random(r, n)
		code, back := make([]int8, n), make([]float32, n)
		scale := EncodeInt8(code, v)
		DecodeInt8(back, code, scale)
		sum := 0.0
		for i := range v {
			if d := math.Abs(float64(back[i]) - float64(v[i])); d > 0.50001*float64(scale) {
				t.Errorf("%g comes back as %g with scale %g", v[i], back[i], scale)
			}
			sum += math.Abs(float64(q[i]))
		}
		var mixed [1]float32
		DotsMixed(q, code, n, mixed[:])
		if d := math.Abs(DotWide(q, v) - float64(scale*mixed[0])); d > 0.50001*float64(scale)*sum+1e-5 {
			t.Errorf("the score of %d numbers is off by %g with scale %g", n, d, scale)
		}
	}
	code := []int8{1, 2}
	for _, v := range [][]float32{{0, 0}, {1e-44, 0}} {
		if s := EncodeInt8(code, v); s != 0 || code[0] != 0 || code[1] != 0 {
			t.Errorf("%v is encoded as %v with scale %g", v, code, s)
		}
	}
}

func TestRotation(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, dim := range []int{1, 2, 63, 64, 65, 100, 128, 384, 768, 1000, 1536} {
			rot := NewRotation(dim, 7)
			a, b := random(r, dim), random(r, dim)
			x, y := make([]float32, rot.Padded()), make([]float32, rot.Padded())
			rot.Rotate(x, a)
			rot.Rotate(y, b)
			size := Norm(a) * Norm(b)
			if d := math.Abs(DotWide(x, y) - DotWide(a, b)); d > 1e-6*size {
				t.Errorf("rotation of %d changes an inner product by %g of %g", dim, d, size)
			}
			// A vector along one axis is spread over all numbers.
			axis := make([]float32, dim)
			axis[dim/2] = 1
			rot.Rotate(x, axis)
			top := float32(0)
			for _, v := range x {
				top = max(top, v, -v)
			}
			if bound := 5 / math.Sqrt(float64(rot.Padded())); float64(top) > bound {
				t.Errorf("rotation of %d leaves %g of an axis, want at most %g", dim, top, bound)
			}
		}
	})
}

// The same dimension and seed give the same rotation for good: codes are stored.
func TestRotationIsFixed(t *testing.T) {
	h := fnv.New64a()
	for _, dim := range []int{64, 100, 384, 768} {
		rot := NewRotation(dim, 42)
		v, out := make([]float32, dim), make([]float32, rot.Padded())
		for i := range v {
			v[i] = float32(i%13) - 5.5
		}
		rot.Rotate(out, v)
		for _, x := range bitsOf(out) {
			fmt.Fprintf(h, "%08x", x)
		}
	}
	if got, want := fmt.Sprintf("%016x", h.Sum64()), "ff4e1b0099cba1cd"; got != want {
		t.Errorf("the digest of the rotations is %s, want %s", got, want)
	}
}

// errorLaw is what errors of estimates are, in deviations that were promised of them.
type errorLaw struct {
	all, beyond, far int
	sum, squares     float64
}

func (l *errorLaw) add(off float64, deviation float32) {
	e := off / float64(deviation)
	l.all++
	l.sum += e
	l.squares += e * e
	l.beyond += oneIf(math.Abs(e) > 1.9)
	l.far += oneIf(math.Abs(e) > 3)
}

// check wants no bias, the deviation that is promised, and the tails of a normal law.
func (l *errorLaw) check(t *testing.T, dim int) {
	t.Helper()
	n := float64(l.all)
	if mean := l.sum / n; math.Abs(mean) > 4/math.Sqrt(n) {
		t.Errorf("%d: the estimate is biased by %.3f deviations", dim, mean)
	}
	if s := math.Sqrt(l.squares / n); s > 1.05 || s < 0.7 {
		t.Errorf("%d: the error has %.3f of the deviation that is promised", dim, s)
	}
	if float64(l.beyond)/n > 0.07 || float64(l.far)/n > 0.008 {
		t.Errorf("%d: %d of %d beyond 1.9 deviations, %d beyond 3", dim, l.beyond, l.all, l.far)
	}
}

// The estimate has the law of error that EncodeBits promises, over rotations and
// over vectors.
func TestEstimates(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, dim := range []int{128, 384, 1000} {
			r := rand.New(rand.NewPCG(1, 2))
			const rows = 40
			var errors errorLaw
			for seed := range 30 {
				rot := NewRotation(dim, uint64(seed))
				words := rot.Padded() / 64
				codes, factors, out := make([]uint64, rows*words), make([]BitFactors, rows), make([]float32, rows)
				q, x := random(r, dim), make([]float32, rot.Padded())
				vectors := make([][]float32, rows)
				for i := range vectors {
					vectors[i] = random(r, dim)
					for j := range vectors[i] { // some near the query, some not
						vectors[i][j] += float32(i%4) * q[j] / 3
					}
					rot.Rotate(x, vectors[i])
					factors[i] = EncodeBits(codes[i*words:(i+1)*words], x)
					if n := float64(factors[i].SquaredNorm); math.Abs(n/DotWide(vectors[i], vectors[i])-1) > 1e-5 {
						t.Fatalf("SquaredNorm = %g", n)
					}
				}
				rot.Rotate(x, q)
				var bq BitQuery
				bq.Set(x)
				bq.Estimates(codes, factors, out)
				uppers := make([]float32, rows)
				bq.Uppers(codes, factors, 3, uppers)
				for i, f := range factors {
					if more := uppers[i] - out[i]; more < 0.999*bq.Bound(f, 3) || more > 1.42*bq.Bound(f, 3) {
						t.Fatalf("an upper bound is %g above the estimate; the error, %g", more, bq.Bound(f, 3))
					}
				}
				for i, v := range vectors {
					errors.add(float64(out[i])-DotWide(q, v), bq.Bound(factors[i], 1))
				}
			}
			errors.check(t, dim)
		}
	})
}

func TestBitCodesOfNothing(t *testing.T) {
	code, out := make([]uint64, 2), make([]float32, 1)
	zero := make([]float32, 128)
	f := EncodeBits(code, zero)
	var q BitQuery
	q.Set(zero)
	q.Estimates(code, []BitFactors{f}, out)
	if out[0] != 0 || q.Norm() != 0 || q.Bound(f, 3) != 0 {
		t.Errorf("zero and zero: %v", out)
	}
	v := random(rand.New(rand.NewPCG(1, 2)), 128)
	f = EncodeBits(code, v)
	q.Set(v)
	q.Estimates(code, []BitFactors{f}, out)
	if want := DotWide(v, v); math.Abs(float64(out[0])-want) > 3*float64(f.Scale*q.rounding) {
		t.Errorf("a vector with itself: %g, want %g", out[0], want)
	}
}

func TestSizesMustFit(t *testing.T) {
	f, i8, u8 := make([]float32, 6), make([]int8, 6), make([]uint8, 6)
	for name, call := range map[string]func(){
		"DotInt8":       func() { DotInt8(i8[:2], i8[:3]) },
		"SquaredL2Int8": func() { SquaredL2Int8(i8[:2], i8[:3]) },
		"DotsInt8":      func() { DotsInt8(i8[:2], i8[:5], 2, make([]int32, 2)) },
		"DotsInt8At":    func() { DotsInt8At(i8[:2], i8[:5], 2, []uint32{2}, make([]int32, 1)) },
		"DotsMixed":     func() { DotsMixed(f[:2], i8[:5], 2, f[:2]) },
		"EncodeInt8":    func() { EncodeInt8(i8[:2], f[:3]) },
		"DecodeInt8":    func() { DecodeInt8(f[:3], i8[:2], 1) },
		"PackInt8":      func() { PackInt8(i8, 2, 2) },
		"PackInt8 deep": func() { PackInt8(make([]int8, 65794), 1, 65794) },
		"MatMulInt8":    func() { MatMulInt8(make([]int32, 5), u8, 2, PackInt8(i8, 2, 3)) },
		"QuantizeRows":  func() { QuantizeRows(u8, make([]RowQuant, 2), f[:5], 3) },
		"Dequantize":    func() { Dequantize(f, make([]int32, 6), make([]RowQuant, 2), PackInt8(i8, 2, 3), f[:2], f[:2]) },
		"MatMulFloat32": func() {
			MatMulFloat32(Matrix{Data: f, Rows: 2, Cols: 3}, Matrix{Data: f, Rows: 2, Cols: 2}, Matrix{Data: f, Rows: 1, Cols: 3})
		},
		"short matrix": func() { SoftmaxRows(Matrix{Data: f, Rows: 3, Cols: 3}, 1) },
		"MatMulFloat32T": func() {
			MatMulFloat32T(Matrix{Data: f, Rows: 1, Cols: 1}, Matrix{Data: f, Rows: 1, Cols: 2}, Matrix{Data: f, Rows: 1, Cols: 2}, f[:1])
		},
		"LayerNorm":   func() { LayerNorm(f[:5], f[:5], 3, f[:3], f[:3], 1) },
		"GELU":        func() { GELU(f[:2], f[:3]) },
		"Rotate":      func() { NewRotation(3, 1).Rotate(f, f[:3]) },
		"NewRotation": func() { NewRotation(0, 1) },
		"EncodeBits":  func() { EncodeBits(make([]uint64, 1), f) },
		"BitQuery":    func() { new(BitQuery).Set(f) },
		"Estimates":   func() { new(BitQuery).Estimates(make([]uint64, 1), make([]BitFactors, 1), f[:1]) },
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
