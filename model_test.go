package engram_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestModel does random verbs to a space and to a map, with restarts and power
// cuts in between, and compares what both answer: reads, older states, lists,
// recalls by filter, word and vector, counts, events.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		defer func() { _ = m.db.Close() }() // of the last life; an earlier error is the one to tell
		t.Repeat(map[string]func(*rapid.T){
			"remember":    m.remember,
			"batch":       m.batch,
			"update":      m.update,
			"forget":      m.forget,
			"restore":     m.restore,
			"link":        m.link,
			"unlink":      m.unlink,
			"get":         m.checkGet,
			"past":        m.checkPast,
			"recall past": m.checkRecallPast,
			"list":        m.checkList,
			"tag":         m.checkTag,
			"word":        m.checkWord,
			"vector":      m.checkVector,
			"events":      m.checkEvents,
			"restart":     m.restart,
			"":            m.checkCounts,
		})
		m.restart(t)
		m.checkList(t)
		for _, w := range modelWords {
			m.checkOneWord(t, w)
		}
	})
}

// The vocabulary: no two words share a stem.
var (
	modelWords = []string{"otter", "harbour", "violin", "granite", "tulip", "cobalt"}
	modelTags  = []string{"red", "green", "blue"}
	modelIDs   = []memory.ID{"a", "b", "c", "d", "e", "f", "g", "h"}
)

// known is a memory as the model knows it.
type known struct {
	birth      int // tells two lives of one id apart, and orders lists
	version    uint32
	text       string
	tags       []string
	vector     []float32
	suppressed bool
}

type modelLink struct{ from, to memory.ID }

type model struct {
	fs    *vfs.MemFS
	db    *engram.DB
	space *engram.Space

	births int
	now    map[memory.ID]known
	links  map[memory.ID]modelLink
	past   []moment
	erased map[int]bool // by birth
	hidden map[int]bool // by birth: suppressed when it ended
	events []string
}

// moment is what stood after a record.
type moment struct {
	lsn memory.LSN
	all map[memory.ID]known
}

func newModel(t *rapid.T) *model {
	m := &model{fs: vfs.NewCrashableMem(), now: make(map[memory.ID]known), links: make(map[memory.ID]modelLink), erased: make(map[int]bool), hidden: make(map[int]bool)}
	m.open(t)
	_, _, err := m.db.CreateSpace(context.Background(), "m", memory.Settings{Vector: memory.VectorSettings{Dimension: 2, Metric: memory.MetricDot}})
	must(t, err)
	m.space, err = m.db.Space("m")
	must(t, err)
	return m
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (m *model) open(t *rapid.T) {
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: m.fs, Fatal: func(err error) { t.Errorf("%v", err) }})
	must(t, err)
	m.db = db
	m.space, _ = db.Space("m")
}

func (m *model) restart(t *rapid.T) {
	crashed := rapid.Bool().Draw(t, "crashed")
	after := m.fs.CrashClone(vfs.CrashCloneCfg{})
	must(t, m.db.Close())
	if crashed {
		m.fs = after
	}
	m.open(t)
}

func draw(t *rapid.T, id memory.ID) memory.Episode {
	words := rapid.SliceOfN(rapid.SampledFrom(modelWords), 1, 3).Draw(t, "words")
	e := memory.Episode{ID: id, Text: strings.Join(words, " ")}
	e.Tags = rapid.SliceOfNDistinct(rapid.SampledFrom(modelTags), 0, 2, rapid.ID).Draw(t, "tags")
	if rapid.Bool().Draw(t, "has vector") {
		e.Vector = []float32{float32(rapid.IntRange(-3, 3).Draw(t, "x")), float32(rapid.IntRange(-3, 3).Draw(t, "y"))}
	}
	return e
}

func (k known) says(e memory.Episode) bool {
	return k.text == e.Text && slices.Equal(k.tags, e.Tags) && slices.Equal(k.vector, e.Vector)
}

// write is what a store of one memory must do, and says the expected outcome.
func (m *model) write(e memory.Episode, c memory.OnConflict) (engram.Outcome, bool) {
	old, stands := m.now[e.ID]
	switch {
	case !stands:
		m.births++
		m.now[e.ID] = known{birth: m.births, version: 1, text: e.Text, tags: e.Tags, vector: e.Vector}
		m.events = append(m.events, "remembered "+string(e.ID))
		return engram.Created, true
	case old.says(e) || c == memory.ConflictKeep:
		return engram.Kept, true
	case c == memory.ConflictReplace:
		m.now[e.ID] = known{birth: old.birth, version: old.version + 1, text: e.Text, tags: e.Tags, vector: e.Vector, suppressed: old.suppressed}
		m.events = append(m.events, "updated "+string(e.ID))
		return engram.Replaced, true
	}
	return "", false
}

