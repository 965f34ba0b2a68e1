package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/engramdb/engram/server/wirejson"
)

// newRoot makes the whole tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "engram",
		Short: "A memory database: it remembers what happened and recalls it by association",
		Long: `Engram is a memory database: it remembers what happened and recalls it by association.

Try it:     engram demo
Serve:      engram serve --data DIR
Then:       engram remember "Mara found the old chart in the boathouse"
            engram recall "where was the chart"

Exit status: ` + exitHelp,
		Version:       buildVersion().Version,
		SilenceErrors: true, // report says it, in one line
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("engram {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().String("config", "", "settings file, YAML or TOML (default $ENGRAM_CONFIG, then ~/.config/engram/config.*, then /etc/engram/config.*)")
	root.AddGroup(&cobra.Group{ID: "memory", Title: "Memories:"}, &cobra.Group{ID: "run", Title: "Running it:"})
	addGroup(root, "memory", rememberCommand(), recallCommand(), getCommand(), listCommand(), forgetCommand(), linkCommand(), spaceCommand())
	addGroup(root, "run", serveCommand(), demoCommand(), configCommand(), versionCommand())
	return root
}

func addGroup(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// execute finds the command and runs it. An unknown command is told before its
// flags are looked at: they belong to a command that we do not know.
func execute(ctx context.Context, root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	root.SetArgs(args)
	if _, _, err := root.Find(args); err != nil {
		return unknownCommand(root, firstWord(args))
	}
	return root.ExecuteContext(ctx)
}

func firstWord(args []string) string {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return ""
	}
	return args[i]
}

func unknownCommand(parent *cobra.Command, word string) error {
	return usage("unknown command %q for %q", word, parent.CommandPath()).hinted("%s", wirejson.DidYouMean(word, commandNames(parent)))
}

func commandNames(parent *cobra.Command) []string {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// group makes a command that does nothing itself: without a word it says which
// words there are.
func group(c *cobra.Command, children ...*cobra.Command) *cobra.Command {
	c.AddCommand(children...)
	c.Args = cobra.ArbitraryArgs // or cobra would print help for a misspelt word and exit with 0
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		return usage("%s needs a command", c.CommandPath()).hinted("it can be: %s", strings.Join(commandNames(c), ", "))
	}
	return c
}

// flagError turns what pflag says about a flag into a usage error that names the
// nearest flag.
func flagError(c *cobra.Command, err error) error {
	f := usage("%s", err)
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return f.hinted("see %s --help", c.CommandPath())
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := wirejson.Nearest(name, known); near != "" {
		return f.hinted("did you mean --%s?", near)
	}
	return f.hinted("see %s --help", c.CommandPath())
}

// takes checks the number of arguments; names is how usage calls them, one word
// each, such as "FROM TYPE TO".
func takes(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage("%s needs %s", c.CommandPath(), names).hinted("usage: %s", c.UseLine())
		case most >= 0 && len(args) > most:
			f := usage("%s does not take the argument %q", c.CommandPath(), args[most])
			if most > 0 {
				return f.hinted("put text of several words in quotes; usage: %s", c.UseLine())
			}
			return f.hinted("usage: %s", c.UseLine())
		}
		return nil
	}
}

// oneOf makes a flag for a word out of a few, and completes it.
func oneOf(c *cobra.Command, p *string, name, standard, doc string, words ...string) {
	c.Flags().StringVar(p, name, standard, fmt.Sprintf("%s: %s", doc, strings.Join(words, ", ")))
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails only when set twice
}
