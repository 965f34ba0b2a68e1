package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const int8Signature = "func(q, rows *int8, dim, n int, out *int32)"

// int8RowsAVX2 widens to 16 bits and multiplies pairs, which is exact; the last
// dim mod 16 numbers of a row are taken one by one.
func int8RowsAVX2() {
	for _, squares := range []bool{false, true} {
		name, doc := "dotsInt8AVX2", "inner products"
		if squares {
			name, doc = "squaresInt8AVX2", "squared distances"
		}
		begin(name, label("%s writes the %s of q and n rows of dim to out.", name, doc), int8Signature)
		q, rows, dim, n, out := ptr("q"), ptr("rows"), ptr("dim"), ptr("n"), ptr("out")
		repeat("rows", n, 1, func() {
			acc := avx2.vecs(4)
			zero(acc...)
			x, left := GP64(), GP64()
			MOVQ(q, x)
			MOVQ(dim, left)
			step := func(i int) {
				a, b := YMM(), YMM()
				VPMOVSXBW(Mem{Base: x, Disp: 16 * i}, a)
				VPMOVSXBW(Mem{Base: rows, Disp: 16 * i}, b)
				if squares {
					VPSUBW(b, a, a)
					VPMADDWD(a, a, a)
				} else {
					VPMADDWD(b, a, a)
				}
				VPADDD(a, acc[i], acc[i])
			}
			block := func(steps int) func() {
				return func() {
					for i := range steps {
						step(i)
					}
					ADDQ(I32(16*steps), x)
					ADDQ(I32(16*steps), rows)
				}
			}
			repeat("block", left, 64, block(4))
			repeat("small", left, 16, block(1))
			VPADDD(acc[2], acc[0], acc[0])
			VPADDD(acc[3], acc[1], acc[1])
			VPADDD(acc[1], acc[0], acc[0])
			sum := GP32()
			foldInt32(acc[0].AsY())
			VMOVD(acc[0].AsX(), sum)
			repeat("one", left, 1, func() {
				a, b := GP32(), GP32()
				MOVBLSX(Mem{Base: x}, a)
				MOVBLSX(Mem{Base: rows}, b)
				if squares {
					SUBL(b, a)
					IMULL(a, a)
				} else {
					IMULL(b, a)
				}
				ADDL(a, sum)
				INCQ(x)
				INCQ(rows)
			})
			MOVL(sum, Mem{Base: out})
			ADDQ(I32(4), out)
		})
		end()
	}
}

// foldInt32 adds up the 8 numbers of a register into its first.
func foldInt32(y reg.Register) {
	t := XMM()
	x := y.(reg.VecVirtual).AsX()
	VEXTRACTI128(Imm(1), y, t)
	VPADDD(t, x, x)
	VPSHUFD(Imm(0x4e), x, t)
	VPADDD(t, x, x)
	VPSHUFD(Imm(0xb1), x, t)
	VPADDD(t, x, x)
}

func foldInt32Wide(z reg.VecVirtual) {
	high := YMM()
	VEXTRACTI64X4(Imm(1), z, high)
	VPADDD(high, z.AsY(), z.AsY())
	foldInt32(z.AsY())
}

// foldFourInt32 adds up four registers of 16 at once, into four numbers.
func foldFourInt32(v []reg.VecVirtual) reg.Register {
	for _, z := range v {
		high := YMM()
		VEXTRACTI64X4(Imm(1), z, high)
		VPADDD(high, z.AsY(), z.AsY())
	}
	ab, cd := YMM(), YMM()
	VPHADDD(v[1].AsY(), v[0].AsY(), ab)
	VPHADDD(v[3].AsY(), v[2].AsY(), cd)
	VPHADDD(cd, ab, ab) // a b c d in each half
	high := XMM()
	VEXTRACTI128(Imm(1), ab, high)
	VPADDD(high, ab.AsX(), ab.AsX())
	return ab.AsX()
}

// int8RowsAVX512 multiplies 64 bytes a step with VPDPBUSD, which takes one side
// unsigned: a row is made so by adding 128 (flipping its sign bit), and 128
// times the sum of the query is taken off at the end. Squares are of 16-bit
// differences, 32 a step.
func int8RowsAVX512() {
	begin("dotsInt8AVX512", "dotsInt8AVX512 writes the inner products of q and n rows of dim to out.", int8Signature)
	k := newInt8Kernel(64)
	k.flip = ZMM()
	VMOVDQU32(constant("flip"), k.flip)
	k.sumQuery()
	for _, n := range []int{4, 1} {
		k.rowsOf(n, k.dotStep)
	}
	end()

	begin("dotsInt8AtAVX512", "dotsInt8AtAVX512 writes to out the inner products of q and the n rows of dim whose numbers are in at.",
		"func(q, rows *int8, at *uint32, dim, n int, out *int32)")
	k = newInt8Kernel(64)
	k.at = ptr("at")
	k.flip = ZMM()
	VMOVDQU32(constant("flip"), k.flip)
	k.sumQuery()
	for _, n := range []int{4, 1} {
		k.rowsOf(n, k.dotStep)
	}
	end()

	begin("squaresInt8AVX512", "squaresInt8AVX512 writes the squared distances of q and n rows of dim to out.", int8Signature)
	k = newInt8Kernel(32)
	for _, n := range []int{4, 1} {
		k.rowsOf(n, k.squareStep)
	}
	end()
}

type int8Kernel struct {
	q, rows, dim, n, out reg.GPVirtual
	at                   reg.GPVirtual // numbers of the rows, nil for all in order
	width                int           // bytes of a step
	flip, start          reg.VecVirtual
}

