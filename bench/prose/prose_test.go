package prose

import (
	"math"
	"sort"
	"strings"
	"testing"
)

func TestSameSeedSameWords(t *testing.T) {
	a, b, c := New(1), New(1), New(2)
	pa, pb, pc := a.Passage(3, 80), b.Passage(3, 80), c.Passage(3, 80)
	if pa != pb {
		t.Errorf("one seed said\n%s\nand\n%s", pa, pb)
	}
	if pa == pc {
		t.Error("two seeds said the same")
	}
	if n := len(strings.Fields(pa)); n < 75 || n > 95 {
		t.Errorf("80 words are %d", n)
	}
}

// TestZipf wants the frequency of the r-th word to fall about as 1/r.
func TestZipf(t *testing.T) {
	s := New(1)
	count := map[string]int{}
	for range 200_000 {
		count[s.Word()]++
	}
	var n []int
	for _, c := range count {
		n = append(n, c)
	}
	sort.Sort(sort.Reverse(sort.IntSlice(n)))
	slope := (math.Log(float64(n[999])) - math.Log(float64(n[9]))) / (math.Log(1000) - math.Log(10))
	if slope > -0.9 || slope < -1.2 {
		t.Errorf("log frequency falls by %.2f a log rank, want about -1", slope)
	}
}

func TestVectorsStandInClusters(t *testing.T) {
	s := New(1)
	c, d := s.Centre(768), s.Centre(768)
	near, far := s.Near(c, 0.5), s.Near(d, 0.5)
	if a, b := dot(near, c), dot(far, c); a < 0.8 || math.Abs(b) > 0.2 {
		t.Errorf("to its own centre %.2f, to another %.2f", a, b)
	}
	if l := dot(near, near); math.Abs(l-1) > 1e-5 {
		t.Errorf("its length is %f", l)
	}
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
