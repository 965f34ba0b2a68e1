package vector

import "math"

// SoftmaxRows replaces each row of x by exp(scale*x) divided by the row's sum
// of it. It subtracts the row's largest number first, so nothing overflows. A
// number may be -Inf and becomes 0, as does one that is less than the largest
// by 87.3 after scaling; a row with NaN or +Inf, or of -Inf alone, becomes NaN.
// scale is above 0. A result is within 5e-7 of the exact one, relatively.
func SoftmaxRows(x Matrix, scale float32) {
	x.mustBe(x.Rows, x.Cols)
	if x.Cols == 0 {
		return
	}
	for i := range x.Rows {
		softmax(x.Row(i), scale)
	}
}

func plainSoftmax(row []float32, scale float32) {
	var lanes [16]float32
	top := plainMax(row, float32(math.Inf(-1)))
	plainExpSum(row, top, scale, &lanes)
	plainScale(row, 1/fold16(&lanes))
}

func plainMax(row []float32, top float32) float32 {
	for _, x := range row {
		if x > top {
			top = x
		}
	}
	return top
}

// plainExpSum replaces each number by exp(scale*(x-top)), and adds it to lane
// i mod 16.
func plainExpSum(row []float32, top, scale float32, lanes *[16]float32) {
	for i, x := range row {
		e := exp(float32(scale * (x - top)))
		row[i] = e
		lanes[i%16] += e
	}
}

func plainScale(row []float32, by float32) {
	for i := range row {
		row[i] *= by
	}
}

// fold16 adds up 16 lanes by halving.
func fold16(s *[16]float32) float32 {
	a0, a1, a2, a3 := s[0]+s[8], s[1]+s[9], s[2]+s[10], s[3]+s[11]
	a4, a5, a6, a7 := s[4]+s[12], s[5]+s[13], s[6]+s[14], s[7]+s[15]
	a0, a1, a2, a3 = a0+a4, a1+a5, a2+a6, a3+a7
	return (a0 + a2) + (a1 + a3)
}

// The constants of exp, after Cephes expf: ln 2 in two parts, of which the
// first has few bits so that its product with a small whole number is exact.
const (
	expLow  = -87.3 // below it the result is 0: it would be denormal
	log2e   = 1.44269504088896341
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
	expP0   = 1.9875691500e-4
	expP1   = 1.3981999507e-3
	expP2   = 8.3334519073e-3
	expP3   = 4.1665795894e-2
	expP4   = 1.6666665459e-1
	expP5   = 5.0000001201e-1
	magic   = 3 << 22 // adding it rounds to a whole number, which is then in the low bits
)

// exp is e to the power x for x up to 88, within 2e-7 relatively; 0 below -87.3.
// The conversions rule out fused multiply-adds.
func exp(x float32) float32 {
	if x < expLow {
		return 0
	}
	t := float32(x*log2e) + magic
	z := t - magic
	r := x - float32(z*ln2High)
	r -= float32(z * ln2Low)
	p := float32(float32(expP0)*r) + expP1
	p = float32(p*r) + expP2
	p = float32(p*r) + expP3
	p = float32(p*r) + expP4
	p = float32(p*r) + expP5
	p = float32(p*float32(r*r)) + r
	p += 1
	// The low bits of t hold the whole number; moved to the exponent they are 2^z.
	return p * math.Float32frombits(math.Float32bits(t)<<23+0x3f800000)
}

// GELU writes to dst x/2 * (1 + erf(x/sqrt 2)) for each x of src; dst may be
// src. It is within 1e-6 of the exact value (erf after Abramowitz and Stegun
// 7.1.26). NaN stays NaN; -Inf gives NaN.
func GELU(dst, src []float32) {
	mustMatch(len(dst), len(src))
	gelu(dst, src)
}

// The constants of erf: 1 - erf(y) is about (a1 t + ... + a5 t^5) exp(-y*y) with
// t = 1/(1 + p*y), here with y = |x|/sqrt 2.
const (
	erfP  = 0.3275911 * 0.70710678118654752440 // for |x| in place of y
	erfA1 = 0.254829592
	erfA2 = -0.284496736
	erfA3 = 1.421413741
	erfA4 = -1.453152027
	erfA5 = 1.061405429
)

func plainGELU(dst, src []float32) {
	for i, x := range src {
		y := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
		t := 1 / (1 + float32(y*erfP))
		p := float32(t*float32(erfA5)) + erfA4
		p = float32(p*t) + erfA3
		p = float32(p*t) + erfA2
		p = float32(p*t) + erfA1
		tail := float32(float32(p*t) * exp(float32(x*x)*-0.5)) // 1 - erf(y)
		// x/2 + |x|/2 * erf(y) is the same for both signs.
		dst[i] = float32(x*0.5) + float32(float32(y*0.5)*(1-tail))
	}
}

// LayerNorm writes to dst each row of k numbers of src, less its mean, divided
// by the root of its variance plus epsilon, times gain, plus bias; dst may be
// src. gain and bias have k numbers. The sums are added in 16 lanes (number i
// to lane i mod 16), so the result is the same on every machine.
func LayerNorm(dst, src []float32, k int, gain, bias []float32, epsilon float32) {
	mustMatch(len(dst), len(src))
	if len(gain) != k || len(bias) != k || k == 0 && len(src) != 0 || k != 0 && len(src)%k != 0 {
		panic("vector: LayerNorm: sizes do not fit")
	}
	for i := 0; i < len(src); i += k {
		row := src[i : i+k]
		mean := rowSum(row) / float32(k)
		variance := rowSquares(row, mean) / float32(k)
		inverse := float32(1 / math.Sqrt(float64(variance)+float64(epsilon)))
		normalizeRow(dst[i:i+k], row, gain, bias, mean, inverse)
	}
}

// addTo adds number i to lane i mod 16.
func addTo(lanes *[16]float32, row []float32) {
	for i, x := range row {
		lanes[i%16] += x
	}
}

func addSquaresTo(lanes *[16]float32, row []float32, mean float32) {
	for i, x := range row {
		d := x - mean
		lanes[i%16] += float32(d * d)
	}
}

func plainNormalizeRow(dst, src, gain, bias []float32, mean, inverse float32) {
	for i, x := range src {
		dst[i] = float32(float32((x-mean)*inverse)*gain[i]) + bias[i]
	}
}
