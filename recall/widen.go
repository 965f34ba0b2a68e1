package recall

import "github.com/engramdb/engram/text"

// nearMost is how many neighbours a word of the cue is widened by, the nearest first.
// Tuned on LoCoMo's conversations 1-3: 5 find less, 30 no more.
const nearMost = 15

// widen lets what is near to a word of the cue count for it, by the weight that the
// thesaurus gives: "automobile" for "car".
func (r *run) widen() {
	if r.Thesaurus == nil || r.Cue.Stages.NoWidening {
		return
	}
	r.query.Near = make([][]text.Near, len(r.query.Terms))
	for i, t := range r.query.Terms {
		found := r.Thesaurus.Near(t.Text, nearMost)
		if len(found) == 0 {
			continue
		}
		near := make([]text.Near, len(found))
		for j, n := range found {
			near[j] = text.Near{Text: n.Word, Weight: float64(n.Weight)}
		}
		r.query.Near[i] = near
	}
}
