package engram

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/engramdb/engram/facet"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/recall/when"
	"github.com/engramdb/engram/store"
)

// A receipt says what a recall saw and decided, so that its answer can be given again: the
// state (LSN), the moment, what was asked (options, and a digest of the cue), the model, every
// candidate with its raw score, and for each result the version that was shown with the parts of
// its score. The words of the memories are not in it: they are read again, as they were.
//
//	base64url( 1 byte format | 32 bytes SHA-256 of what follows | CBOR )
//
// The digest shows that a receipt was damaged or edited. It is no signature: who makes one of
// their own, with a digest that fits, is shown versions of memories that GetMemory as_of would
// show them too, and scores that they made up themselves.
type receipt struct {
	Space      memory.SpaceID  `cbor:"1,keyasint"`
	LSN        memory.LSN      `cbor:"2,keyasint"`
	Now        time.Time       `cbor:"3,keyasint"`
	RecallID   string          `cbor:"4,keyasint"`
	Cue        [32]byte        `cbor:"5,keyasint"` // digest of all that was asked
	Mode       memory.Mode     `cbor:"6,keyasint"`
	Limit      int             `cbor:"7,keyasint"`
	Tokens     int             `cbor:"8,keyasint,omitempty"`
	Order      memory.Order    `cbor:"9,keyasint"`
	Stages     memory.Stages   `cbor:"11,keyasint"`
	Model      string          `cbor:"12,keyasint,omitempty"` // provenance of the cue's vector; "" when it was given, or is none
	Exact      bool            `cbor:"13,keyasint,omitempty"`
	Compared   int             `cbor:"14,keyasint,omitempty"`
	Partial    bool            `cbor:"15,keyasint,omitempty"`
	Times      []when.Span     `cbor:"16,keyasint,omitempty"`
	Recognised *Recognition    `cbor:"17,keyasint,omitempty"`
	Candidates []candidate     `cbor:"18,keyasint"` // best first
	Results    []receiptResult `cbor:"19,keyasint"` // as they were given
	Without    []string        `cbor:"20,keyasint,omitempty"`
	Roughly    []string        `cbor:"21,keyasint,omitempty"` // Recollection.Approximate
}

type candidate struct {
	Ordinal memory.Ordinal `cbor:"1,keyasint"`
	Version uint32         `cbor:"2,keyasint"`
	Score   float64        `cbor:"3,keyasint"`
}

type receiptResult struct {
	Candidate int           `cbor:"1,keyasint"` // which one it is
	Born      memory.LSN    `cbor:"2,keyasint"`
	Parts     []recall.Part `cbor:"3,keyasint"`
	Paths     []Path        `cbor:"4,keyasint,omitempty"`
	Made      bool          `cbor:"5,keyasint,omitempty"` // a model had made its vector by then
	Model     string        `cbor:"6,keyasint,omitempty"`
	Vector    bool          `cbor:"7,keyasint,omitempty"` // it was shown
	Passage   *Passage      `cbor:"8,keyasint,omitempty"` // that was cited
}

const (
	receiptFormat = 1
	// receiptMost bounds a receipt, in bytes before base64: 1,000 results with their paths are
	// below it.
	receiptMost = 4 << 20
)

// receiptOf makes the receipt of an answer.
func (s *Space) receiptOf(c *memory.Cue, out *Recollection, answer recall.Answer, rows []facet.Row) (string, error) {
	r := receipt{Space: s.id, LSN: out.LSN, Now: out.Now, RecallID: out.RecallID, Cue: digestOf(c), Mode: c.Mode, Limit: c.Limit, Order: c.Order,
		Stages: c.Stages, Exact: out.Exact, Compared: out.Compared, Partial: out.Partial, Times: out.Times, Recognised: out.Recognition,
		Without: out.Without, Roughly: out.Approximate}
	if c.Budget != nil {
		r.Tokens = c.Budget.Tokens
	}
	if m, _ := s.db.modelOf(s.Settings()); m != nil {
		r.Model = provenance(m.Info())
	}
	for i, x := range answer.Ranked {
		r.Candidates = append(r.Candidates, candidate{rows[i].Ordinal, rows[i].Version, x.Score})
	}
	for i := range out.Results {
		x := &out.Results[i]
		r.Results = append(r.Results, receiptResult{x.ranked, rows[x.ranked].Born, x.Parts, x.Paths, x.Memory.Made, x.Memory.Model, len(x.Memory.Vector) > 0, x.Passage})
	}
	body := store.Encode(&r)
	if len(body) > receiptMost {
		return "", memory.Errorf(memory.KindTooLarge, "receipt_too_large", "the receipt has %d bytes; at most %d are given", len(body), receiptMost).
			Hinted("ask for fewer results")
	}
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{receiptFormat}, sum[:]...), body...)), nil
}

