package wordpiece

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// vocabulary is that of the network of chance in package bert's tests.
func vocabulary(tb testing.TB) *Tokenizer {
	tb.Helper()
	b, err := os.ReadFile("../bert/testdata/tiny/vocab.txt")
	if err != nil {
		tb.Fatal(err)
	}
	t, err := New(string(b))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func tokens(t *Tokenizer, ids []int32) string {
	var words []string
	for _, id := range ids {
		words = append(words, t.Token(int(id)))
	}
	return strings.Join(words, " ")
}

func TestReference(t *testing.T) {
	tok := vocabulary(t)
	b, err := os.ReadFile("../bert/testdata/tiny/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text string
		IDs  []int32
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if got := tok.Encode(nil, c.Text, 24); !slices.Equal(got, c.IDs) {
			t.Errorf("%q gave %s, the reference %s", c.Text, tokens(tok, got), tokens(tok, c.IDs))
		}
	}
}

func TestRules(t *testing.T) {
	tok := vocabulary(t)
	for text, want := range map[string]string{
		"":                                "",
		" \t\r\n\u00a0\u2028":             "",
		"The CAT":                         "the cat",
		"thecat":                          "[UNK]",
		"running":                         "run ##ning",
		"unablely":                        "un ##able ##ly",
		"cats,dogs!":                      "cat ##s , dog ##s !",
		"c\u0301a\u0300t":                 "cat",
		"ca\x00t\u200b ca\ufeff\u00adt":   "cat cat",
		"cat\xff":                         "cat",
		"É é e\u0301":                     "e e e",
		"\u4e2dcat\u4e2d":                 "\u4e2d cat \u4e2d",
		"\ud55c":                          "\u1112 ##\u1161 ##\u11ab",
		"[SEP]cat[sep] [MASK":             "[SEP] cat [UNK] [UNK] [UNK] [UNK] [UNK]",
		"##s":                             "[UNK] [UNK] [UNK]",
		strings.Repeat("e", 100):          strings.TrimSuffix("e "+strings.Repeat("##e ", 99), " "),
		strings.Repeat("e", 101):          "[UNK]",
		strings.Repeat("e", 101) + " cat": "[UNK] cat",
	} {
		if got := tokens(tok, tok.Append(nil, text, -1)); got != want {
			t.Errorf("%q gave %q, want %q", text, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	tok := vocabulary(t)
	const text = "running the[MASK]cats"
	all := tok.Append(nil, text, -1)
	for limit := range len(all) + 2 {
		got := tok.Append([]int32{7}, text, limit)
		if want := all[:min(limit, len(all))]; got[0] != 7 || !slices.Equal(got[1:], want) {
			t.Errorf("limit %d gave %v, want 7 and %v", limit, got, want)
		}
	}
}

// TestFirstWordsOnly shows that a long text costs what is read of it.
func TestFirstWordsOnly(t *testing.T) {
	tok := vocabulary(t)
	long := strings.Repeat("the cat sat. ", 1<<20)
	ids := make([]int32, 0, 16)
	if n := testing.AllocsPerRun(10, func() { ids = tok.Encode(ids[:0], long, 16) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	if len(ids) != 16 {
		t.Errorf("%d tokens", len(ids))
	}
}

func TestLookUp(t *testing.T) {
	tok := vocabulary(t)
	for id := range tok.Len() {
		if got, ok := tok.ID(tok.Token(id)); !ok || got != id {
			t.Errorf("ID(%q) = %d, %v", tok.Token(id), got, ok)
		}
	}
	for _, absent := range []string{"", "s", "##cat", "zebra"} {
		if id, ok := tok.ID(absent); ok {
			t.Errorf("ID(%q) = %d", absent, id)
		}
	}
	if got := tok.Token(tok.Unknown()); got != "[UNK]" {
		t.Errorf("unknown is %q", got)
	}
}

func TestVocabularies(t *testing.T) {
	special := strings.Join(Special[:], "\n")
	for name, v := range map[string]string{
		"empty":            "",
		"no special token": "the\ncat",
		"an empty token":   special + "\n\ncat",
		"a token twice":    special + "\ncat\ncat",
	} {
		if _, err := New(v); !errors.Is(err, ErrVocabulary) {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

// TestTables holds the tables to what they must be for searching in them.
func TestTables(t *testing.T) {
	for name, spans := range map[string][]span{"dropped": dropped[:], "spaces": spaces[:], "padded": padded[:], "punctuation": punctuation[:]} {
		for i, s := range spans {
			if s.from > s.to || i > 0 && s.from <= spans[i-1].to+1 {
				t.Errorf("%s[%d] is %x", name, i, s)
			}
		}
	}
	if len(foldFrom) != len(foldTo) || !slices.IsSorted(foldFrom[:]) {
		t.Error("foldings are not in order")
	}
	for _, to := range foldTo {
		if to < foldMany && in(dropped[:], rune(to)) || int(to) >= foldMany+len(folds) {
			t.Errorf("a folding becomes %x", to)
		}
	}
}

// FuzzAppend wants of every text: ids of the vocabulary, the same at each limit, the same after what is dropped was.
func FuzzAppend(f *testing.F) {
	tok := vocabulary(f)
	for _, s := range []string{"the cat", "[SEP][", "\u4e2d\ud55c\u0301", "a\xff\xc3", "\u1fc1 \u2126 \u0130\u0130", strings.Repeat("ab ", 50)} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		all := tok.Append(nil, text, -1)
		for _, id := range all {
			if id < 0 || int(id) >= tok.Len() {
				t.Fatalf("id %d", id)
			}
		}
		if limit = max(limit, 0); !slices.Equal(tok.Append(nil, text, limit), all[:min(limit, len(all))]) {
			t.Errorf("%q differs at limit %d", text, limit)
		}
		if utf8.ValidString(text) && !strings.ContainsRune(text, '[') {
			if got := tok.Append(nil, strings.ToValidUTF8("\u00ad"+text+"\xff", "\u200b"), -1); !slices.Equal(got, all) {
				t.Errorf("%q gave %v, with characters that are dropped %v", text, all, got)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	tok := vocabulary(b)
	const text = "The quick brown fox sat on the mat, unably running; a dog ran on. Hello world, the cat sat on a mat and ran."
	b.SetBytes(int64(len(text)))
	var ids []int32
	for b.Loop() {
		ids = tok.Append(ids[:0], text, -1)
	}
}
