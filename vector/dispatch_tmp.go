package vector

func matMulInt8(dst []int32, a []uint8, m int, b *PackedInt8) { plainMatMulInt8(dst, a, m, b) }
func quantizeRow(dst []uint8, src []float32) RowQuant         { return plainQuantizeRow(dst, src) }
func dequantizeRow(dst []float32, acc []int32, q RowQuant, sums []int32, scale, bias []float32) {
	plainDequantizeRow(dst, acc, q, sums, scale, bias)
}
func matMulFloat32(dst, a, b Matrix)           { plainMatMulFloat32(dst, a, b) }
func softmax(row []float32, scale float32)     { plainSoftmax(row, scale) }
func gelu(dst, src []float32)                  { plainGELU(dst, src) }
func rowSum(row []float32) float32 {
	var lanes [16]float32
	plainRowSum(row, &lanes)
	return fold16(&lanes)
}
func rowSquares(row []float32, mean float32) float32 {
	var lanes [16]float32
	plainRowSquares(row, mean, &lanes)
	return fold16(&lanes)
}
func normalizeRow(dst, src, gain, bias []float32, mean, inverse float32) {
	plainNormalizeRow(dst, src, gain, bias, mean, inverse)
}
