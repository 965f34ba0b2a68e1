package engram

import (
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Memories counts the episodes and concepts of the space; it is cheap.
func (s *Space) Memories() (uint64, error) {
	v, err := s.view()
	if err != nil {
		return 0, memory.InOp("space", err)
	}
	defer v.Close()
	m, err := v.Meta(s.id)
	return memoriesOf(m), memory.InOp("space", err)
}

func memoriesOf(m store.Meta) uint64 { return m.Counts.Episodes + m.Counts.Concepts }

// QuotaExceeded is the error of a write to a space that has what it may have of
// something. It is of the kind of a full disk: room must be made, waiting does not
// help.
func QuotaExceeded(name memory.SpaceName, what string, has, most uint64) error {
	e := memory.Errorf(memory.KindDiskFull, "quota_exceeded", "space %q has %d %s of the %d that it may have; the write would pass that", name, has, what, most)
	e.Retriable = false
	return e.Hinted("forget something, or have the quota raised").With("of", what).With("has", has).With("most", most)
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