func (m *model) mark(t *rapid.T) {
	lsn, err := m.space.LSN()
	must(t, err)
	if lsn > 0 { // 0 would ask for the present
		m.past = append(m.past, moment{lsn, maps.Clone(m.now)})
	}
}

var conflicts = rapid.SampledFrom([]memory.OnConflict{memory.ConflictError, memory.ConflictKeep, memory.ConflictReplace, memory.ConflictReplace})

func (m *model) remember(t *rapid.T) {
	e := draw(t, rapid.SampledFrom(modelIDs).Draw(t, "id"))
	c := conflicts.Draw(t, "on conflict")
	w, err := m.space.Remember(context.Background(), e, engram.WriteOptions{OnConflict: c})
	want, ok := m.write(e, c)
	if !ok {
		wantCode(t, err, "id_conflict")
		return
	}
	must(t, err)
	if w.Outcome != want || w.Version != m.now[e.ID].version {
		t.Fatalf("got %+v, want %s of version %d", w, want, m.now[e.ID].version)
	}
	m.mark(t)
}

func (m *model) batch(t *rapid.T) {
	es := make([]memory.Episode, rapid.IntRange(1, 5).Draw(t, "n"))
	for i := range es {
		es[i] = draw(t, rapid.SampledFrom(modelIDs).Draw(t, "id"))
	}
	partial, c := rapid.Bool().Draw(t, "partial"), conflicts.Draw(t, "on conflict")
	b, err := m.space.RememberBatch(context.Background(), es, partial, engram.WriteOptions{OnConflict: c})
	before, births, events := maps.Clone(m.now), m.births, len(m.events)
	failed := 0
	for i, e := range es {
		want, ok := m.write(e, c)
		if !ok {
			failed++
		}
		if err == nil && (b.Items[i].Err == nil) != ok || err == nil && ok && b.Items[i].Outcome != want {
			t.Fatalf("item %d: %+v, want %s", i, b.Items[i], want)
		}
	}
	if failed > 0 && !partial {
		m.now, m.births, m.events = before, births, m.events[:events]
		wantCode(t, err, "id_conflict")
		return
	}
	must(t, err)
	if b.Failed != failed || b.Stored != len(es)-failed {
		t.Fatalf("stored %d, failed %d; want %d failed", b.Stored, b.Failed, failed)
	}
	m.mark(t)
}

func (m *model) update(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	e := draw(t, id)
	o := engram.WriteOptions{IfMatch: uint32(rapid.IntRange(0, 3).Draw(t, "if match"))}
	w, err := m.space.Update(context.Background(), id, func(old *memory.Episode) error {
		old.Text, old.Tags, old.Vector = e.Text, e.Tags, e.Vector
		return nil
	}, o)
	old, stands := m.now[id]
	switch {
	case !stands:
		wantCode(t, err, "memory_not_found")
		return
	case o.IfMatch != 0 && o.IfMatch != old.version:
		wantCode(t, err, "version_mismatch")
		return
	}
	must(t, err)
	if want, _ := m.write(e, memory.ConflictReplace); w.Outcome != want {
		t.Fatalf("got %+v, want %s", w, want)
	}
	m.mark(t)
}

func (m *model) forget(t *rapid.T) {
	mode := rapid.SampledFrom([]memory.ForgetMode{memory.Suppress, memory.Suppress, memory.Delete, memory.Erase}).Draw(t, "mode")
	q := engram.ForgetQuery{Mode: mode}
	var meant []memory.ID
	if rapid.Bool().Draw(t, "by tag") {
		tag := rapid.SampledFrom(modelTags).Draw(t, "tag")
		q.Filter = &memory.Filter{Tags: []string{tag}}
		meant = m.visible(func(k known) bool { return slices.Contains(k.tags, tag) })
	} else {
		q.IDs = rapid.SliceOfN(rapid.SampledFrom(modelIDs), 1, 3).Draw(t, "ids")
		for _, id := range q.IDs {
			if _, stands := m.now[id]; stands && !slices.Contains(meant, id) {
				meant = append(meant, id)
			}
		}
	}
	f, err := m.space.Forget(context.Background(), q, erasureWait, engram.WriteOptions{})
	must(t, err)
	if f.Matched != len(meant) {
		t.Fatalf("%+v; want %v", f, meant)
	}
	for _, id := range meant {
		m.end(id, mode)
	}
	m.mark(t)
}

