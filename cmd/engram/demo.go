package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// demoMemories are made up: half a year of a boatyard. They are also an example
// of a JSONL file.
//
//go:embed demo.jsonl
var demoMemories []byte

// demoRecalls are what is asked of demoMemories.
var demoRecalls = [][]string{
	{"why did the engine overheat"},
	{"what did we find out about the old chart", "--person", "Halvard"},
	{"repairing a torn sail", "--from", "2025-03", "--to", "2025-05"},
	{"what did the storm break", "--near", "58.1493,8.0098,300m"},
	{"--where", "cost>=300", "--mode", "recent"},
}

// A demo is one run of the demonstration.
type demo struct {
	out  io.Writer
	errs io.Writer
	name string // what is remembered
	// memories to store and recalls to show.
	memories []*engramv1.MemoryInput
	recalls  [][]string
	address  string
	space    string
	data     string
	once     bool
}

func demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo [FILE]",
		Short: "Show it: serve a temporary database with example memories, or your file",
		Long: `Serve a temporary database, store a file of yours in it (text, Markdown, or JSONL with one memory a
line) or some made-up memories, recall a few of them with the reasons, and go on serving until Ctrl-C,
which removes the database.

Text and Markdown are split into paragraphs; the file is their stream, headings are their titles.`,
		Example: `  engram demo
  engram demo notes.md
  engram demo --once`,
		Args: takes(0, 1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := loadSettings(c.Flags())
			if err != nil {
				return err
			}
			d := &demo{out: c.OutOrStdout(), errs: c.ErrOrStderr(), once: once}
			if err := d.read(args); err != nil {
				return err
			}
			return d.run(c.Context(), set)
		},
	}
	c.Flags().String("listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	c.Flags().BoolVar(&once, "once", false, "end after the recalls")
	return c
}

