package nearest

import (
	"math"
	"slices"
	"sync"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// K is how many neighbours are asked for.
const K = 10

// Near is a vector and its score: bigger is nearer.
type Near struct {
	ID    uint32
	Score float32
}

// exactAll finds the ten nearest of each query among those that allowed lets
// through; nil lets all.
func (s *Set) exactAll(queries []float32, allowed []byte) [][]Near {
	n := len(queries) / s.Dim
	all := make([][]Near, n)
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < n; i += 2 {
				all[i] = s.exact(queries[i*s.Dim:(i+1)*s.Dim], allowed)
			}
		})
	}
	wg.Wait()
	return all
}

// exact is the plain scan.
func (s *Set) exact(q []float32, allowed []byte) []Near {
	const rows = 64
	var scores [rows]float32
	best := make([]Near, 0, K+1)
	for from := 0; from < s.N; from += rows {
		n := min(rows, s.N-from)
		s.compare(q, s.Base[from*s.Dim:(from+n)*s.Dim], scores[:n])
		for i, score := range scores[:n] {
			if allowed != nil && allowed[from+i] == 0 {
				continue
			}
			if len(best) < K || score > best[len(best)-1].Score {
				best = keep(best, Near{uint32(from + i), score})
			}
		}
	}
	return best
}

// keep puts a hit at its place in the best K.
func keep(best []Near, h Near) []Near {
	at, _ := slices.BinarySearchFunc(best, h, func(a, b Near) int {
		if a.Score >= b.Score {
			return -1
		}
		return 1
	})
	best = slices.Insert(best, at, h)
	return best[:min(len(best), K)]
}

func (s *Set) compare(q, rows, out []float32) {
	if s.Metric == memory.MetricL2 {
		vector.SquaredL2s(q, rows, s.Dim, out)
		for i := range out {
			out[i] = -out[i]
		}
		return
	}
	vector.Dots(q, rows, s.Dim, out)
}

// recall is the share of the true neighbours that was found. Whatever is as near
// as the last of them counts: equal vectors may take each other's place.
func (s *Set) recall(queries []float32, truth [][]Near, found [][]uint32) float64 {
	hit, total := 0, 0
	var one [1]float32
	for i, near := range truth {
		if len(near) == 0 {
			continue
		}
		last := float64(near[len(near)-1].Score)
		last -= 1e-6 * max(1, math.Abs(last))
		right := 0
		seen := make(map[uint32]bool, K)
		for _, id := range found[i] {
			if int(id) >= s.N || seen[id] {
				continue
			}
			seen[id] = true
			s.compare(queries[i*s.Dim:(i+1)*s.Dim], s.row(int(id)), one[:])
			if float64(one[0]) >= last {
				right++
			}
		}
		hit += min(right, len(near))
		total += len(near)
	}
	return float64(hit) / float64(max(1, total))
}