func (m *model) end(id memory.ID, mode memory.ForgetMode) {
	k := m.now[id]
	if mode == memory.Suppress {
		if !k.suppressed {
			m.events = append(m.events, "forgotten "+string(id))
		}
		k.suppressed = true
		m.now[id] = k
		return
	}
	m.events = append(m.events, "forgotten "+string(id))
	delete(m.now, id)
	m.erased[k.birth], m.hidden[k.birth] = mode == memory.Erase, k.suppressed
	maps.DeleteFunc(m.links, func(_ memory.ID, l modelLink) bool { return l.from == id || l.to == id })
}

func (m *model) restore(t *rapid.T) {
	ids := rapid.SliceOfN(rapid.SampledFrom(modelIDs), 1, 3).Draw(t, "ids")
	_, err := m.space.Restore(context.Background(), engram.ForgetQuery{IDs: ids}, engram.WriteOptions{})
	must(t, err)
	for _, id := range ids {
		if k, stands := m.now[id]; stands && k.suppressed {
			k.suppressed = false
			m.now[id] = k
			m.events = append(m.events, "updated "+string(id))
		}
	}
}

func (m *model) link(t *rapid.T) {
	l := modelLink{rapid.SampledFrom(modelIDs).Draw(t, "from"), rapid.SampledFrom(modelIDs).Draw(t, "to")}
	w, err := m.space.Link(context.Background(), memory.Link{From: l.from, To: l.to, Type: "t", Weight: 1}, engram.WriteOptions{})
	_, from := m.now[l.from]
	_, to := m.now[l.to]
	if !from || !to {
		wantCode(t, err, "node_not_found")
		return
	}
	must(t, err)
	m.links[w.ID] = l
}

func (m *model) unlink(t *rapid.T) {
	if len(m.links) == 0 {
		t.Skip("no links")
	}
	i := rapid.IntRange(0, len(m.links)-1).Draw(t, "link") // an id would not be the same when it is played again
	id := slices.Sorted(maps.Keys(m.links))[i]
	_, err := m.space.Unlink(context.Background(), id, engram.WriteOptions{})
	must(t, err)
	delete(m.links, id)
}

