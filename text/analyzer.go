package text

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Analyzer turns text into terms by the rules of one language. It is immutable in all that a caller can see and safe
// for concurrent use; inside it remembers the terms of words it has seen, in a cache of fixed size.
type Analyzer struct {
	lang  language
	cache cache
}

// Document is what an index needs to know of one text. Its strings are shared with the analyzer and never hold on to
// the text.
type Document struct {
	// Terms are the distinct terms of the text with their counts, sorted by Text. Stop words are among them, each
	// behind an underscore ("_the"), so that a cue of nothing but stop words finds something; they are not counted in
	// Length.
	Terms []Term
	// Length is the number of tokens that are not stop words, with repetition.
	Length int
}

// Term is a term and how often it occurs.
type Term struct {
	Text  string
	Count int
}

// Query is a cue as distinct terms, in the order in which they first occur. It is a value: an index only reads it.
type Query struct {
	Terms []Term
	// Near are the terms near to each of Terms, by its place; nil, or shorter than Terms, where there are none.
	Near [][]Near
}

// maxQueryTerms bounds the distinct terms of a query, and with them the time that a search takes: a cue may be a whole
// page. Later terms are dropped.
const maxQueryTerms = 512

// Language returns the code of the analyzer's language, as Languages lists it.
func (a *Analyzer) Language() string { return a.lang.code }

// Version names the rules that make the terms: the language and the version of its analysis, such as "en/1". Terms of
// different versions must not meet in one index; give it to NewIndex and LoadIndex in Params.Analysis.
func (a *Analyzer) Version() string { return fmt.Sprintf("%s/%d", a.lang.code, rulesVersion) }

// Analyze returns the terms of a document. Title and body are searched alike: a word counts the same in either.
func (a *Analyzer) Analyze(title, body string) Document {
	s := scratchPool.Get().(*scratch)
	defer s.release()
	s.terms = a.tokens(s.terms[:0], title, true)
	s.terms = a.tokens(s.terms, body, true)
	d := Document{Length: s.content()}
	slices.Sort(s.terms)
	distinct := 0
	for i, t := range s.terms {
		if i == 0 || t != s.terms[i-1] {
			distinct++
		}
	}
	d.Terms = make([]Term, 0, distinct)
	for i, t := range s.terms {
		if i > 0 && t == s.terms[i-1] {
			d.Terms[len(d.Terms)-1].Count++
		} else {
			d.Terms = append(d.Terms, Term{Text: t, Count: 1})
		}
	}
	return d
}

// Stem returns the term of a single word in lower case, or "" for a stop word and for what is not one term.
func (a *Analyzer) Stem(word string) string {
	terms := a.lang.terms(nil, a.lang.normal(word)) // not by the cache: who asks for all words of a table would empty it
	if len(terms) != 1 || terms[0][0] == stopMark {
		return ""
	}
	return terms[0]
}

// Query returns the terms of a cue. Stop words are dropped, unless there is nothing else.
func (a *Analyzer) Query(text string) Query {
	s := scratchPool.Get().(*scratch)
	defer s.release()
	s.terms = a.tokens(s.terms[:0], text, false)
	keepStops := s.content() == 0
	at := make(map[string]int, min(len(s.terms), maxQueryTerms))
	var q Query
	for _, t := range s.terms {
		if t[0] == stopMark && !keepStops {
			continue
		}
		if i, ok := at[t]; ok {
			q.Terms[i].Count++
		} else if len(q.Terms) < maxQueryTerms {
			at[t] = len(q.Terms)
			q.Terms = append(q.Terms, Term{Text: t, Count: 1})
		}
	}
	return q
}

// tokens appends the terms of a text in order. A run of dense runes gives, in a document (singles), each rune and each
// pair of neighbours; in a cue the pairs, or the rune where it stands alone: so a cue of one character finds every text
// that holds it, and a cue of more is not drowned by the characters it is made of.
func (a *Analyzer) tokens(dst []string, s string, singles bool) []string {
	run := denseRun{singles: singles}
	for i := 0; i < len(s); {
		end := segment(s, i)
		seg := s[i:end]
		i = end
		if seg[0] < utf8.RuneSelf && !isPlain(seg[0]) && len(seg) == 1 {
			dst = run.end(dst)
			continue
		}
		if e := a.cache.get(seg); e != nil {
			dst = append(run.end(dst), e.terms...)
			continue
		}
		dst = a.analyzeSegment(dst, seg, &run)
	}
	return run.end(dst)
}

// analyzeSegment appends the terms of a segment that the cache does not know, and tells the cache if it may.
func (a *Analyzer) analyzeSegment(dst []string, seg string, run *denseRun) []string {
	if term, ok := a.lang.names[seg]; ok {
		return append(run.end(dst), term)
	}
	normal := a.lang.normal(seg)
	if strings.IndexFunc(normal, dense) >= 0 {
		return a.analyzeDense(dst, normal, run)
	}
	dst = run.end(dst)
	from := len(dst)
	dst = a.lang.terms(dst, normal)
	for i := from; i < len(dst); i++ {
		dst[i] = strings.Clone(dst[i]) // the term must not keep the text alive
	}
	a.cache.put(seg, dst[from:])
	return dst
}

