package store

import (
	"bytes"
	"encoding/binary"

	"github.com/engramdb/engram/memory"
)

// A key is the space (4 bytes, big endian), the table (1 byte) and the rest.
// All numbers in keys are big endian, so that keys sort by number.
type table byte

// The tables of a space. Their letters lie on disk.
const (
	tableMeta      table = 'm' // ""                          -> Meta
	tableJournal   table = 'j' // lsn 8                       -> Record
	tableNode      table = 'n' // ordinal 4                   -> Node
	tableID        table = 'i' // id                          -> ordinal 4
	tableHistory   table = 'h' // ordinal 4, until lsn 8      -> Node that held until then
	tableDead      table = 'd' // id, 0, until lsn 8          -> ordinal 4
	tableEntity    table = 'e' // ordinal 4                   -> "" (the entities, in order)
	tableName      table = 'y' // digest of type and name 16  -> ordinal 4 of an entity
	tableLink      table = 'l' // link id                     -> Link
	tableAdjacency table = 'a' // ordinal 4, direction 1, id  -> ordinal 4 of the other end
	tableAnswer    table = 'k' // digest of key 16            -> Answer
	tableAnswerAge table = 't' // seconds 8, digest 16        -> ""
	tableErasing   table = 'x' // lsn 8                       -> erasing: what that record erased and is not wiped yet
	tableSpace     table = 's' // name (space 0 only)         -> SpaceState
	tableDropping  table = 'g' // space id 4 (space 0 only)   -> name
	tableSetting   table = 'c' // name                        -> value, CBOR of its owner
	tableMerge     table = 'f' // ordinal 4 of what stays, lsn 8 -> Merge
	tableMoved     table = 'o' // ordinal 4, lsn 8, link id      -> the ends that the link had before that merge

	tableHead     table = 'p' // ordinal 4, version 4 -> payload without the vector
	tableVector   table = 'v' // ordinal 4, version 4 -> float32s, little endian
	tablePassages table = 'w' // ordinal 4, version 4 -> passages of a long text with their vectors
	tableEdge     table = 'q' // link id, 0, lsn 8      -> payload of a link (an id may come again after its erasure)

	tableBase table = 'b' // then a table and its rest: the state at the horizon
)

// stateTables are the tables that apply places and verification compares.
var stateTables = []table{tableMeta, tableNode, tableID, tableHistory, tableDead, tableEntity, tableName, tableLink,
	tableAdjacency, tableAnswer, tableAnswerAge, tableErasing, tableSpace, tableDropping, tableSetting, tableMerge, tableMoved}

// nodePayloads are the tables of what was said, by nodes, and of what was made of it.
var nodePayloads = []table{tableHead, tableVector, tablePassages}

const headerSize = 5

// key begins a key; the caller appends the rest.
func key(space memory.SpaceID, t table, rest ...byte) []byte {
	k := make([]byte, headerSize, headerSize+24+len(rest))
	binary.BigEndian.PutUint32(k, uint32(space))
	k[4] = byte(t)
	return append(k, rest...)
}

func u32(k []byte, x uint32) []byte { return binary.BigEndian.AppendUint32(k, x) }
func u64(k []byte, x uint64) []byte { return binary.BigEndian.AppendUint64(k, x) }

func metaKey(s memory.SpaceID) []byte { return key(s, tableMeta) }
func journalKey(s memory.SpaceID, l memory.LSN) []byte {
	return u64(key(s, tableJournal), uint64(l))
}
func nodeKey(s memory.SpaceID, o memory.Ordinal) []byte {
	return u32(key(s, tableNode), uint32(o))
}
func idKey(s memory.SpaceID, id memory.ID) []byte { return append(key(s, tableID), id...) }
func historyKey(s memory.SpaceID, o memory.Ordinal, until memory.LSN) []byte {
	return u64(u32(key(s, tableHistory), uint32(o)), uint64(until))
}
func deadKey(s memory.SpaceID, id memory.ID, until memory.LSN) []byte {
	return u64(append(append(key(s, tableDead), id...), 0), uint64(until))
}
func entityKey(s memory.SpaceID, o memory.Ordinal) []byte {
	return u32(key(s, tableEntity), uint32(o))
}
func nameKey(s memory.SpaceID, digest [16]byte) []byte { return key(s, tableName, digest[:]...) }
func linkKey(s memory.SpaceID, id memory.ID) []byte    { return append(key(s, tableLink), id...) }
func adjacencyKey(s memory.SpaceID, o memory.Ordinal, d memory.Direction, id memory.ID) []byte {
	return append(append(u32(key(s, tableAdjacency), uint32(o)), byte(d)), id...)
}
func answerKey(s memory.SpaceID, digest [16]byte) []byte { return key(s, tableAnswer, digest[:]...) }
func answerAgeKey(s memory.SpaceID, seconds int64, digest [16]byte) []byte {
	return append(u64(key(s, tableAnswerAge), uint64(seconds)), digest[:]...)
}
func erasingKey(s memory.SpaceID, l memory.LSN) []byte {
	return u64(key(s, tableErasing), uint64(l))
}
func spaceKey(name memory.SpaceName) []byte { return append(key(0, tableSpace), name...) }
func droppingKey(id memory.SpaceID) []byte  { return u32(key(0, tableDropping), uint32(id)) }

func mergeKey(s memory.SpaceID, into memory.Ordinal, l memory.LSN) []byte {
	return u64(u32(key(s, tableMerge), uint32(into)), uint64(l))
}

// movedKey begins the keys of the links that a merge has moved.
func movedKey(s memory.SpaceID, into memory.Ordinal, l memory.LSN) []byte {
	return u64(u32(key(s, tableMoved), uint32(into)), uint64(l))
}

func settingKey(s memory.SpaceID, name string) []byte { return append(key(s, tableSetting), name...) }

func headKey(s memory.SpaceID, o memory.Ordinal, version uint32) []byte {
	return u32(u32(key(s, tableHead), uint32(o)), version)
}
func vectorKey(s memory.SpaceID, o memory.Ordinal, version uint32) []byte {
	return u32(u32(key(s, tableVector), uint32(o)), version)
}
func passagesKey(s memory.SpaceID, o memory.Ordinal, version uint32) []byte {
	return u32(u32(key(s, tablePassages), uint32(o)), version)
}
func edgeKey(s memory.SpaceID, id memory.ID, l memory.LSN) []byte {
	return u64(append(append(key(s, tableEdge), id...), 0), uint64(l))
}

// baseKey turns a key of the state into that of its copy at the horizon.
func baseKey(k []byte) []byte {
	b := make([]byte, 0, len(k)+1)
	b = append(b, k[:4]...)
	b = append(b, byte(tableBase))
	return append(b, k[4:]...)
}

// prefixEnd is the first key after all keys with the prefix.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
