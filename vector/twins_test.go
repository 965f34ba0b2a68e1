package vector

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A source makes the arguments of an operation: numbers from one seed, in memory
// from alloc. The same seed gives the same numbers at every level.
type source struct {
	r       *rand.Rand
	alloc   func(bytes int) []byte
	special bool // NaN, infinities and the largest numbers too
}

func (s *source) bytes(n int) []uint8 {
	b := s.room(n)
	for i := range b {
		b[i] = uint8(s.r.Uint32())
		if s.r.IntN(8) == 0 {
			b[i] = []uint8{0, 127, 128, 255}[s.r.IntN(4)]
		}
	}
	return b
}

func (s *source) room(n int) []uint8 {
	if n == 0 {
		return nil
	}
	return s.alloc(n)
}

func (s *source) int8s(n int) []int8 { return view[int8](s.bytes(n)) }

func (s *source) words(n int) []uint64 { return view[uint64](s.bytes(8 * n)) }

func (s *source) int32s(n int) []int32 {
	v := view[int32](s.room(4 * n))
	for i := range v {
		v[i] = int32(s.r.Uint32()) >> 4
	}
	return v
}

func (s *source) floats(n int) []float32 {
	v := view[float32](s.room(4 * n))
	for i := range v {
		v[i] = float32(s.r.NormFloat64())
		switch s.r.IntN(200) {
		case 0:
			v[i] = math.Float32frombits(s.r.Uint32() & 0x807fffff) // denormal
		case 1:
			v[i] = float32(math.Copysign(0, -1))
		case 2:
			if s.special {
				v[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32}[s.r.IntN(5)]
			}
		}
	}
	return v
}

func (s *source) matrix(rows, cols int) Matrix {
	stride := cols + s.r.IntN(3)
	if cols == 0 {
		stride = 0
	}
	return Matrix{Data: s.floats(max(0, (rows-1)*stride+cols)), Rows: rows, Cols: cols, Stride: stride}
}

func view[T any](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(one)))
}

// uint8s is the memory of numbers.
func uint8s(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}

// bits are results to compare bit for bit, with one NaN for all.
func bitsOf(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		if out[i] = math.Float32bits(x); x != x {
			out[i] = 0x7fc00000
		}
	}
	return out
}

func uints[T int8 | uint8 | int32](v []T) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		out[i] = uint32(x)
	}
	return out
}

