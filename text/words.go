package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/words"
	"golang.org/x/text/unicode/norm"
)

// maxTermBytes is the longest term kept. A longer word (a key, a line of base64) is cut at the last whole rune before
// it, in documents and cues alike, so that its beginning still finds it.
const maxTermBytes = 64

// stopMark begins the term of a stop word. Words are split at underscores, so no other term can begin with it.
const stopMark = '_'

// segment returns the end of the UAX #29 segment of s that begins at i, which must be a boundary. Nearly all segments
// are ASCII words before a space or punctuation, and spaces: those are told here, the rest by the library. Starting it
// in the middle of a text is right at any boundary: no rule looks back beyond one, but for the pairing of flags, which
// begins anew at each flag.
func segment(s string, i int) int {
	end := i
	for end < len(s) && isPlain(s[end]) {
		end++
	}
	if end > i && (end == len(s) || endsWord(s, end)) {
		return end
	}
	if end == i && s[i] < utf8.RuneSelf && s[i] != '_' && (i+1 == len(s) || s[i+1] < utf8.RuneSelf && s[i+1] != '_') {
		return i + 1 // a space or a mark, never part of a word
	}
	it := words.FromString(s[i:])
	it.Next()
	return i + it.End()
}

// isPlain says whether an ASCII byte is a letter or a digit.
func isPlain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// endsWord says whether a run of plain bytes ends for certain at s[i]: before a byte that never joins words, or before
// one that joins only what follows it, with nothing plain following.
func endsWord(s string, i int) bool {
	if s[i] >= utf8.RuneSelf || s[i] == '_' {
		return false
	}
	switch s[i] {
	case '\'', '.', ':', ',', ';', '"':
		return i+1 == len(s) || s[i+1] < utf8.RuneSelf && s[i+1] != '_' && !isPlain(s[i+1])
	}
	return true
}

// normal returns the compatibility composed (NFKC), lower-case form of a segment without its invisible runes: format
// and control characters (right-to-left marks, zero-width joiners, soft hyphens), variation selectors, skin tones.
// Digits of all scripts become ASCII digits, all apostrophes the ASCII one.
func (l *language) normal(s string) string {
	if isASCII(s) && !l.dotless {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for _, r := range norm.NFKC.String(s) {
		switch {
		case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r) || 0xFE00 <= r && r <= 0xFE0F || 0x1F3FB <= r && r <= 0x1F3FF:
			continue
		case r == '’' || r == 'ʼ' || r == '‘' || r == '＇':
			r = '\''
		case l.dotless && r == 'I':
			r = 'ı'
		case r == 'ς':
			r = 'σ'
		case r == 'ё' || r == 'Ё':
			r = 'е' // as printed Russian has it, and the stemmer expects
		case r >= utf8.RuneSelf && unicode.Is(unicode.Nd, r):
			r = '0' + digit(r)
		default:
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	// Lower-casing and dropping may leave what composes (İ, or a mark that a joiner kept from its letter).
	return norm.NFC.String(b.String())
}

// digit returns the value of a decimal digit. Unicode gives each script's ten digits ten consecutive code points that
// begin at a multiple of ten from the beginning of their range.
func digit(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	return 0
}

// isASCII says whether s holds ASCII bytes only.
func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// dense says whether a rune belongs to a script that UAX #29 gives no usable word boundaries for: those written
// without spaces, and Hangul, whose words carry their particles. Such text is indexed by single runes and by pairs.
func dense(r rune) bool {
	if r < 0x0E00 {
		return false
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao,
		unicode.Khmer, unicode.Myanmar, unicode.Bopomofo, unicode.Yi) || r == 'ー' || r == '々'
}

// pictorial says whether a rune is an emoji or a flag letter: a sign that people search for, unlike punctuation.
func pictorial(r rune) bool {
	switch {
	case r < 0x2300:
		return false
	case r <= 0x23FF || 0x2600 <= r && r <= 0x27BF || 0x2B00 <= r && r <= 0x2BFF || 0x1F000 <= r && r <= 0x1FAFF:
		return unicode.In(r, unicode.So, unicode.Sk, unicode.Sm) || !unicode.In(r, unicode.L, unicode.N)
	}
	return false
}

// isWord says whether a normalised segment holds a letter, a digit or a picture.
func isWord(s string) bool {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || pictorial(r) {
			return true
		}
	}
	return false
}

// terms appends the terms of a normalised segment without dense runes: most often one, none for punctuation, several
// where UAX #29 holds together what people search apart (example.com, snake_case, l'amour).
func (l *language) terms(dst []string, s string) []string {
	if !isWord(s) {
		return dst
	}
	if number := numeral(s); number != "" {
		return append(dst, number)
	}
	if acronym := acronym(s); acronym != "" {
		return append(dst, cut(fold(acronym)))
	}
	for s != "" {
		i := strings.IndexFunc(s, l.splits)
		if i < 0 {
			return l.word(dst, s)
		}
		dst = l.word(dst, s[:i])
		_, n := utf8.DecodeRuneInString(s[i:])
		s = s[i+n:]
	}
	return dst
}

// splits says whether a rune inside a segment parts two terms.
func (l *language) splits(r rune) bool {
	return r == '\'' && l.elides || r != '\'' && !unicode.In(r, unicode.L, unicode.N, unicode.M) && !pictorial(r)
}

// numeral returns a number that UAX #29 keeps in one piece: 3.5 as it is, 1,000,000 without its commas; "" where s is
// something else.
func numeral(s string) string {
	if s[0] < '0' || s[0] > '9' {
		return ""
	}
	grouped := false
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case '0' <= b && b <= '9' || b == '.':
		case b == ',' && groupOfThree(s[i+1:]):
			grouped = true
		default:
			return ""
		}
	}
	if grouped {
		s = strings.ReplaceAll(s, ",", "")
	}
	return cut(s)
}

