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
		siftUp(t.items, t.above)
		return
	}
	if t.limit == 0 || t.compare(x, t.items[0]) > 0 {
		return
	}
	t.items[0] = x
	siftDown(t.items, t.above)
}

func (t *top[T]) above(a, b T) bool { return t.compare(a, b) > 0 }

// sorted gives them, the best first, and ends the use of t.
func (t *top[T]) sorted() []T {
	slices.SortFunc(t.items, t.compare)
	return t.items
}

// siftUp makes a heap of one to which an item was added at its end. above says which of two
// lies nearer to the top.
func siftUp[T any](h []T, above func(a, b T) bool) {
	for i := len(h) - 1; i > 0 && above(h[i], h[(i-1)/2]); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

// siftDown makes a heap of one whose top was replaced.
func siftDown[T any](h []T, above func(a, b T) bool) {
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(h) {
			return
		}
		if down+1 < len(h) && above(h[down+1], h[down]) {
			down++
		}
		if !above(h[down], h[i]) {
			return
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}
