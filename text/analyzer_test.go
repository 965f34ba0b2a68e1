package text

import (
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// allocated returns the bytes allocated by do.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// termsOf returns the terms of a document in order, each as often as it occurs.
func termsOf(d Document) string {
	var words []string
	for _, t := range d.Terms {
		for range t.Count {
			words = append(words, t.Text)
		}
	}
	return strings.Join(words, " ")
}

func TestAnalyze(t *testing.T) {
	for _, c := range []struct{ language, text, want string }{
		{"en", "The otters were swimming.", "_the _were otter swim"},
		{"en", "Ada's boat, the kids' boats", "_the ada boat boat kid"},
		{"en", "Ada’s ADA`s", "ada ada s"},
		{"en", "don't dont won't it'll we'll O'Brien's shell", "_don't _dont _it _we _won't obrien shell"},
		{"en", "the US, the U.S. and us", "_and _the _the _us us us"},
		{"en", "Who runs the WHO?", "_the _who run who"},
		{"en", "1,000,000 is 10:30 or 3.5, 1,2023 v2", "1 10 1000000 2023 3.5 30 _is _or v2"},
		{"en", "snake_case example.com end.Next e.g. x:y", "case com eg end exampl next snake x y"},
		{"en", "naïve café Zürich Straße Ærø Łódź", "aero cafe lodz naiv strass zurich"},
		{"en", "ﬁnding ２０２４ ＡＢＣ", "2024 abc find"},
		{"en", "ot\u200bter ot\u00adter \u200fotter\u200e o\u0000tter", "o ot otter otter ter tter"},
		{"en", "🦦 🦦🦦 👍🏽 👍 👩‍🚀 🇨🇭 ❤️ → ■ 🦦otter", "otter ❤ 🇨🇭 👍 👍 👩🚀 🦦 🦦 🦦 🦦"},
		{"en", "東京都 A東B 한국어 カナ", "_a b カ カナ ナ 京 京都 東 東 東京 都 국 국어 어 한 한국"},
		{"en", "٢٠٢٤ १२३", "123 2024"},
		{"en", "!!! --- ... ,", ""},
		{"en", "", ""},
		{"en", "well-known e-mail @ada #otter a/b", "_a ada b e known mail otter well"},
		{"de", "Die Häuser von Zürich", "_die _von haus zurich"},
		{"fr", "L'amour de l'étudiante, aujourd'hui", "_de _l _l amour aujourd etudi hui"},
		{"it", "dell'arte", "_dell arte"},
		{"ru", "Ёлка и книги", "_и елк книг"},
		{"tr", "İstanbul'da IŞIK", "_da isik istanbul"},
		{None, "The otters' naïve ΟΔΟΣ", "naive otters the οδοσ"},
		{"ar", "كِتَاب", "كتاب"},
	} {
		if got := termsOf(analyzer(t, c.language).Analyze("", c.text)); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.language, c.text, got, c.want)
		}
	}
}

// find puts each text as a document of its own and returns which of them a cue finds.
func find(t *testing.T, language, cue string, texts ...string) []uint32 {
	t.Helper()
	a, x := analyzer(t, language), NewIndex(Params{})
	for i, text := range texts {
		x.Put(uint32(i), a.Analyze("", text))
	}
	var docs []uint32
	for _, h := range x.Search(a.Query(cue), SearchOptions{}) {
		docs = append(docs, h.Doc)
	}
	slices.Sort(docs)
	return docs
}

func TestFindable(t *testing.T) {
	const mixed = "zürich 東京 🦦 naïve"
	long := strings.Repeat("0123456789abcdef", 100)
	for _, c := range []struct {
		cue, text string
		found     bool
	}{
		{"zürich", mixed, true}, {"Zurich", mixed, true}, {"ZÜRICH", mixed, true}, {"zu\u0308rich", mixed, true},
		{"東京", mixed, true}, {"東", mixed, true}, {"京", mixed, true}, {"京東", mixed, false}, {"東方", mixed, false},
		{"🦦", mixed, true}, {"naive", mixed, true}, {"naïve", mixed, true}, {"NAÏVE", mixed, true}, {"🦫", mixed, false},
		{"서울", "서울에서 만나요", true}, {"カタ", "カタカナ", true}, {"カタカナ", "ｶﾀｶﾅ", true}, {"ภาษา", "ภาษาไทย", true},
		{"が", "か\u3099", true}, {"東 京", "東x京", true}, {"👍", "👍🏿", true}, {"👍🏿", "👍", true}, {"❤", "❤️", true},
		{"wifi", "wi\u00adfi", true}, {"abc", "\u202eabc\u202c", true}, {"ο", "Ο", true}, {"οδός", "ΟΔΟΣ", true},
		{"it", "it", true}, {"who are you", "who are you", true}, {"to be or not", "to be, that is the question", true},
		{"the otter", "the beaver", false}, {"obrien", "O’Brien", true}, {"2024", "٢٠٢٤", true}, {"1000000", "1,000,000", true},
		{"example", "example.com", true}, {"example.com", "example", true}, {"usa", "U.S.A.", true}, {"q", "q", true},
		{long, long, true}, {long, long + "x", true}, {long[:maxTermBytes-1], long, false},
		{strings.Repeat("東", 200), "東東", true}, {"नमस्ते", "नमस्ते दुनिया", true}, {"שלום", "שָׁלוֹם", true}, {"m²", "m²", true},
	} {
		if got := len(find(t, "en", c.cue, c.text)) > 0; got != c.found {
			t.Errorf("%q in %q: found %v, want %v", c.cue, c.text, got, c.found)
		}
	}
}

