package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// The bounds of an int8 model against its reference.
const (
	testMean   = .995
	testLowest = .98
)

// testBatch is how many texts go into a call.
const testBatch = 100

// testLineMost bounds a line of references: a vector of 4,096 numbers and its text.
const testLineMost = 16 << 20

func modelTestCommand() *cobra.Command {
	var file string
	var mean, lowest float64
	c := &cobra.Command{
		Use:   "test NAME --reference FILE",
		Short: "Compare a model's vectors with given ones",
		Long: `Compare a model's vectors with those of the model that it was made from, or that a server is said to run.

FILE has a line of JSON for each text: {"text": "...", "vector": [...]}, or "cue" in place of "text" for what is asked. The
status is 0 when the cosines have at least the mean and the lowest value that are wanted, else 1.`,
		Example: "  engram model test bge-small-en-v1.5 --reference vectors.jsonl --mean 0.99",
		Args:    takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		if file == "" {
			return usage("engram model test needs vectors to compare with").hinted("give a file of them with --reference; -: stdin")
		}
		in := s.in
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return usage("%v", err)
			}
			defer func() { _ = f.Close() }() // nothing was written
			in = f
		}
		seen := comparison{Model: args[0], Lowest: 1}
		if err := seen.compareAll(ctx, s, in); err != nil {
			return err
		}
		return seen.tell(s, mean, lowest)
	})
	c.Flags().StringVar(&file, "reference", "", "JSONL of texts and vectors; -: stdin")
	c.Flags().Float64Var(&mean, "mean", testMean, "least mean of the cosines")
	c.Flags().Float64Var(&lowest, "lowest", testLowest, "least cosine")
	return c
}

// A comparison is how near a model is to its reference.
type comparison struct {
	Model    string  `json:"model"`
	Compared int     `json:"compared"`
	Mean     float64 `json:"mean"`
	Lowest   float64 `json:"lowest"`
	Line     int     `json:"line"` // of the lowest
	Passed   bool    `json:"passed"`
	sum      float64
}

// reference is a line of the file.
type reference struct {
	Text   *string   `json:"text"`
	Cue    *string   `json:"cue"`
	Vector []float64 `json:"vector"`
	line   int
}

func (n *comparison) compareAll(ctx context.Context, s *session, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), testLineMost)
	var batch []reference // of one kind
	line := 0
	for lines.Scan() {
		line++
		if len(lines.Bytes()) == 0 {
			continue
		}
		r := reference{line: line}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || (r.Text == nil) == (r.Cue == nil) || len(r.Vector) == 0 {
			return usage("line %d is not {\"text\" or \"cue\": \"...\", \"vector\": [...]}", line)
		}
		if len(batch) == testBatch || len(batch) > 0 && (batch[0].Cue == nil) != (r.Cue == nil) {
			if err := n.compare(ctx, s, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		batch = append(batch, r)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", line+1, err)
	}
	if len(batch) > 0 {
		if err := n.compare(ctx, s, batch); err != nil {
			return err
		}
	}
	if n.Compared == 0 {
		return usage("there is nothing to compare with")
	}
	n.Mean = n.sum / float64(n.Compared)
	return nil
}

func (n *comparison) compare(ctx context.Context, s *session, batch []reference) error {
	q := &engramv1.EmbedTextsRequest{Name: n.Model, Cues: batch[0].Cue != nil}
	for _, r := range batch {
		if r.Cue != nil {
			q.Texts = append(q.Texts, *r.Cue)
		} else {
			q.Texts = append(q.Texts, *r.Text)
		}
	}
	a, err := s.EmbedTexts(ctx, q)
	if err != nil {
		return err
	}
	if len(a.GetVectors()) != len(batch) {
		return failed(exitFailed, "%d vectors came for %d texts", len(a.GetVectors()), len(batch))
	}
	for i, r := range batch {
		v := a.GetVectors()[i].GetVector()
		if len(v) != len(r.Vector) {
			return failed(exitFailed, "line %d has %d numbers; the model made %d", r.line, len(r.Vector), len(v))
		}
		c := cosine(v, r.Vector)
		n.Compared++
		n.sum += c
		if c < n.Lowest || n.Line == 0 {
			n.Lowest, n.Line = c, r.line
		}
	}
	return nil
}

// cosine of two vectors; 0 when one has no direction.
func cosine(a []float32, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), b[i]
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

func (n *comparison) tell(s *session, mean, lowest float64) error {
	n.Passed = n.Mean >= mean && n.Lowest >= lowest
	if s.json {
		b, err := json.Marshal(n)
		if err != nil {
			return err
		}
		if _, err := s.out.Write(append(b, '\n')); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(s.out, "compared %d: cosine mean %.5f, lowest %.5f (line %d)\n", n.Compared, n.Mean, n.Lowest, n.Line); err != nil {
		return err
	}
	if !n.Passed {
		return failed(exitFailed, "model %s is not near enough to the reference: mean %.5f of %.5f, lowest %.5f of %.5f", n.Model, n.Mean, mean, n.Lowest, lowest)
	}
	return nil
}
