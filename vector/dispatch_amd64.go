package vector

import (
	"math"
	"unsafe"
)

// What the levels do: one function for each operation, which picks the kernel.
// Kernels take pointers and lengths and check nothing; here is where slices are
// known to be long enough. Those for arrays go over a multiple of 16 numbers,
// and the rest is done by the twin, or by the same kernel on a padded copy where
// the twin would be slow.

func dots(q, rows, out []float32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0:
		plainDots(q, rows, out)
	case active == avx2:
		dotsAVX2(&q[0], &rows[0], len(q), len(out), &out[0])
	default:
		dotsAVX512(&q[0], &rows[0], len(q), len(out), &out[0])
	}
}

func squaredL2s(q, rows, out []float32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0:
		plainSquaredL2s(q, rows, out)
	case active == avx2:
		squaresAVX2(&q[0], &rows[0], len(q), len(out), &out[0])
	default:
		squaresAVX512(&q[0], &rows[0], len(q), len(out), &out[0])
	}
}

func dotsMixed(q []float32, rows []int8, out []float32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0 || active == avx2 && len(q)%8 != 0:
		plainDotsMixed(q, rows, out)
	case active == avx2:
		dotsMixedAVX2(&q[0], &rows[0], len(q), len(out), &out[0])
	default:
		dotsMixedAVX512(&q[0], &rows[0], len(q), len(out), &out[0])
	}
}

func dotsInt8(q, rows []int8, out []int32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0:
		plainDotsInt8(q, rows, out)
	case active == avx2:
		dotsInt8AVX2(&q[0], &rows[0], len(q), len(out), &out[0])
	default:
		dotsInt8AVX512(&q[0], &rows[0], len(q), len(out), &out[0])
	}
}

func dotsInt8At(q, rows []int8, at []uint32, out []int32) {
	dim := len(q)
	if active == avx512 && dim > 0 && len(at) > 0 {
		dotsInt8AtAVX512(&q[0], &rows[0], &at[0], dim, len(at), &out[0])
		return
	}
	for i, row := range at {
		dotsInt8(q, rows[int(row)*dim:][:dim], out[i:i+1])
	}
}

func squaredL2sInt8(q, rows []int8, out []int32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0:
		plainSquaredL2sInt8(q, rows, out)
	case active == avx2:
		squaresInt8AVX2(&q[0], &rows[0], len(q), len(out), &out[0])
	default:
		squaresInt8AVX512(&q[0], &rows[0], len(q), len(out), &out[0])
	}
}

// bitSums: at avx2 the twin runs, whose popcount is already one instruction.
func bitSums(planes, codes []uint64, words int, out []int32) {
	if active < avx512 || words == 0 || len(out) == 0 {
		plainBitSums(planes, codes, words, out)
		return
	}
	bitSumsAVX512(&planes[0], &codes[0], words, len(out), &out[0])
}

func estimates(q *BitQuery, codes []uint64, factors []BitFactors, out []float32) {
	n := 0
	if active == avx512 && q.words > 0 && len(out) >= 8 {
		n = len(out) &^ 7
		bitEstimatesAVX512(&q.planes[0], &codes[0], q.words, n, &factors[0].Scale, &out[0], 2*q.step, 2*q.low, q.sum)
	}
	plainEstimates(q, codes[n*q.words:], factors[n:], out[n:])
}

func fourDots(q []int8, codes []uint8, out []int32) {
	switch {
	case active == plain || len(q) == 0 || len(out) == 0:
		plainFourDots(q, codes, out)
	case active == avx2:
		fourDotsAVX2(&q[0], &codes[0], len(q), len(out), &out[0])
	default:
		fourDotsAVX512(&q[0], &codes[0], len(q), len(out), &out[0])
	}
}

func flip(v []float32, flips []uint32) {
	switch n := len(flips); { // a multiple of 64
	case active == plain || n == 0:
		plainFlip(v, flips)
	case active == avx2:
		flipAVX2(&v[0], &flips[0], n)
	default:
		flipAVX512(&v[0], &flips[0], n)
	}
}