// newInt8Kernel loads the parameters, and makes K1 select the bytes beyond the
// last whole step.
func newInt8Kernel(width int) *int8Kernel {
	k := &int8Kernel{q: ptr("q"), rows: ptr("rows"), dim: ptr("dim"), n: ptr("n"), out: ptr("out"), width: width}
	tail, all := GP64(), GP64()
	MOVQ(k.dim, tail)
	ANDQ(I32(width-1), tail)
	MOVQ(I32(-1), all)
	BZHIQ(tail, all, all)
	KMOVQ(all, reg.K1)
	return k
}

// sumQuery makes start the lanes of -128 times the sum of the query.
func (k *int8Kernel) sumQuery() {
	k.start = ZMM()
	ones, q, left := ZMM(), GP64(), GP64()
	zero(k.start)
	VMOVDQU32(constant("ones"), ones)
	MOVQ(k.q, q)
	MOVQ(k.dim, left)
	repeat("sum", left, 64, func() {
		VPDPBUSD(Mem{Base: q}, ones, k.start)
		ADDQ(I32(64), q)
	})
	last := ZMM()
	VMOVDQU8_Z(Mem{Base: q}, reg.K1, last)
	VPDPBUSD(last, ones, k.start)
	VPSLLD(Imm(7), k.start, k.start)
	none := ZMM()
	zero(none)
	VPSUBD(k.start, none, k.start)
}

func (k *int8Kernel) dotStep(rows rowsAt, q reg.GPVirtual, at int, masked bool, acc []reg.VecVirtual) {
	x := ZMM()
	k.load(Mem{Base: q, Disp: at}, masked, x)
	for r := range acc {
		t := ZMM()
		if masked {
			VMOVDQU8_Z(rows.mem(r, at), reg.K1, t)
			VPXORD(k.flip, t, t)
		} else {
			VPXORD(rows.mem(r, at), k.flip, t)
		}
		VPDPBUSD(x, t, acc[r])
	}
}

func (k *int8Kernel) load(m Mem, masked bool, x reg.VecVirtual) {
	if masked {
		VMOVDQU8_Z(m, reg.K1, x)
		return
	}
	VMOVDQU32(m, x)
}

func (k *int8Kernel) squareStep(rows rowsAt, q reg.GPVirtual, at int, masked bool, acc []reg.VecVirtual) {
	widened := func(m Mem) reg.VecVirtual {
		x := ZMM()
		if masked {
			VPMOVSXBW_Z(m, reg.K1, x)
		} else {
			VPMOVSXBW(m, x)
		}
		return x
	}
	x := widened(Mem{Base: q, Disp: at})
	for r := range acc {
		t := widened(rows.mem(r, at))
		VPSUBW(t, x, t)
		VPDPWSSD(t, t, acc[r])
	}
}

type int8Step func(rows rowsAt, q reg.GPVirtual, at int, masked bool, acc []reg.VecVirtual)

// rowsOf handles n rows at once, as long as there are n. Each has several sums,
// so that a multiplication need not wait for the one before.
func (k *int8Kernel) rowsOf(n int, step int8Step) {
	name, deep := label("rows%d", n), 8/n
	if n == 1 {
		deep = 4
	}
	repeat(name, k.n, n, func() {
		acc := make([][]reg.VecVirtual, deep)
		for d := range acc {
			acc[d] = avx512.vecs(n)
			zero(acc[d]...)
		}
		if k.start != nil {
			for r := range n {
				VMOVDQA32(k.start, acc[0][r])
			}
		}
		rows, q, left := k.firstRows(n), GP64(), GP64()
		MOVQ(k.q, q)
		MOVQ(k.dim, left)
		var next *ahead
		if n > 1 && k.at == nil {
			next = newAhead(k.rows)
		}
		block := func(d int) func() {
			return func() {
				if next != nil {
					next.fetch(n * d * k.width)
				}
				for i := range d {
					step(rows, q, i*k.width, false, acc[i])
				}
				ADDQ(I32(d*k.width), q)
				rows.advance(d * k.width)
			}
		}
		repeat(name+"Block", left, deep*k.width, block(deep))
		repeat(name+"Small", left, k.width, block(1))
		TESTQ(left, left)
		JZ(LabelRef(name + "Fold"))
		step(rows, q, 0, true, acc[0])
		Label(name + "Fold")
		k.fold(acc)
		if k.at == nil {
			for range n {
				ADDQ(k.dim, k.rows)
			}
		} else {
			ADDQ(I32(4*n), k.at)
		}
		ADDQ(I32(4*n), k.out)
	})
}

// firstRows are the next n rows.
func (k *int8Kernel) firstRows(n int) rowsAt {
	if k.at == nil {
		return newRows(k.rows, k.dim, n)
	}
	var r rowsAt
	for i := range n {
		b := GP64()
		MOVL(Mem{Base: k.at, Disp: 4 * i}, b.As32())
		IMULQ(k.dim, b)
		ADDQ(k.rows, b)
		r.bases = append(r.bases, b)
	}
	return r
}

func (k *int8Kernel) fold(acc [][]reg.VecVirtual) {
	for half := len(acc) / 2; half > 0; half /= 2 {
		for d := range half {
			for r := range acc[d] {
				VPADDD(acc[d+half][r], acc[d][r], acc[d][r])
			}
		}
	}
	if len(acc[0]) == 1 {
		foldInt32Wide(acc[0][0])
		VMOVD(acc[0][0].AsX(), Mem{Base: k.out})
		return
	}
	VMOVDQU(foldFourInt32(acc[0]), Mem{Base: k.out})
}
