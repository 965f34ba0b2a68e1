package vector

// The twins: what the kernels compute, in plain Go. The conversions to float32
// around products rule out fused multiply-adds. Eight lanes at a time fit in
// registers, so the numbers are gone over eight times, each time for the eight
// lanes from first on.

func plainDots(q, rows, out []float32) {
	for i := range out {
		out[i] = plainDot(q, rows[i*len(q):][:len(q)])
	}
}

func plainSquaredL2s(q, rows, out []float32) {
	for i := range out {
		out[i] = plainSquaredL2(q, rows[i*len(q):][:len(q)])
	}
}

func plainDotsMixed(q []float32, rows []int8, out []float32) {
	for i := range out {
		out[i] = plainDotMixed(q, rows[i*len(q):][:len(q)])
	}
}

func plainDot(a, b []float32) float32 {
	var lanes [sumLanes]float32
	for first := 0; first < sumLanes && first < len(a); first += 8 {
		plainDotLanes((*[8]float32)(lanes[first:]), a[first:], b[first:])
	}
	return fold(&lanes)
}

// plainDotLanes adds numbers 0 to 7, 64 to 71 and so on to eight lanes.
func plainDotLanes(lanes *[8]float32, a, b []float32) {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	i := 0
	for ; i+8 <= len(a); i += sumLanes {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
		s4 += float32(x[4] * y[4])
		s5 += float32(x[5] * y[5])
		s6 += float32(x[6] * y[6])
		s7 += float32(x[7] * y[7])
	}
	*lanes = [8]float32{s0, s1, s2, s3, s4, s5, s6, s7}
	for j := i; j < len(a); j++ { // fewer than 8 are left
		lanes[j-i] += float32(a[j] * b[j])
	}
}

func plainSquaredL2(a, b []float32) float32 {
	var lanes [sumLanes]float32
	for first := 0; first < sumLanes && first < len(a); first += 8 {
		plainSquareLanes((*[8]float32)(lanes[first:]), a[first:], b[first:])
	}
	return fold(&lanes)
}

func plainSquareLanes(lanes *[8]float32, a, b []float32) {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	i := 0
	for ; i+8 <= len(a); i += sumLanes {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		d0, d1, d2, d3 := x[0]-y[0], x[1]-y[1], x[2]-y[2], x[3]-y[3]
		s0 += float32(d0 * d0)
		s1 += float32(d1 * d1)
		s2 += float32(d2 * d2)
		s3 += float32(d3 * d3)
		d4, d5, d6, d7 := x[4]-y[4], x[5]-y[5], x[6]-y[6], x[7]-y[7]
		s4 += float32(d4 * d4)
		s5 += float32(d5 * d5)
		s6 += float32(d6 * d6)
		s7 += float32(d7 * d7)
	}
	*lanes = [8]float32{s0, s1, s2, s3, s4, s5, s6, s7}
	for j := i; j < len(a); j++ {
		d := a[j] - b[j]
		lanes[j-i] += float32(d * d)
	}
}

func plainDotMixed(a []float32, b []int8) float32 {
	var lanes [sumLanes]float32
	for i, x := range a {
		lanes[i%sumLanes] += float32(x * float32(b[i]))
	}
	return fold(&lanes)
}

func plainDotsInt8(q, rows []int8, out []int32) {
	for i := range out {
		out[i] = plainDotInt8(q, rows[i*len(q):][:len(q)])
	}
}

func plainDotInt8(a, b []int8) int32 {
	var s0, s1 int32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += int32(a[0])*int32(b[0]) + int32(a[1])*int32(b[1])
		s1 += int32(a[2])*int32(b[2]) + int32(a[3])*int32(b[3])
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += int32(x) * int32(b[i])
	}
	return s0 + s1
}

func plainSquaredL2sInt8(q, rows []int8, out []int32) {
	for i := range out {
		out[i] = plainSquaredL2Int8(q, rows[i*len(q):][:len(q)])
	}
}

func plainSquaredL2Int8(a, b []int8) int32 {
	s := int32(0)
	for i, x := range a {
		d := int32(x) - int32(b[i])
		s += d * d
	}
	return s
}
