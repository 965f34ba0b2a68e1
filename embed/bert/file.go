package bert

import (
	"fmt"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/embed/wordpiece"
	"github.com/engramdb/engram/vector"
)

// kind is what the header of a file with a network in it says that it is.
const kind = "bert-int8"

// about is the JSON object in the header of a file.
type about struct {
	Kind    string `json:"kind"`
	Config  Config `json:"config"`
	Source  string `json:"source"` // SHA-256 of the safetensors that it was made from
	Licence string `json:"licence"`
}

// Read makes a model of a file as Convert writes it, and keeps the slice, which must not change: the table of words is
// read where it lies. It looks at the header only; the rest is checked and unpacked (11 MB for all-MiniLM-L6-v2) at the
// first use, which then returns embed.ErrDamaged if a byte is wrong.
func Read(file []byte, o Options) (*Model, error) {
	f, err := tensors.Read(file)
	if err != nil {
		return nil, err
	}
	var a about
	if err := f.About(&a); err != nil {
		return nil, err
	}
	if a.Kind != kind {
		return nil, fmt.Errorf("%w: a file of kind %q, not %q", embed.ErrUnsupported, a.Kind, kind)
	}
	if err := a.Config.check(); err != nil {
		return nil, err
	}
	m := newModel(a.Config, f.Digest(), o, func() (*parts, error) { return load(f, a.Config) })
	m.source, m.licence = a.Source, a.Licence
	return m, nil
}

// Source is what the weights were converted from: "sha256:" and the digest of the safetensors. Empty if the model was
// not read from a file.
func (m *Model) Source() string { return m.source }

// Licence is what whoever converted the model said of it.
func (m *Model) Licence() string { return m.licence }

// load takes the weights out of a file.
func load(f *tensors.File, c Config) (*parts, error) {
	r := reader{f: f}
	n := &network{
		config: c,
		words:  &tableInt8{rows: r.int8("words", c.Words, c.Hidden), scale: r.float32("words.scale", 1, c.Words), width: c.Hidden},
		places: r.float32("places", c.MaxTokens, c.Hidden),
		norm:   r.norm("norm", c.Hidden),
	}
	for i := range c.Layers {
		name := fmt.Sprintf("layer.%d.", i)
		n.layers = append(n.layers, layer{
			qkv:       r.linear(name+"qkv", 3*c.Hidden, c.Hidden),
			out:       r.linear(name+"out", c.Hidden, c.Hidden),
			attention: r.norm(name+"attention", c.Hidden),
			up:        r.linear(name+"up", c.Inner, c.Hidden),
			down:      r.linear(name+"down", c.Hidden, c.Inner),
			output:    r.norm(name+"output", c.Hidden),
		})
	}
	vocabulary := r.text("vocabulary")
	if r.err != nil {
		return nil, r.err
	}
	return assemble(n, vocabulary)
}

// assemble joins a network and its vocabulary, which must be of one size.
func assemble(n *network, vocabulary string) (*parts, error) {
	t, err := wordpiece.New(vocabulary)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", embed.ErrDamaged, err)
	}
	if t.Len() != n.config.Words {
		return nil, fmt.Errorf("%w: a vocabulary of %d tokens for a table of %d", embed.ErrDamaged, t.Len(), n.config.Words)
	}
	return &parts{tokens: t, net: n}, nil
}

// reader takes arrays out of a file and keeps the first error.
type reader struct {
	f   *tensors.File
	err error
}

func keep[T any](r *reader, v T, err error) T {
	if r.err == nil {
		r.err = err
	}
	return v
}

func (r *reader) int8(name string, rows, cols int) []int8 {
	v, err := r.f.Int8(name, rows, cols)
	return keep(r, v, err)
}

func (r *reader) float32(name string, rows, cols int) []float32 {
	v, err := r.f.Float32(name, rows, cols)
	return keep(r, v, err)
}

func (r *reader) text(name string) string {
	v, err := r.f.Text(name)
	return keep(r, v, err)
}

func (r *reader) norm(name string, width int) norm {
	return norm{gain: r.float32(name+".gain", 1, width), bias: r.float32(name+".bias", 1, width)}
}

func (r *reader) linear(name string, out, in int) linear {
	weights := r.int8(name, out, in)
	l := &linearInt8{scale: r.float32(name+".scale", 1, out), bias: r.float32(name+".bias", 1, out)}
	if r.err == nil {
		l.packed = vector.PackInt8(weights, out, in)
	}
	return l
}
