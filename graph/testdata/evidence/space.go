package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/graph/rules"
	"github.com/engramdb/engram/memory"
)

// space is what a database would have made of a collection: the links that the
// rules propose as one memory after the other comes in.
type space struct {
	*collection
	choice choice
	graph  *graph.Graph
	names  *rules.Names // titles
	who    *rules.Names // people, by number
	number map[string]memory.Ordinal
	lower  []string
	last   map[string]memory.Ordinal
	count  int // memories that have come
	by     map[string]int
}

func newSpace(c *collection) (*space, error) { return linkedBy(c, choice{}) }

// choice is which rules make the links.
type choice struct {
	name    string
	set     rules.Set
	similar int     // how many of the nearest memories before it one is linked to, by their vectors
	least   float64 // and how near they are at least, as a cosine
}

func linkedBy(c *collection, by choice) (*space, error) {
	s := &space{choice: by, collection: c, graph: graph.New(), names: rules.NewNames(), who: rules.NewNames(),
		number: map[string]memory.Ordinal{}, last: map[string]memory.Ordinal{}, by: map[string]int{}}
	for i := range c.texts {
		if err := s.remember(i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *space) remember(i int) error {
	e := &memory.Episode{Title: s.title(i), Text: s.texts[i]}
	if s.streams != nil {
		e.Stream, e.People = fmt.Sprint(s.streams[i]), []string{s.people[i]}
	}
	n := memory.Ordinal(i + 1)
	proposals := s.choice.set.Propose(e, s)
	if room := rules.LinksMost - len(proposals); room > 0 {
		proposals = append(proposals, s.nearest(i, min(room, s.choice.similar))...)
	}
	for _, p := range proposals {
		l := graph.Link{From: n, To: p.Other, Type: p.Type, Weight: p.Weight}
		if p.Back {
			l.From, l.To = l.To, l.From
		}
		if err := s.graph.Put(l); err != nil {
			return err
		}
		s.by[p.Rule+map[bool]string{true: " back"}[p.Back]]++
	}
	if e.Title != "" {
		s.names.Add(rules.Title(e.Title), n)
	}
	for _, p := range e.People {
		if s.number[p] == 0 {
			s.number[p] = memory.Ordinal(len(s.number) + 1)
			s.who.Add(p, s.number[p])
		}
		s.last[p] = n
	}
	s.last["\x00"+e.Stream] = n
	s.lower = append(s.lower, strings.ToLower(s.texts[i]))
	s.count++
	return nil
}

// nearest proposes links to the memories before one that are nearest.
func (s *space) nearest(i, most int) (near []rules.Proposal) {
	if most == 0 || s.vectors == nil {
		return nil
	}
	type one struct {
		n memory.Ordinal
		c float64
	}
	var all []one
	for j := range s.count {
		cosine := 0.0
		for d := range s.vectors[i] {
			cosine += float64(s.vectors[i][d]) * float64(s.vectors[j][d])
		}
		if cosine >= s.choice.least {
			all = append(all, one{memory.Ordinal(j + 1), cosine})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(b.c, a.c) })
	for _, x := range all[:min(most, len(all))] {
		near = append(near, rules.Proposal{Other: x.n, Type: graph.TypeSimilar, Rule: rules.RuleSimilar, Weight: 1})
	}
	return near
}

func (s *space) Previous(stream string) memory.Ordinal            { return s.last["\x00"+stream] }
func (s *space) Asks(n memory.Ordinal) bool                       { return rules.Asks(s.texts[n-1]) }
func (s *space) Named(text string, give func(rules.Mention) bool) { s.names.Find(text, give) }
func (s *space) WithPerson(name string) memory.Ordinal            { return s.last[name] }
func (s *space) AtPlace(string) memory.Ordinal                    { return 0 }
func (s *space) Frequency(words string) (have, of int) {
	return len(s.Holding(words, s.count)), s.count
}

func (s *space) Holding(words string, most int) (ns []memory.Ordinal) {
	first, _, _ := strings.Cut(strings.ToLower(words), " ")
	for i := s.count - 1; i >= 0 && len(ns) < most; i-- {
		if strings.Contains(s.lower[i], first) && rules.Holds(s.texts[i], words) {
			ns = append(ns, memory.Ordinal(i+1))
		}
	}
	return ns
}
