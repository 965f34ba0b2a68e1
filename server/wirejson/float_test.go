package wirejson

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// checkFloat32 compares with strconv.
func checkFloat32(t *testing.T, s string) {
	t.Helper()
	want, err := strconv.ParseFloat(s, 32)
	d := &decoder{data: []byte(s + ",")}
	got, failed := d.float32()
	if (failed == nil) != (err == nil) || err == nil && (math.Float32bits(got) != math.Float32bits(float32(want)) || d.pos != len(s)) {
		t.Errorf("%s is %v up to %d (%v), want %v (%v)", s, got, d.pos, failed, float32(want), err)
	}
}

func TestFloat32(t *testing.T) {
	for _, s := range []string{
		"0", "-0", "0.0", "-0.0", "1", "-1", "0.1", "0.123456789012345", "0.1234567890123456", "123456789012345", "999999999999999",
		"1234567890123456", "9999999999999999", "0.000000000000001", "0.00000000000000", "1e38", "1e39", "-1e39", "1e-45", "1e-46", "3.4028235e38", "340282350000000000000000000000000000000",
		"16777217", "16777219", "16777217.000001", "8388608.5", "8388609.5", "0.500000029802322", "1.00000005960464", "1.00000017881393", "33554434", "33554438",
		"67108868", "67108872.0", "0.00", "10.50", "100", "-7.25", "0.000061035156", "1.175494e-38", "5e-324",
	} {
		checkFloat32(t, s)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		x := r.NormFloat64() * math.Pow(10, float64(r.IntN(12)-8))
		checkFloat32(t, strconv.FormatFloat(x, 'f', r.IntN(17), 64))
		checkFloat32(t, strconv.FormatFloat(float64(float32(x)), 'f', -1, 32))
		// half way between two numbers of 32 bits, and beside it
		a := math.Abs(float64(float32(x)))
		mid := (a + float64(math.Nextafter32(float32(a), math.MaxFloat32))) / 2
		checkFloat32(t, strconv.FormatFloat(mid, 'f', 1+r.IntN(15), 64))
		checkFloat32(t, fmt.Sprint(r.Uint64N(1e15)))
	}
}

// TestQuickFloat: what is no number, or not all of one, is left where it stands.
func TestQuickFloat(t *testing.T) {
	for _, s := range []string{"", "-", "01", "-01", "1.", "-.5", ".5", "+1", "1.e3", "1e", "1e3", "1E3", "--1", "null", "\"1\"", "1..2x"[:2]} {
		d := &decoder{data: []byte(s)}
		if x, ok := d.quickFloat(); ok || d.pos != 0 {
			t.Errorf("%q: took %v up to %d", s, x, d.pos)
		}
	}
}

func FuzzFloat32(f *testing.F) {
	for _, s := range []string{"0.1", "-12.5", "1e3", "123456789012345678", "0.0000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, quick := &decoder{data: []byte(s)}, &decoder{data: []byte(s)}
		n, ok := d.number()
		if ok {
			checkFloat32(t, n)
		}
		if x, taken := quick.quickFloat(); taken {
			want, err := strconv.ParseFloat(n, 32)
			if !ok || err != nil || quick.pos != d.pos || math.Float32bits(x) != math.Float32bits(float32(want)) {
				t.Errorf("%q: took %v up to %d; it is %q", s, x, quick.pos, n)
			}
		}
	})
}

func BenchmarkFloats(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var body []byte
	for i := range 768 {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendFloat(body, r.NormFloat64()/27, 'f', -1, 32)
	}
	body = append(append([]byte{'['}, body...), ']')
	for b.Loop() {
		d := &decoder{data: body}
		var v []float32
		if err := d.floats(&v); err != nil || len(v) != 768 {
			b.Fatal(err)
		}
	}
}
