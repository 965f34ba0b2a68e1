package bert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/vector"
)

// answer is what the reference says about a text.
type answer struct {
	Text   string
	IDs    []int32
	Vector []float32
}

func expected(tb testing.TB) (texts []string, vectors [][]float32) {
	tb.Helper()
	b, err := os.ReadFile("testdata/tiny/expected.json")
	if err != nil {
		tb.Fatal(err)
	}
	var answers []answer
	if err := json.Unmarshal(b, &answers); err != nil {
		tb.Fatal(err)
	}
	for _, a := range answers {
		texts, vectors = append(texts, a.Text), append(vectors, a.Vector)
	}
	return texts, vectors
}

// converted is the network of chance as a file in int8.
func converted(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Convert(&b, os.DirFS("testdata/tiny"), Card{Name: "tiny", Licence: "Apache-2.0"}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func opened(tb testing.TB, o Options) *Model {
	tb.Helper()
	m, err := Read(converted(tb), o)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func mustEmbed(tb testing.TB, m embed.Model, texts []string) [][]float32 {
	tb.Helper()
	v, err := m.Embed(context.Background(), texts)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// lowest is the least cosine of two lists of unit vectors.
func lowest(a, b [][]float32) float32 {
	low := float32(2)
	for i := range a {
		low = min(low, vector.Dot(a[i], b[i]))
	}
	return low
}

func TestFloat32IsTheReference(t *testing.T) {
	m, err := OpenFloat32(os.DirFS("testdata/tiny"), "tiny", Options{})
	if err != nil {
		t.Fatal(err)
	}
	texts, want := expected(t)
	for i, v := range mustEmbed(t, m, texts) {
		for j, x := range v {
			if d := x - want[i][j]; d > 2e-6 || d < -2e-6 {
				t.Fatalf("%q: number %d is %v, the reference's %v", texts[i], j, x, want[i][j])
			}
		}
	}
}

func TestInt8IsNear(t *testing.T) {
	texts, want := expected(t)
	if low := lowest(mustEmbed(t, opened(t, Options{}), texts), want); low < .999 {
		t.Errorf("lowest cosine %v", low)
	}
}

// TestOnItsTextAlone embeds texts alone, together, in other orders and in several threads.
func TestOnItsTextAlone(t *testing.T) {
	texts, _ := expected(t)
	var many []string
	for i := range 60 {
		many = append(many, texts[i*7%len(texts)])
	}
	one := opened(t, Options{})
	together := mustEmbed(t, one, many)
	threaded := mustEmbed(t, opened(t, Options{Threads: 4}), many)
	for i, text := range many {
		alone := mustEmbed(t, one, []string{text})[0]
		if !slices.Equal(alone, together[i]) || !slices.Equal(alone, threaded[i]) {
			t.Fatalf("%q is not the same alone, together and in threads", text)
		}
	}
}

func TestConcurrently(t *testing.T) {
	texts, _ := expected(t)
	m := opened(t, Options{Threads: 2})
	want := mustEmbed(t, opened(t, Options{}), texts)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got, err := m.Embed(context.Background(), texts); err != nil || !slices.EqualFunc(got, want, slices.Equal) {
					t.Errorf("another answer beside others: %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestInfo(t *testing.T) {
	m := opened(t, Options{})
	i := m.Info()
	if i.Name != "tiny" || i.Version != "int8-1" || i.Dimension != 32 || i.MaxTokens != 24 || len(i.Digest) != 64 {
		t.Errorf("%+v", i)
	}
	if again := opened(t, Options{}).Info(); again != i {
		t.Errorf("converted again: %+v", again)
	}
	if n := m.Tokens(strings.Repeat("the cat. ", 100)); n != 302 {
		t.Errorf("%d tokens", n)
	}
}

func TestEmptyTexts(t *testing.T) {
	m := opened(t, Options{})
	for _, text := range []string{"", " \n\t", "\x00\u200b\ufeff", "\xff\xfe"} {
		_, err := m.Embed(context.Background(), []string{"the cat", text})
		var te *embed.TextError
		if !errors.As(err, &te) || te.Index != 1 || !errors.Is(err, embed.ErrEmpty) {
			t.Errorf("%q gave %v", text, err)
		}
	}
	if v, err := m.Embed(context.Background(), nil); err != nil || len(v) != 0 {
		t.Errorf("no texts gave %v, %v", v, err)
	}
}

func TestLongText(t *testing.T) {
	m := opened(t, Options{})
	long := strings.Repeat("the cat sat. ", 10_000)
	v := mustEmbed(t, m, []string{long, long[:13*8]})
	if !slices.Equal(v[0], v[1]) {
		t.Error("what lies beyond the limit changed the vector")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := opened(t, Options{}).Embed(ctx, []string{"the cat"}); !errors.Is(err, context.Canceled) {
		t.Errorf("gave %v", err)
	}
}

// TestDamage changes a byte in each of a thousand places: an error, at once or at the first use, or the same vector.
func TestDamage(t *testing.T) {
	whole := converted(t)
	want := mustEmbed(t, opened(t, Options{}), []string{"the cat"})
	for i := 0; i < len(whole); i += max(len(whole)/1000, 1) {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		m, err := Read(b, Options{})
		var got [][]float32
		if err == nil {
			got, err = m.Embed(context.Background(), []string{"the cat"})
		}
		if err == nil && !slices.EqualFunc(got, want, slices.Equal) || err != nil && !errors.Is(err, embed.ErrDamaged) {
			t.Errorf("a change at byte %d of %d gave %v", i, len(b), err)
		}
	}
	if _, err := Read(whole[:len(whole)/2], Options{}); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("half a file gave %v", err)
	}
}

// changed is the folder of the network of chance with one file in another form.
func changed(tb testing.TB, name, old, new string) fs.FS {
	tb.Helper()
	dir := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("testdata/tiny"), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile("testdata/tiny/" + p)
		dir[p] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	f := dir[name]
	if !bytes.Contains(f.Data, []byte(old)) {
		tb.Fatalf("no %q in %s", old, name)
	}
	f.Data = bytes.Replace(f.Data, []byte(old), []byte(new), 1)
	return dir
}

func TestRefusedModels(t *testing.T) {
	for _, c := range []struct {
		file, old, new string
		want           error
	}{
		{"config.json", `"bert"`, `"roberta"`, embed.ErrUnsupported},
		{"config.json", `"gelu"`, `"relu"`, embed.ErrUnsupported},
		{"config.json", `"absolute"`, `"relative_key"`, embed.ErrUnsupported},
		{"config.json", `"num_attention_heads": 4`, `"num_attention_heads": 5`, embed.ErrUnsupported},
		{"config.json", `"hidden_size": 32`, `"hidden_size": 99999999`, embed.ErrUnsupported},
		{"config.json", `"hidden_size": 32`, `"hidden_size": 64`, embed.ErrDamaged},
		{"config.json", `{`, `[`, embed.ErrDamaged},
		{"tokenizer_config.json", `true`, `false`, embed.ErrUnsupported},
		{"1_Pooling/config.json", `"pooling_mode_cls_token": false`, `"pooling_mode_cls_token": true`, embed.ErrUnsupported},
		{"vocab.txt", "cat\n", "", embed.ErrDamaged},
		{"vocab.txt", "cat\n", "dog\n", embed.ErrDamaged},
		{"vocab.txt", "[CLS]", "[BOS]", embed.ErrDamaged},
		{"model.safetensors", "encoder.layer.1.output.dense.bias", "encoder.layer.9.output.dense.bias", embed.ErrDamaged},
	} {
		dir := changed(t, c.file, c.old, c.new)
		if err := Convert(new(bytes.Buffer), dir, Card{Name: "x"}); !errors.Is(err, c.want) {
			t.Errorf("%s with %q: Convert gave %v", c.file, c.new, err)
		}
		if _, err := OpenFloat32(dir, "x", Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s with %q: OpenFloat32 gave %v", c.file, c.new, err)
		}
	}
	if _, err := OpenFloat32(fstest.MapFS{}, "x", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder gave %v", err)
	}
}

// TestTokenizerFile reads the vocabulary out of a tokenizer.json where there is no vocab.txt.
func TestTokenizerFile(t *testing.T) {
	dir := changed(t, "config.json", "{", "{").(fstest.MapFS)
	words := strings.Split(strings.TrimSpace(string(dir["vocab.txt"].Data)), "\n")
	vocab := map[string]int{}
	for i, w := range words {
		vocab[w] = i
	}
	b, err := json.Marshal(map[string]any{
		"normalizer": map[string]any{"type": "BertNormalizer", "lowercase": true},
		"model":      map[string]any{"type": "WordPiece", "vocab": vocab},
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(dir, "vocab.txt")
	dir["tokenizer.json"] = &fstest.MapFile{Data: b}
	m, err := OpenFloat32(dir, "tiny", Options{})
	if err != nil {
		t.Fatal(err)
	}
	texts, want := expected(t)
	if low := lowest(mustEmbed(t, m, texts), want); low < .99999 {
		t.Errorf("lowest cosine %v", low)
	}
	dir["tokenizer.json"].Data = bytes.Replace(b, []byte("WordPiece"), []byte("Unigram"), 1)
	if _, err := OpenFloat32(dir, "tiny", Options{}); !errors.Is(err, embed.ErrUnsupported) {
		t.Errorf("another tokenizer gave %v", err)
	}
}

// TestPrefixes embeds with the prefixes that a model is published with, and without.
func TestPrefixes(t *testing.T) {
	dir := changed(t, "config.json", "{", "{").(fstest.MapFS)
	dir["config_sentence_transformers.json"] = &fstest.MapFile{Data: []byte(`{"prompts":{"query":"the dog ","passage":"a cat "}}`)}
	var b bytes.Buffer
	if err := Convert(&b, dir, Card{Name: "tiny"}); err != nil {
		t.Fatal(err)
	}
	m, err := Read(b.Bytes(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	plain := mustEmbed(t, opened(t, Options{}), []string{"a cat ran", "the dog ran"})
	cue, err := embed.Cues(context.Background(), m, []string{"ran"})
	if err != nil || !slices.Equal(cue[0], plain[1]) {
		t.Errorf("a cue is not embedded after its prefix: %v", err)
	}
	if text := mustEmbed(t, m, []string{"ran"}); !slices.Equal(text[0], plain[0]) {
		t.Error("a text is not embedded after its prefix")
	}
	if _, err := m.Embed(context.Background(), []string{" "}); !errors.Is(err, embed.ErrEmpty) {
		t.Errorf("an empty text after a prefix gave %v", err)
	}
}

func TestPoolingByCLS(t *testing.T) {
	mean := opened(t, Options{})
	dir := changed(t, "1_Pooling/config.json", `"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false`, `"pooling_mode_cls_token": true`)
	cls, err := OpenFloat32(dir, "tiny", Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := []string{"the cat sat"}
	if c := lowest(mustEmbed(t, mean, text), mustEmbed(t, cls, text)); c > .999 {
		t.Errorf("pooling by [CLS] is pooling by mean: cosine %v", c)
	}
}

// FuzzRead wants an error or a vector of any file, and no panic.
func FuzzRead(f *testing.F) {
	whole := converted(f)
	f.Add(whole[:64], 0)
	f.Add([]byte(`"layers":3`), bytes.Index(whole, []byte(`"layers":2`)))
	f.Fuzz(func(t *testing.T, patch []byte, at int) {
		b := bytes.Clone(whole)
		if at < 0 || at > len(b) {
			return
		}
		copy(b[at:], patch)
		m, err := Read(b, Options{})
		if err == nil {
			_, err = m.Embed(context.Background(), []string{"the cat"})
		}
		if err != nil && !errors.Is(err, embed.ErrDamaged) && !errors.Is(err, embed.ErrUnsupported) {
			t.Error(err)
		}
	})
}
