package embed_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/engramdb/engram/embed"
	_ "github.com/engramdb/engram/embed/minilm"
	_ "github.com/engramdb/engram/embed/static"
)

// badInputs are texts that nobody meant for a model. Where none is said, nothing is to be
// embedded; one that only some vocabularies know may be either.
var badInputs = []struct {
	name, text string
	nothing    bool
	either     bool
}{
	{"empty", "", true, false},
	{"whitespace", " \t\r\n\v\f\u00a0\u2003\u3000", true, false},
	{"control characters", "\x00\x01\x1b\x7f\u0085\u200b\u2060\ufeff", true, false},
	{"not UTF-8", "\xff\xfe\xc0\x80", true, false},
	{"control characters among words", "the\x00 \x1b[31mcat\u200b sat\x7f", false, false},
	{"not UTF-8 among words", "the \xff\xfe cat", false, false},
	{"100 KB", strings.Repeat("the cat sat on the mat. ", 100<<10/24), false, false},
	{"one word of 100 KB", strings.Repeat("a", 100<<10), false, true},
	{"100 KB of combining marks", "e" + strings.Repeat("\u0301", 50<<10), false, true},
	{"Chinese", "猫坐在垫子上", false, false},
	{"Arabic", "جلست القطة على الحصيرة", false, false},
	{"Hindi", "बिल्ली चटाई पर बैठी", false, false},
	{"Thai", "แมวนั่งบนเสื่อ", false, true},
	{"emoji alone", "🙂🙃👩‍👩‍👧‍👦🏳️‍🌈", false, true},
	{"emoji among words", "the 🐈 cat 🙂 sat", false, false},
	{"punctuation", "?!…—«»", false, true},
	{"numbers", "3.14159 -1e999 NaN 0x7f", false, false},
	{"HTML", "<html><script>alert('cat')</script><p>the cat</html>", false, false},
	{"special tokens", "[CLS] the [MASK] sat [SEP] [PAD] [UNK]", false, false},
}

// TestBadInput: each of the models in the binary gives a vector of length 1, the same alone
// and among others, or says that there is nothing to embed; never anything else.
func TestBadInput(t *testing.T) {
	for _, name := range []string{"minilm", "static"} {
		m, err := embed.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range badInputs {
			t.Run(name+"/"+x.name, func(t *testing.T) {
				vs, err := m.Embed(context.Background(), []string{x.text})
				if errors.Is(err, embed.ErrEmpty) {
					if !x.nothing && !x.either {
						t.Error("there is something to embed")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if x.nothing {
					t.Fatal("there is nothing to embed")
				}
				checkVector(t, m, vs[0])
				among, err := m.Embed(context.Background(), []string{"a dog", x.text, "a bird"})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(among[1], vs[0]) {
					t.Error("among others it has another vector")
				}
			})
		}
	}
}

func checkVector(t *testing.T, m embed.Model, v []float32) {
	t.Helper()
	if len(v) != m.Info().Dimension {
		t.Fatalf("%d numbers", len(v))
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(math.Abs(sum-1) < 1e-3) {
		t.Errorf("its length is %v", math.Sqrt(sum))
	}
}
