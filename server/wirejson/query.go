package wirejson

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// DecodeQuery reads the parameters of a URL into m. A list is written with
// commas, by repeating the parameter, or both; a part of a message with a dot
// (happened.from=), or the message as JSON (happened={"from": ...}). refused
// names fields that no parameter may set, because the path or the body does.
//
// Only errors of type *FieldError are returned.
func DecodeQuery(values url.Values, m proto.Message, refused ...string) error {
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys) // so that the same mistake gives the same error
	for _, k := range keys {
		if err := parameter(m.ProtoReflect(), k, values[k], refused); err != nil {
			return err
		}
	}
	return nil
}

func parameter(m protoreflect.Message, key string, values []string, refused []string) error {
	for _, v := range values {
		if !utf8.ValidString(v) {
			return &FieldError{Code: "utf8_invalid", Field: key, Message: key + " is not UTF-8"}
		}
	}
	for rest := key; ; {
		p := planOf(m.Descriptor())
		name, deeper, dotted := strings.Cut(rest, ".")
		f := p.byName[name]
		if f == nil || slices.Contains(refused, name) {
			return unknownParameter(key, p, refused)
		}
		if !dotted {
			return setParameter(m, f, key, values)
		}
		if f.kind != protoreflect.MessageKind || f.list || f.isMap {
			return unknownParameter(key, p, refused)
		}
		switch f.sub().known {
		case plain:
			m, rest, refused = m.Mutable(f.fd).Message(), deeper, nil // only the outermost names are refused
		case anyStruct:
			return setMember(m.Mutable(f.fd).Message().Interface().(*structpb.Struct), key, deeper, values)
		default:
			return unknownParameter(key, p, refused)
		}
	}
}

func unknownParameter(key string, p *plan, refused []string) error {
	known := make([]string, 0, len(p.fields))
	for i := range p.fields {
		if !slices.Contains(refused, p.fields[i].name) {
			known = append(known, p.fields[i].name)
		}
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	return &FieldError{Code: "field_unknown", Field: key, Message: key + " is not a query parameter that is known here", Hint: DidYouMean(last, known)}
}

// setParameter sets one field from the texts that a parameter was given.
func setParameter(m protoreflect.Message, f *field, key string, values []string) error {
	if f.list && f.kind != protoreflect.MessageKind {
		l := m.Mutable(f.fd).List()
		for _, v := range values {
			for item := range strings.SplitSeq(v, ",") {
				if item == "" {
					continue
				}
				x, err := parseText(key, f.kind, item)
				if err != nil {
					return err
				}
				l.Append(x)
			}
		}
		return nil
	}
	if len(values) != 1 {
		return &FieldError{Code: "field_repeated", Field: key, Message: key + " is given twice"}
	}
	if f.kind != protoreflect.MessageKind {
		x, err := parseText(key, f.kind, values[0])
		if err == nil {
			m.Set(f.fd, x)
		}
		return err
	}
	return setMessage(m, f, key, values[0])
}

// setMessage sets a field that is a message from JSON, or from the bare text
// where JSON would have a string.
func setMessage(m protoreflect.Message, f *field, key, text string) error {
	if !f.list && !f.isMap {
		switch f.sub().known {
		case timestamp, duration:
			text = string(AppendString(nil, text))
		case anyValue:
			m.Set(f.fd, protoreflect.ValueOfMessage(looseValue(text).ProtoReflect()))
			return nil
		}
	}
	d := &decoder{data: []byte(text), path: []step{{name: key}}}
	d.space()
	if err := d.field(m, f); err != nil {
		return err
	}
	if d.space(); d.pos < len(d.data) {
		return &FieldError{Code: "json_invalid", Field: key, Message: key + " has something behind its end"}
	}
	return nil
}

// setMember sets one key of a struct: metadata.mood=calm.
func setMember(s *structpb.Struct, key, member string, values []string) error {
	if len(values) != 1 {
		return &FieldError{Code: "field_repeated", Field: key, Message: key + " is given twice"}
	}
	if s.Fields == nil {
		s.Fields = map[string]*structpb.Value{}
	}
	s.Fields[member] = looseValue(values[0])
	return nil
}

// looseValue reads text as JSON where it is that, and as a string otherwise.
func looseValue(text string) *structpb.Value {
	d := &decoder{data: []byte(text)}
	v, err := d.anyValue()
	if err != nil || d.pos < len(d.data) {
		return structpb.NewStringValue(text)
	}
	return v
}

// parseText reads a scalar that stands without quotes.
func parseText(key string, kind protoreflect.Kind, text string) (v protoreflect.Value, err error) {
	if kind == protoreflect.StringKind {
		return protoreflect.ValueOfString(text), nil
	}
	d := &decoder{data: []byte(text), path: []step{{name: key}}}
	v, err = d.scalar(kind)
	if err == nil && d.pos == len(d.data) {
		return v, nil
	}
	if e, ok := err.(*FieldError); ok && e.Code == "number_out_of_range" {
		return v, e
	}
	return v, &FieldError{Code: "type_mismatch", Field: key, Message: fmt.Sprintf("%s is %s; it must be %s", key, short(text), kindWords(kind))}
}

func kindWords(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number"
	}
	return "a whole number"
}
