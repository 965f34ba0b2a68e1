package text

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/arabic"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/irish"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/tamil"
	"github.com/blevesearch/snowballstem/turkish"
)

// None is the language without stemming and without stop words, for text in no known language or in many.
const None = "none"

// rulesVersion changes whenever the same text may yield other terms than before: a new tokenisation, a new Unicode
// version, another stemmer or stop list. A snapshot of an index made under another version is not loaded.
const rulesVersion = 1

// stopFiles are the stop lists, one word a line, each with its source and licence at its top. The English one is our
// own and holds words of grammar only; the others are copies of Snowball's (and, where it has none, Lucene's). bleve
// carries these in Go, but importing one of its language packages links 30 packages of it, bbolt among them.
//
//go:embed stop/*.txt
var stopFiles embed.FS

// language is what one language needs beyond the rules shared by all.
type language struct {
	code string
	stem func(*snowballstem.Env) bool // nil: words are left as they are
	stop map[string]struct{}

	// ascii says that the stemmer knows plain letters only, so accents are folded before it sees the word. The other
	// stemmers read accents as letters (French é, German ä); there the fold comes after.
	ascii bool
	// elides says that an apostrophe joins two words (l'amour, dell'arte, Ankara'da). In English it belongs to one.
	elides bool
	// names are stop words that in capitals are something else, and the terms of these.
	names map[string]string
	// dotless says that the capital of ı is I (Turkish).
	dotless bool
}

// languages are all known languages by ISO 639-1 code. Their stop lists are read on first use, in NewAnalyzer.
var languages = map[string]language{
	None: {ascii: true},
	"ar": {stem: arabic.Stem, elides: true},
	"da": {stem: danish.Stem, elides: true},
	"de": {stem: german.Stem, elides: true},
	"en": {stem: english.Stem, ascii: true, names: map[string]string{"US": "us", "IT": "it", "WHO": "who"}},
	"es": {stem: spanish.Stem, elides: true},
	"fi": {stem: finnish.Stem, elides: true},
	"fr": {stem: french.Stem, elides: true},
	"ga": {stem: irish.Stem, elides: true},
	"hu": {stem: hungarian.Stem, elides: true},
	"it": {stem: italian.Stem, elides: true},
	"nl": {stem: dutch.Stem, elides: true},
	"no": {stem: norwegian.Stem, elides: true},
	"pt": {stem: portuguese.Stem, elides: true},
	"ro": {stem: romanian.Stem, elides: true},
	"ru": {stem: russian.Stem, elides: true},
	"sv": {stem: swedish.Stem, elides: true},
	"ta": {stem: tamil.Stem, elides: true},
	"tr": {stem: turkish.Stem, elides: true, dotless: true},
}

// Languages returns the codes that NewAnalyzer knows, sorted. The caller owns the slice.
func Languages() []string {
	codes := make([]string, 0, len(languages))
	for code := range languages {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// UnknownLanguageError says that NewAnalyzer was asked for a language that it does not know.
type UnknownLanguageError struct {
	Language string // as it was asked for
}

// Error names the known languages.
func (e *UnknownLanguageError) Error() string {
	return fmt.Sprintf("unknown language %q; known are %s", e.Language, strings.Join(Languages(), ", "))
}

// shared holds the one analyzer of each language: it is immutable but for its cache, and ten thousand spaces of one
// language shall not hold ten thousand caches.
var shared struct {
	mu        sync.Mutex
	analyzers map[string]*Analyzer
}

// NewAnalyzer returns the analyzer of a language: an ISO 639-1 code such as "en", in any case, a region after it
// ignored ("en-GB", "pt_BR"). "none" and "" are the analyzer without stems and stop words. Analyzers of a language are
// one and the same value. The error is an *UnknownLanguageError.
func NewAnalyzer(code string) (*Analyzer, error) {
	base, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(code, "_", "-")), "-")
	if base == "" && code == "" {
		base = None
	}
	l, ok := languages[base]
	if !ok {
		return nil, &UnknownLanguageError{Language: code}
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if a := shared.analyzers[base]; a != nil {
		return a, nil
	}
	if shared.analyzers == nil {
		shared.analyzers = make(map[string]*Analyzer)
	}
	l.code, l.stop = base, l.stopWords(base)
	a := &Analyzer{lang: l}
	shared.analyzers[base] = a
	return a, nil
}

// openContractions are the endings of English contractions that people also write without the apostrophe (dont, youve).
// Those in 'll, 'd and 's are left out: shell, wed and its are words.
var openContractions = []string{"n't", "'ve", "'re", "'m"}

// stopWords reads the stop list of a language; a language without one has none.
func (l *language) stopWords(code string) map[string]struct{} {
	list, err := stopFiles.ReadFile("stop/" + code + ".txt")
	if err != nil {
		return nil
	}
	words := make(map[string]struct{})
	for line := range strings.Lines(string(list)) {
		if word := l.normal(strings.TrimSpace(line)); word != "" && word[0] != '#' {
			words[strings.TrimSuffix(word, "'")] = struct{}{}
			for _, ending := range openContractions {
				if strings.HasSuffix(word, ending) {
					words[strings.ReplaceAll(word, "'", "")] = struct{}{}
				}
			}
		}
	}
	return words
}

// stemmed returns the stem of a word. The stemmers are generated code that slices by computed offsets; a word that
// makes one of them panic keeps its form, because every text that was ever stored is analysed again when an index is
// rebuilt, and one odd word must not keep a space from opening.
func (l *language) stemmed(word string) (stem string) {
	if l.stem == nil {
		return word
	}
	defer func() {
		if recover() != nil {
			stem = word
		}
	}()
	env := snowballstem.NewEnv(word)
	l.stem(env)
	if s := env.Current(); s != "" {
		return s
	}
	return word
}
