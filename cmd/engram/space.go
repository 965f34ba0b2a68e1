package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func spaceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "space",
		Short: "Create, list, show and delete spaces, and their rules for links",
		Long:  "A space is a boundary: memories, links and recall never cross it.",
	}, spaceCreateCommand(), spaceListCommand(), spaceShowCommand(), spaceCheckRecallCommand(), spaceRulesCommand(), spaceRelinkCommand(), spaceReembedCommand(), spaceDeleteCommand())
}

func spaceCreateCommand() *cobra.Command {
	var dimension int32
	var metric, model, language, durability string
	var horizon time.Duration
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a space",
		Long: `Make a space. The same settings again change nothing; other settings are a conflict.
The dimension and the language stay as they are first set.`,
		Example: `  engram space create notes
  engram space create papers --dimension 768 --model all-mpnet-base-v2`,
		Args: takes(1, 1, "NAME"),
	}
	client(c, makes, func(ctx context.Context, s *session, args []string) error {
		set := &engramv1.Settings{Language: language, Durability: durability}
		if c.Flags().Changed("horizon") {
			set.Horizon = durationpb.New(horizon)
		}
		if dimension != 0 || metric != "" || model != "" {
			set.Vector = &engramv1.VectorSettings{Metric: metric, Model: model}
		}
		if dimension != 0 {
			set.Vector.Dimension = &dimension
		}
		sp, err := s.PutSpace(ctx, &engramv1.PutSpaceRequest{Space: args[0], Settings: set})
		if err != nil {
			return err
		}
		return s.answer(sp, func() error {
			_, err := fmt.Fprintf(s.out, "space %s is there\n", sp.GetName())
			return err
		})
	})
	c.Flags().Int32Var(&dimension, "dimension", 0, "how many numbers a vector has; 0: no vectors")
	oneOf(c, &metric, "metric", "", "how vectors are compared (default cosine)", "cosine", "dot", "l2")
	c.Flags().StringVar(&model, "model", "", "what makes the vectors; shown beside each")
	c.Flags().StringVar(&language, "language", "", "language of the texts (default en)")
	oneOf(c, &durability, "durability", "", "of writes that do not say (default disk)", "disk", "process")
	c.Flags().DurationVar(&horizon, "horizon", 30*24*time.Hour, "how far back the journal reaches")
	return c
}

func spaceListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the spaces", Example: "  engram space list --json", Args: takes(0, 0, "")}
	return client(c, reads, func(ctx context.Context, s *session, _ []string) error {
		all := &engramv1.ListSpacesResponse{}
		for r := (&engramv1.ListSpacesRequest{}); ; {
			a, err := s.ListSpaces(ctx, r)
			if err != nil {
				return err
			}
			all.Spaces = append(all.Spaces, a.GetSpaces()...)
			if r.PageToken = a.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		return s.answer(all, func() error { return printSpaces(s, all.GetSpaces()) })
	})
}

func printSpaces(s *session, spaces []*engramv1.Space) error {
	if len(spaces) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"SPACE", "MEMORIES", "LINKS", "DIMENSION", "CREATED"}}
	for _, sp := range spaces {
		n := sp.GetCounts()
		t.add(sp.GetName(), strconv.FormatUint(n.GetEpisodes(), 10), strconv.FormatUint(n.GetLinks(), 10),
			strconv.Itoa(int(sp.GetSettings().GetVector().GetDimension())), shown(sp.GetCreatedAt()))
	}
	return t.print(s.out)
}

func spaceShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show NAME", Short: "Show a space's settings, counts and indexes", Example: "  engram space show default", Args: takes(1, 1, "NAME")}
	return client(c, reads, func(ctx context.Context, s *session, args []string) error {
		sp, err := s.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: args[0]})
		if err != nil {
			return err
		}
		return s.answer(sp, func() error { return printSpace(s, sp) })
	})
}

func printSpace(s *session, sp *engramv1.Space) error {
	var t table
	set, n := sp.GetSettings(), sp.GetCounts()
	t.add("space", sp.GetName())
	t.add("created", shown(sp.GetCreatedAt()))
	vectors := "none"
	if v := set.GetVector(); v.GetDimension() > 0 {
		vectors = fmt.Sprintf("%d numbers, %s %s", v.GetDimension(), v.GetMetric(), v.GetModel())
	}
	t.add("vectors", vectors)
	if r := sp.GetReembed(); r != nil {
		t.add("reembed", reembedLine(r))
	}
	t.add("language", set.GetLanguage())
	t.add("durability", set.GetDurability())
	t.add("horizon", set.GetHorizon().AsDuration().String())
	t.add("counts", fmt.Sprintf("%d episodes, %d concepts, %d entities, %d links, %d bindings", n.GetEpisodes(), n.GetConcepts(), n.GetEntities(), n.GetLinks(), n.GetBindings()))
	t.add("bytes", strconv.FormatUint(sp.GetBytes(), 10))
	t.add("lsn", strconv.FormatUint(sp.GetLsn(), 10))
	names := make([]string, 0, len(sp.GetIndexes()))
	for name := range sp.GetIndexes() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		x := sp.GetIndexes()[name]
		t.add("index", fmt.Sprintf("%s at lsn %d, tail %d, %d bytes", name, x.GetLsn(), x.GetTail(), x.GetBytes()))
	}
	return t.print(s.out)
}

func spaceDeleteCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Drop a space and all that it holds",
		Long:    "Drop a space and all that it holds. The command ends when it is gone from disk.",
		Example: "  engram space delete notes --yes",
		Args:    takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		if !yes {
			return usage("space %q and all that it holds would be gone for good", args[0]).hinted("say --yes when that is meant")
		}
		a, err := s.DeleteSpace(ctx, &engramv1.DeleteSpaceRequest{Space: args[0], Confirm: args[0]})
		if err != nil {
			return err
		}
		if err := s.finish(ctx, a.GetJob()); err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "space %s is gone\n", args[0])
			return err
		})
	})
	c.Flags().BoolVarP(&yes, "yes", "y", false, "yes, drop it")
	return c
}