// groupOfThree says whether s begins with exactly three digits.
func groupOfThree(s string) bool {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n == 3
}

// acronym returns the letters of u.s.a as one word, or "" where s is not single letters between dots.
func acronym(s string) string {
	letters, letter := 0, false
	for _, r := range s {
		if letter && r != '.' || !letter && !unicode.IsLetter(r) {
			return ""
		}
		letter = !letter
		if letter {
			letters++
		}
	}
	if letters < 2 {
		return ""
	}
	return strings.ReplaceAll(s, ".", "")
}

// word appends the term of one word, which may still hold apostrophes. A contraction in the stop list stays one (don't);
// a clitic is dropped, for it is a word of grammar by itself (Ada's, ada; it'll, it); others are closed up (O'Brien,
// obrien).
func (l *language) word(dst []string, s string) []string {
	if strings.IndexByte(s, '\'') >= 0 {
		if _, stop := l.stop[s]; !stop {
			s = strings.ReplaceAll(l.host(s), "'", "")
		}
	}
	if !isWord(s) {
		return dst
	}
	return l.term(dst, s)
}

// clitics are the English words that lean on the one before them, and the genitive. Longer ones first.
var clitics = []string{"n't", "'ve", "'re", "'ll", "'s", "'d", "'m"}

// host returns the word that a clitic leans on: it of it'll, ada of ada's.
func (l *language) host(s string) string {
	for _, c := range clitics {
		if h, ok := strings.CutSuffix(s, c); ok && h != "" {
			return h
		}
	}
	return s
}

// term appends the term of a bare word: its stem, folded, or itself behind the stop mark where it is a stop word.
func (l *language) term(dst []string, s string) []string {
	if l.ascii {
		s = fold(s)
	}
	if _, stop := l.stop[s]; stop {
		return append(dst, string(stopMark)+fold(s))
	}
	s = l.stemmed(cut(s))
	if !l.ascii {
		s = fold(s)
	}
	return append(dst, cut(s))
}

// cut returns s up to maxTermBytes, ending at a whole rune.
func cut(s string) string {
	if len(s) <= maxTermBytes {
		return s
	}
	end := maxTermBytes
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// folded are the letters whose mark Unicode does not take apart.
var folded = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i",
}

// fold drops the marks of Latin, Greek, Arabic and Hebrew letters, so that naive finds naïve. In other scripts a mark
// makes another letter (Cyrillic й, all of Devanagari) and stays.
func fold(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	foldable := false // whether the last base letter gives up its marks
	for _, r := range s {
		if plain, ok := folded[r]; ok {
			b.WriteString(plain)
			continue
		}
		if unicode.Is(unicode.Mn, r) {
			if !foldable {
				b.WriteRune(r)
			}
			continue
		}
		foldable = unicode.In(r, unicode.Latin, unicode.Greek, unicode.Arabic, unicode.Hebrew)
		if foldable && r >= utf8.RuneSelf {
			r = base(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// base returns the letter of a composed rune without its marks.
func base(r rune) rune {
	var buf [utf8.UTFMax]byte
	d := norm.NFD.Properties(buf[:utf8.EncodeRune(buf[:], r)]).Decomposition()
	if len(d) == 0 {
		return r
	}
	first, _ := utf8.DecodeRune(d)
	return first
}
