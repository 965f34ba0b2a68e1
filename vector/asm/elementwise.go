package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// table holds the constants, each as often as the widest register needs it, so
// that one is a memory operand of any instruction.
var table = struct {
	names   []string
	symbols map[string]Mem
}{symbols: map[string]Mem{}}

func constants() {
	for _, c := range []struct {
		name string
		bits uint32
	}{
		{"expLow", f32(-87.3)},
		{"log2e", f32(1.44269504088896341)},
		{"ln2High", f32(0.693359375)},
		{"ln2Low", f32(-2.12194440e-4)},
		{"expP0", f32(1.9875691500e-4)},
		{"expP1", f32(1.3981999507e-3)},
		{"expP2", f32(8.3334519073e-3)},
		{"expP3", f32(4.1665795894e-2)},
		{"expP4", f32(1.6666665459e-1)},
		{"expP5", f32(5.0000001201e-1)},
		{"magic", f32(3 << 22)},
		{"one", f32(1)},
		{"half", f32(0.5)},
		{"minusHalf", f32(-0.5)},
		{"minusInf", f32(float32(math.Inf(-1)))},
		{"absolute", 1<<31 - 1},
		{"erfP", f32(0.3275911 * 0.70710678118654752440)},
		{"erfA1", f32(0.254829592)},
		{"erfA2", f32(-0.284496736)},
		{"erfA3", f32(1.421413741)},
		{"erfA4", f32(-1.453152027)},
		{"erfA5", f32(1.061405429)},
		{"flip", 0x80808080},
		{"ones", 0x01010101},
		{"ones16", 0x00010001},
		{"nibbles", 0x0f0f0f0f},
	} {
		table.symbols[c.name] = GLOBL(c.name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(c.bits))
		}
	}
	table.symbols["window"] = GLOBL("window", RODATA|NOPTR)
	for i := range 16 {
		ones := uint32(0)
		if i < 8 {
			ones = math.MaxUint32
		}
		DATA(4*i, U32(ones))
	}
}

func f32(x float32) uint32 { return math.Float32bits(x) }

func constant(name string) Mem { return table.symbols[name] }

func windowSymbol() Mem { return table.symbols["window"] }

// elementwise writes the kernels that go over one or more arrays of n numbers,
// n a multiple of 16. Lane i mod 16 of the sums is the same at every width.
func elementwise(l level) {
	for _, k := range []struct {
		name, doc, signature string
		body                 func(e *element)
	}{
		{"minMaxLanes", "lowers the lanes of lo to the least number and raises those of hi to the largest", "func(x *float32, n int, lo, hi *[16]float32)", (*element).minMax},
		{"softmax", "replaces x, and then the 16 numbers at pad if rest is not 0, by exp(scale*x) over their sum", "func(x *float32, n int, pad *[16]float32, rest int, scale float32)", (*element).softmax},
		{"sum16", "adds x to its lane", "func(x *float32, n int, lanes *[16]float32)", (*element).sum},
		{"squares16", "adds the square of x less the mean to its lane", "func(x *float32, n int, mean float32, lanes *[16]float32)", (*element).squares},
		{"normalize", "writes (src-mean)*inverse*gain+bias to dst", "func(dst, src, gain, bias *float32, n int, mean, inverse float32)", (*element).normalize},
		{"gelu", "writes GELU of src to dst", "func(dst, src *float32, n int)", (*element).gelu},
		{"toBytes", "writes (src-low)*inverse, rounded, plus zero to dst, held to 0..255", "func(dst *uint8, src *float32, n int, low, inverse float32, zero int32)", (*element).toBytes},
		{"dequantize", "writes (acc-zero*sums)*(by*scale)+bias to dst", "func(dst *float32, acc, sums *int32, scale, bias *float32, n int, zero int32, by float32)", (*element).dequantize},
		{"flip", "flips the bits of v that are set in flips", "func(v *float32, flips *uint32, n int)", (*element).flip},
		{"butterfly", "replaces a and b by (a+b)*by and (a-b)*by", "func(a, b *float32, n int, by float32)", (*element).butterfly},
	} {
		begin(k.name+l.name, k.name+l.name+" "+k.doc+"; n is a multiple of 16.", k.signature)
		e := &element{level: l, n: ptr("n")}
		k.body(e)
		end()
	}
}

