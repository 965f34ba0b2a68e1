package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bitsAVX512 counts the bits that a code shares with each of four planes, and
// weighs them 1, 2, 4, 8. Eight codes at once, so that their sums are added up
// together.
func bitsAVX512() {
	begin("bitSumsAVX512", "bitSumsAVX512 writes to out the sum over the four planes p of 2^p times the bits that the plane and the code share; the planes lie one after the other, words*8 bytes each, as do the n codes.",
		"func(planes, codes *uint64, words, n int, out *int32)")
	b := newBitKernel()
	b.codesOf(8, func(sums reg.VecVirtual) { VPMOVQD(sums, Mem{Base: b.out}) })
	b.codesOf(1, func(sums reg.VecVirtual) {
		b.foldOne(sums)
		VMOVD(sums.AsX(), Mem{Base: b.out})
	})
	end()

	begin("bitEstimatesAVX512", "bitEstimatesAVX512 writes to out the estimates that BitQuery.finish makes of the sums of bitSumsAVX512, with step and low already doubled; n is a multiple of 8 and each code has four factors.",
		"func(planes, codes *uint64, words, n int, factors, out *float32, step, low, sum float32)")
	b = newBitKernel()
	f := newFinish()
	b.codesOf(8, func(sums reg.VecVirtual) { f.finish(sums, b.out) })
	end()
}

func newBitKernel() *bitKernel {
	b := &bitKernel{planes: ptr("planes"), codes: ptr("codes"), words: ptr("words"), n: ptr("n"), out: ptr("out"), stride: GP64()}
	MOVQ(b.words, b.stride)
	SHLQ(Imm(3), b.stride)
	tail, all := GP64(), GP64()
	MOVQ(b.words, tail)
	ANDQ(I32(7), tail)
	MOVQ(I32(-1), all)
	BZHIQ(tail, all, all)
	KMOVW(all.As32(), reg.K1)
	return b
}

// finish makes estimates of sums, with the factors of 8 codes in two registers.
type finish struct {
	factors          reg.GPVirtual
	scales, ones     reg.VecVirtual // which numbers of the two registers they are
	step, low, total reg.VecVirtual
}

func newFinish() *finish {
	f := &finish{factors: ptr("factors"), scales: ZMM(), ones: ZMM(), step: YMM(), low: YMM(), total: YMM()}
	VMOVDQU32(constant("scales"), f.scales)
	VMOVDQU32(constant("onesAt"), f.ones)
	VBROADCASTSS(parameter("step"), f.step)
	VBROADCASTSS(parameter("low"), f.low)
	VBROADCASTSS(parameter("sum"), f.total)
	return f
}

func (f *finish) finish(sums reg.VecVirtual, out reg.GPVirtual) {
	signed, second := YMM(), ZMM()
	VPMOVQD(sums, signed)
	VCVTDQ2PS(signed, signed)
	VMULPS(f.step, signed, signed)
	VMOVUPS(Mem{Base: f.factors, Disp: 64}, second)
	pick := func(which reg.VecVirtual) reg.VecVirtual {
		z := ZMM()
		VMOVDQA32(which, z)
		first := ZMM()
		VMOVUPS(Mem{Base: f.factors}, first)
		VPERMI2PS(second, first, z)
		return z
	}
	ones := pick(f.ones)
	VMULPS(f.low, ones.AsY(), ones.AsY())
	VADDPS(ones.AsY(), signed, signed)
	VSUBPS(f.total, signed, signed)
	scale := pick(f.scales)
	VMULPS(scale.AsY(), signed, signed)
	VMOVUPS(signed, Mem{Base: out})
	ADDQ(I32(128), f.factors)
}

// factorPlaces makes the constants that pick the scale and the ones of 8
// BitFactors of 4 numbers.
func factorPlaces() {
	for place, name := range []string{"scales", "", "onesAt"} {
		if name == "" {
			continue
		}
		table.symbols[name] = GLOBL(name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(uint32(place+4*(i%8))))
		}
	}
}

type bitKernel struct {
	planes, codes, words, n, out, stride reg.GPVirtual
}

// codesOf hands the sums of n codes at once to use, as long as there are n.
func (b *bitKernel) codesOf(n int, use func(sums reg.VecVirtual)) {
	name := label("codes%d", n)
	repeat(name, b.n, n, func() {
		acc := avx512.vecs(n)
		zero(acc...)
		codes, left := newRows(b.codes, b.stride, n), GP64()
		planes := newRows(b.planes, b.stride, 4)
		MOVQ(b.words, left)
		repeat(name+"Block", left, 8, func() {
			b.step(codes, planes, acc, false)
			planes.advance(64)
			codes.advance(64)
		})
		TESTQ(left, left)
		JZ(LabelRef(name + "Fold"))
		b.step(codes, planes, acc, true)
		Label(name + "Fold")
		if n == 8 {
			use(foldEight(acc))
		} else {
			use(acc[0])
		}
		for range n {
			ADDQ(b.stride, b.codes)
		}
		ADDQ(I32(4*n), b.out)
	})
}

// step adds what up to 8 words of each code share with the planes.
func (b *bitKernel) step(codes, planes rowsAt, acc []reg.VecVirtual, masked bool) {
	load := func(m Mem) reg.VecVirtual {
		z := ZMM()
		if masked {
			VMOVDQU64_Z(m, reg.K1, z)
		} else {
			VMOVDQU64(m, z)
		}
		return z
	}
	var plane [4]reg.VecVirtual
	for p := range plane {
		plane[p] = load(planes.mem(p, 0))
	}
	for i := range acc {
		code := load(codes.mem(i, 0))
		var count [4]reg.VecVirtual
		for p := range count {
			count[p] = ZMM()
			VPANDQ(plane[p], code, count[p])
			VPOPCNTQ(count[p], count[p])
		}
		// ((8's * 2 + 4's) * 2 + 2's) * 2 + 1's
		for p := 3; p > 0; p-- {
			VPADDQ(count[p], count[p], count[p])
			VPADDQ(count[p], count[p-1], count[p-1])
		}
		VPADDQ(count[0], acc[i], acc[i])
	}
}

// foldOne adds up the 8 numbers of a register into its first.
func (b *bitKernel) foldOne(z reg.VecVirtual) {
	y, x := YMM(), XMM()
	VEXTRACTI64X4(Imm(1), z, y)
	VPADDQ(y, z.AsY(), z.AsY())
	VEXTRACTI32X4(Imm(1), z.AsY(), x)
	VPADDQ(x, z.AsX(), z.AsX())
	VPSHUFD(Imm(0x4e), z.AsX(), x)
	VPADDQ(x, z.AsX(), z.AsX())
}

// foldEight adds up each of eight registers: the result has their sums in order.
func foldEight(v []reg.VecVirtual) reg.VecVirtual {
	pairs := make([]reg.VecVirtual, 4) // the two sums in each of four quarters
	for i := range pairs {
		low, high := ZMM(), ZMM()
		VPUNPCKLQDQ(v[2*i+1], v[2*i], low)
		VPUNPCKHQDQ(v[2*i+1], v[2*i], high)
		VPADDQ(high, low, low)
		pairs[i] = low
	}
	for len(pairs) > 1 {
		half := pairs[:len(pairs)/2]
		for i := range half {
			even, odd := ZMM(), ZMM()
			VSHUFI64X2(Imm(0x88), pairs[2*i+1], pairs[2*i], even)
			VSHUFI64X2(Imm(0xdd), pairs[2*i+1], pairs[2*i], odd)
			VPADDQ(odd, even, even)
			half[i] = even
		}
		pairs = half
	}
	return pairs[0]
}
