// Package wordpiece cuts text into the tokens of an uncased BERT vocabulary, exactly as the reference does.
//
// # The problem
//
// A transformer answers for the tokens that it was trained on. One token that differs from the reference's changes the
// whole vector, quietly. The reference (the Rust crate tokenizers) classifies characters by tables of several ages of
// Unicode at once: its lower case is newer than Go's, its idea of an accent and of punctuation ten years older.
//
// # The solution
//
// The tables here are not derived from Unicode: reference/tables.py asked the reference about each of the 1,112,064
// code points, and tables.go holds the answers. They are frozen, so a new Go or a new Unicode cannot change a vector.
// In order, as in the reference:
//
//   - [CLS], [SEP], [MASK], [PAD] and [UNK], written just so, are the special tokens.
//   - Controls, formats, private use, U+0000 and U+FFFD (and so every byte that is not UTF-8) are dropped.
//   - An ideograph is a word by itself.
//   - Characters are taken apart (NFD), accents dropped, the rest lower-cased.
//   - White space ends a word; a punctuation mark is a word by itself.
//   - A word is the longest token that begins it, then the longest "##" token that goes on, and so forth. A word that
//     cannot be covered, or of more than 100 characters, is one [UNK].
//
// Tokens are found in an open hash table by the hashes of all prefixes of a word, which come out of one pass over it.
// A text that is cut off at a number of tokens is read no further than that.
//
// # What was left out
//
//   - x/text/unicode/norm: NFD would also bring marks into their canonical order. That changes no token: no vocabulary of
//     the family has a token with a mark that survives the dropping of accents, so the word is [UNK] in either order.
//   - A trie (as the reference's fast variant has): 3 MB of nodes at start for what is now a 256 KB table; the network
//     costs a thousand times as much as its tokens.
//   - Cased models: none of those that we load is one.
package wordpiece

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxWord is the most characters of a word; a longer one is [UNK]. It is the reference's.
const maxWord = 100

// Special names the tokens that every vocabulary must have.
var Special = [...]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// ErrVocabulary says that a vocabulary is not one of an uncased BERT model.
var ErrVocabulary = errors.New("not an uncased BERT vocabulary")

// Tokenizer holds a vocabulary. It does not change: safe for concurrent use.
type Tokenizer struct {
	words   []string          // by id
	special [len(Special)]int // ids, in the order of Special
	slots   []int32           // 1 + id; 0 is free
	longest int               // bytes of the longest token, without ##
}

// New makes a tokenizer of a vocabulary: one token a line, its id the number of the line. It keeps the string.
func New(vocabulary string) (*Tokenizer, error) {
	words := strings.Split(strings.TrimSuffix(vocabulary, "\n"), "\n")
	if len(words) > 1<<20 {
		return nil, fmt.Errorf("%w: %d tokens", ErrVocabulary, len(words))
	}
	t := &Tokenizer{words: words, slots: make([]int32, slotsFor(len(words)))}
	for id, w := range words {
		if err := t.add(w, id); err != nil {
			return nil, err
		}
	}
	for i, s := range Special {
		id, ok := t.ID(s)
		if !ok {
			return nil, fmt.Errorf("%w: no %s", ErrVocabulary, s)
		}
		t.special[i] = id
	}
	return t, nil
}

// slotsFor is a power of two at least twice n, so that a search ends soon.
func slotsFor(n int) int {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return size
}

func (t *Tokenizer) add(w string, id int) error {
	if w == "" {
		return fmt.Errorf("%w: token %d is empty", ErrVocabulary, id)
	}
	h, rest := hashOf(w)
	t.longest = max(t.longest, len(rest))
	i := int(h) & (len(t.slots) - 1)
	for ; t.slots[i] != 0; i = (i + 1) & (len(t.slots) - 1) {
		if t.words[t.slots[i]-1] == w {
			return fmt.Errorf("%w: token %d (%q) twice", ErrVocabulary, id, w)
		}
	}
	t.slots[i] = int32(id) + 1
	return nil
}

// Len is the number of tokens in the vocabulary.
func (t *Tokenizer) Len() int { return len(t.words) }

// Token is the text of a token: of one that goes on within a word with its "##".
func (t *Tokenizer) Token(id int) string { return t.words[id] }

// ID looks a token up by its text.
func (t *Tokenizer) ID(token string) (id int, ok bool) {
	h, rest := hashOf(token)
	return t.find(h, rest, len(rest) < len(token))
}

// Unknown is the id of [UNK].
func (t *Tokenizer) Unknown() int { return t.special[1] }

// Encode appends [CLS], the tokens of the text and [SEP], at most limit in all: what does not fit is not read.
func (t *Tokenizer) Encode(ids []int32, text string, limit int) []int32 {
	ids = append(ids, int32(t.special[2]))
	ids = t.Append(ids, text, limit-2)
	return append(ids, int32(t.special[3]))
}

// Append appends the tokens of the text, at most limit. A limit below zero means none.
func (t *Tokenizer) Append(ids []int32, text string, limit int) []int32 {
	if limit < 0 {
		limit = len(text)
	}
	c := cutter{Tokenizer: t, ids: ids, limit: len(ids) + limit}
	for len(text) > 0 && !c.full() {
		part, special := t.untilSpecial(text)
		c.cut(text[:part])
		text = text[part:]
		if special >= 0 && !c.full() {
			c.ids = append(c.ids, int32(t.special[special]))
			text = text[len(Special[special]):]
		}
	}
	return c.ids[:min(len(c.ids), c.limit)]
}

