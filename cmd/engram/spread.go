package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// spreadFlags are what a spread starts from, and how it runs.
type spreadFlags struct {
	filter                             filterFlags
	text, vector, direction, fan, asOf string
	seeds, types, flows                []string
	limit, hops, work, paths           int32
	decay, threshold                   float64
}

func spreadCommand() *cobra.Command {
	var f spreadFlags
	c := &cobra.Command{
		Use:   "spread [NODE...]",
		Short: "Spread activation from nodes along links, and show the ways that it took",
		Long: `Spread activation from nodes (memories or entities) along links, and show which nodes it comes to and by which links.
Below each node stand its strongest paths: the activation of the seed, and what each link leaves of it.
Times: ` + timeHelp + `.`,
		Example: `  engram spread storm
  engram spread --seed storm=1 --seed repair=0.5 --type causes --hops 2
  engram spread --text "who repaired the pump" --kind entity --limit 5`,
		Args: takes(0, -1, "NODE"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		r, err := f.request(c, s, args)
		if err != nil {
			return err
		}
		a, err := s.Spread(ctx, r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return printSpread(s, a) })
	})
	f.add(c)
	return c
}

func (f *spreadFlags) add(c *cobra.Command) {
	f.filter.add(c)
	fs := c.Flags()
	fs.StringArrayVar(&f.seeds, "seed", nil, "a node and how active it is: NODE=WEIGHT")
	fs.StringVar(&f.text, "text", "", "start at what is like this text, and at what it names")
	fs.StringVar(&f.vector, "vector", "", "start at what is like this JSON array of numbers, or @FILE with one")
	fs.StringSliceVar(&f.types, "type", nil, "only along links of these types")
	fs.StringArrayVar(&f.flows, "flow", nil, "how well links of a type carry activation, 0 to 1: TYPE=OUT or TYPE=OUT,IN; no TYPE is all others")
	oneOf(c, &f.direction, "direction", "both", "which way along the links", "out", "in", "both")
	oneOf(c, &f.fan, "fan", "linear", "how activation divides among links", "linear", "sqrt", "log")
	fs.Int32Var(&f.limit, "limit", 10, "most nodes, up to 1000")
	fs.Int32Var(&f.hops, "hops", 3, "most links from a seed, up to 8")
	fs.Int32Var(&f.paths, "paths", 3, "most paths to show of each node, up to 64")
	fs.Float64Var(&f.decay, "decay", 0.5, "what is left of activation after each link")
	fs.Float64Var(&f.threshold, "threshold", 0.001, "the least that a link carries")
	fs.Int32Var(&f.work, "max-work", 1<<20, "most links to look at, up to 1048576")
	fs.StringVar(&f.asOf, "as-of", "", "along the links that held in the world at this time")
}

func (f *spreadFlags) request(c *cobra.Command, s *session, args []string) (*engramv1.SpreadRequest, error) {
	filter, err := f.filter.filter()
	if err != nil {
		return nil, err
	}
	r := &engramv1.SpreadRequest{Space: s.space, Ids: args, Text: f.text, Types: f.types, Direction: f.direction, Fan: f.fan}
	copyFilter(r, filter)
	if r.Vector, err = parseVector(f.vector); err != nil {
		return nil, err
	}
	if r.AsOf, err = stamp("as-of", f.asOf); err != nil {
		return nil, err
	}
	if r.Seeds, err = seedsOf(f.seeds); err != nil {
		return nil, err
	}
	if r.Flows, err = flowsOf(f.flows); err != nil {
		return nil, err
	}
	given := c.Flags().Changed
	for _, x := range []struct {
		name string
		at   **int32
		n    *int32
	}{{"limit", &r.Limit, &f.limit}, {"hops", &r.Hops, &f.hops}, {"paths", &r.Paths, &f.paths}, {"max-work", &r.MaxWork, &f.work}} {
		if given(x.name) {
			*x.at = x.n
		}
	}
	if given("decay") {
		r.Decay = &f.decay
	}
	if given("threshold") {
		r.Threshold = &f.threshold
	}
	return r, nil
}

