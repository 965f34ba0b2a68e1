package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones, on machines that have none

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// recallFlags are the parts of a cue, and how it is answered.
type recallFlags struct {
	filter                   filterFlags
	vector, mode, order, now string
	zone                     string
	context, contextIDs      []string
	spaces                   []string
	receipt, replay          string
	like, include, without   []string
	limit, budget            int32
	exact, explain, prompt   bool
	asOf, asOfValid          string
	timeout                  time.Duration
}

func recallCommand() *cobra.Command {
	var f recallFlags
	c := &cobra.Command{
		Use:   "recall [TEXT|-]",
		Short: "Recall what a cue reminds of, best first",
		Long: `Recall what a cue reminds of, best first. The cue is text, a vector, ids, filters, or several of them;
filters alone give a listing. An empty answer is a true "nothing found".
Times: ` + timeHelp + `.`,
		Example: `  engram recall "where was the chart"
  engram recall "engine trouble" --person Mara --from 2025-03 --explain
  engram recall --near 54.32,10.14,2km --mode recent --limit 5
  engram recall "repairs" --where cost>=100 --json | jq '.results[].memory.text'`,
		Args: takes(0, 1, "TEXT"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		if f.replay != "" {
			return f.again(ctx, s)
		}
		cue, err := f.cue(c, s, args)
		if err != nil {
			return err
		}
		r := &engramv1.RecallRequest{Space: s.space, Cue: cue}
		if len(f.spaces) > 0 {
			r.Space, cue.Spaces = "", f.spaces
		}
		a, err := s.Recall(ctx, r)
		if err != nil {
			return err
		}
		if err := f.keep(a); err != nil {
			return err
		}
		return s.answer(a, func() error {
			if f.prompt {
				_, err := fmt.Fprint(s.out, a.GetPrompt())
				return err
			}
			return printRecall(s, a)
		})
	})
	f.add(c)
	return c
}

func (f *recallFlags) add(c *cobra.Command) {
	f.filter.add(c)
	fs := c.Flags()
	fs.StringVar(&f.vector, "vector", "", "cue as a JSON array of numbers, or @FILE with one")
	fs.StringSliceVar(&f.like, "like", nil, "cue as the ids of memories")
	oneOf(c, &f.mode, "mode", "associative", "how the cue wakes memories", "associative", "similar", "recent", "recognise")
	oneOf(c, &f.order, "order", "score", "order of the results", "score", "time")
	fs.Int32Var(&f.limit, "limit", 10, "most results, up to 1000")
	fs.Int32Var(&f.budget, "budget", 0, "whole memories, best first, up to so many tokens; instead of --limit")
	fs.BoolVar(&f.explain, "explain", false, "show what each stage gave to the score")
	fs.BoolVar(&f.exact, "exact", false, "compare all vectors; --exact=false: never; left out: the engine chooses")
	fs.StringVar(&f.now, "now", "", "moment to take as now")
	fs.StringVar(&f.asOf, "as-of", "", "answer from the state of then: a time of storage, or a plain number, which is an LSN")
	fs.StringVar(&f.asOfValid, "as-of-valid", "", "answer from the world of then: without what happened later, along the links that held")
	fs.StringSliceVar(&f.include, "include", nil, "what else to bring: vector, links")
	fs.BoolVar(&f.prompt, "prompt", false, "print the memories as a text for the prompt of a language model")
	fs.StringVar(&f.receipt, "receipt", "", "write a receipt to this file, from which --replay shows the same results again")
	fs.StringVar(&f.replay, "replay", "", "show the results again whose receipt is in this file")
	_ = c.MarkFlagFilename("receipt")
	_ = c.MarkFlagFilename("replay")
	fs.StringSliceVar(&f.spaces, "spaces", nil, "recall from these spaces together, up to 16; instead of --space")
	fs.StringVar(&f.zone, "zone", "", "zone of words such as yesterday, as Europe/Berlin or +02:00; left out: this machine's")
	fs.StringArrayVar(&f.context, "context", nil, "what was said before, the oldest first; it primes")
	fs.StringSliceVar(&f.contextIDs, "context-id", nil, "what was meant before, by ids; it primes")
	fs.StringSliceVar(&f.without, "without", nil, "stages to switch off: text, vector, links, widening, time, context")
	fs.DurationVar(&f.timeout, "timeout", 0, "how long the answer may take")
	notBoth(c, "limit", "budget")
	notBoth(c, "spaces", "space")
}

