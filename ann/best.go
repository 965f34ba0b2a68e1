package ann

import "slices"

// best keeps the k best hits that it was shown: a heap whose root is the worst
// of them, so that most candidates are refused by one comparison.
type best struct {
	k    int
	hits []Hit
}

// newBest takes room for at most candidates hits, whatever k is.
func newBest(k, candidates int) best {
	return best{k: k, hits: make([]Hit, 0, min(k, candidates))}
}

func (b *best) add(h Hit) {
	if len(b.hits) < b.k {
		b.hits = append(b.hits, h)
		b.up(len(b.hits) - 1)
		return
	}
	if !h.better(b.hits[0]) {
		return
	}
	b.hits[0] = h
	b.down(0)
}

func (b *best) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !b.hits[parent].better(b.hits[i]) {
			return
		}
		b.hits[parent], b.hits[i] = b.hits[i], b.hits[parent]
		i = parent
	}
}

func (b *best) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(b.hits) {
			return
		}
		if child+1 < len(b.hits) && b.hits[child].better(b.hits[child+1]) {
			child++
		}
		if !b.hits[i].better(b.hits[child]) {
			return
		}
		b.hits[i], b.hits[child] = b.hits[child], b.hits[i]
		i = child
	}
}

// sorted gives the hits best first and ends the use of b.
func (b *best) sorted() []Hit {
	slices.SortFunc(b.hits, func(x, y Hit) int {
		if x.better(y) {
			return -1
		}
		return 1 // no two hits have the same slot
	})
	return b.hits
}
