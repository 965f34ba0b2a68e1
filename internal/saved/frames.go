// Package saved is how the saved indexes of facets and of links lie on disk: frames, which
// are read from end to end and kept in memory. Words and nearest vectors have forms of their
// own. The packages of indexes say what stands in them; docs/format draws it.
//
// An index is a follower: what is damaged or of another version is an error, and whoever
// gets it builds the index anew.
package saved

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

var (
	// ErrCorrupt is the error for bytes that no writer of the kind wrote.
	ErrCorrupt = errors.New("saved index is corrupt")
	// ErrVersion is the error for a format that this release does not read.
	ErrVersion = errors.New("saved index has an unknown format version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kinds of frame that each saved index has.
const (
	frameHead = 'H'
	frameEnd  = 'E'
)

// frameFull is from how many bytes on Next writes a frame out.
const frameFull = 64 << 10

// Writer writes a magic and frames:
//
//	length uint32 | kind | body | crc32c uint32
//
// The length is that of kind and body. The checksum goes over all bytes from the magic
// on but those of earlier checksums, so frames cannot be left out, doubled or swapped.
// After the first error of the disk it does nothing; Finish gives it.
type Writer struct {
	w   io.Writer
	err error
	crc uint32 // of all bytes so far
	buf []byte // the frame, after 4 bytes for its length
}

// NewWriter begins with the magic, and the frame of the head with the version of what
// follows; the caller puts the rest of the head and calls End.
func NewWriter(w io.Writer, magic string, version uint64) *Writer {
	f := &Writer{w: w, crc: crc32.Update(0, castagnoli, []byte(magic))}
	f.write([]byte(magic))
	f.Begin(frameHead)
	f.Uint(version)
	return f
}

func (f *Writer) write(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
	}
}

// Begin begins a frame.
func (f *Writer) Begin(kind byte) { f.buf = append(f.buf[:0], 0, 0, 0, 0, kind) }

// End writes the frame.
func (f *Writer) End() {
	binary.LittleEndian.PutUint32(f.buf, uint32(len(f.buf)-4))
	f.crc = crc32.Update(f.crc, castagnoli, f.buf)
	f.buf = binary.LittleEndian.AppendUint32(f.buf, f.crc)
	f.write(f.buf)
}

// Next begins a new frame of the same kind when this one is full.
func (f *Writer) Next(kind byte) {
	if len(f.buf) >= frameFull {
		f.End()
		f.Begin(kind)
	}
}

// Finish writes the last frame, without which a reader says that it was cut short.
func (f *Writer) Finish() error {
	f.Begin(frameEnd)
	f.End()
	return f.err
}

// Uint puts an unsigned varint.
func (f *Writer) Uint(v uint64) { f.buf = binary.AppendUvarint(f.buf, v) }

// Int puts a zigzag varint.
func (f *Writer) Int(v int64) { f.buf = binary.AppendVarint(f.buf, v) }

// Float puts 8 bytes.
func (f *Writer) Float(v float64) {
	f.buf = binary.LittleEndian.AppendUint64(f.buf, math.Float64bits(v))
}

// Uint16 puts 2 bytes, the lowest first.
func (f *Writer) Uint16(v uint16) { f.buf = binary.LittleEndian.AppendUint16(f.buf, v) }

// Uint32 puts 4 bytes, the lowest first.
func (f *Writer) Uint32(v uint32) { f.buf = binary.LittleEndian.AppendUint32(f.buf, v) }

// Byte puts one byte.
func (f *Writer) Byte(v byte) { f.buf = append(f.buf, v) }

// Text puts a length and that many bytes.
func (f *Writer) Text(v string) {
	f.Uint(uint64(len(v)))
	f.buf = append(f.buf, v...)
}

// Reader reads what a Writer wrote, and not a byte more. Reading past the end of a frame
// marks it bad, so that who takes it apart need not ask each time.
type Reader struct {
	r    io.Reader
	most uint32
	crc  uint32
	body bytes.Buffer
	buf  []byte // what is left of the frame
	bad  bool
}

// NewReader reads frames of at most so many bytes; a larger one is corrupt.
func NewReader(r io.Reader, most uint32) *Reader { return &Reader{r: r, most: most} }

// Head reads the magic and the version. The rest of the head is left to the caller, who
// calls HeadEnd then.
func (f *Reader) Head(magic string, version uint64) error {
	b := make([]byte, len(magic))
	if err := f.full(b); err != nil {
		return err
	}
	if string(b) != magic {
		return ErrCorrupt
	}
	f.crc = crc32.Update(0, castagnoli, b)
	kind, err := f.frame()
	if err != nil {
		return err
	}
	if v := f.Uint(math.MaxUint64); kind != frameHead || f.bad {
		return ErrCorrupt
	} else if v != version {
		return fmt.Errorf("%w %d; this release knows %d", ErrVersion, v, version)
	}
	return nil
}

// HeadEnd says whether the head was as long as what was read of it.
func (f *Reader) HeadEnd() error {
	if f.bad || len(f.buf) > 0 {
		return ErrCorrupt
	}
	return nil
}

// Frames reads all frames that follow. part gives what takes the next part of a frame of a
// kind apart, which is called until the frame is empty; nil: there is no such kind here.
func (f *Reader) Frames(part func(kind byte) func()) error {
	for {
		kind, err := f.frame()
		if err != nil {
			return err
		}
		if kind == frameEnd && len(f.buf) == 0 {
			return nil
		}
		take := part(kind)
		if take == nil {
			return ErrCorrupt
		}
		for len(f.buf) > 0 && !f.bad {
			take()
		}
		if f.bad {
			return ErrCorrupt
		}
	}
}

func (f *Reader) full(b []byte) error {
	_, err := io.ReadFull(f.r, b)
	return cutShort(err)
}

func cutShort(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it is cut short", ErrCorrupt)
	}
	return err
}

