package engram

import (
	"context"
	"errors"
	"time"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
)

// prime turns a cue's context into what package recall takes: nodes instead of ids, lags
// instead of times, and vectors of the space's model for the texts. Only a cue that
// associates is primed.
func (s *Space) prime(ctx context.Context, c *memory.Cue, now time.Time, at memory.LSN) ([]recall.Prime, error) {
	if len(c.Context) == 0 || c.Mode != memory.ModeAssociative || c.Stages.NoContext {
		return nil, nil
	}
	primes := make([]recall.Prime, len(c.Context))
	var texts []string
	var of []int // the item that each text is of
	for i, x := range c.Context {
		primes[i].Text = x.Text
		if !x.At.IsZero() {
			primes[i].Lag = max(0, now.Sub(x.At))
		}
		if x.Text != "" {
			texts, of = append(texts, x.Text), append(of, i)
		}
	}
	if err := s.contextNodes(c.Context, primes, at); err != nil {
		return nil, err
	}
	for k, v := range s.contextVectors(ctx, c, texts) {
		primes[of[k]].Vector = v
	}
	return primes, nil
}

// contextNodes finds the nodes that a context names.
func (s *Space) contextNodes(items []memory.ContextItem, primes []recall.Prime, at memory.LSN) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	for i, x := range items {
		if x.ID == "" {
			continue
		}
		n, err := s.lookupAt(v, x.ID, at)
		if err != nil {
			return err
		}
		if n == nil {
			return memory.NotFound("memory_not_found", "context[%d].id: there is no node %q in space %q", i, x.ID, s.name)
		}
		primes[i].Node = n.Ordinal
	}
	return nil
}

// contextVectors makes the vectors of the texts of a context; none when the space has no
// model, or it fails: then they prime by their words.
func (s *Space) contextVectors(ctx context.Context, c *memory.Cue, texts []string) [][]float32 {
	m, err := s.db.modelOf(s.Settings())
	if err != nil || m == nil || len(texts) == 0 || c.Stages.NoVector {
		return nil
	}
	vectors, err := s.embed(ctx, m, texts, true)
	if err != nil && !errors.Is(err, embed.ErrEmpty) && ctx.Err() == nil {
		s.db.opts.Logger.Warn("the context primes by its words alone", "space", s.name, "error", err)
	}
	return vectors
}
