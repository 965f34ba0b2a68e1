package engram

import "github.com/engramdb/engram/memory"

// Memories counts the episodes and concepts of the space; it is cheap.
func (s *Space) Memories() (uint64, error) {
	v, err := s.view()
	if err != nil {
		return 0, memory.InOp("space", err)
	}
	defer v.Close()
	m, err := v.Meta(s.id)
	return m.Counts.Episodes + m.Counts.Concepts, memory.InOp("space", err)
}

// Bytes estimates what the space has on disk and in the log. It looks at the
// store's tables, which takes some microseconds a table.
func (s *Space) Bytes() (uint64, error) {
	if err := s.alive(); err != nil {
		return 0, memory.InOp("space", err)
	}
	n, err := s.db.shard.SpaceBytes(s.id)
	return n, memory.InOp("space", err)
}
