// Command asm writes the assembly of package vector: kernels_amd64.s and the
// declarations in kernels_amd64.go. It is a module of its own, so that the
// generator's library is no dependency of the database. Run it in its folder:
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg vector
//
// What the kernels compute, and in which order, is said by the plain Go twins
// in package vector, and a test there says that the committed files are what
// this command writes.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	constants()
	upperSigns()
	factorPlaces()
	for _, l := range []level{avx2, avx512} {
		floatRows(l)
		elementwise(l)
		hadamard(l)
	}
	int8RowsAVX2()
	int8RowsAVX512()
	keysAVX512()
	fetch()
	matMulInt8AVX2()
	matMulInt8AVX512()
	matMulFloat32AVX2()
	matMulFloat32AVX512()
	bitsAVX512()
	fourAVX2()
	fourAVX512()
	Generate()
}

// A level is a set of instructions and the width of its registers.
type level struct {
	name  string
	lanes int // float32 numbers of one register
}

var (
	avx2   = level{"AVX2", 8}
	avx512 = level{"AVX512", 16}
)

func (l level) wide() bool { return l.lanes == 16 }

// vec is a new register of the level's width.
func (l level) vec() reg.VecVirtual {
	if l.wide() {
		return ZMM()
	}
	return YMM()
}

func (l level) vecs(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = l.vec()
	}
	return v
}

// begin starts a function that keeps no pointer.
func begin(name, doc, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

func end() {
	VZEROUPPER()
	RET()
}

// ptr loads a parameter into a register.
func ptr(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
}

// repeat runs body while the counter is at least step, and takes step from it
// each time.
func repeat(name string, counter reg.GPVirtual, step int, body func()) {
	CMPQ(counter, I32(step))
	JL(LabelRef(name + "End"))
	Label(name)
	body()
	SUBQ(I32(step), counter)
	CMPQ(counter, I32(step))
	JGE(LabelRef(name))
	Label(name + "End")
}

func zero(v ...reg.VecVirtual) {
	for _, r := range v {
		if r.Size() == 64 {
			VPXORD(r, r, r)
		} else {
			VPXOR(r, r, r)
		}
	}
}

// rowsAt gives addresses of up to 8 rows that lie stride bytes apart; the bases
// are then every third row. With no stride every row has a base. The bases are
// what has to be moved to go along the rows.
type rowsAt struct {
	bases  []reg.GPVirtual
	stride reg.GPVirtual
}

func newRows(first, stride reg.GPVirtual, n int) rowsAt {
	r := rowsAt{stride: stride}
	for i := 0; i < n; i += 3 {
		b := GP64()
		if i == 0 {
			MOVQ(first, b)
		} else {
			LEAQ(Mem{Base: r.bases[len(r.bases)-1], Index: stride, Scale: 2}, b)
			ADDQ(stride, b)
		}
		r.bases = append(r.bases, b)
	}
	return r
}

func (r rowsAt) mem(row, disp int) Mem {
	if r.stride == nil {
		return Mem{Base: r.bases[row], Disp: disp}
	}
	m := Mem{Base: r.bases[row/3], Disp: disp}
	if row%3 > 0 {
		m.Index, m.Scale = r.stride, uint8(row%3)
	}
	return m
}

func (r rowsAt) advance(bytes int) {
	for _, b := range r.bases {
		ADDQ(I32(bytes), b)
	}
}

// An ahead asks for what comes next in memory. Rows that are read four at a time
// are four streams, which the processor's own prefetching follows badly; what
// they read together is one stream. Asking beyond the end of the rows is
// harmless.
type ahead struct {
	at reg.GPVirtual
}

const aheadBytes = 8192 // 2048 and 4096 were slower from memory, 16384 no faster

func newAhead(first reg.GPVirtual) *ahead {
	a := &ahead{at: GP64()}
	MOVQ(first, a.at)
	return a
}

// fetch asks for so many bytes, in whole cache lines.
func (a *ahead) fetch(bytes int) {
	for i := 0; i < bytes; i += 64 {
		PREFETCHT0(Mem{Base: a.at, Disp: aheadBytes + i})
	}
	ADDQ(I32(bytes), a.at)
}

func label(format string, args ...any) string { return fmt.Sprintf(format, args...) }
