package engram

import (
	"context"

	"github.com/engramdb/engram/ann"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
	"github.com/engramdb/engram/text"
)

// A model reads so much of a text and takes no notice of the rest. A text that is
// longer is cut into passages with overlap, each gets a vector of its own, and they
// are committed together with the vector of its beginning (store.PassagesPut). The
// memory is one: recall scores it by its best passage, and the answer cites the span.
// Which spans there are lies in the store, so that other rules of cutting change
// nothing that was made before.

// bytesPerToken is about how many bytes of English a token takes, white space
// included: passages of four times what a model reads are rarely longer than that.
const bytesPerToken = 4

// leastPassage is the size below which passages are not made smaller, in bytes.
const leastPassage = 128

// passageSpans cuts the text of a memory for a model; nil when the model reads all
// of it, or does not say how much it reads. A text of more than store.MaxPassages is
// cut that far.
func passageSpans(m embed.Model, e *memory.Episode) []text.Span {
	counter, ok := m.(embed.Counter)
	most := m.Info().MaxTokens
	if !ok || most == 0 || len(e.Text) <= most || counter.Tokens(embedded(e)) <= most {
		return nil
	}
	title := 0
	if e.Title != "" {
		title = counter.Tokens(e.Title)
	}
	var spans []text.Span
	for size := bytesPerToken * most; size >= leastPassage; size /= 2 {
		spans = text.Passages(e.Text, text.PassageOptions{MaxBytes: size})
		if fits(counter, e.Text, spans, most-min(title, most/2)) { // other scripts take more tokens a byte
			break
		}
	}
	if len(spans) < 2 {
		return nil
	}
	return spans[:min(len(spans), store.MaxPassages)]
}

// fits says whether a model reads each span whole. Tables of numbers and the like
// may never fit; so a few may not.
func fits(counter embed.Counter, body string, spans []text.Span, tokens int) bool {
	long := 0
	for _, s := range spans[:min(len(spans), store.MaxPassages)] {
		if counter.Tokens(body[s.From:s.To]) > tokens {
			long++
		}
	}
	return long <= len(spans)/10
}

// embedPassages makes the passages of the texts that are long, embedStep vectors at a
// time; nil for the others. The error is errNoRoom before there is none.
func (t *tower) embedPassages(ctx context.Context, b backlog, texts []wanting) ([]*store.Passages, error) {
	all := make([]*store.Passages, len(texts))
	m, made := b.model, 0
	for i, x := range texts {
		spans := passageSpans(m.Model, x.episode)
		if len(spans) == 0 {
			continue
		}
		made += len(spans)
		if err := t.roomForMade(b, len(texts), made); err != nil {
			return nil, err
		}
		p := &store.Passages{}
		for len(spans) > 0 {
			part := spans[:min(len(spans), embedStep)]
			spans = spans[len(part):]
			if err := t.embedSpans(ctx, m, p, x, part); err != nil {
				return nil, err
			}
		}
		if len(p.Spans) > 0 {
			all[i] = p
		}
	}
	return all, nil
}

// embedSpans adds the vectors of some spans; one that has nothing to embed is left out.
// Each is read behind the memory's title, which says what it is about.
func (t *tower) embedSpans(ctx context.Context, m *openModel, p *store.Passages, x wanting, spans []text.Span) error {
	parts := make([]wanting, len(spans))
	for i, s := range spans {
		parts[i] = wanting{node: x.node, text: embedded(&memory.Episode{Title: x.episode.Title, Text: x.episode.Text[s.From:s.To]})}
	}
	vectors, err := t.space.embedTexts(ctx, m, parts)
	if err != nil {
		return err
	}
	for i, v := range vectors {
		if v != nil {
			p.Spans = append(p.Spans, store.PassageSpan{From: uint32(spans[i].From), To: uint32(spans[i].To)})
			p.Vectors = append(p.Vectors, v)
		}
	}
	return nil
}

// putPassages gives a version its passages.
func (t *tower) putPassages(v *store.View, of *store.PassagesOf, given any) error {
	slot, ok := t.facets.Live(of.Ordinal)
	if !ok || t.vectors == nil || t.st.Generation != 0 {
		return nil // gone, or of the first model of a space that has another
	}
	if row, _ := t.facets.At(slot); row.Version != of.Version {
		return nil
	}
	if t.loading {
		t.noteCut(slot, of.Digest)
		return nil // they are read afterwards
	}
	p, ok := given.(*store.Passages)
	if !ok {
		var err error
		if p, err = v.Passages(t.space.id, of.Ordinal, of.Version); err != nil {
			return err
		}
	}
	t.indexPassages(slot, p)
	return nil
}

// passagesOf reads the passages of a version that has some.
func (t *tower) passagesOf(v *store.View, n *store.Node) (*store.Passages, error) {
	if len(n.Passages) == 0 || t.loading {
		return nil, nil
	}
	return v.Passages(t.space.id, n.Ordinal, n.Vector)
}

func (t *tower) indexPassages(slot uint32, p *store.Passages) {
	putPassages(t.passages, slot, p, t.st.Settings.Vector.Dimension)
}

// putPassages puts passages into an index of them, of a dimension.
func putPassages(x *ann.Passages, slot uint32, p *store.Passages, dimension int) {
	if p == nil || x == nil || len(p.Vectors[0]) != dimension {
		return
	}
	spans := make([]ann.Span, len(p.Spans))
	for i, s := range p.Spans {
		spans[i] = ann.Span(s)
	}
	x.Put(slot, spans, p.Vectors)
}

