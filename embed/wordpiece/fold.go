package wordpiece

import (
	"slices"
	"sort"
)

// span is a range of code points, both ends in it.
type span struct{ from, to uint32 }

// in says whether a rune is in one of the spans, which are in order.
func in(spans []span, r rune) bool {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].to >= uint32(r) })
	return i < len(spans) && spans[i].from <= uint32(r)
}

// foldOf returns what a rune becomes: one rune, or many.
func foldOf(r rune) (to rune, many string) {
	i, ok := slices.BinarySearch(foldFrom[:], uint32(r))
	switch {
	case !ok:
		return r, ""
	case foldTo[i] >= foldMany:
		return 0, folds[foldTo[i]-foldMany]
	}
	return rune(foldTo[i]), ""
}

const (
	hangulBase = 0xAC00
	hangulLast = 0xD7A3
)

func isHangul(r rune) bool { return r >= hangulBase && r <= hangulLast }

// What a character is to a cutter.
const (
	gone = iota
	space
	letter
	mark
)

// asciiFold is what an ASCII character is and becomes.
type asciiFold struct{ kind, to byte }

// ascii is the same as the tables say, for the characters that nearly all are.
var ascii = func() (t [128]asciiFold) {
	for r := range rune(len(t)) {
		to, _ := foldOf(r)
		t[r] = asciiFold{kindOf(r), byte(to)}
	}
	return t
}()

func kindOf(r rune) byte {
	switch {
	case in(dropped[:], r):
		return gone
	case in(spaces[:], r):
		return space
	case in(punctuation[:], r):
		return mark
	}
	return letter
}
