package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

var lsnField = regexp.MustCompile(`"lsn":"(\d+)"`)

// looker compares a server that has come up again with what its writers know.
type looker struct {
	t        *testing.T
	c        *child
	rng      *rand.Rand
	round    int
	read     map[string]uint64 // space: how far its journal has been read
	gets     int
	searches int
}

func (l *looker) errorf(format string, args ...any) {
	l.t.Helper()
	l.t.Errorf("round %d: %s", l.round, fmt.Sprintf(format, args...))
}

// sampled are how many older memories of a writer are looked at in each round;
// all are in the last, and those of the round always.
const (
	sampled  = 40
	searched = 2
)

func (l *looker) writer(w *writer, all bool) {
	l.t.Helper()
	for _, bad := range w.bad {
		l.errorf("writer %d was refused: %s", w.k, bad)
	}
	w.bad = nil
	look := w.all
	if recent := 60; !all && len(look) > sampled+recent {
		look = slices.Clone(w.all[len(w.all)-recent:])
		for range sampled {
			look = append(look, w.all[l.rng.IntN(len(w.all)-recent)])
		}
		for _, m := range w.all {
			if len(m.may) > 1 { // of the call that was unanswered
				look = append(look, m)
			}
		}
	}
	for len(look) > 0 {
		n := min(len(look), 500)
		l.compare(w, look[:n])
		look = look[n:]
	}
	l.wholeBatch(w)
	w.alive = w.alive[:0]
	for _, m := range w.all {
		if m.stands().text != "" {
			w.alive = append(w.alive, m)
		}
	}
	for range searched {
		if len(w.alive) > 0 {
			l.search(w.alive[l.rng.IntN(len(w.alive))])
		}
	}
}

type found struct {
	ID     string    `json:"id"`
	Text   string    `json:"text"`
	Vector []float32 `json:"vector"`
}

// compare reads memories and says which of what may stand does.
func (l *looker) compare(w *writer, ms []*memory) {
	l.t.Helper()
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.id
	}
	var got struct {
		Memories []found  `json:"memories"`
		Missing  []string `json:"missing"`
	}
	l.c.call("POST", spacePath(w.space, "memories", "get"), map[string]any{"ids": ids, "include": []string{"vector"}}).into(l.t, &got)
	l.gets += len(ids)
	is := make(map[string]state)
	for _, f := range got.Memories {
		is[f.ID] = state{f.Text, f.Vector}
	}
	for _, m := range ms {
		stands := is[m.id]
		if !slices.ContainsFunc(m.may, stands.equal) {
			l.errorf("%s in %s stands as %+v; it may stand as %+v", m.id, m.space, stands, m.may)
		}
		m.may = []state{stands}
	}
}

// wholeBatch: a batch that was unanswered is there whole or not at all.
func (l *looker) wholeBatch(w *writer) {
	l.t.Helper()
	there := 0
	for _, m := range w.batch {
		if m.stands().text != "" {
			there++
		}
	}
	if there != 0 && there != len(w.batch) {
		l.errorf("writer %d: %d of the %d memories of a batch are there", w.k, there, len(w.batch))
	}
	w.batch = nil
}

// search finds one survivor in every way.
func (l *looker) search(m *memory) {
	l.t.Helper()
	s := m.stands()
	cues := map[string]map[string]any{
		"text": {"text": s.text, "limit": 3},
		"time": {"happened": map[string]string{"from": m.happened.Format(time.RFC3339), "to": m.happened.Add(time.Second).Format(time.RFC3339)}},
		"id":   {"ids": []string{m.id}, "limit": 1},
	}
	if len(s.vector) > 0 {
		cues["vector"] = map[string]any{"vector": s.vector, "mode": "similar", "limit": 1} // all others are farther than it from itself
	}
	for how, cue := range cues {
		var got struct {
			Results []struct {
				Memory found `json:"memory"`
			} `json:"results"`
		}
		r := l.c.call("POST", spacePath(m.space, "recall"), cue)
		if r.status != http.StatusOK {
			l.errorf("by %s: %v is answered by %v", how, cue, r)
			continue
		}
		r.into(l.t, &got)
		l.searches++
		if !slices.ContainsFunc(got.Results, func(x struct {
			Memory found `json:"memory"`
		}) bool {
			return x.Memory.ID == m.id && x.Memory.Text == s.text
		}) {
			l.errorf("%s in %s (%q) is not found by %s: %+v", m.id, m.space, s.text, how, got.Results)
		}
	}
}

// journals reads what came since the last round: no LSN is missing, and none that
// was acknowledged.
func (l *looker) journals(ws []*writer) {
	l.t.Helper()
	for _, space := range spaces {
		after := l.read[space]
		for {
			var page struct {
				Events []struct {
					LSN string `json:"lsn"`
				} `json:"events"`
				Next string `json:"next_after"`
			}
			r := l.c.call("GET", spacePath(space, "events")+fmt.Sprintf("?after=%d&page_size=1000", after), nil)
			if r.status != http.StatusOK {
				l.t.Fatal(r)
			}
			r.into(l.t, &page)
			for _, e := range page.Events {
				if got, err := strconv.ParseUint(e.LSN, 10, 64); err != nil || got != after+1 {
					l.errorf("space %s: record %s follows %d", space, e.LSN, after)
					return
				}
				after++
			}
			if len(page.Events) == 0 {
				break
			}
		}
		l.read[space] = after
		for _, w := range ws {
			if w.space == space && w.lsn > after {
				l.errorf("space %s ends at %d; writer %d was told of %d", space, after, w.k, w.lsn)
			}
		}
	}
}