// An operation is run with n numbers a row and m rows, and gives its result.
var operations = []struct {
	name   string
	finite bool // not defined for NaN and infinities
	run    func(s *source, n, m int) []uint32
}{
	{"Dot", false, func(s *source, n, m int) []uint32 {
		return bitsOf([]float32{Dot(s.floats(n), s.floats(n)), SquaredL2(s.floats(n), s.floats(n))})
	}},
	{"Dots", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.floats(n), s.floats(n*m), s.floats(m)
		Dots(q, rows, n, out)
		return bitsOf(out)
	}},
	{"SquaredL2s", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.floats(n), s.floats(n*m), s.floats(m)
		SquaredL2s(q, rows, n, out)
		return bitsOf(out)
	}},
	{"DotsMixed", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.floats(n), s.int8s(n*m), s.floats(m)
		DotsMixed(q, rows, n, out)
		return bitsOf(out)
	}},
	{"DotInt8", false, func(s *source, n, m int) []uint32 {
		return uints([]int32{DotInt8(s.int8s(n), s.int8s(n)), SquaredL2Int8(s.int8s(n), s.int8s(n))})
	}},
	{"DotsInt8", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.int8s(n), s.int8s(n*m), s.int32s(m)
		DotsInt8(q, rows, n, out)
		return uints(out)
	}},
	{"Keys", false, func(s *source, n, m int) []uint32 {
		stride := max(1, (n+CodedAlign-1)/CodedAlign) * CodedAlign
		rows := &CodedRows{Stride: stride}
		for range 2 {
			rows.Codes = append(rows.Codes, s.int8s(stride*m))
			rows.Factors = append(rows.Factors, view[RowFactors](uint8s(s.floats(2*m))))
		}
		out, at := s.floats(2*m), view[uint32](s.room(8*m))
		for i := range at {
			at[i] = s.r.Uint32N(uint32(m)) + CodedChunk*s.r.Uint32N(2)
		}
		rows.Keys(&CodedQuery{Code: s.int8s(stride), Factor: s.floats(1)[0]}, at, out)
		return bitsOf(out)
	}},
	{"DotsInt8At", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.int8s(n), s.int8s(n*m), s.int32s(2*m)
		at := view[uint32](s.room(8 * m))
		for i := range at {
			at[i] = s.r.Uint32N(uint32(m))
		}
		DotsInt8At(q, rows, n, at, out)
		return uints(out)
	}},
	{"BitQuery", true, func(s *source, n, m int) []uint32 {
		var q BitQuery
		v := s.floats(64 * (n % 9))
		q.Set(v)
		out := bitsOf([]float32{q.low, q.step, q.sum, q.norm})
		for _, w := range q.planes {
			out = append(out, uint32(w), uint32(w>>32))
		}
		return out
	}},
	{"Estimates", true, func(s *source, n, m int) []uint32 {
		var q BitQuery
		q.Set(s.floats(64 * (n % 30)))
		factors, out := view[BitFactors](s.room(16*3*m)), s.floats(3*m)
		for i := range factors {
			f := s.floats(4)
			factors[i] = BitFactors{f[0], f[1], f[2], f[3]}
		}
		codes := s.words(q.words * 3 * m)
		q.Estimates(codes, factors, out)
		uppers := make([]float32, len(out))
		q.Uppers(codes, factors, 3, uppers)
		return bitsOf(append(uppers, out...))
	}},
	{"SquaredL2sInt8", false, func(s *source, n, m int) []uint32 {
		q, rows, out := s.int8s(n), s.int8s(n*m), s.int32s(m)
		SquaredL2sInt8(q, rows, n, out)
		return uints(out)
	}},
	{"bitSums", false, func(s *source, n, m int) []uint32 {
		planes, codes, out := s.words(4*n), s.words(n*m), s.int32s(m)
		bitSums(planes, codes, n, out)
		return uints(out)
	}},
	{"fourDots", false, func(s *source, n, m int) []uint32 {
		dim := 64 * (n % 30)
		q, codes, out := s.int8s(dim), s.bytes(dim/2*m), s.int32s(m)
		fourDots(q, codes, out)
		return uints(out)
	}},
	{"FourQuery", true, func(s *source, n, m int) []uint32 {
		var q FourQuery
		q.Set(s.floats(64 * (n % 9)))
		code, factors, out := make([]uint8, len(q.code)/2), make([]FourFactors, 1), s.floats(1)
		factors[0] = EncodeFour(code, s.floats(len(q.code)))
		q.Estimates(code, factors, out)
		return append(bitsOf(append(out, q.scale, q.norm, q.rounding, factors[0].Scale, factors[0].Error)), uints(code)...)
	}},
	{"Rotate", false, func(s *source, n, m int) []uint32 {
		r := NewRotation(n+1, uint64(m))
		dst := s.floats(r.Padded())
		r.Rotate(dst, s.floats(n+1))
		return bitsOf(dst)
	}},
	{"MatMulInt8", false, func(s *source, n, m int) []uint32 {
		rows, k := n%150, n
		b := PackInt8(s.int8s(rows*k), rows, k)
		a, dst := s.bytes(m*k), s.int32s(m*rows)
		MatMulInt8(dst, a, m, b)
		return uints(dst)
	}},
	{"QuantizeRows", true, func(s *source, n, m int) []uint32 {
		src, dst, q := s.floats(n*m), s.bytes(n*m), make([]RowQuant, m)
		QuantizeRows(dst, q, src, n)
		out := uints(dst)
		for _, x := range q {
			out = append(out, uint32(x.Zero), math.Float32bits(x.Scale))
		}
		return out
	}},
	{"Dequantize", false, func(s *source, n, m int) []uint32 {
		b := PackInt8(s.int8s(n*3), n, 3)
		q := make([]RowQuant, m)
		for i := range q {
			q[i] = RowQuant{Scale: s.r.Float32(), Zero: s.r.Int32N(256)}
		}
		dst := s.floats(n * m)
		Dequantize(dst, s.int32s(n*m), q, b, s.floats(n), s.floats(n))
		return bitsOf(dst)
	}},
	{"MatMulFloat32", false, func(s *source, n, m int) []uint32 {
		k := s.r.IntN(40)
		dst := s.matrix(m, n)
		MatMulFloat32(dst, s.matrix(m, k), s.matrix(k, n))
		return bitsOf(dst.Data)
	}},
	{"MatMulFloat32T", false, func(s *source, n, m int) []uint32 {
		k := s.r.IntN(40)
		dst := s.matrix(m, n)
		MatMulFloat32T(dst, s.matrix(m, k), s.matrix(n, k), s.floats(n*k))
		return bitsOf(dst.Data)
	}},
	{"SoftmaxRows", false, func(s *source, n, m int) []uint32 {
		x := s.matrix(m, n)
		SoftmaxRows(x, 0.17)
		return bitsOf(x.Data)
	}},
	{"GELU", false, func(s *source, n, m int) []uint32 {
		dst := s.floats(n)
		GELU(dst, s.floats(n))
		return bitsOf(dst)
	}},
	{"LayerNorm", false, func(s *source, n, m int) []uint32 {
		dst := s.floats(n * m)
		LayerNorm(dst, s.floats(n*m), n, s.floats(n), s.floats(n), 1e-12)
		return bitsOf(dst)
	}},
}

