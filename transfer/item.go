package transfer

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// An Item is one thing of a file: exactly one of Memory, Entity, Link, Header,
// End and Err is set. Who gets it owns it.
type Item struct {
	File string // its name, without the folder that was asked for
	Line int    // where it begins, from 1: the line, or in a JSON array the element

	Memory *engramv1.MemoryInput
	Entity *engramv1.Entity // its id, and what EntityInput says
	Link   *engramv1.LinkInput
	Header *Header
	End    *End

	Err error  // why it can not be read
	Raw string // the words that could not be, cut at maxRaw bytes

	part   int   // which of several that begin at the same line
	made   bool  // its id, by name: no other has it
	number int64 // its place in the walk, from 1
	size   int   // about how many bytes it takes
}

// Items is a walk over the things of a file. An error ends it: the file can not
// be read on.
type Items = iter.Seq2[*Item, error]

// A Header is the first line of an export.
type Header struct {
	Version  int
	Space    string
	Settings *engramv1.Settings
	LSN      uint64 // the state that was exported, as far as it was still
}

// An End is the last line of an export: without it the file is cut off.
type End struct {
	Memories, Entities, Links int64
	Digest                    string
}

// FormatVersion is the version of the JSONL lines that this package writes, and
// the newest that it reads.
const FormatVersion = 1

// maxRaw is how much of a bad line is kept.
const maxRaw = 64 << 10

// bad makes the item of what can not be read.
func bad(file string, line int, raw string, err error) *Item {
	if len(raw) > maxRaw {
		raw = raw[:maxRaw]
	}
	return &Item{File: file, Line: line, Raw: strings.ToValidUTF8(raw, "\ufffd"), Err: reasonOf(err)}
}

// reasonOf makes a *memory.Error of what a reader found wrong.
func reasonOf(err error) error {
	var own *memory.Error
	var field *wirejson.FieldError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &field):
		e := memory.Invalid(field.Code, field.Field, "%s", strings.Replace(field.Message, "the body", "the line", 1)) // of a request
		e.Hint = field.Hint
		return e
	}
	return memory.Invalid("line_unreadable", "", "%v", err)
}

// name gives a memory or a link that has no id the one that its place and
// content make. The same file has the same ids, wherever it lies and however
// often it is read; 120 bits of SHA-256 keep two apart.
func (i *Item) name() {
	switch {
	case i.Memory != nil && i.Memory.Id == "":
		i.Memory.Id, i.made = i.madeID(wirejson.Append(nil, i.Memory)), true
	case i.Link != nil && i.Link.Id == "":
		i.Link.Id, i.made = i.madeID(wirejson.Append(nil, i.Link)), true
	}
}

var idLetters = base32.HexEncoding.WithPadding(base32.NoPadding)

func (i *Item) madeID(content []byte) string {
	h := sha256.New()
	for _, part := range []string{i.File, strconv.Itoa(i.Line), strconv.Itoa(i.part)} { // a hash never fails to write
		_, _ = h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		_, _ = h.Write([]byte(":" + part))
	}
	_, _ = h.Write(content)
	return "imp-" + strings.ToLower(idLetters.EncodeToString(h.Sum(nil)[:15]))
}
