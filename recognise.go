package engram

import (
	"context"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
)

// Recognition says how familiar a cue is.
type Recognition struct {
	Familiar    bool    // Familiarity is at least Threshold
	Familiarity float64 // 0 to 1: how like the cue the best match is; no probability
	Threshold   float64
}

// Recognise asks whether a cue's text or vector is familiar, and gives the best matches as
// the evidence. It is Recall in memory.ModeRecognise: results are scored by how like the
// cue each is, and Recollection.Recognition is there. Errors: those of Recall; cue_empty
// without text and vector.
func (s *Space) Recognise(ctx context.Context, c memory.Cue) (Recollection, error) {
	c.Mode = memory.ModeRecognise
	if c.Limit == 0 && c.Budget == nil {
		c.Limit = recogniseShows
	}
	r, err := s.recall(ctx, c, false)
	return r, memory.InOp("recognise", err)
}

// recogniseShows is how many matches are shown as the evidence when the caller does not
// say.
const recogniseShows = 3

// recognition sums up what was found in ModeRecognise; nil in other modes.
func recognition(c *memory.Cue, found []recall.Ranked) *Recognition {
	if c.Mode != memory.ModeRecognise {
		return nil
	}
	r := &Recognition{Threshold: recall.FamiliarFrom}
	if len(found) > 0 {
		r.Familiarity = found[0].Score
	}
	r.Familiar = r.Familiarity >= r.Threshold
	return r
}
