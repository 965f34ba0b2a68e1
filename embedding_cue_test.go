package engram_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// TestCuesGoFirst: while the model works at stored texts and more of them wait, cues are answered
// by meaning, in every mode; none of those texts is done in the meantime.
func TestCuesGoFirst(t *testing.T) {
	const stored, cue = "heron", "lutra"
	m, db, s := modelled(t, engram.Options{Clock: clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))})
	rememberWaiting(t, s, memory.Episode{ID: "otter", Text: "otter"})
	asked, release := m.hangOn(stored)
	var es []memory.Episode
	for i := range 100 {
		es = append(es, memory.Episode{Text: fmt.Sprint(stored, " ", i)})
	}
	_, err := s.RememberBatch(soon(t), es, false, engram.WriteOptions{WaitNone: true})
	check(t, err)
	<-asked
	calls := m.called()
	modes := []memory.Mode{memory.ModeSimilar, memory.ModeAssociative}
	for _, mode := range modes {
		r, err := s.Recall(soon(t), memory.Cue{Text: cue, Mode: mode})
		check(t, err)
		if !slices.ContainsFunc(r.Results, func(x engram.Result) bool { return x.Memory.ID == "otter" }) {
			t.Errorf("%s: %q does not find the otter by meaning", mode, cue)
		}
	}
	if n := m.called() - calls; n != len(modes) {
		t.Errorf("the model was asked %d times during %d cues", n, len(modes))
	}
	if w := waitingFor(db, m.name); w != len(es) {
		t.Errorf("%d texts wait, want %d", w, len(es))
	}
	release()
	eventually(t, "the texts have their vectors", func() bool { return waitingFor(db, m.name) == 0 })
}

func waitingFor(db *engram.DB, model string) int {
	for _, st := range db.ModelStats() {
		if st.Name == model {
			return st.Waiting
		}
	}
	return 0
}
