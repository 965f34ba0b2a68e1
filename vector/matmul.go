package vector

// PackedInt8 is the right-hand matrix of MatMulInt8 in the layout that the
// kernels read: made once by PackInt8, only read afterwards, so any number of
// multiplications may share it.
//
// The layout, for n rows of k numbers: rows are taken in panels of 64, the last
// one filled up with rows of zeros, and k in groups of 4, the last one filled
// up with zeros. A panel holds its groups one after the other; a group holds,
// for each of its 64 rows in order, the 4 numbers of that row: 256 bytes. So
// one group is four registers of 64 bytes, and number (j, x) lies at
//
//	data[((j/64*groups + x/4)*64 + j%64)*4 + x%4], groups = (k+3)/4
//
// It is a layout in memory, not a format: keep the plain rows on disk.
type PackedInt8 struct {
	n, k int
	data []int8
	sums []int32
}

const (
	panel = 64 // rows of one panel of PackedInt8
	group = 4  // numbers of k that one step multiplies
)

// PackInt8 packs b, the n rows of k numbers that MatMulInt8 multiplies with; b
// is copied. len(b) is n*k; k is at most 65,793, so that no sum of products
// overflows an int32.
func PackInt8(b []int8, n, k int) *PackedInt8 {
	if n < 0 || k < 0 || len(b) != n*k {
		panic("vector: PackInt8: b is not n rows of k")
	}
	if k > maxDepth {
		panic("vector: PackInt8: k is above 65793: a sum could overflow")
	}
	groups := (k + group - 1) / group
	p := &PackedInt8{n: n, k: k, sums: make([]int32, n)}
	p.data = make([]int8, (n+panel-1)/panel*panel*groups*group)
	for j := range n {
		for x, v := range b[j*k : (j+1)*k] {
			p.data[((j/panel*groups+x/group)*panel+j%panel)*group+x%group] = v
			p.sums[j] += int32(v)
		}
	}
	return p
}

// maxDepth is the largest k for which k*255*128 fits in an int32.
const maxDepth = (1<<31 - 1) / (255 * 128)

// Rows is n, the number of rows that were packed: the columns of the product.
func (p *PackedInt8) Rows() int { return p.n }

// Depth is k, the length of a row.
func (p *PackedInt8) Depth() int { return p.k }

// Sums holds the sum of each row, which the zero point of the other matrix is
// multiplied with. It is shared: only read it.
func (p *PackedInt8) Sums() []int32 { return p.sums }

// MatMulInt8 writes to dst the m x n product of a and the rows of b:
// dst[i*n+j] is the sum over x of a[i*k+x]*b[j*k+x], exact. a has m rows of k,
// dst m rows of n, with n and k of b.
func MatMulInt8(dst []int32, a []uint8, m int, b *PackedInt8) {
	if m < 0 || len(a) != m*b.k || len(dst) != m*b.n {
		panic("vector: MatMulInt8: sizes do not fit")
	}
	matMulInt8(dst, a, m, b)
}

// plainMatMulInt8 reads each panel once a row, as it lies, into 64 sums.
func plainMatMulInt8(dst []int32, a []uint8, m int, b *PackedInt8) {
	size := (b.k + group - 1) / group * group * panel
	for first := 0; first < b.n; first += panel {
		data := b.data[first/panel*size:][:size]
		for i := range m {
			var sums [panel]int32
			plainPanel(&sums, a[i*b.k:(i+1)*b.k], data)
			copy(dst[i*b.n+first:(i+1)*b.n], sums[:])
		}
	}
}

func plainPanel(sums *[panel]int32, a []uint8, data []int8) {
	for len(a) > 0 {
		var x [group]uint8
		a = a[copy(x[:], a):]
		x0, x1, x2, x3 := int32(x[0]), int32(x[1]), int32(x[2]), int32(x[3])
		step := (*[panel * group]int8)(data)
		for j := range sums {
			w := step[4*j : 4*j+4 : 4*j+4]
			sums[j] += x0*int32(w[0]) + x1*int32(w[1]) + x2*int32(w[2]) + x3*int32(w[3])
		}
		data = data[panel*group:]
	}
}

// RowQuant says what the bytes of one quantised row mean:
// x is about Scale * (byte - Zero).
type RowQuant struct {
	Scale float32
	Zero  int32
}

// QuantizeRows writes each row of k numbers of src to dst as bytes, and to q[i]
// what the bytes of row i mean. The range of a row, made to hold 0, is cut into
// 255 steps of Scale: a number comes back within Scale/2 and a rounding of it (the ends of the range
// within Scale), 0 comes back as 0. A row of zeros has Scale 1. src has
// len(q) rows and is finite; what a row with NaN or Inf, or with a range that overflows, becomes is not defined.
func QuantizeRows(dst []uint8, q []RowQuant, src []float32, k int) {
	if len(src) != len(q)*k || len(dst) != len(src) {
		panic("vector: QuantizeRows: sizes do not fit")
	}
	for i := range q {
		row, inverse := src[i*k:(i+1)*k], float32(0)
		lo, hi := span(row, 0, 0)
		q[i], inverse = rowQuant(lo, hi)
		toBytes(dst[i*k:(i+1)*k], row, 0, inverse, q[i].Zero)
	}
}

