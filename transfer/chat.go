package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// elements walks over the elements of a JSON array, or over JSON values that
// stand one behind the other (JSONL too). Broken JSON ends the walk: there is no
// telling where the next element begins.
func elements(file string, r io.Reader, item func(n int, raw json.RawMessage) []*Item) Items {
	return func(yield func(*Item, error) bool) {
		in := bufio.NewReader(r)
		if b, err := in.Peek(len(bom)); err == nil && string(b) == bom {
			_, _ = in.Discard(len(bom)) // it was there
		}
		bound := &boundedReader{r: in, left: MaxLine}
		d := json.NewDecoder(bound)
		array, err := opensArray(in)
		if err == nil && array {
			_, err = d.Token()
		}
		for n := 1; err == nil; n++ {
			if array && !d.More() {
				break
			}
			bound.left = MaxLine
			var raw json.RawMessage
			if err = d.Decode(&raw); err != nil {
				break
			}
			if wrong := notUTF8("the element", raw); wrong != nil {
				if !yield(bad(file, n, string(raw), wrong), nil) {
					return
				}
				continue
			}
			for _, i := range item(n, raw) {
				if !yield(i, nil) {
					return
				}
			}
		}
		if array && err == nil {
			_, err = d.Token() // the end of the array: without it the file is cut off
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", file, err))
		}
	}
}

// opensArray looks at the first byte that is not white space.
func opensArray(in *bufio.Reader) (bool, error) {
	for {
		b, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !bytes.ContainsRune([]byte(" \t\r\n"), rune(b)) {
			return b == '[', in.UnreadByte()
		}
	}
}

// message is one turn of a chat, in the words that are usual.
type message struct {
	ID        string          `json:"id"`
	Role      string          `json:"role"`
	Name      string          `json:"name"`
	Content   json.RawMessage `json:"content"`
	Time      json.RawMessage `json:"time"`
	Timestamp json.RawMessage `json:"timestamp"`
	CreatedAt json.RawMessage `json:"created_at"`
	Messages  []message       `json:"messages"` // of a whole conversation
	Title     string          `json:"title"`
}

// Chat walks over the turns of a chat: [{"role", "content", "time"}], the same
// one a line, or conversations {"id", "title", "messages": [...]}. Who speaks (name, else
// role) is the person, the file or the conversation the stream. The role stays
// in the metadata.
func Chat(file string, r io.Reader) Items {
	return elements(file, r, func(n int, raw json.RawMessage) []*Item {
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			return []*Item{bad(file, n, string(raw), memory.Invalid("json_invalid", "", "the turn can not be read: %v", err))}
		}
		if m.Messages == nil {
			return []*Item{m.item(file, n, 0, base(file), raw)}
		}
		stream := clip(m.ID, memory.MaxNameBytes)
		if stream == "" {
			stream = clip(base(file)+"/"+strconv.Itoa(n), memory.MaxNameBytes)
		}
		var out []*Item
		for k := range m.Messages {
			i := m.Messages[k].item(file, n, k, stream, nil)
			if i.Memory != nil {
				i.Memory.Title = clip(m.Title, memory.MaxTitleBytes)
			}
			out = append(out, i)
		}
		return out
	})
}

func (m *message) item(file string, n, part int, stream string, raw json.RawMessage) *Item {
	said, err := m.said()
	if err == nil && strings.TrimSpace(said) == "" {
		err = memory.Invalid("text_blank", "content", "content is blank: there is nothing to remember")
	}
	out := &engramv1.MemoryInput{Text: said, Stream: stream, Source: clip(file, memory.MaxSourceBytes)}
	if err == nil {
		err = m.when(out)
	}
	if err != nil {
		return bad(file, n, string(raw), err)
	}
	if who := clip(m.who(), memory.MaxNameBytes); who != "" {
		out.People = []string{who}
	}
	if m.Role != "" {
		out.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{"role": structpb.NewStringValue(m.Role)}}
	}
	return &Item{File: file, Line: n, Memory: out, size: len(said), part: part}
}

func (m *message) who() string {
	if m.Name != "" {
		return m.Name
	}
	return m.Role
}

