package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// A snapshot is drawn in docs/format/text.md.
const (
	snapshotMagic   = "ENGRTEXT"
	snapshotVersion = 1

	frameHeader = 'H' // counts and parameters
	frameSlots  = 'S' // documents and lengths
	frameTerms  = 'T' // terms and postings
	frameEnd    = 'E' // nothing; says that nothing is missing

	frameSlotsMax = 1 << 15 // slots in a frame
	frameBytes    = 1 << 18 // a frame of terms is closed once it is longer
)

// ErrCorrupt marks a snapshot that is damaged, cut short, or not one of ours. The index must be rebuilt.
var ErrCorrupt = errors.New("text: corrupt index snapshot")

// ErrOutdated marks a sound snapshot that this program cannot use: of a later format, or made by other rules of
// analysis than were asked for. The index must be rebuilt.
var ErrOutdated = errors.New("text: index snapshot of another format or analysis")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes a snapshot of the moment at which it is called. Writers wait only while it takes its view, in
// proportion to the number of terms; searches never do; nothing is locked while it writes. The error is w's.
func (x *Index) Save(w io.Writer) error {
	v := x.view()
	f := frameWriter{w: w}
	f.raw(binary.LittleEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion))
	f.header(x.params, v)
	f.slots(v)
	f.terms(v)
	f.frame(frameEnd, nil)
	return f.err
}

// view is what Save writes: slices of which nothing that lies in them will change. Postings and names are only ever
// followed by others; the set of dead slots does change, and is copied.
type view struct {
	docs, lengths []uint32
	dead          slotSet
	deaths        int
	tokens, count uint64
	names         []string
	lists         []list
}

// list is the unchanging part of postings.
type list struct {
	data []byte
	n    uint32
}

// view returns the index of this moment. No lock but write is needed: searches change nothing that it reads.
func (x *Index) view() *view {
	x.write.Lock()
	defer x.write.Unlock()
	c := x.core
	v := &view{
		docs: c.docs, lengths: c.lengths, dead: slices.Clone(c.dead), deaths: len(c.deaths),
		tokens: c.tokens, count: c.count, names: c.names, lists: make([]list, len(c.lists)),
	}
	for i := range c.lists {
		v.lists[i] = list{c.lists[i].data, c.lists[i].n}
	}
	return v
}

// frameWriter writes frames until the first error.
type frameWriter struct {
	w   io.Writer
	buf []byte
	err error
}

func (f *frameWriter) raw(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
	}
}

// frame writes kind, length, payload and the checksum of these three.
func (f *frameWriter) frame(kind uint32, payload []byte) {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], kind)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	f.raw(head[:])
	f.raw(payload)
	f.raw(binary.LittleEndian.AppendUint32(nil, sum))
}

func (f *frameWriter) header(p Params, v *view) {
	b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(p.K1))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.B))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.docs)))
	b = binary.LittleEndian.AppendUint32(b, uint32(v.deaths))
	b = binary.LittleEndian.AppendUint64(b, v.tokens)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.names)))
	b = binary.LittleEndian.AppendUint64(b, v.count)
	b = append(b, byte(len(p.Analysis)))
	f.frame(frameHeader, append(b, p.Analysis...))
}

func (f *frameWriter) slots(v *view) {
	for from := 0; from < len(v.docs); from += frameSlotsMax {
		f.buf = f.buf[:0]
		for slot := from; slot < min(from+frameSlotsMax, len(v.docs)); slot++ {
			word := v.lengths[slot] << 1
			if v.dead.has(uint32(slot)) {
				word |= 1
			}
			f.buf = binary.LittleEndian.AppendUint32(f.buf, v.docs[slot])
			f.buf = binary.LittleEndian.AppendUint32(f.buf, word)
		}
		f.frame(frameSlots, f.buf)
	}
}

func (f *frameWriter) terms(v *view) {
	f.buf = f.buf[:0]
	for i, l := range v.lists {
		f.buf = binary.AppendUvarint(f.buf, uint64(len(v.names[i])))
		f.buf = append(f.buf, v.names[i]...)
		f.buf = binary.AppendUvarint(f.buf, uint64(l.n))
		f.buf = binary.AppendUvarint(f.buf, uint64(len(l.data)))
		f.buf = append(f.buf, l.data...)
		if len(f.buf) > frameBytes || i == len(v.lists)-1 {
			f.frame(frameTerms, f.buf)
			f.buf = f.buf[:0]
		}
	}
}

