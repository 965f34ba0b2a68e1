package tensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/engramdb/engram/embed"
)

type about struct {
	Kind string `json:"kind"`
}

// sample is a small file with an array of each type.
func sample(tb testing.TB) []byte {
	tb.Helper()
	var w Writer
	w.AddText("words", "one\ntwo\n")
	w.AddInt8("table", []int8{1, -2, 3, -128, 127, 0}, 3)
	w.AddFloat32("scale", []float32{0.5, -3}, 2)
	var b bytes.Buffer
	if err := w.Write(&b, about{"sample"}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// readAll asks for all that a sample holds.
func readAll(data []byte) (words string, table []int8, scale []float32, err error) {
	f, err := Read(data)
	if err != nil {
		return "", nil, nil, err
	}
	words, e1 := f.Text("words")
	table, e2 := f.Int8("table", 2, 3)
	scale, e3 := f.Float32("scale", 1, 2)
	return words, table, scale, errors.Join(e1, e2, e3, f.About(new(about)))
}

func TestRoundTrip(t *testing.T) {
	b := sample(t)
	words, table, scale, err := readAll(b)
	if err != nil || words != "one\ntwo\n" || !slices.Equal(table, []int8{1, -2, 3, -128, 127, 0}) || !slices.Equal(scale, []float32{0.5, -3}) {
		t.Errorf("read %q %v %v, %v", words, table, scale, err)
	}
	if !bytes.Equal(b, sample(t)) {
		t.Error("the same arrays gave other bytes")
	}
	f, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var a about
	if err := f.About(&a); err != nil || a.Kind != "sample" {
		t.Errorf("about is %+v, %v", a, err)
	}
	if len(f.Digest()) != 64 {
		t.Errorf("digest %q", f.Digest())
	}
}

// TestEveryByteCounts changes each byte that is not padding, and cuts the file everywhere.
func TestEveryByteCounts(t *testing.T) {
	whole := sample(t)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 4
		if _, _, _, err := readAll(b); err == nil && !padding(whole, i) {
			t.Errorf("a change at byte %d of %d was not seen", i, len(b))
		} else if err != nil && !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("a change at byte %d gave %v", i, err)
		}
		if _, _, _, err := readAll(whole[:i]); !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("%d of %d bytes gave %v", i, len(whole), err)
		}
	}
	if _, _, _, err := readAll(append(bytes.Clone(whole), 0)); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("a byte too many gave %v", err)
	}
}

// padding says whether byte i of the sample lies between its arrays.
func padding(whole []byte, i int) bool {
	f, err := Read(whole)
	if err != nil || i < prefix+int(binary.LittleEndian.Uint32(whole[8:])) {
		return false
	}
	for _, a := range f.arrays {
		if i >= a.Offset && i < a.Offset+a.bytes() {
			return false
		}
	}
	return true
}

func TestWrongShape(t *testing.T) {
	f, err := Read(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := f.Int8("table", 3, 2)
	_, e2 := f.Float32("table", 2, 3)
	_, e3 := f.Text("absent")
	for _, err := range []error{e1, e2, e3} {
		if !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("gave %v", err)
		}
	}
}

// withHeader makes a file of a header as it is, with a right checksum.
func withHeader(raw string, rest int) []byte {
	b := append([]byte(magic), binary.LittleEndian.AppendUint32(nil, uint32(len(raw)))...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum([]byte(raw), castagnoli))
	return append(append(b, raw...), make([]byte, rest)...)
}

// TestHostileHeaders are headers that are well formed and lie.
func TestHostileHeaders(t *testing.T) {
	for _, raw := range []string{
		`not JSON`,
		`{"arrays":[{"name":"a","type":"i8","rows":4611686018427387904,"cols":4,"offset":128}]}`,
		`{"arrays":[{"name":"a","type":"f32","rows":65536,"cols":65536,"offset":128}]}`,
		`{"arrays":[{"name":"a","type":"i8","rows":-1,"cols":-5,"offset":128}]}`,
		`{"arrays":[{"name":"a","type":"i8","rows":1,"cols":1,"offset":-64}]}`,
		`{"arrays":[{"name":"a","type":"i9","rows":1,"cols":1,"offset":128}]}`,
		`{"arrays":[{"name":"a","type":"i8","rows":1,"cols":1,"offset":0}]}`,
	} {
		if _, err := Read(withHeader(raw, 1000)); !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("%s gave %v", raw, err)
		}
	}
}

func TestSafetensors(t *testing.T) {
	file := func(head string, data ...byte) []byte {
		return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), data...)
	}
	good := file(`{"__metadata__":{"format":"pt"},"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"BF16","shape":[1,1],"data_offsets":[6,8]}}`,
		0x00, 0x3c, 0x01, 0x00, 0x00, 0xc0, 0x80, 0xbf)
	s, err := ReadSafe(good)
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.Float32("h", 3)
	if err != nil || !slices.Equal(h, []float32{1, 0x1p-24, -2}) {
		t.Errorf("F16 gave %v, %v", h, err)
	}
	b, err := s.Float32("b", 1, 1)
	if err != nil || b[0] != -1 {
		t.Errorf("BF16 gave %v, %v", b, err)
	}
	if _, err := s.Float32("h", 6); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("a wrong shape gave %v", err)
	}
	for _, bad := range [][]byte{
		nil, good[:7], good[:40], file(`{`), file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`),
		file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 0, 0, 0, 0),
	} {
		if _, err := ReadSafe(bad); !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("%q gave %v", bad, err)
		}
	}
	nan := file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 0, 0, 0xc0, 0x7f)
	if s, err = ReadSafe(nan); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Float32("a", 1); !errors.Is(err, embed.ErrDamaged) || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("NaN gave %v", err)
	}
}

// FuzzRead wants an error or what was asked for of any bytes, and no panic.
func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Add(sample(f)[:200])
	f.Add(withHeader(`{"about":{},"arrays":[{"name":"words","type":"text","rows":1,"cols":3,"offset":128}]}`, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, _, err := readAll(b); err != nil && !errors.Is(err, embed.ErrDamaged) {
			t.Error(err)
		}
	})
}

// FuzzReadSafe wants the same of a published file.
func FuzzReadSafe(f *testing.F) {
	f.Add([]byte("\x38\x00\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}  \x00\x00\x80\x3f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadSafe(b)
		if err == nil {
			_, err = s.Float32("a", s.Shape("a")...)
		}
		if err != nil && !errors.Is(err, embed.ErrDamaged) {
			t.Error(err)
		}
	})
}
