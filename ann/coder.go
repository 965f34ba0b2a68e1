package ann

import (
	"math"
	"slices"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// floatsBelow is the dimension below which a graph has no codes and compares the
// numbers themselves: a row is then few lines of memory either way, and a byte a
// number tells neighbours in few dimensions apart badly.
const floatsBelow = 48

// apartBeyond is the squared length, in units, from which a row stands apart: it
// is in no graph and is always compared. Keys of longer ones would overflow.
const apartBeyond = 1e30

// queryBeyond is the step of a query's code, in units, from which on it is too far
// away to be compared by its code.
const queryBeyond = 1e15

// A coder makes the int8 codes of rows, and what queries are compared by.
//
// A code is of a row's difference from centre, in units: embeddings have much in
// common, coordinates lie far from zero, and a byte a number should be spent on
// what differs. Keys (vector.CodedRows) are squared distances less what is the
// query's alone; under the inner product they are minus the product, likewise.
//
// Under the inner product the graph is that of the squared distance all the same,
// between rows lifted into one dimension more, in which all have the same length:
// the nearest of such rows are those of the largest product (Bachrach et al.,
// 2014).
type coder struct {
	metric memory.Metric
	dim    int
	stride int       // bytes of a code; 0 without codes
	unit   float32   // a power of two, which makes rows about as long as 1
	centre []float32 // nil without codes
	reach  float64   // squared length, in units, up to which rows are lifted
}

// lift is what distances between rows need under the inner product.
type lift struct {
	squared float32 // length
	height  float32 // in the dimension beyond
}

func newCoder(m memory.Metric, dim int) coder {
	c := coder{metric: m, dim: dim, unit: 1}
	if dim >= floatsBelow {
		c.stride = (dim + vector.CodedAlign - 1) / vector.CodedAlign * vector.CodedAlign
		c.centre = make([]float32, dim)
	}
	return c
}

// fit chooses centre, unit and reach by the rows that there are, but for those
// that are far longer than most.
func (c *coder) fit(rows int, row func(int) []float32) {
	lengths := make([]float64, rows)
	for i := range lengths {
		lengths[i] = math.Sqrt(squared(row(i)))
	}
	most := outlier * median(lengths)
	sum, largest, n := make([]float64, c.dim), 0.0, 0.0
	for i, length := range lengths {
		if length > most {
			continue
		}
		n++
		largest = max(largest, length)
		for j, x := range row(i) {
			sum[j] += float64(x)
		}
	}
	for j := range c.centre {
		c.centre[j] = float32(sum[j] / n)
	}
	if m := median(c.distances(rows, row)); m > 0 {
		_, e := math.Frexp(m)
		c.unit = float32(math.Ldexp(1, min(max(-e, -126), 126)))
	}
	c.reach = min(largest*largest*float64(c.unit)*float64(c.unit), apartBeyond)
}

// outlier is how many times the median a length may be to count in fit.
const outlier = 8

// distances is how far rows are from the centre.
func (c *coder) distances(rows int, row func(int) []float32) []float64 {
	d := make([]float64, rows)
	for i := range d {
		if c.centre == nil {
			d[i] = math.Sqrt(squared(row(i)))
		} else {
			d[i] = math.Sqrt(vector.SquaredL2Wide(row(i), c.centre))
		}
	}
	return d
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func squared(v []float32) float64 { return vector.DotWide(v, v) }

// shift writes v less the centre, in units, to dst, filled up with zeros.
func (c *coder) shift(dst, v []float32) {
	centre, unit, dst := c.centre[:len(v)], c.unit, dst[:c.stride]
	for i, x := range v {
		dst[i] = (x - centre[i]) * unit
	}
	clear(dst[len(v):])
}

// encode makes the code, the factors and the lift of a row; false when the row
// has to stand apart. scratch has the stride's length.
func (c *coder) encode(code []int8, v, scratch []float32) (f vector.RowFactors, l lift, ok bool) {
	u := float64(c.unit)
	length := squared(v) * u * u
	l = lift{float32(length), float32(math.Sqrt(max(0, c.reach-length)))}
	ok = length < apartBeyond
	if c.stride == 0 {
		return f, l, ok
	}
	c.shift(scratch, v)
	apart := squared(scratch)
	ok = ok && apart < apartBeyond
	if !ok {
		clear(code)
		return f, l, false
	}
	f.Scale = vector.EncodeInt8(code, scratch)
	l.squared = float32(apart)
	switch c.metric {
	case memory.MetricL2:
		f.Bias = float32(apart)
	case memory.MetricCosine: // a row that is zero is as far as one at a right angle
		f.Bias = float32(apart + u*u - length)
	}
	return f, l, true
}

// A probe is what rows are compared with: a query, or a row.
type probe struct {
	numbers []float32         // as they are compared exactly
	coded   vector.CodedQuery // with codes
	isRow   bool              // keys are then whole distances
	bias    float32           // of the row
	lift    lift              // of the row, under the inner product
}

// aim makes p the probe of a query; false when codes cannot be compared with it.
func (c *coder) aim(p *probe, q, scratch []float32) bool {
	p.numbers, p.isRow = prepared(c.metric, q), false
	if c.stride == 0 {
		return true
	}
	if c.metric == memory.MetricDot { // its length does not matter, nor where the centre is
		normalize(scratch[:c.dim], q)
		clear(scratch[c.dim:])
	} else {
		c.shift(scratch, p.numbers)
	}
	scale := vector.EncodeInt8(p.coded.Code, scratch)
	p.coded.Factor = -2 * scale
	return scale < queryBeyond // and not NaN
}

// aimAtRow makes p the probe of a row.
func (g *Graph) aimAtRow(p *probe, row uint32) {
	p.isRow = true
	if g.metric == memory.MetricDot {
		p.lift = *g.liftOf(row)
	}
	if g.code.stride == 0 {
		p.numbers = g.vector(row)
		return
	}
	copy(p.coded.Code, g.coded.Code(row))
	f := g.coded.Factor(row)
	p.coded.Factor, p.bias = -2*f.Scale, f.Bias
}

// keys writes the key of each row at[i] to out[i]: smaller is nearer, +Inf is
// dead. Those of a row are distances, and may be compared with those of another.
func (g *Graph) keys(p *probe, at []uint32, out []float32) {
	if g.code.stride > 0 {
		g.coded.Keys(&p.coded, at, out)
	} else {
		g.floatKeys(p, at, out)
	}
	switch {
	case !p.isRow:
	case g.metric == memory.MetricDot:
		for i, row := range at {
			l := g.liftOf(row)
			if g.code.stride > 0 {
				out[i] += p.lift.squared + l.squared
			}
			up := p.lift.height - l.height
			out[i] += float32(up * up)
		}
	default:
		for i := range out {
			out[i] += p.bias
		}
	}
}

func (g *Graph) floatKeys(p *probe, at []uint32, out []float32) {
	u := g.code.unit
	for i, row := range at {
		v := g.vector(row)
		var d float32
		far := p.isRow || g.metric == memory.MetricL2
		if far {
			d = float32(vector.SquaredL2(p.numbers, v)*u) * u
		} else {
			d = -float32(vector.Dot(p.numbers, v) * u)
		}
		if d-d != 0 { // overflow
			d = wideKey(p.numbers, v, far, float64(u))
		}
		out[i] = d + g.coded.Factor(row).Bias
	}
}

// wideKey is a key in float64 as long as it can be; a query may be too far away.
func wideKey(q, v []float32, far bool, u float64) float32 {
	d := -vector.DotWide(q, v) * u
	if far {
		d = vector.SquaredL2Wide(q, v) * u * u
	}
	return float32(max(-math.MaxFloat32, min(d, math.MaxFloat32)))
}