// seedsOf reads NODE=WEIGHT. An id has no "=".
func seedsOf(given []string) (seeds []*engramv1.SpreadSeed, err error) {
	for _, s := range given {
		id, number, ok := strings.Cut(s, "=")
		weight, err := strconv.ParseFloat(number, 64)
		if !ok || id == "" || err != nil {
			return nil, usage("--seed: %q is not NODE=WEIGHT", s).hinted("write such as storm=0.5")
		}
		seeds = append(seeds, &engramv1.SpreadSeed{Id: id, Weight: &weight})
	}
	return seeds, nil
}

// flowsOf reads TYPE=OUT and TYPE=OUT,IN. A type may have a "=", so the last one counts.
func flowsOf(given []string) (map[string]*engramv1.SpreadFlow, error) {
	flows := make(map[string]*engramv1.SpreadFlow, len(given))
	for _, s := range given {
		at := strings.LastIndexByte(s, '=')
		bad := usage("--flow: %q is not TYPE=OUT or TYPE=OUT,IN", s).hinted("write such as causes=0.8 or causes=0.8,0.2")
		if at < 0 {
			return nil, bad
		}
		out, in, both := strings.Cut(s[at+1:], ",")
		var flow engramv1.SpreadFlow
		var err error
		if flow.Out, err = strconv.ParseFloat(out, 64); err != nil {
			return nil, bad
		}
		if both {
			if flow.In, err = strconv.ParseFloat(in, 64); err != nil {
				return nil, bad
			}
		}
		flows[s[:at]] = &flow
	}
	return flows, nil
}

func printSpread(s *session, a *engramv1.SpreadResponse) error {
	if len(a.GetNodes()) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"ACTIVATION", "KIND", "ID", "NAME"}}
	for _, n := range a.GetNodes() {
		line := t.add(score(n.GetActivation()), n.GetKind(), n.GetId(), cut(n.GetLabel(), textWidth))
		if n.GetSeed() > 0 {
			line.below = append(line.below, "seed "+score(n.GetSeed()))
		}
		for _, p := range n.GetPaths() {
			line.below = append(line.below, drawn(p))
		}
		if len(n.GetPaths()) > 0 && n.GetRest() > restShown {
			line.below = append(line.below, "other paths "+score(n.GetRest()))
		}
	}
	if err := t.print(s.out); err != nil {
		return err
	}
	return printBounds(s, a)
}

// restShown is the least rest that is not what rounding leaves.
const restShown = 1e-9

// drawn draws a path: "0.16 = a 1 --next 0.4--> b <--mentions 0.4-- c".
func drawn(p *engramv1.SpreadPath) string {
	var b strings.Builder
	carried := 1.0
	for _, x := range p.GetSteps() {
		carried *= x.GetFactor()
		at := x.GetTo()
		way := " --%s %s--> %s"
		if x.GetDirection() == "in" {
			at, way = x.GetFrom(), " <--%s %s-- %s"
		}
		fmt.Fprintf(&b, way, x.GetType(), score(x.GetFactor()), at)
	}
	return score(p.GetActivation()) + " = " + p.GetSeed() + " " + score(p.GetActivation()/carried) + b.String()
}

func printBounds(s *session, a *engramv1.SpreadResponse) error {
	for _, bound := range a.GetBounds() {
		if _, err := fmt.Fprintf(s.out, "(the bound %s was met: activation may have gone farther)\n", bound); err != nil {
			return err
		}
	}
	if more := int(a.GetReached()) - len(a.GetNodes()); more > 0 {
		_, err := fmt.Fprintf(s.errs, "%d more nodes are active: --limit shows them\n", more)
		return err
	}
	return nil
}
