//go:build !amd64

package vector

func dots(q, rows, out []float32)       { plainDots(q, rows, out) }
func squaredL2s(q, rows, out []float32) { plainSquaredL2s(q, rows, out) }

func dotsMixed(q []float32, rows []int8, out []float32) { plainDotsMixed(q, rows, out) }

func dotsInt8(q, rows []int8, out []int32)       { plainDotsInt8(q, rows, out) }
func squaredL2sInt8(q, rows []int8, out []int32) { plainSquaredL2sInt8(q, rows, out) }

func dotsInt8At(q, rows []int8, at []uint32, out []int32) {
	for i, row := range at {
		out[i] = plainDotInt8(q, rows[int(row)*len(q):][:len(q)])
	}
}

func bitSums(planes, codes []uint64, words int, out []int32) {
	plainBitSums(planes, codes, words, out)
}

func estimates(q *BitQuery, codes []uint64, factors []BitFactors, out []float32) {
	plainEstimates(q, codes, factors, out)
}

func fourDots(q []int8, codes []uint8, out []int32) { plainFourDots(q, codes, out) }

func flip(v []float32, flips []uint32)     { plainFlip(v, flips) }
func hadamard(v []float32, by float32)     { plainHadamard(v, by) }
func butterfly(a, b []float32, by float32) { plainButterfly(a, b, by) }

func matMulInt8(dst []int32, a []uint8, m int, b *PackedInt8) { plainMatMulInt8(dst, a, m, b) }
func matMulFloat32(dst, a, b Matrix)                          { plainMatMulFloat32(dst, a, b) }

func span(v []float32, lo, hi float32) (least, largest float32) { return plainSpan(v, lo, hi) }

func toBytes(dst []uint8, src []float32, low, inverse float32, zero int32) {
	plainToBytes(dst, src, low, inverse, zero)
}

func dequantizeRow(dst []float32, acc []int32, q RowQuant, sums []int32, scale, bias []float32) {
	plainDequantizeRow(dst, acc, q, sums, scale, bias)
}

func softmax(row []float32, scale float32) { plainSoftmax(row, scale) }
func gelu(dst, src []float32)              { plainGELU(dst, src) }

func rowSum(row []float32) float32 {
	var lanes [16]float32
	addTo(&lanes, row)
	return fold16(&lanes)
}

func rowSquares(row []float32, mean float32) float32 {
	var lanes [16]float32
	addSquaresTo(&lanes, row, mean)
	return fold16(&lanes)
}

func normalizeRow(dst, src, gain, bias []float32, mean, inverse float32) {
	plainNormalizeRow(dst, src, gain, bias, mean, inverse)
}

func keys(r *CodedRows, q *CodedQuery, at []uint32, out []float32) { plainKeys(r, q, at, out) }

func fetch(*uint32, int) {}
