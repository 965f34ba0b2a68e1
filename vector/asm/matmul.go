package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const matMulInt8Signature = "func(dst *int32, dstStride int, a *uint8, aStride int, b *int8, groups int)"

// matMulInt8AVX512 multiplies 1 to 6 rows of a with a panel of 64 rows of b:
// 24 sums stay in registers while each group of 4 numbers is read once, and a
// group of a is spread over a register for 4 multiplications.
func matMulInt8AVX512() {
	for m := 1; m <= 6; m++ {
		name := label("matMulInt8x%dAVX512", m)
		begin(name, label("%s multiplies %d rows of groups*4 bytes with a panel of 64 packed rows; strides are in bytes.", name, m), matMulInt8Signature)
		dst, dstStride, aStride, b, groups := ptr("dst"), ptr("dstStride"), ptr("aStride"), ptr("b"), ptr("groups")
		a := newRows(ptr("a"), aStride, m)
		acc := make([][]reg.VecVirtual, m)
		for i := range acc {
			acc[i] = avx512.vecs(4)
			zero(acc[i]...)
		}
		repeat("group", groups, 1, func() {
			col := avx512.vecs(4)
			for v := range col {
				VMOVDQU32(Mem{Base: b, Disp: 64 * v}, col[v])
			}
			for i := range acc {
				x := ZMM()
				VPBROADCASTD(a.mem(i, 0), x)
				for v := range col {
					VPDPBUSD(col[v], x, acc[i][v])
				}
			}
			ADDQ(I32(256), b)
			a.advance(4)
		})
		to := newRows(dst, dstStride, m)
		for i := range acc {
			for v := range acc[i] {
				VMOVDQU32(acc[i][v], to.mem(i, 64*v))
			}
		}
		end()
	}
}

// matMulInt8AVX2 multiplies 1 or 2 rows of a with 16 rows of a panel, widened to
// 16 bits: VPMADDUBSW would saturate.
func matMulInt8AVX2() {
	for m := 1; m <= 2; m++ {
		name := label("matMulInt8x%dAVX2", m)
		begin(name, label("%s multiplies %d rows of groups*4 bytes with 16 rows of a packed panel; strides are in bytes.", name, m), matMulInt8Signature)
		dst, dstStride, aStride, b, groups := ptr("dst"), ptr("dstStride"), ptr("aStride"), ptr("b"), ptr("groups")
		a := newRows(ptr("a"), aStride, m)
		acc := make([][]reg.VecVirtual, m)
		for i := range acc {
			acc[i] = avx2.vecs(4)
			zero(acc[i]...)
		}
		repeat("group", groups, 1, func() {
			x := avx2.vecs(m)
			for i := range x {
				VPBROADCASTD(a.mem(i, 0), x[i].AsX())
				VPMOVZXBW(x[i].AsX(), x[i])
			}
			for v := range 4 {
				col := YMM()
				VPMOVSXBW(Mem{Base: b, Disp: 16 * v}, col) // 4 rows of 4
				for i := range x {
					t := YMM()
					VPMADDWD(col, x[i], t)
					VPADDD(t, acc[i][v], acc[i][v])
				}
			}
			ADDQ(I32(256), b)
			a.advance(4)
		})
		to := newRows(dst, dstStride, m)
		for i := range acc {
			for v := 0; v < 4; v += 2 {
				// Each of 4 rows has two sums side by side.
				VPHADDD(acc[i][v+1], acc[i][v], acc[i][v])
				VPERMQ(Imm(0xd8), acc[i][v], acc[i][v])
				VMOVDQU(acc[i][v], to.mem(i, 16*v))
			}
		}
		end()
	}
}

const matMulFloat32Signature = "func(dst *float32, dstStride int, a *float32, aStride int, b *float32, bStride, k, columns int)"

