package bert

import (
	"io"
	"io/fs"
	"math"
	"strconv"

	"github.com/engramdb/engram/embed/tensors"
)

// Convert writes to w, as the file that Read reads, the model that is published in dir, in int8. licence is what the
// model's card says, for whoever finds the file. The same folder gives the same bytes on every machine.
func Convert(w io.Writer, dir fs.FS, name, licence string) error {
	p, err := readPublished(dir, name)
	if err != nil {
		return err
	}
	p.config.Version = "int8-1"
	out, err := p.int8()
	if err != nil {
		return err
	}
	return out.Write(w, about{Kind: kind, Config: p.config, Source: "sha256:" + p.digest, Licence: licence})
}

// int8 lays out the arrays, in the order in which they are used.
func (p *published) int8() (*tensors.Writer, error) {
	f, c, w := &floats{p: p}, p.config, &tensors.Writer{}
	w.AddText("vocabulary", p.vocabulary)
	addRows(w, "words", f.get("embeddings.word_embeddings.weight", c.Words, c.Hidden), c.Hidden)
	w.AddFloat32("places", f.places(), c.Hidden)
	addNorm(w, "norm", f.norm("embeddings"))
	for i := range c.Layers {
		from, to := layerName(i), "layer."+strconv.Itoa(i)+"."
		addMatrix(w, to+"qkv", f.qkv(from))
		addMatrix(w, to+"out", f.matrix(from+"attention.output.dense", c.Hidden, c.Hidden))
		addNorm(w, to+"attention", f.norm(from+"attention.output"))
		addMatrix(w, to+"up", f.matrix(from+"intermediate.dense", c.Inner, c.Hidden))
		addMatrix(w, to+"down", f.matrix(from+"output.dense", c.Hidden, c.Inner))
		addNorm(w, to+"output", f.norm(from+"output"))
	}
	if f.err != nil {
		return nil, f.err
	}
	_, err := assemble(&network{config: c}, p.vocabulary)
	return w, err
}

func addNorm(w *tensors.Writer, name string, n norm) {
	w.AddFloat32(name+".gain", n.gain, len(n.gain))
	w.AddFloat32(name+".bias", n.bias, len(n.bias))
}

func addMatrix(w *tensors.Writer, name string, m matrix) {
	addRows(w, name, m.rows, m.in)
	w.AddFloat32(name+".bias", m.bias, len(m.bias))
}

// addRows adds rows as int8 with a scale for each.
func addRows(w *tensors.Writer, name string, rows []float32, width int) {
	bytes, scales := make([]int8, len(rows)), make([]float32, len(rows)/width)
	for i := range scales {
		scales[i] = Quantize(bytes[i*width:(i+1)*width], rows[i*width:(i+1)*width])
	}
	w.AddInt8(name, bytes, width)
	w.AddFloat32(name+".scale", scales, len(scales))
}

// Quantize writes a row as whole multiples of the scale that it returns: the largest number becomes 127. Division is
// rounded alike everywhere, so that the bytes are.
func Quantize(dst []int8, row []float32) float32 {
	largest := 0.0
	for _, x := range row {
		largest = max(largest, math.Abs(float64(x)))
	}
	scale := float32(largest / 127)
	if scale == 0 {
		clear(dst)
		return 0
	}
	for i, x := range row {
		dst[i] = int8(min(max(math.RoundToEven(float64(x)/float64(scale)), -127), 127))
	}
	return scale
}