// read reads what is to be remembered, before anything is started.
func (d *demo) read(args []string) (err error) {
	if len(args) == 0 {
		d.name, d.recalls = "half a year of a boatyard", demoRecalls
		d.memories, err = readJSONL("demo.jsonl", bytes.NewReader(demoMemories))
		return err
	}
	d.name = args[0]
	f, err := os.Open(args[0])
	if err != nil {
		return usage("%v", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if d.memories, err = readMemories(args[0], f); err != nil {
		return err
	}
	if len(d.memories) == 0 {
		return usage("there is nothing to remember in %s", args[0])
	}
	for _, cue := range cues(d.memories, 5) {
		d.recalls = append(d.recalls, []string{cue})
	}
	words := strings.Fields(d.memories[0].GetText())
	if len(d.recalls) == 0 && len(words) > 0 { // all are short, but something has to be shown
		d.recalls = append(d.recalls, []string{strings.Join(words[:min(6, len(words))], " ")})
	}
	return nil
}

// run serves as engram serve does, and tells its story once the server is ready.
func (d *demo) run(ctx context.Context, set *settings) (err error) {
	if d.data, err = os.MkdirTemp("", "engram-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.data)) }()
	set.values["data"] = value{d.data, "demo"}
	set.values["log_level"] = value{"warn", "demo"}
	set.values["slow_log"] = value{"1m", "demo"} // its one batch waits for the model
	if !strings.HasPrefix(set.values["listen"].origin, "flag") {
		set.values["listen"] = value{"127.0.0.1:0", "demo"} // the usual port may be taken by a real server
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ready, served := make(chan string, 1), make(chan error, 1)
	go func() { // ends when serving does; waited for below
		served <- serve(serving, set, newLogger(d.errs, set), func(address string) error { ready <- address; return nil })
	}()
	select {
	case err := <-served:
		return err
	case d.address = <-ready:
	}
	if err = d.tell(ctx); err != nil || d.once {
		stop()
	}
	return errors.Join(err, <-served)
}

// tell stores, recalls, and says how to go on.
func (d *demo) tell(ctx context.Context) error {
	api, err := dial(d.address)
	if err != nil {
		return err
	}
	s := &session{EngramServiceClient: api}
	if err := d.chooseSpace(ctx, s); err != nil {
		return err
	}
	if err := d.store(ctx, s); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(d.out, "Remembered %d memories (%s) in %s, served on http://%s\n", len(d.memories), d.name, d.data, d.address)
	for _, recall := range d.recalls {
		if err := d.show(ctx, recall); err != nil {
			return err
		}
	}
	if !d.once {
		d.sayHowToGoOn()
	}
	return nil
}

// chooseSpace takes the space that is there, or makes one for vectors.
func (d *demo) chooseSpace(ctx context.Context, s *session) error {
	d.space = "default"
	dimension := int32(len(d.memories[0].GetVector()))
	if dimension == 0 {
		return nil
	}
	d.space = "demo"
	_, err := s.PutSpace(ctx, &engramv1.PutSpaceRequest{Space: d.space, Settings: &engramv1.Settings{Vector: &engramv1.VectorSettings{Dimension: &dimension}}})
	return err
}

// A batch holds at most this much; the API takes 1,000 memories and 8 MiB.
const (
	batchItems = 500
	batchBytes = 4 << 20
)

func (d *demo) store(ctx context.Context, s *session) error {
	for rest := d.memories; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < batchItems && (n == 0 || size < batchBytes) {
			size += proto.Size(rest[n])
			n++
		}
		if _, err := s.RememberBatch(ctx, &engramv1.RememberBatchRequest{Space: d.space, Memories: rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// show runs a recall as the command line would, and prints the command too.
func (d *demo) show(ctx context.Context, recall []string) error {
	args := append([]string{"recall"}, recall...)
	if d.space != "default" {
		args = append(args, "--space", d.space)
	}
	args = append(args, "--limit", "3", "--explain")
	_, _ = fmt.Fprintf(d.out, "\n$ engram %s\n", commandLine(args))
	root := newRoot()
	root.SetOut(d.out)
	root.SetErr(d.errs)
	return execute(ctx, root, append(args, "--server", d.address, "--space", d.space)) // last wins: not $ENGRAM_SPACE
}

func (d *demo) sayHowToGoOn() {
	space := ""
	if d.space != "default" {
		space = " --space " + d.space
	}
	_, _ = fmt.Fprintf(d.out, `
Go on from another terminal:

  export ENGRAM_SERVER=%[1]s
  engram recall "anything you like" --explain%[2]s
  engram remember "something new"%[2]s
  engram list --limit 5%[2]s
  curl -s http://%[1]s/v1/spaces/%[3]s/recall -d '{"text": "anything you like", "limit": 3}'

Ctrl-C ends it and removes %[4]s.
`, d.address, space, d.space, d.data)
}

// commandLine quotes arguments for a shell, where they need it.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n\"'`$&|;<>()*?[]#~!\\{}") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// cues makes up to n cues from memories that are spread over the whole: of each
// the three words that say most, which are the rare ones that are not unique.
func cues(memories []*engramv1.MemoryInput, n int) []string {
	seen := map[string]int{} // in how many memories a word is
	for _, m := range memories {
		for _, w := range tellingWords(m.GetText()) {
			seen[w]++
		}
	}
	rank := func(w string) int {
		if seen[w] == 1 {
			return len(memories) + 1 // only here: it would find nothing else
		}
		return seen[w]
	}
	var out []string
	for i := range n {
		words := tellingWords(memories[i*len(memories)/n].GetText())
		slices.SortStableFunc(words, func(a, b string) int { return rank(a) - rank(b) })
		cue := strings.Join(words[:min(3, len(words))], " ")
		if cue != "" && !slices.Contains(out, cue) {
			out = append(out, cue)
		}
	}
	return out
}

// tellingWords are the different longer words of a text, in its order.
func tellingWords(text string) []string {
	const shortest = 5
	var out []string
	seen := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), notLetter) {
		if len(w) >= shortest && !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }
