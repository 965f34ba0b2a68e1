package graph_test

import (
	"context"
	"fmt"

	"github.com/engramdb/engram/graph"
)

// A cue wakes memory 1, which mentions 2; 3 comes after 2 in its stream.
func ExampleGraph_Spread() {
	g := graph.New()
	for _, l := range []graph.Link{
		{From: 1, To: 2, Type: graph.TypeMentions, Weight: 1},
		{From: 2, To: 3, Type: graph.TypeNext, Weight: 1},
	} {
		if err := g.Put(l); err != nil {
			panic(err)
		}
	}
	r, err := g.Spread(context.Background(), []graph.Seed{{Node: 1, Activation: 1}}, graph.Options{Paths: 1})
	if err != nil {
		panic(err)
	}
	for _, a := range r.Activated {
		fmt.Printf("%d: %.2f", a.Node, a.Activation)
		for _, p := range a.Paths {
			for _, s := range p.Steps {
				fmt.Printf("  %d -%s-> %d (%.2f)", s.From, s.Type, s.To, s.Factor)
			}
		}
		fmt.Println()
	}
	// Output:
	// 1: 1.00
	// 2: 0.40  1 -mentions-> 2 (0.40)
	// 3: 0.16  1 -mentions-> 2 (0.40)  2 -next-> 3 (0.40)
}
