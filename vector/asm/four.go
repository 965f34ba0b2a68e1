package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	fourSignature = "func(q *int8, codes *uint8, dim, n int, out *int32)"
	fourDoc       = "%s writes to out the inner products of q and n codes of 4 bits a number; dim is a multiple of 64. 64 bytes of a code hold 128 numbers, the first half in their low bits; the last 32 bytes of an odd multiple hold 64 so."
)

// fourAVX512 splits 64 bytes of a code into two times 64 numbers from 0 to 15,
// which are the side of VPDPBUSD that has no sign. Four codes at once share the
// query.
func fourAVX512() {
	begin("fourDotsAVX512", label(fourDoc, "fourDotsAVX512"), fourSignature)
	k := newFourKernel()
	low := ZMM()
	VMOVDQU32(constant("nibbles"), low)
	half := GP64()
	MOVQ(U64(1<<32-1), half)
	KMOVQ(half, reg.K1)
	for _, n := range []int{4, 1} {
		k.codesOf(n, low)
	}
	end()
}

type fourKernel struct {
	q, codes, dim, n, out, stride reg.GPVirtual
}

func newFourKernel() *fourKernel {
	k := &fourKernel{q: ptr("q"), codes: ptr("codes"), dim: ptr("dim"), n: ptr("n"), out: ptr("out"), stride: GP64()}
	MOVQ(k.dim, k.stride)
	SHRQ(Imm(1), k.stride)
	return k
}

func (k *fourKernel) codesOf(n int, low reg.VecVirtual) {
	name := label("codes%d", n)
	repeat(name, k.n, n, func() {
		acc, more := avx512.vecs(n), avx512.vecs(n)
		zero(acc...)
		zero(more...)
		rows, q, left := newRows(k.codes, k.stride, n), GP64(), GP64()
		MOVQ(k.q, q)
		MOVQ(k.dim, left)
		var next *ahead
		if n > 1 {
			next = newAhead(k.codes)
		}
		step := func(load func(m Mem) reg.VecVirtual, upper int) {
			x, y := load(Mem{Base: q}), load(Mem{Base: q, Disp: upper})
			for r := range n {
				t, u := load(rows.mem(r, 0)), ZMM()
				VPSRLW(Imm(4), t, u)
				VPANDD(low, t, t)
				VPANDD(low, u, u)
				VPDPBUSD(x, t, acc[r])
				VPDPBUSD(y, u, more[r])
			}
		}
		repeat(name+"Block", left, 128, func() {
			if next != nil {
				next.fetch(n * 64)
			}
			step(func(m Mem) reg.VecVirtual {
				z := ZMM()
				VMOVDQU32(m, z)
				return z
			}, 64)
			ADDQ(I32(128), q)
			rows.advance(64)
		})
		TESTQ(left, left)
		JZ(LabelRef(name + "Fold"))
		step(func(m Mem) reg.VecVirtual {
			z := ZMM()
			VMOVDQU8_Z(m, reg.K1, z)
			return z
		}, 32)
		Label(name + "Fold")
		for r := range n {
			VPADDD(more[r], acc[r], acc[r])
		}
		if n == 1 {
			foldInt32Wide(acc[0])
			VMOVD(acc[0].AsX(), Mem{Base: k.out})
		} else {
			VMOVDQU(foldFourInt32(acc), Mem{Base: k.out})
		}
		for range n {
			ADDQ(k.stride, k.codes)
		}
		ADDQ(I32(4*n), k.out)
	})
}

// fourAVX2 adds up pairs of products in 16 bits with VPMADDUBSW: four times two
// products of at most 15*128 do not saturate.
func fourAVX2() {
	begin("fourDotsAVX2", label(fourDoc, "fourDotsAVX2"), fourSignature)
	k := newFourKernel()
	low, ones := YMM(), YMM()
	VMOVDQU(constant("nibbles"), low)
	VMOVDQU(constant("ones16"), ones)
	repeat("codes", k.n, 1, func() {
		acc := YMM()
		zero(acc)
		q, left := GP64(), GP64()
		MOVQ(k.q, q)
		MOVQ(k.dim, left)
		step := func(code, lower, upper int) reg.VecVirtual {
			t, u := YMM(), YMM()
			VMOVDQU(Mem{Base: k.codes, Disp: code}, t)
			VPSRLW(Imm(4), t, u)
			VPAND(low, t, t)
			VPAND(low, u, u)
			VPMADDUBSW(Mem{Base: q, Disp: lower}, t, t)
			VPMADDUBSW(Mem{Base: q, Disp: upper}, u, u)
			VPADDW(u, t, t)
			return t
		}
		add := func(t reg.VecVirtual) {
			VPMADDWD(ones, t, t)
			VPADDD(t, acc, acc)
		}
		repeat("block", left, 128, func() {
			t := step(0, 0, 64)
			VPADDW(step(32, 32, 96), t, t)
			add(t)
			ADDQ(I32(128), q)
			ADDQ(I32(64), k.codes)
		})
		repeat("half", left, 64, func() {
			add(step(0, 0, 32))
			ADDQ(I32(32), k.codes)
		})
		foldInt32(acc)
		VMOVD(acc.AsX(), Mem{Base: k.out})
		ADDQ(I32(4), k.out)
	})
	end()
}
