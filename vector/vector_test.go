package vector

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// inOrder is the order of summation that the package doc promises, written
// plainly.
func inOrder(n int, product func(i int) float32) float32 {
	lane := make([]float32, 64)
	for i := range n {
		lane[i%64] += product(i)
	}
	for len(lane) > 1 {
		half := len(lane) / 2
		for i := range half {
			lane[i] += lane[half+i]
		}
		lane = lane[:half]
	}
	return lane[0]
}

func orderedDot(a, b []float32) float32 {
	return inOrder(len(a), func(i int) float32 { return float32(a[i] * b[i]) })
}

func orderedSquaredL2(a, b []float32) float32 {
	return inOrder(len(a), func(i int) float32 {
		d := a[i] - b[i]
		return float32(d * d)
	})
}

// same is bit for bit, with one NaN for all.
func same(a, b float32) bool { return a == b || a != a && b != b }

// off is by how much a float32 sum of n products may differ from the exact one.
func off(n int, a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += math.Abs(float64(a[i])) * math.Abs(float64(b[i]))
	}
	const u = 1.0 / (1 << 24)
	return (float64(n)/64+7)*u*sum + float64(n)*1e-45
}

func TestAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 70 {
		for _, scale := range []float32{1, 1e-20, 1e-40, 1e15} {
			a, b := random(r, n), random(r, n)
			for i := range a {
				a[i] *= scale
				b[i] *= scale
			}
			if got, want := Dot(a, b), DotWide(a, b); math.Abs(float64(got)-want) > off(n, a, b) {
				t.Errorf("Dot of %d at %g = %g, want %g", n, scale, got, want)
			}
			d := make([]float32, n)
			for i := range d {
				d[i] = a[i] - b[i]
			}
			if got, want := SquaredL2(a, b), SquaredL2Wide(a, b); math.Abs(float64(got)-want) > 2*off(n+8, d, d) {
				t.Errorf("SquaredL2 of %d at %g = %g, want %g", n, scale, got, want)
			}
		}
	}
}

func TestOrderOfSummation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		a, b := random(r, n), random(r, n)
		if got, want := Dot(a, b), orderedDot(a, b); got != want {
			t.Errorf("Dot of %d = %g, want %g", n, got, want)
		}
		if got, want := SquaredL2(a, b), orderedSquaredL2(a, b); got != want {
			t.Errorf("SquaredL2 of %d = %g, want %g", n, got, want)
		}
	}
}

func TestBatchIsSingle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for dim := range 20 {
		for rows := range 6 {
			checkBatch(t, random(r, dim), random(r, dim*rows), dim, rows)
		}
	}
}

func checkBatch(t *testing.T, q, all []float32, dim, rows int) {
	t.Helper()
	dots, squares := make([]float32, rows), make([]float32, rows)
	Dots(q, all, dim, dots)
	SquaredL2s(q, all, dim, squares)
	for i := range rows {
		row := all[i*dim : (i+1)*dim]
		if want := Dot(q, row); !same(dots[i], want) {
			t.Errorf("Dots of %dx%d [%d] = %g, want %g", rows, dim, i, dots[i], want)
		}
		if want := SquaredL2(q, row); !same(squares[i], want) {
			t.Errorf("SquaredL2s of %dx%d [%d] = %g, want %g", rows, dim, i, squares[i], want)
		}
	}
}

func TestOverflow(t *testing.T) {
	big := []float32{math.MaxFloat32, math.MaxFloat32, -math.MaxFloat32}
	if d := Dot(big, big); !math.IsInf(float64(d), 1) {
		t.Errorf("Dot of the largest = %g, want +Inf", d)
	}
	if d := Dot([]float32{math.MaxFloat32, math.MaxFloat32}, []float32{2, -2}); d == d {
		t.Errorf("Dot of Inf - Inf = %g, want NaN", d)
	}
	if d, want := DotWide(big, big), 3*math.MaxFloat32*math.MaxFloat32; math.Abs(d/want-1) > 1e-15 {
		t.Errorf("DotWide of the largest = %g, want %g", d, want)
	}
	if d, want := SquaredL2Wide(big[:1], big[2:]), 4*math.MaxFloat32*math.MaxFloat32; d != want {
		t.Errorf("SquaredL2Wide of the largest = %g, want %g", d, want)
	}
}

func TestNormalize(t *testing.T) {
	for _, v := range [][]float32{
		{3, 4}, {math.SmallestNonzeroFloat32}, {1e-45, -1e-45, 2e-45}, {math.MaxFloat32, math.MaxFloat32, 1}, {-1},
		random(rand.New(rand.NewPCG(7, 8)), 768),
	} {
		unit := make([]float32, len(v))
		norm := Normalize(unit, v)
		if norm != Norm(v) || !(norm > 0) || math.IsInf(norm, 0) {
			t.Errorf("the norm of %v is %g", v[:1], norm)
		}
		if n := Norm(unit); math.Abs(n-1) > 1e-7 {
			t.Errorf("%v normalised has length %g", v[:1], n)
		}
		Normalize(v, v)
		for i := range v {
			if v[i] != unit[i] {
				t.Errorf("normalised in place differs at %d: %g, want %g", i, v[i], unit[i])
			}
		}
	}
	zero, dst := []float32{0, 0}, []float32{1, 2}
	if n := Normalize(dst, zero); n != 0 || dst[0] != 0 || dst[1] != 0 {
		t.Errorf("Normalize of zero = %v, norm %g", dst, n)
	}
	if Norm(nil) != 0 {
		t.Error("the empty vector has a norm")
	}
}

func TestLengthsMustMatch(t *testing.T) {
	for name, call := range map[string]func(){
		"Dot":        func() { Dot(make([]float32, 2), make([]float32, 3)) },
		"SquaredL2":  func() { SquaredL2(make([]float32, 3), make([]float32, 2)) },
		"Normalize":  func() { Normalize(make([]float32, 1), make([]float32, 2)) },
		"Dots":       func() { Dots(make([]float32, 2), make([]float32, 5), 2, make([]float32, 2)) },
		"SquaredL2s": func() { SquaredL2s(make([]float32, 3), make([]float32, 4), 2, make([]float32, 2)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes slices of different lengths", name)
				}
			}()
			call()
		}()
	}
}

// FuzzKernels takes any bits for numbers, also NaN and infinities.
func FuzzKernels(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add([]byte{0, 0, 128, 63, 0, 0, 128, 127, 1, 0, 0, 0}, uint8(1))
	f.Add(make([]byte, 4*3*8), uint8(7))
	f.Fuzz(func(t *testing.T, raw []byte, d uint8) {
		dim := int(d%32) + 1
		var all []float32
		for ; len(raw) >= 4; raw = raw[4:] {
			all = append(all, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		}
		if len(all) < dim {
			return
		}
		q, all := all[:dim], all[dim:]
		rows := len(all) / dim
		all = all[:rows*dim]
		checkBatch(t, q, all, dim, rows)
		for i := range rows {
			row := all[i*dim : (i+1)*dim]
			if got, want := Dot(q, row), orderedDot(q, row); !same(got, want) {
				t.Errorf("Dot = %g, want %g", got, want)
			}
			if got, want := SquaredL2(q, row), orderedSquaredL2(q, row); !same(got, want) {
				t.Errorf("SquaredL2 = %g, want %g", got, want)
			}
		}
	})
}
