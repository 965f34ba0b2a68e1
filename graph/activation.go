package graph

import (
	"context"
	"fmt"

	"github.com/engramdb/engram/memory"
)

// Activation is where the activation of some seeds came to, in no order and without its
// paths: for who ranks it with other things, which takes the few best. It holds scratch of
// its graph, which must not change until Close.
type Activation struct {
	s *spread
	o Options
}

// Activate is Spread without ranking what was activated: Limit and Only are not looked at.
func (g *Graph) Activate(ctx context.Context, seeds []Seed, o Options) (*Activation, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Activation{o: o}
	a.s = g.acquire(&a.o)
	if err := a.s.run(ctx, seeds); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// run plants the seeds and lets them spread.
func (s *spread) run(ctx context.Context, seeds []Seed) error {
	if err := s.plant(seeds); err != nil {
		return err
	}
	for hop := 1; hop <= s.o.Hops && len(s.woken) > 0; hop++ {
		if err := s.fire(ctx, hop); err != nil {
			return fmt.Errorf("spread, hop %d: %w", hop, err)
		}
		s.deliver(hop)
	}
	return nil
}

// Close gives the scratch back.
func (a *Activation) Close() {
	a.s.g.release(a.s)
	a.s = nil
}

// Paths gives the strongest paths to a node, as many as Options.Paths says.
func (a *Activation) Paths(n memory.Ordinal) []Path {
	at := a.s.of(n)
	if at == 0 || a.o.Paths == 0 {
		return nil
	}
	paths, _ := a.s.explain.paths(a.s, at-1)
	return paths
}

// of gives a node's local number + 1; 0 when it was not touched.
func (s *spread) of(n memory.Ordinal) uint32 {
	if int(n) >= len(s.local) {
		return 0 // a seed that has had no link
	}
	return s.local[n]
}

// take gives what a node received over links, and leaves it out of rest.
func (a *Activation) take(n memory.Ordinal) float64 {
	at := a.s.of(n)
	if at == 0 {
		return 0
	}
	a.s.nodes[at-1].taken = true
	return a.s.nodes[at-1].received
}

// rest gives the nodes that received something and were not taken, and forgets which were.
func (a *Activation) rest(give func(n memory.Ordinal, received float64)) {
	for i := range a.s.nodes {
		x := &a.s.nodes[i]
		if x.received > 0 && !x.taken {
			give(x.node, x.received)
		}
		x.taken = false
	}
}
