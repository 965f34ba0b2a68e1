package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engramdb/engram/embed/wordpiece"
)

func TestParseLine(t *testing.T) {
	s, err := parseLine(`00003993 03 n 02 congener 0 living_thing(ip) 0 001 @ 00003553 n 0000 | a whole of the same kind; "lard was also used, though"; "too short"  `)
	want := []string{"congener, living thing: a whole of the same kind", "lard was also used, though", "a whole of the same kind"}
	if err != nil || !slices.Equal(s.texts(), want) {
		t.Errorf("gave %q, %v", s.texts(), err)
	}
	for _, bad := range []string{"", "1 2 n", "1 2 n zz a 0", "1 2 n 09 a 0"} {
		if _, err := parseLine(bad); err == nil {
			t.Errorf("%q is a line", bad)
		}
	}
}

func TestEigenvectors(t *testing.T) {
	const n = 12
	chance := rand.New(rand.NewPCG(1, 2))
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range i + 1 {
			m[i][j] = chance.NormFloat64()
			m[j][i] = m[i][j]
		}
	}
	before := make([][]float64, n)
	for i := range m {
		before[i] = slices.Clone(m[i])
	}
	last := math.Inf(1)
	for _, v := range eigenvectors(m) {
		image := make([]float64, n)
		for i := range image {
			image[i] = dot(before[i], v)
		}
		value := dot(image, v)
		for i := range image {
			if math.Abs(image[i]-value*v[i]) > 1e-9 {
				t.Fatalf("not an eigenvector of %v", value)
			}
		}
		if value > last {
			t.Errorf("%v after %v", value, last)
		}
		last = value
	}
}

// TestSolve finds rows of which the texts' targets are the means, and leaves the row of a token that is in none.
func TestSolve(t *testing.T) {
	tokens, err := wordpiece.New("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for range 200 {
		texts = append(texts, "a", "a b", "b", "c c b", "c")
	}
	a := newMeans(tokens, texts)
	want := []float64{0, 0, 0, 0, 0, 3, -1, 2, 5}
	target := make([]float64, len(texts))
	a.times(target, want)
	x := []float64{0, 0, 0, 0, 0, 1, 1, 1, 5}
	a.solve(x, target)
	for i, v := range want {
		if math.Abs(x[i]-v) > .1 {
			t.Errorf("row %d is %v, want %v", i, x[i], v)
		}
	}
}
