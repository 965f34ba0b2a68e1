package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	pipeline "github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/text"
)

// shelf is a space as recall sees it, with the vectors of several models: so that
// ways to fuse them are compared on the same candidates. It has no links.
type shelf struct {
	words   *text.Index
	facets  *facet.Index
	vectors map[string]*ann.Flat // by model
	ids     []memory.ID          // by slot
	fusion  map[string]embed.Fusion
	cues    map[string]map[string][]float32
	at      memory.LSN
}

// fill puts memories on a shelf: words as the engine takes them apart, vectors as it
// asks for them.
func fill(ctx context.Context, es []memory.Episode, a *text.Analyzer, models map[string]embed.Model) (*shelf, error) {
	s := &shelf{words: text.NewIndex(text.Params{Analysis: a.Version()}), facets: facet.New(), vectors: map[string]*ann.Flat{}, fusion: map[string]embed.Fusion{}, cues: map[string]map[string][]float32{}}
	whole := make([]string, len(es))
	for i, e := range es {
		slot := s.facets.Next()
		s.at++
		s.facets.Put(facet.Entry{Slot: slot, Ordinal: memory.Ordinal(s.at), Version: 1, Kind: memory.KindEpisode, Born: s.at, Stored: time.Unix(0, 0)})
		s.words.Put(slot, a.Analyze(e.Title, e.Text))
		s.ids = append(s.ids, e.ID)
		whole[i] = e.Text
		if e.Title != "" {
			whole[i] = e.Title + ". " + e.Text
		}
	}
	for name, m := range models {
		s.vectors[name] = ann.NewFlat(m.Info().Dimension, memory.MetricCosine)
		s.cues[name], s.fusion[name] = map[string][]float32{}, embed.FusionOf(m)
		vs, err := embedMany(ctx, m, whole)
		if err != nil {
			return nil, err
		}
		for slot, v := range vs {
			if v != nil {
				s.vectors[name].Put(uint32(slot), v)
			}
		}
	}
	return s, nil
}

// embedMany embeds texts a few at a time; nil for one that has nothing to embed.
func embedMany(ctx context.Context, m embed.Model, texts []string) ([][]float32, error) {
	const atOnce = 64
	out := make([][]float32, 0, len(texts))
	for len(texts) > 0 {
		n := min(atOnce, len(texts))
		vs, err := m.Embed(ctx, texts[:n])
		var bad *embed.TextError
		if errors.As(err, &bad) && errors.Is(err, embed.ErrEmpty) {
			n = bad.Index
			if vs, err = m.Embed(ctx, texts[:n]); err == nil {
				vs, n = append(vs, nil), n+1
			}
		}
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		out, texts = append(out, vs...), texts[n:]
	}
	return out, nil
}

// cue is the vector of a cue; nil where there is nothing to embed.
func (s *shelf) cue(ctx context.Context, name string, m embed.Model, words string) ([]float32, error) {
	if v, ok := s.cues[name][words]; ok {
		return v, nil
	}
	vs, err := embedMany(ctx, m, []string{words})
	if err != nil {
		return nil, err
	}
	s.cues[name][words] = vs[0]
	return vs[0], nil
}

// indexes are what recall.Run works on.
func (s *shelf) indexes(a *text.Analyzer, th embed.Thesaurus, model string) pipeline.Indexes {
	return pipeline.Indexes{Facets: s.facets, Words: s.words, Vectors: s.vectors[model], Metric: memory.MetricCosine, Analyzer: a, Thesaurus: th, Fusion: s.fusion[model]}
}
