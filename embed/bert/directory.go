package bert

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/tensors"
)

// published is a model as it is published: a folder with config.json, model.safetensors, and vocab.txt or
// tokenizer.json; and, of sentence-transformers, sentence_bert_config.json and 1_Pooling/config.json.
type published struct {
	config     Config
	weights    *tensors.Safe
	prefix     string // of the names of arrays: "" or "bert."
	vocabulary string
	digest     string // SHA-256 of the safetensors
}

// readPublished reads a folder. What it does not find to be a network that can be run here is embed.ErrUnsupported.
func readPublished(dir fs.FS, name string) (*published, error) {
	var c struct {
		Type     string  `json:"model_type"`
		Act      string  `json:"hidden_act"`
		Position string  `json:"position_embedding_type"`
		Layers   int     `json:"num_hidden_layers"`
		Hidden   int     `json:"hidden_size"`
		Heads    int     `json:"num_attention_heads"`
		Inner    int     `json:"intermediate_size"`
		Words    int     `json:"vocab_size"`
		Places   int     `json:"max_position_embeddings"`
		Epsilon  float64 `json:"layer_norm_eps"`
	}
	if err := readJSON(dir, "config.json", &c); err != nil {
		return nil, err
	}
	if c.Type != "bert" || c.Act != "gelu" || c.Position != "" && c.Position != "absolute" {
		return nil, fmt.Errorf("%w: model type %q, activation %q, positions %q", embed.ErrUnsupported, c.Type, c.Act, c.Position)
	}
	p := &published{config: Config{Name: name, Layers: c.Layers, Hidden: c.Hidden, Heads: c.Heads, Inner: c.Inner, Words: c.Words, Epsilon: c.Epsilon}}
	if err := p.sentence(dir, c.Places); err != nil {
		return nil, err
	}
	if err := p.config.check(); err != nil {
		return nil, err
	}
	if err := p.readVocabulary(dir); err != nil {
		return nil, err
	}
	return p, p.readWeights(dir)
}

// sentence reads how a sentence's vector is made: how much of it is read, after what, and how its rows become one.
func (p *published) sentence(dir fs.FS, places int) error {
	var s struct {
		Max int `json:"max_seq_length"`
	}
	if err := readJSON(dir, "sentence_bert_config.json", &s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if p.config.MaxTokens = s.Max; s.Max == 0 || s.Max > places {
		p.config.MaxTokens = places
	}
	if err := p.prefixes(dir); err != nil {
		return err
	}
	return p.pooling(dir)
}

// prefixes reads what is to stand before texts and cues, where sentence-transformers notes it.
func (p *published) prefixes(dir fs.FS) error {
	var s struct {
		Prompts map[string]string `json:"prompts"`
	}
	if err := readJSON(dir, "config_sentence_transformers.json", &s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.config.CuePrefix = s.Prompts["query"]
	p.config.TextPrefix = cmp.Or(s.Prompts["document"], s.Prompts["passage"])
	return nil
}

// pooling reads how the rows of a text's tokens become one.
func (p *published) pooling(dir fs.FS) error {
	var pool struct {
		Mean bool `json:"pooling_mode_mean_tokens"`
		CLS  bool `json:"pooling_mode_cls_token"`
		Max  bool `json:"pooling_mode_max_tokens"`
		Root bool `json:"pooling_mode_mean_sqrt_len_tokens"`
	}
	err := readJSON(dir, "1_Pooling/config.json", &pool)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && pool.Mean && !pool.CLS && !pool.Max && !pool.Root:
		p.config.Pooling = "mean"
	case err == nil && pool.CLS && !pool.Mean && !pool.Max && !pool.Root:
		p.config.Pooling = "cls"
	case err == nil:
		return fmt.Errorf("%w: pooling %+v", embed.ErrUnsupported, pool)
	default:
		return err
	}
	return nil
}

// readVocabulary reads vocab.txt or, if there is none, the vocabulary in tokenizer.json; a cased one is refused.
func (p *published) readVocabulary(dir fs.FS) error {
	var t struct {
		Lower *bool `json:"do_lower_case"`
	}
	if err := readJSON(dir, "tokenizer_config.json", &t); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.Lower != nil && !*t.Lower {
		return fmt.Errorf("%w: a tokenizer that tells upper from lower case", embed.ErrUnsupported)
	}
	b, err := fs.ReadFile(dir, "vocab.txt")
	if err == nil {
		p.vocabulary = strings.ReplaceAll(string(b), "\r\n", "\n")
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.vocabularyOfTokenizer(dir)
}

func (p *published) vocabularyOfTokenizer(dir fs.FS) error {
	var t struct {
		Normalizer struct {
			Type  string `json:"type"`
			Lower bool   `json:"lowercase"`
		} `json:"normalizer"`
		Model struct {
			Type  string         `json:"type"`
			Vocab map[string]int `json:"vocab"`
		} `json:"model"`
	}
	if err := readJSON(dir, "tokenizer.json", &t); err != nil {
		return err
	}
	if t.Model.Type != "WordPiece" || t.Normalizer.Type != "BertNormalizer" || !t.Normalizer.Lower {
		return fmt.Errorf("%w: tokenizer %q after %q (lower case %v)", embed.ErrUnsupported, t.Model.Type, t.Normalizer.Type, t.Normalizer.Lower)
	}
	words := make([]string, len(t.Model.Vocab))
	for w, id := range t.Model.Vocab {
		if id < 0 || id >= len(words) || words[id] != "" {
			return fmt.Errorf("%w: token %q has the number %d of %d", embed.ErrDamaged, w, id, len(words))
		}
		words[id] = w
	}
	p.vocabulary = strings.Join(words, "\n") + "\n"
	return nil
}

func (p *published) readWeights(dir fs.FS) error {
	b, err := fs.ReadFile(dir, "model.safetensors")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: other forms of weights, such as pytorch_model.bin, are not read, as they can hold programs", err)
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	p.digest = hex.EncodeToString(sum[:])
	if p.weights, err = tensors.ReadSafe(b); err != nil {
		return err
	}
	if p.weights.Has("bert.embeddings.word_embeddings.weight") {
		p.prefix = "bert."
	}
	return nil
}

// maxJSON bounds what is read of a settings file; a tokenizer.json has half a megabyte.
const maxJSON = 64 << 20

func readJSON(dir fs.FS, name string, v any) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %w", embed.ErrDamaged, name, err)
	}
	return nil
}

