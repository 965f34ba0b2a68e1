package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func spaceRelinkCommand() *cobra.Command {
	var behind bool
	c := &cobra.Command{
		Use:   "relink NAME",
		Short: "Bring the links of a space in line with its rules",
		Long: `Ask the rules of a space, as they are now, about all that was stored before: links that they no longer make go, new ones
come, what callers drew stays. Recall goes on meanwhile. The command ends when it is done; a server goes on after a
restart.`,
		Example: `  engram space relink default
  engram space relink default --background`,
		Args: takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.Relink(ctx, &engramv1.RelinkRequest{Space: args[0]})
		if err != nil {
			return err
		}
		if behind {
			return s.answer(a, func() error { return said(s, "job %s runs\n", a.GetJob()) })
		}
		if err := s.finish(ctx, a.GetJob()); err != nil {
			return err
		}
		job, err := s.GetJob(ctx, &engramv1.GetJobRequest{Id: a.GetJob()})
		if err != nil {
			return err
		}
		n := job.GetResult().AsMap()
		return s.answer(job, func() error {
			return said(s, "asked about %v, %v links added, %v ended\n", n["asked"], n["added"], n["ended"])
		})
	})
	c.Flags().BoolVar(&behind, "background", false, "do not wait; the answer names the job")
	return c
}

func said(s *session, format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format, args...)
	return err
}

func spaceRulesCommand() *cobra.Command {
	var on, off, standard, patterns, drop []string
	c := &cobra.Command{
		Use:   "rules NAME",
		Short: "Show or change the rules by which a space links memories",
		Long: `Show the rules by which a space links memories by itself, and change them: switch rules on and off, or add rules of the
space's own. They hold for what is stored from then on; engram space relink brings what was stored before in line.`,
		Example: `  engram space rules default
  engram space rules default --off people --pattern 'ticket=TICK-[0-9]+'`,
		Args: takes(1, 1, "NAME"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		sp, err := s.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: args[0]})
		if err != nil {
			return err
		}
		if len(on)+len(off)+len(standard)+len(patterns)+len(drop) > 0 {
			patch, err := rulesPatch(sp.GetSettings().GetLinks(), on, off, standard, patterns, drop)
			if err != nil {
				return err
			}
			if sp, err = s.UpdateSpace(ctx, &engramv1.UpdateSpaceRequest{Space: args[0], Patch: patch}); err != nil {
				return err
			}
		}
		return s.answer(sp, func() error { return printRules(s, sp.GetSettings().GetLinks()) })
	})
	fs := c.Flags()
	fs.StringSliceVar(&on, "on", nil, "switch these rules on")
	fs.StringSliceVar(&off, "off", nil, "switch these rules off")
	fs.StringSliceVar(&standard, "default", nil, "leave these rules as they are by default")
	fs.StringArrayVar(&patterns, "pattern", nil, "a rule of the space's own: NAME=REGEXP, or NAME:TYPE=REGEXP")
	fs.StringSliceVar(&drop, "drop", nil, "take these rules of the space's own away")
	return c
}

// rulesPatch is the patch of a space's settings. Lists are said anew as a whole.
func rulesPatch(stands *engramv1.LinkSettings, on, off, standard, patterns, drop []string) (*structpb.Struct, error) {
	rules := map[string]any{}
	for _, r := range on {
		rules[r] = true
	}
	for _, r := range off {
		rules[r] = false
	}
	for _, r := range append(standard, drop...) {
		rules[r] = nil
	}
	links := map[string]any{"rules": rules}
	if len(patterns)+len(drop) > 0 {
		list, err := patternList(stands.GetPatterns(), patterns, drop)
		if err != nil {
			return nil, err
		}
		links["patterns"] = list
	}
	return structpb.NewStruct(map[string]any{"settings": map[string]any{"links": links}})
}

// patternList is the patterns that stand, without those that are dropped or said anew.
func patternList(stands []*engramv1.LinkPattern, patterns, drop []string) ([]any, error) {
	var added []any
	for _, p := range patterns {
		name, expression, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usage("--pattern: %q is not NAME=REGEXP", p).hinted("write such as 'ticket=TICK-[0-9]+'")
		}
		name, typ, _ := strings.Cut(name, ":")
		drop = append(drop, name)
		added = append(added, map[string]any{"rule": name, "pattern": expression, "type": typ})
	}
	list := []any{}
	for _, p := range stands {
		if !slices.Contains(drop, p.GetRule()) {
			list = append(list, map[string]any{"rule": p.GetRule(), "pattern": p.GetPattern(), "type": p.GetType()})
		}
	}
	return append(list, added...), nil
}

// printRules shows what a space says, over what holds where it says nothing.
func printRules(s *session, l *engramv1.LinkSettings) error {
	t := table{header: []string{"RULE", "ON", "TYPE", "PATTERN"}}
	word := map[bool]string{true: "yes", false: "no"}
	known := memory.LinkRules()
	for _, rule := range slices.Sorted(maps.Keys(known)) {
		on, said := l.GetRules()[rule]
		t.add(rule, word[said && on || !said && known[rule]], rule, "")
	}
	for _, p := range l.GetPatterns() {
		on, said := l.GetRules()[p.GetRule()]
		t.add(p.GetRule(), word[!said || on], p.GetType(), p.GetPattern())
	}
	return t.print(s.out)
}