func (f *recallFlags) cue(c *cobra.Command, s *session, args []string) (*engramv1.Cue, error) {
	given := c.Flags().Changed
	filter, err := f.filter.filter()
	if err != nil {
		return nil, err
	}
	cue := &engramv1.Cue{Ids: f.like, Mode: f.mode, Order: f.order, Include: f.include}
	copyFilter(cue, filter)
	if cue.Text, err = s.text(args); err != nil {
		return nil, err
	}
	if cue.Vector, err = parseVector(f.vector); err != nil {
		return nil, err
	}
	if cue.Now, err = stamp("now", f.now); err != nil {
		return nil, err
	}
	if f.prompt {
		cue.Include = append(cue.Include, "prompt")
	}
	if cue.AsOf, err = f.then(); err != nil {
		return nil, err
	}
	f.addContext(cue)
	if given("limit") {
		cue.Limit = &f.limit
	}
	if given("budget") {
		cue.Budget = &engramv1.Budget{Tokens: f.budget}
	}
	if given("exact") {
		cue.Exact = &f.exact
	}
	if given("timeout") {
		cue.Timeout = durationpb.New(f.timeout)
	}
	if f.receipt != "" {
		cue.Explain = structpb.NewStringValue("replay")
	} else if f.explain {
		cue.Explain = structpb.NewBoolValue(true)
	}
	for _, stage := range f.without {
		if cue.Stages == nil {
			cue.Stages = map[string]bool{}
		}
		cue.Stages[stage] = false
	}
	return cue, nil
}

// then is the moment that is asked about; nil: now.
func (f *recallFlags) then() (a *engramv1.AsOf, err error) {
	if f.asOf == "" && f.asOfValid == "" {
		return nil, nil
	}
	a = &engramv1.AsOf{}
	if lsn, bad := strconv.ParseUint(f.asOf, 10, 64); bad == nil {
		a.Lsn = lsn
	} else if a.Stored, err = stamp("as-of", f.asOf); err != nil {
		return nil, err
	}
	a.Valid, err = stamp("as-of-valid", f.asOfValid)
	return a, err
}

// keep writes the receipt to where it was asked for.
func (f *recallFlags) keep(a *engramv1.RecallResponse) error {
	if f.receipt == "" {
		return nil
	}
	return os.WriteFile(f.receipt, []byte(a.GetReceipt()+"\n"), 0o600)
}

// again shows the results of a receipt.
func (f *recallFlags) again(ctx context.Context, s *session) error {
	b, err := os.ReadFile(f.replay)
	if err != nil {
		return usage("--replay: %v", err)
	}
	a, err := s.ReplayRecall(ctx, &engramv1.ReplayRecallRequest{Space: s.space, Receipt: strings.TrimSpace(string(b))})
	if err != nil {
		return err
	}
	return s.answer(a, func() error { return printRecall(s, a) })
}

// addContext adds what was before, and the zone of who types.
func (f *recallFlags) addContext(cue *engramv1.Cue) {
	cue.Zone = f.zone
	if cue.Zone == "" && cue.Text != "" {
		cue.Zone = time.Now().Format("-07:00")
	}
	for _, text := range f.context {
		cue.Context = append(cue.Context, &engramv1.ContextItem{Text: text})
	}
	for _, id := range f.contextIDs {
		cue.Context = append(cue.Context, &engramv1.ContextItem{Id: id})
	}
}

// printTimes says what words about time were read as.
func printTimes(s *session, times []*engramv1.TimeRead) {
	end := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return "..."
		}
		return t.AsTime().Local().Format("2006-01-02 15:04")
	}
	for _, t := range times {
		fmt.Fprintf(s.out, "%q is read as %s to %s\n", t.GetText(), end(t.GetFrom()), end(t.GetTo()))
	}
}