// LoadIndex reads a snapshot up to its end, not a byte further, and returns the index that was saved. p says what the
// caller would have given to NewIndex: a zero K1 or B takes the snapshot's, and another Analysis than the snapshot's is
// ErrOutdated. A damaged snapshot is ErrCorrupt, whatever the damage, and costs no more memory than in proportion to
// what could be read; any other error is r's.
func LoadIndex(r io.Reader, p Params) (*Index, error) {
	l := loader{r: r}
	if err := l.load(p); err != nil {
		return nil, fmt.Errorf("load text index: %w", err)
	}
	return &Index{params: l.params.withDefaults(), core: &l.core}, nil
}

// loader builds a core from a snapshot.
type loader struct {
	r       io.Reader
	payload bytes.Buffer // of the frame being read
	params  Params
	head    loadHeader
	core    core
	arena   []byte // where short lists are kept together
}

// loadHeader is what the header promises, to be compared with what comes.
type loadHeader struct {
	slots, dead, terms uint32
	tokens, count      uint64
}

func (l *loader) load(p Params) error {
	if err := l.magic(); err != nil {
		return err
	}
	kind, payload, err := l.frame()
	if err != nil {
		return err
	}
	if kind != frameHeader || !l.header(payload) {
		return corrupt("header")
	}
	if p.Analysis != l.params.Analysis {
		return fmt.Errorf("%w: terms made by %q, want %q", ErrOutdated, l.params.Analysis, p.Analysis)
	}
	if p.K1 != 0 {
		l.params.K1 = p.K1
	}
	if p.B != 0 {
		l.params.B = p.B
	}
	return l.frames()
}

// magic reads what stands before the first frame.
func (l *loader) magic() error {
	var b [len(snapshotMagic) + 4]byte
	if _, err := io.ReadFull(l.r, b[:]); err != nil {
		return cutShort(err)
	}
	if string(b[:len(snapshotMagic)]) != snapshotMagic {
		return corrupt("magic")
	}
	switch v := binary.LittleEndian.Uint32(b[len(snapshotMagic):]); {
	case v == snapshotVersion:
		return nil
	case v > snapshotVersion && v < 1<<10:
		return fmt.Errorf("%w: format %d, this program reads %d", ErrOutdated, v, snapshotVersion)
	}
	return corrupt("format version")
}

// frames reads the frames behind the header and closes the books.
func (l *loader) frames() error {
	for {
		kind, payload, err := l.frame()
		if err != nil {
			return err
		}
		switch kind {
		case frameSlots:
			if len(l.core.names) > 0 || !l.slots(payload) {
				return corrupt("slots")
			}
		case frameTerms:
			if !l.terms(payload) {
				return corrupt("terms")
			}
		case frameEnd:
			c, h := &l.core, &l.head
			if len(payload) > 0 || len(c.docs) != int(h.slots) || len(c.deaths) != int(h.dead) || c.tokens != h.tokens ||
				len(c.names) != int(h.terms) || c.count != h.count {
				return corrupt("totals")
			}
			return nil
		default:
			return corrupt("frame kind")
		}
	}
}

// frame reads one frame. The payload is valid until the next. A length is not believed: the buffer grows with what
// arrives.
func (l *loader) frame() (kind uint32, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return 0, nil, cutShort(err)
	}
	length := int64(binary.LittleEndian.Uint32(head[4:]))
	l.payload.Reset()
	if _, err := io.CopyN(&l.payload, l.r, length+4); err != nil {
		return 0, nil, cutShort(err)
	}
	b := l.payload.Bytes()
	payload = b[:length]
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	if sum != binary.LittleEndian.Uint32(b[length:]) {
		return 0, nil, corrupt("checksum")
	}
	return binary.LittleEndian.Uint32(head[:]), payload, nil
}

