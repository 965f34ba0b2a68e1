package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
)

// Pebble's log is a sequence of chunks in blocks of 32 KiB:
//
//	checksum 4 | length 2 | type 1 | log number 4 | synced 8 | payload
//
// (all little endian; the version history has the first three only, and the
// first log of a new store the first four). synced says up to which offset the
// log was on disk when the chunk was made. A chunk that
// does not read is a torn end when the power went while it was written, and
// damage otherwise. Pebble 2.1.7 takes it for a torn end
//
//   - unless a chunk of a later block says that it had been synced: what is
//     damaged in the last 32 KiB of a log disappears with all that follows;
//   - in the version history always;
//   - and for a clean end when the damage makes the number of the next log.
//
// So scanLog and scanHistory look themselves: at every later byte for a chunk
// that reads, and at the form of the damage. Logs are never recycled (freshFS),
// so what had not arrived when the power went is missing or zero, a sector of
// the disk at least; a chunk that is there and wrong is damaged.
//
// Nothing in a log vouches for its end, what was synced last: that is noted beside it
// (synced.go), and after a clean close in the note (note.go).
const (
	logBlock    = 32 << 10
	logHeader   = 19
	eofHeader   = 11
	plainHeader = 7
	diskSector  = 512

	eofChunk     = 5 // with the number of the next log: closed cleanly
	firstLogType = 9 // full, first, middle, last
	lastLogType  = 12
	oldLogHeader = 11 // the same without synced: Pebble makes the first log before it raises the format
	firstOldType = 5
	lastOldType  = 8
)

// tear is where a log stops to read.
type tear struct {
	at     int
	damage bool // false: a torn end, which a power cut explains
	why    string
}

// logFormat is what differs between a log and the version history.
type logFormat struct {
	header int
	number uint32 // of the log
	log    bool
}

// scanLog finds where a log stops to read; nil when all of it does. last is for
// the newest log, whose end may be torn.
func scanLog(b []byte, number uint32, last bool) *tear {
	f := logFormat{header: logHeader, number: number, log: true}
	t := f.scan(b)
	if t != nil && !last && !t.damage {
		t.damage, t.why = true, "it has no end, and a newer log follows"
	}
	return t
}

// scanHistory is scanLog for the version history (MANIFEST).
func scanHistory(b []byte) *tear {
	f := logFormat{header: plainHeader}
	t := f.scan(b)
	if len(b) == 0 || t != nil && t.at == 0 {
		return &tear{damage: true, why: "it has no beginning"}
	}
	return t
}

// firstLog reads from the version history which logs are still needed: those
// from the number on that its newest entry names. Older ones are flushed, and may
// have been left torn by an earlier crash.
func firstLog(history []byte) (first uint64) {
	f := logFormat{header: plainHeader}
	for p := 0; p < len(history); {
		next, _, ok := f.chunk(history, p)
		if !ok {
			if end := blockEnd(p); end-p < f.header {
				p = end
				continue
			}
			break
		}
		if history[p+6] <= 2 { // a record begins
			if n := logOf(history[p+f.header : next]); n != 0 {
				first = n
			}
		}
		p = next
	}
	return first
}

// logOf reads the log number of an entry of the version history. It stands at
// the front: tag 1 is the comparer's name, 2 the number.
func logOf(entry []byte) uint64 {
	tag, n := binary.Uvarint(entry)
	if n > 0 && tag == 1 {
		size, m := binary.Uvarint(entry[n:])
		if m <= 0 || size > uint64(len(entry)-n-m) {
			return 0
		}
		entry = entry[n+m+int(size):]
		tag, n = binary.Uvarint(entry)
	}
	if n <= 0 || tag != 2 {
		return 0
	}
	number, _ := binary.Uvarint(entry[n:])
	return number
}

