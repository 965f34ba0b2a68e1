package wirejson

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// MaxDepth is how deep values may lie inside each other.
const MaxDepth = 64

// A FieldError says what is wrong with a document and where.
type FieldError struct {
	Code    string // json_invalid, utf8_invalid, field_unknown, field_repeated, type_mismatch, number_out_of_range, time_invalid, time_out_of_range, duration_invalid
	Field   string // memories[3].vector; "" for the whole
	Message string // begins with Field, when there is one
	Hint    string
}

func (e *FieldError) Error() string { return e.Message }

// Decode reads data into m, which should be empty; refused names fields of m
// that the document may not set because they are said elsewhere, as in the path.
// An empty document leaves m as it is. After an error m holds a part.
//
// Only errors of type *FieldError are returned.
func Decode(data []byte, m proto.Message, refused ...string) error {
	if i := invalidUTF8(data); i >= 0 {
		return &FieldError{Code: "utf8_invalid", Message: fmt.Sprintf("the body is not UTF-8 at byte %d", i)}
	}
	d := &decoder{data: data, refused: refused}
	d.space()
	if d.pos == len(d.data) {
		return nil
	}
	if err := d.message(m.ProtoReflect()); err != nil {
		return err
	}
	d.space()
	if d.pos < len(d.data) {
		return d.syntax("something follows the end of the document")
	}
	return nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// A decoder reads one document. path is where it stands, for errors alone.
type decoder struct {
	data    []byte
	pos     int
	path    []step
	refused []string
}

// A step of the path: a name, or a place in a list.
type step struct {
	name  string
	index int
}

func (d *decoder) enter(name string) { d.path = append(d.path, step{name: name}) }
func (d *decoder) enterItem(i int)   { d.path = append(d.path, step{index: i}) }
func (d *decoder) leave()            { d.path = d.path[:len(d.path)-1] }

func (d *decoder) where() string {
	var b strings.Builder
	for _, s := range d.path {
		switch {
		case s.name == "":
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() == 0:
			b.WriteString(s.name)
		default:
			b.WriteString("." + s.name)
		}
	}
	return b.String()
}

// fail makes an error about the place where the decoder stands.
func (d *decoder) fail(code, format string, args ...any) *FieldError {
	field := d.where()
	message := fmt.Sprintf(format, args...)
	if field == "" {
		return &FieldError{Code: code, Message: "the body " + message}
	}
	return &FieldError{Code: code, Field: field, Message: field + " " + message}
}

// syntax makes an error about the document's own form.
func (d *decoder) syntax(what string) *FieldError {
	return &FieldError{Code: "json_invalid", Field: d.where(), Message: fmt.Sprintf("the body is not JSON: %s at byte %d", what, d.pos)}
}

func (d *decoder) wrongType(want string) *FieldError {
	got := d.nextType()
	if got == "" {
		return d.syntax("a value is missing")
	}
	return d.fail("type_mismatch", "is %s; it must be %s", got, want)
}

// nextType says what the next value is, in words; "" for none.
func (d *decoder) nextType() string {
	switch c := d.peek(); {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	case d.word("true") || d.word("false"):
		return "a boolean"
	case d.word("null"):
		return "null"
	}
	return ""
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end.
func (d *decoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) word(w string) bool {
	return len(d.data)-d.pos >= len(w) && string(d.data[d.pos:d.pos+len(w)]) == w
}

func (d *decoder) takeWord(w string) bool {
	if d.word(w) {
		d.pos += len(w)
		return true
	}
	return false
}

// object reads an object and calls member at each value; the path names it.
func (d *decoder) object(member func(key string) error) error {
	if d.peek() != '{' {
		return d.wrongType("an object")
	}
	if len(d.path) >= MaxDepth {
		return d.fail("json_invalid", "lies deeper than %d levels", MaxDepth)
	}
	d.pos++
	d.space()
	if d.peek() == '}' {
		d.pos++
		return nil
	}
	for {
		if d.peek() != '"' {
			return d.syntax("a name in quotes is missing")
		}
		key, err := d.string()
		if err != nil {
			return err
		}
		d.space()
		if d.peek() != ':' {
			return d.syntax("a colon is missing")
		}
		d.pos++
		d.space()
		d.enter(key)
		if err := member(key); err != nil {
			return err
		}
		d.leave()
		d.space()
		switch d.peek() {
		case ',':
			d.pos++
			d.space()
		case '}':
			d.pos++
			return nil
		default:
			return d.syntax("a comma or a closing brace is missing")
		}
	}
}

// array reads a list and calls item at each value; the path counts them.
func (d *decoder) array(item func() error) error {
	if d.peek() != '[' {
		return d.wrongType("a list")
	}
	if len(d.path) >= MaxDepth {
		return d.fail("json_invalid", "lies deeper than %d levels", MaxDepth)
	}
	d.pos++
	d.space()
	if d.peek() == ']' {
		d.pos++
		return nil
	}
	for i := 0; ; i++ {
		d.enterItem(i)
		if err := item(); err != nil {
			return err
		}
		d.leave()
		d.space()
		switch d.peek() {
		case ',':
			d.pos++
			d.space()
		case ']':
			d.pos++
			return nil
		default:
			return d.syntax("a comma or a closing bracket is missing")
		}
	}
}

func (d *decoder) message(m protoreflect.Message) error {
	p := planOf(m.Descriptor())
	if p.known != plain {
		return d.knownMessage(p.known, m)
	}
	var seen uint64 // one bit a field; no message has more than 64
	return d.object(func(key string) error {
		f := p.byName[key]
		if f == nil || len(d.path) == 1 && slices.Contains(d.refused, key) {
			return d.unknown(key, p)
		}
		if seen&(1<<f.number) != 0 {
			return d.fail("field_repeated", "is given twice")
		}
		seen |= 1 << f.number
		return d.field(m, f)
	})
}

func (d *decoder) unknown(key string, p *plan) error {
	known := make([]string, 0, len(p.fields))
	for i := range p.fields {
		if name := p.fields[i].name; len(d.path) > 1 || !slices.Contains(d.refused, name) {
			known = append(known, name)
		}
	}
	e := d.fail("field_unknown", "is not a field that is known here")
	e.Hint = DidYouMean(key, known)
	return e
}

// DidYouMean is a hint that names the known word nearest to word, or all of them
// when none is near.
func DidYouMean(word string, known []string) string {
	if n := Nearest(word, known); n != "" {
		return "did you mean " + n + "?"
	}
	if len(known) == 0 {
		return "nothing can be given here"
	}
	return "it can be: " + strings.Join(known, ", ")
}

func (d *decoder) field(m protoreflect.Message, f *field) error {
	isValue := f.kind == protoreflect.MessageKind && !f.list && !f.isMap && f.sub().known == anyValue
	if !isValue && d.takeWord("null") {
		return nil // left out
	}
	switch {
	case f.list:
		return d.list(m, f)
	case f.isMap:
		return d.mapField(m, f)
	case f.kind == protoreflect.MessageKind:
		return d.message(m.Mutable(f.fd).Message())
	}
	v, err := d.scalar(f.kind)
	if err != nil {
		return err
	}
	m.Set(f.fd, v)
	return nil
}

func (d *decoder) list(m protoreflect.Message, f *field) error {
	if p := f.floats(m); p != nil {
		return d.floats(p)
	}
	l := m.Mutable(f.fd).List()
	if f.kind == protoreflect.MessageKind {
		return d.array(func() error { return d.message(l.AppendMutable().Message()) })
	}
	return d.array(func() error {
		v, err := d.scalar(f.kind)
		if err == nil {
			l.Append(v)
		}
		return err
	})
}

// floats reads a vector. It guesses the length from the commas up to the bracket,
// so that the slice is made once.
func (d *decoder) floats(into *[]float32) error {
	if end := bytes.IndexByte(d.data[d.pos:], ']'); end > 1 {
		*into = make([]float32, 0, bytes.Count(d.data[d.pos:d.pos+end], []byte{','})+1)
	}
	return d.array(func() error {
		x, err := d.float32()
		*into = append(*into, x)
		return err
	})
}

func (d *decoder) mapField(m protoreflect.Message, f *field) error {
	mm := m.Mutable(f.fd).Map()
	kind := f.fd.MapValue().Kind()
	return d.object(func(key string) error {
		k := protoreflect.ValueOfString(key).MapKey()
		if mm.Has(k) {
			return d.fail("field_repeated", "is given twice")
		}
		if kind == protoreflect.MessageKind {
			return d.message(mm.Mutable(k).Message())
		}
		v, err := d.scalar(kind)
		if err == nil {
			mm.Set(k, v)
		}
		return err
	})
}

// scalar reads one value. The error is a nil interface or a *FieldError.
func (d *decoder) scalar(kind protoreflect.Kind) (v protoreflect.Value, err error) {
	switch kind {
	case protoreflect.StringKind:
		if d.peek() != '"' {
			return v, d.wrongType("a string")
		}
		s, err := d.string()
		return protoreflect.ValueOfString(s), err
	case protoreflect.BoolKind:
		switch {
		case d.takeWord("true"):
			return protoreflect.ValueOfBool(true), nil
		case d.takeWord("false"):
			return protoreflect.ValueOfBool(false), nil
		}
		return v, d.wrongType("true or false")
	case protoreflect.FloatKind:
		x, err := d.float(32)
		return protoreflect.ValueOfFloat32(float32(x)), err
	case protoreflect.DoubleKind:
		x, err := d.float(64)
		return protoreflect.ValueOfFloat64(x), err
	}
	return d.integer(kind)
}

func (d *decoder) integer(kind protoreflect.Kind) (v protoreflect.Value, err error) {
	switch kind {
	case protoreflect.Int32Kind:
		x, err := d.whole(false, math.MinInt32, math.MaxInt32)
		return protoreflect.ValueOfInt32(int32(x)), err
	case protoreflect.Uint32Kind:
		x, err := d.whole(false, 0, math.MaxUint32)
		return protoreflect.ValueOfUint32(uint32(x)), err
	case protoreflect.Int64Kind:
		x, err := d.whole(true, math.MinInt64, math.MaxInt64)
		return protoreflect.ValueOfInt64(x), err
	case protoreflect.Uint64Kind:
		x, err := d.unsigned()
		return protoreflect.ValueOfUint64(x), err
	}
	return v, d.fail("type_mismatch", "is of kind %s, which can not be read yet", kind)
}

// digits gives the text of a whole number: a number or, when quoted, a string of
// one (64-bit numbers do not survive every JSON library).
func (d *decoder) digits(quoted bool) (string, error) {
	if quoted && d.peek() == '"' {
		n, err := d.string()
		inner := decoder{data: []byte(n)}
		if _, ok := inner.number(); err == nil && (!ok || inner.pos < len(n)) {
			return "", d.fail("type_mismatch", "is %s; it must be a whole number, or a string of one", short(n))
		}
		return n, err
	}
	want := "a whole number"
	if quoted {
		want = "a whole number, or a string of one"
	}
	n, ok := d.number()
	if !ok {
		return "", d.wrongType(want)
	}
	return n, nil
}

func (d *decoder) whole(quoted bool, least, most int64) (int64, error) {
	s, err := d.digits(quoted)
	if err != nil {
		return 0, err
	}
	x, perr := strconv.ParseInt(s, 10, 64)
	if perr != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || f != math.Trunc(f) {
			return 0, d.fail("type_mismatch", "is %s; it must be a whole number", short(s))
		}
		if math.Abs(f) > 1<<53 {
			return 0, d.fail("number_out_of_range", "is %s; it lies between %d and %d", short(s), least, most)
		}
		x = int64(f) // 1e3 and 2.0 are whole numbers too
	}
	if x < least || x > most {
		return 0, d.fail("number_out_of_range", "is %s; it lies between %d and %d", short(s), least, most)
	}
	return x, nil
}

func (d *decoder) unsigned() (uint64, error) {
	s, err := d.digits(true)
	if err != nil {
		return 0, err
	}
	x, perr := strconv.ParseUint(s, 10, 64)
	if perr != nil {
		return 0, d.fail("number_out_of_range", "is %s; it must be a whole number of 64 bits, at least 0", short(s))
	}
	return x, nil
}

func short(s string) string {
	if len(s) > 32 {
		return strconv.Quote(strings.ToValidUTF8(s[:32], "\ufffd")) + "..."
	}
	return strconv.Quote(s)
}

func (d *decoder) float(bits int) (float64, error) {
	n, ok := d.number()
	if !ok {
		return 0, d.wrongType("a number")
	}
	x, err := strconv.ParseFloat(n, bits)
	if err != nil {
		return 0, d.fail("number_out_of_range", "is %s, which a number of %d bits can not hold", short(n), bits)
	}
	return x, nil
}

func (d *decoder) float32() (float32, error) {
	if x, ok := d.quickFloat(); ok {
		return x, nil
	}
	x, err := d.float(32)
	return float32(x), err
}

// number reads the text of a number by JSON's grammar; false when none begins
// here. The text shares the document's memory (a vector has hundreds), so it may
// be parsed and not kept. A number that breaks off, such as "1.", leaves the position before it,
// so that the caller sees what is wrong in its own way.
func (d *decoder) number() (string, bool) {
	b, i := d.data, d.pos
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return "", false
	case b[i] == '0':
		i++
	case '1' <= b[i] && b[i] <= '9':
		i = skipDigits(b, i)
	default:
		return "", false
	}
	if i < len(b) && b[i] == '.' {
		j := skipDigits(b, i+1)
		if j == i+1 {
			return "", false
		}
		i = j
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		k := skipDigits(b, j)
		if k == j {
			return "", false
		}
		i = k
	}
	s := unsafe.String(&b[d.pos], i-d.pos)
	d.pos = i
	return s, true
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// string reads a string; the position is at its opening quote.
func (d *decoder) string() (string, error) {
	d.pos++
	start := d.pos
	for i := start; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			return string(d.data[start:i]), nil
		case c == '\\':
			return d.escaped(start, i)
		case c < 0x20:
			d.pos = i
			return "", d.syntax("a control character stands in a string")
		}
	}
	d.pos = len(d.data)
	return "", d.syntax("a string does not end")
}

