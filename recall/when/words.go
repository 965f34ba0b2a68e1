package when

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// word is a word or number of a text.
type word struct {
	low      string // in small letters, without 's behind it
	from, to int    // bytes in the text
	capital  bool
}

// split takes a text apart. Hyphens hold digits together (2021-03-05) and part words
// (mid-2021).
func split(text string) (words []word) {
	for i := 0; i < len(text) && len(words) < maxWords; {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !inWord(r) {
			i += n
			continue
		}
		end := wordEnd(text, i)
		w := word{from: i, to: end, capital: unicode.IsUpper(r)}
		w.low = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text[i:end]), "'s"), "’s")
		if w.low != "" {
			words = append(words, w)
		}
		i = end
	}
	return words
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordEnd(text string, i int) int {
	digits := isDigit(text[i])
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		next, _ := utf8.DecodeRuneInString(text[i+n:])
		joins := (r == '\'' || r == '’') && unicode.IsLetter(next) || r == '-' && digits && unicode.IsDigit(next)
		if !inWord(r) && !joins {
			break
		}
		i += n
	}
	return i
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

var monthNames = map[string]time.Month{"january": 1, "jan": 1, "february": 2, "feb": 2, "march": 3, "april": 4, "apr": 4, "may": 5, "june": 6, "jun": 6,
	"july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sep": 9, "sept": 9, "october": 10, "oct": 10, "november": 11, "nov": 11, "december": 12, "dec": 12}

var seasons = map[string]time.Month{"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}

var weekdays = map[string]time.Weekday{"monday": 1, "tuesday": 2, "wednesday": 3, "thursday": 4, "friday": 5, "saturday": 6, "sunday": 0}

var numbers = map[string]int{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
	"twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100}

// counted are words behind a number that make it no year.
var counted = map[string]bool{"people": true, "words": true, "times": true, "m": true, "km": true, "kg": true, "metres": true, "meters": true, "miles": true,
	"dollars": true, "euros": true, "pounds": true, "points": true, "pages": true, "feet": true, "calories": true, "steps": true, "percent": true,
	"members": true, "copies": true, "hours": true, "minutes": true, "seconds": true, "days": true, "weeks": true, "months": true, "years": true}

// numberOf reads a count of up to six digits.
func numberOf(w string) (int, bool) {
	if n, ok := numbers[w]; ok {
		return n, true
	}
	return digits(w, 1, 6)
}

// digits reads plain digits, so many of them.
func digits(w string, least, most int) (n int, ok bool) {
	if len(w) < least || len(w) > most {
		return 0, false
	}
	for i := range len(w) {
		if !isDigit(w[i]) {
			return 0, false
		}
		n = 10*n + int(w[i]-'0')
	}
	return n, true
}

// dayOf reads a day of the month: 5, 05, 5th.
func dayOf(w string) (int, bool) {
	for _, s := range []string{"st", "nd", "rd", "th"} {
		w = strings.TrimSuffix(w, s)
	}
	d, ok := digits(w, 1, 2)
	return d, ok && d >= 1 && d <= 31
}

// yearOf reads a year that is written with four digits, of 1000 to 2999.
func yearOf(w string) (int, bool) {
	y, ok := digits(w, 4, 4)
	return y, ok && y >= 1000 && y < 3000
}

// decadeOf reads 1990s, and 90s as the latest that has begun.
func decadeOf(w string, now int) (int, bool) {
	w, ok := strings.CutSuffix(w, "s")
	if !ok || !strings.HasSuffix(w, "0") {
		return 0, false
	}
	if y, ok := yearOf(w); ok {
		return y, true
	}
	d, ok := digits(w, 2, 2)
	if y := now/100*100 + d; y > now {
		return y - 100, ok
	} else {
		return y, ok
	}
}