func (f logFormat) scan(b []byte) *tear {
	for p := 0; p < len(b); {
		if end := blockEnd(p); end-p < f.header && allZero(b[p:min(end, len(b))]) {
			p = end
			continue
		}
		if f.isEnd(b, p) {
			if rest := b[p+eofHeader:]; !allZero(rest) {
				return &tear{p, true, "bytes stand behind its end"}
			}
			return nil
		}
		next, _, ok := f.chunk(b, p)
		if !ok {
			return f.judge(b, p)
		}
		p = next
	}
	if f.log {
		return &tear{at: len(b)} // no end was written: the process was killed
	}
	return nil
}

func blockEnd(p int) int { return (p/logBlock + 1) * logBlock }

func (f logFormat) isEnd(b []byte, p int) bool {
	return f.log && p+eofHeader <= min(blockEnd(p), len(b)) && allZero(b[p:p+6]) && b[p+6] == eofChunk &&
		binary.LittleEndian.Uint32(b[p+7:]) == f.number+1
}

// chunk reads the one at p: where the next begins, and up to where the log had
// been synced.
func (f logFormat) chunk(b []byte, p int) (next int, synced uint64, ok bool) {
	next, ok = f.extent(b, p)
	if !ok || next > len(b) || binary.LittleEndian.Uint32(b[p:]) != chunkSum(b[p+6:next]) {
		return 0, 0, false
	}
	if f.log && b[p+6] >= firstLogType {
		synced = binary.LittleEndian.Uint64(b[p+11:])
	}
	return next, synced, true
}

// extent reads the header alone; ok says that it can be one.
func (f logFormat) extent(b []byte, p int) (next int, ok bool) {
	if p+plainHeader > len(b) {
		return 0, false
	}
	kind, header := b[p+6], f.header
	if f.log && kind >= firstOldType && kind <= lastOldType {
		header = oldLogHeader
	} else if f.log && (kind < firstLogType || kind > lastLogType) {
		return 0, false
	}
	if p+header > len(b) || f.log && binary.LittleEndian.Uint32(b[p+7:]) != f.number {
		return 0, false
	}
	if !f.log && (kind < 1 || kind > 4) {
		return 0, false
	}
	next = p + header + int(binary.LittleEndian.Uint16(b[p+4:]))
	return next, next <= blockEnd(p)
}

// judge says whether the chunk at p, which does not read, is torn or damaged.
func (f logFormat) judge(b []byte, p int) *tear {
	if q := f.witness(b, p); q > 0 {
		return &tear{p, true, fmt.Sprintf("what stands there was on disk before offset %d was written", q)}
	}
	if f.torn(b, p) {
		return &tear{at: p}
	}
	return &tear{p, true, "the bytes are all there and do not match their checksum"}
}

// witness finds a later chunk that vouches for the one at p. The end of a log
// does not: it is synced together with what was written last.
func (f logFormat) witness(b []byte, p int) int {
	for q := p + 1; q+f.header <= len(b); q++ {
		_, synced, ok := f.chunk(b, q)
		if ok && f.log && synced > uint64(p) {
			return q
		}
		if ok && !f.log && b[q+6] <= 2 { // a new record: the one before it was synced
			return q
		}
	}
	return 0
}

// torn says whether a power cut can have left the chunk at p as it is.
func (f logFormat) torn(b []byte, p int) bool {
	next, ok := f.extent(b, p)
	if !ok {
		next = p + f.header
	}
	if next > len(b) { // cut short, unless just the length is wrong, which the checksum leaves out
		return p+f.header > len(b) || binary.LittleEndian.Uint32(b[p:]) != chunkSum(b[p+6:])
	}
	for s := p; s < next; {
		end := min((s/diskSector+1)*diskSector, next)
		if allZero(b[s:end]) {
			return true
		}
		s = end
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunkSum is the masked CRC-32C of LevelDB.
func chunkSum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// logNumbers are those of the log files among names, in order.
func logNumbers(names []string) []uint64 {
	var ns []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".log")
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns
}