func hadamard(v []float32, by float32) {
	switch { // at least 64 numbers
	case active == plain || len(v) < 16:
		plainHadamard(v, by)
	case active == avx2:
		hadamardAVX2(&v[0], len(v), by)
	default:
		hadamardAVX512(&v[0], len(v), by)
	}
}

func butterfly(a, b []float32, by float32) {
	switch n := len(a); { // a multiple of 32
	case active == plain || n == 0:
		plainButterfly(a, b, by)
	case active == avx2:
		butterflyAVX2(&a[0], &b[0], n, by)
	default:
		butterflyAVX512(&a[0], &b[0], n, by)
	}
}

func matMulInt8(dst []int32, a []uint8, m int, b *PackedInt8) {
	if active == plain || b.k < group || m == 0 {
		plainMatMulInt8(dst, a, m, b)
		return
	}
	t := tiles{dst: dst, a: a, m: m, b: b, groups: (b.k + group - 1) / group}
	for first := 0; first < b.n; first += panel {
		if b.n-first < panel {
			t.lastPanel(first)
		} else {
			t.panel(dst[first:], 4*b.n, first)
		}
	}
	if b.k%group != 0 {
		t.rest()
	}
}

// tiles is one multiplication, cut into panels of b and a few rows of a.
type tiles struct {
	dst    []int32
	a      []uint8
	m      int
	b      *PackedInt8
	groups int
}

// panel multiplies all rows with the panel that starts at row first of b, and
// writes 64 numbers a row to dst, the rows stride bytes apart.
func (t *tiles) panel(dst []int32, stride, first int) {
	for i := 0; i < t.m; {
		n := t.height(t.m - i)
		t.tile(dst[i*stride/4:], stride, i, n, first)
		i += n
	}
}

// lastPanel is panel where b has fewer than 64 rows left: it is computed whole
// beside dst, one tile after the other.
func (t *tiles) lastPanel(first int) {
	var whole [6 * panel]int32
	for i := 0; i < t.m; {
		n := t.height(t.m - i)
		t.tile(whole[:], 4*panel, i, n, first)
		for r := range n {
			copy(t.dst[(i+r)*t.b.n+first:(i+r+1)*t.b.n], whole[r*panel:])
		}
		i += n
	}
}

// height is how many of the rows that are left the next tile takes: 7 to 11 are
// halved, since a tile of one or two rows waits for its own sums.
func (t *tiles) height(left int) int {
	switch {
	case active == avx2:
		return min(left, 2)
	case left <= 6:
		return left
	case left < 12:
		return (left + 1) / 2
	}
	return 6
}

func (t *tiles) tile(dst []int32, stride, row, rows, first int) {
	to, a, b := &dst[0], &t.a[row*t.b.k], t.b.data[first*t.groups*group:]
	k, whole := t.b.k, t.b.k/group
	if active == avx2 {
		t.tileAVX2(dst, stride, a, rows, b, whole)
		return
	}
	switch rows {
	case 1:
		matMulInt8x1AVX512(to, stride, a, k, &b[0], whole)
	case 2:
		matMulInt8x2AVX512(to, stride, a, k, &b[0], whole)
	case 3:
		matMulInt8x3AVX512(to, stride, a, k, &b[0], whole)
	case 4:
		matMulInt8x4AVX512(to, stride, a, k, &b[0], whole)
	case 5:
		matMulInt8x5AVX512(to, stride, a, k, &b[0], whole)
	default:
		matMulInt8x6AVX512(to, stride, a, k, &b[0], whole)
	}
}

// tileAVX2 takes a panel in four parts of 16 rows.
func (t *tiles) tileAVX2(dst []int32, stride int, a *uint8, rows int, b []int8, whole int) {
	for part := range 4 {
		to, from := &dst[16*part], &b[16*group*part]
		if rows == 1 {
			matMulInt8x1AVX2(to, stride, a, t.b.k, from, whole)
		} else {
			matMulInt8x2AVX2(to, stride, a, t.b.k, from, whole)
		}
	}
}

