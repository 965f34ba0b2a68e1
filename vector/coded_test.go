package vector

import (
	"slices"
	"testing"
)

// Keys of rows in two chunks, worked out by hand.
func TestKeys(t *testing.T) {
	rows := &CodedRows{Stride: CodedAlign}
	for range 2 {
		rows.Codes = append(rows.Codes, make([]int8, CodedChunk*CodedAlign))
		rows.Factors = append(rows.Factors, make([]RowFactors, CodedChunk))
	}
	last := uint32(CodedChunk + 3)
	copy(rows.Code(2), []int8{1, -2, 3})
	copy(rows.Code(last), []int8{-127, 127})
	*rows.Factor(2) = RowFactors{Scale: .5, Bias: 10}
	*rows.Factor(last) = RowFactors{Scale: 2}
	q := &CodedQuery{Code: make([]int8, CodedAlign), Factor: -2}
	copy(q.Code, []int8{100, 10, -1})
	got := make([]float32, 3)
	rows.Keys(q, []uint32{last, 2, 7}, got)
	if want := []float32{-2 * 2 * (-12700 + 1270), 10 - 2*.5*(100-20-3), 0}; !slices.Equal(got, want) {
		t.Errorf("Keys = %v, want %v", got, want)
	}
	Fetch(got)
	Fetch([]uint32{})
}

func TestKeysWantsAlignedRows(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("rows of 65 bytes do not panic")
		}
	}()
	(&CodedRows{Stride: 65}).Keys(&CodedQuery{Code: make([]int8, 65)}, nil, nil)
}

func TestPages(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 5<<20 + 3} {
		b := Pages(n)
		if len(b) != n || slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) {
			t.Errorf("Pages(%d) gives %d bytes, or not zeros", n, len(b))
		}
		for i := range b {
			b[i] = 1
		}
	}
}
