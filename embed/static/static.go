// Package static is a table of a vector for each word of a language, in the binary: text to vector in 6 microseconds.
//
// # The problem
//
// A transformer reads some five hundred turns a second on a core. A space that takes in faster, or a machine that has no
// core to spare, still wants memories to be found by other words.
//
// # The solution
//
// What a transformer makes of a text is, for a short text, near to a sum of what it makes of the words. The table holds
// the best such sum: a row of 256 numbers for each token of the vocabulary, so that the sum of a text's rows, brought to
// length 1, is nearest to the teacher's vector over a quarter of a million short texts. How much a word weighs comes out
// of that too: the rows of "the" and "of" are short. It takes 8 MB (int8, a scale a row), and no time to load.
//
// The same table is a thesaurus: [Table.Thesaurus] gives the stems (or words) whose rows lie nearest, by which the terms of
// a query are widened.
//
// The command embed/distill makes table.bin; PROVENANCE.md says from what. The teacher is all-MiniLM-L6-v2, the texts are
// the definitions and examples of WordNet: no text that we measure on.
//
// # Numbers
//
// See docs/decisions/0006-models.md. In short: fused with BM25 it finds 4.6 points more of LoCoMo's evidence than BM25
// alone, where the transformer finds 5.4; on HotpotQA and NPL, where the transformer adds 6 to 8, it adds nothing to
// speak of. 190,000 turns a second on a core.
//
// # What was left out
//
//   - Rows as the teacher gives them for single words, weighted by the logarithm of their rank (the usual static model):
//     48 % of LoCoMo's evidence in the first ten alone, where the fitted table finds 56.
//   - Numbers for pairs of words, for context: that is what the transformer is for.
//
// # Known holes
//
// Order does not matter: "dog bites man" is "man bites dog". Words outside of the vocabulary are the sum of their parts.
// The texts are English; of other languages it knows little more than that equal words are equal.
package static

import (
	"context"
	_ "embed" // for the table
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/embed/wordpiece"
)

// Name is what the model and the thesaurus are registered under.
const Name = "static"

// Kind is what the header of a table says that it is.
const Kind = "static-int8"

// About is the JSON object in the header of a table.
type About struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Dimension int    `json:"dimension"`
	First     int    `json:"first"`  // the token that the first row is of; those before have none
	Words     int    `json:"words"`  // tokens in the vocabulary
	Source    string `json:"source"` // what it was distilled from
	Licence   string `json:"licence"`
}

// maxTokens is how much of a text is read: four passages. A mean of more is near to everything.
const maxTokens = 512

//go:embed table.bin
var table string

func init() {
	embed.Register(Name, func() (embed.Model, error) { return Open() })
	embed.RegisterThesaurus(Name, embed.ThesaurusOf{Language: "en", Make: func(class func(string) string) (embed.Thesaurus, error) {
		t, err := Open()
		if err != nil {
			return nil, err
		}
		return t.Thesaurus(class)
	}})
}

// Open returns the table in the binary. It is opened once; further calls return the same.
func Open() (*Table, error) { return opened() }

var opened = sync.OnceValues(func() (*Table, error) {
	return Read(unsafe.Slice(unsafe.StringData(table), len(table)))
})

// Table is a table of words. It is safe for concurrent use.
type Table struct {
	info  embed.Info
	about About
	load  func() (*words, error) // checked at the first use
	words func() (*Thesaurus, error)
}

// words are what a table needs before it can embed.
type words struct {
	tokens    *wordpiece.Tokenizer
	rows      []int8
	scale     []float32
	dimension int
	first     int
}

// Read makes a table of a file as embed/distill writes it, and keeps the slice, which must not change. It looks at the
// header only; the rest is checked at the first use, which then returns embed.ErrDamaged if a byte is wrong.
func Read(file []byte) (*Table, error) {
	f, err := tensors.Read(file)
	if err != nil {
		return nil, err
	}
	var a About
	if err := f.About(&a); err != nil {
		return nil, err
	}
	if a.Kind != Kind || a.Dimension < 1 || a.Dimension > 1<<14 || a.Words < 1 || a.Words > 1<<20 || a.First < 0 || a.First >= a.Words {
		return nil, fmt.Errorf("%w: a table of %+v", embed.ErrUnsupported, a)
	}
	t := &Table{about: a, load: sync.OnceValues(func() (*words, error) { return load(f, a) })}
	t.words = sync.OnceValues(func() (*Thesaurus, error) { return t.Thesaurus(nil) })
	t.info = embed.Info{Name: a.Name, Version: a.Version, Digest: f.Digest(), Dimension: a.Dimension, MaxTokens: maxTokens}
	return t, nil
}

