package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/sentences"
)

// Span is a part of a text: the bytes from From up to To.
type Span struct {
	From, To int
}

// PassageOptions say how long passages are. The zero value means the defaults.
type PassageOptions struct {
	// MaxBytes is the most bytes in a passage. Default 1000, about 180 English words or 330 Chinese characters: what
	// small embedding models read at once. At least 64.
	MaxBytes int
	// OverlapBytes is the most bytes that a passage repeats of the one before in the same paragraph, so that what is said
	// across a border stands whole in one of them. Default an eighth of MaxBytes, at most half of it; negative means none.
	OverlapBytes int
}

// withDefaults returns o with its zeros filled and its numbers in range.
func (o PassageOptions) withDefaults() PassageOptions {
	if o.MaxBytes == 0 {
		o.MaxBytes = 1000
	}
	o.MaxBytes = max(o.MaxBytes, 64)
	if o.OverlapBytes == 0 {
		o.OverlapBytes = o.MaxBytes / 8
	}
	o.OverlapBytes = min(max(o.OverlapBytes, 0), o.MaxBytes/2)
	return o
}

// Passages splits a text into passages at the borders of paragraphs or, where these are too far apart, of sentences
// (UAX #29), of words, of runes, in this order. The passages come in order, neither begin nor end with white space, and
// together hold all that is not white space; a text that fits is one passage, an empty one none. The caller owns the
// slice.
func Passages(body string, o PassageOptions) []Span {
	o = o.withDefaults()
	if whole := trimmed(body, Span{0, len(body)}); whole.To-whole.From <= o.MaxBytes {
		if whole.From == whole.To {
			return nil
		}
		return []Span{whole}
	}
	pieces := piecesOf(body, o.MaxBytes)
	var passages []Span
	for from := 0; from < len(pieces); {
		end := fill(pieces, from, o.MaxBytes)
		passages = append(passages, Span{pieces[from].From, pieces[end-1].To})
		if end == len(pieces) {
			break
		}
		from = resume(pieces, from, end, o)
	}
	return passages
}

// piece is a part of a text that no passage cuts.
type piece struct {
	Span
	paragraph bool // whether a paragraph ends with it
}

// piecesOf returns the sentences of a text, those that are too long in parts.
func piecesOf(body string, maxBytes int) []piece {
	var pieces []piece
	for it := sentences.FromString(body); it.Next(); {
		s := trimmed(body, Span{it.Start(), it.End()})
		if s.From == s.To {
			// A sentence ends at each line, so an empty line is a sentence by itself.
			if len(pieces) > 0 && strings.Contains(it.Value(), "\n") {
				pieces[len(pieces)-1].paragraph = true
			}
			continue
		}
		for s.To-s.From > maxBytes {
			end := s.From + wordBorder(body[s.From:s.To], maxBytes)
			pieces = append(pieces, piece{Span: trimmed(body, Span{s.From, end})})
			s = trimmed(body, Span{end, s.To})
		}
		pieces = append(pieces, piece{Span: s})
	}
	return pieces
}

// wordBorder returns the last place up to maxBytes at which s may be cut: behind white space, or else before a rune.
func wordBorder(s string, maxBytes int) int {
	if i := strings.LastIndexFunc(s[:maxBytes], unicode.IsSpace); i > maxBytes/2 {
		return i
	}
	end := maxBytes
	for end > maxBytes-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return end
}

// fill returns the end of the passage that begins with a piece: behind the last piece that ends a paragraph and leaves
// it at least half full, or else behind the last that fits.
func fill(pieces []piece, from, maxBytes int) int {
	end, paragraph := from+1, 0
	for i := from; i < len(pieces) && pieces[i].To-pieces[from].From <= maxBytes; i++ {
		end = i + 1
		if pieces[i].paragraph && pieces[i].To-pieces[from].From >= maxBytes/2 {
			paragraph = end
		}
	}
	if paragraph > 0 && end < len(pieces) {
		return paragraph
	}
	return end
}

// resume returns where the next passage begins: as many pieces before end as may be repeated, if the next piece still
// fits behind them. Nothing is said across the end of a paragraph.
func resume(pieces []piece, from, end int, o PassageOptions) int {
	next := end
	if pieces[end-1].paragraph {
		return next
	}
	for next-1 > from && pieces[end-1].To-pieces[next-1].From <= o.OverlapBytes && pieces[end].To-pieces[next-1].From <= o.MaxBytes {
		next--
	}
	return next
}

// trimmed returns a span without the white space at its ends.
func trimmed(body string, s Span) Span {
	text := body[s.From:s.To]
	s.From += len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
	s.To = s.From + len(strings.TrimSpace(text))
	return s
}