// said is the content: a text, or the texts of its parts.
func (m *message) said() (string, error) {
	if len(m.Content) == 0 || string(m.Content) == "null" {
		return "", nil
	}
	if m.Content[0] == '"' {
		var s string
		err := json.Unmarshal(m.Content, &s)
		return s, err
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", memory.Invalid("content_invalid", "content", "content is neither a text nor a list of parts with text")
	}
	var texts []string
	for _, p := range parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n\n"), nil
}

func (m *message) when(out *engramv1.MemoryInput) error {
	for _, raw := range []json.RawMessage{m.Time, m.Timestamp, m.CreatedAt} {
		s, err := text(raw)
		if err != nil {
			return err
		}
		if s != "" {
			return happen(out, s)
		}
	}
	return nil
}

// A sample is one conversation of LoCoMo.
type sample struct {
	ID           string                     `json:"sample_id"`
	Conversation map[string]json.RawMessage `json:"conversation"`
}

type turn struct {
	ID      string `json:"dia_id"`
	Speaker string `json:"speaker"`
	Text    string `json:"text"`
	Caption string `json:"blip_caption"`
}

// Locomo walks over the conversations of the LoCoMo benchmark: one memory a
// turn, in the order in which they were spoken. A session is a stream, the
// speaker a person; the turn's own name, which the questions use as evidence,
// stays in the metadata as dia_id, and the conversation's in the id and the tags.
func Locomo(file string, r io.Reader) Items {
	return elements(file, r, func(n int, raw json.RawMessage) []*Item {
		var s sample
		err := json.Unmarshal(raw, &s)
		if err == nil && len(s.Conversation) == 0 {
			err = errors.New("it has no conversation")
		}
		if err != nil {
			return []*Item{bad(file, n, string(raw), memory.Invalid("json_invalid", "", "the conversation can not be read: %v", err))}
		}
		if s.ID == "" {
			s.ID = "conv-" + strconv.Itoa(n)
		}
		return s.items(file, n)
	})
}

var sessionKey = regexp.MustCompile(`^session_(\d{1,6})$`)

func (s *sample) items(file string, n int) (out []*Item) {
	var sessions []int
	for k := range s.Conversation {
		if m := sessionKey.FindStringSubmatch(k); m != nil {
			number, _ := strconv.Atoi(m[1]) // a few digits
			sessions = append(sessions, number)
		}
	}
	slices.Sort(sessions)
	for _, number := range sessions {
		key := "session_" + strconv.Itoa(number)
		var turns []turn
		if err := json.Unmarshal(s.Conversation[key], &turns); err != nil {
			out = append(out, bad(file, n, string(s.Conversation[key]), memory.Invalid("json_invalid", key, "%s can not be read: %v", key, err)))
			continue
		}
		happened := s.when(key + "_date_time")
		for _, t := range turns {
			m := t.memory(s.ID, key)
			m.HappenedAt = happened
			out = append(out, &Item{File: file, Line: n, Memory: m, size: len(m.Text), part: len(out)})
		}
	}
	return out
}

func (t *turn) memory(conversation, session string) *engramv1.MemoryInput {
	said := t.Speaker + ": " + t.Text
	if t.Caption != "" {
		said += " [shares a photo: " + t.Caption + "]"
	}
	m := &engramv1.MemoryInput{Text: said, Stream: clip(conversation+"/"+session, memory.MaxNameBytes), Source: "LoCoMo " + conversation + " " + t.ID, Tags: []string{clip(conversation, memory.MaxNameBytes)},
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"dia_id": structpb.NewStringValue(t.ID)}}}
	if who := clip(t.Speaker, memory.MaxNameBytes); who != "" {
		m.People = []string{who}
	}
	if id := memory.ID(conversation + ":" + t.ID); t.ID != "" && id.Check("id") == nil {
		m.Id = string(id)
	}
	return m
}

// when reads "1:56 pm on 8 May, 2023"; nil where it is something else.
func (s *sample) when(key string) *timestamppb.Timestamp {
	var said string
	if json.Unmarshal(s.Conversation[key], &said) != nil {
		return nil
	}
	said = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(said, ",", "")))
	t, err := time.Parse("3:04 pm on 2 January 2006", said)
	if err != nil || timestamppb.New(t).CheckValid() != nil {
		return nil
	}
	return timestamppb.New(t)
}
