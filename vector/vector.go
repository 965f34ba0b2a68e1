package vector

import "math"

// sumLanes is the number of running sums, see the package doc.
const sumLanes = 64

// Dot is the inner product of a and b, which have the same length.
func Dot(a, b []float32) float32 {
	mustMatch(len(a), len(b))
	var out [1]float32
	dots(a, b, out[:])
	return out[0]
}

// SquaredL2 is the square of the Euclidean distance of a and b, which have the
// same length.
func SquaredL2(a, b []float32) float32 {
	mustMatch(len(a), len(b))
	var out [1]float32
	squaredL2s(a, b, out[:])
	return out[0]
}

// fold adds up the lanes in the order of the package doc; they are overwritten.
func fold(s *[sumLanes]float32) float32 {
	for half := sumLanes / 2; half > 0; half /= 2 {
		low, high := s[:half], s[half:2*half]
		for i := range low {
			low[i] += high[i]
		}
	}
	return s[0]
}

// Dots writes to out[i] the inner product of q and row i, the numbers
// rows[i*dim : (i+1)*dim]; len(q) is dim and len(rows) is dim*len(out).
// Each is exactly what Dot gives.
func Dots(q, rows []float32, dim int, out []float32) {
	mustBatch(len(q), len(rows), dim, len(out))
	for len(out) > 0 {
		n := turn(len(out), 4*dim)
		dots(q, rows[:n*dim], out[:n])
		rows, out = rows[n*dim:], out[n:]
	}
}

// SquaredL2s writes to out[i] the squared Euclidean distance of q and row i;
// the layout is that of Dots. Each is exactly what SquaredL2 gives.
func SquaredL2s(q, rows []float32, dim int, out []float32) {
	mustBatch(len(q), len(rows), dim, len(out))
	for len(out) > 0 {
		n := turn(len(out), 4*dim)
		squaredL2s(q, rows[:n*dim], out[:n])
		rows, out = rows[n*dim:], out[n:]
	}
}

// turnBytes bounds what one kernel reads before it returns, some 50 us: the
// runtime cannot stop a goroutine inside assembly, and a garbage collection
// would wait for it.
const turnBytes = 1 << 20

// turn is how many of the rows one call of a kernel takes.
func turn(rows, rowBytes int) int {
	return min(rows, max(4, turnBytes/max(1, rowBytes)&^7))
}

// DotWide is the inner product of a and b, added in float64: slower than Dot,
// and free of overflow for finite numbers.
func DotWide(a, b []float32) float64 {
	mustMatch(len(a), len(b))
	s := 0.0
	for i, x := range a {
		s += float64(x) * float64(b[i]) // exact: 24 + 24 bits fit in 53, so fusing changes nothing
	}
	return s
}

// SquaredL2Wide is the square of the Euclidean distance of a and b, added in
// float64: slower than SquaredL2, and free of overflow for finite numbers.
func SquaredL2Wide(a, b []float32) float64 {
	mustMatch(len(a), len(b))
	s := 0.0
	for i, x := range a {
		d := float64(x) - float64(b[i])
		s += float64(d * d) // rounded, so that it is never fused
	}
	return s
}

// Norm is the Euclidean length of v. It is added in float64, so it neither
// overflows nor vanishes for finite numbers; 0 for the zero vector only.
func Norm(v []float32) float64 { return math.Sqrt(DotWide(v, v)) }

// Normalize writes v divided by its norm into dst, which has the same length
// and may be v itself, and returns the norm. The zero vector has no direction:
// dst becomes zero and the norm is 0. The length of dst is 1 to within 1e-7,
// also for vectors of denormal or of the largest numbers.
func Normalize(dst, v []float32) float64 {
	mustMatch(len(dst), len(v))
	norm := Norm(v)
	if norm == 0 {
		clear(dst)
		return 0
	}
	for i, x := range v {
		dst[i] = float32(float64(x) / norm)
	}
	return norm
}

func mustMatch(a, b int) {
	if a != b {
		panic("vector: slices of different lengths")
	}
}

func mustBatch(q, rows, dim, out int) {
	if q != dim || rows != dim*out {
		panic("vector: rows do not fit query and output")
	}
}