// TestStopWords: a cue of stop words finds them, and in company they neither find nor count.
func TestStopWords(t *testing.T) {
	texts := []string{"who are you", "you are an otter", "an otter", "beavers"}
	if got := find(t, "en", "who are you", texts...); !slices.Equal(got, []uint32{0, 1}) {
		t.Errorf("found %v, want 0 and 1", got)
	}
	if got := find(t, "en", "are you an otter", texts...); !slices.Equal(got, []uint32{1, 2}) {
		t.Errorf("found %v, want 1 and 2", got)
	}
	if d := analyzer(t, "en").Analyze("the", "otter is an otter"); d.Length != 2 {
		t.Errorf("length %d, want 2", d.Length)
	}
}

func TestQuery(t *testing.T) {
	en := analyzer(t, "en")
	for _, c := range []struct {
		text string
		want []Term
	}{
		{"swimming otters of the swimmer's otter", []Term{{"swim", 1}, {"otter", 2}, {"swimmer", 1}}},
		{"who is who", []Term{{"_who", 2}, {"_is", 1}}},
		{"東京タワー 東", []Term{{"東京", 1}, {"京タ", 1}, {"タワ", 1}, {"ワー", 1}, {"東", 1}}},
		{" ... ", nil},
	} {
		if got := en.Query(c.text).Terms; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
		}
	}
	var b strings.Builder
	for i := range 2 * maxQueryTerms {
		b.WriteString(strings.Repeat(string(rune('b'+i%20)), 1+i/20) + " ")
	}
	if n := len(en.Query(b.String()).Terms); n != maxQueryTerms {
		t.Errorf("%d terms of a page, want %d", n, maxQueryTerms)
	}
}

func TestNewAnalyzer(t *testing.T) {
	for _, code := range Languages() {
		a := analyzer(t, code)
		if a.Language() != code || a.Version() != code+"/1" {
			t.Errorf("%s: language %q, version %q", code, a.Language(), a.Version())
		}
		// English, None and Tamil apart, a stop list that came out empty is a file with a wrong name.
		if _, err := stopFiles.ReadFile("stop/" + code + ".txt"); (err != nil) != (code == None || code == "ta") {
			t.Errorf("%s: stop list: %v", code, err)
		}
	}
	for code, want := range map[string]string{"": None, "EN": "en", "en-GB": "en", "pt_BR": "pt"} {
		if a := analyzer(t, code); a.Language() != want || a != analyzer(t, want) {
			t.Errorf("%q: language %q, want the one and only %q", code, a.Language(), want)
		}
	}
	for _, code := range []string{"xx", "english", "-", " en"} {
		_, err := NewAnalyzer(code)
		var unknown *UnknownLanguageError
		if !errors.As(err, &unknown) || unknown.Language != code || !strings.Contains(err.Error(), "de, en, es") {
			t.Errorf("%q: %v, want an UnknownLanguageError that names the known ones", code, err)
		}
	}
}

// TestAnalyzeConcurrently: the cache is shared; terms are the same whoever came first and whatever it has forgotten.
func TestAnalyzeConcurrently(t *testing.T) {
	a := analyzer(t, "en")
	cold := &Analyzer{lang: a.lang}
	var want []Document
	c := newCorpus(21)
	var texts []string
	for range 2000 {
		texts = append(texts, c.text(20))
		want = append(want, cold.Analyze("a title", texts[len(texts)-1]))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i, text := range texts {
				if got := a.Analyze("a title", text); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("%q: %v, want %v", text, got, want[i])
					return
				}
			}
		})
	}
	all.Wait()
}

// checkDocument fails if an analysis breaks a promise, and returns it.
func checkDocument(t fatal, a *Analyzer, title, body string) Document {
	d := a.Analyze(title, body)
	tokens := 0
	for i, term := range d.Terms {
		switch {
		case term.Text == "" || term.Count < 1:
			t.Fatalf("term %+v", term)
		case i > 0 && term.Text <= d.Terms[i-1].Text:
			t.Fatalf("terms %q and %q are out of order", d.Terms[i-1].Text, term.Text)
		case len(term.Text) > maxTermBytes+1:
			t.Fatalf("term %q is too long", term.Text)
		case !utf8.ValidString(term.Text):
			t.Fatalf("term %q is not UTF-8", term.Text)
		}
		if term.Text[0] != stopMark {
			tokens += term.Count
		}
	}
	if d.Length != tokens {
		t.Fatalf("length %d, terms add up to %d", d.Length, tokens)
	}
	return d
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{
		"", "The otter's den", "zürich 東京 🦦 naïve", "3.5, 1,000", "U.S.A. snake_case", "a\u0300\u0300", "\xff\xfe", "👩‍🚀🇨🇭",
		"한국어 ภาษาไทย", "٢٠٢٤", "\u200d\ufe0f\u202e", "'''", "_", "ﷺ", "İıΣς",
	} {
		f.Add(s, "x "+s)
	}
	var all []*Analyzer
	for _, code := range Languages() {
		all = append(all, analyzer(f, code))
	}
	f.Fuzz(func(t *testing.T, title, body string) {
		for _, a := range all {
			d := checkDocument(t, a, title, body)
			if again := (&Analyzer{lang: a.lang}).Analyze(title, body); !reflect.DeepEqual(again, d) {
				t.Fatalf("%s: a cold cache gives %v, want %v", a.Language(), again, d)
			}
			// A text is found by itself.
			for _, q := range a.Query(title).Terms {
				if countOf(d, q.Text) == 0 && len(a.Query(title).Terms) < maxQueryTerms {
					t.Fatalf("%s: term %q of the cue %q is not in %v", a.Language(), q.Text, title, d)
				}
			}
		}
	})
}
