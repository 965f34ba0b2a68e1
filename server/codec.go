package server

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server/wirejson"
)

// What is wrong with a message of an RPC is found in a codec, which Connect asks
// before anything of ours and whose errors it words itself. So our codecs do not
// fail: they leave what is wrong in the message, as an unknown field, where the
// edge finds it. Who sends that field gets the error that they made up, and no
// one else does.

// faultField is a number that the schema does not use.
const faultField = 536870911

// protoCodec is Connect's own for protobuf, but for faults.
type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Marshal(m any) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }

// MarshalAppend is Marshal into a buffer of Connect's.
func (protoCodec) MarshalAppend(dst []byte, m any) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(dst, m.(proto.Message))
}

func (protoCodec) Unmarshal(b []byte, m any) error {
	msg := m.(proto.Message)
	if err := proto.Unmarshal(b, msg); err != nil {
		setFault(msg, protoFault(err, b))
	}
	return nil
}

// protoFault says what is wrong. The library's words change from build to build,
// on purpose; only what they are about is taken from them.
func protoFault(err error, b []byte) *wirejson.FieldError {
	if strings.Contains(err.Error(), "UTF-8") {
		_, name, _ := strings.Cut(err.Error(), "field ")
		name, _, _ = strings.Cut(name, " ")
		field := name[strings.LastIndexByte(name, '.')+1:]
		return &wirejson.FieldError{Code: "utf8_invalid", Field: field, Message: strings.TrimSpace(field + " is not UTF-8")}
	}
	return &wirejson.FieldError{Code: codeMessageInvalid, Message: "the body is not the protobuf message of this call"}
}

// jsonCodec is Connect's own for JSON, but for faults and for fields that are not
// known: they are refused, as by the REST door.
type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }

func (jsonCodec) Marshal(m any) ([]byte, error) { return protojson.Marshal(m.(proto.Message)) }

func (jsonCodec) Unmarshal(b []byte, m any) error {
	msg := m.(proto.Message)
	if len(b) == 0 {
		setFault(msg, &wirejson.FieldError{Code: "json_invalid", Message: "the body is empty; without fields it is {}"})
		return nil
	}
	if err := protojson.Unmarshal(b, msg); err != nil {
		f := jsonFault(err, b, msg)
		proto.Reset(msg)
		setFault(msg, f)
	}
	return nil
}

var unknownField = regexp.MustCompile(`unknown field "([^"]{1,128})"`)

func jsonFault(err error, b []byte, m proto.Message) *wirejson.FieldError {
	if !utf8.Valid(b) {
		return &wirejson.FieldError{Code: "utf8_invalid", Message: "the body is not UTF-8"}
	}
	// Our own reader says best what is wrong; it knows the names of the schema
	// alone, so that it is asked only when the other has refused.
	proto.Reset(m)
	if own := wirejson.Decode(b, m); own != nil {
		return own.(*wirejson.FieldError)
	}
	if name := unknownField.FindStringSubmatch(err.Error()); name != nil {
		return &wirejson.FieldError{Code: "field_unknown", Field: name[1], Message: name[1] + " is not a field that is known here"}
	}
	return &wirejson.FieldError{Code: "json_invalid", Message: "the body is not the JSON of this call"}
}

func setFault(m proto.Message, f *wirejson.FieldError) {
	proto.Reset(m)
	b := protowire.AppendTag(nil, faultField, protowire.BytesType)
	b = protowire.AppendString(b, strings.Join([]string{f.Code, f.Field, f.Message, f.Hint}, "\x00"))
	m.ProtoReflect().SetUnknown(b)
}

// faultOf gives what a codec left in a message.
func faultOf(m proto.Message) error {
	b := m.ProtoReflect().GetUnknown()
	if len(b) == 0 {
		return nil
	}
	n, t, size := protowire.ConsumeTag(b)
	if n != faultField || t != protowire.BytesType {
		return nil
	}
	s, more := protowire.ConsumeString(b[size:])
	parts := strings.Split(s, "\x00")
	if more < 0 || len(parts) != 4 {
		return memory.Invalid(codeMessageInvalid, "", "the body is not the protobuf message of this call")
	}
	for i := range parts { // a caller may have made it up
		parts[i] = strings.ToValidUTF8(parts[i], "\ufffd")
	}
	if !codeWord.MatchString(parts[0]) {
		parts[0] = codeMessageInvalid
	}
	return &wirejson.FieldError{Code: parts[0], Field: parts[1], Message: parts[2], Hint: parts[3]}
}

var codeWord = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

var codecs = connect.WithHandlerOptions(connect.WithCodec(protoCodec{}), connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
