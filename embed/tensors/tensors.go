// Package tensors holds named arrays of numbers in one file that is read where it lies.
//
// # The problem
//
// Weights are tens of megabytes and stand in the binary or in a mapped file. Starting must not read them, using them must
// not copy them, and a bit that has fallen over must not become a wrong vector.
//
// # The solution
//
// A header of a few kilobytes names each array with its place, shape and SHA-256. [Read] looks at the header alone; an
// array is checked when it is asked for, once, by the one who asks; int8 arrays and text are then views into the file.
// The file's digest is that of its header, which by the checksums in it covers every byte. docs/format/model.md draws it.
//
// The package also reads safetensors ([ReadSafe]), the format in which models are published; its header has no
// checksums and its order of arrays is free, which is why it is what we convert from and not what we keep.
//
// Left out: protobuf and FlatBuffers (a schema compiler for one struct), GGUF (its blocks of mixed precision are made for
// models a thousand times as large).
package tensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"unsafe"

	"github.com/engramdb/engram/embed"
)

// Type is what an array holds.
type Type string

// The types of arrays.
const (
	Int8    Type = "i8"   // signed bytes
	Float32 Type = "f32"  // IEEE 754, little endian
	Text    Type = "text" // UTF-8
)

// size is the bytes of one element.
func (t Type) size() int {
	switch t {
	case Int8, Text:
		return 1
	case Float32:
		return 4
	}
	return 0
}

const (
	magic     = "ENGRAMT\x01"
	prefix    = 16      // magic, length and checksum of the header
	align     = 64      // arrays begin at multiples of it: a cache line, a register
	maxHeader = 1 << 20 // a header that says it is longer is not one
	maxArrays = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// array is the header's line about one array.
type array struct {
	Name   string `json:"name"`
	Type   Type   `json:"type"`
	Rows   int    `json:"rows"`
	Cols   int    `json:"cols"`
	Offset int    `json:"offset"`
	SHA256 string `json:"sha256"`
}

func (a array) bytes() int { return a.Rows * a.Cols * a.Type.size() }

// header is the JSON at the start of a file.
type header struct {
	About  json.RawMessage `json:"about"`
	Arrays []array         `json:"arrays"`
}

// File is a file that was read. It shares the bytes, and does not change them: safe for concurrent use.
type File struct {
	data   []byte
	digest string
	about  json.RawMessage
	arrays map[string]array
}

// Read reads the header of a file. The File keeps data, which must not change while it is in use. What is not a whole
// file with consistent places is embed.ErrDamaged; the arrays themselves are checked when they are asked for.
func Read(data []byte) (*File, error) {
	if len(data) < prefix || string(data[:8]) != magic {
		return nil, damaged("it does not begin with %q", magic)
	}
	n := int(binary.LittleEndian.Uint32(data[8:]))
	if n > maxHeader || prefix+n > len(data) {
		return nil, damaged("a header of %d bytes in a file of %d", n, len(data))
	}
	raw := data[prefix : prefix+n]
	if sum := binary.LittleEndian.Uint32(data[12:]); sum != crc32.Checksum(raw, castagnoli) {
		return nil, damaged("the header's checksum is wrong")
	}
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, damaged("header: %v", err)
	}
	sum := sha256.Sum256(raw)
	f := &File{data: data, digest: hex.EncodeToString(sum[:]), about: h.About, arrays: map[string]array{}}
	return f, f.place(h.Arrays, prefix+n)
}

// place takes the arrays in, which must lie in order, aligned, apart from each other, and end with the file.
func (f *File) place(arrays []array, end int) error {
	if len(arrays) > maxArrays {
		return damaged("%d arrays", len(arrays))
	}
	for _, a := range arrays {
		if err := a.check(len(f.data)); err != nil {
			return err
		}
		if a.Offset != padded(end) {
			return damaged("array %q begins at %d, not at %d", a.Name, a.Offset, padded(end))
		}
		if _, twice := f.arrays[a.Name]; twice {
			return damaged("array %q twice", a.Name)
		}
		end = a.Offset + a.bytes()
		f.arrays[a.Name] = a
	}
	if end != len(f.data) {
		return damaged("it has %d bytes, its arrays end at %d", len(f.data), end)
	}
	return nil
}

// check says whether an array can lie in a file of that size, before its numbers are multiplied and overflow.
func (a array) check(size int) error {
	if a.Type.size() == 0 || a.Rows < 0 || a.Cols < 0 || a.Rows > size || a.Cols > size || a.Offset < 0 || a.Offset > size {
		return damaged("array %q of %d x %d %q at %d cannot be in it", a.Name, a.Rows, a.Cols, a.Type, a.Offset)
	}
	if int64(a.Rows)*int64(a.Cols) > int64(size) || a.Offset+a.bytes() > size {
		return damaged("array %q of %d x %d %q at %d is longer than the file", a.Name, a.Rows, a.Cols, a.Type, a.Offset)
	}
	return nil
}

