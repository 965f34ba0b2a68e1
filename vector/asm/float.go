package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumLanes is the number of running sums of the float32 kernels: number i is
// added to lane i mod sumLanes, and the lanes are folded by halving.
const sumLanes = 64

// A term is what one register of a query and one of a row add to a sum.
type term struct {
	name, doc string
	rowBytes  int    // of one number of a row
	row       string // Go type of the rows
	add       func(l level, q reg.VecVirtual, row Mem, acc reg.VecVirtual)
	addMasked func(q reg.VecVirtual, row Mem, k reg.OpmaskPhysical, acc reg.VecVirtual) // AVX-512: where k is set, q is zero elsewhere
	addPart   func(q reg.VecVirtual, row Mem, mask, acc reg.VecVirtual)                 // AVX2: the same; nil when it cannot
}

func addProduct(l level, q, row reg.VecVirtual, acc reg.VecVirtual) {
	VMULPS(q, row, row)
	VADDPS(row, acc, acc)
}

func addSquare(l level, q, row reg.VecVirtual, acc reg.VecVirtual) {
	VSUBPS(row, q, row)
	VMULPS(row, row, row)
	VADDPS(row, acc, acc)
}

var terms = []term{
	{
		name: "dots", doc: "inner products", rowBytes: 4, row: "float32",
		add: func(l level, q reg.VecVirtual, row Mem, acc reg.VecVirtual) {
			t := l.vec()
			VMULPS(row, q, t)
			VADDPS(t, acc, acc)
		},
		addMasked: func(q reg.VecVirtual, row Mem, k reg.OpmaskPhysical, acc reg.VecVirtual) {
			t := ZMM()
			VMOVUPS_Z(row, k, t)
			addProduct(avx512, q, t, acc)
		},
		addPart: func(q reg.VecVirtual, row Mem, mask, acc reg.VecVirtual) {
			t := YMM()
			VMASKMOVPS(row, mask, t)
			addProduct(avx2, q, t, acc)
		},
	},
	{
		name: "squares", doc: "squared distances", rowBytes: 4, row: "float32",
		add: func(l level, q reg.VecVirtual, row Mem, acc reg.VecVirtual) {
			t := l.vec()
			VSUBPS(row, q, t)
			VMULPS(t, t, t)
			VADDPS(t, acc, acc)
		},
		addMasked: func(q reg.VecVirtual, row Mem, k reg.OpmaskPhysical, acc reg.VecVirtual) {
			t := ZMM()
			VMOVUPS_Z(row, k, t)
			addSquare(avx512, q, t, acc)
		},
		addPart: func(q reg.VecVirtual, row Mem, mask, acc reg.VecVirtual) {
			t := YMM()
			VMASKMOVPS(row, mask, t)
			addSquare(avx2, q, t, acc)
		},
	},
	{
		name: "dotsMixed", doc: "inner products", rowBytes: 1, row: "int8",
		add: func(l level, q reg.VecVirtual, row Mem, acc reg.VecVirtual) {
			t := l.vec()
			VPMOVSXBD(row, t)
			VCVTDQ2PS(t, t)
			addProduct(l, q, t, acc)
		},
		addMasked: func(q reg.VecVirtual, row Mem, k reg.OpmaskPhysical, acc reg.VecVirtual) {
			t := ZMM()
			VPMOVSXBD_Z(row, k, t)
			VCVTDQ2PS(t, t)
			addProduct(avx512, q, t, acc)
		},
	},
}

func floatRows(l level) {
	for _, t := range terms {
		rest := ""
		if !l.wide() && t.addPart == nil {
			rest = " dim is a multiple of 8."
		}
		begin(t.name+l.name, label("%s%s writes to out the %s of q and each of n rows of dim.%s", t.name, l.name, t.doc, rest),
			label("func(q *float32, rows *%s, dim, n int, out *float32)", t.row))
		f := &floatKernel{level: l, term: t, q: ptr("q"), rows: ptr("rows"), dim: ptr("dim"), n: ptr("n"), out: ptr("out")}
		f.prepare()
		if l.wide() {
			f.rowsOf(4)
		}
		f.rowsOf(1)
		end()
	}
}

type floatKernel struct {
	level
	term
	q, rows, dim, n, out reg.GPVirtual
	stride, tail         reg.GPVirtual
}

var masks = []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}

// prepare works out the stride, the numbers beyond the last whole block, and
// for AVX-512 the masks that select them.
func (f *floatKernel) prepare() {
	f.stride, f.tail = GP64(), GP64()
	MOVQ(f.dim, f.stride)
	if f.rowBytes == 4 {
		SHLQ(Imm(2), f.stride)
	}
	MOVQ(f.dim, f.tail)
	ANDQ(Imm(sumLanes-1), f.tail)
	if !f.wide() {
		return
	}
	all := GP64()
	MOVQ(I32(-1), all)
	BZHIQ(f.tail, all, all)
	for i, k := range masks {
		if i > 0 {
			SHRQ(Imm(16), all)
		}
		KMOVW(all.As32(), k)
	}
}

