package graph

import "github.com/engramdb/engram/memory"

// Find gives the links whose tags are among some, in order of their beginnings, until
// give returns false. It looks at every link: a millisecond for a million. It is for
// a journal that says which link has ended and not where it stood.
func (g *Graph) Find(tags map[uint32]bool, give func(Link) bool) {
	for n, l := range g.out.lists {
		for i := 0; ; i++ {
			entries, at := g.out.part(l, i)
			if len(entries) == 0 {
				break
			}
			for j, tag := range at {
				if !tags[tag] {
					continue
				}
				e := entries[j]
				if !give(Link{From: memory.Ordinal(n), To: e.other(), Type: g.types[e.kind()], Tag: tag, Weight: e.weight().float()}) {
					return
				}
			}
		}
	}
}