// analyzeDense appends the terms of a segment in which dense runes occur, perhaps beside others (a Latin word that
// touches a Hangul one). A mark belongs to the rune before it.
func (a *Analyzer) analyzeDense(dst []string, s string, run *denseRun) []string {
	for s != "" {
		if i := strings.IndexFunc(s, dense); i != 0 {
			if i < 0 {
				i = len(s)
			}
			dst = run.end(dst)
			from := len(dst)
			dst = a.lang.terms(dst, s[:i])
			for j := from; j < len(dst); j++ {
				dst[j] = strings.Clone(dst[j])
			}
			s = s[i:]
			continue
		}
		n := unitLen(s)
		dst = run.add(dst, strings.Clone(s[:n]))
		s = s[n:]
	}
	return dst
}

// unitLen returns the length in bytes of the first rune of s with the marks that follow it, up to a quarter of
// maxTermBytes.
func unitLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !unicode.Is(unicode.M, r) || n+size > maxTermBytes/4 {
			break
		}
		n += size
	}
	return n
}

// denseRun pairs neighbouring dense runes of one text.
type denseRun struct {
	singles bool   // whether each rune is a term by itself too
	last    string // the rune before, "" where the run begins
	paired  bool   // whether last is already part of a pair
}

// add appends what the next rune of the run completes.
func (r *denseRun) add(dst []string, unit string) []string {
	if r.singles {
		dst = append(dst, unit)
	}
	if r.last != "" {
		dst = append(dst, r.last+unit)
		r.paired = true
	}
	r.last = unit
	return dst
}

// end closes the run: in a cue a rune that found no neighbour is a term.
func (r *denseRun) end(dst []string) []string {
	if r.last != "" {
		if !r.singles && !r.paired {
			dst = append(dst, r.last)
		}
		r.last, r.paired = "", false
	}
	return dst
}

// scratch is the working memory of one analysis, shared by all analyzers.
type scratch struct {
	terms []string
}

// maxScratchTerms bounds what an analysis gives back to the pool; that of a longer text is left to the collector.
const maxScratchTerms = 1 << 14

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// release gives the scratch back.
func (s *scratch) release() {
	if cap(s.terms) > maxScratchTerms {
		return
	}
	clear(s.terms[:cap(s.terms)]) // the pool must not keep terms alive
	s.terms = s.terms[:0]
	scratchPool.Put(s)
}

// content returns how many of the terms are not stop words.
func (s *scratch) content() int {
	n := 0
	for _, t := range s.terms {
		if t[0] != stopMark {
			n++
		}
	}
	return n
}

// cacheSlots and cacheKeyMax bound the cache of one language: 16,384 words of up to 32 bytes, some 2 MiB when
// full. It holds most words of a text; stemming one takes ten times as long as finding it here.
const (
	cacheSlots  = 1 << 14
	cacheKeyMax = 32
)

// cache maps segments to their terms. It is lossy: a word has two slots next to each other and takes the place of the
// one that has been there for longer, so it needs no lock, no list and no second thought about its size. Two at a time
// may lose a word, which is stemmed once more. The slots are made on first use.
type cache struct {
	once  sync.Once
	seed  maphash.Seed
	slots []atomic.Pointer[cached]
}

// cached is a segment and its terms; immutable once stored. Both lie in it, as long as there is one term: to follow
// pointers through memory is what a look at the cache takes its time for.
type cached struct {
	size  uint8
	key   [cacheKeyMax]byte
	terms []string
	first [1]string // what terms has, when there is one
}

func (e *cached) is(segment string) bool { return e != nil && string(e.key[:e.size]) == segment }

// slot returns the first place of a segment; the other is next to it (place^1).
func (c *cache) slot(segment string) uint64 {
	c.once.Do(func() {
		c.seed = maphash.MakeSeed()
		c.slots = make([]atomic.Pointer[cached], cacheSlots)
	})
	return maphash.String(c.seed, segment) % cacheSlots
}

// get returns what is known of a segment, or nil.
func (c *cache) get(segment string) *cached {
	if len(segment) > cacheKeyMax {
		return nil
	}
	at := c.slot(segment)
	if e := c.slots[at].Load(); e.is(segment) {
		return e
	}
	if e := c.slots[at^1].Load(); e.is(segment) {
		return e
	}
	return nil
}

// put remembers the terms of a segment, copying both.
func (c *cache) put(segment string, terms []string) {
	if len(segment) > cacheKeyMax {
		return
	}
	e := &cached{size: uint8(len(segment))}
	copy(e.key[:], segment)
	e.terms = append(e.first[:0], terms...)
	at := c.slot(segment)
	if old := c.slots[at].Load(); old != nil {
		c.slots[at^1].Store(old)
	}
	c.slots[at].Store(e)
}
