package engram

import (
	"context"
	"errors"
	"sort"
	"strings"
	"time"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/recall/when"
)

// Recollection is the answer of a recall.
type Recollection struct {
	Results  []Result
	RecallID string
	LSN      memory.LSN
	Now      time.Time
	Exact    bool // every vector that the filter lets through was compared
	Compared int  // vectors compared
	Partial  bool // the time ran out before all stages were done, or Without says what is missing
	// Approximate says, of an answer from an earlier state (Cue.AsOf), what is not just as
	// it was: ApproximateVector.
	Approximate []string
	Without     []string    // legs that the recall had to do without: WithoutVector
	Times       []when.Span // what the cue's words about time were read as
	// Recognition is of memory.ModeRecognise alone.
	Recognition *Recognition
	Took        []recall.StageTime
	// Receipt is what gives the same results again (ReplayRecall), with Cue.Replay.
	Receipt string

	// Of RecallAcross alone; LSN is 0 then.
	LSNs    map[memory.SpaceName]memory.LSN
	Missing []memory.SpaceName // gave no answer in time
}

// WithoutVector in Recollection.Without says that the space's model did not give the
// cue's vector in time: the memories were found by the cue's words.
const WithoutVector = "vector"

// Result is one memory that came back.
type Result struct {
	Memory memory.Memory
	Space  memory.SpaceName // of RecallAcross alone
	Score  float64
	Origin string        // episodic or semantic
	Parts  []recall.Part // they sum to Score
	Paths  []Path        // with Cue.Explain: how activation came

	// Passage is the part of a long text that the cue was like; nil for a short one.
	Passage  *Passage
	passages []ann.PassageHit // of which it is one

	ranked int // its place among what was ranked
}

// Path is a way along links from a memory that was like the cue to one that came
// back.
type Path struct {
	Activation float64
	IDs        []memory.ID  // of the nodes, from the one that was like the cue
	Types      []string     // of the links between them
	Steps      []SpreadStep // the links themselves
}

// Recall finds the memories that a cue wakes, best first; with OrderTime, the
// best in the order in which they happened. An empty answer means that nothing
// was found. Errors: the codes of memory.Cue.Normalize and
// memory.CheckVectorFor; memory_not_found for an id of the cue.
func (s *Space) Recall(ctx context.Context, c memory.Cue) (Recollection, error) {
	r, err := steady(s, func() (Recollection, error) { return s.recall(ctx, c, false) })
	return r, memory.InOp("recall", err)
}

// budgetCandidates is how many memories a token budget is filled from.
const budgetCandidates = 300

// recall is Recall; among says that scores are to be compared with those of other spaces.
func (s *Space) recall(ctx context.Context, c memory.Cue, among bool) (Recollection, error) {
	if err := c.Normalize(); err != nil {
		return Recollection{}, err
	}
	if err := memory.CheckVectorFor("vector", c.Vector, s.name, s.Settings().Vector); err != nil {
		return Recollection{}, err
	}
	began := time.Now() // stage times are told, never decided on
	wordsAlone := s.cueVector(ctx, &c)
	embedding := recall.StageTime{Stage: "embed", Took: time.Since(began)}
	defer s.db.calls.enter()()
	at, then, err := s.stateAsked(c.AsOf)
	if err != nil {
		return Recollection{}, err
	}
	named, err := s.named(&c, at)
	if err != nil {
		return Recollection{}, err
	}
	out := Recollection{RecallID: string(memory.NewID()), Now: c.Now}
	if out.Now.IsZero() {
		if out.Now = then; then.IsZero() {
			out.Now = s.db.Now()
		}
	}
	prime, err := s.prime(ctx, &c, out.Now, at)
	if err != nil {
		return Recollection{}, err
	}
	began = time.Now()
	t, done, err := s.towerAt(ctx, at)
	if err != nil {
		return Recollection{}, err
	}
	defer done()
	opened := recall.StageTime{Stage: "as_of", Took: time.Since(began)}
	s.db.thesaurus(t.analyzer) // made before the lock of the indexes
	if c.Mode == memory.ModeAssociative {
		t.waitAssociated(ctx)
	}
	q := recall.Question{Cue: &c, Limit: c.Limit, Now: then, Seen: out.Now, Prime: prime, Among: among}
	answer, rows, err := t.recall(ctx, q, named, &out)
	if err != nil {
		return out, err
	}
	if t.then != (time.Time{}) && len(c.Vector) > 0 && t.lacking.slots.Any() {
		out.Approximate = []string{ApproximateVector}
	}
	if wordsAlone {
		out.Partial, out.Without = true, []string{WithoutVector}
	}
	began = time.Now()
	err = t.fill(&out, &c, answer, rows)
	t.cite(ctx, &out, &c)
	if c.AsOf.Back() {
		answer.Stages = append([]recall.StageTime{opened}, answer.Stages...)
	}
	if err == nil && c.Replay {
		out.Receipt, err = s.receiptOf(&c, &out, answer, rows)
	}
	out.Took = append(append([]recall.StageTime{embedding}, answer.Stages...), recall.StageTime{Stage: "load", Took: time.Since(began)})
	return out, err
}

