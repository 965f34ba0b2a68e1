package store

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/engramdb/engram/memory"
)

// truncateRecords bounds how many records one step moves below the horizon, so
// that the committer is soon free again.
const truncateRecords = 512

// Truncate moves the horizon of a space up to a record, or to the end of the
// last commit before it: records are applied to the base and leave the journal,
// and with them go the versions and payloads that they ended. It works in
// steps; a crash between two leaves a valid horizon. It returns where the
// horizon is then.
func (s *Shard) Truncate(ctx context.Context, space memory.SpaceID, upTo memory.LSN) (memory.LSN, error) {
	for {
		var horizon memory.LSN
		moved := false
		err := s.maintain(ctx, space, func(b *pebble.Batch) error {
			var err error
			horizon, moved, err = s.truncateStep(b, space, upTo)
			return err
		})
		if err != nil || !moved {
			return horizon, err
		}
	}
}

func (s *Shard) truncateStep(b *pebble.Batch, space memory.SpaceID, upTo memory.LSN) (memory.LSN, bool, error) {
	l := newLayer(disk{s.db})
	base := baseState{based{l}}
	m, err := getMeta(base, space)
	if err != nil {
		return 0, false, err
	}
	records, err := wholeCommits(s.db, space, m.LSN, upTo)
	if err != nil || len(records) == 0 {
		return m.LSN, false, err
	}
	for _, r := range records {
		if err := follow(base, space, &m, r.Record, r.raw); err != nil {
			return 0, false, corrupt(space, "journal", uint64(r.LSN), err)
		}
		if err := forgetEnded(l, space, r.Record); err != nil {
			return 0, false, err
		}
		l.del(journalKey(space, r.LSN))
	}
	base.set(metaKey(space), encode(m))
	return m.LSN, true, l.writeTo(b)
}

// entry is a record and its bytes.
type entry struct {
	*Record
	raw []byte
}

// wholeCommits reads records after one up to another, about truncateRecords of
// them, ending where a commit ends.
func wholeCommits(db reader, space memory.SpaceID, after, upTo memory.LSN) (records []entry, err error) {
	whole := 0
	failed := scanRange(db, journalKey(space, after+1), prefixEnd(key(space, tableJournal)), func(k, v []byte) bool {
		var r *Record
		r, err = parseRecord(space, k, v)
		if err == nil && r.LSN != after+memory.LSN(len(records))+1 {
			err = corrupt(space, "journal", uint64(after)+uint64(len(records))+1, errors.New("the record is missing"))
		}
		if err != nil || r.LSN > upTo {
			return false
		}
		records = append(records, entry{r, bytes.Clone(v)})
		if r.Index+1 == r.Size {
			whole = len(records)
		}
		return whole < truncateRecords
	})
	return records[:whole], errors.Join(failed, err)
}

// baseState is the base without history: below the horizon nobody looks back.
type baseState struct{ based }

func (b baseState) set(k, v []byte) {
	if t := table(k[4]); t != tableHistory && t != tableDead {
		b.based.set(k, v)
	}
}

// forgetEnded drops what a record ended: the version before it and its payload.
func forgetEnded(l *layer, space memory.SpaceID, r *Record) error {
	switch {
	case r.Kind == NodeRevised:
		return forgetVersion(l, space, r.Node.Ordinal, r.LSN, r.Node.Vector)
	case r.Kind == VectorsTurned: // what versions before it named goes with the last of them
		for _, one := range r.Turn.Nodes {
			if err := dropStray(l, space, one.Ordinal); err != nil {
				return err
			}
		}
	case r.Kind == NodesEnded && r.Nodes.Mode == memory.Delete:
		for i, o := range r.Nodes.Ordinals {
			if err := forgetVersion(l, space, o, r.LSN, 0); err != nil {
				return err
			}
			l.del(deadKey(space, r.Nodes.IDs[i], r.LSN))
		}
	}
	return nil
}

func forgetVersion(l *layer, space memory.SpaceID, o memory.Ordinal, until memory.LSN, keepVector uint32) error {
	k := historyKey(space, o, until)
	v, ok, err := l.get(k)
	if err != nil || !ok { // erased since: its versions and payloads are gone
		return err
	}
	old, err := parseNode(space, o, v)
	if err != nil {
		return err
	}
	l.del(bytes.Clone(k))
	l.del(headKey(space, o, old.Version))
	for _, x := range old.vectorNumbers() {
		if x != keepVector {
			l.del(vectorKey(space, o, x))
			l.del(passagesKey(space, o, x))
		}
	}
	return nil
}
