package vector

import (
	"encoding/binary"
	"unsafe"
)

// DotInt8 is the inner product of a and b, which have the same length; exact for
// up to 131,071 numbers.
func DotInt8(a, b []int8) int32 {
	mustMatch(len(a), len(b))
	var out [1]int32
	dotsInt8(a, b, out[:])
	return out[0]
}

// SquaredL2Int8 is the square of the Euclidean distance of a and b, which have
// the same length; exact for up to 33,025 numbers.
func SquaredL2Int8(a, b []int8) int32 {
	mustMatch(len(a), len(b))
	var out [1]int32
	squaredL2sInt8(a, b, out[:])
	return out[0]
}

// DotsInt8 writes to out[i] the inner product of q and row i; the layout is that
// of Dots. Each is what DotInt8 gives.
func DotsInt8(q, rows []int8, dim int, out []int32) {
	mustBatch(len(q), len(rows), dim, len(out))
	for len(out) > 0 {
		n := turn(len(out), dim)
		dotsInt8(q, rows[:n*dim], out[:n])
		rows, out = rows[n*dim:], out[n:]
	}
}

// DotsInt8At writes to out[i] the inner product of q and row at[i] of rows, for
// the neighbours of a node in a graph: the layout is that of Dots, out and at
// have the same length, and a row that is not there panics.
func DotsInt8At(q, rows []int8, dim int, at []uint32, out []int32) {
	mustMatch(len(at), len(out))
	mustMatch(len(q), dim)
	n := len(rows) / max(1, dim)
	for _, row := range at {
		if int(row) >= n && dim > 0 {
			panic("vector: DotsInt8At: there is no such row")
		}
	}
	dotsInt8At(q, rows, at, out)
}

// SquaredL2sInt8 writes to out[i] the squared distance of q and row i; the
// layout is that of Dots. Each is what SquaredL2Int8 gives.
func SquaredL2sInt8(q, rows []int8, dim int, out []int32) {
	mustBatch(len(q), len(rows), dim, len(out))
	for len(out) > 0 {
		n := turn(len(out), dim)
		squaredL2sInt8(q, rows[:n*dim], out[:n])
		rows, out = rows[n*dim:], out[n:]
	}
}

// DotsMixed writes to out[i] the inner product of q and the int8 row i, in the
// order of summation of Dot; the layout is that of Dots. With rows of EncodeInt8
// it is the score of a query that is not quantised, once multiplied with the
// row's scale.
func DotsMixed(q []float32, rows []int8, dim int, out []float32) {
	mustBatch(len(q), len(rows), dim, len(out))
	for len(out) > 0 {
		n := turn(len(out), dim)
		dotsMixed(q, rows[:n*dim], out[:n])
		rows, out = rows[n*dim:], out[n:]
	}
}

// EncodeInt8 writes the numbers of v to code as multiples of the scale that it
// returns, the largest magnitude being 127: v[i] is scale*code[i] within
// scale/2 and a rounding, so |Dot(q, v) - scale*DotMixed(q, code)| is at most
// scale/2 times the sum of |q[i]|, and about scale/sqrt(12) times the length of
// q in practice. The zero vector has scale 0. v is finite and has the length of
// code.
func EncodeInt8(code []int8, v []float32) (scale float32) {
	mustMatch(len(code), len(v))
	top := float32(0)
	if len(v) > 0 {
		low, high := span(v, v[0], v[0])
		top = max(-low, high)
	}
	scale = top / 127
	inverse := 127 / top
	if scale == 0 || inverse-inverse != 0 { // zero, or denormal: too small to divide by
		clear(code)
		return 0
	}
	// Bytes from 1 to 255 first, with 128 for zero.
	bytes := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(code))), len(code))
	toBytes(bytes, v, 0, inverse, 128)
	for ; len(bytes) >= 8; bytes = bytes[8:] {
		binary.LittleEndian.PutUint64(bytes, binary.LittleEndian.Uint64(bytes)^0x8080808080808080)
	}
	for i := range bytes {
		bytes[i] ^= 0x80
	}
	return scale
}

// DecodeInt8 writes scale*code[i] to v.
func DecodeInt8(v []float32, code []int8, scale float32) {
	mustMatch(len(v), len(code))
	for i, c := range code {
		v[i] = scale * float32(c)
	}
}
