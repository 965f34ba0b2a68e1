package engram

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
)

// MaxRecallSpaces is how many spaces one recall may ask.
const MaxRecallSpaces = 16

// recallAtOnce is how many of them are asked at the same time.
const recallAtOnce = 4

// answerShare is the part of the time left that spaces have: the rest is for putting what
// came in time together.
const answerShare = 0.9

// RecallAcross recalls from several spaces and puts what comes back in one order; each
// result names its space. Scores are made comparable as package recall says (across.go):
// within a space they keep their order. What is recent or listed is ordered by time. A space
// that gives no answer before ctx ends is in Missing, and the answer is Partial; when none
// does, the error is timeout. A cue for several spaces names no ids, which are of one. Errors:
// space_not_found for each that is not there, spaces_missing, list_too_long, ids_of_one_space,
// and those of Space.Recall.
func (db *DB) RecallAcross(ctx context.Context, names []memory.SpaceName, c memory.Cue) (Recollection, error) {
	r, err := db.recallAcross(ctx, names, c)
	return r, memory.InOp("recall", err)
}

func (db *DB) recallAcross(ctx context.Context, names []memory.SpaceName, c memory.Cue) (Recollection, error) {
	spaces, err := db.spacesNamed(names)
	if err != nil {
		return Recollection{}, err
	}
	if err := c.Normalize(); err != nil {
		return Recollection{}, err
	}
	if len(c.IDs) > 0 || slices.ContainsFunc(c.Context, func(x memory.ContextItem) bool { return x.ID != "" }) {
		return Recollection{}, memory.Invalid("ids_of_one_space", "ids", "ids are of one space; recall from that one, or give text or a vector")
	}
	if c.AsOf.LSN != 0 {
		return Recollection{}, memory.Invalid("lsn_of_one_space", "as_of.lsn", "as_of.lsn is of one space; give as_of.stored, a time, or recall from that one")
	}
	if c.Replay {
		return Recollection{}, memory.Invalid("replay_of_one_space", "explain", "a receipt is of one space; recall from that one, or explain with true")
	}
	if c.Now.IsZero() { // the same for all
		c.Now = db.Now()
		if then := c.AsOf.Stored; !then.IsZero() && then.Before(c.Now) {
			c.Now = then
		}
	}
	parts, err := db.askAll(ctx, spaces, c)
	if err != nil {
		return Recollection{}, err
	}
	return merge(parts, &c)
}

// spacesNamed finds the spaces, each once, in the order of their first naming.
func (db *DB) spacesNamed(names []memory.SpaceName) (spaces []*Space, err error) {
	if len(names) == 0 {
		return nil, memory.Invalid("spaces_missing", "spaces", "spaces is empty; name the spaces to recall from")
	}
	if len(names) > MaxRecallSpaces {
		return nil, memory.Invalid("list_too_long", "spaces", "spaces has %d entries; at most %d can be asked at once", len(names), MaxRecallSpaces)
	}
	for _, n := range names {
		if err := n.Check(); err != nil {
			return nil, err
		}
		s, err := db.Space(n)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(spaces, s) {
			spaces = append(spaces, s)
		}
	}
	return spaces, nil
}

// ofSpace is the answer of one space.
type ofSpace struct {
	space *Space
	Recollection
	err error
}

// askAll asks the spaces, a few at a time, and waits for all: each ends when ctx does.
func (db *DB) askAll(ctx context.Context, spaces []*Space, c memory.Cue) ([]ofSpace, error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Duration((1-answerShare)*float64(time.Until(end)))))
		defer cancel()
	}
	parts := make([]ofSpace, len(spaces))
	var all sync.WaitGroup
	room := make(chan struct{}, recallAtOnce)
	for i, s := range spaces {
		parts[i].space = s
		all.Add(1)
		room <- struct{}{}
		started := db.run.startUnlessClosing("recall across", func() {
			defer func() { <-room; all.Done() }()
			parts[i].Recollection, parts[i].err = s.recall(ctx, c, true)
		})
		if !started {
			all.Done()
			<-room
			parts[i].err = store.ErrClosed
		}
	}
	all.Wait()
	for _, p := range parts {
		if kind := memory.KindOf(p.err); p.err != nil && kind != memory.KindTimeout {
			return nil, p.err
		}
	}
	return parts, nil
}

// merge puts the answers of several spaces in one order.
func merge(parts []ofSpace, c *memory.Cue) (Recollection, error) {
	out := Recollection{RecallID: string(memory.NewID()), Now: c.Now, Exact: true, LSNs: make(map[memory.SpaceName]memory.LSN, len(parts))}
	for _, p := range parts {
		if p.err != nil {
			out.Missing = append(out.Missing, p.space.name)
			continue
		}
		out.add(p)
	}
	if len(out.Missing) == len(parts) {
		return out, parts[0].err
	}
	out.Partial = out.Partial || len(out.Missing) > 0
	better := func(a, b *Result) bool { return a.Score > b.Score }
	if c.Mode == memory.ModeRecent || !c.HasLikeness() {
		better = func(a, b *Result) bool { return timeOf(a).After(timeOf(b)) }
	}
	sort.SliceStable(out.Results, func(i, j int) bool { return better(&out.Results[i], &out.Results[j]) })
	out.cut(c)
	if c.Order == memory.OrderTime {
		sortByTime(out.Results)
	}
	return out, nil
}

// add takes in the answer of a space.
func (r *Recollection) add(p ofSpace) {
	for i := range p.Results {
		p.Results[i].Space = p.space.name
	}
	r.Results = append(r.Results, p.Results...)
	r.LSNs[p.space.name] = p.LSN
	r.Exact = r.Exact && p.Exact
	r.Partial = r.Partial || p.Partial
	r.Compared += p.Compared
	for _, w := range p.Without {
		if !slices.Contains(r.Without, w) {
			r.Without = append(r.Without, w)
		}
	}
	for _, w := range p.Approximate {
		if !slices.Contains(r.Approximate, w) {
			r.Approximate = append(r.Approximate, w)
		}
	}
	r.Times = p.Times
	if x := p.Recognition; x != nil && (r.Recognition == nil || x.Familiarity > r.Recognition.Familiarity) {
		r.Recognition = x
	}
	for _, t := range p.Took { // the sum over spaces: work, not waiting
		i := slices.IndexFunc(r.Took, func(x recall.StageTime) bool { return x.Stage == t.Stage })
		if i < 0 {
			r.Took = append(r.Took, t)
			continue
		}
		r.Took[i].Took += t.Took
	}
}

// cut leaves the best, up to the limit or the budget.
func (r *Recollection) cut(c *memory.Cue) {
	if c.Budget == nil {
		r.Results = r.Results[:min(len(r.Results), c.Limit)]
		return
	}
	left := c.Budget.Tokens
	r.Results = slices.DeleteFunc(r.Results, func(x Result) bool {
		n := tokensOf(&x.Memory)
		if n > left {
			return true
		}
		left -= n
		return false
	})
}