// named finds the nodes that the cue names.
func (s *Space) named(c *memory.Cue, at memory.LSN) ([]memory.Ordinal, error) {
	if len(c.IDs) == 0 {
		return nil, s.alive()
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var ordinals []memory.Ordinal
	for _, id := range c.IDs {
		n, err := s.lookupAt(v, id, at)
		if err != nil {
			return nil, err
		}
		if n == nil || n.Kind == memory.KindEntity {
			return nil, memoryNotFound(s, id)
		}
		ordinals = append(ordinals, n.Ordinal)
	}
	return ordinals, nil
}

// recall runs the pipeline under the lock of the indexes.
func (t *tower) recall(ctx context.Context, q recall.Question, named []memory.Ordinal, out *Recollection) (recall.Answer, []facet.Row, error) {
	if !q.Cue.AsOf.Valid.IsZero() {
		if err := t.knowTimed(ctx); err != nil {
			return recall.Answer{}, nil, err
		}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if q.View = t.applied; q.Now.IsZero() {
		q.Now = t.now()
	}
	if q.Cue.Budget != nil {
		q.Limit = max(q.Limit, budgetCandidates)
	}
	if q.Cue.Zone != nil {
		q.Seen = q.Seen.In(q.Cue.Zone)
	}
	for _, o := range named {
		if slot, ok := t.facets.Live(o); ok {
			q.Named = append(q.Named, slot)
		}
	}
	t.rememberCue(q.Cue)
	ix, err := t.indexesAt(q.Cue)
	if err != nil {
		return recall.Answer{}, nil, err
	}
	answer, err := recall.Run(ctx, ix, q)
	out.Recognition = recognition(q.Cue, answer.Ranked)
	out.LSN, out.Exact, out.Compared, out.Partial, out.Times = t.applied, answer.Exact, answer.Compared, answer.Partial, answer.Times
	rows := make([]facet.Row, len(answer.Ranked))
	for i, r := range answer.Ranked {
		rows[i], _ = t.facets.At(r.Slot)
	}
	return answer, rows, err
}

// fill reads the memories of the ranked slots, up to the limit or the budget.
func (t *tower) fill(out *Recollection, c *memory.Cue, answer recall.Answer, rows []facet.Row) error {
	s := t.space
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	finder := t.finder(v)
	left := 0
	if c.Budget != nil {
		left = c.Budget.Tokens
	}
	for i, r := range answer.Ranked {
		m, found, err := s.loadRow(v, rows[i], ReadOptions{Vector: c.IncludeVector, Links: c.IncludeLinks})
		if err != nil {
			return err
		}
		if !found {
			continue // erased since it was ranked
		}
		if c.Budget != nil {
			n := tokensOf(&m)
			if n > left {
				continue
			}
			left -= n
		}
		paths, err := finder.ways(r.Paths)
		if err != nil {
			return err
		}
		out.Results = append(out.Results, Result{Memory: m, Score: r.Score, Origin: origin(m.Kind), Parts: r.Parts, Paths: paths, ranked: i, passages: r.Passages})
	}
	if c.Order == memory.OrderTime {
		sortByTime(out.Results)
	}
	return nil
}

// tokensOf is how much of a budget a memory takes.
func tokensOf(m *memory.Memory) int {
	return memory.EstimateTokens(len(strings.Fields(m.Title)) + len(strings.Fields(m.Text)))
}

func origin(k memory.Kind) string {
	if k == memory.KindConcept {
		return "semantic"
	}
	return "episodic"
}

// sortByTime puts results in the order in which they happened, else were stored.
func sortByTime(rs []Result) {
	sort.SliceStable(rs, func(i, j int) bool { return timeOf(&rs[i]).Before(timeOf(&rs[j])) })
}

// timeOf is when a result happened, else when it was stored.
func timeOf(r *Result) time.Time {
	if r.Memory.Happened != nil {
		return r.Memory.Happened.From
	}
	return r.Memory.StoredAt
}

// isCode says whether an error carries a code.
func isCode(err error, code string) bool {
	var e *memory.Error
	return errors.As(err, &e) && e.Code == code
}