// escaped reads the rest of a string from its first backslash on.
func (d *decoder) escaped(start, i int) (string, error) {
	out := append(make([]byte, 0, i-start+64), d.data[start:i]...)
	for i < len(d.data) {
		c := d.data[i]
		switch {
		case c == '"':
			d.pos = i + 1
			return string(out), nil
		case c < 0x20:
			d.pos = i
			return "", d.syntax("a control character stands in a string")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		d.pos = i
		r, n := unescape(d.data[i:])
		if n == 0 {
			return "", d.syntax("an escape is wrong")
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	d.pos = len(d.data)
	return "", d.syntax("a string does not end")
}

// unescape reads one escape, of two halves when it is a surrogate pair; n is how
// many bytes it took, 0 when it is wrong.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	if b[1] != 'u' {
		if i := strings.IndexByte(`"\/bfnrt`, b[1]); i >= 0 {
			return rune("\"\\/\b\f\n\r\t"[i]), 2
		}
		return 0, 0
	}
	r, ok := hex4(b[2:])
	if !ok {
		return 0, 0
	}
	if r < 0xd800 || r > 0xdfff {
		return r, 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0
	}
	low, ok := hex4(b[8:])
	if !ok || r > 0xdbff || low < 0xdc00 || low > 0xdfff {
		return 0, 0
	}
	return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		i := strings.IndexByte("0123456789abcdef", lower(c))
		if i < 0 {
			return 0, false
		}
		r = r<<4 | rune(i)
	}
	return r, true
}

