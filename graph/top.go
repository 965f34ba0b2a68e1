package graph

import "slices"

// top keeps the best of what it was shown: a heap with the worst of them on top, so that
// most are refused by one comparison. compare is negative when a comes before b, and 0 for
// none but the same.
type top[T any] struct {
	limit   int
	compare func(a, b T) int
	items   []T
}

// full says whether one has to be better than worst to be kept.
func (t *top[T]) full() bool { return len(t.items) >= t.limit }

// worst is the one that goes next; there is one.
func (t *top[T]) worst() *T { return &t.items[0] }

func (t *top[T]) add(x T) {
	if !t.full() {
		t.items = append(t.items, x)
		h := t.items
		for i := len(h) - 1; i > 0 && t.compare(h[i], h[(i-1)/2]) > 0; i = (i - 1) / 2 {
			h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		}
		return
	}
	if t.limit == 0 || t.compare(x, t.items[0]) > 0 {
		return
	}
	h := t.items
	h[0] = x
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(h) {
			return
		}
		if down+1 < len(h) && t.compare(h[down+1], h[down]) > 0 {
			down++
		}
		if t.compare(h[i], h[down]) > 0 {
			return
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}

// sorted gives them, the best first, and ends the use of t.
func (t *top[T]) sorted() []T {
	slices.SortFunc(t.items, t.compare)
	return t.items
}