// element builds one such kernel.
type element struct {
	level
	n reg.GPVirtual
}

// each runs body for the registers of every 16 numbers: body gets the number
// that a register starts at and which of the 16's registers it is. The pointers
// then move on.
func (e *element) each(body func(at, part int), pointers ...pointer) {
	repeat("loop", e.n, 16, func() {
		for part := range 16 / e.lanes {
			body(part*e.lanes, part)
		}
		for _, p := range pointers {
			ADDQ(I32(16*p.bytes), p.reg)
		}
	})
}

// pointer is an address and how many bytes one number takes there.
type pointer struct {
	reg   reg.GPVirtual
	bytes int
}

func floats(p reg.GPVirtual, at int) Mem { return Mem{Base: p, Disp: 4 * at} }

// number fills a register with a float32 parameter, and integer with an int32.
// Both read memory: MOVSS would wait for the registers' upper halves.
func (e *element) number(name string) reg.VecVirtual {
	v := e.vec()
	VBROADCASTSS(parameter(name), v)
	return v
}

func (e *element) integer(name string) reg.VecVirtual {
	v := e.vec()
	VBROADCASTSS(parameter(name), v) // vet does not know the width of VPBROADCASTD
	return v
}

func parameter(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// loaded are the 16 lanes at p; stored writes them back.
func (e *element) loaded(p reg.GPVirtual) []reg.VecVirtual {
	v := e.vecs(16 / e.lanes)
	for i := range v {
		VMOVUPS(floats(p, i*e.lanes), v[i])
	}
	return v
}

func (e *element) stored(v []reg.VecVirtual, p reg.GPVirtual) {
	for i := range v {
		VMOVUPS(v[i], floats(p, i*e.lanes))
	}
}

func (e *element) minMax() {
	x, low, high := ptr("x"), ptr("lo"), ptr("hi")
	lo, hi := e.loaded(low), e.loaded(high)
	e.each(func(at, part int) {
		v := e.vec()
		VMOVUPS(floats(x, at), v)
		VMINPS(v, lo[part], lo[part])
		VMAXPS(v, hi[part], hi[part])
	}, pointer{x, 4})
	e.stored(lo, low)
	e.stored(hi, high)
}

// softmax goes over the numbers three times: for the largest, for the powers and
// their sum, and to divide.
func (e *element) softmax() {
	x, pad, rest, scale := ptr("x"), ptr("pad"), ptr("rest"), e.number("scale")
	top, sum := e.vecs(16/e.lanes), e.vecs(16/e.lanes)
	for i := range top {
		VMOVUPS(constant("minusInf"), top[i])
	}
	zero(sum...)
	e.overAll("max", x, pad, rest, func(m Mem, part int) {
		VMAXPS(m, top[part], top[part])
	})
	all := e.reduce(top, func(from, to reg.VecVirtual) { VMAXPS(from, to, to) })
	e.overAll("exp", x, pad, rest, func(m Mem, part int) {
		v := e.vec()
		VMOVUPS(m, v)
		VSUBPS(all, v, v)
		VMULPS(scale, v, v)
		v = e.exp(v)
		VMOVUPS(v, m)
		VADDPS(v, sum[part], sum[part])
	})
	total, by := e.reduce(sum, func(from, to reg.VecVirtual) { VADDPS(from, to, to) }), e.vec()
	VMOVUPS(constant("one"), by)
	VDIVPS(total, by, by)
	e.overAll("scale", x, pad, rest, func(m Mem, _ int) {
		v := e.vec()
		VMULPS(m, by, v)
		VMOVUPS(v, m)
	})
}

// overAll runs body over the n numbers at x and then, if rest is not 0, over the
// 16 at pad.
func (e *element) overAll(name string, x, pad, rest reg.GPVirtual, body func(m Mem, part int)) {
	at, left := GP64(), GP64()
	MOVQ(x, at)
	MOVQ(e.n, left)
	sixteen := func(p reg.GPVirtual) {
		for part := range 16 / e.lanes {
			body(floats(p, part*e.lanes), part)
		}
	}
	repeat(name, left, 16, func() {
		sixteen(at)
		ADDQ(I32(64), at)
	})
	TESTQ(rest, rest)
	JZ(LabelRef(name + "Done"))
	sixteen(pad)
	Label(name + "Done")
}

// reduce halves 16 lanes down to one, which is then in all lanes of the result.
func (e *element) reduce(v []reg.VecVirtual, join func(from, to reg.VecVirtual)) reg.VecVirtual {
	for half := len(v) / 2; half > 0; half /= 2 {
		for i := range half {
			join(v[i+half], v[i])
		}
	}
	for apart := e.lanes / 2; apart > 0; apart /= 2 {
		join(e.swapped(v[0], apart), v[0])
	}
	return v[0]
}

// exp is the function exp of package vector, step by step.
func (e *element) exp(x reg.VecVirtual) reg.VecVirtual {
	t, z, r, p := e.vec(), e.vec(), e.vec(), e.vec()
	VMULPS(constant("log2e"), x, t)
	VADDPS(constant("magic"), t, t)
	VSUBPS(constant("magic"), t, z)
	VMULPS(constant("ln2High"), z, r)
	VSUBPS(r, x, r)
	VMULPS(constant("ln2Low"), z, z)
	VSUBPS(z, r, r)
	VMULPS(constant("expP0"), r, p)
	for _, c := range []string{"expP1", "expP2", "expP3", "expP4"} {
		VADDPS(constant(c), p, p)
		VMULPS(r, p, p)
	}
	VADDPS(constant("expP5"), p, p)
	VMULPS(r, r, z)
	VMULPS(z, p, p)
	VADDPS(r, p, p)
	VADDPS(constant("one"), p, p)
	VPSLLD(Imm(23), t, t)
	VPADDD(constant("one"), t, t)
	VMULPS(t, p, p)
	return e.zeroBelow(x, p)
}

// zeroBelow makes p 0 where x is below expLow, and leaves it where x is NaN.
func (e *element) zeroBelow(x, p reg.VecVirtual) reg.VecVirtual {
	const notLess = 5
	if e.wide() {
		VCMPPS(Imm(notLess), constant("expLow"), x, reg.K1)
		out := ZMM()
		VMOVAPS_Z(p, reg.K1, out)
		return out
	}
	mask := YMM()
	VCMPPS(Imm(notLess), constant("expLow"), x, mask)
	VANDPS(mask, p, p)
	return p
}

func (e *element) sum() {
	x, lanes := ptr("x"), ptr("lanes")
	sum := e.loaded(lanes)
	e.each(func(at, part int) {
		VADDPS(floats(x, at), sum[part], sum[part])
	}, pointer{x, 4})
	e.stored(sum, lanes)
}

func (e *element) squares() {
	x, lanes, mean := ptr("x"), ptr("lanes"), e.number("mean")
	sum := e.loaded(lanes)
	e.each(func(at, part int) {
		v := e.vec()
		VMOVUPS(floats(x, at), v)
		VSUBPS(mean, v, v)
		VMULPS(v, v, v)
		VADDPS(v, sum[part], sum[part])
	}, pointer{x, 4})
	e.stored(sum, lanes)
}

func (e *element) normalize() {
	dst, src, gain, bias := ptr("dst"), ptr("src"), ptr("gain"), ptr("bias")
	mean, inverse := e.number("mean"), e.number("inverse")
	e.each(func(at, _ int) {
		v := e.vec()
		VMOVUPS(floats(src, at), v)
		VSUBPS(mean, v, v)
		VMULPS(inverse, v, v)
		VMULPS(floats(gain, at), v, v)
		VADDPS(floats(bias, at), v, v)
		VMOVUPS(v, floats(dst, at))
	}, pointer{dst, 4}, pointer{src, 4}, pointer{gain, 4}, pointer{bias, 4})
}

func (e *element) gelu() {
	dst, src := ptr("dst"), ptr("src")
	e.each(func(at, _ int) {
		x, y, t, p := e.vec(), e.vec(), e.vec(), e.vec()
		VMOVUPS(floats(src, at), x)
		VANDPS(constant("absolute"), x, y)
		VMULPS(constant("erfP"), y, t)
		VADDPS(constant("one"), t, t)
		VMOVUPS(constant("one"), p)
		VDIVPS(t, p, t)
		VMULPS(constant("erfA5"), t, p)
		for _, c := range []string{"erfA4", "erfA3", "erfA2", "erfA1"} {
			VADDPS(constant(c), p, p)
			VMULPS(t, p, p)
		}
		s := e.vec()
		VMULPS(x, x, s)
		VMULPS(constant("minusHalf"), s, s)
		s = e.exp(s)
		VMULPS(s, p, p)
		one := e.vec()
		VMOVUPS(constant("one"), one)
		VSUBPS(p, one, p)
		VMULPS(constant("half"), y, y)
		VMULPS(p, y, y)
		VMULPS(constant("half"), x, x)
		VADDPS(y, x, x)
		VMOVUPS(x, floats(dst, at))
	}, pointer{dst, 4}, pointer{src, 4})
}

// toBytes rounds with the conversion instruction: to the nearest, ties to even.
func (e *element) toBytes() {
	dst, src, low, inverse, zero := ptr("dst"), ptr("src"), e.number("low"), e.number("inverse"), e.integer("zero")
	var parts [2]reg.VecVirtual
	e.each(func(at, part int) {
		v := e.vec()
		VMOVUPS(floats(src, at), v)
		VSUBPS(low, v, v)
		VMULPS(inverse, v, v)
		VCVTPS2DQ(v, v)
		VPADDD(zero, v, v)
		parts[part] = v
		switch {
		case e.wide():
			none := ZMM()
			VPXORD(none, none, none)
			VPMAXSD(none, v, v)
			VPMOVUSDB(v, Mem{Base: dst})
		case part == 1:
			packBytes(parts, Mem{Base: dst})
		}
	}, pointer{dst, 1}, pointer{src, 4})
}

// packBytes narrows 16 numbers in two registers to bytes, held to 0..255.
func packBytes(v [2]reg.VecVirtual, dst Mem) {
	high := XMM()
	VPACKUSDW(v[1], v[0], v[0])      // 0-3 8-11 4-7 12-15
	VPERMQ(Imm(0xd8), v[0], v[0])    // 0-15
	VEXTRACTI128(Imm(1), v[0], high) // 8-15
	VPACKUSWB(high, v[0].AsX(), high)
	VMOVDQU(high, dst)
}

func (e *element) dequantize() {
	dst, acc, sums, scale, bias := ptr("dst"), ptr("acc"), ptr("sums"), ptr("scale"), ptr("bias")
	zero, by := e.integer("zero"), e.number("by")
	e.each(func(at, _ int) {
		v, s := e.vec(), e.vec()
		VPMULLD(floats(sums, at), zero, s)
		if e.wide() {
			VMOVDQU32(floats(acc, at), v)
		} else {
			VMOVDQU(floats(acc, at), v)
		}
		VPSUBD(s, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(floats(scale, at), by, s)
		VMULPS(s, v, v)
		VADDPS(floats(bias, at), v, v)
		VMOVUPS(v, floats(dst, at))
	}, pointer{dst, 4}, pointer{acc, 4}, pointer{sums, 4}, pointer{scale, 4}, pointer{bias, 4})
}

func (e *element) flip() {
	v, flips := ptr("v"), ptr("flips")
	e.each(func(at, _ int) {
		x := e.vec()
		VMOVUPS(floats(v, at), x)
		VXORPS(floats(flips, at), x, x)
		VMOVUPS(x, floats(v, at))
	}, pointer{v, 4}, pointer{flips, 4})
}

func (e *element) butterfly() {
	a, b, by := ptr("a"), ptr("b"), e.number("by")
	e.each(func(at, _ int) {
		x, y := e.vec(), e.vec()
		VMOVUPS(floats(a, at), x)
		VMOVUPS(floats(b, at), y)
		e.sumAndDifference(x, y)
		VMULPS(by, x, x)
		VMULPS(by, y, y)
		VMOVUPS(x, floats(a, at))
		VMOVUPS(y, floats(b, at))
	}, pointer{a, 4}, pointer{b, 4})
}

func (e *element) sumAndDifference(x, y reg.VecVirtual) {
	sum := e.vec()
	VADDPS(y, x, sum)
	VSUBPS(y, x, y)
	VMOVAPS(sum, x)
}