// frame reads the next frame into f.buf and gives its kind. The buffer grows as bytes
// come, so a false length takes no memory.
func (f *Reader) frame() (byte, error) {
	var word [4]byte
	if err := f.full(word[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(word[:])
	if n == 0 || n > f.most {
		return 0, ErrCorrupt
	}
	f.crc = crc32.Update(f.crc, castagnoli, word[:])
	f.body.Reset()
	if _, err := io.CopyN(&f.body, f.r, int64(n)); err != nil {
		return 0, cutShort(err)
	}
	f.crc = crc32.Update(f.crc, castagnoli, f.body.Bytes())
	if err := f.full(word[:]); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(word[:]) != f.crc {
		return 0, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	f.buf = f.body.Bytes()[1:]
	return f.body.Bytes()[0], nil
}

// Uint takes an unsigned varint; a greater one than most is bad.
func (f *Reader) Uint(most uint64) uint64 {
	v, n := binary.Uvarint(f.buf)
	if n <= 0 || v > most {
		f.bad, f.buf = true, nil
		return 0
	}
	f.buf = f.buf[n:]
	return v
}

// Int takes a zigzag varint.
func (f *Reader) Int() int64 {
	v, n := binary.Varint(f.buf)
	if n <= 0 {
		f.bad, f.buf = true, nil
		return 0
	}
	f.buf = f.buf[n:]
	return v
}

// Take takes so many bytes; nil when there are fewer. They are the frame's, until the next
// one is read.
func (f *Reader) Take(n uint64) []byte {
	if n > uint64(len(f.buf)) {
		f.bad, f.buf = true, nil
		return nil
	}
	b := f.buf[:n]
	f.buf = f.buf[n:]
	return b
}

// Text takes what Writer.Text put.
func (f *Reader) Text() string { return string(f.Take(f.Uint(uint64(f.most)))) }

// Byte takes one byte.
func (f *Reader) Byte() byte {
	if b := f.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Float takes a float; one that is not finite is bad.
func (f *Reader) Float() float64 {
	b := f.Take(8)
	if b == nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(b))
	f.Refuse(v-v != 0)
	return v
}

// Left is how many bytes the frame still has.
func (f *Reader) Left() int { return len(f.buf) }

// Bad says whether something in the frame was not as it should be.
func (f *Reader) Bad() bool { return f.bad }

// Refuse marks the frame, when something in it is bad.
func (f *Reader) Refuse(bad bool) { f.bad = f.bad || bad }