func (d *decoder) knownMessage(known knownType, m protoreflect.Message) error {
	switch known {
	case timestamp:
		return d.timestamp(m)
	case duration:
		return d.duration(m)
	case anyStruct:
		return d.anyStruct(m.Interface().(*structpb.Struct))
	case anyList:
		return d.anyList(m.Interface().(*structpb.ListValue))
	}
	v, err := d.anyValue()
	if err != nil {
		return err
	}
	proto.Merge(m.Interface(), v)
	return nil
}

func (d *decoder) timestamp(m protoreflect.Message) error {
	if d.peek() != '"' {
		return d.wrongType("a string with a time")
	}
	s, err := d.string()
	if err != nil {
		return err
	}
	t, ok := ParseTime(s)
	if !ok {
		e := d.fail("time_invalid", "is %s, which is not a time", short(s))
		e.Hint = "write RFC 3339, such as 2026-05-04T10:00:00Z, with at most nine decimals"
		return e
	}
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		e := d.fail("time_out_of_range", "is %s, which is outside the years 1 to 9999", short(s))
		e.Hint = "years 1 to 9999 can be stored"
		return e
	}
	setSeconds(m, t.Unix(), int32(t.Nanosecond()))
	return nil
}

// ParseTime reads RFC 3339 with at most nine decimals.
func ParseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || len(s) < 20 || s[10] != 'T' || strings.IndexByte(s, ',') >= 0 {
		return time.Time{}, false
	}
	if s[19] == '.' && skipDigits([]byte(s), 20) > 29 {
		return time.Time{}, false
	}
	return t, true
}