// floats takes arrays of a published model and keeps the first error.
type floats struct {
	p   *published
	err error
}

func (f *floats) get(name string, shape ...int) []float32 {
	v, err := f.p.weights.Float32(f.p.prefix+name, shape...)
	if f.err == nil {
		f.err = err
	}
	if err != nil { // of the right size, so that who takes it need not look
		n := 1
		for _, s := range shape {
			n *= s
		}
		v = make([]float32, n)
	}
	return v
}

// matrix is a linear layer: rows of weights, one for each output, and a bias.
type matrix struct {
	rows, bias []float32
	in         int
}

func (f *floats) matrix(name string, out, in int) matrix {
	return matrix{f.get(name+".weight", out, in), f.get(name+".bias", out), in}
}

func (f *floats) norm(name string) norm {
	return norm{f.get(name+".LayerNorm.weight", f.p.config.Hidden), f.get(name+".LayerNorm.bias", f.p.config.Hidden)}
}

// qkv is the three matrices of a layer's attention as one.
func (f *floats) qkv(layer string) matrix {
	h := f.p.config.Hidden
	q := f.matrix(layer+"attention.self.query", h, h)
	k := f.matrix(layer+"attention.self.key", h, h)
	v := f.matrix(layer+"attention.self.value", h, h)
	return matrix{slices.Concat(q.rows, k.rows, v.rows), slices.Concat(q.bias, k.bias, v.bias), h}
}

// places are the embeddings of places that can be reached, with that of token type 0, which all tokens are of.
func (f *floats) places() []float32 {
	c := f.p.config
	shape := f.p.weights.Shape(f.p.prefix + "embeddings.position_embeddings.weight")
	types := f.p.weights.Shape(f.p.prefix + "embeddings.token_type_embeddings.weight")
	if len(shape) != 2 || shape[0] < c.MaxTokens || len(types) != 2 || types[0] < 1 {
		f.err = fmt.Errorf("%w: places of shape %v, token types of %v", embed.ErrDamaged, shape, types)
		return nil
	}
	all := f.get("embeddings.position_embeddings.weight", shape[0], c.Hidden)[:c.MaxTokens*c.Hidden]
	kind := f.get("embeddings.token_type_embeddings.weight", types[0], c.Hidden)
	for i := range all {
		all[i] += kind[i%c.Hidden]
	}
	return all
}

func layerName(i int) string { return fmt.Sprintf("encoder.layer.%d.", i) }

// OpenFloat32 makes a model of a folder as models are published, in float32: what the int8 form is compared with. It
// takes four times the memory of the int8 form and is several times slower.
func OpenFloat32(dir fs.FS, name string, o Options) (*Model, error) {
	p, err := readPublished(dir, name)
	if err != nil {
		return nil, err
	}
	p.config.Version = "float32"
	built, err := p.float32()
	if err != nil {
		return nil, err
	}
	return newModel(p.config, p.digest, o, func() (*parts, error) { return built, nil }), nil
}

func (p *published) float32() (*parts, error) {
	f, c := &floats{p: p}, p.config
	n := &network{
		config: c,
		words:  &tableFloat32{rows: f.get("embeddings.word_embeddings.weight", c.Words, c.Hidden), width: c.Hidden},
		places: f.places(),
		norm:   f.norm("embeddings"),
	}
	lin := func(m matrix) linear { return newLinearFloat32(m.rows, m.bias, m.in) }
	for i := range c.Layers {
		name := layerName(i)
		n.layers = append(n.layers, layer{
			qkv:       lin(f.qkv(name)),
			out:       lin(f.matrix(name+"attention.output.dense", c.Hidden, c.Hidden)),
			attention: f.norm(name + "attention.output"),
			up:        lin(f.matrix(name+"intermediate.dense", c.Inner, c.Hidden)),
			down:      lin(f.matrix(name+"output.dense", c.Hidden, c.Inner)),
			output:    f.norm(name + "output"),
		})
	}
	if f.err != nil {
		return nil, f.err
	}
	return assemble(n, p.vocabulary)
}
