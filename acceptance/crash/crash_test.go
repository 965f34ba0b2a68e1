package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

var (
	roundsFlag = flag.Int("rounds", 100, "how often the server is killed")
	seedFlag   = flag.Uint64("seed", 0, "of the writers and the moments; 0 draws one")
)

const writers = 6

// spaces: one holds words alone, one vectors too.
var spaces = []string{"words", "vectors"}

// state is a memory as it may stand; the zero value is none.
type state struct {
	text   string
	vector []float32
}

func (s state) equal(o state) bool { return s.text == o.text && slices.Equal(s.vector, o.vector) }

// memory is what a writer knows of one of its own. While a call is unanswered
// both what stood and what was asked for may stand afterwards.
type memory struct {
	space, id string
	happened  time.Time
	may       []state
}

func (m *memory) stands() state { return m.may[0] }

// writer is one client. It has one call at a time, and ids of its own.
type writer struct {
	k     int
	rng   *rand.Rand
	space string
	n     int
	all   []*memory // everything it ever stored
	alive []*memory
	batch []*memory // of the batch that was unanswered at the kill
	lsn   uint64    // the greatest that it was told
	acks  int
	bad   []string // answers that no kill explains
}

// epoch is when the first memory happened; each takes a minute of its own.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *writer) fresh() *memory {
	w.n++
	m := &memory{space: w.space, id: fmt.Sprintf("w%dn%d", w.k, w.n)}
	m.happened = epoch.Add(time.Duration(w.n*writers+w.k) * time.Minute)
	m.may = []state{{}, w.state()}
	return m
}

// state is content that no other memory has.
func (w *writer) state() state {
	w.n++
	s := state{text: fmt.Sprintf("note uniq%dx%d of a diary", w.k, w.n)}
	if w.space == "vectors" {
		s.vector = []float32{1, float32(w.k), float32(w.n), float32(w.rng.IntN(100))}
	}
	return s
}

func (m *memory) body(s state) map[string]any {
	b := map[string]any{"id": m.id, "text": s.text, "happened_at": m.happened.Format(time.RFC3339), "tags": []string{"diary"}}
	if len(s.vector) > 0 {
		b["vector"] = s.vector
	}
	return b
}

// write works until the server does not answer any more.
func (w *writer) write(c *child) {
	for {
		var r reply
		switch x := w.rng.IntN(10); {
		case x < 3 || len(w.alive) < 5:
			r = w.single(c)
		case x < 5:
			r = w.store(c)
		case x < 8:
			r = w.change(c)
		default:
			r = w.forget(c)
		}
		if r.refused() {
			w.bad = append(w.bad, r.String())
			return
		}
		if !r.acked() {
			return // killed
		}
		w.acks++
		w.note(r)
	}
}

// note keeps the greatest LSN that an answer told.
func (w *writer) note(r reply) {
	for _, m := range lsnField.FindAllSubmatch(r.body, -1) {
		if l, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil {
			w.lsn = max(w.lsn, l)
		}
	}
}

func (w *writer) single(c *child) reply {
	m := w.fresh()
	w.all = append(w.all, m)
	r := c.call("POST", spacePath(w.space, "memories"), m.body(m.may[1]))
	w.settle(r, m)
	return r
}

func (w *writer) store(c *child) reply {
	ms := make([]*memory, 10)
	bodies := make([]any, len(ms))
	for i := range ms {
		ms[i] = w.fresh()
		bodies[i] = ms[i].body(ms[i].may[1])
	}
	w.all = append(w.all, ms...)
	w.batch = ms
	r := c.call("POST", spacePath(w.space, "memories", "batch"), map[string]any{"memories": bodies})
	w.settle(r, ms...)
	if r.acked() {
		w.batch = nil
	}
	return r
}

func (w *writer) change(c *child) reply {
	m := w.alive[w.rng.IntN(len(w.alive))]
	m.may = []state{m.stands(), w.state()}
	patch := map[string]any{"text": m.may[1].text}
	if len(m.may[1].vector) > 0 {
		patch["vector"] = m.may[1].vector
	}
	r := c.call("PATCH", spacePath(w.space, "memories", m.id), patch)
	if r.acked() {
		m.may = m.may[1:]
	}
	return r
}

func (w *writer) forget(c *child) reply {
	i := w.rng.IntN(len(w.alive))
	m := w.alive[i]
	m.may = []state{m.stands(), {}}
	r := c.call("DELETE", spacePath(w.space, "memories", m.id), nil)
	if r.acked() {
		m.may = m.may[1:]
		w.alive = slices.Delete(w.alive, i, i+1)
	}
	return r
}

// settle makes what was stored certain, once the server says so.
func (w *writer) settle(r reply, ms ...*memory) {
	if !r.acked() {
		return
	}
	for _, m := range ms {
		m.may = m.may[1:]
		w.alive = append(w.alive, m)
	}
}

// TestKill is the acceptance of "nothing acknowledged is ever lost" for the death
// of a process.
func TestKill(t *testing.T) {
	rounds, seed := *roundsFlag, *seedFlag
	if testing.Short() {
		rounds = min(rounds, 12)
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; to play it again: -args -seed %d", seed, seed)
	binary, dir := build(t), t.TempDir()
	rng := rand.New(rand.NewPCG(seed, 0))
	ws := make([]*writer, writers)
	for k := range ws {
		ws[k] = &writer{k: k, rng: rand.New(rand.NewPCG(seed, uint64(k)+1)), space: spaces[k%2]}
	}
	c := start(t, binary, dir)
	makeSpaces(t, c)
	look := looker{t: t, rng: rng, read: make(map[string]uint64)}
	acks := 0
	for round := range rounds {
		var g sync.WaitGroup
		for _, w := range ws {
			g.Go(func() { w.write(c) })
		}
		<-time.After(time.Duration(15+rng.IntN(120)) * time.Millisecond) // how far they get is chance
		c.kill()
		g.Wait()
		c = start(t, binary, dir)
		look.c, look.round = c, round
		for _, w := range ws {
			acks += w.acks
			w.acks = 0
			look.writer(w, round == rounds-1)
		}
		look.journals(ws)
		if t.Failed() {
			t.Logf("the server's last words:\n%s", c.log.b.String())
			break
		}
	}
	c.kill()
	t.Logf("%d kills, %d acknowledged calls, %d memories looked at, %d searches", rounds, acks, look.gets, look.searches)
	if acks < rounds {
		t.Errorf("only %d calls were acknowledged in %d rounds", acks, rounds)
	}
}

func makeSpaces(t *testing.T, c *child) {
	t.Helper()
	for _, s := range spaces {
		settings := map[string]any{}
		if s == "vectors" {
			settings["vector"] = map[string]any{"dimension": 4, "metric": "l2"}
		}
		if r := c.call("PUT", "/v1/spaces/"+s, map[string]any{"settings": settings}); !r.acked() {
			t.Fatal(r)
		}
	}
}
