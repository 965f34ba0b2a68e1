package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// readWordNet reads the texts of WordNet's four data files, and the digest of the files.
func readWordNet(dict string) (texts []string, digest string, err error) {
	all := sha256.New()
	for _, part := range []string{"noun", "verb", "adj", "adv"} {
		b, err := os.ReadFile(filepath.Join(dict, "data."+part))
		if err != nil {
			return nil, "", err
		}
		all.Write(b)
		for n, line := range strings.Split(string(b), "\n") {
			if line == "" || strings.HasPrefix(line, "  ") {
				continue // the licence
			}
			set, err := parseLine(line)
			if err != nil {
				return nil, "", fmt.Errorf("data.%s:%d: %w", part, n+1, err)
			}
			texts = append(texts, set.texts()...)
		}
	}
	return texts, hex.EncodeToString(all.Sum(nil)), nil
}

// synset is a set of synonyms.
type synset struct {
	words      []string
	definition string
	examples   []string
}

// parseLine reads a line of WordNet's wndb(5): offset, file, kind, a count of words in hexadecimal, words and numbers,
// pointers, and behind a bar the definition with examples in quotes.
func parseLine(line string) (s synset, err error) {
	head, gloss, _ := strings.Cut(line, "|")
	fields := strings.Fields(head)
	if len(fields) < 4 {
		return s, fmt.Errorf("%d fields", len(fields))
	}
	n, err := strconv.ParseUint(fields[3], 16, 8)
	if err != nil || len(fields) < 4+2*int(n) {
		return s, fmt.Errorf("%q words", fields[3])
	}
	for i := range int(n) {
		word, _, _ := strings.Cut(fields[4+2*i], "(") // an adjective's place: "galore(ip)"
		s.words = append(s.words, strings.ReplaceAll(word, "_", " "))
	}
	var definition strings.Builder
	for i, part := range strings.Split(gloss, `"`) {
		if i%2 == 0 {
			definition.WriteString(part)
		} else if len(strings.Fields(part)) > 2 {
			s.examples = append(s.examples, part)
		}
	}
	s.definition = strings.Trim(definition.String(), " ;\r")
	return s, nil
}

func (s synset) texts() []string {
	texts := append([]string{strings.Join(s.words, ", ") + ": " + s.definition}, s.examples...)
	if s.definition != "" {
		texts = append(texts, s.definition)
	}
	return texts
}