// rest adds the products of the last k mod 4 numbers, which the kernels leave
// out: they would read beyond a.
func (t *tiles) rest() {
	k, n := t.b.k, t.b.n
	for i := range t.m {
		for j := range n {
			t.dst[i*n+j] += packedDot(t.a[i*k:(i+1)*k], t.b, j, k/group*group)
		}
	}
}

// packedDot is the product of a from number first on and the same numbers
// of row j.
func packedDot(a []uint8, b *PackedInt8, j, first int) int32 {
	groups := (b.k + group - 1) / group
	at := (j/panel*groups*panel + j%panel) * group
	sum := int32(0)
	for x := first; x < len(a); x++ {
		sum += int32(a[x]) * int32(b.data[at+x/group*panel*group+x%group])
	}
	return sum
}

func matMulFloat32(dst, a, b Matrix) {
	if active == plain || a.Cols == 0 {
		plainMatMulFloat32(dst, a, b)
		return
	}
	width := 32
	if active == avx2 {
		width = 16
	}
	for j := 0; j < dst.Cols; j += width {
		matMulColumns(dst, a, b, j, min(width, dst.Cols-j))
	}
}

// matMulColumns computes n columns of dst from column j on.
func matMulColumns(dst, a, b Matrix, j, n int) {
	ds, as, bs, k := 4*dst.stride(), 4*a.stride(), 4*b.stride(), a.Cols
	from := &b.Data[j]
	for i := 0; i < dst.Rows; {
		to, x, left := &dst.Data[i*dst.stride()+j], &a.Data[i*a.stride()], dst.Rows-i
		switch {
		case active == avx2 && left >= 4:
			matMulFloat32x4AVX2(to, ds, x, as, from, bs, k, n)
			i += 4
		case active == avx2:
			matMulFloat32x1AVX2(to, ds, x, as, from, bs, k, n)
			i++
		case left >= 8:
			matMulFloat32x8AVX512(to, ds, x, as, from, bs, k, n)
			i += 8
		case left >= 4:
			matMulFloat32x4AVX512(to, ds, x, as, from, bs, k, n)
			i += 4
		default:
			matMulFloat32x1AVX512(to, ds, x, as, from, bs, k, n)
			i++
		}
	}
}

// span is the least and the largest of lo, hi and the numbers of v.
func span(v []float32, lo, hi float32) (least, largest float32) {
	n := len(v) &^ 15
	if n == 0 || active == plain {
		return plainSpan(v, lo, hi)
	}
	var low, high [16]float32
	for i := range low {
		low[i], high[i] = lo, hi
	}
	if active == avx2 {
		minMaxLanesAVX2(&v[0], n, &low, &high)
	} else {
		minMaxLanesAVX512(&v[0], n, &low, &high)
	}
	for i := range low {
		lo, hi = min(lo, low[i]), max(hi, high[i])
	}
	return plainSpan(v[n:], lo, hi)
}

func toBytes(dst []uint8, src []float32, low, inverse float32, zero int32) {
	n := len(src) &^ 15
	switch {
	case n == 0 || active == plain:
		n = 0
	case active == avx2:
		toBytesAVX2(&dst[0], &src[0], n, low, inverse, zero)
	default:
		toBytesAVX512(&dst[0], &src[0], n, low, inverse, zero)
	}
	plainToBytes(dst[n:], src[n:], low, inverse, zero)
}

func dequantizeRow(dst []float32, acc []int32, q RowQuant, sums []int32, scale, bias []float32) {
	n := len(dst) &^ 15
	switch {
	case n == 0 || active == plain:
		n = 0
	case active == avx2:
		dequantizeAVX2(&dst[0], &acc[0], &sums[0], &scale[0], &bias[0], n, q.Zero, q.Scale)
	default:
		dequantizeAVX512(&dst[0], &acc[0], &sums[0], &scale[0], &bias[0], n, q.Zero, q.Scale)
	}
	plainDequantizeRow(dst[n:], acc[n:], q, sums[n:], scale[n:], bias[n:])
}

