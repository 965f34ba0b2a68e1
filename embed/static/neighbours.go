package static

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/engramdb/engram/vector"
)

// Neighbour is a word near to another.
type Neighbour struct {
	Word   string
	Cosine float32
	// Weight is what an occurrence of the word counts when the other was asked for: 0.8 (Cosine - 0.4) / 0.6, so 0 at the
	// floor and 0.8 for a word that is the same but for its letters.
	Weight float32
}

const (
	floor  = 0.4 // the least cosine of a neighbour
	counts = 0.8 // the weight of a neighbour at cosine 1
)

// minBytes is the least length of a word that is given as a neighbour: what is shorter is an abbreviation of anything.
const minBytes = 3

// Neighbours returns the words nearest to a word, nearest first, at most n, none below cosine .4; the word itself is not
// among them, its inflections are: who indexes stems asks for some 40, brings each to its stem, keeps the best of each
// stem, drops the word's own, and stops at 15. The word may be any: one outside of the vocabulary has the neighbours of
// the sum of its parts. None are given for what is no word, or if the table cannot be loaded. The slice is shared: only
// read it.
//
// It takes some 0.3 ms, and a microsecond if the word was asked for not long ago.
func (t *Table) Neighbours(word string, n int) []Neighbour {
	w, err := t.load()
	if err != nil {
		return nil
	}
	word = strings.ToLower(word)
	near, ok := t.near.get(word)
	if !ok {
		near = w.neighbours(word)
		t.near.put(word, near)
	}
	return near[:min(max(n, 0), len(near))]
}

// mostNeighbours is how many are found and kept for a word.
const mostNeighbours = 64

// prepareNeighbours notes the length of the rows of whole words of plain letters.
func (w *words) prepareNeighbours() {
	w.inverse = make([]float32, len(w.scale))
	for i := range w.inverse {
		if token := w.tokens.Token(i + w.first); len(token) < minBytes || strings.IndexFunc(token, notLetter) >= 0 {
			continue
		}
		row := w.rows[i*w.dimension : (i+1)*w.dimension]
		if sum := vector.DotInt8(row, row); sum > 0 {
			w.inverse[i] = float32(1 / math.Sqrt(float64(sum)))
		}
	}
}

func notLetter(r rune) bool { return r < 'a' || r > 'z' }

func (w *words) neighbours(word string) []Neighbour {
	cue := w.cue(word)
	own := vector.DotInt8(cue, cue)
	if own == 0 {
		return nil
	}
	dots := make([]int32, len(w.scale))
	vector.DotsInt8(cue, w.rows, w.dimension, dots)
	inverse := float32(1 / math.Sqrt(float64(own)))
	var near []Neighbour
	for i, d := range dots {
		c := float32(d) * inverse * w.inverse[i]
		if c <= floor {
			continue
		}
		if token := w.tokens.Token(i + w.first); token != word {
			c = min(c, 1)
			near = append(near, Neighbour{Word: token, Cosine: c, Weight: counts * (c - floor) / (1 - floor)})
		}
	}
	slices.SortStableFunc(near, func(a, b Neighbour) int { return cmp.Compare(b.Cosine, a.Cosine) })
	return slices.Clip(near[:min(len(near), mostNeighbours)])
}

// cue is the vector of a word in bytes.
func (w *words) cue(word string) []int8 {
	v := w.sum(w.tokens.Append(nil, word, 16))
	top := float32(0)
	for _, x := range v {
		top = max(top, x, -x)
	}
	cue := make([]int8, len(v))
	if top == 0 {
		return cue
	}
	for i, x := range v {
		cue[i] = int8(math.RoundToEven(float64(x * (127 / top))))
	}
	return cue
}

// cache keeps the neighbours of words that were asked for. When it is full it is emptied: words come back soon.
type cache struct {
	mu struct {
		sync.Mutex
		near map[string][]Neighbour
	}
}

const (
	cacheWords = 4096 // about 6 MB when full
	cacheBytes = 64   // a longer word is not kept
)

func (c *cache) get(word string) ([]Neighbour, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	near, ok := c.mu.near[word]
	return near, ok
}

func (c *cache) put(word string, near []Neighbour) {
	if len(word) > cacheBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.near == nil || len(c.mu.near) >= cacheWords {
		c.mu.near = map[string][]Neighbour{}
	}
	c.mu.near[strings.Clone(word)] = near
}
