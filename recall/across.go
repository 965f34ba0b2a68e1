package recall

// Scores of several spaces. A score orders the answers of one space: its likeness is 1 for
// the best of that space, however little that is like the cue. To put the answers of several
// spaces in one order, each score is multiplied by how familiar the cue is in its space
// (recognise.go), which is an absolute measure: words count by how rare they are there, and
// the cosine. So the order inside a space stays, parts still sum to the score, and a space
// that knows nothing of the cue comes last.

// comparable brings the scores of this space to where those of others can be compared.
func (r *run) comparable() {
	if len(r.answer.Ranked) == 0 {
		return
	}
	if !r.associates() { // in a unit of their own
		r.toOne()
	}
	f := r.best()
	for i := range r.answer.Ranked {
		x := &r.answer.Ranked[i]
		x.Score *= f
		for j := range x.Parts {
			x.Parts[j].Value *= f
		}
		for j := range x.Paths {
			x.Paths[j].Activation *= f
		}
	}
}

// best is the familiarity of the candidate that is most like the cue.
func (r *run) best() (f float64) {
	slots, _ := r.union()
	words, meaning := r.covered(slots), r.alike(slots)
	for i := range slots {
		x, _ := familiarity(words[i], meaning[i], r.hasWords(), r.hasMeaning())
		f = max(f, x)
	}
	return f
}

// toOne brings scores between 0, for the least candidate, and 1, for the best.
func (r *run) toOne() {
	most, least := r.found[0].score, r.found[len(r.found)-1].score
	for i, x := range r.answer.Ranked {
		likeness := 1.0
		if most > least {
			likeness = (x.Score - least) / (most - least)
		}
		r.answer.Ranked[i].Parts, r.answer.Ranked[i].Score = scaled(x.Parts, x.Score, likeness), likeness
	}
}
