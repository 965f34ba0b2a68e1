package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// readMemories makes memories of a file, by the end of its name: JSONL has one
// memory of the API a line; Markdown and text are split into paragraphs, with the
// file as their stream, and Markdown's headings are the titles of what follows.
func readMemories(path string, r io.Reader) ([]*engramv1.MemoryInput, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		return readJSONL(path, r)
	case ".md", ".markdown":
		return readPassages(path, r, true)
	}
	return readPassages(path, r, false)
}

// maxLine is the longest line of a JSONL file: the longest text, and as much
// again for what JSON escapes and what stands beside it.
const maxLine = 2 * memory.MaxTextBytes

func readJSONL(path string, r io.Reader) ([]*engramv1.MemoryInput, error) {
	var out []*engramv1.MemoryInput
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		m := &engramv1.MemoryInput{}
		if err := wirejson.Decode(line, m); err != nil {
			return nil, lineError(path, n, err)
		}
		out = append(out, m)
	}
	return out, lines.Err()
}

func lineError(path string, n int, err error) error {
	f := usage("%s:%d: %v", path, n, err)
	var field *wirejson.FieldError
	if errors.As(err, &field) {
		f.hint = field.Hint
	}
	return f
}

// A splitter gathers the lines of a paragraph.
type splitter struct {
	stream, source, title string
	lines                 []string
	out                   []*engramv1.MemoryInput
}

func readPassages(path string, r io.Reader, markdown bool) ([]*engramv1.MemoryInput, error) {
	s := splitter{stream: filepath.Base(path), source: path}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	fenced := false
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t\r")
		if markdown && strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if title, ok := heading(line); ok && markdown && !fenced {
			s.end()
			s.title = title
			continue
		}
		if line == "" && !fenced { // a block of code stays whole
			s.end()
			continue
		}
		s.lines = append(s.lines, line)
	}
	s.end()
	return s.out, lines.Err()
}

// end ends the paragraph. Bytes that are not UTF-8 are replaced: an old text in
// another encoding is worth more with a few marks in it than refused.
func (s *splitter) end() {
	text := strings.TrimSpace(strings.ToValidUTF8(strings.Join(s.lines, "\n"), "\ufffd"))
	s.lines = s.lines[:0]
	if text == "" {
		return
	}
	s.out = append(s.out, &engramv1.MemoryInput{Title: s.title, Text: text, Stream: s.stream, Source: fmt.Sprintf("%s#%d", s.source, len(s.out)+1)})
}

// heading reads a Markdown heading such as "## Harbour".
func heading(line string) (string, bool) {
	level := len(line) - len(strings.TrimLeft(line, "#"))
	if level < 1 || level > 6 || len(line) == level || line[level] != ' ' {
		return "", false
	}
	return strings.ToValidUTF8(strings.Trim(line[level:], " #"), "\ufffd"), true
}
