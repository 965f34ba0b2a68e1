package recall

import (
	"context"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall/when"
	"github.com/engramdb/engram/text"
)

// timeWeight is what a memory gets whose valid time the cue's words name: as much as
// one that it names, and a hint all the same. People are wrong about when, and what is
// told of a day is often told later. See DESIGN.md for what it was tuned on.
const timeWeight = 0.5

// readTimes reads the cue's words about time, and selects the memories that they mean.
func (r *run) readTimes() {
	if r.Cue.Mode != memory.ModeAssociative || r.Cue.Stages.NoTime || r.Cue.Text == "" {
		return
	}
	seen := r.Seen
	if seen.IsZero() {
		seen = r.Now
	}
	r.answer.Times = when.Find(r.Cue.Text, seen)
	for _, s := range r.answer.Times {
		f := memory.Filter{Happened: &memory.Range{From: s.From, To: s.To}}
		in, _ := r.Facets.Select(&f, r.View, r.Now)
		in = in.Intersection(r.allowed)
		if r.timed == nil {
			r.timed = in
		} else {
			r.timed.InPlaceUnion(in)
		}
	}
}

// ofTime makes candidates of what lies in the times that the cue names: first what is
// most like the cue there, then the latest. It needs no likeness to be meant.
func (a *association) ofTime(ctx context.Context) {
	if a.timed == nil {
		return
	}
	for _, slot := range a.likeIn(ctx, a.timed) {
		a.add(a.Facets.Ordinal(slot))
	}
}

// likeIn gives some slots of a set, those that are like the cue first, then the latest;
// one may come twice.
func (a *association) likeIn(ctx context.Context, set *bitset.BitSet) (slots []uint32) {
	if len(a.query.Terms) > 0 {
		for _, h := range a.Words.Search(a.query, text.SearchOptions{Limit: candidatesLeast / 2, Allow: set}) {
			slots = append(slots, h.Doc)
		}
	}
	if a.Vectors != nil && len(a.Cue.Vector) > 0 && !a.Cue.Stages.NoVector {
		found, err := a.Vectors.Find(ctx, a.Cue.Vector, candidatesLeast/2, set, searchOf(a.Cue.Exact, candidatesLeast/2))
		if err != nil {
			a.answer.Partial = true // out of time: what words find is still right
		}
		for _, h := range found.Hits {
			slots = append(slots, h.Slot)
		}
	}
	for _, p := range a.Facets.Page(set, facet.ByTime, false, facet.Position{}, candidatesLeast/2) {
		slots = append(slots, p.Slot)
	}
	return slots
}

// timeOf is the part of a memory's score for lying in a time that the cue names.
func (a *association) timeOf(slot uint32) float64 {
	if a.timed != nil && a.timed.Test(uint(slot)) {
		return timeWeight
	}
	return 0
}

// noteTimes says how the cue's words about time were read.
func noteTimes(spans []when.Span) (note string) {
	for _, s := range spans {
		if note != "" {
			note += "; "
		}
		note += s.Text + ": " + shown(s.From) + "/" + shown(s.To)
	}
	return note
}

func shown(t time.Time) string {
	if t.IsZero() {
		return ".."
	}
	return t.Format(time.RFC3339)
}
