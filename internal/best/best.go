// Package best keeps the best few of many: the bounded heap under every ranking.
package best

import "slices"

// Of keeps the best of what it was shown: a heap with the worst of them on top, so that
// most are refused by one comparison.
type Of[T any] struct {
	Limit   int              // how many are kept
	Compare func(a, b T) int // negative when a comes before b, 0 for none but the same
	Items   []T              // those that are kept, in the order of a heap
}

// Full says whether one has to be better than Worst to be kept.
func (k *Of[T]) Full() bool { return len(k.Items) >= k.Limit }

// Worst is the one that goes next; there is one.
func (k *Of[T]) Worst() *T { return &k.Items[0] }

// Add takes x among the best when it is.
func (k *Of[T]) Add(x T) {
	switch {
	case !k.Full():
		k.Items = append(k.Items, x)
		Up(k.Items, k.Compare)
	case k.Limit > 0 && k.Compare(x, k.Items[0]) <= 0:
		k.Items[0] = x
		Down(k.Items, k.Compare)
	}
}

// Sorted gives them, the best first, and ends the use of k.
func (k *Of[T]) Sorted() []T {
	slices.SortFunc(k.Items, k.Compare)
	return k.Items
}

// Up makes a heap of one to which an item was added at its end. What comes last by
// compare is on top.
func Up[T any](h []T, compare func(a, b T) int) { rise(h, len(h)-1, compare) }

// rise moves an item up to its place.
func rise[T any](h []T, i int, compare func(a, b T) int) {
	x := h[i]
	for i > 0 && compare(x, h[(i-1)/2]) > 0 {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = x
}

// Down makes a heap of one whose top was replaced. The gap goes down to the bottom, at
// one comparison a level, and the item up from there: it is seldom far, for most of a
// heap is its lowest levels.
func Down[T any](h []T, compare func(a, b T) int) {
	if len(h) == 0 {
		return
	}
	x, i := h[0], 0
	for child := 1; child < len(h); child = 2*i + 1 {
		if child+1 < len(h) && compare(h[child+1], h[child]) > 0 {
			child++
		}
		h[i], i = h[child], child
	}
	h[i] = x
	rise(h, i, compare)
}