func (d *decoder) duration(m protoreflect.Message) error {
	if d.peek() != '"' {
		return d.wrongType("a string with a duration")
	}
	s, err := d.string()
	if err != nil {
		return err
	}
	seconds, nanos, ok := ParseDuration(s)
	if !ok {
		e := d.fail("duration_invalid", "is %s, which is not a duration", short(s))
		e.Hint = `write seconds, such as "1.5s"`
		return e
	}
	setSeconds(m, seconds, nanos)
	return nil
}

func setSeconds(m protoreflect.Message, seconds int64, nanos int32) {
	fds := m.Descriptor().Fields()
	m.Set(fds.ByNumber(1), protoreflect.ValueOfInt64(seconds))
	m.Set(fds.ByNumber(2), protoreflect.ValueOfInt32(nanos))
}

// maxSeconds is the longest duration that protobuf keeps: 10,000 years.
const maxSeconds = 315_576_000_000

// ParseDuration reads seconds with at most nine decimals: "1.5s".
func ParseDuration(s string) (seconds int64, nanos int32, ok bool) {
	body, ok := strings.CutSuffix(s, "s")
	if !ok {
		return 0, 0, false
	}
	digits, negative := strings.CutPrefix(body, "-")
	whole, part, dotted := strings.Cut(digits, ".")
	if !allDigits(whole) || len(whole) > 1 && whole[0] == '0' || dotted && !allDigits(part) || len(part) > 9 {
		return 0, 0, false
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > maxSeconds {
		return 0, 0, false
	}
	n, _ := strconv.ParseInt(part+strings.Repeat("0", 9-len(part)), 10, 32)
	if negative {
		return -seconds, -int32(n), true
	}
	return seconds, int32(n), true
}

func allDigits(s string) bool {
	return s != "" && skipDigits([]byte(s), 0) == len(s)
}

func (d *decoder) anyStruct(s *structpb.Struct) error {
	s.Fields = map[string]*structpb.Value{}
	return d.object(func(key string) error {
		if _, twice := s.Fields[key]; twice {
			return d.fail("field_repeated", "is given twice")
		}
		v, err := d.anyValue()
		s.Fields[key] = v
		return err
	})
}

func (d *decoder) anyList(l *structpb.ListValue) error {
	return d.array(func() error {
		v, err := d.anyValue()
		l.Values = append(l.Values, v)
		return err
	})
}

func (d *decoder) anyValue() (*structpb.Value, error) {
	switch c := d.peek(); {
	case c == '"':
		s, err := d.string()
		return structpb.NewStringValue(s), err
	case c == '{':
		s := &structpb.Struct{}
		return structpb.NewStructValue(s), d.anyStruct(s)
	case c == '[':
		l := &structpb.ListValue{}
		return structpb.NewListValue(l), d.anyList(l)
	case d.takeWord("true"):
		return structpb.NewBoolValue(true), nil
	case d.takeWord("false"):
		return structpb.NewBoolValue(false), nil
	case d.takeWord("null"):
		return structpb.NewNullValue(), nil
	}
	return d.anyNumber()
}

// anyNumber reads a number of no declared type, which is kept in 64 bits. A
// whole number that would lose digits there is refused rather than changed.
func (d *decoder) anyNumber() (*structpb.Value, error) {
	start := d.pos
	x, err := d.float(64)
	if err != nil {
		return nil, err
	}
	n := string(d.data[start:d.pos])
	if math.Abs(x) >= 1<<53 && !strings.ContainsAny(n, ".eE") && strconv.FormatFloat(x, 'f', -1, 64) != n {
		e := d.fail("number_out_of_range", "is %s; whole numbers beyond 2^53 lose digits", short(n))
		e.Hint = "send it as a string"
		return nil, e
	}
	return structpb.NewNumberValue(x), nil
}
