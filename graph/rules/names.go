package rules

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/engramdb/engram/memory"
)

// Names finds known names in text: literal matches of whole words, whatever
// their case and the marks between them. It holds no lock; Find may run at the
// same time as itself.
//
// A name is the hashes of its words, one on the other. There is an entry for
// each beginning of a name, so a text is read once: at each word the longest
// name that begins there is looked for, one look a word while there is hope.
// The words themselves are not kept: two names whose 64-bit hashes are equal
// would be one, which among a million names has a chance of 1 in 30 million.
type Names struct {
	prefixes map[uint64]prefix
	shared   map[uint64][]memory.Ordinal // of a name that several nodes have: all but the first
	pairs    int
}

// prefix is a beginning of names.
type prefix struct {
	names  uint32         // that begin so, or are it
	holder memory.Ordinal // whose name it is itself; 0: nobody's
}

// NewNames makes an empty set of names.
func NewNames() *Names {
	return &Names{prefixes: map[uint64]prefix{}, shared: map[uint64][]memory.Ordinal{}}
}

// Bounds of a name. What is longer is not matched: it is a sentence.
const (
	nameWordsMost = 12
	// nameLettersLeast is how many letters or digits a name has at least, or one
	// rune of a script that has no spaces: "a" or "7" would match everywhere.
	nameLettersLeast = 2
	// HoldersMost is how many nodes may share a name; with more it is no name but
	// a word, and matches nothing until some are gone.
	HoldersMost = 8
)

// Add makes a name known for a node; a name that cannot be matched is left out.
// It says whether the name is new for the node.
func (x *Names) Add(name string, node memory.Ordinal) bool {
	path := pathOf(name)
	if path == nil {
		return false
	}
	last := path[len(path)-1]
	if slices.Contains(x.holders(last, nil), node) {
		return false
	}
	x.pairs++
	for _, h := range path {
		p := x.prefixes[h]
		p.names++
		x.prefixes[h] = p
	}
	p := x.prefixes[last]
	if p.holder == 0 {
		p.holder = node
		x.prefixes[last] = p
		return true
	}
	x.shared[last] = append(x.shared[last], node)
	return true
}

// Remove forgets a name of a node, and says whether it was known.
func (x *Names) Remove(name string, node memory.Ordinal) bool {
	path := pathOf(name)
	if path == nil {
		return false
	}
	last := path[len(path)-1]
	if !x.unhold(last, node) {
		return false
	}
	x.pairs--
	for _, h := range path {
		p := x.prefixes[h]
		if p.names--; p.names == 0 {
			delete(x.prefixes, h)
			continue
		}
		x.prefixes[h] = p
	}
	return true
}

// unhold takes a node out of the holders of a name.
func (x *Names) unhold(name uint64, node memory.Ordinal) bool {
	p := x.prefixes[name]
	others := x.shared[name]
	switch i := slices.Index(others, node); {
	case i >= 0:
		others = slices.Delete(others, i, i+1)
	case p.holder != node || node == 0:
		return false
	case len(others) > 0:
		p.holder = others[0]
		others = slices.Delete(others, 0, 1)
	default:
		p.holder = 0
	}
	x.prefixes[name] = p
	if len(others) == 0 {
		delete(x.shared, name)
	} else {
		x.shared[name] = others
	}
	return true
}

func (x *Names) holders(name uint64, dst []memory.Ordinal) []memory.Ordinal {
	p := x.prefixes[name]
	if p.holder == 0 {
		return dst
	}
	return append(append(dst, p.holder), x.shared[name]...)
}

// Len is the number of pairs of name and node.
func (x *Names) Len() int { return x.pairs }

// Bytes estimates the memory it takes.
func (x *Names) Bytes() int { return 28*len(x.prefixes) + 64*len(x.shared) + 4*x.pairs }

// Mention is a name in a text.
type Mention struct {
	From, To int  // bytes of the text
	Words    int  // of the name
	Raised   bool // it has a capital letter, a digit, or letters without case
	Nodes    []memory.Ordinal
}

// Find gives the names in a text, in order and without overlap, at each place the
// longest, until give returns false. Nodes belongs to the caller.
func (x *Names) Find(text string, give func(Mention) bool) {
	if len(x.prefixes) == 0 {
		return
	}
	var ring [nameWordsMost]word // words read ahead
	s := scanner{text: text}
	have, at := 0, 0
	for {
		for have < nameWordsMost && s.next() {
			ring[(at+have)%nameWordsMost] = s.word
			have++
			if have == 1 {
				if _, hope := x.prefixes[onto(0, s.hash)]; !hope {
					have = 0
				}
			}
		}
		if have == 0 {
			return
		}
		n := x.longest(&ring, at, have)
		if n == 0 {
			at, have = (at+1)%nameWordsMost, have-1
			continue
		}
		if !give(x.mention(&ring, at, n)) {
			return
		}
		at, have = (at+n)%nameWordsMost, have-n
	}
}

// longest gives the number of words of the longest name that begins at a word.
func (x *Names) longest(ring *[nameWordsMost]word, at, have int) int {
	best, h := 0, uint64(0)
	for i := range have {
		h = onto(h, ring[(at+i)%nameWordsMost].hash)
		p, ok := x.prefixes[h]
		if !ok {
			break
		}
		if p.holder != 0 && len(x.shared[h]) < HoldersMost {
			best = i + 1
		}
	}
	return best
}

