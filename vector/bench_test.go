package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func randomInt8(r *rand.Rand, n int) []int8 {
	v := make([]int8, n)
	for i := range v {
		v[i] = int8(r.IntN(255) - 127)
	}
	return v
}

var (
	sink      float32
	sinkInt32 int32
)

var dims = []int{384, 768, 1536}

// byLevel runs a benchmark at each level up to the active one; bytes is what one
// turn reads.
func byLevel(b *testing.B, name string, bytes int, turn func()) {
	for l := plain; l <= active; l++ {
		b.Run(name+"/"+l.String(), func(b *testing.B) {
			atLevel(l, func() {
				b.SetBytes(int64(bytes))
				for b.Loop() {
					turn()
				}
				b.ReportMetric(best(turn), "best-ns/op")
			})
		})
	}
}

// best is the time of a turn in the quickest of many short runs: what the kernel
// takes when nobody else uses the core.
func best(turn func()) float64 {
	n, least := 1, math.Inf(1)
	for run := 0; run < 200; run++ {
		start := time.Now()
		for range n {
			turn()
		}
		took := time.Since(start)
		if took < 20*time.Microsecond && n < 1<<20 {
			n, run = 2*n, 0
			continue
		}
		least = min(least, float64(took.Nanoseconds())/float64(n))
		if run > 10 && took > 20*time.Millisecond {
			break
		}
	}
	return least
}

// One pair that lies in the first-level cache.
func BenchmarkSingle(b *testing.B) {
	for _, dim := range dims {
		r := rand.New(rand.NewPCG(1, 2))
		x, y := random(r, dim), random(r, dim)
		i, j := randomInt8(r, dim), randomInt8(r, dim)
		byLevel(b, fmt.Sprintf("Dot/%d", dim), 4*dim, func() { sink += Dot(x, y) })
		byLevel(b, fmt.Sprintf("SquaredL2/%d", dim), 4*dim, func() { sink += SquaredL2(x, y) })
		byLevel(b, fmt.Sprintf("DotInt8/%d", dim), dim, func() { sinkInt32 += DotInt8(i, j) })
		byLevel(b, fmt.Sprintf("SquaredL2Int8/%d", dim), dim, func() { sinkInt32 += SquaredL2Int8(i, j) })
	}
}

// rowsOf gives so many rows that they take about the bytes.
func rowsOf(bytes, rowBytes int) int { return bytes / rowBytes }

// Rows that lie in the second-level cache (256 KiB), and that come from memory
// (64 MiB).
func BenchmarkBatch(b *testing.B) {
	for _, place := range []struct {
		name  string
		bytes int
	}{{"near", 256 << 10}, {"far", 64 << 20}} {
		for _, dim := range dims {
			benchmarkBatch(b, fmt.Sprintf("%s/%d", place.name, dim), place.bytes, dim)
		}
	}
}

func benchmarkBatch(b *testing.B, name string, bytes, dim int) {
	r := rand.New(rand.NewPCG(1, 2))
	q, qInt8 := random(r, dim), randomInt8(r, dim)
	rows := make([]float32, rowsOf(bytes, 4*dim)*dim)
	codes := make([]int8, rowsOf(bytes, dim)*dim)
	for i := range rows {
		rows[i] = float32(i%17) - 8
	}
	for i := range codes {
		codes[i] = int8(i%255 - 127)
	}
	out, sums, mixed := make([]float32, len(rows)/dim), make([]int32, len(codes)/dim), make([]float32, len(codes)/dim)
	byLevel(b, "Dots/"+name, 4*len(rows), func() { Dots(q, rows, dim, out) })
	byLevel(b, "SquaredL2s/"+name, 4*len(rows), func() { SquaredL2s(q, rows, dim, out) })
	byLevel(b, "DotsInt8/"+name, len(codes), func() { DotsInt8(qInt8, codes, dim, sums) })
	byLevel(b, "SquaredL2sInt8/"+name, len(codes), func() { SquaredL2sInt8(qInt8, codes, dim, sums) })
	byLevel(b, "DotsMixed/"+name, len(codes), func() { DotsMixed(q, codes, dim, mixed) })
}

// 32 neighbours of a node, anywhere in 64 MiB of rows.
func BenchmarkNeighbours(b *testing.B) {
	for _, dim := range dims {
		r := rand.New(rand.NewPCG(1, 2))
		n := rowsOf(64<<20, dim)
		q, rows := randomInt8(r, dim), make([]int8, n*dim)
		for i := range rows {
			rows[i] = int8(i%255 - 127)
		}
		at, out := make([]uint32, 32), make([]int32, 32)
		next := func() {
			for i := range at {
				at[i] = r.Uint32N(uint32(n))
			}
		}
		byLevel(b, fmt.Sprintf("DotsInt8At/32x%d", dim), 32*dim, func() { next(); DotsInt8At(q, rows, dim, at, out) })
		coded := codedRows(rows, dim)
		query, keys := &CodedQuery{Code: q, Factor: 1}, make([]float32, len(at))
		byLevel(b, fmt.Sprintf("Keys/32x%d", dim), 32*dim, func() { next(); coded.Keys(query, at, keys) })
		byLevel(b, fmt.Sprintf("OneByOne/32x%d", dim), 32*dim, func() {
			next()
			for i, row := range at {
				out[i] = DotInt8(q, rows[int(row)*dim:][:dim])
			}
		})
	}
}

// codedRows cuts rows into chunks.
func codedRows(rows []int8, dim int) *CodedRows {
	c := &CodedRows{Stride: dim}
	for len(rows) > 0 {
		n := min(len(rows), CodedChunk*dim)
		c.Codes = append(c.Codes, rows[:n])
		c.Factors = append(c.Factors, make([]RowFactors, CodedChunk))
		rows = rows[n:]
	}
	return c
}

