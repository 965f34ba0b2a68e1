package engram

import (
	"context"
	"fmt"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// EachGivenLink calls f for the links that go out from nodes and that callers said,
// those of one node together, until f fails. What rules made is not read, however
// much of it there is (see LinkQuery.Given); a node that is not there has none. All
// is of one state, which is held until the call returns.
func (s *Space) EachGivenLink(ctx context.Context, from []memory.ID, f func(memory.Link) error) error {
	return memory.InOp("links", s.eachGivenLink(ctx, from, f))
}

func (s *Space) eachGivenLink(ctx context.Context, from []memory.ID, f func(memory.Link) error) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	if some, err := s.someGiven(v); err != nil || !some {
		return err // which is so of most spaces, and spares them the looking
	}
	ordinals := make([]memory.Ordinal, 0, len(from))
	for _, id := range from {
		n, err := v.Lookup(s.id, id)
		if err != nil {
			return err
		}
		if n != nil {
			ordinals = append(ordinals, n.Ordinal)
		}
	}
	var failed error
	err = v.AdjacentOf(s.id, ordinals, memory.Out, afterMade, func(_ memory.Ordinal, id memory.ID) bool {
		if failed = ctx.Err(); failed == nil {
			failed = s.giveLink(v, id, f)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

func (s *Space) giveLink(v *store.View, id memory.ID, f func(memory.Link) error) error {
	l, err := v.Link(s.id, id)
	if err != nil {
		return err
	}
	if l == nil {
		return fmt.Errorf("link %q stands at a node and is missing", id)
	}
	m, err := s.loadLink(v, l)
	if err != nil {
		return err
	}
	return f(m)
}

// someGiven says whether callers have said any link of the space.
func (s *Space) someGiven(v *store.View) (some bool, err error) {
	err = v.LinkIDs(s.id, afterMade, func(memory.ID) bool { some = true; return false })
	return some, err
}
