package rules

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SpanKind says what a span looks like.
type SpanKind uint8

// The kinds of span.
const (
	SpanName   SpanKind = iota // words with capital letters, two or more
	SpanDate                   // 2023-05-08, 8 May 2023, May 8, 2023, May 2023
	SpanNumber                 // four digits or more
	SpanID                     // letters and digits, or parts joined by - _ . / : @: ERR-1001, a3f9, ada@example.com
)

// Span is a piece of text that is likely to mean one thing wherever it stands.
type Span struct {
	From, To int // bytes of the text
	Kind     SpanKind
}

// spansMost bounds what is taken from one text, and lookedAt how much of it is
// looked at: what a long text is about stands in its first pages.
const (
	spansMost = 256
	lookedAt  = 64 << 10
)

// Spans gives the names, dates, numbers and ids of a text by their looks, in
// order and without overlap.
func Spans(text string) []Span {
	text = text[:min(len(text), lookedAt)]
	r := reader{text: text}
	for r.next() && len(r.spans) < spansMost {
		switch {
		case r.date():
		case r.code():
		case r.name():
		}
	}
	return r.spans
}

// reader goes over the chunks of a text: what stands between spaces, without the
// punctuation round it.
type reader struct {
	text     string
	at       int
	from, to int  // the chunk
	ends     bool // punctuation follows it
	spans    []Span
}

func (r *reader) next() bool {
	for r.at < len(r.text) {
		c, n := utf8.DecodeRuneInString(r.text[r.at:])
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			break
		}
		r.at += n
	}
	if r.at >= len(r.text) {
		return false
	}
	r.from = r.at
	end := strings.IndexFunc(r.text[r.at:], unicode.IsSpace)
	if end < 0 {
		end = len(r.text) - r.at
	}
	r.at += end
	chunk := strings.TrimRightFunc(r.text[r.from:r.at], func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	r.to = r.from + len(chunk)
	r.ends = r.to < r.at
	return true
}

func (r *reader) chunk() string { return r.text[r.from:r.to] }

func (r *reader) add(from, to int, k SpanKind) {
	r.spans = append(r.spans, Span{from, to, k})
}

// tries runs a rule that may take several chunks, and goes back if it fails.
func (r *reader) tries(rule func() bool) bool {
	before := *r
	if rule() {
		return true
	}
	*r = before
	return false
}

func (r *reader) date() bool {
	from := r.from
	switch s := r.chunk(); {
	case isISODate(s):
		r.add(from, r.to, SpanDate)
		return true
	case isDay(s): // 8 May 2023
		return r.tries(func() bool {
			return r.next() && isMonth(r.chunk()) && r.next() && isYear(r.chunk()) && r.took(from)
		})
	case isMonth(s): // May 2023, May 8, 2023
		return r.tries(func() bool {
			return r.next() && (isYear(r.chunk()) || isDay(r.chunk()) && r.next() && isYear(r.chunk())) && r.took(from)
		})
	}
	return false
}

func (r *reader) took(from int) bool {
	r.add(from, r.to, SpanDate)
	return true
}

func isISODate(s string) bool {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	return digits(s[:4]) && digits(s[5:7]) && digits(s[8:10]) && (len(s) == 10 || s[10] == 'T')
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isDay(s string) bool {
	for _, suffix := range []string{"st", "nd", "rd", "th"} {
		s = strings.TrimSuffix(s, suffix)
	}
	return len(s) <= 2 && digits(s)
}

func isYear(s string) bool { return len(s) == 4 && digits(s) }

var months = map[string]bool{
	"jan": true, "feb": true, "mar": true, "apr": true, "may": true, "jun": true, "jul": true, "aug": true, "sep": true, "oct": true, "nov": true, "dec": true,
	"january": true, "february": true, "march": true, "april": true, "june": true, "july": true, "august": true, "september": true, "october": true, "november": true, "december": true,
}

func isMonth(s string) bool { return len(s) <= 9 && months[strings.ToLower(s)] }

// code finds numbers and ids.
func (r *reader) code() bool {
	letters, number, joints := 0, 0, 0
	s := r.chunk()
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			number++
		case unicode.IsLetter(c):
			letters++
		case strings.ContainsRune("-_./:@#", c):
			joints++
		case c == ',' || c == '\'' || c == '’':
		default:
			return false
		}
	}
	switch {
	case number > 0 && letters > 0 && len(s) >= 4,
		joints > 0 && strings.ContainsAny(s, "@_/") && letters > 0:
		r.add(r.from, r.to, SpanID)
	case number >= 4 && letters == 0:
		r.add(r.from, r.to, SpanNumber)
	default:
		return false
	}
	return true
}

// small are the words that may stand inside a name.
var small = map[string]bool{"of": true, "the": true, "and": true, "de": true, "la": true, "von": true, "van": true, "di": true, "da": true, "for": true, "in": true}

// nameChunksMost is how many words a name by its looks has at most.
const nameChunksMost = 8

// name finds two or more words with capital letters, small ones between them. The
// first word of a sentence has one anyway, so it counts only before another.
func (r *reader) name() bool {
	if !raised(r.chunk()) || small[strings.ToLower(r.chunk())] {
		return false
	}
	from, to, words := r.from, r.to, 1
	last := *r
	for chunks := 1; chunks < nameChunksMost && !r.ends && r.next(); chunks++ {
		if raised(r.chunk()) {
			to, words, last = r.to, words+1, *r
			continue
		}
		if !small[r.chunk()] {
			break
		}
	}
	*r = last
	if words < 2 {
		return false
	}
	r.add(from, to, SpanName)
	return true
}

func raised(s string) bool {
	c, n := utf8.DecodeRuneInString(s)
	return unicode.IsUpper(c) && n < len(s) && !strings.ContainsFunc(s, unicode.IsDigit)
}