// rowsOf handles n rows at once, as long as there are n.
func (f *floatKernel) rowsOf(n int) {
	name := label("rows%d", n)
	repeat(name, f.n, n, func() {
		acc := make([][]reg.VecVirtual, n)
		for r := range acc {
			acc[r] = f.vecs(sumLanes / f.lanes)
			zero(acc[r]...)
		}
		rows, q, left := newRows(f.rows, f.stride, n), GP64(), GP64()
		MOVQ(f.q, q)
		MOVQ(f.dim, left)
		var next *ahead
		if n > 1 && f.rowBytes == 1 {
			next = newAhead(f.rows)
		}
		repeat(name+"Block", left, sumLanes, func() {
			if next != nil {
				next.fetch(n * sumLanes)
			}
			f.block(acc, rows, q)
		})
		TESTQ(left, left)
		JZ(LabelRef(name + "Fold"))
		f.tailOf(name, acc, rows, q, left)
		Label(name + "Fold")
		f.fold(acc)
		for range n {
			ADDQ(f.stride, f.rows)
		}
		ADDQ(I32(4*n), f.out)
	})
}

// block adds sumLanes numbers of each row; a register of the query serves all.
func (f *floatKernel) block(acc [][]reg.VecVirtual, rows rowsAt, q reg.GPVirtual) {
	for v := range acc[0] {
		x := f.vec()
		VMOVUPS(Mem{Base: q, Disp: v * f.lanes * 4}, x)
		for r := range acc {
			f.add(f.level, x, rows.mem(r, v*f.lanes*f.rowBytes), acc[r][v])
		}
	}
	ADDQ(I32(sumLanes*4), q)
	rows.advance(sumLanes * f.rowBytes)
}

func (f *floatKernel) tailOf(name string, acc [][]reg.VecVirtual, rows rowsAt, q, left reg.GPVirtual) {
	if f.wide() {
		for v, k := range masks {
			x := ZMM()
			VMOVUPS_Z(Mem{Base: q, Disp: v * 64}, k, x)
			for r := range acc {
				f.addMasked(x, rows.mem(r, v*16*f.rowBytes), k, acc[r][v])
			}
		}
		return
	}
	for v := range acc[0] {
		part := label("%sPart%d", name, v)
		CMPQ(left, Imm(8))
		JL(LabelRef(part))
		x := YMM()
		VMOVUPS(Mem{Base: q, Disp: v * 32}, x)
		f.add(f.level, x, rows.mem(0, v*8*f.rowBytes), acc[0][v])
		SUBQ(I32(8), left)
		JZ(LabelRef(name + "Fold"))
	}
	for v := range acc[0] {
		Label(label("%sPart%d", name, v))
		if f.addPart != nil {
			f.part(v, acc[0][v], rows, q, left)
		}
		JMP(LabelRef(name + "Fold"))
	}
}

// part adds fewer than 8 numbers.
func (f *floatKernel) part(v int, acc reg.VecVirtual, rows rowsAt, q, left reg.GPVirtual) {
	mask, x := YMM(), YMM()
	firstLanes(mask, left)
	VMASKMOVPS(Mem{Base: q, Disp: v * 32}, mask, x)
	f.addPart(x, rows.mem(0, v*8*f.rowBytes), mask, acc)
}

// firstLanes makes a mask for the first n of 8 numbers, n from 0 to 8.
func firstLanes(mask reg.VecVirtual, n reg.GPVirtual) {
	table, back := GP64(), GP64()
	LEAQ(windowSymbol(), table)
	MOVQ(n, back)
	NEGQ(back)
	VMOVDQU(Mem{Base: table, Index: back, Scale: 4, Disp: 32}, mask)
}

// fold adds up the lanes by halving and writes one sum a row.
func (f *floatKernel) fold(acc [][]reg.VecVirtual) {
	last := make([]reg.VecVirtual, len(acc))
	for r, a := range acc {
		for half := len(a) / 2; half > 0; half /= 2 {
			for i := range half {
				VADDPS(a[i+half], a[i], a[i])
			}
		}
		last[r] = a[0]
		four := XMM()
		if f.wide() {
			high := YMM()
			VEXTRACTF64X4(Imm(1), a[0], high)
			VADDPS(high, a[0].AsY(), a[0].AsY())
			VEXTRACTF32X4(Imm(1), a[0].AsY(), four) // VEXTRACTF128 has no registers above 15
		} else {
			VEXTRACTF128(Imm(1), a[0].AsY(), four)
		}
		VADDPS(four, a[0].AsX(), a[0].AsX())
	}
	if len(acc) == 1 {
		foldFour(last[0].AsX())
		VMOVSS(last[0].AsX(), Mem{Base: f.out})
		return
	}
	VMOVUPS(foldFourOfFour(last), Mem{Base: f.out})
}

// foldFour makes (0+2)+(1+3) of a register of four.
func foldFour(x reg.Register) {
	t := XMM()
	VMOVHLPS(x, x, t)
	VADDPS(t, x, x)
	VMOVSHDUP(x, t)
	VADDSS(t, x, x)
}

// foldFourOfFour does the same for four registers at once.
func foldFourOfFour(v []reg.VecVirtual) reg.Register {
	pair := func(a, b reg.VecVirtual) reg.VecVirtual {
		low, high := XMM(), XMM()
		VUNPCKLPS(b.AsX(), a.AsX(), low)  // a0 b0 a1 b1
		VUNPCKHPS(b.AsX(), a.AsX(), high) // a2 b2 a3 b3
		VADDPS(high, low, low)
		return low
	}
	ab, cd := pair(v[0], v[1]), pair(v[2], v[3])
	even, odd := XMM(), XMM()
	VMOVLHPS(cd, ab, even)
	VMOVHLPS(ab, cd, odd)
	VADDPS(odd, even, even)
	return even
}