func wantCode(t *rapid.T, err error, code string) {
	t.Helper()
	if codeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func (k known) matches(t *rapid.T, got memory.Memory) {
	t.Helper()
	if got.Version != k.version || got.Text != k.text || !slices.Equal(got.Tags, k.tags) || !slices.Equal(got.Vector, k.vector) {
		t.Fatalf("got %+v, want %+v", got, k)
	}
}

func (m *model) checkGet(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	got, err := m.space.Get(context.Background(), id, engram.ReadOptions{Vector: true, Links: true})
	k, stands := m.now[id]
	if !stands {
		wantCode(t, err, "memory_not_found")
		return
	}
	must(t, err)
	k.matches(t, got)
	links := 0
	for _, l := range m.links {
		if l.from == id || l.to == id {
			links++
		}
	}
	if got.Suppressed != k.suppressed || len(got.LinksOf) != links {
		t.Fatalf("got %+v with %d links, want %+v with %d", got, len(got.LinksOf), k, links)
	}
}

func (m *model) checkPast(t *rapid.T) {
	if len(m.past) == 0 {
		t.Skip("no past")
	}
	p := m.past[rapid.IntRange(0, len(m.past)-1).Draw(t, "moment")]
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	got, err := m.space.Get(context.Background(), id, engram.ReadOptions{AsOfLSN: p.lsn, Vector: true})
	k, stood := p.all[id]
	if !stood || m.erased[k.birth] {
		wantCode(t, err, "memory_not_found")
		return
	}
	must(t, err)
	k.matches(t, got)
}

// checkRecallPast: a recall as of then gives what stood then in the versions of then, but for
// what is erased or suppressed now.
func (m *model) checkRecallPast(t *rapid.T) {
	if len(m.past) == 0 {
		t.Skip("no past")
	}
	p := m.past[rapid.IntRange(0, len(m.past)-1).Draw(t, "moment")]
	r, err := m.space.Recall(context.Background(), memory.Cue{Mode: memory.ModeRecent, Limit: 100, AsOf: memory.AsOf{LSN: p.lsn}, IncludeVector: true})
	must(t, err)
	got := make(map[memory.ID]memory.Memory)
	for _, x := range r.Results {
		got[x.Memory.ID] = x.Memory
	}
	seen := 0
	for id, k := range p.all {
		hidden := m.hidden[k.birth]
		if now, stands := m.now[id]; stands && now.birth == k.birth {
			hidden = now.suppressed
		}
		if hidden || m.erased[k.birth] {
			continue
		}
		seen++
		k.matches(t, got[id])
	}
	if len(r.Results) != seen {
		t.Fatalf("as of %d: %d memories, want %d", p.lsn, len(r.Results), seen)
	}
}

// visible are the ids that lists and recalls may give, in the order they were
// first stored.
func (m *model) visible(f func(known) bool) []memory.ID {
	ids := make([]memory.ID, 0, len(m.now))
	for id, k := range m.now {
		if !k.suppressed && f(k) {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return m.now[ids[i]].birth < m.now[ids[j]].birth })
	return ids
}

func (m *model) checkList(t *rapid.T) {
	var got []memory.ID
	q := engram.ListQuery{PageSize: rapid.IntRange(1, 4).Draw(t, "page"), IncludeVector: true}
	for {
		p, err := m.space.List(context.Background(), q)
		must(t, err)
		for _, x := range p.Memories {
			got = append(got, x.ID)
			m.now[x.ID].matches(t, x)
		}
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			break
		}
	}
	if want := m.visible(func(known) bool { return true }); !slices.Equal(got, want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
}

func (m *model) recallIDs(t *rapid.T, c memory.Cue) []memory.ID {
	c.Limit = memory.MaxLimit
	r, err := m.space.Recall(context.Background(), c)
	must(t, err)
	ids := make([]memory.ID, len(r.Results))
	for i, x := range r.Results {
		ids[i] = x.Memory.ID
		m.now[x.Memory.ID].matches(t, withVector(x.Memory, m.now[x.Memory.ID].vector))
	}
	return ids
}

// withVector: recalls leave vectors out unless asked.
func withVector(x memory.Memory, v []float32) memory.Memory { x.Vector = v; return x }

func (m *model) checkTag(t *rapid.T) {
	tag := rapid.SampledFrom(modelTags).Draw(t, "tag")
	sameSet(t, "tag "+tag, m.recallIDs(t, memory.Cue{Filter: memory.Filter{Tags: []string{tag}}}),
		m.visible(func(k known) bool { return slices.Contains(k.tags, tag) }))
}

func (m *model) checkWord(t *rapid.T) {
	m.checkOneWord(t, rapid.SampledFrom(modelWords).Draw(t, "word"))
}

func (m *model) checkOneWord(t *rapid.T, word string) {
	sameSet(t, "word "+word, m.recallIDs(t, memory.Cue{Text: word}),
		m.visible(func(k known) bool { return strings.Contains(k.text, word) }))
}

func (m *model) checkVector(t *rapid.T) {
	q := []float32{float32(rapid.IntRange(-3, 3).Draw(t, "x")), float32(rapid.IntRange(-3, 3).Draw(t, "y"))}
	got := m.recallIDs(t, memory.Cue{Vector: q})
	sameSet(t, fmt.Sprint("vector ", q), got, m.visible(func(k known) bool { return k.vector != nil }))
	score := func(id memory.ID) float32 { v := m.now[id].vector; return v[0]*q[0] + v[1]*q[1] }
	if !slices.IsSortedFunc(got, func(a, b memory.ID) int { return int(score(b) - score(a)) }) {
		t.Fatalf("vector %v: %v is not best first", q, got)
	}
}

func sameSet(t *rapid.T, what string, got, want []memory.ID) {
	t.Helper()
	if a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(a, b) {
		t.Fatalf("%s: got %v, want %v", what, a, b)
	}
}

// checkEvents reads the journal in pages: no LSN comes late, and what it says of
// memories is what was done, in that order.
func (m *model) checkEvents(t *rapid.T) {
	var got []string
	var after, last memory.LSN
	for {
		es, next, err := m.space.Events(context.Background(), engram.EventQuery{After: after, Limit: rapid.IntRange(1, 9).Draw(t, "limit")})
		must(t, err)
		for _, e := range es {
			if e.LSN < last || e.LSN <= after {
				t.Fatalf("event %d came after %d", e.LSN, last)
			}
			last = e.LSN
			if e.Kind == "episode" {
				got = append(got, e.Type+" "+string(e.ID))
			}
		}
		if next == after {
			break
		}
		after = next
	}
	sort.Strings(got) // a record may end several, in an order of its own
	if want := slices.Sorted(slices.Values(m.events)); !slices.Equal(got, want) {
		t.Fatalf("events\n%v\nwant\n%v", got, want)
	}
}

func (m *model) checkCounts(t *rapid.T) {
	i, err := m.space.Info(context.Background())
	must(t, err)
	if i.Counts.Episodes != uint64(len(m.now)) || i.Counts.Links != uint64(len(m.links)) {
		t.Fatalf("counts %+v, want %d memories and %d links", i.Counts, len(m.now), len(m.links))
	}
}
