package main

import (
	"cmp"
	"math"
	"slices"
)

// eigenvectors returns the eigenvectors of a symmetric matrix, which it destroys, by falling eigenvalue. Jacobi's method:
// each rotation makes one number off the diagonal zero; slow (20 s for 384) and as exact as it is simple.
func eigenvectors(m [][]float64) [][]float64 {
	n := len(m)
	v := make([][]float64, n) // rows become the eigenvectors
	for i := range v {
		v[i] = make([]float64, n)
		v[i][i] = 1
	}
	for range 60 {
		if offDiagonal(m) < 1e-22*diagonal(m) {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(m, v, p, q)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m[b][b], m[a][a]) })
	sorted := make([][]float64, n)
	for i, at := range order {
		sorted[i] = v[at]
		faceForward(sorted[i])
	}
	return sorted
}

func offDiagonal(m [][]float64) (sum float64) {
	for i, row := range m {
		sum += dot(row[:i], row[:i])
	}
	return sum
}

func diagonal(m [][]float64) (sum float64) {
	for i, row := range m {
		sum += float64(row[i] * row[i])
	}
	return sum
}

// rotate turns rows and columns p and q so that m[p][q] becomes zero.
func rotate(m, v [][]float64, p, q int) {
	if m[p][q] == 0 {
		return
	}
	theta := (m[q][q] - m[p][p]) / (2 * m[p][q])
	t := 1 / (math.Abs(theta) + math.Sqrt(float64(theta*theta)+1))
	if theta < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(float64(t*t)+1)
	s := t * c
	for k := range m {
		x, y := m[k][p], m[k][q]
		m[k][p], m[k][q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
	turn(m[p], m[q], c, s)
	turn(v[p], v[q], c, s)
}

func turn(a, b []float64, c, s float64) {
	for k, x := range a {
		y := b[k]
		a[k], b[k] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
}

// faceForward chooses the sign by which the largest number is above zero.
func faceForward(v []float64) {
	largest := 0.0
	for _, x := range v {
		if math.Abs(x) > math.Abs(largest) {
			largest = x
		}
	}
	if largest < 0 {
		for i := range v {
			v[i] = -v[i]
		}
	}
}