func (x *Names) mention(ring *[nameWordsMost]word, at, n int) Mention {
	m := Mention{From: ring[at].from, To: ring[(at+n-1)%nameWordsMost].to, Words: n}
	h := uint64(0)
	for i := range n {
		w := &ring[(at+i)%nameWordsMost]
		h = onto(h, w.hash)
		m.Raised = m.Raised || w.raised
	}
	m.Nodes = x.holders(h, nil)
	return m
}

// pathOf gives the hashes of the beginnings of a name, the last of the whole; nil
// when it cannot be matched.
func pathOf(name string) []uint64 {
	var path []uint64
	letters, h := 0, uint64(0)
	s := scanner{text: name}
	for s.next() {
		if len(path) == nameWordsMost {
			return nil
		}
		h = onto(h, s.hash)
		path = append(path, h)
		letters += s.letters
	}
	if letters < nameLettersLeast {
		return nil
	}
	return path
}

// onto hashes a word onto those before it.
func onto(h, w uint64) uint64 {
	h = (h ^ w) * 0x9E3779B97F4A7C15
	return h ^ h>>29
}

// word is a run of letters, marks and digits, or one rune of a script that is
// written without spaces.
type word struct {
	from, to int
	hash     uint64
	raised   bool
	letters  int // 2 for a rune that is a word by itself
}

// scanner reads the words of a text. Case is folded, marks (accents that stand
// by themselves) and apostrophes inside words are dropped: O'Brien is obrien, but
// Ada's is ada.
type scanner struct {
	text string
	at   int
	word
}

const (
	classNone  = iota
	classLower // a letter or digit as it is hashed
	classUpper
	classDigit
	classApostrophe
	classBeyond // not ASCII
)

var class = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= utf8.RuneSelf:
			t[c] = classBeyond
		case 'a' <= c && c <= 'z':
			t[c] = classLower
		case 'A' <= c && c <= 'Z':
			t[c] = classUpper
		case '0' <= c && c <= '9':
			t[c] = classDigit
		case c == '\'':
			t[c] = classApostrophe
		}
	}
	return t
}()

// FNV-1a, a byte at a time, as a word is a few bytes.
const (
	hashBasis = 0xcbf29ce484222325
	hashPrime = 0x100000001b3
)

// next reads a word and says whether there was one.
func (s *scanner) next() bool {
	text, i := s.text, s.at
	for i < len(text) && (class[text[i]] == classNone || class[text[i]] == classApostrophe) {
		i++
	}
	s.word = word{from: i, to: i, hash: hashBasis}
	for i < len(text) {
		c := text[i]
		switch class[c] {
		case classLower:
			s.hash = (s.hash ^ uint64(c)) * hashPrime
		case classUpper:
			s.hash = (s.hash ^ uint64(c|0x20)) * hashPrime
			s.raised = true
		case classDigit:
			s.hash = (s.hash ^ uint64(c)) * hashPrime
			s.raised = true
		case classBeyond:
			n, more := s.rune(i)
			i += n
			if !more {
				if s.to > s.from {
					s.at = i
					return true
				}
				s.from, s.to = i, i
			} else if s.to = i; s.letters < 0 {
				s.letters, s.at = nameLettersLeast, i
				return true
			}
			continue
		case classApostrophe:
			if !s.joins(i, 1) {
				s.at = i
				return true
			}
			i++
			continue
		default:
			s.at = i
			return true
		}
		s.letters++
		i++
		s.to = i
	}
	s.at = i
	return s.to > s.from
}

// joins says whether an apostrophe of n bytes at i stands inside a word: letters
// follow, and not just the s of a possessive.
func (s *scanner) joins(i, n int) bool {
	rest := s.text[i+n:]
	if rest == "" || class[rest[0]] == classNone || class[rest[0]] == classApostrophe {
		return false
	}
	possessive := rest[0]|0x20 == 's' && (len(rest) == 1 || class[rest[1]] == classNone)
	return !possessive
}

// rune takes the rune at i into the word. It gives its bytes, and whether the word
// goes on; letters is -1 when the rune is a word by itself.
func (s *scanner) rune(i int) (n int, more bool) {
	r, n := utf8.DecodeRuneInString(s.text[i:])
	switch {
	case r == '’' || r == 'ʼ':
		return n, s.to > s.from && s.joins(i, n)
	case alone(r):
		if s.to > s.from { // ends the word before it
			return 0, false
		}
		s.from = i
		s.letters = -1
	case unicode.Is(unicode.M, r) || r == 0xAD || r == 0x200D || r == 0x200C:
		return n, s.to > s.from // dropped
	case !unicode.IsLetter(r) && !unicode.IsDigit(r):
		return n, false
	default:
		s.letters++
	}
	low := unicode.ToLower(r)
	s.raised = s.raised || low != r || !unicode.IsLower(low)
	for ; low != 0; low >>= 8 {
		s.hash = (s.hash ^ uint64(low&0xff)) * hashPrime
	}
	return n, true
}

// alone says whether a rune belongs to a script that is written without spaces.
func alone(r rune) bool {
	return r >= 0x0E00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
