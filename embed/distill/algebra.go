package main

import (
	"math"
	"runtime"
	"sync"

	"github.com/engramdb/engram/embed/wordpiece"
)

// A conversion around a product, here and below, keeps the compiler from fusing it with the sum that follows, which it
// does on some processors and not on others.

// means is the matrix A: a row is the mean over the tokens of a text. It is kept by rows, as the tokens.
type means struct {
	tokens []int32
	ends   []int
	words  int
}

func newMeans(t *wordpiece.Tokenizer, texts []string) *means {
	a := &means{words: t.Len()}
	for _, text := range texts {
		a.tokens = t.Append(a.tokens, text, -1)
		a.ends = append(a.ends, len(a.tokens))
	}
	return a
}

// times is A x, for columns of numbers.
func (a *means) times(dst, x []float64) {
	from := 0
	for i, end := range a.ends {
		sum := 0.0
		for _, id := range a.tokens[from:end] {
			sum += x[id]
		}
		dst[i], from = sum/float64(max(end-from, 1)), end
	}
}

// transposedTimes is the transpose of A times y.
func (a *means) transposedTimes(dst, y []float64) {
	clear(dst)
	from := 0
	for i, end := range a.ends {
		share := y[i] / float64(max(end-from, 1))
		for _, id := range a.tokens[from:end] {
			dst[id] += share
		}
		from = end
	}
}

// cosine is the mean cosine of A times the rows with the targets.
func (a *means) cosine(rows, target []float32) float64 {
	total, from := 0.0, 0
	sum := make([]float64, dimension)
	for i, end := range a.ends {
		clear(sum)
		for _, id := range a.tokens[from:end] {
			for j := range sum {
				sum[j] += float64(rows[int(id)*dimension+j])
			}
		}
		var xy, xx, yy float64
		for j, x := range sum {
			y := float64(target[i*dimension+j])
			xy, xx, yy = xy+float64(x*y), xx+float64(x*x), yy+float64(y*y)
		}
		if xx > 0 && yy > 0 {
			total += xy / math.Sqrt(float64(xx*yy))
		}
		from = end
	}
	return total / float64(len(a.ends))
}

// fit brings the start to the size of the target and solves for each column.
func fit(a *means, target, start []float32) []float32 {
	size := a.scale(target, start)
	rows := make([]float32, len(start))
	inParallel(dimension, func(j int) {
		t, x := column(target, j), column(start, j)
		for i := range x {
			x[i] *= size
		}
		a.solve(x, t)
		for i, v := range x {
			rows[i*dimension+j] = float32(v)
		}
	})
	return rows
}

// scale is the number by which the start is nearest to the target.
func (a *means) scale(target, start []float32) float64 {
	xy, xx := make([]float64, dimension), make([]float64, dimension)
	inParallel(dimension, func(j int) {
		x, t := make([]float64, len(a.ends)), column(target, j)
		a.times(x, column(start, j))
		xy[j], xx[j] = dot(x, t), dot(x, x)
	})
	return total(xy) / total(xx)
}

// solve moves x from its start to the least of |A x - t|^2 + lambda |x - start|^2, by conjugate gradients.
func (a *means) solve(x, t []float64) {
	ax := make([]float64, len(t))
	a.times(ax, x)
	for i := range t {
		ax[i] = t[i] - ax[i]
	}
	r := make([]float64, len(x))
	a.transposedTimes(r, ax)
	d, q := append([]float64(nil), r...), make([]float64, len(x))
	rr := dot(r, r)
	for range iterations {
		a.times(ax, d)
		a.transposedTimes(q, ax)
		addScaled(q, lambda, d)
		step := rr / dot(d, q)
		addScaled(x, step, d)
		addScaled(r, -step, q)
		before := rr
		if rr = dot(r, r); rr == 0 {
			return
		}
		for i := range d {
			d[i] = r[i] + float64(rr/before*d[i])
		}
	}
}

func addScaled(dst []float64, by float64, x []float64) {
	for i, v := range x {
		dst[i] += float64(by * v)
	}
}

func dot(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += float64(x * b[i])
	}
	return sum
}

func total(xs []float64) (sum float64) {
	for _, x := range xs {
		sum += x
	}
	return sum
}

func column(m []float32, j int) []float64 {
	c := make([]float64, len(m)/dimension)
	for i := range c {
		c[i] = float64(m[i*dimension+j])
	}
	return c
}

// inParallel runs do for 0 to n-1. Each is computed as if alone, so the result does not depend on how many run.
func inParallel(n int, do func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range runtime.NumCPU() {
		all.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

func meanOf(vectors [][]float32) []float64 {
	mean := make([]float64, len(vectors[0]))
	for _, v := range vectors {
		for i, x := range v {
			mean[i] += float64(x)
		}
	}
	for i := range mean {
		mean[i] /= float64(len(vectors))
	}
	return mean
}

// components returns the mean of vectors and the n directions in which they vary most, the largest first; of each
// direction's two signs the one whose largest number is above zero.
func components(vectors [][]float32, n int) (mean []float64, axes [][]float64) {
	mean = meanOf(vectors)
	return mean, eigenvectors(covariance(vectors, mean))[:n]
}

// every is how many vectors are passed over for one that is looked at: 70,000 are enough for 384 directions.
const every = 4

func covariance(vectors [][]float32, mean []float64) [][]float64 {
	width := len(mean)
	c := make([][]float64, width)
	centred := make([][]float64, 0, len(vectors)/every+1)
	for i := 0; i < len(vectors); i += every {
		v := make([]float64, width)
		for j, x := range vectors[i] {
			v[j] = float64(x) - mean[j]
		}
		centred = append(centred, v)
	}
	inParallel(width, func(i int) {
		row := make([]float64, width)
		for _, v := range centred {
			addScaled(row[i:], v[i], v[i:])
		}
		c[i] = row
	})
	for i := range c {
		for j := range i {
			c[i][j] = c[j][i]
		}
	}
	return c
}

// project is the coordinates of vectors, less the mean, along the axes, row by row.
func project(vectors [][]float32, mean []float64, axes [][]float64) []float32 {
	out := make([]float32, len(vectors)*len(axes))
	const turn = 1024
	inParallel((len(vectors)+turn-1)/turn, func(n int) {
		centred := make([]float64, len(mean))
		for i := n * turn; i < min((n+1)*turn, len(vectors)); i++ {
			for j, x := range vectors[i] {
				centred[j] = float64(x) - mean[j]
			}
			for k, axis := range axes {
				out[i*len(axes)+k] = float32(dot(centred, axis))
			}
		}
	})
	return out
}
