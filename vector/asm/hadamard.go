package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// hadamard transforms a power of two numbers in place: for halves of n/2, n/4
// and so on it replaces a and b, half apart, by a+b and a-b. Down to 16 apart
// these are different registers; the last four steps are within a register.
func hadamard(l level) {
	begin("hadamard"+l.name, label("hadamard%s replaces v by its Hadamard transform times a number; n is a power of two, at least 16.", l.name), "func(v *float32, n int, by float32)")
	e := &element{level: l}
	v, n, by := ptr("v"), ptr("n"), e.number("by")
	half, end16 := GP64(), GP64()
	MOVQ(n, half)
	SHLQ(Imm(1), half) // half of the numbers, in bytes
	LEAQ(Mem{Base: v, Index: n, Scale: 4}, end16)
	Label("step")
	CMPQ(half, I32(64))
	JL(LabelRef("inside"))
	a, b, left := GP64(), GP64(), GP64()
	MOVQ(v, a)
	Label("pair")
	LEAQ(Mem{Base: a, Index: half, Scale: 1}, b)
	MOVQ(half, left)
	repeat("apart", left, 64, func() {
		for part := range 16 / l.lanes {
			x, y := l.vec(), l.vec()
			VMOVUPS(floats(a, part*l.lanes), x)
			VMOVUPS(floats(b, part*l.lanes), y)
			e.sumAndDifference(x, y)
			VMOVUPS(x, floats(a, part*l.lanes))
			VMOVUPS(y, floats(b, part*l.lanes))
		}
		ADDQ(I32(64), a)
		ADDQ(I32(64), b)
	})
	MOVQ(b, a)
	CMPQ(a, end16)
	JB(LabelRef("pair"))
	SHRQ(Imm(1), half)
	JMP(LabelRef("step"))

	Label("inside")
	repeat("sixteen", n, 16, func() {
		x := make([]reg.VecVirtual, 16/l.lanes)
		for i := range x {
			x[i] = l.vec()
			VMOVUPS(floats(v, i*l.lanes), x[i])
		}
		if l.wide() {
			e.within(x[0], 8)
		} else {
			e.sumAndDifference(x[0], x[1])
		}
		for i := range x {
			for _, apart := range []int{4, 2, 1} {
				e.within(x[i], apart)
			}
			VMULPS(by, x[i], x[i])
			VMOVUPS(x[i], floats(v, i*l.lanes))
		}
		ADDQ(I32(64), v)
	})
	end()
}

// within adds and subtracts numbers of one register: each is added to the one
// apart from it, the upper of the two with its sign changed.
func (e *element) within(x reg.VecVirtual, apart int) {
	other := e.swapped(x, apart)
	VXORPS(constant(label("upper%d", apart)), x, x)
	VADDPS(x, other, x)
}

// swapped has each number where the one apart from it was.
func (e *element) swapped(x reg.VecVirtual, apart int) reg.VecVirtual {
	other := e.vec()
	switch {
	case apart == 8:
		VSHUFF32X4(Imm(0x4e), x, x, other)
	case apart == 4 && e.wide():
		VSHUFF32X4(Imm(0xb1), x, x, other)
	case apart == 4:
		VPERM2F128(Imm(1), x, x, other)
	case apart == 2:
		VPERMILPS(Imm(0x4e), x, other)
	default:
		VPERMILPS(Imm(0xb1), x, other)
	}
	return other
}

// upperSigns makes the constants that change the sign of the upper of two
// numbers apart.
func upperSigns() {
	for apart := 8; apart > 0; apart /= 2 {
		name := label("upper%d", apart)
		table.symbols[name] = GLOBL(name, RODATA|NOPTR)
		for i := range 16 {
			sign := uint32(0)
			if i&apart != 0 {
				sign = 1 << 31
			}
			DATA(4*i, U32(sign))
		}
	}
}
