package quality

import (
	"context"

	"github.com/engramdb/engram/memory"
)

// Engine is what questions are asked of.
type Engine interface {
	// Remember stores memories in a space, which it makes when it is missing.
	Remember(ctx context.Context, space string, es []memory.Episode) error
	// Recall gives the ids that a cue wakes, best first.
	Recall(ctx context.Context, space string, c memory.Cue) ([]memory.ID, error)
}

// ask is the one way in which every set asks.
func ask(ctx context.Context, e Engine, space string, c memory.Cue) ([]memory.ID, error) {
	c.Mode = memory.ModeAssociative
	c.Filter.Kinds = []memory.Kind{memory.KindEpisode}
	return e.Recall(ctx, space, c)
}

// set is a set of ids.
type set map[memory.ID]bool

// found is the share of the wanted that is among the first k.
func (wanted set) found(got []memory.ID, k int) float64 {
	n := 0
	for _, id := range got[:min(k, len(got))] {
		if wanted[id] {
			n++
		}
	}
	return float64(n) / float64(len(wanted))
}
