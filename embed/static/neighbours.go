package static

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/vector"
)

// Neighbour is a word, or a class of words, near to another: its weight is 0.8 (Cosine - 0.4) / 0.6, so 0 at the floor
// and 0.8 for a word that is the same but for its letters.
type Neighbour = embed.Neighbour

const (
	floor  = 0.4 // the least cosine of a neighbour
	counts = 0.8 // the weight of a neighbour at cosine 1
)

// mostNeighbours is how many are found and kept for a word.
const mostNeighbours = 64

// Thesaurus tells which words are near to which, or which classes of words: a text index that knows stems wants to know
// which stems are near. The vector of a class is the mean of those of its words. It does not change: safe for concurrent
// use.
type Thesaurus struct {
	names     []string
	at        map[string]int
	rows      []int8    // a row for each name
	inverse   []float32 // 1 / length of the row
	dimension int
	near      cache
}

// minBytes is the least length of a word that is near to others: what is shorter is an abbreviation of anything.
const minBytes = 3

// Thesaurus makes a thesaurus of the table's words of plain letters, 21,000 of them. class gives the class of a word,
// such as its stem, or "" for a word that is to be left out, such as a stop word; nil makes each word a class. It takes
// some 40 ms and 4 MB.
func (t *Table) Thesaurus(class func(word string) string) (*Thesaurus, error) {
	w, err := t.load()
	if err != nil {
		return nil, err
	}
	if class == nil {
		class = func(word string) string { return word }
	}
	th := &Thesaurus{at: map[string]int{}, dimension: w.dimension}
	var members []member
	for i := range w.scale {
		word := w.tokens.Token(i + w.first)
		if len(word) < minBytes || strings.IndexFunc(word, notLetter) >= 0 {
			continue
		}
		if name := class(word); name != "" {
			members = append(members, member{th.number(name), i})
		}
	}
	th.fill(w, members)
	return th, nil
}

func notLetter(r rune) bool { return r < 'a' || r > 'z' }

// member is a word of a class: its row in the table.
type member struct{ class, row int }

// number gives a class its place.
func (th *Thesaurus) number(name string) int {
	i, ok := th.at[name]
	if !ok {
		i = len(th.names)
		th.at[name], th.names = i, append(th.names, name)
	}
	return i
}

// fill sums up the rows of each class, each at length 1, and brings the sums to bytes. It goes class by class, so that
// there is one sum in memory and not twenty thousand.
func (th *Thesaurus) fill(w *words, members []member) {
	slices.SortStableFunc(members, func(a, b member) int { return a.class - b.class })
	th.rows, th.inverse = make([]int8, len(th.names)*th.dimension), make([]float32, len(th.names))
	sum := make([]float32, th.dimension)
	for i, m := range members {
		row := w.rows[m.row*w.dimension : (m.row+1)*w.dimension]
		if own := vector.DotInt8(row, row); own > 0 {
			addScaled(sum, row, float32(1/math.Sqrt(float64(own))))
		}
		if i+1 < len(members) && members[i+1].class == m.class {
			continue
		}
		into := th.rows[m.class*th.dimension : (m.class+1)*th.dimension]
		toBytes(into, sum)
		if own := vector.DotInt8(into, into); own > 0 {
			th.inverse[m.class] = float32(1 / math.Sqrt(float64(own)))
		}
		clear(sum)
	}
}

// toBytes writes v as bytes of which the largest is 127.
func toBytes(dst []int8, v []float32) {
	v = v[:len(dst)]
	top := float32(0)
	for _, x := range v {
		top = max(top, x, -x)
	}
	if top == 0 {
		return
	}
	scale := 127 / float64(top)
	for i, x := range v {
		dst[i] = int8(math.RoundToEven(float64(x) * scale))
	}
}

// Near returns the classes nearest to a class, nearest first, at most n (and 64), none below cosine .4, the class itself
// not among them; none for a class that no word of the table has. The slice is shared: only read it.
//
// It takes some 0.2 ms, and a microsecond if the class was asked for not long ago.
func (th *Thesaurus) Near(class string, n int) []Neighbour {
	i, ok := th.at[class]
	if !ok {
		return nil
	}
	near, ok := th.near.get(class)
	if !ok {
		near = th.find(i)
		th.near.put(class, near)
	}
	return near[:min(max(n, 0), len(near))]
}

func (th *Thesaurus) find(own int) []Neighbour {
	dots := make([]int32, len(th.names))
	vector.DotsInt8(th.rows[own*th.dimension:(own+1)*th.dimension], th.rows, th.dimension, dots)
	var near []Neighbour
	for i, d := range dots {
		c := min(float32(d)*th.inverse[own]*th.inverse[i], 1)
		if c > floor && i != own {
			near = append(near, Neighbour{Word: th.names[i], Cosine: c, Weight: counts * (c - floor) / (1 - floor)})
		}
	}
	slices.SortStableFunc(near, func(a, b Neighbour) int { return cmp.Compare(b.Cosine, a.Cosine) })
	return slices.Clip(near[:min(len(near), mostNeighbours)])
}

// Neighbours is Near of the thesaurus in which each word, in lower case, is a class of its own. None are given if the
// table cannot be loaded.
//
// Who indexes stems wants a Thesaurus of stems instead: to bring the neighbours of a word to their stems finds 1.6 points
// less of LoCoMo's evidence, because the forms of one word crowd out other words.
func (t *Table) Neighbours(word string, n int) []Neighbour {
	th, err := t.words()
	if err != nil {
		return nil
	}
	return th.Near(strings.ToLower(word), n)
}

// cache keeps the neighbours of words that were asked for. When it is full it is emptied: words come back soon.
type cache struct {
	mu struct {
		sync.Mutex
		near map[string][]Neighbour
	}
}

// cacheWords bounds the cache: some 6 MB if all have as many neighbours as there may be, 1 MB as words are.
const cacheWords = 4096

func (c *cache) get(word string) ([]Neighbour, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	near, ok := c.mu.near[word]
	return near, ok
}

func (c *cache) put(word string, near []Neighbour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.near == nil || len(c.mu.near) >= cacheWords {
		c.mu.near = map[string][]Neighbour{}
	}
	c.mu.near[strings.Clone(word)] = near
}
