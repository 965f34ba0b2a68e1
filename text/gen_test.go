package text

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// corpus makes documents of words drawn by Zipf's law, as natural text has them: word i occurs about 1/i as often as
// the most frequent.
type corpus struct {
	rng  *rand.Rand
	zipf *rand.Zipf
}

const vocabulary = 200_000

func newCorpus(seed uint64) *corpus {
	rng := rand.New(rand.NewPCG(seed, 0))
	return &corpus{rng, rand.NewZipf(rng, 1.07, 4, vocabulary-1)}
}

// word returns a word. The most frequent are English stop words, as in real text.
func (c *corpus) word() string {
	i := c.zipf.Uint64()
	if i < uint64(len(frequent)) {
		return frequent[i]
	}
	return fmt.Sprintf("w%xq", i*2654435761%(1<<24))
}

var frequent = strings.Fields("the of and to in a is that for it as was with be by on not he his but at are this have from which one had they you were her an would there we has been if will what their who can so no when them")

func (c *corpus) text(words int) string {
	var b strings.Builder
	for range words {
		b.WriteString(c.word())
		b.WriteByte(' ')
	}
	return b.String()
}

// passage returns a text of 60 to 100 words.
func (c *corpus) passage() string { return c.text(60 + c.rng.IntN(41)) }

// question returns about ten words, as they stand in a text.
func (c *corpus) question() string { return c.text(8 + c.rng.IntN(5)) }

// indexed returns an index of n passages, documents 0 to n-1.
func indexed(tb testing.TB, n int) *Index {
	tb.Helper()
	c, a := newCorpus(1), analyzer(tb, "en")
	x := NewIndex(Params{Analysis: a.Version()})
	for i := range n {
		x.Put(uint32(i), a.Analyze("", c.passage()))
	}
	return x
}
