package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// JSONL walks over a file with one thing a line: a memory as POST memories takes
// it (or as the API shows it: what only the engine says is left out), or an
// object with one key, "engram" (the header), "entity", "link" or "end". Empty
// lines are skipped.
func JSONL(file string, r io.Reader) Items {
	return func(yield func(*Item, error) bool) {
		lines := newLines(r)
		for {
			line, err := lines.next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, errLineTooLong):
				if !yield(bad(file, lines.n, "", err), nil) {
					return
				}
				continue
			case err != nil:
				yield(nil, fmt.Errorf("read %s: %w", file, err))
				return
			}
			line = bytes.TrimSpace(line)
			if len(line) == 0 {
				continue
			}
			if !yield(ParseLine(file, lines.n, line), nil) {
				return
			}
		}
	}
}

// ParseLine reads one line. What it can not read is an Item with an error.
func ParseLine(file string, n int, line []byte) *Item {
	i := &Item{File: file, Line: n, size: len(line)}
	var err error
	if key := firstKey(line); typed[key] {
		err = i.parseTyped(key, line)
	} else {
		i.Memory, err = parseMemory(line)
	}
	if err != nil {
		return bad(file, n, string(line), err)
	}
	return i
}

// typed are the keys of the lines that are no memories. No field of a memory has
// such a name.
var typed = map[string]bool{"engram": true, "entity": true, "link": true, "end": true}