// rowQuant chooses the meaning of the bytes for numbers from lo to hi.
func rowQuant(lo, hi float32) (q RowQuant, inverse float32) {
	scale := (hi - lo) / 255
	inverse = 1 / scale
	if scale == 0 || inverse-inverse != 0 { // all zero, or so small that 1/scale overflows
		return RowQuant{Scale: 1}, 0
	}
	return RowQuant{Scale: scale, Zero: int32(nearest(-lo * inverse))}, inverse
}

func plainSpan(v []float32, lo, hi float32) (least, largest float32) {
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

func plainToBytes(dst []uint8, src []float32, low, inverse float32, zero int32) {
	for i, x := range src {
		dst[i] = uint8(min(max(int32(nearest(float32((x-low)*inverse)))+zero, 0), 255))
	}
}

// nearest rounds a number below 2^22 to the nearest whole one, ties to even.
func nearest(x float32) float32 {
	const magic = 3 << 22 // numbers of this size have no bits for a fraction
	return float32(x+magic) - magic
}

// Dequantize writes to dst what the sums of MatMulInt8 mean: for row i of a,
// quantised as q[i], and row j of b, quantised with scale[j] and no zero point,
//
//	dst[i*n+j] = (acc[i*n+j] - q[i].Zero*b.Sums()[j]) * (q[i].Scale*scale[j]) + bias[j]
//
// each step rounded to float32. scale and bias have n numbers.
func Dequantize(dst []float32, acc []int32, q []RowQuant, b *PackedInt8, scale, bias []float32) {
	n := b.n
	if len(acc) != len(q)*n || len(dst) != len(acc) || len(scale) != n || len(bias) != n {
		panic("vector: Dequantize: sizes do not fit")
	}
	for i, r := range q {
		dequantizeRow(dst[i*n:(i+1)*n], acc[i*n:(i+1)*n], r, b.sums, scale, bias)
	}
}

func plainDequantizeRow(dst []float32, acc []int32, q RowQuant, sums []int32, scale, bias []float32) {
	for j, s := range acc {
		dst[j] = float32(float32(s-q.Zero*sums[j])*float32(q.Scale*scale[j])) + bias[j]
	}
}

// Matrix is a view of Rows x Cols numbers: number (i, j) is Data[i*Stride+j].
// With a Stride above Cols it is a part of a wider matrix, such as one head of
// an attention layer. The zero Stride means Cols.
type Matrix struct {
	Data               []float32
	Rows, Cols, Stride int
}

// Row is row i of the view, shared with it.
func (x Matrix) Row(i int) []float32 {
	at := i * x.stride()
	return x.Data[at : at+x.Cols : at+x.Cols]
}

func (x Matrix) stride() int {
	if x.Stride == 0 {
		return x.Cols
	}
	return x.Stride
}

func (x Matrix) mustBe(rows, cols int) {
	if x.Rows != rows || x.Cols != cols || rows < 0 || cols < 0 || x.stride() < cols ||
		rows > 0 && cols > 0 && len(x.Data) < (rows-1)*x.stride()+cols {
		panic("vector: matrices do not fit")
	}
}

// MatMulFloat32 writes to dst the product of a (m x k) and b (k x n). Each
// number of it is added in ascending order of k from zero with every product
// rounded, so it is the same on every machine. dst must not overlap a or b.
func MatMulFloat32(dst, a, b Matrix) {
	a.mustBe(dst.Rows, b.Rows)
	b.mustBe(a.Cols, dst.Cols)
	dst.mustBe(a.Rows, b.Cols)
	if dst.Rows > 0 && dst.Cols > 0 {
		matMulFloat32(dst, a, b)
	}
}

// MatMulFloat32T is MatMulFloat32 of a (m x k) and the transpose of b (n x k):
// the inner product of each row of a with each row of b, as for the scores of
// attention. scratch, which must have room for n*k numbers, is overwritten.
func MatMulFloat32T(dst, a, b Matrix, scratch []float32) {
	b.mustBe(dst.Cols, a.Cols)
	if len(scratch) < b.Rows*b.Cols {
		panic("vector: MatMulFloat32T: scratch is too small")
	}
	t := Matrix{Data: scratch[:b.Rows*b.Cols], Rows: b.Cols, Cols: b.Rows}
	transpose(t, b)
	MatMulFloat32(dst, a, t)
}

// transpose writes the transpose of b to dst, four rows of b at once, so that
// what is written lies together.
func transpose(dst, b Matrix) {
	n, i := b.Rows, 0
	for ; i+4 <= b.Rows; i += 4 {
		r0, r1, r2, r3 := b.Row(i), b.Row(i+1), b.Row(i+2), b.Row(i+3)
		for x := range r0 {
			d := dst.Data[x*n+i:][:4]
			d[0], d[1], d[2], d[3] = r0[x], r1[x], r2[x], r3[x]
		}
	}
	for ; i < b.Rows; i++ {
		for x, v := range b.Row(i) {
			dst.Data[x*n+i] = v
		}
	}
}

func plainMatMulFloat32(dst, a, b Matrix) {
	for i := range dst.Rows {
		row := dst.Row(i)
		clear(row)
		for x, w := range a.Row(i) {
			plainAddScaled(row, w, b.Row(x))
		}
	}
}

func plainAddScaled(dst []float32, w float32, v []float32) {
	v = v[:len(dst)]
	for j := range dst {
		dst[j] += float32(w * v[j])
	}
}