// passagesStep is how many passages are read at most before room for more is looked for.
const passagesStep = 1024

// readPassages reads the passages of all live slots in one sweep. How many there are
// is not known before, so it asks for room as it goes.
func (t *tower) readPassages(ctx context.Context, v *store.View) error {
	var failed error
	left := 0
	err := v.AllPassages(t.space.id, func(o memory.Ordinal, version uint32, b []byte) bool {
		slot, ok := t.facets.Live(o)
		own := ok && int(slot) < len(t.at) && t.at[slot] == version
		next := ok && t.next != nil && int(slot) < len(t.next.at) && t.next.at[slot] == version
		if !next && (!own || t.passages.Has(slot)) {
			return ctx.Err() == nil
		}
		p, err := store.DecodePassages(b)
		if failed = err; err != nil {
			return false
		}
		into, dimension := t.passages, t.st.Settings.Vector.Dimension
		if !own {
			into, dimension = t.next.passages, t.next.Dimension
		}
		if failed = t.roomForPassages(&left, into, len(p.Spans), dimension); failed != nil {
			return false
		}
		putPassages(into, slot, p, dimension)
		return ctx.Err() == nil
	})
	t.noteVectors()
	if err == nil {
		err = failed
	}
	if err == nil {
		err = ctx.Err() // a part of them is none
	}
	return err
}

// roomForPassages refuses n more that would pass the budget. left is for how many room was
// looked for and is still free.
func (t *tower) roomForPassages(left *int, x *ann.Passages, n, dimension int) error {
	if *left -= n; *left >= 0 {
		return nil
	}
	more := passagesRoom(x, n)
	*left = more - n
	t.noteVectors()
	has, _ := x.Len()
	return t.space.db.roomForVectors(grown(has, more, dimension))
}

// Passage is the part of a long text that a cue was like, in bytes of the text.
type Passage struct{ Start, End int }

// passageCited is from how many bytes on a text is cited by a passage also when no
// model cut it: a screenful.
const passageCited = 1200

// citedBytes bounds how much text of an answer is taken apart to cite it by its words,
// some ten milliseconds; results beyond it are cited by their vectors alone, or not.
const citedBytes = 1 << 19

// cite finds the passages of results that are long.
func (t *tower) cite(ctx context.Context, out *Recollection, c *memory.Cue) {
	left := citedBytes
	for i := range out.Results {
		r := &out.Results[i]
		size := len(r.Memory.Text)
		if len(r.passages) == 0 && size < passageCited || ctx.Err() != nil {
			continue
		}
		asked := *c
		if left -= size; left < 0 && i > 0 {
			asked.Text = ""
		}
		r.Passage = t.passage(r.Memory.Text, r.passages, &asked)
	}
}

// passage finds the part of a text that a cue is like: of the passages that the model
// made, or of paragraphs of about their size, the one whose words and whose vector say
// most, each measured by the best of them. nil where neither tells them apart.
func (t *tower) passage(body string, near []ann.PassageHit, c *memory.Cue) *Passage {
	spans := make([]text.Span, len(near))
	for i, p := range near {
		spans[i] = text.Span{From: int(p.Span.From), To: int(p.Span.To)}
	}
	if len(spans) == 0 && c.Text != "" {
		spans = text.Passages(body, text.PassageOptions{})
		spans = spans[:min(len(spans), store.MaxPassages)]
	}
	if n := len(spans); n < 2 || spans[n-1].To > len(body) { // it was changed since it was ranked
		return nil
	}
	scores := t.byWords(body, spans, c)
	for i := range near {
		scores[i] += share(near, i)
	}
	best, most := 0, 0.0
	for i, s := range scores {
		if s > most {
			best, most = i, s
		}
	}
	if most == 0 {
		return nil
	}
	return &Passage{spans[best].From, spans[best].To}
}

// byWords gives each span what its words are worth for a cue, 1 for the best; zeros when
// none of them says a word of it.
func (t *tower) byWords(body string, spans []text.Span, c *memory.Cue) []float64 {
	scores := make([]float64, len(spans))
	if c.Text == "" || c.Stages.NoText {
		return scores
	}
	x := text.NewIndex(text.Params{})
	docs := make([]uint32, len(spans))
	for i, s := range spans {
		docs[i] = uint32(i)
		x.Put(docs[i], t.analyzer.Analyze("", body[s.From:s.To]))
	}
	ix := recall.Indexes{Analyzer: t.analyzer, Thesaurus: t.space.db.thesaurus(t.analyzer)}
	scores = x.Scores(ix.Query(c), docs)
	top := 0.0
	for _, s := range scores {
		top = max(top, s)
	}
	for i := range scores {
		if top > 0 {
			scores[i] /= top
		}
	}
	return scores
}

// share is where a passage's nearness lies between that of the farthest and that of the
// nearest of its memory.
func share(ps []ann.PassageHit, i int) float64 {
	least, most := ps[0].Score, ps[0].Score
	for _, p := range ps {
		least, most = min(least, p.Score), max(most, p.Score)
	}
	if most == least {
		return 0
	}
	return (ps[i].Score - least) / (most - least)
}
