package wirejson

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAppendString: another library reads what was written, wherever in a word of eight
// bytes something stands that is not plain.
func TestAppendString(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	odd := []string{`"`, `\`, "\n", "\x00", "\x1f", " ", "!", "#", "[", "]", "~", "\x7f", "\u00e9", "\u2028", "\U0001f9a6", "\ufffd"}
	for range 20_000 {
		var s strings.Builder
		for range r.IntN(30) {
			if r.IntN(4) == 0 {
				s.WriteString(odd[r.IntN(len(odd))])
			} else {
				s.WriteString("abcdefghij"[:r.IntN(10)])
			}
		}
		var got string
		if err := json.Unmarshal(AppendString(nil, s.String()), &got); err != nil || got != s.String() {
			t.Fatalf("%q is written as %s: %v", s.String(), AppendString(nil, s.String()), err)
		}
	}
}

func BenchmarkAppendString(b *testing.B) {
	for name, s := range map[string]string{"ascii": strings.Repeat("the otters at the harbour ", 35), "mixed": strings.Repeat("die Flüsse am Hafen, größer ", 35)} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				dst = AppendString(dst[:0], s)
			}
		})
	}
}
