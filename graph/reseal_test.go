package graph

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// resealed puts the right checksum behind every frame of a snapshot.
func resealed(data []byte) []byte {
	data = slices.Clone(data)
	if len(data) < len(saveMagic) {
		return data
	}
	crc := crc32.Update(0, castagnoli, data[:len(saveMagic)])
	for at := len(saveMagic); at+4 <= len(data); {
		end := at + 4 + int(binary.LittleEndian.Uint32(data[at:]))
		if end < at || end+4 > len(data) {
			return data
		}
		crc = crc32.Update(crc, castagnoli, data[at:end])
		binary.LittleEndian.PutUint32(data[end:], crc)
		at = end + 4
	}
	return data
}

// fataler is what testing.TB and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}