// digestOf is the digest of what a cue asks. The zone is not encoded by itself: it shows in
// what words about time were read as.
func digestOf(c *memory.Cue) [32]byte {
	asked := *c
	asked.Zone = nil
	return sha256.Sum256(store.Encode(&asked))
}

var errReceipt = memory.Invalid("receipt_invalid", "receipt", "receipt is not one that this space gave, or was changed").
	Hinted("send the receipt as it came with explain \"replay\"")

// parseReceipt reads a receipt; receipt_invalid for anything that is none.
func parseReceipt(s string) (r receipt, err error) {
	if base64.RawURLEncoding.DecodedLen(len(s)) > receiptMost+1+sha256.Size {
		return r, errReceipt
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 1+sha256.Size || b[0] != receiptFormat {
		return r, errReceipt
	}
	body := b[1+sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[1:1+sha256.Size]) || store.Decode(body, &r) != nil {
		return r, errReceipt
	}
	for _, x := range r.Results {
		if x.Candidate < 0 || x.Candidate >= len(r.Candidates) {
			return r, errReceipt
		}
	}
	return r, nil
}

// ReplayRecall gives the results of an earlier recall again, from its receipt: the same
// memories in the versions that were shown, with the same scores and reasons. Errors:
// receipt_invalid; beyond_horizon when the journal no longer reaches back to the state that was
// seen; payload_erased when a memory of it was erased since; vector_replaced when a vector was
// shown that another model has made anew.
func (s *Space) ReplayRecall(_ context.Context, given string) (Recollection, error) {
	out, err := s.replayRecall(given)
	return out, memory.InOp("replay_recall", err)
}

func (s *Space) replayRecall(given string) (out Recollection, err error) {
	r, err := parseReceipt(given)
	if err != nil {
		return out, err
	}
	v, err := s.view()
	if err != nil {
		return out, err
	}
	defer v.Close()
	meta, err := v.Meta(s.id)
	if err != nil {
		return out, err
	}
	if r.Space != s.id || r.LSN > meta.LSN {
		return out, errReceipt // of another space, or of another's future
	}
	if err := s.beyond(v, r.LSN); err != nil {
		return out, err
	}
	out = Recollection{RecallID: r.RecallID, LSN: r.LSN, Now: r.Now, Exact: r.Exact, Compared: r.Compared, Partial: r.Partial, Times: r.Times,
		Recognition: r.Recognised, Receipt: given, Without: r.Without, Approximate: r.Roughly}
	for _, x := range r.Results {
		one, err := s.again(v, &r, x)
		if err != nil {
			return Recollection{}, err
		}
		out.Results = append(out.Results, one)
	}
	return out, nil
}

// again reads one result of a receipt as it was shown.
func (s *Space) again(v *store.View, r *receipt, x receiptResult) (Result, error) {
	c := r.Candidates[x.Candidate]
	if x.Born > r.LSN {
		return Result{}, errReceipt // nobody can have seen it
	}
	m, found, err := s.loadRow(v, facet.Row{Ordinal: c.Ordinal, Version: c.Version, Born: x.Born}, ReadOptions{Vector: x.Vector})
	if err != nil {
		return Result{}, err
	}
	if !found {
		return Result{}, memory.Errorf(memory.KindConflict, "payload_erased", "a memory of this recall has been erased since")
	}
	if x.Vector && m.Model != x.Model {
		return Result{}, memory.Errorf(memory.KindGone, "vector_replaced", "a vector of this recall has been made anew by another model since")
	}
	if p := x.Passage; p != nil && !(0 <= p.Start && p.Start <= p.End && p.End <= len(m.Text)) {
		return Result{}, errReceipt
	}
	m.Suppressed, m.Made, m.Model = false, x.Made, x.Model // what became of it later is not what was shown
	return Result{Memory: m, Score: c.Score, Origin: origin(m.Kind), Parts: x.Parts, Paths: x.Paths, Passage: x.Passage}, nil
}