// textWidth is how much of a text a table shows.
const textWidth = 72

// printRecall shows the results, and below each what its score is made of, when
// that was asked for.
func printRecall(s *session, a *engramv1.RecallResponse) error {
	if len(a.GetResults()) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"SCORE", "WHEN", "ID", "MEMORY"}}
	for _, r := range a.GetResults() {
		m := r.GetMemory()
		id := m.GetId()
		if r.GetSpace() != "" {
			id = r.GetSpace() + "/" + id
		}
		line := t.add(score(r.GetScore()), when(m), id, cited(r))
		if why := reasons(r.GetWhy()); why != "" {
			line.below = append(line.below, why)
		}
		for _, p := range r.GetWhy().GetPaths() {
			line.below = append(line.below, wayOf(p))
		}
	}
	if err := t.print(s.out); err != nil {
		return err
	}
	if a.GetResults()[0].GetWhy() != nil {
		printTimes(s, a.GetTimes())
	}
	for _, lack := range a.GetApproximate() {
		fmt.Fprintf(s.out, "(not just as it was then: %s)\n", lack)
	}
	without := a.GetWithout()
	if len(without) > 0 {
		fmt.Fprintf(s.out, "(recalled without: %s; the model did not give it in time)\n", strings.Join(without, ", "))
	}
	if a.GetPartial() && (len(without) == 0 || len(a.GetMissing()) > 0) { // what it lacks makes it partial, too
		_, err := fmt.Fprintln(s.out, strings.TrimSpace("(the time ran out before all was looked at) "+strings.Join(a.GetMissing(), ", ")))
		return err
	}
	return nil
}

// wayOf draws a way along which activation came, as drawn does, and names the rule of a link
// that does not say it by its type.
func wayOf(p *engramv1.WhyPath) string {
	way := &engramv1.SpreadPath{Activation: p.GetActivation(), Steps: p.GetSteps()}
	if len(p.GetIds()) > 0 {
		way.Seed = p.GetIds()[0]
	}
	out := drawn(way)
	var rules []string
	for _, s := range p.GetSteps() {
		if s.GetRule() != "" && s.GetRule() != s.GetType() {
			rules = append(rules, s.GetType()+" by "+s.GetRule())
		}
	}
	if len(rules) > 0 {
		out += " (" + strings.Join(rules, ", ") + ")"
	}
	return out
}

// score shows four digits: scores of some modes are small, but not nothing.
func score(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

// gist is a memory on one line: its title, if any, and the beginning of its text.
func gist(m *engramv1.Memory) string {
	text := m.GetText()
	if m.GetTitle() != "" {
		text = m.GetTitle() + ": " + text
	}
	if text == "" && m.GetFact() != nil {
		text = m.GetFact().GetSubject() + " " + m.GetFact().GetAttribute() + ": " + m.GetFact().GetValue()
	}
	return cut(text, textWidth)
}

// cited is the gist of a result: of a long text, its title and the passage that the
// cue was like.
func cited(r *engramv1.RecallResult) string {
	p := r.GetPassage()
	if p == nil {
		return gist(r.GetMemory())
	}
	part := &engramv1.Memory{Title: r.GetMemory().GetTitle(), Text: p.GetText()}
	if p.GetStart() > 0 {
		part.Text = "..." + part.GetText()
	}
	return gist(part)
}

// reasons are the parts of a score, the largest first: "text 0.61 (chart)".
func reasons(w *engramv1.Why) string {
	parts := slices.Clone(w.GetParts())
	slices.SortStableFunc(parts, func(a, b *engramv1.WhyPart) int {
		switch {
		case a.GetValue() > b.GetValue():
			return -1
		case a.GetValue() < b.GetValue():
			return 1
		}
		return 0
	})
	var out []string
	for _, p := range parts {
		s := p.GetStage() + " " + score(p.GetValue())
		if p.GetNote() != "" {
			s += " (" + p.GetNote() + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " + ")
}
