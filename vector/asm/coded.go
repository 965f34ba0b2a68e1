package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const codedShift = 10 // as in package vector

// keysAVX512 compares four rows at a time and asks for the four after them
// meanwhile, line by line. A row is made unsigned as in the other kernels.
func keysAVX512() {
	begin("keysAVX512", "keysAVX512 writes to out the keys of the n rows whose numbers are in at, see CodedRows; n is a multiple of 4 and above 0, stride of 64.",
		"func(q *int8, codes *[]int8, factors *[]uint64, at *uint32, n, stride int, factor float32, out *float32)")
	k := &keysKernel{q: ptr("q"), at: ptr("at"), n: ptr("n"), out: ptr("out"), off: GP64(), tmp: GP64()}
	k.flip, k.start, k.factor = ZMM(), XMM(), XMM()
	VMOVDQU32(constant("flip"), k.flip)
	k.sumQuery()
	VBROADCASTSS(parameter("factor"), k.factor)
	for range 4 {
		k.rows = append(k.rows, GP64())
		k.next = append(k.next, GP64())
		k.fact = append(k.fact, XMM())
		k.nextFact = append(k.nextFact, XMM())
	}
	k.resolve(0, k.rows, k.fact)
	Label("group")
	CMPQ(k.n, Imm(4))
	JLE(LabelRef("last"))
	k.resolve(16, k.next, k.nextFact)
	k.products("ahead", true)
	k.finish()
	for i := range 4 {
		MOVQ(k.next[i], k.rows[i])
		VMOVAPS(k.nextFact[i], k.fact[i])
	}
	ADDQ(Imm(16), k.at)
	ADDQ(Imm(16), k.out)
	SUBQ(Imm(4), k.n)
	JMP(LabelRef("group"))
	Label("last")
	k.products("end", false)
	k.finish()
	end()
}

type keysKernel struct {
	q, at, n, out, off, tmp reg.GPVirtual
	rows, next              []reg.GPVirtual
	fact, nextFact          []reg.VecVirtual
	flip, start, factor     reg.VecVirtual
	acc                     []reg.VecVirtual
}

func (k *keysKernel) stride() Mem { return parameter("stride") }

// sumQuery makes start -128 times the sum of the query, four times.
func (k *keysKernel) sumQuery() {
	sum, ones := ZMM(), ZMM()
	zero(sum)
	VMOVDQU32(constant("ones"), ones)
	XORQ(k.off, k.off)
	Label("sum")
	VPDPBUSD(Mem{Base: k.q, Index: k.off, Scale: 1}, ones, sum)
	ADDQ(I32(64), k.off)
	CMPQ(k.off, k.stride())
	JL(LabelRef("sum"))
	foldInt32Wide(sum)
	VPBROADCASTD(sum.AsX(), k.start)
	VPSLLD(Imm(7), k.start, k.start)
	none := ZMM()
	zero(none)
	VPSUBD(k.start, none.AsX(), k.start)
}

// resolve finds where four rows lie, and loads their factors.
func (k *keysKernel) resolve(at int, rows []reg.GPVirtual, fact []reg.VecVirtual) {
	for i, row := range rows {
		MOVL(Mem{Base: k.at, Disp: at + 4*i}, row.As32())
		MOVQ(row, k.off)
		SHRQ(Imm(codedShift), k.off)
		LEAQ(Mem{Base: k.off, Index: k.off, Scale: 2}, k.off) // slices are 24 bytes
		ANDQ(I32(1<<codedShift-1), row)
		MOVQ(parameter("factors"), k.tmp)
		MOVQ(Mem{Base: k.tmp, Index: k.off, Scale: 8}, k.tmp)
		VMOVQ(Mem{Base: k.tmp, Index: row, Scale: 8}, fact[i])
		IMULQ(k.stride(), row)
		MOVQ(parameter("codes"), k.tmp)
		ADDQ(Mem{Base: k.tmp, Index: k.off, Scale: 8}, row)
	}
}

// products adds up 64 bytes of each row a step, in two sums a row.
func (k *keysKernel) products(name string, ahead bool) {
	k.acc = avx512.vecs(8)
	zero(k.acc...)
	XORQ(k.off, k.off)
	MOVQ(k.stride(), k.tmp)
	SUBQ(I32(64), k.tmp)
	Label(name)
	CMPQ(k.off, k.tmp)
	JGE(LabelRef(name + "Odd"))
	k.step(0, k.acc[:4], ahead)
	k.step(64, k.acc[4:], ahead)
	ADDQ(I32(128), k.off)
	JMP(LabelRef(name))
	Label(name + "Odd")
	JG(LabelRef(name + "Done"))
	k.step(0, k.acc[:4], ahead)
	Label(name + "Done")
}

func (k *keysKernel) step(disp int, acc []reg.VecVirtual, ahead bool) {
	x := ZMM()
	VMOVDQU32(Mem{Base: k.q, Index: k.off, Scale: 1, Disp: disp}, x)
	for r := range acc {
		if ahead {
			PREFETCHT0(Mem{Base: k.next[r], Index: k.off, Scale: 1, Disp: disp})
		}
		t := ZMM()
		VPXORD(Mem{Base: k.rows[r], Index: k.off, Scale: 1, Disp: disp}, k.flip, t)
		VPDPBUSD(x, t, acc[r])
	}
}

// fold adds up four registers of 16 into four numbers, as foldFourInt32 does, with
// instructions that know all 32 registers.
func (k *keysKernel) fold() reg.Register {
	pairs := func(a, b reg.VecVirtual) reg.VecVirtual { // a b a b in each quarter
		low, high := ZMM(), ZMM()
		VPUNPCKLDQ(b, a, low)
		VPUNPCKHDQ(b, a, high)
		VPADDD(high, low, low)
		return low
	}
	ab, cd := pairs(k.acc[0], k.acc[1]), pairs(k.acc[2], k.acc[3])
	low, high, half, quarter := ZMM(), ZMM(), YMM(), XMM()
	VPUNPCKLQDQ(cd, ab, low)
	VPUNPCKHQDQ(cd, ab, high)
	VPADDD(high, low, low)
	VEXTRACTI64X4(Imm(1), low, half)
	VPADDD(half, low.AsY(), half)
	VEXTRACTI32X4(Imm(1), half, quarter)
	VPADDD(quarter, half.AsX(), quarter)
	return quarter
}

// finish makes the keys of four sums.
func (k *keysKernel) finish() {
	for r := range 4 {
		VPADDD(k.acc[4+r], k.acc[r], k.acc[r])
	}
	dots := k.fold()
	keys := XMM()
	VPADDD(dots, k.start, keys)
	VCVTDQ2PS(keys, keys)
	low, high, scales, biases := XMM(), XMM(), XMM(), XMM()
	VUNPCKLPS(k.fact[1], k.fact[0], low)
	VUNPCKLPS(k.fact[3], k.fact[2], high)
	VMOVLHPS(high, low, scales)
	VMOVHLPS(low, high, biases)
	VMULPS(scales, keys, keys)
	VMULPS(k.factor, keys, keys)
	VADDPS(keys, biases, keys)
	VMOVUPS(keys, Mem{Base: k.out})
}

// fetch asks for lines of memory.
func fetch() {
	TEXT("fetch", NOSPLIT, "func(at *uint32, bytes int)")
	Pragma("noescape")
	Doc("fetch asks for the lines of memory from at on, a line for each 64 bytes.")
	at, n := ptr("at"), ptr("bytes")
	repeat("line", n, 64, func() {
		PREFETCHT0(Mem{Base: at})
		ADDQ(I32(64), at)
	})
	RET()
}