func softmax(row []float32, scale float32) {
	if active == plain {
		plainSoftmax(row, scale)
		return
	}
	n := len(row) &^ 15
	var pad [16]float32
	rest := pad[:copy(pad[:], row[n:])]
	for i := len(rest); i < len(pad); i++ {
		pad[i] = float32(math.Inf(-1)) // becomes 0
	}
	if active == avx2 {
		softmaxAVX2(&row[0], n, &pad, len(rest), scale)
	} else {
		softmaxAVX512(&row[0], n, &pad, len(rest), scale)
	}
	copy(row[n:], rest)
}

func gelu(dst, src []float32) {
	if active == plain {
		plainGELU(dst, src)
		return
	}
	const turn = 1 << 16 // numbers of one call, see turnBytes
	for len(src) >= 16 {
		n := min(len(src)&^15, turn)
		gelu16(dst[:n], src[:n])
		dst, src = dst[n:], src[n:]
	}
	if len(src) > 0 {
		var pad [16]float32
		copy(pad[:], src)
		gelu16(pad[:], pad[:])
		copy(dst, pad[:])
	}
}

func gelu16(dst, src []float32) {
	if active == avx2 {
		geluAVX2(&dst[0], &src[0], len(src))
	} else {
		geluAVX512(&dst[0], &src[0], len(src))
	}
}

func rowSum(row []float32) float32 {
	var lanes [16]float32
	n := len(row) &^ 15
	switch {
	case n == 0 || active == plain:
		n = 0
	case active == avx2:
		sum16AVX2(&row[0], n, &lanes)
	default:
		sum16AVX512(&row[0], n, &lanes)
	}
	addTo(&lanes, row[n:])
	return fold16(&lanes)
}

func rowSquares(row []float32, mean float32) float32 {
	var lanes [16]float32
	n := len(row) &^ 15
	switch {
	case n == 0 || active == plain:
		n = 0
	case active == avx2:
		squares16AVX2(&row[0], n, mean, &lanes)
	default:
		squares16AVX512(&row[0], n, mean, &lanes)
	}
	addSquaresTo(&lanes, row[n:], mean)
	return fold16(&lanes)
}

func normalizeRow(dst, src, gain, bias []float32, mean, inverse float32) {
	n := len(src) &^ 15
	switch {
	case n == 0 || active == plain:
		n = 0
	case active == avx2:
		normalizeAVX2(&dst[0], &src[0], &gain[0], &bias[0], n, mean, inverse)
	default:
		normalizeAVX512(&dst[0], &src[0], &gain[0], &bias[0], n, mean, inverse)
	}
	plainNormalizeRow(dst[n:], src[n:], gain[n:], bias[n:], mean, inverse)
}

func keys(r *CodedRows, q *CodedQuery, at []uint32, out []float32) {
	switch active {
	case plain:
		plainKeys(r, q, at, out)
	case avx2:
		var dot [1]int32
		for i, row := range at {
			dotsInt8AVX2(&q.Code[0], &r.Code(row)[0], r.Stride, 1, &dot[0])
			out[i] = r.key(q, row, dot[0])
		}
	default:
		keysWide(r, q, at, out)
	}
}

// keysWide hands the kernel rows by fours; a rest is filled up with its last.
func keysWide(r *CodedRows, q *CodedQuery, at []uint32, out []float32) {
	n := len(at) &^ 3
	if n > 0 {
		keysAVX512(&q.Code[0], &r.Codes[0], (*[]uint64)(unsafe.Pointer(&r.Factors[0])), &at[0], n, r.Stride, q.Factor, &out[0])
	}
	if n == len(at) {
		return
	}
	var last [4]uint32
	var keys [4]float32
	for i := range last {
		last[i] = at[min(n+i, len(at)-1)]
	}
	keysAVX512(&q.Code[0], &r.Codes[0], (*[]uint64)(unsafe.Pointer(&r.Factors[0])), &last[0], 4, r.Stride, q.Factor, &keys[0])
	copy(out[n:], keys[:])
}
