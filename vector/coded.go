package vector

import "unsafe"

// Coded rows are int8 codes in chunks, as an index keeps them that grows and
// shrinks: no row ever moves, and a chunk may lie anywhere. What they are
// compared by is a key, which is smaller for nearer rows:
//
//	key = Bias + Factor * (Scale * code·query)
//
// With Bias the squared length of a row and Factor -2 times the query's scale it
// is a squared distance, less the query's own squared length; with Bias 0 and
// Factor -1 it orders by inner product.

// CodedChunk is how many rows lie in one chunk, CodedAlign what the length of a
// row's code is a multiple of: zeros fill it up.
const (
	codedShift = 10
	CodedChunk = 1 << codedShift
	CodedAlign = 64
)

// RowFactors is what the key of a row needs beside its code.
type RowFactors struct {
	Scale, Bias float32
}

// CodedRows is a table of coded rows. Row i is row i mod CodedChunk of chunk i /
// CodedChunk; each chunk has room for CodedChunk rows of Stride bytes, and as
// many factors. The owner writes it; Keys only reads.
type CodedRows struct {
	Stride  int
	Codes   [][]int8
	Factors [][]RowFactors
}

// Code is the code of a row.
func (r *CodedRows) Code(row uint32) []int8 {
	at := int(row%CodedChunk) * r.Stride
	return r.Codes[row/CodedChunk][at : at+r.Stride : at+r.Stride]
}

// Factor is the factors of a row.
func (r *CodedRows) Factor(row uint32) *RowFactors {
	return &r.Factors[row/CodedChunk][row%CodedChunk]
}

// CodedQuery is what coded rows are compared with. Code has the stride's length.
type CodedQuery struct {
	Code   []int8
	Factor float32
}

// Keys writes to out[i] the key of row at[i]; at and out have the same length.
// The product of the codes is exact, each of the three float32 operations is
// rounded. Rows that are not in the table are a bug of the caller; for speed only
// the plain twin looks. Memory is asked for ahead, so many rows in one call cost
// less each; a multiple of four is best.
func (r *CodedRows) Keys(q *CodedQuery, at []uint32, out []float32) {
	mustMatch(len(at), len(out))
	mustMatch(len(q.Code), r.Stride)
	if r.Stride <= 0 || r.Stride%CodedAlign != 0 {
		panic("vector: coded rows are not aligned")
	}
	for len(at) > 0 {
		n := turn(len(at), r.Stride)
		keys(r, q, at[:n], out[:n])
		at, out = at[n:], out[n:]
	}
}

func plainKeys(r *CodedRows, q *CodedQuery, at []uint32, out []float32) {
	for i, row := range at {
		out[i] = r.key(q, row, plainDotInt8(q.Code, r.Code(row)))
	}
}

func (r *CodedRows) key(q *CodedQuery, row uint32, dot int32) float32 {
	f := r.Factor(row)
	scaled := float32(float32(dot) * f.Scale)
	return f.Bias + float32(scaled*q.Factor)
}

// Fetch asks for the memory of v that will be read soon, and does not wait for it.
func Fetch[T uint32 | float32 | ~uint64](v []T) {
	if len(v) > 0 {
		fetch((*uint32)(unsafe.Pointer(&v[0])), int(unsafe.Sizeof(v[0]))*len(v))
	}
}