func padded(n int) int { return (n + align - 1) / align * align }

// Digest is the SHA-256 of the header in hexadecimal: by the checksums in it, of everything but padding.
func (f *File) Digest() string { return f.digest }

// About fills v from the JSON object that the file was written with.
func (f *File) About(v any) error {
	if err := json.Unmarshal(f.about, v); err != nil {
		return damaged("about: %v", err)
	}
	return nil
}

// Int8 returns an array of that name and shape, as a view into the file, after it was checked: keep it, and only read.
func (f *File) Int8(name string, rows, cols int) ([]int8, error) {
	b, err := f.checked(name, Int8, rows, cols)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(&b[0])), len(b)), nil
}

// Float32 returns a copy of an array of that name and shape, after it was checked. A number in it that is not finite is
// embed.ErrDamaged.
func (f *File) Float32(name string, rows, cols int) ([]float32, error) {
	b, err := f.checked(name, Float32, rows, cols)
	if err != nil {
		return nil, err
	}
	return floats(name, b)
}

// Text returns a text of that name, as a view into the file, after it was checked.
func (f *File) Text(name string) (string, error) {
	b, err := f.checked(name, Text, 1, f.arrays[name].Cols)
	if err != nil || len(b) == 0 {
		return "", err
	}
	return unsafe.String(&b[0], len(b)), nil
}

// checked returns the bytes of an array if it is what is expected and what was written.
func (f *File) checked(name string, t Type, rows, cols int) ([]byte, error) {
	a, ok := f.arrays[name]
	if !ok || a.Type != t || a.Rows != rows || a.Cols != cols {
		return nil, damaged("no array %q of %d x %d %s", name, rows, cols, t)
	}
	b := f.data[a.Offset : a.Offset+a.bytes()]
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != a.SHA256 {
		return nil, damaged("array %q at byte %d does not have its checksum", name, a.Offset)
	}
	return b, nil
}

func floats(name string, b []byte) ([]float32, error) {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if x := out[i]; x-x != 0 {
			return nil, damaged("number %d of array %q is %v", i, name, x)
		}
	}
	return out, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", embed.ErrDamaged, fmt.Sprintf(format, args...))
}

// Writer collects arrays and writes them as one file. The zero Writer is empty.
type Writer struct {
	arrays []array
	data   [][]byte
}

// AddInt8 adds an array of rows of cols numbers.
func (w *Writer) AddInt8(name string, v []int8, cols int) {
	b := make([]byte, len(v))
	for i, x := range v {
		b[i] = byte(x)
	}
	w.add(name, Int8, b, len(v)/cols, cols)
}

// AddFloat32 adds an array of rows of cols numbers.
func (w *Writer) AddFloat32(name string, v []float32, cols int) {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	w.add(name, Float32, b, len(v)/cols, cols)
}

// AddText adds a text.
func (w *Writer) AddText(name, s string) { w.add(name, Text, []byte(s), 1, len(s)) }

func (w *Writer) add(name string, t Type, b []byte, rows, cols int) {
	sum := sha256.Sum256(b)
	w.arrays = append(w.arrays, array{Name: name, Type: t, Rows: rows, Cols: cols, SHA256: hex.EncodeToString(sum[:])})
	w.data = append(w.data, b)
}

// Write writes the file, with about, an object that JSON can hold, in its header. The same arrays in the same order
// and the same about give the same bytes.
func (w *Writer) Write(to io.Writer, about any) error {
	raw, err := w.header(about)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	var out bytes.Buffer
	out.WriteString(magic)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))))
	out.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(raw, castagnoli)))
	out.Write(raw)
	for _, b := range w.data {
		out.Write(make([]byte, padded(out.Len())-out.Len()))
		out.Write(b)
	}
	_, err = to.Write(out.Bytes())
	return err
}

// header places the arrays behind a header whose own length depends on the digits of their places: it is made again with
// room for more until it fits, and filled up with spaces.
func (w *Writer) header(about any) ([]byte, error) {
	ab, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	for room := 1024; ; room += 1024 {
		end := prefix + room
		for i := range w.arrays {
			w.arrays[i].Offset = padded(end)
			end = w.arrays[i].Offset + w.arrays[i].bytes()
		}
		raw, err := json.Marshal(header{About: ab, Arrays: w.arrays})
		if err != nil {
			return nil, err
		}
		if len(raw) <= room {
			return append(raw, bytes.Repeat([]byte{' '}, room-len(raw))...), nil
		}
	}
}
