package vector

import "math"

// FourFactors is what the estimate needs of a vector beside its 4-bit code: 8 bytes.
type FourFactors struct {
	Scale float32 // squared length over the product of the vector and its code
	Error float32 // the estimate's standard deviation for a query of length 1
}

// FourBytes is the length of a 4-bit code of a rotated vector of so many numbers.
func FourBytes(rotated int) int { return rotated / 2 }

// fourZero is twice what a number of a code has to be above for its sign to be +:
// number u stands for 2u - fourZero, so for an odd number from -15 to 15.
const fourZero = 15

// fourSteps are the steps that EncodeFour tries, by that which is the best for
// numbers of a normal distribution and 16 levels at equal distances: 0.3352 of the
// standard deviation (Max, Quantizing for Minimum Distortion, 1960, table II).
var fourSteps = [...]float32{0.7, 0.78, 0.86, 0.95, 1.05, 1.16, 1.28, 1.41}

const fourStep = 0.3352

// EncodeFour writes the 4-bit code of a rotated vector (Gao et al., Practical and
// Asymptotically Optimal Quantization of High-Dimensional Vectors in Euclidean Space
// for Approximate Nearest Neighbor Search, 2025, the extension of RaBitQ). The
// vector is what Rotation.Rotate gives, as for EncodeBits. 64 bytes of the code hold
// 128 numbers, the first half in the low bits; the last 32 bytes of an odd multiple
// of 64 numbers hold those.
//
// Write y for the odd numbers of the code. As with one bit, which is the case of -1
// and +1, <v, q> is about Scale * sum y[i]*q[i] with Scale = |v|^2 / <v, y>: exact
// for q along v and unbiased over rotations, with the standard deviation Error*|q|,
// Error = |v| * sqrt((1-c^2)/c^2 / (n-1)) and c the cosine between v and y. The paper
// takes the y of the largest c, which it finds by trying each step at which a number
// changes; here eight steps are tried, which loses .7 % of the deviation (2 % at 64
// numbers) and takes some microseconds. c^2 is about .988, so the deviation is a seventh of
// that of one bit.
func EncodeFour(code []uint8, rotated []float32) FourFactors {
	if len(rotated) != 2*len(code) || len(rotated)%64 != 0 {
		panic("vector: EncodeFour: a code has four bits a number, and a multiple of 64 of them")
	}
	squares := DotWide(rotated, rotated)
	if squares == 0 {
		packFour(code, rotated, 0)
		return FourFactors{}
	}
	n := float64(len(rotated))
	base := float32(math.Sqrt(n/squares) / fourStep)
	if base-base != 0 { // so short that it cannot be told from zero
		packFour(code, rotated, 0)
		return FourFactors{}
	}
	best, bestProduct, inverse := 0.0, 0.0, float32(0)
	for _, step := range fourSteps {
		by := base / step
		product, norm := fourFit(rotated, by)
		if c := product * product / norm; c > best {
			best, bestProduct, inverse = c, product, by
		}
	}
	packFour(code, rotated, inverse)
	spread := max(0, squares/best-1) // 1/c^2 - 1
	return FourFactors{
		Scale: float32(squares / bestProduct),
		Error: float32(math.Sqrt(squares * spread / (n - 1))),
	}
}

// fourLevel is the magnitude of a number of a code, from 0 to 7, for 1 to 15.
func fourLevel(x, inverse float32) int32 {
	return int32(min(float32(max(x, -x)*inverse), 7))
}

// fourFit is the product of a vector with its code, and the code's squared length.
func fourFit(v []float32, inverse float32) (product, norm float64) {
	squares := int64(0)
	for _, x := range v {
		y := 2*fourLevel(x, inverse) + 1
		product += float64(max(x, -x)) * float64(y) // exact product
		squares += int64(y * y)
	}
	return product, float64(squares)
}

func packFour(code []uint8, v []float32, inverse float32) {
	number := func(x float32) uint8 {
		l := uint8(fourLevel(x, inverse))
		if x > 0 {
			return 8 + l
		}
		return 7 - l
	}
	for len(code) > 0 {
		n := min(len(code), 64)
		low, high := v[:n], v[n:2*n]
		for i := range code[:n] {
			code[i] = number(low[i]) | number(high[i])<<4
		}
		code, v = code[n:], v[2*n:]
	}
}

// FourQuery is a query that 4-bit codes are compared with: the rotated vector in
// int8. It may be used again with Set; between two Sets any number of goroutines may
// read it.
type FourQuery struct {
	code     []int8
	scale    float32
	sum      int32 // fourZero times the sum of the code
	norm     float32
	rounding float32 // standard deviation that the rounding adds, per Scale
}

// Set makes q the query for a rotated vector of finite numbers, as long as the
// vectors that were encoded, with the same centre taken off.
func (q *FourQuery) Set(rotated []float32) {
	if len(rotated)%64 != 0 {
		panic("vector: FourQuery: a rotated vector has a multiple of 64 numbers")
	}
	if cap(q.code) < len(rotated) {
		q.code = make([]int8, len(rotated))
	}
	q.code = q.code[:len(rotated)]
	q.scale = EncodeInt8(q.code, rotated)
	q.sum = 0
	for _, c := range q.code {
		q.sum += fourZero * int32(c)
	}
	q.norm = float32(Norm(rotated))
	// Numbers of a code are 2/fourStep = 6 in the mean of squares.
	q.rounding = q.scale * float32(2/fourStep*math.Sqrt(float64(len(rotated))/12))
}

// Norm is the length of the query.
func (q *FourQuery) Norm() float32 { return q.norm }

// Estimates writes to out[i] the estimated inner product of the query and the
// vector of code i, FourBytes each, and factors[i]. See EncodeFour for the law of
// the error and Bound for this query's.
func (q *FourQuery) Estimates(codes []uint8, factors []FourFactors, out []float32) {
	bytes := FourBytes(len(q.code))
	if len(codes) != bytes*len(out) || len(factors) != len(out) {
		panic("vector: Estimates: codes, factors and output do not fit")
	}
	var dots [256]int32
	for len(out) > 0 {
		n := min(turn(len(out), bytes), len(dots))
		fourDots(q.code, codes[:n*bytes], dots[:n])
		for i, f := range factors[:n] {
			out[i] = f.Scale * float32(float32(2*dots[i]-q.sum)*q.scale)
		}
		codes, factors, out = codes[n*bytes:], factors[n:], out[n:]
	}
}

// Bound is what the error of an estimate for a vector with these factors stays
// below in all but a few cases, for a number of standard deviations, as with
// BitQuery. It has the rounding of the query in it.
func (q *FourQuery) Bound(f FourFactors, deviations float32) float32 {
	a, b := f.Error*q.norm, f.Scale*q.rounding
	return deviations * float32(math.Sqrt(float64(a)*float64(a)+float64(b)*float64(b)))
}

func plainFourDots(q []int8, codes []uint8, out []int32) {
	for i := range out {
		out[i] = plainFourDot(q, codes[i*len(q)/2:][:len(q)/2])
	}
}

func plainFourDot(q []int8, code []uint8) int32 {
	sum := int32(0)
	for len(code) > 0 {
		n := min(len(code), 64)
		low, high := q[:n], q[n:2*n]
		for i, c := range code[:n] {
			sum += int32(c&15)*int32(low[i]) + int32(c>>4)*int32(high[i])
		}
		code, q = code[n:], q[2*n:]
	}
	return sum
}
