// Package bert runs the networks of the BERT family that turn a text into a vector: MiniLM, bge, gte, e5.
//
// # The problem
//
// A vector for what was just said, and for what is just asked, on one core, beside a database that needs the other
// cores: 24 words in about two milliseconds, without a library in C, and the same vector for the same text always.
//
// # The solution
//
// One network, written over an interface of one method, a matrix that multiplies; of which there are two:
//
//   - int8 ([Read]): weights are int8 with a scale for each output (docs/format/model.md), each row of activations is
//     brought to bytes by its own range, products are added as integers, exactly. Everything between the matrices is
//     float32. This is what is used: a quarter of the memory, and four times as fast.
//   - float32 ([OpenFloat32]): weights as published, to compare with. It is the reference of the other in tests.
//
// Texts are laid one behind the other, without padding: rows of all texts go through a matrix together, and attention is
// taken text by text. Since every step but attention looks at single rows, and sums are added in a fixed order, a
// vector depends on its text alone, whatever it is embedded with.
//
// Work goes in packs of some 256 tokens, so that what is in between (3 MB) does not grow with the call, and within a
// pack through each matrix in blocks of 64 rows, so that sums are turned into numbers while they are in the cache.
//
// # Accuracy and speed
//
// Of all-MiniLM-L6-v2, on one core with AVX-512: 650 turns of 27 words a second, a cue of 12 words in 0.6 ms; int8 has a
// mean cosine of .9987 with the reference over 2,760 turns, and none below .995. docs/decisions/0006-models.md has the
// tables.
//
// # What was left out
//
//   - One range for a whole matrix of activations, as onnxruntime has: a row with one large number makes all others
//     coarse: mean cosine .95 to .994, by what else is quantised.
//   - Attention in int8: a hundredth of the work at 30 tokens, an eighth at 256.
//   - Sorting texts by length: it is padding that makes lengths matter, and there is none.
package bert

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/wordpiece"
)

// Config says what a network is. It is in the header of a model file.
type Config struct {
	Name      string  `json:"name"`
	Version   string  `json:"version"`
	Layers    int     `json:"layers"`
	Hidden    int     `json:"hidden"`
	Heads     int     `json:"heads"`
	Inner     int     `json:"inner"`      // width between the two matrices of a layer's second half
	Words     int     `json:"words"`      // tokens in the vocabulary
	MaxTokens int     `json:"max_tokens"` // read of a text, with [CLS] and [SEP]
	Epsilon   float64 `json:"epsilon"`    // of the layer norms
	Pooling   string  `json:"pooling"`    // "mean" or "cls"

	// What the model was trained to see before each text and each cue, such as e5's "passage: " and "query: ".
	TextPrefix string `json:"text_prefix,omitempty"`
	CuePrefix  string `json:"cue_prefix,omitempty"`
}

// The largest networks that are read. They bound what a damaged header can make us allocate.
const (
	maxLayers = 64
	maxWidth  = 1 << 14
	maxWords  = 1 << 20
	maxRead   = 1 << 13
	maxPrefix = 1 << 10
)

// check says whether a network of these numbers can be built.
func (c Config) check() error {
	switch {
	case c.Layers < 1 || c.Layers > maxLayers, c.Hidden < 1 || c.Hidden > maxWidth, c.Inner < 1 || c.Inner > maxWidth,
		c.Words < 1 || c.Words > maxWords, c.MaxTokens < 3 || c.MaxTokens > maxRead:
		return fmt.Errorf("%w: sizes of the network: %+v", embed.ErrUnsupported, c)
	case c.Heads < 1 || c.Hidden%c.Heads != 0:
		return fmt.Errorf("%w: %d heads do not divide %d numbers", embed.ErrUnsupported, c.Heads, c.Hidden)
	case !(c.Epsilon > 0 && c.Epsilon < 1):
		return fmt.Errorf("%w: epsilon %v", embed.ErrUnsupported, c.Epsilon)
	case len(c.TextPrefix) > maxPrefix || len(c.CuePrefix) > maxPrefix:
		return fmt.Errorf("%w: a prefix of more than %d bytes", embed.ErrUnsupported, maxPrefix)
	case c.Pooling != "mean" && c.Pooling != "cls":
		return fmt.Errorf("%w: pooling %q", embed.ErrUnsupported, c.Pooling)
	}
	return nil
}

// Options are how a model runs. The zero value means the defaults.
type Options struct {
	// Threads is the most goroutines that one call of Embed computes in. Default 1: who embeds in the background must not
	// take a core from who recalls. The vectors are the same whatever it is.
	Threads int
}

// Model is a network with its vocabulary. It does not change: safe for concurrent use.
type Model struct {
	config  Config
	info    embed.Info
	source  string
	licence string
	threads int
	parts   func() (*parts, error) // loaded and checked at the first use
	spaces  sync.Pool              // of *workspace
}

// parts are what a model needs before it can embed.
type parts struct {
	tokens *wordpiece.Tokenizer
	net    *network
}

func newModel(c Config, digest string, o Options, load func() (*parts, error)) *Model {
	m := &Model{config: c, threads: max(o.Threads, 1), parts: sync.OnceValues(load)}
	m.info = embed.Info{Name: c.Name, Version: c.Version, Digest: digest, Dimension: c.Hidden, MaxTokens: c.MaxTokens}
	m.spaces.New = func() any { return newWorkspace(c) }
	return m
}

// Info is the provenance of the model's vectors.
func (m *Model) Info() embed.Info { return m.info }

