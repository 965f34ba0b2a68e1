package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// AdjacentOf is Adjacent for many nodes: one walk for all, which costs a third of
// one for each. beyond says of an id where the walk goes on when it is to be passed
// over ("": it is not); f is told the node, and ends the walk with false.
func (v *View) AdjacentOf(space memory.SpaceID, nodes []memory.Ordinal, d memory.Direction, beyond func(memory.ID) memory.ID, f func(memory.Ordinal, memory.ID) bool) (err error) {
	table := key(space, tableAdjacency)
	it, err := v.d.r.NewIter(&pebble.IterOptions{LowerBound: table, UpperBound: prefixEnd(table)})
	if err != nil {
		return readError(table, err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = readError(table, e)
		}
	}()
	for _, o := range nodes {
		prefix := adjacencyKey(space, o, d, "")
		for ok := it.SeekGE(prefix); ok && bytes.HasPrefix(it.Key(), prefix); {
			id := memory.ID(it.Key()[len(prefix):])
			if next := beyond(id); next != "" {
				ok = it.SeekGE(adjacencyKey(space, o, d, next))
				continue
			}
			if !f(o, id) {
				return nil
			}
			ok = it.Next()
		}
	}
	return nil
}

// LinkIDs calls f for the ids of a space's links, in their order, until f says
// false; what beyond passes over is not read.
func (v *View) LinkIDs(space memory.SpaceID, beyond func(memory.ID) memory.ID, f func(memory.ID) bool) error {
	for after := memory.ID(""); ; {
		var next memory.ID
		err := scanRange(v.d.r, linkKey(space, after), prefixEnd(key(space, tableLink)), func(k, _ []byte) bool {
			id := memory.ID(k[headerSize:])
			next = beyond(id)
			return next == "" && f(id)
		})
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}
