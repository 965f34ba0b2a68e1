package wirejson

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Append writes m behind dst, in the stable form that the package describes.
func Append(dst []byte, m proto.Message) []byte {
	return appendMessage(dst, m.ProtoReflect())
}

func appendMessage(dst []byte, m protoreflect.Message) []byte {
	p := planOf(m.Descriptor())
	if p.known != plain {
		return appendKnown(dst, p.known, m.Interface())
	}
	dst = append(dst, '{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		if !f.always && !m.Has(f.fd) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, f.key...)
		if p := f.floats(m); p != nil {
			dst = appendFloats(dst, *p)
			continue
		}
		dst = appendField(dst, f, m.Get(f.fd))
	}
	return append(dst, '}')
}

func appendField(dst []byte, f *field, v protoreflect.Value) []byte {
	switch {
	case f.list:
		return appendList(dst, f.kind, v.List())
	case f.isMap:
		return appendMap(dst, f.fd, v.Map())
	}
	return appendSingle(dst, f.kind, v)
}

func appendList(dst []byte, kind protoreflect.Kind, l protoreflect.List) []byte {
	dst = append(dst, '[')
	for i := range l.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSingle(dst, kind, l.Get(i))
	}
	return append(dst, ']')
}

func appendFloats(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFloat(dst, float64(x), 32)
	}
	return append(dst, ']')
}

func appendMap(dst []byte, fd protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	keys := make([]string, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k.String())
		return true
	})
	slices.Sort(keys)
	kind := fd.MapValue().Kind()
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, k), ':')
		dst = appendSingle(dst, kind, m.Get(protoreflect.ValueOfString(k).MapKey()))
	}
	return append(dst, '}')
}

func appendSingle(dst []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.StringKind:
		return AppendString(dst, v.String())
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32)
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return strconv.AppendInt(dst, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return append(strconv.AppendInt(append(dst, '"'), v.Int(), 10), '"')
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return append(strconv.AppendUint(append(dst, '"'), v.Uint(), 10), '"')
	case protoreflect.MessageKind:
		return appendMessage(dst, v.Message())
	}
	panic("wirejson: the schema has a field of kind " + kind.String() + ", which is not written yet")
}

func appendKnown(dst []byte, known knownType, m proto.Message) []byte {
	switch known {
	case timestamp:
		t := m.(*timestamppb.Timestamp).AsTime()
		return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
	case duration:
		return appendDuration(dst, m.(*durationpb.Duration))
	case anyStruct:
		return appendStruct(dst, m.(*structpb.Struct))
	case anyValue:
		return appendValue(dst, m.(*structpb.Value))
	}
	return appendValues(dst, m.(*structpb.ListValue))
}

// appendDuration writes seconds with as many decimals as they have: "1.5s".
func appendDuration(dst []byte, d *durationpb.Duration) []byte {
	s, n := d.GetSeconds(), int64(d.GetNanos())
	dst = append(dst, '"')
	if s < 0 || n < 0 {
		dst = append(dst, '-')
		s, n = -s, -n
	}
	dst = strconv.AppendInt(dst, s, 10)
	if n != 0 {
		digits := strconv.FormatInt(n+1e9, 10)[1:]
		for digits[len(digits)-1] == '0' {
			digits = digits[:len(digits)-1]
		}
		dst = append(append(dst, '.'), digits...)
	}
	return append(dst, 's', '"')
}

func appendStruct(dst []byte, s *structpb.Struct) []byte {
	keys := make([]string, 0, len(s.GetFields()))
	for k := range s.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, k), ':')
		dst = appendValue(dst, s.Fields[k])
	}
	return append(dst, '}')
}

func appendValue(dst []byte, v *structpb.Value) []byte {
	switch x := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return AppendString(dst, x.StringValue)
	case *structpb.Value_NumberValue:
		return appendFloat(dst, x.NumberValue, 64)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(dst, x.BoolValue)
	case *structpb.Value_StructValue:
		return appendStruct(dst, x.StructValue)
	case *structpb.Value_ListValue:
		return appendValues(dst, x.ListValue)
	}
	return append(dst, "null"...)
}

func appendValues(dst []byte, l *structpb.ListValue) []byte {
	dst = append(dst, '[')
	for i, v := range l.GetValues() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, v)
	}
	return append(dst, ']')
}

// appendFloat writes the shortest number that reads back as the same one. What
// JSON has no number for becomes a string, as protojson writes it.
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, bits)
}

// plainWords is how many bytes at the start of s stand in a JSON string as they are,
// looked at eight at a time: a multiple of that.
func plainWords(s string) (n int) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for b := unsafe.Slice(unsafe.StringData(s), len(s)); len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		quote, slash := w^ones*'"', w^ones*'\\'
		// The top bit of a byte is set where subtracting borrows, which is where the
		// byte is less; or in a byte above such a one, which is looked at anew.
		if (w|(w-ones*0x20)|(quote-ones)|(slash-ones))&tops != 0 {
			break
		}
		n += 8
	}
	return n
}

const hexDigits = "0123456789abcdef"

// AppendString writes s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i, next := 0, 0; i < len(s); {
		if i >= next {
			if i += plainWords(s[i:]); i == len(s) {
				break
			}
			next = i + 8 // what is not plain in them is found byte by byte
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
