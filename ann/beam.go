package ann

import "math"

// An item is a row with its key, in one number that orders by key and then by
// row: the key's bits, made to rise, above 31 bits of row and one that says that
// the row's links were followed.
type item uint64

const followed item = 1

// maxRows is how many rows an item can tell apart.
const maxRows = 1 << 31

func newItem(key float32, row uint32) item {
	b := math.Float32bits(key)
	return item(b^(uint32(int32(b)>>31)|1<<31))<<32 | item(row)<<1
}

func (i item) row() uint32 { return uint32(i) >> 1 }

func (i item) key() float32 {
	b := uint32(i >> 32)
	return math.Float32frombits(b ^ (uint32(^int32(b)>>31) | 1<<31))
}

// A beam keeps the size best items that it was shown, best first. Sizes are some
// tens to some hundreds: moving what comes after is then quicker than a heap.
type beam struct {
	size  int
	items []item
}

func (b *beam) reset(size int) {
	b.size, b.items = size, b.items[:0]
}

// worst is what an item has to be below to be kept.
func (b *beam) worst() item {
	if len(b.items) < b.size {
		return math.MaxUint64
	}
	return b.items[len(b.items)-1]
}

// limit is the key of worst: what is above it is not below worst.
func (b *beam) limit() float32 {
	if len(b.items) < b.size {
		return math.MaxFloat32
	}
	return b.items[len(b.items)-1].key()
}

// add keeps it, when it is below worst, and gives its place. Short beams are moved
// along one by one, which guesses no branch wrong but the last.
func (b *beam) add(it item) int {
	n := len(b.items)
	if n < b.size {
		b.items = append(b.items, 0)
		n++
	}
	items := b.items[:n]
	i := n - 1
	if n > shortBeam {
		low, high := 0, n-1
		for low < high {
			mid := int(uint(low+high) >> 1)
			if items[mid] < it {
				low = mid + 1
			} else {
				high = mid
			}
		}
		copy(items[low+1:], items[low:n-1])
		i = low
	} else {
		for ; i > 0 && items[i-1] > it; i-- {
			items[i] = items[i-1]
		}
	}
	items[i] = it
	return i
}

const shortBeam = 48

// A queue is a heap of items, the best first.
type queue []item

func (q *queue) push(it item) {
	h := append(*q, it)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent] <= it {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = it
	*q = h
}

func (q *queue) pop() item {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if last <= h[child] {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top
}
