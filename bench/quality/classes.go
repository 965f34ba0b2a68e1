package quality

import (
	"strings"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall/when"
)

// tuning are the spaces of the conversations that weights may be tuned on.
var tuning = set{"locomo0": true, "locomo1": true, "locomo2": true}

// classes are the kinds of question that are told apart: of the conversations that may
// be tuned on or the others, with one piece of evidence, with words about time.
func (q question) classes(space string, evidence set, now time.Time) []string {
	cs := []string{"conversations 4-5"}
	if tuning[memory.ID(space)] {
		cs[0] = "conversations 1-3"
	}
	if len(evidence) == 1 {
		cs = append(cs, "one piece")
	}
	if len(when.Find(q.Question, now)) > 0 {
		cs = append(cs, "dated")
	}
	return cs
}

// says says whether a question says a title, without what it has in brackets.
func says(question, title string) bool {
	name, _, _ := strings.Cut(title, " (")
	return name != "" && strings.Contains(strings.ToLower(question), strings.ToLower(name))
}

// both says whether at least two are true.
func both(named map[string]bool) bool {
	n := 0
	for _, x := range named {
		if x {
			n++
		}
	}
	return n >= 2
}
