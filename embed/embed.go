// Package embed turns text into vectors: what a model is, what it may refuse, and where models are looked up by name.
//
// # The problem
//
// Memories are found by meaning when near meanings are near vectors. Who makes the vectors differs: a transformer in the
// binary, a table in the binary, a directory of weights, a server elsewhere. Vectors of two models cannot be compared, so
// each vector must say whose it is; and a database must be able to find the same model again after a restart.
//
// # The solution
//
// A [Model] is one method that embeds, and an [Info] that says exactly which model it is: its Digest covers every number
// that can change a vector. Models that live in the binary register themselves when their package is imported, as image
// formats do, so a program carries the weights of those alone that it imports:
//
//	import _ "github.com/engramdb/engram/embed/minilm" // all-MiniLM-L6-v2, 23 MB
//	import _ "github.com/engramdb/engram/embed/static" // a table of words, 8 MB
//
//	m, err := embed.Open("minilm")
//
// The packages below: wordpiece cuts text into tokens; bert is the network of the BERT family, in float32 and in int8;
// minilm and static are models with their weights; remote asks servers; tensors is the file that weights lie in; distill
// and minilm/convert are the commands that made the files.
//
// # Long text
//
// A model reads at most Info.MaxTokens of a text, as its reference does, and takes no notice of the rest: no error, no
// mean over parts. A mean over parts was left out because it is near to everything that a long text touches and nearest
// to nothing; a long text is to be cut into passages with a vector each, by the caller, who alone can cite the passage
// that was found. [Counter] tells whether a text fits.
package embed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Model turns texts into vectors. It is safe for concurrent use.
type Model interface {
	// Info says which model it is. It does not change, and costs nothing.
	Info() Info

	// Embed returns a vector of length 1 for each text, in order. The slices are the caller's. A vector depends on its
	// text alone: not on the other texts of the call, nor on what goes on beside it.
	//
	// It returns vectors for all texts or an error:
	//
	//   - a *[TextError] with [ErrEmpty] for a text without a token: empty, or nothing but space and control characters;
	//   - [ErrDamaged] if the model's file is not what was written;
	//   - a *remote.Error if a server does not do what was asked;
	//   - what ctx says when it ends.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Info is the provenance of a vector.
type Info struct {
	// Name is what the model is called, by us and by whoever made it.
	Name string
	// Version tells apart models of one name: revision and arithmetic.
	Version string
	// Digest is SHA-256 in hexadecimal over all that can change a vector: weights, vocabulary, settings. Of a remote
	// model, whose weights cannot be seen, it covers the address and the settings.
	Digest string
	// Dimension is the length of a vector.
	Dimension int
	// MaxTokens is how much of a text is read, in the model's tokens, the special ones among them. 0 means all of it.
	MaxTokens int
}

// Counter is a model that can count a text's tokens as it would read them.
type Counter interface {
	// Tokens is the number of tokens of the whole text, the special ones among them: above Info.MaxTokens, the text's end
	// is not read.
	Tokens(text string) int
}

// CueModel is a model that reads what is asked otherwise than what is to be found: some were trained with a word before
// each. Its Embed is for texts.
type CueModel interface {
	// EmbedCues is Embed for cues.
	EmbedCues(ctx context.Context, cues []string) ([][]float32, error)
}

// Cues embeds what is asked: by EmbedCues if the model is a CueModel, else by Embed.
func Cues(ctx context.Context, m Model, cues []string) ([][]float32, error) {
	if c, ok := m.(CueModel); ok {
		return c.EmbedCues(ctx, cues)
	}
	return m.Embed(ctx, cues)
}

// QuickModel is a model that takes some microseconds for a text: whoever stores one can wait for its vector.
type QuickModel interface {
	Model
	// EmbedOne is Embed for one text. The error is ErrEmpty itself for a text without a token.
	EmbedOne(text string) ([]float32, error)
}

// Fusion says how the nearness of a model's vectors is joined with a score of words. The zero value is the caller's
// way for models that say nothing.
type Fusion struct {
	// Vector is the weight of nearness, in standard deviations, for 1 of words.
	Vector float64
	// Space says that the deviations are those over all that may be found, and not over the best candidates: so a model
	// that tells everything a little apart and nothing clearly says less than words that few texts hold.
	Space bool
}

// FusedModel is a model that says how it is joined with words.
type FusedModel interface {
	Model
	Fusion() Fusion
}

// FusionOf is what a model says; zero for one that says nothing.
func FusionOf(m Model) Fusion {
	if f, ok := m.(FusedModel); ok {
		return f.Fusion()
	}
	return Fusion{}
}

// Errors that a caller acts on.
var (
	// ErrEmpty says that a text has nothing to embed. It comes inside a *TextError. Keep such a text without a vector.
	ErrEmpty = errors.New("nothing to embed in the text")
	// ErrUnknown says that no model has that name in this program: its package is not imported, or it was removed.
	ErrUnknown = errors.New("unknown model")
	// ErrDamaged says that a model's file is cut short, altered, or not a model's. The vectors made before are not touched
	// by it; put the file back.
	ErrDamaged = errors.New("model file is damaged")
	// ErrUnsupported says that a model is whole but of a kind that cannot be run here.
	ErrUnsupported = errors.New("model is not supported")
)

// TextError says which text of a call was refused. Nothing was embedded.
type TextError struct {
	Index int // in the texts of the call
	Err   error
}

func (e *TextError) Error() string { return fmt.Sprintf("text %d: %v", e.Index, e.Err) }
func (e *TextError) Unwrap() error { return e.Err }

// registry maps names to what opens their models.
var registry = struct {
	sync.Mutex
	open map[string]func() (Model, error)
}{open: map[string]func() (Model, error){}}

// Register makes a model known under a name. open is called once for each Open, and should be cheap: weights that take
// time are for the first Embed. A second model of the same name is a bug and panics.
func Register(name string, open func() (Model, error)) {
	registry.Lock()
	defer registry.Unlock()
	if _, twice := registry.open[name]; twice {
		panic("embed: model " + name + " registered twice")
	}
	registry.open[name] = open
}

// Open returns the model that is registered under a name, or ErrUnknown.
func Open(name string) (Model, error) {
	registry.Lock()
	open := registry.open[name]
	registry.Unlock()
	if open == nil {
		return nil, fmt.Errorf("%w %q (known: %v)", ErrUnknown, name, Names())
	}
	m, err := open()
	if err != nil {
		return nil, fmt.Errorf("open model %q: %w", name, err)
	}
	return m, nil
}

// Names lists the registered models in alphabetical order.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	names := []string{}
	for name := range registry.open {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
