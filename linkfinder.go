package engram

import (
	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/recall"
	"github.com/engramdb/engram/store"
)

// linkFinder names the links that activation went over, of which a graph knows the ends, the
// type and a tag.
type linkFinder struct {
	space  *Space
	view   *store.View
	at     memory.LSN                 // everything: now
	were   map[graph.Link]*store.Link // that have changed since the state that is asked about
	degree func(memory.Ordinal, memory.Direction) int
	looked int // links looked through
	found  map[graph.Step]*store.Link
}

// finder finds the links of a tower's answers.
func (t *tower) finder(v *store.View) *linkFinder {
	f := &linkFinder{space: t.space, view: v, at: everything, degree: t.degree, found: make(map[graph.Step]*store.Link)}
	if !t.then.IsZero() {
		f.at = t.applied // of a past, where it never changes
		if t.assoc != nil {
			f.were = t.assoc.were
		}
	}
	return f
}

func (t *tower) degree(n memory.Ordinal, d memory.Direction) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.assoc.links.Degree(n, d)
}

func (f *linkFinder) node(o memory.Ordinal) (*store.Node, error) {
	if f.at == everything {
		return f.view.Node(f.space.id, o)
	}
	return f.view.NodeAt(f.space.id, o, f.at)
}

// step tells a step; false when its link has ended meanwhile, or an end of it is gone.
func (f *linkFinder) step(s graph.Step) (SpreadStep, bool, error) {
	one := SpreadStep{Type: s.Type, Direction: s.Direction, Fan: s.Fan, Factor: s.Factor}
	s.Factor, s.Fan = 0, 0 // the rest says which link
	l, known := f.found[s]
	if !known {
		var err error
		if l, err = f.link(s); err != nil {
			return SpreadStep{}, false, err
		}
		f.found[s] = l
	}
	if l != nil {
		one.Link, one.From, one.To, one.Rule, one.RuleVersion, one.Weight = l.ID, l.FromID, l.ToID, l.Rule, ruleVersion(l), l.Weight
		return one, true, nil
	}
	from, err := f.node(s.From)
	if err != nil || from == nil {
		return one, false, err
	}
	to, err := f.node(s.To)
	if err != nil || to == nil {
		return one, false, err
	}
	one.From, one.To = from.ID, to.ID
	return one, f.looked >= stepsLooked, nil // else it has ended meanwhile
}

// stepsLooked bounds how many links are looked through for the ids of an answer's
// steps.
const stepsLooked = 100_000

// link finds the link that a step went over; nil when it is not there, or not
// among those that are looked through. That of a rule has its ends in its id; another
// is looked for at the end with fewer links.
func (f *linkFinder) link(s graph.Step) (*store.Link, error) {
	if was := f.were[graph.Link{From: s.From, To: s.To, Type: s.Type, Tag: s.Tag}]; was != nil {
		return was, nil
	}
	made, err := f.view.Link(f.space.id, madeID(s.Type, s.From, s.To))
	if err != nil || made != nil && graph.TagOf(made.ID) == s.Tag {
		return made, err
	}
	at, way, other := s.From, memory.Out, s.To
	if f.degree(s.To, memory.In) < f.degree(s.From, memory.Out) {
		at, way, other = s.To, memory.In, s.From
	}
	var found memory.ID
	err = f.view.Adjacent(f.space.id, at, way, "", func(id memory.ID, o memory.Ordinal) bool {
		f.looked++
		if o == other && graph.TagOf(id) == s.Tag {
			found = id
		}
		return found == "" && f.looked < stepsLooked
	})
	if err != nil || found == "" {
		return nil, err
	}
	return f.view.Link(f.space.id, found)
}

// ways names the nodes and links of paths, as they stood after a record. One of what is erased
// by now, or has ended meanwhile, is left out.
func (f *linkFinder) ways(found []recall.Path) (paths []Path, err error) {
	for _, x := range found {
		p := Path{Activation: x.Activation, Types: x.Types}
		for _, o := range x.Nodes {
			n, err := f.node(o)
			if err != nil {
				return nil, err
			}
			if n != nil {
				p.IDs = append(p.IDs, n.ID)
			}
		}
		whole := len(p.IDs) == len(x.Nodes)
		for i := 0; i < len(x.Steps) && whole; i++ {
			var s SpreadStep
			if s, whole, err = f.step(x.Steps[i]); err != nil {
				return nil, err
			}
			p.Steps = append(p.Steps, s)
		}
		if whole {
			paths = append(paths, p)
		}
	}
	return paths, nil
}
