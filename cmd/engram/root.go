package main

import (
	"context"
	"errors"
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
	// No templates: one of cobra's Set...Template would link text/template, whose
	// reflection makes the linker keep 6 MB of methods that nobody calls.
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().String("config", "", "settings file, YAML or TOML (default $ENGRAM_CONFIG, then ~/.config/engram/config.*, then /etc/engram/config.*)")
	root.AddGroup(&cobra.Group{ID: "memory", Title: "Memories:"}, &cobra.Group{ID: "run", Title: "Running it:"})
	addGroup(root, "run", serveCommand(), statusCommand(), topCommand(), mcpCommand(), keyCommand(), modelCommand(), demoCommand(), verifyCommand(), debugCommand(), configCommand(), versionCommand())
	addGroup(root, "memory", rememberCommand(), recallCommand(), recogniseCommand(), spreadCommand(), getCommand(), listCommand(), forgetCommand(), linkCommand(), entityCommand(), spaceCommand(), importCommand(), exportCommand())
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
	root.SetHelpCommandGroupID("run")
	root.InitDefaultCompletionCmd(args...)
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.GroupID = "run"
		group(c) // it has its shells already
	}
	root.SetArgs(args)
	// The shell's questions go to a command that cobra adds in Execute.
	asked := len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
	if _, _, err := root.Find(args); err != nil && !asked {
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
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return usage("--%s: %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), valueWords(wrong.GetFlag().Value.Type()))
	}
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

// valueWords says what a flag of a type takes.
func valueWords(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 90s, 10m or 2h"
	case "int", "int32":
		return "a whole number"
	case "uint32":
		return "a whole number of at least 0"
	}
	return "a number"
}

// notBoth makes two flags exclude each other. Cobra can do that too, but in words
// that only its authors understand.
func notBoth(c *cobra.Command, a, b string) {
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed(a) && c.Flags().Changed(b) {
			return usage("--%s and --%s exclude each other", a, b)
		}
		if before != nil {
			return before(c, args)
		}
		return nil
	}
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
