package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func spaceCheckRecallCommand() *cobra.Command {
	var sample int32
	c := &cobra.Command{
		Use:   "check-recall NAME",
		Short: "Compare the index of vectors with exact search",
		Long: `Compare the index of vectors with exact search: for cues that were asked of late, with their
filters, and for stored vectors where there are too few of those. Each query is compared with all
vectors of the space, which takes a while in a large one.`,
		Example: `  engram space check-recall default
  engram space check-recall papers --sample 200`,
		Args: takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		r := &engramv1.CheckRecallRequest{Space: args[0]}
		if c.Flags().Changed("sample") {
			r.Sample = &sample
		}
		a, err := s.CheckRecall(ctx, r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "recall@10 %.4f (95 %%: %.4f to %.4f) over %d queries, %d of them cues of late; %d were compared with all anyway\nmedian %s, exact %s\n",
				a.GetRecall(), a.GetLow(), a.GetHigh(), a.GetQueries(), a.GetLive(), a.GetExact(), a.GetApproximateTook().AsDuration(), a.GetExactTook().AsDuration())
			return err
		})
	})
	c.Flags().Int32Var(&sample, "sample", 50, "how many queries are compared, 1 to 1000")
	return c
}
