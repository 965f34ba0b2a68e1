package bert

import (
	"math"
	"math/bits"

	"github.com/engramdb/engram/vector"
)

// network is a BERT: a sum of what each token is and where it stands, then layers, each of attention and of a matrix to
// a wider row and back, each half with a sum over it and a norm.
type network struct {
	config Config
	words  table
	places []float32 // a row for each place in a text, with the embedding of token type 0 added
	norm   norm
	layers []layer
}

type layer struct {
	qkv, out  linear // three rows of Hidden for each: query, key, value; and back
	attention norm
	up, down  linear
	output    norm
}

// norm is a layer norm's gain and bias.
type norm struct{ gain, bias []float32 }

// table holds a row for each token.
type table interface {
	// add adds row id to dst.
	add(dst []float32, id int32)
}

// linear is a matrix with a bias.
type linear interface {
	// mul writes to dst, for each of the rows of x, its product with the matrix plus the bias. after, if there is one, is
	// called for each block of rows that was written.
	mul(w *workspace, dst, x []float32, rows int, after func([]float32))
}

// workspace is what one pack needs between its steps. It grows to the longest text, and is used again.
type workspace struct {
	x, y   []float32 // rows of Hidden
	qkv    []float32 // rows of 3*Hidden
	inner  []float32 // a block of rows of Inner
	scores []float32 // one head: tokens x tokens
	keys   []float32 // one head's keys, transposed
	bytes  []uint8   // a block of rows, quantised
	sums   []int32   // a block of rows of products
	quants [block]vector.RowQuant
	pooled []float64
	aside  func() // called between pieces of work; nil: nothing is
}

func (w *workspace) piece() {
	if w.aside != nil {
		w.aside()
	}
}

// rows is how many rows go through a matrix in one piece of work.
func (w *workspace) rows() int {
	if w.aside != nil {
		return asideBlock
	}
	return block
}

func newWorkspace(c Config) *workspace {
	return &workspace{
		inner:  make([]float32, block*c.Inner),
		bytes:  make([]uint8, block*max(c.Inner, c.Hidden)),
		sums:   make([]int32, block*max(c.Inner, 3*c.Hidden)),
		pooled: make([]float64, c.Hidden),
	}
}

// block is how many rows go through a matrix at once: few enough that a block of inner rows (400 KB) stays in the
// cache of a core, many enough that fetching the weights (600 KB a matrix) does not count.
const block = 64

// asideBlock is block where others may go first: some 0.04 ms of work, for 2 % of the speed.
const asideBlock = 16

// grown returns a slice of n numbers, s if it is long enough. It grows in steps of two: texts of all lengths come.
func grown(s []float32, n int) []float32 {
	if cap(s) < n {
		s = make([]float32, 1<<bits.Len(uint(n-1)))
	}
	return s[:n]
}

// embed computes the vectors of a pack into the first of vectors.
func (n *network) embed(w *workspace, k pack, vectors [][]float32) error {
	rows, width := len(k.ids), n.config.Hidden
	w.x, w.y, w.qkv = grown(w.x, rows*width), grown(w.y, rows*width), grown(w.qkv, 3*rows*width)
	n.start(w, k)
	for i := range n.layers {
		n.attend(w, &n.layers[i], k)
		n.widen(w, &n.layers[i], rows)
	}
	from := 0
	for i, end := range k.ends {
		v, err := unit(n.pool(w, w.x[from*width:end*width]))
		if err != nil {
			return err
		}
		vectors[i], from = v, end
	}
	return nil
}

// start fills x with what the tokens are and where they stand.
func (n *network) start(w *workspace, k pack) {
	width, from := n.config.Hidden, 0
	for _, end := range k.ends {
		for i := from; i < end; i++ {
			row := w.x[i*width : (i+1)*width]
			copy(row, n.places[(i-from)*width:])
			n.words.add(row, k.ids[i])
		}
		from = end
	}
	n.normalize(w.x, n.norm)
}

func (n *network) normalize(x []float32, by norm) {
	vector.LayerNorm(x, x, n.config.Hidden, by.gain, by.bias, float32(n.config.Epsilon))
}

// longText is how many tokens a text has of which one head is a piece of work.
const longText = 128

// attend is the first half of a layer: every token takes from the tokens of its text what it asks for.
func (n *network) attend(w *workspace, l *layer, k pack) {
	rows, from := len(k.ids), 0
	l.qkv.mul(w, w.qkv, w.x, rows, nil)
	for _, end := range k.ends {
		for head := range n.config.Heads {
			n.head(w, head, from, end)
			if end-from > longText {
				w.piece()
			}
		}
		w.piece()
		from = end
	}
	l.out.mul(w, w.qkv[:len(w.x)], w.y, rows, nil)
	n.addNormalized(w.x, w.qkv[:len(w.x)], l.attention)
}

// head computes one head of one text, from qkv into y.
func (n *network) head(w *workspace, head, from, end int) {
	width, size, tokens := n.config.Hidden, n.config.Hidden/n.config.Heads, end-from
	part := func(which int) vector.Matrix {
		at := from*3*width + which*width + head*size
		return vector.Matrix{Data: w.qkv[at:], Rows: tokens, Cols: size, Stride: 3 * width}
	}
	w.scores, w.keys = grown(w.scores, tokens*tokens), grown(w.keys, tokens*size)
	scores := vector.Matrix{Data: w.scores, Rows: tokens, Cols: tokens}
	vector.MatMulFloat32T(scores, part(0), part(1), w.keys)
	vector.SoftmaxRows(scores, float32(1/math.Sqrt(float64(size))))
	out := vector.Matrix{Data: w.y[from*width+head*size:], Rows: tokens, Cols: size, Stride: width}
	vector.MatMulFloat32(out, scores, part(2))
}

// widen is the second half of a layer: each token by itself, block by block, through a row four times as wide.
func (n *network) widen(w *workspace, l *layer, rows int) {
	width, inner := n.config.Hidden, n.config.Inner
	for from := 0; from < rows; from += block {
		count := min(block, rows-from)
		wide := w.inner[:count*inner]
		x, y := w.x[from*width:(from+count)*width], w.y[from*width:(from+count)*width]
		l.up.mul(w, wide, x, count, func(b []float32) { vector.GELU(b, b) })
		l.down.mul(w, y, wide, count, nil)
		n.addNormalized(x, y, l.output)
	}
}

// addNormalized adds y to x and brings the rows to the norm.
func (n *network) addNormalized(x, y []float32, by norm) {
	for i, v := range y {
		x[i] += v
	}
	n.normalize(x, by)
}

// pool makes one row of a text's rows: their sum (the length is brought to 1 afterwards), or the row of [CLS].
func (n *network) pool(w *workspace, rows []float32) []float64 {
	width := n.config.Hidden
	clear(w.pooled)
	if n.config.Pooling == "cls" {
		rows = rows[:width]
	}
	for ; len(rows) > 0; rows = rows[width:] {
		for i, v := range rows[:width] {
			w.pooled[i] += float64(v)
		}
	}
	return w.pooled
}
