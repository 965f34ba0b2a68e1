package saved_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/engramdb/engram/internal/saved"
)

const most = 1 << 20

// written is a saved index with one of each value, and numbers that fill several frames.
func written(t testing.TB, version uint64, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := saved.NewWriter(&b, "ENGTRIAL", version)
	w.Uint(uint64(n))
	w.End()
	w.Begin('V')
	w.Int(-5)
	w.Float(1.5)
	w.Uint16(7)
	w.Uint32(9)
	w.Byte(3)
	w.Text("words")
	w.End()
	w.Begin('N')
	for i := range n {
		w.Uint(uint64(i))
		w.Next('N')
	}
	w.End()
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read takes apart what was written.
func read(r io.Reader) (numbers int, values string, err error) {
	f := saved.NewReader(r, most)
	if err := f.Head("ENGTRIAL", 1); err != nil {
		return 0, "", err
	}
	n := f.Uint(math.MaxUint32)
	if err := f.HeadEnd(); err != nil {
		return 0, "", err
	}
	err = f.Frames(func(kind byte) func() {
		switch kind {
		case 'V':
			return func() {
				f.Refuse(f.Int() != -5 || f.Float() != 1.5)
				f.Refuse(!slices.Equal(f.Take(6), []byte{7, 0, 9, 0, 0, 0}))
				f.Refuse(f.Byte() != 3)
				values = f.Text()
			}
		case 'N':
			return func() {
				f.Refuse(f.Uint(n) != uint64(numbers))
				numbers++
			}
		}
		return nil
	})
	if err == nil && uint64(numbers) != n {
		err = saved.ErrCorrupt
	}
	return numbers, values, err
}

// What was written is read, to its end and no byte further, however the bytes come.
func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 100_000} {
		b := written(t, 1, n)
		r := bytes.NewReader(append(slices.Clone(b), "behind"...))
		got, values, err := read(iotest.OneByteReader(r))
		if err != nil || got != n || values != "words" || r.Len() != len("behind") {
			t.Errorf("%d of %d, %q, %d bytes left, %v", got, n, values, r.Len(), err)
		}
	}
}

// Every flipped bit and every cut is found; another version is no damage; an error of the
// disk stays what it is.
func TestFramesDamaged(t *testing.T) {
	whole := written(t, 1, 50)
	for i := range whole {
		for bit := range 8 {
			bad := slices.Clone(whole)
			bad[i] ^= 1 << bit
			if _, _, err := read(bytes.NewReader(bad)); !errors.Is(err, saved.ErrCorrupt) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
		if _, _, err := read(bytes.NewReader(whole[:i])); !errors.Is(err, saved.ErrCorrupt) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	if _, _, err := read(bytes.NewReader(written(t, 2, 50))); !errors.Is(err, saved.ErrVersion) || errors.Is(err, saved.ErrCorrupt) {
		t.Errorf("a later version: %v", err)
	}
	broken := errors.New("broken")
	if _, _, err := read(io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, saved.ErrCorrupt) {
		t.Errorf("a broken disk: %v", err)
	}
	if _, _, err := read(strings.NewReader("ENGTRIAL\xff\xff\xff\xffH")); !errors.Is(err, saved.ErrCorrupt) {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestFramesOnAFullDisk(t *testing.T) {
	w := saved.NewWriter(full{}, "ENGTRIAL", 1)
	w.End()
	if err := w.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}