// sizes are the lengths that are tried: each tail of each block, and those of
// real models.
func sizes() []int {
	all := []int{255, 256, 257, 384, 385, 767, 768, 1000, 1536}
	for n := range 150 {
		all = append(all, n)
	}
	return all
}

// compareLevels runs every operation at every level on the same arguments.
func compareLevels(t *testing.T, alloc func(bytes int) []byte, sizes []int) {
	for _, o := range operations {
		for _, n := range sizes {
			for _, special := range []bool{false, true}[:2-oneIf(o.finite)] {
				m := n % 10 // each number of rows meets each tail of 4 and 8
				run := func(l level) (got []uint32) {
					s := &source{r: rand.New(rand.NewPCG(uint64(n), uint64(m))), alloc: alloc, special: special}
					atLevel(l, func() { got = o.run(s, n, m) })
					return got
				}
				want := run(plain)
				for l := plain + 1; l <= active; l++ {
					if got := run(l); !slices.Equal(got, want) {
						t.Errorf("%s of %d rows of %d at %v differs from its twin, first at %d", o.name, m, n, l, firstDifference(got, want))
					}
				}
			}
		}
	}
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

func firstDifference(a, b []uint32) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// Slices begin at any multiple of 8 bytes, so registers straddle cache lines.
func TestTwins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	compareLevels(t, func(n int) []byte {
		at := 8 * r.IntN(8)
		return make([]byte, n+at)[at:]
	}, sizes())
}

// FuzzTwins runs one operation on numbers from a seed.
func FuzzTwins(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint16(384), uint8(5), true)
	f.Add(uint64(2), uint8(9), uint16(70), uint8(13), false)
	f.Fuzz(func(t *testing.T, seed uint64, which uint8, n uint16, m uint8, special bool) {
		o := operations[int(which)%len(operations)]
		run := func(l level) (got []uint32) {
			s := &source{r: rand.New(rand.NewPCG(seed, 1)), special: special && !o.finite, alloc: func(n int) []byte { return make([]byte, n) }}
			atLevel(l, func() { got = o.run(s, int(n%700), int(m%24)) })
			return got
		}
		want := run(plain)
		for l := plain + 1; l <= active; l++ {
			if got := run(l); !slices.Equal(got, want) {
				t.Errorf("%s at %v differs from its twin, first at %d", o.name, l, firstDifference(got, want))
			}
		}
	})
}