// load takes the table out of a file.
func load(f *tensors.File, a About) (*words, error) {
	w := &words{dimension: a.Dimension, first: a.First}
	var err error
	if w.rows, err = f.Int8("rows", a.Words-a.First, a.Dimension); err != nil {
		return nil, err
	}
	if w.scale, err = f.Float32("rows.scale", 1, a.Words-a.First); err != nil {
		return nil, err
	}
	vocabulary, err := f.Text("vocabulary")
	if err != nil {
		return nil, err
	}
	if w.tokens, err = wordpiece.New(vocabulary); err != nil {
		return nil, fmt.Errorf("%w: %w", embed.ErrDamaged, err)
	}
	if w.tokens.Len() != a.Words {
		return nil, fmt.Errorf("%w: a vocabulary of %d tokens for a table of %d", embed.ErrDamaged, w.tokens.Len(), a.Words)
	}
	return w, nil
}

// Info is the provenance of the table's vectors.
func (t *Table) Info() embed.Info { return t.info }

// Fusion is how the table is joined with words where likeness alone is asked for. It tells texts apart by the words that
// a search for words knows, too, and tells everything a little apart: beside a cue whose words are rare it has less to
// say. Hence z-scores over the whole space. The weight is the least that finds as much as the best one on LoCoMo's
// conversations 1-3, as far as these can tell (docs/decisions/0006-models.md).
func (t *Table) Fusion() embed.Fusion { return embed.Fusion{Vector: 0.7, Space: true} }

// Warm loads the table, which otherwise the first use does: about 10 ms.
func (t *Table) Warm() error {
	_, err := t.load()
	return err
}

// Tokens counts the tokens of the whole text; 0 if the table cannot be loaded.
func (t *Table) Tokens(text string) int {
	w, err := t.load()
	if err != nil {
		return 0
	}
	return len(w.tokens.Append(nil, text, -1))
}

// Embed returns a vector of length 1 for each text; see embed.Model. A text of which no word is in the vocabulary, such
// as one of emoji alone, is embed.ErrEmpty.
func (t *Table) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	w, err := t.load()
	if err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(texts))
	ids := make([]int32, 0, maxTokens)
	for i, text := range texts {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ids = w.tokens.Append(ids[:0], text, maxTokens)
		if vectors[i] = w.sum(ids); !toUnit(vectors[i]) {
			return nil, &embed.TextError{Index: i, Err: embed.ErrEmpty}
		}
	}
	return vectors, nil
}

// EmbedOne is Embed for one text; the error of one without a word is embed.ErrEmpty.
func (t *Table) EmbedOne(text string) ([]float32, error) {
	w, err := t.load()
	if err != nil {
		return nil, err
	}
	v := w.sum(w.tokens.Append(make([]int32, 0, 64), text, maxTokens))
	if !toUnit(v) {
		return nil, embed.ErrEmpty
	}
	return v, nil
}

var _ embed.QuickModel = (*Table)(nil)

// sum adds up the rows of tokens, in their order.
func (w *words) sum(ids []int32) []float32 {
	v := make([]float32, w.dimension)
	for _, id := range ids {
		if i := int(id) - w.first; i >= 0 {
			addScaled(v, w.rows[i*w.dimension:], w.scale[i])
		}
	}
	return v
}

// addScaled adds a row times its scale; eight numbers a step, so that the compiler leaves the bounds out.
func addScaled(v []float32, row []int8, scale float32) {
	row = row[:len(v)]
	for len(v) >= 8 && len(row) >= 8 {
		v[0] += float32(scale * float32(row[0]))
		v[1] += float32(scale * float32(row[1]))
		v[2] += float32(scale * float32(row[2]))
		v[3] += float32(scale * float32(row[3]))
		v[4] += float32(scale * float32(row[4]))
		v[5] += float32(scale * float32(row[5]))
		v[6] += float32(scale * float32(row[6]))
		v[7] += float32(scale * float32(row[7]))
		v, row = v[8:], row[8:]
	}
	for i := range v {
		v[i] += float32(scale * float32(row[i]))
	}
}

// toUnit brings v to length 1; false if it has none.
func toUnit(v []float32) bool {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 1) {
		return false
	}
	inverse := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= inverse
	}
	return true
}
