package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	passages "github.com/engramdb/engram/text"
)

// ProseOptions say how texts are split. The zero value means the defaults.
type ProseOptions struct {
	passages.PassageOptions
}

// blockBytes is how much of a text is looked at at once; it ends between two
// paragraphs where there are any before mostBlockBytes.
const (
	blockBytes     = 256 << 10
	mostBlockBytes = 1 << 20
)

// Text walks over the passages of a plain text. The file is their stream; its
// name, their title, is searched with them.
func Text(file string, r io.Reader, o ProseOptions) Items { return prose(file, r, false, o) }

// Markdown walks over the passages of a Markdown text. Those below a heading
// have it as their title, with the headings above it; no passage goes beyond
// its section, and # in a block of code is no heading.
func Markdown(file string, r io.Reader, o ProseOptions) Items { return prose(file, r, true, o) }

// A section gathers the lines of a part of a text.
type section struct {
	file     string
	headings [6]string
	line     int // where the block begins
	block    strings.Builder
	o        ProseOptions
	yield    func(*Item, error) bool
}

func prose(file string, r io.Reader, markdown bool, o ProseOptions) Items {
	return func(yield func(*Item, error) bool) {
		s := &section{file: file, o: o, yield: yield}
		lines := newLines(r)
		fence := ""
		for {
			raw, err := lines.next()
			if errors.Is(err, io.EOF) {
				s.end()
				return
			}
			if errors.Is(err, errLineTooLong) {
				if !s.end() || !yield(bad(file, lines.n, "", err), nil) {
					return
				}
				continue
			}
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", file, err))
				return
			}
			if err := notUTF8("the line", raw); err != nil { // nor is what follows likely to be a text
				if s.end() {
					yield(bad(file, lines.n, string(raw), err), nil)
				}
				return
			}
			line := strings.TrimRight(string(raw), " \t\f\v")
			if markdown {
				fence = fenced(fence, line)
				if level, title := heading(line); level > 0 && fence == "" {
					if !s.end() {
						return
					}
					s.enter(level, title)
					continue
				}
			}
			if !s.add(lines.n, line) {
				return
			}
		}
	}
}

// fenced is the fence of the block of code that goes on behind a line, "" for
// none.
func fenced(fence, line string) string {
	t := strings.TrimSpace(line)
	for _, f := range []string{"```", "~~~"} {
		switch {
		case fence == "" && strings.HasPrefix(t, f):
			return f
		case fence == f && strings.HasPrefix(t, f):
			return ""
		}
	}
	return fence
}

// heading reads a heading such as "## Harbour"; level 0 for none.
func heading(line string) (level int, title string) {
	level = len(line) - len(strings.TrimLeft(line, "#"))
	if level < 1 || level > 6 || len(line) == level || line[level] != ' ' && line[level] != '\t' {
		return 0, ""
	}
	title = strings.TrimSpace(line[level:])
	if t := strings.TrimRight(title, "#"); t == "" || strings.HasSuffix(t, " ") {
		title = strings.TrimSpace(t) // the closing hashes, which are decoration
	}
	return level, title
}

func (s *section) enter(level int, title string) {
	s.headings[level-1] = title
	clear(s.headings[level:])
}

func (s *section) title() string {
	parts := slices.DeleteFunc(slices.Clone(s.headings[:]), func(h string) bool { return h == "" })
	if len(parts) == 0 {
		parts = []string{base(s.file)}
	}
	return clip(strings.Join(parts, " / "), memory.MaxTitleBytes)
}

// add adds a line, and ends the block when it is large enough. false: stop.
func (s *section) add(n int, line string) bool {
	if line == "" && s.block.Len() >= blockBytes || s.block.Len() >= mostBlockBytes {
		if !s.end() {
			return false
		}
	}
	if s.block.Len() == 0 {
		if line == "" {
			return true
		}
		s.line = n
	}
	s.block.WriteString(line)
	s.block.WriteByte('\n')
	return true
}

// end yields the passages of the block. false: stop.
func (s *section) end() bool {
	body := s.block.String()
	s.block.Reset()
	line, at := s.line, 0
	for _, p := range passages.Passages(body, s.o.PassageOptions) {
		line += strings.Count(body[min(at, p.From):p.From], "\n") - strings.Count(body[p.From:max(at, p.From)], "\n")
		at = p.From
		m := &engramv1.MemoryInput{Title: s.title(), Text: body[p.From:p.To], Stream: clip(s.file, memory.MaxNameBytes), Source: fmt.Sprintf("%s#L%d", clip(s.file, memory.MaxSourceBytes-16), line)}
		if !s.yield(&Item{File: s.file, Line: line, Memory: m, size: p.To - p.From, part: p.From}, nil) {
			return false
		}
	}
	return true
}

// Folder walks over the texts of a folder and those below it, in the order of
// their names: .txt and .text, .md and .markdown. Others, what begins with a point,
// and links, which may lead anywhere, are left out.
func Folder(fsys fs.FS, o ProseOptions, opened func(fs.File) io.Reader) Items {
	return func(yield func(*Item, error) bool) {
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case name != "." && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case !d.Type().IsRegular() || !IsProse(name):
				return nil
			}
			return proseFile(fsys, name, o, opened, yield)
		})
		if err != nil && !errors.Is(err, fs.SkipAll) {
			yield(nil, err)
		}
	}
}

// IsProse says whether a file is a text by its name.
func IsProse(name string) bool {
	return slices.Contains([]string{".txt", ".text", ".md", ".markdown"}, strings.ToLower(path.Ext(name)))
}

func proseFile(fsys fs.FS, name string, o ProseOptions, opened func(fs.File) io.Reader, yield func(*Item, error) bool) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	markdown := strings.HasPrefix(strings.ToLower(path.Ext(name)), ".m")
	for i, err := range prose(name, opened(f), markdown, o) {
		if err != nil {
			return err
		}
		if !yield(i, nil) {
			return fs.SkipAll
		}
	}
	return nil
}