// untilSpecial returns where the first special token stands in the text, and which; -1 and the length if there is none.
func (t *Tokenizer) untilSpecial(text string) (at, special int) {
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '[')
		if i < 0 {
			return len(text), -1
		}
		from += i
		for s, name := range Special {
			if strings.HasPrefix(text[from:], name) {
				return from, s
			}
		}
		from++
	}
}

// cutter is the state of one Append.
type cutter struct {
	*Tokenizer
	ids    []int32
	limit  int
	runes  int // in the word, also those beyond maxWord, which are not kept
	length int // bytes of the word
	word   [maxWord * utf8.UTFMax]byte
}

func (c *cutter) full() bool { return len(c.ids) >= c.limit }

// cut appends the tokens of text in which no special token stands.
func (c *cutter) cut(text string) {
	for i := 0; i < len(text) && !c.full(); {
		if b := text[i]; b < utf8.RuneSelf {
			c.take(ascii[b])
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		c.takeRune(r)
		i += n
	}
	c.end()
}

// take takes an ASCII character after its folding.
func (c *cutter) take(f asciiFold) {
	switch f.kind {
	case letter:
		if c.runes < maxWord {
			c.word[c.length] = f.to
			c.length++
		}
		c.runes++
	case mark:
		c.end()
		c.word[0], c.length, c.runes = f.to, 1, 1
		c.end()
	case space:
		c.end()
	}
}

// takeRune takes a character that is not ASCII.
func (c *cutter) takeRune(r rune) {
	switch {
	case in(dropped[:], r):
	case in(spaces[:], r):
		c.end()
	case in(padded[:], r):
		c.end()
		c.fold(r)
		c.end()
	default:
		c.fold(r)
	}
}

// fold takes what a character becomes.
func (c *cutter) fold(r rune) {
	if isHangul(r) {
		c.takeHangul(r)
		return
	}
	to, many := foldOf(r)
	if many == "" {
		c.folded(to)
		return
	}
	for _, r := range many {
		c.folded(r)
	}
}

// folded takes a character that has been folded.
func (c *cutter) folded(r rune) {
	switch {
	case r < utf8.RuneSelf:
		c.take(ascii[r])
	case in(punctuation[:], r):
		c.end()
		c.put(r)
		c.end()
	default:
		c.put(r)
	}
}

func (c *cutter) put(r rune) {
	if c.runes < maxWord {
		c.length += utf8.EncodeRune(c.word[c.length:], r)
	}
	c.runes++
}

// takeHangul takes a syllable apart into its two or three letters (Unicode 3.12).
func (c *cutter) takeHangul(r rune) {
	s := r - hangulBase
	c.put(0x1100 + s/(21*28))
	c.put(0x1161 + s%(21*28)/28)
	if t := s % 28; t != 0 {
		c.put(0x11A7 + t)
	}
}

// end appends the tokens of the word, if there is one, and begins another.
func (c *cutter) end() {
	if c.runes == 0 {
		return
	}
	word, before := c.word[:c.length], len(c.ids)
	tooLong := c.runes > maxWord
	c.runes, c.length = 0, 0
	if tooLong {
		c.ids = append(c.ids, int32(c.special[1]))
		return
	}
	for from := 0; from < len(word); {
		id, n := c.longestOf(word[from:], from > 0)
		if n == 0 {
			c.ids = append(c.ids[:before], int32(c.special[1]))
			return
		}
		c.ids = append(c.ids, int32(id))
		from += n
	}
}

// longestOf finds the longest token that begins the word; n is 0 if there is none.
func (t *Tokenizer) longestOf(word []byte, inside bool) (id, n int) {
	if len(word) > t.longest {
		word = word[:t.longest]
	}
	var hashes [maxWord * utf8.UTFMax]uint64
	h := hashStart(inside)
	for i, b := range word {
		h = hashStep(h, b)
		hashes[i] = h
	}
	for n := len(word); n > 0; n-- {
		if n < len(word) && !utf8.RuneStart(word[n]) {
			continue
		}
		if id, ok := t.find(hashEnd(hashes[n-1]), string(word[:n]), inside); ok {
			return id, n
		}
	}
	return 0, 0
}

// find looks for a token by its hash and its text without "##".
func (t *Tokenizer) find(h uint64, rest string, inside bool) (id int, ok bool) {
	for i := int(h) & (len(t.slots) - 1); t.slots[i] != 0; i = (i + 1) & (len(t.slots) - 1) {
		w := t.words[t.slots[i]-1]
		if !inside && w == rest || inside && len(w) == len(rest)+2 && w[:2] == "##" && w[2:] == rest {
			return int(t.slots[i] - 1), true
		}
	}
	return 0, false
}

// hashOf hashes a token of the vocabulary; rest is the token without "##". The token "##" itself, like "#", begins a
// word.
func hashOf(w string) (h uint64, rest string) {
	inside := len(w) > 2 && w[:2] == "##"
	if rest = w; inside {
		rest = w[2:]
	}
	h = hashStart(inside)
	for i := range len(rest) {
		h = hashStep(h, rest[i])
	}
	return hashEnd(h), rest
}

// The hash is FNV-1a with its high half folded into the low, because the table looks at the low bits only.
func hashStart(inside bool) uint64 {
	if inside {
		return 0x9e3779b97f4a7c15
	}
	return 0xcbf29ce484222325
}

func hashStep(h uint64, b byte) uint64 { return (h ^ uint64(b)) * 0x100000001b3 }

func hashEnd(h uint64) uint64 { return h ^ h>>32 }
