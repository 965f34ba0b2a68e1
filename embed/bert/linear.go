package bert

import "github.com/engramdb/engram/vector"

// linearInt8 is a matrix of int8 with a scale for each output.
type linearInt8 struct {
	packed      *vector.PackedInt8
	scale, bias []float32
}

func (l *linearInt8) mul(w *workspace, dst, x []float32, rows int, after func([]float32)) {
	in, out := l.packed.Depth(), l.packed.Rows()
	step := w.rows()
	for from := 0; from < rows; from += step {
		w.piece()
		count := min(step, rows-from)
		quants, bytes, sums := w.quants[:count], w.bytes[:count*in], w.sums[:count*out]
		done := dst[from*out : (from+count)*out]
		vector.QuantizeRows(bytes, quants, x[from*in:(from+count)*in], in)
		vector.MatMulInt8(sums, bytes, count, l.packed)
		vector.Dequantize(done, sums, quants, l.packed, l.scale, l.bias)
		if after != nil {
			after(done)
		}
	}
}

// tableInt8 holds rows of int8 with a scale for each.
type tableInt8 struct {
	rows  []int8
	scale []float32
	width int
}

func (t *tableInt8) add(dst []float32, id int32) {
	row, scale := t.rows[int(id)*t.width:], t.scale[id]
	for i := range dst {
		dst[i] += float32(scale * float32(row[i]))
	}
}

// linearFloat32 is a matrix of float32, transposed: in x out.
type linearFloat32 struct {
	weights vector.Matrix
	bias    []float32
}

// newLinearFloat32 takes the matrix as it is published: a row for each output.
func newLinearFloat32(rows, bias []float32, in int) *linearFloat32 {
	out := len(bias)
	t := make([]float32, len(rows))
	for j := range out {
		for i := range in {
			t[i*out+j] = rows[j*in+i]
		}
	}
	return &linearFloat32{vector.Matrix{Data: t, Rows: in, Cols: out}, bias}
}

func (l *linearFloat32) mul(_ *workspace, dst, x []float32, rows int, after func([]float32)) {
	in, out := l.weights.Rows, l.weights.Cols
	vector.MatMulFloat32(vector.Matrix{Data: dst, Rows: rows, Cols: out}, vector.Matrix{Data: x, Rows: rows, Cols: in}, l.weights)
	for i := 0; i < rows*out; i += out {
		for j, b := range l.bias {
			dst[i+j] += b
		}
	}
	if after != nil {
		after(dst[:rows*out])
	}
}

// tableFloat32 holds rows of float32.
type tableFloat32 struct {
	rows  []float32
	width int
}

func (t *tableFloat32) add(dst []float32, id int32) {
	row := t.rows[int(id)*t.width:]
	for i := range dst {
		dst[i] += row[i]
	}
}