// firstKey is the first key of an object, "" when there is none to be seen.
func firstKey(line []byte) string {
	rest, ok := bytes.CutPrefix(line, []byte("{"))
	if !ok {
		return ""
	}
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, " \t"), []byte(`"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 || end > 16 {
		return ""
	}
	return string(rest[:end])
}

func (i *Item) parseTyped(key string, line []byte) error {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(line, &parts); err != nil {
		return memory.Invalid("json_invalid", "", "the line is not JSON: %v", err)
	}
	if len(parts) != 1 {
		return memory.Invalid("line_unknown", key, "a line of %q has no other key", key)
	}
	body := parts[key]
	switch key {
	case "entity":
		i.Entity = &engramv1.Entity{}
		return inside(key, wirejson.Decode(body, i.Entity, readOnly...))
	case "link":
		i.Link = &engramv1.LinkInput{}
		return inside(key, wirejson.Decode(body, i.Link))
	case "engram":
		return i.parseHeader(body)
	}
	return i.parseEnd(body)
}

// inside puts the line's key before the field that is wrong.
func inside(key string, err error) error {
	if err == nil {
		return nil
	}
	return memory.InField(key, reasonOf(err))
}

type wireHeader struct {
	Version  int             `json:"version"`
	Space    string          `json:"space"`
	Settings json.RawMessage `json:"settings,omitempty"`
	LSN      uint64          `json:"lsn,string"`
}

func (i *Item) parseHeader(body []byte) error {
	var w wireHeader
	if err := json.Unmarshal(body, &w); err != nil {
		return memory.Invalid("json_invalid", "engram", "engram is not a header: %v", err)
	}
	if w.Version < 1 || w.Version > FormatVersion {
		return memory.Invalid("format_version", "engram.version", "engram.version is %d; this program reads versions 1 to %d", w.Version, FormatVersion).
			Hinted("read it with a newer release")
	}
	i.Header = &Header{Version: w.Version, Space: w.Space, LSN: w.LSN, Settings: &engramv1.Settings{}}
	if len(w.Settings) == 0 {
		return nil
	}
	return inside("engram.settings", wirejson.Decode(w.Settings, i.Header.Settings))
}

type wireEnd struct {
	Memories int64  `json:"memories"`
	Entities int64  `json:"entities"`
	Links    int64  `json:"links"`
	Digest   string `json:"digest"`
}

func (i *Item) parseEnd(body []byte) error {
	var w wireEnd
	if err := json.Unmarshal(body, &w); err != nil {
		return memory.Invalid("json_invalid", "end", "end is not the end of an export: %v", err)
	}
	i.End = &End{Memories: w.Memories, Entities: w.Entities, Links: w.Links, Digest: w.Digest}
	return nil
}

// readOnly are the fields that only the engine says.
var readOnly = []string{"kind", "version", "stored_at", "lsn", "retention", "model", "suppressed", "versions", "vector_made"}

// parseMemory reads a memory as it is written, or else as it is shown.
func parseMemory(line []byte) (*engramv1.MemoryInput, error) {
	m := &engramv1.MemoryInput{}
	err := wirejson.Decode(line, m)
	var field *wirejson.FieldError
	if err == nil || !errors.As(err, &field) || !saysEngine(field.Field) {
		return m, err
	}
	shown := &engramv1.Memory{}
	if err := wirejson.Decode(line, shown); err != nil {
		return nil, err
	}
	return inputOf(shown), nil
}

func saysEngine(field string) bool {
	return slices.Contains(readOnly, field) || len(field) > 6 && field[:6] == "links["
}

// inputOf is a memory as its caller would say it. Of its links those that leave
// it stay, in the way of a new memory, but for the mentions, which its entities
// say.
func inputOf(m *engramv1.Memory) *engramv1.MemoryInput {
	out := &engramv1.MemoryInput{
		Id: m.Id, Title: m.Title, Text: m.Text, Vector: m.Vector, HappenedAt: m.HappenedAt, Happened: m.Happened, Place: m.Place,
		People: m.People, Tags: m.Tags, Metadata: m.Metadata, Stream: m.Stream, Source: m.Source, Salience: m.Salience,
		ExpiresAt: m.ExpiresAt, Fact: m.Fact, Entities: m.Entities,
	}
	if m.VectorMade {
		out.Vector = nil // it was not said
	}
	for _, l := range m.Links {
		if l.GetFrom() == m.Id && l.GetRule() == memory.RuleCaller {
			weight := l.GetWeight()
			out.Links = append(out.Links, &engramv1.LinkDraft{To: l.GetTo(), Type: l.GetType(), Weight: &weight, Metadata: l.GetMetadata(), Valid: l.GetValid()})
		}
	}
	return out
}

// appendHeader writes the first line of an export.
func appendHeader(dst []byte, h *Header) []byte {
	body, _ := json.Marshal(wireHeader{Version: h.Version, Space: h.Space, LSN: h.LSN, Settings: wirejson.Append(nil, h.Settings)}) // its parts are JSON
	return append(append(append(dst, `{"engram":`...), body...), "}\n"...)
}

// appendEnd writes the last line of an export.
func appendEnd(dst []byte, e *End) []byte {
	body, _ := json.Marshal(wireEnd(*e)) // numbers and hex
	return append(append(append(dst, `{"end":`...), body...), "}\n"...)
}

// appendMemory writes a line of a memory, without its end.
func appendMemory(dst []byte, m *engramv1.MemoryInput) []byte { return wirejson.Append(dst, m) }

// appendEntity writes a line of an entity, without its end.
func appendEntity(dst []byte, e *engramv1.Entity) []byte {
	dst = append(dst, `{"entity":{"id":`...)
	dst = wirejson.AppendString(dst, e.GetId())
	dst = append(dst, ',')
	at := len(dst)
	dst = wirejson.Append(dst, entityInput(e))
	dst = slices.Delete(dst, at, at+1) // its brace
	return append(dst, '}')
}

// entityInput is an entity as its caller would say it. No metadata is the same as
// empty metadata, which is how the API shows it.
func entityInput(e *engramv1.Entity) *engramv1.EntityInput {
	m := e.GetMetadata()
	if m == nil {
		m = &structpb.Struct{}
	}
	return &engramv1.EntityInput{Name: e.GetName(), Type: e.GetType(), Aliases: e.GetAliases(), Metadata: m}
}

// appendLink writes a line of a link, without its end.
func appendLink(dst []byte, l *engramv1.LinkInput) []byte {
	dst = append(dst, `{"link":`...)
	dst = wirejson.Append(dst, l)
	return append(dst, '}')
}

func linkInput(l *engramv1.Link) *engramv1.LinkInput {
	weight := l.GetWeight()
	return &engramv1.LinkInput{Id: l.GetId(), From: l.GetFrom(), To: l.GetTo(), Type: l.GetType(), Weight: &weight, Metadata: l.GetMetadata(), Valid: l.GetValid()}
}
