package recall

import (
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/text"
)

// nearMost is how many neighbours a word of the cue is widened by, the nearest first.
// Tuned on LoCoMo's conversations 1-3: 5 find less, 30 no more.
const nearMost = 15

// Query is what the words of a cue ask of the index: their terms, and those that a
// thesaurus has near to them, by the weight that it gives: "automobile" for "car".
func (ix Indexes) Query(c *memory.Cue) text.Query {
	q := ix.Analyzer.Query(c.Text)
	if ix.Thesaurus == nil || c.Stages.NoWidening {
		return q
	}
	q.Near = make([][]text.Near, len(q.Terms))
	for i, t := range q.Terms {
		for _, n := range ix.Thesaurus.Near(t.Text, nearMost) {
			q.Near[i] = append(q.Near[i], text.Near{Text: n.Word, Weight: float64(n.Weight)})
		}
	}
	return q
}