// header reads the payload of the header frame.
func (l *loader) header(b []byte) bool {
	const fixed = 8 + 8 + 4 + 4 + 8 + 4 + 8 + 1
	if len(b) < fixed || len(b) != fixed+int(b[fixed-1]) {
		return false
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	l.params = Params{math.Float64frombits(u64(b)), math.Float64frombits(u64(b[8:])), string(b[fixed:])}
	// A stored 0 is meant; withDefaults would take it for "default".
	for _, v := range []*float64{&l.params.K1, &l.params.B} {
		if math.IsNaN(*v) || *v < 0 {
			return false
		}
		if *v == 0 {
			*v = -1
		}
	}
	l.head = loadHeader{slots: u32(b[16:]), dead: u32(b[20:]), tokens: u64(b[24:]), terms: u32(b[32:]), count: u64(b[36:])}
	return true
}

// slots reads the payload of a frame of slots.
func (l *loader) slots(b []byte) bool {
	c := &l.core
	if len(b)%8 != 0 || len(c.docs)+len(b)/8 > int(l.head.slots) {
		return false
	}
	c.docs, c.lengths = slices.Grow(c.docs, len(b)/8), slices.Grow(c.lengths, len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		slot, doc, word := uint32(len(c.docs)), binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		c.hold(doc, word>>1)
		if word&1 != 0 {
			c.dead.set(slot)
			c.deaths = append(c.deaths, slot)
			continue
		}
		if _, twice := c.slots.get(doc); twice {
			return false
		}
		c.tokens += uint64(word >> 1)
		c.slots.set(doc, slot, c.live())
	}
	return true
}

// leastTerm is the fewest bytes that a term takes in a frame: its name, its postings, and a number for each of these
// and for how many there are.
const leastTerm = 5

// terms reads the payload of a frame of terms.
func (l *loader) terms(b []byte) bool {
	c := &l.core
	if c.dict == nil {
		// Room for as many as the header says, as far as what has been read makes that likely: new text brings a few new
		// terms a document. If there are more, map and slices grow by themselves.
		room := min(int(l.head.terms), len(b)/leastTerm+2*len(c.docs))
		c.dict = make(map[string]uint32, room)
		c.names, c.lists = make([]string, 0, room), make([]postings, 0, room)
	}
	for len(b) > 0 {
		name, rest, ok := chunk(b)
		if !ok || len(name) == 0 {
			return false
		}
		n, size := binary.Uvarint(rest)
		if size <= 0 || n == 0 || n > uint64(len(c.docs)) {
			return false
		}
		var data []byte
		if data, b, ok = chunk(rest[size:]); !ok || !l.term(string(name), uint32(n), data) {
			return false
		}
	}
	return true
}

// chunk splits b into the bytes that begin it, behind their number, and the rest.
func chunk(b []byte) (head, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	b = b[size:]
	return b[:n], b[n:], true
}

// term takes one term into the core, if it is new and its postings are well formed.
func (l *loader) term(name string, n uint32, data []byte) bool {
	c := &l.core
	p := &c.lists[c.newTerm(name)]
	p.data, p.n = l.keep(data), n
	if len(c.dict) < len(c.names) || !p.walk(uint64(len(c.docs))) { // a name that was there before adds no entry
		return false
	}
	c.count += uint64(n)
	c.bytes += cap(p.data) + 8*cap(p.skips)
	return true
}

// arenaBytes is the size in which room for short lists is allocated, longList what is too long for it.
const (
	arenaBytes = 1 << 16
	longList   = 1 << 10
)

// keep copies a list out of the frame. A hundred thousand allocations would take longer than all the reading; but only
// short lists share an allocation, so that one that moves away as it grows leaves no large hole.
func (l *loader) keep(data []byte) []byte {
	if len(data) > longList {
		return slices.Clone(data)
	}
	if len(l.arena)+len(data) > cap(l.arena) {
		l.arena = make([]byte, 0, arenaBytes)
	}
	from := len(l.arena)
	l.arena = append(l.arena, data...)
	return l.arena[from:len(l.arena):len(l.arena)]
}

// walk reads postings that nothing is known of but their number, sets last and skips, and says whether they are well
// formed: whole, increasing, below the number of slots, counted from 1. Afterwards cursors may trust them.
func (p *postings) walk(slots uint64) bool {
	if p.n > blockLen {
		p.skips = make([]skip, 0, min(int(p.n-1), len(p.data))/blockLen)
	}
	data, slot, pos := p.data, uint64(0), 0
	for i := range p.n {
		if i > 0 && i%blockLen == 0 {
			p.skips = append(p.skips, skip{uint32(slot), uint32(pos)})
		}
		step, size := checkedUvarint(data[pos:])
		if size <= 0 || step>>1 == 0 && i > 0 || step>>1 >= slots {
			return false
		}
		pos += size
		if slot += step >> 1; slot >= slots {
			return false
		}
		if step&1 != 0 {
			count, size := checkedUvarint(data[pos:])
			if size <= 0 || count == 0 || count > 1<<31-1 {
				return false
			}
			pos += size
		}
	}
	p.last = uint32(slot)
	return pos == len(p.data)
}

// checkedUvarint is binary.Uvarint with a short way for one byte.
func checkedUvarint(data []byte) (uint64, int) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), 1
	}
	return binary.Uvarint(data)
}

// corrupt says what part of a snapshot is damaged.
func corrupt(part string) error { return fmt.Errorf("%w: %s", ErrCorrupt, part) }

// cutShort turns the end of input into corruption and leaves other errors of the reader alone.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("cut short")
	}
	return err
}
