package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// spaceReembedCommand moves a space to another model.
func spaceReembedCommand() *cobra.Command {
	var model string
	var detach bool
	c := &cobra.Command{
		Use:   "reembed NAME --model MODEL",
		Short: "Move a space to another model, while it is in use",
		Long: `Move a space to another model, while it is in use. All texts get a vector of the new model in the background; recall
goes by the model before until the end, and new memories get both. Cancelled (POST /v1/jobs/{id}/cancel), the space stays as it
was. It goes on after a crash or a restart. The command ends when the space has moved; --detach does not wait.`,
		Example: "  engram space reembed notes --model bge-small-en-v1.5",
		Args:    takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		if model == "" {
			return usage("engram space reembed needs the model to move to").hinted("give it with --model; engram model list shows those that there are")
		}
		a, err := s.ReembedSpace(ctx, &engramv1.ReembedSpaceRequest{Space: args[0], Model: model})
		if err != nil {
			return err
		}
		if detach {
			return s.answer(a, func() error {
				_, err := fmt.Fprintf(s.out, "space %s moves to %s: job %s\n", args[0], model, a.GetJob())
				return err
			})
		}
		if err := s.finish(ctx, a.GetJob()); err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "space %s has moved to %s\n", args[0], model)
			return err
		})
	})
	c.Flags().StringVar(&model, "model", "", "the model to move to")
	c.Flags().BoolVar(&detach, "detach", false, "do not wait until it has moved")
	return c
}

// reembedLine says how far a space is.
func reembedLine(r *engramv1.Reembedding) string {
	line := fmt.Sprintf("to %s (%d numbers), %s", r.GetModel(), r.GetDimension(), r.GetState())
	if r.GetState() == "embedding" {
		line += fmt.Sprintf(" %d of %d", r.GetDone(), r.GetTotal())
	}
	if r.GetError() != "" {
		line += "; last failure: " + r.GetError()
	}
	return line
}
