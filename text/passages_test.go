package text

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPassages(t *testing.T) {
	sentence := "The otter swam in the lake, all day long. " // 42 bytes
	for _, c := range []struct {
		name, body string
		o          PassageOptions
		want       []string
	}{
		{"empty", " \n ", PassageOptions{}, nil},
		{"short", " One. Two. ", PassageOptions{}, []string{"One. Two."}},
		{"sentences", strings.Repeat(sentence, 4), PassageOptions{MaxBytes: 100, OverlapBytes: -1},
			[]string{sentence + sentence, sentence + sentence}},
		{"overlap", strings.Repeat(sentence, 3), PassageOptions{MaxBytes: 100, OverlapBytes: 45},
			[]string{sentence + sentence, sentence + sentence}},
		{"paragraph", sentence + sentence + "\n\n" + sentence + sentence, PassageOptions{MaxBytes: 150},
			[]string{sentence + sentence, sentence + sentence}},
		{"words", strings.Repeat("otter ", 20), PassageOptions{MaxBytes: 64, OverlapBytes: -1},
			[]string{strings.Repeat("otter ", 10), strings.Repeat("otter ", 10)}},
		{"runes", strings.Repeat("東", 30), PassageOptions{MaxBytes: 64, OverlapBytes: -1},
			[]string{strings.Repeat("東", 21), strings.Repeat("東", 9)}},
	} {
		var got []string
		for _, s := range Passages(c.body, c.o) {
			got = append(got, c.body[s.From:s.To])
		}
		for i := range c.want {
			c.want[i] = strings.TrimSpace(c.want[i])
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPassagesProperties(t *testing.T) {
	part := rapid.SampledFrom([]string{"otter", " ", ". ", "! ", "\n", "\n\n", "\r\n\r\n", "東京。", "\xff", "é", strings.Repeat("x", 90), "  "})
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Join(rapid.OneOf(rapid.SliceOfN(part, 0, 5), rapid.SliceOfN(part, 30, 200)).Draw(t, "parts"), "")
		o := PassageOptions{MaxBytes: rapid.IntRange(0, 200).Draw(t, "max"), OverlapBytes: rapid.IntRange(-1, 100).Draw(t, "overlap")}
		checkPassages(t, body, Passages(body, o), o.withDefaults())
	})
}

func checkPassages(t fatal, body string, passages []Span, o PassageOptions) {
	covered := 0
	for i, s := range passages {
		switch {
		case s.From >= s.To || s.To-s.From > o.MaxBytes:
			t.Fatalf("passage %v of at most %d bytes", s, o.MaxBytes)
		case i > 0 && (s.From <= passages[i-1].From || s.To <= passages[i-1].To):
			t.Fatalf("passages %v and %v are out of order", passages[i-1], s)
		case covered-s.From > o.OverlapBytes:
			t.Fatalf("passage %v repeats more than %d bytes before %d", s, o.OverlapBytes, covered)
		case strings.TrimSpace(body[s.From:s.To]) != body[s.From:s.To]:
			t.Fatalf("passage %q has white space at its ends", body[s.From:s.To])
		case utf8.ValidString(body) && !utf8.ValidString(body[s.From:s.To]):
			t.Fatalf("passage %q cuts a rune", body[s.From:s.To])
		case s.From > covered && strings.TrimFunc(body[covered:s.From], unicode.IsSpace) != "":
			t.Fatalf("%q is in no passage", body[covered:s.From])
		}
		covered = s.To
	}
	if strings.TrimSpace(body[covered:]) != "" {
		t.Fatalf("%q is in no passage", body[covered:])
	}
}