// Warm loads the weights, which otherwise the first Embed does: about 30 ms for all-MiniLM-L6-v2. An error is that of
// every later Embed.
func (m *Model) Warm() error {
	_, err := m.parts()
	return err
}

// Tokens counts the tokens of the whole text, with [CLS], [SEP] and a prefix; 0 if the model cannot be loaded.
func (m *Model) Tokens(text string) int {
	p, err := m.parts()
	if err != nil {
		return 0
	}
	return len(p.tokens.Append(nil, m.config.TextPrefix+text, -1)) + 2
}

// Embed returns a vector of length 1 for each text; see embed.Model. The text beyond MaxTokens is not read. Between packs
// of texts it looks whether ctx has ended: it returns within some 20 ms of that.
func (m *Model) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	return m.embedAfter(ctx, m.config.TextPrefix, texts)
}

// EmbedCues is Embed for what is asked: the same, but for a model that was trained with a prefix before each.
func (m *Model) EmbedCues(ctx context.Context, cues []string) ([][]float32, error) {
	return m.embedAfter(ctx, m.config.CuePrefix, cues)
}

func (m *Model) embedAfter(ctx context.Context, prefix string, texts []string) ([][]float32, error) {
	p, err := m.parts()
	if err != nil {
		return nil, err
	}
	least := len(p.tokens.Encode(nil, prefix, m.config.MaxTokens))
	packs, err := fill(len(texts), func(ids []int32, i int) ([]int32, error) {
		with := p.tokens.Encode(ids, prefix+texts[i], m.config.MaxTokens)
		if len(with)-len(ids) <= least {
			return nil, &embed.TextError{Index: i, Err: embed.ErrEmpty}
		}
		return with, nil
	})
	if err != nil {
		return nil, err
	}
	return m.embed(ctx, p.net, packs, len(texts))
}

// EmbedTokens is Embed of texts that are tokens already, [CLS] and [SEP] among them: for whoever distils the model and
// wants the vector of a part of a word. Each has at least one token and at most MaxTokens.
func (m *Model) EmbedTokens(ctx context.Context, texts [][]int32) ([][]float32, error) {
	p, err := m.parts()
	if err != nil {
		return nil, err
	}
	packs, err := fill(len(texts), func(ids []int32, i int) ([]int32, error) {
		for _, id := range texts[i] {
			if id < 0 || int(id) >= m.config.Words {
				return nil, &embed.TextError{Index: i, Err: fmt.Errorf("token %d of a vocabulary of %d", id, m.config.Words)}
			}
		}
		if n := len(texts[i]); n == 0 || n > m.config.MaxTokens {
			return nil, &embed.TextError{Index: i, Err: fmt.Errorf("%d tokens, of at most %d: %w", n, m.config.MaxTokens, embed.ErrEmpty)}
		}
		return append(ids, texts[i]...), nil
	})
	if err != nil {
		return nil, err
	}
	return m.embed(ctx, p.net, packs, len(texts))
}

func (m *Model) embed(ctx context.Context, net *network, packs []pack, count int) ([][]float32, error) {
	vectors := make([][]float32, count)
	err := m.each(ctx, packs, func(w *workspace, k pack) error { return net.embed(w, k, vectors[k.first:]) })
	if err != nil {
		return nil, err
	}
	return vectors, nil
}

// each runs do over the packs, in as many goroutines as may be, and returns when all have ended.
func (m *Model) each(ctx context.Context, packs []pack, do func(*workspace, pack) error) error {
	threads := min(m.threads, len(packs))
	errs := make([]error, max(threads, 1))
	work := func(n int) {
		w := m.spaces.Get().(*workspace)
		defer m.spaces.Put(w)
		if w.aside = nil; n == 0 { // it is for one goroutine
			w.aside = embed.AsideOf(ctx)
		}
		for i := n; i < len(packs) && errs[n] == nil; i += threads {
			if errs[n] = ctx.Err(); errs[n] == nil {
				errs[n] = do(w, packs[i])
			}
		}
	}
	var others sync.WaitGroup
	for n := 1; n < threads; n++ {
		others.Go(func() { work(n) })
	}
	if threads > 0 {
		work(0)
	}
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// packTokens is how many tokens a pack is filled up to; a single text may have more.
const packTokens = 256

// pack is a run of texts that go through the network together.
type pack struct {
	first int     // the index of the first text
	ids   []int32 // the tokens of all, one text behind the other
	ends  []int   // where in ids each text ends
}

// fill fills packs with texts, in order; add appends the tokens of text i.
func fill(texts int, add func(ids []int32, i int) ([]int32, error)) ([]pack, error) {
	var packs []pack
	var now pack
	for i := range texts {
		before := len(now.ids)
		ids, err := add(now.ids, i)
		if err != nil {
			return nil, err
		}
		if before > 0 && len(ids) > packTokens {
			packs = append(packs, now)
			now = pack{first: i}
			ids = append([]int32(nil), ids[before:]...)
		}
		now.ids, now.ends = ids, append(now.ends, len(ids))
	}
	if len(now.ends) > 0 {
		packs = append(packs, now)
	}
	return packs, nil
}

// unit returns the vector at length 1, or an error if it has no direction: the weights are not what they should be.
func unit(v []float64) ([]float32, error) {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	if norm := math.Sqrt(sum); norm > 0 && norm < math.MaxFloat32 {
		out := make([]float32, len(v))
		for i, x := range v {
			out[i] = float32(x / norm)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: a vector of length %v", embed.ErrDamaged, math.Sqrt(sum))
}
