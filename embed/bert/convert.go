package bert

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/tensors"
)

// Card is what a model's folder does not say, but the page about the model does.
type Card struct {
	Name    string // what the model is called: it stands in the provenance of each vector
	Licence string // for whoever finds the file

	Pooling    string  // mean or cls; empty: as the folder says, else mean
	TextPrefix *string // put before each text, such as e5's "passage: "; nil: as the folder says, else none
	CuePrefix  *string // put before each cue, likewise
}

// The longest names that are put into a file. They stand beside each vector.
const (
	maxName    = 128
	maxLicence = 256
)

// overrides lets the card say what the folder does not, or says wrong.
func (c Card) overrides(to *Config) error {
	if c.Name == "" || len(c.Name) > maxName || len(c.Licence) > maxLicence || strings.IndexFunc(c.Name+c.Licence, unprintable) >= 0 {
		return fmt.Errorf("%w: a name of 1-%d printable bytes is wanted, and a licence of at most %d", embed.ErrUnsupported, maxName, maxLicence)
	}
	to.Pooling = cmp.Or(c.Pooling, to.Pooling)
	if c.TextPrefix != nil {
		to.TextPrefix = *c.TextPrefix
	}
	if c.CuePrefix != nil {
		to.CuePrefix = *c.CuePrefix
	}
	return to.check()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Convert writes to w, as the file that Read reads, the model that is published in dir, in int8. The same folder and
// card give the same bytes on every machine.
//
// It returns embed.ErrUnsupported for a network or a tokenizer that cannot be run here, embed.ErrDamaged for files that
// do not belong together or are no model's, fs.ErrNotExist where one is missing. What was written then is of no use.
func Convert(w io.Writer, dir fs.FS, card Card) error {
	p, err := readPublished(dir, card.Name)
	if err != nil {
		return err
	}
	if err := card.overrides(&p.config); err != nil {
		return err
	}
	p.config.Version = "int8-1"
	out, err := p.int8()
	if err != nil {
		return err
	}
	return out.Write(w, about{Kind: kind, Config: p.config, Source: "sha256:" + p.digest, Licence: card.Licence})
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
