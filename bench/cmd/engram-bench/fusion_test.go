package main

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/engramdb/engram/embed/static"
	pipeline "github.com/engramdb/engram/recall"
)

func TestFusers(t *testing.T) {
	words := leg{scores: []float64{0, 2, 4}, places: []int{-1, 1, 0}}
	near := leg{scores: []float64{0.9, math.NaN(), 0.1}, places: []int{0, -1, 1}}
	for name, x := range map[string]struct {
		fuse fuser
		want []float64
	}{
		"min-max":          {minMax, []float64{0.75, 0.125, 0.25}},
		"reciprocal ranks": {reciprocalRanks(1), []float64{1. / 2, 1. / 3, 1./2 + 1./3}},
	} {
		got := x.fuse(pipeline.Weights{Text: 0.25, Vector: 0.75}, words, near)
		for i := range got {
			if math.Abs(got[i]-x.want[i]) > 1e-12 {
				t.Errorf("%s: %v, want %v", name, got, x.want)
				break
			}
		}
	}
	if got := stretched([]float64{3, 3}); !slices.Equal(got, []float64{0, 0}) {
		t.Errorf("equal scores are stretched to %v", got)
	}
}

// TestEmbedMany: a text that has nothing to embed is left out, and the others keep their places.
func TestEmbedMany(t *testing.T) {
	m, err := static.Open()
	if err != nil {
		t.Fatal(err)
	}
	vs, err := embedMany(context.Background(), m, []string{"", "cat", " ", "dog", "\x00"})
	if err != nil {
		t.Fatal(err)
	}
	for i, there := range []bool{false, true, false, true, false} {
		if len(vs) != 5 || (vs[i] != nil) != there {
			t.Fatalf("vectors %v", vs)
		}
	}
}

func TestWaysHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range ways() {
		if seen[w.name] {
			t.Errorf("two ways are %q", w.name)
		}
		seen[w.name] = true
	}
	for _, m := range measures {
		for name := range m.bars {
			if !seen[name] {
				t.Errorf("no way is %q", name)
			}
		}
	}
}