// matMulFloat32AVX512 multiplies m rows of a with up to 32 columns of b. Each sum
// has one register lane and is added in ascending order.
func matMulFloat32AVX512() {
	for _, m := range []int{8, 4, 1} {
		name := label("matMulFloat32x%dAVX512", m)
		begin(name, label("%s multiplies %d rows of k numbers with 1 to 32 columns of b; strides are in bytes.", name, m), matMulFloat32Signature)
		dst, dstStride, aStride, b, bStride, k := ptr("dst"), ptr("dstStride"), ptr("aStride"), ptr("b"), ptr("bStride"), ptr("k")
		columns, all := ptr("columns"), GP64()
		MOVQ(I32(-1), all)
		BZHIQ(columns, all, all)
		KMOVW(all.As32(), reg.K1)
		SHRQ(Imm(16), all)
		KMOVW(all.As32(), reg.K2)
		a := newRows(ptr("a"), aStride, m)
		acc := make([][]reg.VecVirtual, m)
		for i := range acc {
			acc[i] = avx512.vecs(2)
			zero(acc[i]...)
		}
		repeat("step", k, 1, func() {
			col := avx512.vecs(2)
			VMOVUPS_Z(Mem{Base: b}, reg.K1, col[0])
			VMOVUPS_Z(Mem{Base: b, Disp: 64}, reg.K2, col[1])
			for i := range acc {
				x := ZMM()
				VBROADCASTSS(a.mem(i, 0), x)
				for v := range col {
					t := ZMM()
					VMULPS(col[v], x, t)
					VADDPS(t, acc[i][v], acc[i][v])
				}
			}
			ADDQ(bStride, b)
			a.advance(4)
		})
		to := newRows(dst, dstStride, m)
		for i := range acc {
			VMOVUPS(acc[i][0], reg.K1, to.mem(i, 0))
			VMOVUPS(acc[i][1], reg.K2, to.mem(i, 64))
		}
		end()
	}
}

// matMulFloat32AVX2 does the same with up to 16 columns.
func matMulFloat32AVX2() {
	for _, m := range []int{4, 1} {
		name := label("matMulFloat32x%dAVX2", m)
		begin(name, label("%s multiplies %d rows of k numbers with 1 to 16 columns of b; strides are in bytes.", name, m), matMulFloat32Signature)
		dst, dstStride, aStride, b, bStride, k := ptr("dst"), ptr("dstStride"), ptr("aStride"), ptr("b"), ptr("bStride"), ptr("k")
		columns, some, none := ptr("columns"), GP64(), GP64()
		mask := avx2.vecs(2)
		for v := range mask { // the part of columns that is in register v, from 0 to 8
			MOVQ(columns, some)
			if v == 1 {
				SUBQ(I32(8), some)
				MOVQ(U64(0), none)
				CMOVQLT(none, some)
			}
			eight := GP64()
			MOVQ(U64(8), eight)
			CMPQ(some, eight)
			CMOVQGT(eight, some)
			firstLanes(mask[v], some)
		}
		a := newRows(ptr("a"), aStride, m)
		acc := make([][]reg.VecVirtual, m)
		for i := range acc {
			acc[i] = avx2.vecs(2)
			zero(acc[i]...)
		}
		repeat("step", k, 1, func() {
			col := avx2.vecs(2)
			VMASKMOVPS(Mem{Base: b}, mask[0], col[0])
			VMASKMOVPS(Mem{Base: b, Disp: 32}, mask[1], col[1])
			for i := range acc {
				x := YMM()
				VBROADCASTSS(a.mem(i, 0), x)
				for v := range col {
					t := YMM()
					VMULPS(col[v], x, t)
					VADDPS(t, acc[i][v], acc[i][v])
				}
			}
			ADDQ(bStride, b)
			a.advance(4)
		})
		to := newRows(dst, dstStride, m)
		for i := range acc {
			VMASKMOVPS(acc[i][0], mask[0], to.mem(i, 0))
			VMASKMOVPS(acc[i][1], mask[1], to.mem(i, 32))
		}
		end()
	}
}