// Reading 64 MiB and adding it up: what memory allows.
func BenchmarkMemory(b *testing.B) {
	v := make([]float32, 16<<20)
	for i := range v {
		v[i] = float32(i % 3)
	}
	byLevel(b, "Sum", 4*len(v), func() {
		for i := 0; i < len(v); i += 1 << 18 {
			sink += rowSum(v[i : i+1<<18])
		}
	})
}

func BenchmarkBits(b *testing.B) {
	for _, dim := range dims {
		r := rand.New(rand.NewPCG(1, 2))
		const n = 4096
		words := dim / 64
		rotation := NewRotation(dim, 1)
		codes, factors, out := make([]uint64, n*words), make([]BitFactors, n), make([]float32, n)
		v, rotated := random(r, dim), random(r, rotation.Padded())
		for i := range n {
			factors[i] = EncodeBits(codes[i*words:(i+1)*words], random(r, dim))
		}
		byLevel(b, fmt.Sprintf("Rotate/%d", dim), 0, func() { rotation.Rotate(rotated, v) })
		byLevel(b, fmt.Sprintf("Encode/%d", dim), 0, func() { factors[0] = EncodeBits(codes[:words], rotated) })
		var q BitQuery
		q.Set(rotated)
		byLevel(b, fmt.Sprintf("Set/%d", dim), 0, func() { q.Set(rotated) })
		byLevel(b, fmt.Sprintf("Estimates/%dx%d", n, dim), 8*len(codes), func() { q.Estimates(codes, factors, out) })
	}
}

func BenchmarkFour(b *testing.B) {
	for _, dim := range dims {
		r := rand.New(rand.NewPCG(1, 2))
		const n = 1024
		codes, factors, out := make([]uint8, n*FourBytes(dim)), make([]FourFactors, n), make([]float32, n)
		rotated := random(r, dim)
		for i := range n {
			factors[i] = EncodeFour(codes[i*dim/2:(i+1)*dim/2], random(r, dim))
		}
		byLevel(b, fmt.Sprintf("Encode/%d", dim), 0, func() { factors[0] = EncodeFour(codes[:dim/2], rotated) })
		var q FourQuery
		q.Set(rotated)
		byLevel(b, fmt.Sprintf("Set/%d", dim), 0, func() { q.Set(rotated) })
		byLevel(b, fmt.Sprintf("Estimates/%dx%d", n, dim), len(codes), func() { q.Estimates(codes, factors, out) })
	}
}

// The layers of MiniLM: 384 numbers a token, 1152 for the three of attention,
// 1536 in the middle.
func BenchmarkMatMulInt8(b *testing.B) {
	for _, shape := range []struct{ n, k int }{{384, 384}, {1152, 384}, {1536, 384}, {384, 1536}} {
		for _, m := range []int{1, 8, 32, 128, 512} {
			r := rand.New(rand.NewPCG(1, 2))
			w := PackInt8(randomInt8(r, shape.n*shape.k), shape.n, shape.k)
			a, dst := make([]uint8, m*shape.k), make([]int32, m*shape.n)
			for i := range a {
				a[i] = uint8(r.Uint32())
			}
			for l := plain; l <= active; l++ {
				b.Run(fmt.Sprintf("%dx%dx%d/%v", m, shape.n, shape.k, l), func(b *testing.B) {
					atLevel(l, func() {
						for b.Loop() {
							MatMulInt8(dst, a, m, w)
						}
						work := float64(m * shape.n * shape.k)
						b.ReportMetric(float64(b.N)*work/1e9/b.Elapsed().Seconds(), "GMAC/s")
						b.ReportMetric(work/best(func() { MatMulInt8(dst, a, m, w) }), "best-GMAC/s")
					})
				})
			}
		}
	}
}

// The float32 work of one MiniLM layer of 128 tokens.
func BenchmarkTransformer(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const tokens, width, middle, head = 128, 384, 1536, 32
	qkv := random(r, tokens*3*width)
	q := Matrix{Data: qkv, Rows: tokens, Cols: head, Stride: 3 * width}
	k := Matrix{Data: qkv[width:], Rows: tokens, Cols: head, Stride: 3 * width}
	v := Matrix{Data: qkv[2*width:], Rows: tokens, Cols: head, Stride: 3 * width}
	scores := Matrix{Data: make([]float32, tokens*tokens), Rows: tokens, Cols: tokens}
	out := Matrix{Data: make([]float32, tokens*width), Rows: tokens, Cols: head, Stride: width}
	scratch := make([]float32, tokens*head)
	hidden, wide, bytes := random(r, tokens*width), random(r, tokens*middle), make([]uint8, tokens*middle)
	quant := make([]RowQuant, tokens)
	w := PackInt8(randomInt8(r, middle*4), middle, 4)
	acc := make([]int32, tokens*middle)
	byLevel(b, "Scores", 0, func() { MatMulFloat32T(scores, q, k, scratch) })
	byLevel(b, "Softmax", 0, func() { SoftmaxRows(scores, 0.17) })
	byLevel(b, "Values", 0, func() { MatMulFloat32(out, scores, v) })
	byLevel(b, "GELU", 0, func() { GELU(wide, wide) })
	byLevel(b, "LayerNorm", 0, func() { LayerNorm(hidden, hidden, width, hidden[:width], hidden[:width], 1e-12) })
	byLevel(b, "Quantize", 0, func() { QuantizeRows(bytes, quant, wide, middle) })
	byLevel(b, "Dequantize", 0, func() { Dequantize(wide, acc, quant, w, hidden[:middle], hidden[:middle]) })
}

func BenchmarkNormalize(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	v := random(r, 768)
	dst := make([]float32, 768)
	for b.Loop() {
		Normalize(dst, v)
	}
}
