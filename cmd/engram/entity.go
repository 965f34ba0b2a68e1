package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func entityCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "entity",
		Short: "Make, show, list, merge and remove entities: named things",
	}
	return group(c, entityPutCommand(), entityGetCommand(), entityListCommand(), entityMergeCommand(), entityUnmergeCommand(), entityRmCommand())
}

// writeFlags are what every write of an entity may say.
type writeFlags struct{ durability, key string }

func (f *writeFlags) add(c *cobra.Command) {
	oneOf(c, &f.durability, "durability", "", "when the write is acknowledged (default the space's)", "disk", "process")
	c.Flags().StringVar(&f.key, "idempotency-key", "", "a repeat with the same key gives the first answer")
}

func entityPutCommand() *cobra.Command {
	var w writeFlags
	var name, typ string
	var aliases, metadata []string
	c := &cobra.Command{
		Use:   "put ID",
		Short: "Make an entity, or say anew what it is",
		Long: `Make an entity, or say anew what it is: what is not given is gone. Texts that say its name or an alias
are linked to it.`,
		Example: `  engram entity put ada --name "Ada Lovelace" --type person --alias Countess`,
		Args:    takes(1, 1, "ID"),
	}
	client(c, makes, func(ctx context.Context, s *session, args []string) error {
		r := &engramv1.PutEntityRequest{Space: s.space, Id: args[0], Durability: w.durability, Entity: &engramv1.EntityInput{Name: name, Type: typ, Aliases: aliases}}
		if name == "" {
			r.Entity.Name = args[0]
		}
		var err error
		if r.Entity.Metadata, err = keyValues("metadata", metadata); err != nil {
			return err
		}
		a, err := s.PutEntity(keyed(ctx, w.key), r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "%s %s\n", a.GetOutcome(), a.GetId())
			return err
		})
	})
	fs := c.Flags()
	fs.StringVar(&name, "name", "", "what it is called (default its id)")
	fs.StringVar(&typ, "type", "", "what it is, such as person")
	fs.StringSliceVar(&aliases, "alias", nil, "other names of it")
	fs.StringArrayVar(&metadata, "metadata", nil, "what to keep beside it: KEY=VALUE")
	w.add(c)
	return c
}

func entityGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "get ID",
		Short:   "Show an entity, and what was merged into it",
		Example: `  engram entity get ada`,
		Args:    takes(1, 1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		e, err := s.GetEntity(ctx, &engramv1.GetEntityRequest{Space: s.space, Id: args[0]})
		if err != nil {
			return err
		}
		return s.answer(e, func() error { return printEntities(s, e) })
	})
	return c
}

// printEntities shows entities, and below each what was merged into it.
func printEntities(s *session, es ...*engramv1.Entity) error {
	if len(es) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"ID", "TYPE", "NAME", "ALIASES"}}
	for _, e := range es {
		line := t.add(e.GetId(), e.GetType(), e.GetName(), strings.Join(e.GetAliases(), ", "))
		for _, m := range e.GetMerged() {
			line.below = append(line.below, fmt.Sprintf("merged %s (%s), undo with --merge %d", m.GetId(), m.GetName(), m.GetMerge()))
		}
	}
	return t.print(s.out)
}

func entityListCommand() *cobra.Command {
	var typ, token string
	var limit int32
	c := &cobra.Command{
		Use:     "list",
		Short:   "List entities in the order in which they were made",
		Example: `  engram entity list --type person`,
		Args:    takes(0, 0, ""),
	}
	client(c, reads, func(ctx context.Context, s *session, _ []string) error {
		a, err := s.ListEntities(ctx, &engramv1.ListEntitiesRequest{Space: s.space, Type: typ, PageSize: &limit, PageToken: token})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			if err := printEntities(s, a.GetEntities()...); err != nil || a.GetNextPageToken() == "" {
				return err
			}
			_, err := fmt.Fprintf(s.errs, "there are more: --page-token %s\n", a.GetNextPageToken())
			return err
		})
	})
	c.Flags().StringVar(&typ, "type", "", "only of this type")
	c.Flags().Int32Var(&limit, "limit", 50, "most entities, up to 1000")
	c.Flags().StringVar(&token, "page-token", "", "go on where an earlier list ended")
	return c
}

func entityMergeCommand() *cobra.Command {
	var w writeFlags
	c := &cobra.Command{
		Use:   "merge INTO FROM...",
		Short: "Make one entity of several",
		Long: `Make one entity of several: INTO gets the names of the others as aliases, the metadata that it has not, and all
their links. Their ids and names mean INTO from then on. It is one commit; engram entity unmerge takes it back.`,
		Example: `  engram entity merge ada countess a-lovelace`,
		Args:    takes(2, -1, "INTO FROM..."),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.MergeEntities(keyed(ctx, w.key), &engramv1.MergeEntitiesRequest{Space: s.space, Into: args[0], From: args[1:], Durability: w.durability})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "merged %s into %s, %d links moved\nundo: engram entity unmerge %s --merge %d\n",
				strings.Join(args[1:], ", "), a.GetEntity().GetId(), a.GetLinks(), a.GetEntity().GetId(), a.GetMerge())
			return err
		})
	})
	w.add(c)
	return c
}

func entityUnmergeCommand() *cobra.Command {
	var w writeFlags
	var merge string
	c := &cobra.Command{
		Use:   "unmerge ID",
		Short: "Take a merge of entities back",
		Long: `Take a merge of entities back: those that went stand again, with the links that the merge has moved. What was
linked or changed since stays as it is. ID is one that went, or, with --merge, the one that stayed.`,
		Example: `  engram entity unmerge countess
  engram entity unmerge ada --merge 17`,
		Args: takes(1, 1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		r := &engramv1.UnmergeEntitiesRequest{Space: s.space, Id: args[0], Durability: w.durability}
		if merge != "" {
			var err error
			if r.Merge, err = strconv.ParseUint(merge, 10, 64); err != nil || r.Merge == 0 {
				return usage("--merge: %q is not an LSN", merge).hinted("engram entity get %s lists its merges", args[0])
			}
		}
		a, err := s.UnmergeEntities(keyed(ctx, w.key), r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "%s no longer of %s, %d links moved back\n", strings.Join(a.GetRestored(), ", "), a.GetEntity().GetId(), a.GetLinks())
			return err
		})
	})
	c.Flags().StringVar(&merge, "merge", "", "the LSN of the merge; engram entity get shows it")
	w.add(c)
	return c
}

func entityRmCommand() *cobra.Command {
	var w writeFlags
	c := &cobra.Command{
		Use:     "rm ID",
		Short:   "Take an entity away, with its links and what was merged into it",
		Example: `  engram entity rm ada`,
		Args:    takes(1, 1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.DeleteEntity(keyed(ctx, w.key), &engramv1.DeleteEntityRequest{Space: s.space, Id: args[0], Durability: w.durability})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "removed %s\n", args[0])
			return err
		})
	})
	w.add(c)
	return c
}
