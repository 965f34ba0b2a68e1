package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

type linkFlags struct {
	id, from, to, durability, key string
	metadata                      []string
	weight                        float64
}

func linkCommand() *cobra.Command {
	var f linkFlags
	c := &cobra.Command{
		Use:   "link FROM TYPE TO",
		Short: "Link two nodes, list the links of one, take a link away",
		Long: `Link two nodes (memories or entities) that exist: FROM -TYPE-> TO. Parallel links are allowed.
Times: ` + timeHelp + `.`,
		Example: `  engram link storm causes repair --weight 0.8
  engram link list repair --direction in
  engram link rm 01999f6e-5a55-7cc3-98a0-3d3f4f0d1c11`,
		Args: linkArgs,
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		r, err := f.request(s, args, c.Flags().Changed("weight"))
		if err != nil {
			return err
		}
		w, err := s.CreateLink(keyed(ctx, f.key), r)
		if err != nil {
			return err
		}
		return s.answer(w, func() error {
			_, err := fmt.Fprintf(s.out, "%s %s\n", w.GetOutcome(), w.GetId())
			return err
		})
	})
	fs := c.Flags()
	fs.StringVar(&f.id, "id", "", "id of the link; made when left out")
	fs.Float64Var(&f.weight, "weight", 1, "weight, at least 0")
	fs.StringArrayVar(&f.metadata, "metadata", nil, "what to keep beside it: KEY=VALUE")
	fs.StringVar(&f.from, "valid-from", "", "when it begins to hold in the world")
	fs.StringVar(&f.to, "valid-to", "", "when it ends to hold in the world")
	oneOf(c, &f.durability, "durability", "", "when the write is acknowledged (default the space's)", "disk", "process")
	fs.StringVar(&f.key, "idempotency-key", "", "a repeat with the same key gives the first answer")
	c.AddCommand(linkListCommand(), linkRmCommand())
	return c
}

// linkArgs checks for three arguments. With another number the first may be a
// misspelt command.
func linkArgs(c *cobra.Command, args []string) error {
	err := takes(3, 3, "FROM TYPE TO")(c, args)
	if err != nil && len(args) > 0 {
		return explain(err).hinted("usage: %s, or engram link list NODE, or engram link rm ID", c.UseLine())
	}
	return err
}

func (f *linkFlags) request(s *session, args []string, weighed bool) (*engramv1.CreateLinkRequest, error) {
	l := &engramv1.LinkInput{Id: f.id, From: args[0], Type: args[1], To: args[2]}
	if weighed {
		l.Weight = &f.weight
	}
	var err error
	if l.Metadata, err = keyValues("metadata", f.metadata); err != nil {
		return nil, err
	}
	l.Valid, err = timeRange("valid-from", f.from, "valid-to", f.to)
	return &engramv1.CreateLinkRequest{Space: s.space, Link: l, Durability: f.durability}, err
}

func linkListCommand() *cobra.Command {
	var direction, asOf, token string
	var types []string
	var limit int32
	c := &cobra.Command{
		Use:     "list NODE",
		Short:   "List the links of a memory or an entity",
		Example: "  engram link list repair --direction in --type causes",
		Args:    takes(1, 1, "NODE"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		at, err := stamp("as-of", asOf)
		if err != nil {
			return err
		}
		a, err := nodeLinks(ctx, s, &engramv1.ListMemoryLinksRequest{Space: s.space, Id: args[0], Direction: direction, Types: types, AsOf: at, PageSize: &limit, PageToken: token})
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return printLinks(s, a) })
	})
	oneOf(c, &direction, "direction", "both", "which way", "out", "in", "both")
	c.Flags().StringSliceVar(&types, "type", nil, "only of these types")
	c.Flags().StringVar(&asOf, "as-of", "", "those that held in the world at this time")
	c.Flags().Int32Var(&limit, "limit", 50, "most links, up to 1000")
	c.Flags().StringVar(&token, "page-token", "", "go on where an earlier list ended")
	return c
}

// nodeLinks asks for the links of a node, which the API does by kind: first as a
// memory, then as an entity.
func nodeLinks(ctx context.Context, s *session, r *engramv1.ListMemoryLinksRequest) (*engramv1.ListMemoryLinksResponse, error) {
	a, err := s.ListMemoryLinks(ctx, r)
	if err == nil || explain(err).status != exitNotFound {
		return a, err
	}
	e, entityErr := s.ListEntityLinks(ctx, &engramv1.ListEntityLinksRequest{Space: r.Space, Id: r.Id, Direction: r.Direction, Types: r.Types, AsOf: r.AsOf, PageSize: r.PageSize, PageToken: r.PageToken})
	if entityErr != nil {
		return nil, err
	}
	return &engramv1.ListMemoryLinksResponse{Links: e.GetLinks(), NextPageToken: e.GetNextPageToken()}, nil
}

func printLinks(s *session, a *engramv1.ListMemoryLinksResponse) error {
	if len(a.GetLinks()) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"FROM", "TYPE", "TO", "WEIGHT", "RULE", "ID"}}
	for _, l := range a.GetLinks() {
		t.add(l.GetFrom(), l.GetType(), l.GetTo(), strconv.FormatFloat(l.GetWeight(), 'g', -1, 64), l.GetRule(), l.GetId())
	}
	if err := t.print(s.out); err != nil || a.GetNextPageToken() == "" {
		return err
	}
	_, err := fmt.Fprintf(s.errs, "there are more: --page-token %s\n", a.GetNextPageToken())
	return err
}

func linkRmCommand() *cobra.Command {
	var durability, key string
	c := &cobra.Command{
		Use:     "rm ID",
		Short:   "Take a link away",
		Example: "  engram link rm 01999f6e-5a55-7cc3-98a0-3d3f4f0d1c11",
		Args:    takes(1, 1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.DeleteLink(keyed(ctx, key), &engramv1.DeleteLinkRequest{Space: s.space, Id: args[0], Durability: durability})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "removed %s\n", args[0])
			return err
		})
	})
	oneOf(c, &durability, "durability", "", "when the write is acknowledged (default the space's)", "disk", "process")
	c.Flags().StringVar(&key, "idempotency-key", "", "a repeat with the same key gives the first answer")
	return c
}
