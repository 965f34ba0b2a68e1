package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/engramdb/engram/memory"
)

// MaxLine is the longest line of a file in bytes: the longest text, in the widest
// JSON that is usual, and a vector.
const MaxLine = 32 << 20

// bom is what some editors put before UTF-8.
const bom = "\ufeff"

// A lineReader reads lines with a bound: a longer one is skipped whole and told.
type lineReader struct {
	r   *bufio.Reader
	n   int // lines read
	buf []byte
}

func newLines(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(r, 64<<10)} }

var errLineTooLong = memory.Errorf(memory.KindTooLarge, "line_too_long", "the line has more than %d bytes, which is the most", MaxLine)

// next gives the next line without its end, good until the next call;
// errLineTooLong for one that was skipped, io.EOF after the last.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	tooLong, some := false, false
	for {
		part, err := l.r.ReadSlice('\n')
		some = some || len(part) > 0
		if tooLong = tooLong || len(l.buf)+len(part) > MaxLine; !tooLong {
			if len(l.buf) == 0 && err == nil {
				return l.cut(part), nil // the usual case: no copy
			}
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!some || !errors.Is(err, io.EOF)):
			return nil, err
		}
		if tooLong {
			l.n++
			return nil, errLineTooLong
		}
		return l.cut(l.buf), nil
	}
}

func (l *lineReader) cut(line []byte) []byte {
	l.n++
	if l.n == 1 {
		line = bytes.TrimPrefix(line, []byte(bom))
	}
	return bytes.TrimRight(line, "\r\n")
}

// notUTF8 says where bytes are not UTF-8; nil when they are. To store something near to
// what is meant would lose it without a word.
func notUTF8(what string, b []byte) error {
	if utf8.Valid(b) {
		return nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n <= 1 {
			return memory.Invalid("utf8_invalid", "", "%s is not UTF-8 at byte %d", what, at).Hinted("write the file in UTF-8, as with: iconv -f latin1 -t utf-8")
		}
		at += n
	}
}

// base is the name that a stream has of its file: without the end that says the
// format.
func base(file string) string {
	name := file[strings.LastIndexByte(file, '/')+1:]
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	return clip(name, memory.MaxNameBytes)
}

// clip shortens s to at most n bytes of valid UTF-8 on one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\ufffd")), " ")
	if len(s) <= n {
		return s
	}
	return strings.TrimRight(strings.ToValidUTF8(s[:n], ""), " ")
}
