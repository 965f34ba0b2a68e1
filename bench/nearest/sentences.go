package nearest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/minilm"
	"github.com/engramdb/engram/memory"
)

// Sentences makes the set of at most n sentences of the data folder's Wikipedia
// articles. They are encoded once, some 600 a second and core, and kept in the
// cache. The model is the one in the program, all-MiniLM-L6-v2 in int8, whose
// mean cosine with the float32 reference is .9987.
func Sentences(ctx context.Context, data, cache, dir string, n int, seed uint64, say func(string, ...any)) (*Set, error) {
	dim := 384
	encoded := filepath.Join(cache, fmt.Sprintf("sentences-%d.f32", n))
	if _, err := os.Stat(encoded); errors.Is(err, os.ErrNotExist) {
		texts, err := readSentences(filepath.Join(data, "wikispeedia/plaintext_articles.tar.zst"), n)
		if err != nil {
			return nil, err
		}
		if err := encode(ctx, texts, encoded, say); err != nil {
			return nil, err
		}
	}
	all, err := mapFloats(encoded)
	if err != nil {
		return nil, err
	}
	s := &Set{Name: "sentences", Says: "sentences of Wikipedia by all-MiniLM-L6-v2", Metric: memory.MetricCosine, Dim: dim}
	return s, s.write(dir, seed, len(all)/dim, func(i int) []float32 { return all[i*dim : (i+1)*dim] })
}

// readSentences takes n different sentences, in the order of the archive.
func readSentences(archive string, n int) ([]string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var texts []string
	seen := map[string]bool{}
	for files := tar.NewReader(z); len(texts) < n; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(h.Name, ".txt") {
			continue
		}
		body, err := io.ReadAll(files)
		if err != nil {
			return nil, err
		}
		for _, t := range sentencesOf(string(body)) {
			if !seen[t] && len(texts) < n {
				seen[t] = true
				texts = append(texts, t)
			}
		}
	}
	return texts, nil
}

// sentencesOf cuts an article, whose lines are wrapped, into sentences of 6 to 60
// words; tables and lists fall away.
func sentencesOf(article string) []string {
	var found []string
	for paragraph := range strings.SplitSeq(article, "\n\n") {
		text := strings.Join(strings.Fields(paragraph), " ")
		for text != "" {
			end := sentenceEnd(text)
			one := text[:end]
			text = strings.TrimLeft(text[end:], " ")
			if words := strings.Count(one, " ") + 1; words >= 6 && words <= 60 && strings.ContainsAny(one[len(one)-1:], ".!?") {
				found = append(found, one)
			}
		}
	}
	return found
}

// sentenceEnd is where the first sentence ends: after a mark that a capital
// follows, or with the text.
func sentenceEnd(text string) int {
	for i := 0; i+2 < len(text); i++ {
		if (text[i] == '.' || text[i] == '!' || text[i] == '?') && text[i+1] == ' ' && text[i+2] >= 'A' && text[i+2] <= 'Z' {
			return i + 1
		}
	}
	return len(text)
}

// encode writes the vectors of texts into a file, which is there when it is whole.
func encode(ctx context.Context, texts []string, file string, say func(string, ...any)) error {
	m, err := minilm.Open(bert.Options{Threads: 2})
	if err != nil {
		return err
	}
	out, err := newRows(file+".part", true)
	if err != nil {
		return err
	}
	const step = 256
	for at := 0; at < len(texts); at += step {
		if at/step%100 == 0 {
			say("encoding sentences: %d of %d", at, len(texts))
		}
		vs, err := m.Embed(ctx, texts[at:min(at+step, len(texts))])
		if err != nil {
			return errors.Join(err, out.close())
		}
		for _, v := range vs {
			if err := out.add(v); err != nil {
				return errors.Join(err, out.close())
			}
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}
