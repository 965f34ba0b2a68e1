package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func recogniseCommand() *cobra.Command {
	var vector string
	var limit int32
	var explain bool
	c := &cobra.Command{
		Use:   "recognise [TEXT|-]",
		Short: "Say whether something is familiar, and how much",
		Long: `Say whether something is familiar: familiarity is 0 for what nothing is like and 1 for what is there word for
word. It is no probability. The best matches are shown as the evidence.`,
		Example: `  engram recognise "the pump was replaced"
  engram recognise "is there anything about otters" --json | jq .familiarity`,
		Args: takes(0, 1, "TEXT"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		r := &engramv1.RecogniseRequest{Space: s.space, Limit: &limit, Explain: explain}
		var err error
		if r.Text, err = s.text(args); err != nil {
			return err
		}
		if r.Vector, err = parseVector(vector); err != nil {
			return err
		}
		a, err := s.Recognise(ctx, r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return printRecognition(s, a) })
	})
	c.Flags().StringVar(&vector, "vector", "", "cue as a JSON array of numbers, or @FILE with one")
	c.Flags().Int32Var(&limit, "limit", 3, "most matches shown, up to 1000")
	c.Flags().BoolVar(&explain, "explain", false, "show what words and meaning gave")
	return c
}

func printRecognition(s *session, a *engramv1.RecogniseResponse) error {
	answer := "not familiar"
	if a.GetFamiliar() {
		answer = "familiar"
	}
	if _, err := fmt.Fprintf(s.out, "%s: %.2f (from %.2f on)\n", answer, a.GetFamiliarity(), a.GetThreshold()); err != nil || len(a.GetResults()) == 0 {
		return err
	}
	return printRecall(s, &engramv1.RecallResponse{Results: a.GetResults()})
}
