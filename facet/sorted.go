package facet

import (
	"slices"
	"sort"
)

// sorted is a collection in the order of its keys that is cheap to add to: a few
// sorted runs, each more than twice as long as the next, merged as they grow. Adding in
// order appends; adding at random costs O(log n) over time; a range is found by
// a binary search in each run. Reading changes nothing.
type sorted[K any] struct {
	compare func(a, b K) int
	runs    [][]keyed[K]
}

type keyed[K any] struct {
	key K
	id  uint32
}

func (s *sorted[K]) add(key K, id uint32) {
	item := keyed[K]{key, id}
	if n := len(s.runs); n > 0 {
		run := s.runs[n-1]
		if s.compare(run[len(run)-1].key, key) <= 0 {
			s.runs[n-1] = append(run, item)
			s.settle()
			return
		}
	}
	s.runs = append(s.runs, []keyed[K]{item})
	s.settle()
}

// settle merges runs at the end until each is more than twice the next.
func (s *sorted[K]) settle() {
	for n := len(s.runs); n > 1 && len(s.runs[n-2]) <= 2*len(s.runs[n-1]); n-- {
		s.runs[n-2] = s.merge(s.runs[n-2], s.runs[n-1])
		s.runs[n-1] = nil
		s.runs = s.runs[:n-1]
	}
}

func (s *sorted[K]) merge(a, b []keyed[K]) []keyed[K] {
	out := make([]keyed[K], 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if s.compare(a[0].key, b[0].key) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// between shows the ids of the keys for which neither below nor above is true;
// keys that are below come first in the order and keys above last.
func (s *sorted[K]) between(below, above func(K) bool, show func(id uint32)) {
	for _, run := range s.runs {
		for _, item := range part(run, below, above) {
			show(item.id)
		}
	}
}

// count is how many ids between shows.
func (s *sorted[K]) count(below, above func(K) bool) int {
	n := 0
	for _, run := range s.runs {
		n += len(part(run, below, above))
	}
	return n
}

func part[K any](run []keyed[K], below, above func(K) bool) []keyed[K] {
	from := sort.Search(len(run), func(i int) bool { return !below(run[i].key) })
	to := from + sort.Search(len(run)-from, func(i int) bool { return above(run[from+i].key) })
	return run[from:to]
}

// remove drops the one item that has a key, and wipes its place.
func (s *sorted[K]) remove(key K) {
	for n, run := range s.runs {
		i := sort.Search(len(run), func(i int) bool { return s.compare(run[i].key, key) >= 0 })
		if i == len(run) || s.compare(run[i].key, key) != 0 {
			continue
		}
		s.runs[n] = slices.Delete(run, i, i+1)
		if len(s.runs[n]) == 0 {
			s.runs = slices.Delete(s.runs, n, n+1)
		}
		return
	}
}

// keep drops the items that ok refuses and wipes their places.
func (s *sorted[K]) keep(ok func(key K, id uint32) bool) {
	kept := s.runs[:0]
	for _, run := range s.runs {
		run = slices.DeleteFunc(run, func(item keyed[K]) bool { return !ok(item.key, item.id) })
		if len(run) == 0 {
			continue
		}
		if cap(run) > 4*len(run) {
			run = slices.Clone(run)
		}
		kept = append(kept, run)
	}
	clear(s.runs[len(kept):])
	s.runs = kept
	if len(kept) == 0 {
		s.runs = nil
	}
	s.settle()
}

// cut removes the items whose key is not above, in the order of keys inside each
// run, and shows them.
func (s *sorted[K]) cut(above func(K) bool, show func(key K, id uint32)) {
	kept := s.runs[:0]
	for _, run := range s.runs {
		n := sort.Search(len(run), func(i int) bool { return above(run[i].key) })
		for _, item := range run[:n] {
			show(item.key, item.id)
		}
		if n == len(run) {
			continue
		}
		if n > 0 {
			run = slices.Clone(run[n:])
		}
		kept = append(kept, run)
	}
	clear(s.runs[len(kept):])
	s.runs = kept
	s.settle()
}

func (s *sorted[K]) len() int {
	n := 0
	for _, run := range s.runs {
		n += len(run)
	}
	return n
}

func (s *sorted[K]) bytes(item int) int {
	n := 0
	for _, run := range s.runs {
		n += 24 + item*cap(run)
	}
	return n
}
