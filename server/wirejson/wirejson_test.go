package wirejson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// messages are the types that hold every kind of field of the schema.
var messages = []func() proto.Message{
	func() proto.Message { return &engramv1.MemoryInput{} },
	func() proto.Message { return &engramv1.Cue{} },
	func() proto.Message { return &engramv1.RememberBatchRequest{} },
	func() proto.Message { return &engramv1.Memory{} },
	func() proto.Message { return &engramv1.RecallResponse{} },
	func() proto.Message { return &engramv1.Space{} },
	func() proto.Message { return &structpb.Struct{} },
}

func TestDecodeNamesThePlace(t *testing.T) {
	for _, c := range []struct{ name, body, code, field, says, hint string }{
		{"unknown field", `{"text":"x","txet":"y"}`, "field_unknown", "txet", "txet is not a field", "did you mean text?"},
		{"camel case", `{"happenedAt":"2026-01-01T00:00:00Z"}`, "field_unknown", "happenedAt", "", "did you mean happened_at?"},
		{"unknown inside", `{"place":{"lat":1,"lng":2}}`, "field_unknown", "place.lng", "", "it can be: name, lat, lon"},
		{"nothing near", `{"zzzzzzzz":1}`, "field_unknown", "zzzzzzzz", "", "it can be: id, title, text"},
		{"wrong type", `{"text":7}`, "type_mismatch", "text", "text is a number; it must be a string", ""},
		{"wrong type in a list", `{"vector":[1,2,"3"]}`, "type_mismatch", "vector[2]", "vector[2] is a string; it must be a number", ""},
		{"null in a list", `{"tags":["a",null]}`, "type_mismatch", "tags[1]", "is null", ""},
		{"object for a list", `{"tags":{"a":1}}`, "type_mismatch", "tags", "is an object; it must be a list", ""},
		{"list for an object", `{"place":[1]}`, "type_mismatch", "place", "is a list; it must be an object", ""},
		{"twice", `{"text":"a","text":"b"}`, "field_repeated", "text", "twice", ""},
		{"twice in metadata", `{"metadata":{"a":1,"a":2}}`, "field_repeated", "metadata.a", "twice", ""},
		{"time", `{"happened_at":"yesterday"}`, "time_invalid", "happened_at", "yesterday", "RFC 3339"},
		{"ten decimals", `{"happened_at":"2026-05-04T10:00:00.1234567891Z"}`, "time_invalid", "happened_at", "", ""},
		{"time as number", `{"happened_at":1}`, "type_mismatch", "happened_at", "a string with a time", ""},
		{"NaN", `{"vector":[1,NaN]}`, "json_invalid", "vector[1]", "", ""},
		{"1e39", `{"vector":[1,1e39]}`, "number_out_of_range", "vector[1]", "32 bits", ""},
		{"1e999", `{"salience":1e999}`, "number_out_of_range", "salience", "64 bits", ""},
		{"digits lost", `{"metadata":{"n":9007199254740993}}`, "number_out_of_range", "metadata.n", "2^53", "string"},
		{"leading zero", `{"salience":01}`, "json_invalid", "", "comma", ""},
		{"not JSON", `{oops`, "json_invalid", "", "at byte 1", ""},
		{"trailing", `{"text":"x"} {}`, "json_invalid", "", "follows the end", ""},
		{"trailing comma", `{"text":"x",}`, "json_invalid", "", "", ""},
		{"unfinished", `{"text":"x"`, "json_invalid", "", "", ""},
		{"unfinished string", `{"text":"x`, "json_invalid", "text", "", ""},
		{"control character", "{\"text\":\"a\nb\"}", "json_invalid", "text", "", ""},
		{"lone surrogate", `{"text":"\ud800"}`, "json_invalid", "text", "escape", ""},
		{"UTF-8", "{\"text\":\"\xff\xfe\"}", "utf8_invalid", "", "at byte 9", ""},
		{"top is a list", `[1]`, "type_mismatch", "", "the body is a list; it must be an object", ""},
		{"in a batch of links", `{"links":[{"to":"a"},{"to":"b","weight":"x"}]}`, "type_mismatch", "links[1].weight", "", ""},
		{"too deep", `{"metadata":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100) + `}`, "json_invalid", "", "64 levels", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := wirejson.Decode([]byte(c.body), &engramv1.MemoryInput{})
			var e *wirejson.FieldError
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Code != c.code || c.field != "" && e.Field != c.field || !strings.Contains(e.Message, c.says) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got code %q field %q message %q hint %q", e.Code, e.Field, e.Message, e.Hint)
			}
			if !strings.Contains(e.Message, e.Field) && e.Code != "json_invalid" {
				t.Errorf("the message %q does not name the field %q", e.Message, e.Field)
			}
		})
	}
}

func TestDecodeRefusesWhatIsSaidElsewhere(t *testing.T) {
	err := wirejson.Decode([]byte(`{"space":"x","ids":[]}`), &engramv1.GetMemoriesRequest{}, "space")
	var e *wirejson.FieldError
	if !errors.As(err, &e) || e.Code != "field_unknown" || strings.Contains(e.Hint, "space") {
		t.Errorf("got %v", err)
	}
}

func TestWholeNumbers(t *testing.T) {
	for body, want := range map[string]int32{`{"limit":10}`: 10, `{"limit":1e3}`: 1000, `{"limit":2.0}`: 2, `{"limit":-1}`: -1} {
		q := &engramv1.SpreadRequest{}
		if err := wirejson.Decode([]byte(body), q); err != nil || q.GetLimit() != want {
			t.Errorf("%s: got %d, %v", body, q.GetLimit(), err)
		}
	}
	for _, body := range []string{`{"limit":1.5}`, `{"limit":"10"}`, `{"limit":3000000000}`, `{"limit":1e300}`, `{"limit":true}`} {
		if err := wirejson.Decode([]byte(body), &engramv1.SpreadRequest{}); err == nil {
			t.Errorf("%s was read", body)
		}
	}
	for _, body := range []string{`{"after":"18446744073709551615"}`, `{"after":18446744073709551615}`} {
		q := &engramv1.ListEventsRequest{}
		if err := wirejson.Decode([]byte(body), q); err != nil || q.GetAfter() != math.MaxUint64 {
			t.Errorf("%s: got %d, %v", body, q.GetAfter(), err)
		}
	}
}

func TestEncodeGolden(t *testing.T) {
	weight := 0.5
	for name, c := range map[string]struct {
		m    proto.Message
		want string
	}{
		"empty page": {&engramv1.ListMemoriesResponse{}, `{"memories":[],"next_page_token":""}`},
		"counts":     {&engramv1.ForgetResponse{Lsn: 1 << 60}, `{"matched":0,"forgotten":0,"lsn":"1152921504606846976","missing":[]}`},
		"link": {&engramv1.LinkInput{From: "a", To: "b", Type: "causes", Weight: &weight, Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"z": structpb.NewBoolValue(true), "a": structpb.NewNullValue()}}},
			`{"from":"a","to":"b","type":"causes","weight":0.5,"metadata":{"a":null,"z":true}}`},
		"times": {&engramv1.Settings{Horizon: &durationpb.Duration{Seconds: 1, Nanos: 500_000_000}}, `{"horizon":"1.5s"}`},
		"short": {&engramv1.TimeRange{From: timestamppb.New(time.Date(2026, 5, 4, 10, 0, 0, 123456789, time.UTC)), To: timestamppb.New(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))},
			`{"from":"2026-05-04T10:00:00.123456789Z","to":"0001-01-01T00:00:00Z"}`},
		"string": {&engramv1.Fact{Subject: "\"\\\n\t\x01\u2028🦦<&>", Value: "\xff"}, `{"subject":"\"\\\n\t\u0001` + "\u2028" + `🦦<&>","value":"` + "\ufffd" + `"}`},
		"vector": {&engramv1.MemoryInput{Vector: []float32{0.1, -0, 1e-7, 3.4028235e38}}, `{"vector":[0.1,0,1e-07,3.4028235e+38],"people":[],"tags":[],"entities":[],"links":[]}`},
		"result": {&engramv1.BatchResult{Index: 3, Error: &engramv1.Error{Kind: "invalid"}}, `{"index":3,"error":{"kind":"invalid","retriable":false}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(wirejson.Append(nil, c.m)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestRoundTrip: what is written is read back as the same message, by this
// package and by protojson.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &engramv1.MemoryInput{
			Id: text(t), Text: text(t), Vector: rapid.SliceOf(rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32)).Draw(t, "vector"),
			Tags: rapid.SliceOf(rapid.String()).Draw(t, "tags"), Metadata: object(t, 2),
			HappenedAt: &timestamppb.Timestamp{Seconds: rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), Nanos: rapid.Int32Range(0, 999999999).Draw(t, "n")},
		}
		if rapid.Bool().Draw(t, "salient") {
			x := rapid.Float64().Draw(t, "salience")
			m.Salience = &x
		}
		b := wirejson.Append(nil, m)
		for name, read := range map[string]func([]byte, proto.Message) error{
			"wirejson":  func(b []byte, m proto.Message) error { return wirejson.Decode(b, m) },
			"protojson": protojson.Unmarshal,
		} {
			got := &engramv1.MemoryInput{}
			if err := read(b, got); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, b)
			}
			if !proto.Equal(got, m) {
				t.Fatalf("%s: got %v, want %v", name, got, m)
			}
		}
		p, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := &engramv1.MemoryInput{}
		if err := wirejson.Decode(p, got); err != nil || !proto.Equal(got, m) {
			t.Fatalf("%v: got %v, want %v", err, got, m)
		}
	})
}

func text(t *rapid.T) string { return rapid.String().Draw(t, "text") }

func object(t *rapid.T, depth int) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		k := text(t)
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			s.Fields[k] = structpb.NewStringValue(text(t))
		case 1:
			s.Fields[k] = structpb.NewNumberValue(rapid.Float64Range(-1e15, 1e15).Draw(t, "number"))
		case 2:
			s.Fields[k] = structpb.NewBoolValue(rapid.Bool().Draw(t, "bool"))
		case 3:
			s.Fields[k] = structpb.NewNullValue()
		case 4:
			s.Fields[k] = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(text(t))}})
		default:
			if depth > 0 {
				s.Fields[k] = structpb.NewStructValue(object(t, depth-1))
			}
		}
	}
	return s
}

// FuzzDecode: nothing panics; what is read, protojson reads too, as the same
// message; and it is written and read again as the same.
func FuzzDecode(f *testing.F) {
	for i := range messages {
		for _, s := range seeds {
			f.Add(byte(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		fresh := messages[int(which)%len(messages)]
		m := fresh()
		err := wirejson.Decode(data, m)
		var e *wirejson.FieldError
		if err != nil {
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Fatalf("an error of another kind: %#v", err)
			}
			return
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("read what is not JSON: %q", data)
		}
		other := fresh()
		if err := protojson.Unmarshal(data, other); err != nil {
			t.Fatalf("protojson refuses it: %v: %q", err, data)
		}
		if !proto.Equal(m, other) {
			t.Fatalf("got %v, protojson %v", m, other)
		}
		again := fresh()
		if err := wirejson.Decode(wirejson.Append(nil, m), again); err != nil || !proto.Equal(m, again) {
			t.Fatalf("%v: got %v, want %v", err, again, m)
		}
	})
}

var seeds = []string{
	``, `{}`, ` {"text":"x"} `, `{"text":"zürich 東京 🦦 \ud83e\udda6 \n"}`, `{"vector":[1,2.5,-3e-7]}`, `{"vector":[]}`, `{"vector":[1e39]}`,
	`{"happened_at":"2026-05-04T10:00:00.123456789Z"}`, `{"happened_at":"2026-05-04T10:00:00+02:00"}`, `{"happened":{"from":"2026-01-01T00:00:00Z","to":null}}`,
	`{"metadata":{"a":1,"b":[true,"x"],"c":{"gte":3},"d":null}}`, `{"salience":0.5,"place":{"lat":1,"lon":-2}}`, `{"text":null}`, `{"text":7}`, `{"a":`,
	`{"explain":"replay","exact":false,"limit":10,"stages":{"text":true},"timeout":"1.5s"}`, `{"explain":null}`, `{"timeout":"-0.5s"}`,
	`{"memories":[{"text":"a"},{"text":"b","links":[{"to":"x","weight":0}]}],"partial":true}`, `{"lsn":"18446744073709551615"}`, `{"lsn":1}`, "{\"text\":\"\xff\"}",
	`{"counts":{"episodes":"3"},"indexes":{"text":{"lsn":"1","tail":2}}}`, `{"took":{"vector":"0.001s"},"results":[{"score":0.1}]}`,
}

// FuzzDecodeQuery: nothing panics, and every error names a field.
func FuzzDecodeQuery(f *testing.F) {
	for _, s := range []string{
		"", "tags=a,b&tags=c", "page_size=3", "pagesize=3", "happened.from=2026-01-01T00:00:00Z", `happened={"from":"2026-01-01T00:00:00Z"}`, "metadata.mood=calm",
		`metadata={"n":{"gte":3}}`, "place.lat=1&place.lon=2&place.radius_m=3", "page_size=x", "page_size=1&page_size=2", "stream=%ff", "happened.=x", ".=", "happened.from.x=1", "metadata.=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		err = wirejson.DecodeQuery(values, &engramv1.ListMemoriesRequest{}, "space")
		var e *wirejson.FieldError
		if err != nil && (!errors.As(err, &e) || e.Code == "") {
			t.Fatalf("an error of another kind: %#v", err)
		}
	})
}

func TestDecodeQuery(t *testing.T) {
	for raw, want := range map[string]*engramv1.ListMemoriesRequest{
		"tags=a,b&tags=c":    {Tags: []string{"a", "b", "c"}},
		"tags=":              {},
		"stream=a,b":         {Stream: "a,b"},
		"page_size=3":        {PageSize: proto.Int32(3)},
		"metadata.mood=calm": {Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"mood": structpb.NewStringValue("calm")}}},
		"metadata.n=3":       {Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewNumberValue(3)}}},
		`metadata.n={"gte":3}`: {Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewStructValue(
			&structpb.Struct{Fields: map[string]*structpb.Value{"gte": structpb.NewNumberValue(3)}})}}},
		"happened.from=2026-01-01T00:00:00Z":       {Happened: &engramv1.TimeRange{From: &timestamppb.Timestamp{Seconds: 1767225600}}},
		`happened={"from":"2026-01-01T00:00:00Z"}`: {Happened: &engramv1.TimeRange{From: &timestamppb.Timestamp{Seconds: 1767225600}}},
		"place.lat=1&place.lon=2&place.radius_m=5": {Place: &engramv1.PlaceFilter{Lat: proto.Float64(1), Lon: proto.Float64(2), RadiusM: 5}},
	} {
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := &engramv1.ListMemoriesRequest{}
		if err := wirejson.DecodeQuery(values, got, "space"); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: got %v, %v", raw, got, err)
		}
	}
}

func TestDecodeQueryNamesTheParameter(t *testing.T) {
	for raw, want := range map[string]struct{ code, field, hint string }{
		"pagesize=3":                 {"field_unknown", "pagesize", "did you mean page_size?"},
		"space=other":                {"field_unknown", "space", ""},
		"happened.form=x":            {"field_unknown", "happened.form", "did you mean from?"},
		"page_size=many":             {"type_mismatch", "page_size", ""},
		"page_size=3000000000":       {"number_out_of_range", "page_size", ""},
		"page_size=":                 {"type_mismatch", "page_size", ""},
		"page_size=1&page_size=2":    {"field_repeated", "page_size", ""},
		"happened.from=yesterday":    {"time_invalid", "happened.from", "RFC 3339"},
		"happened=2026":              {"type_mismatch", "happened", ""},
		"stream=%ff":                 {"utf8_invalid", "stream", ""},
		"tags.x=1":                   {"field_unknown", "tags.x", ""},
		"happened.from.x=2026-01-01": {"field_unknown", "happened.from.x", ""},
		"metadata.k=1&metadata.k=2":  {"field_repeated", "metadata.k", ""},
		`metadata={"a":1}{}`:         {"json_invalid", "metadata", ""},
		`place={"lat":1,"long":2}`:   {"field_unknown", "place.long", "did you mean lon?"},
	} {
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		err = wirejson.DecodeQuery(values, &engramv1.ListMemoriesRequest{}, "space")
		var e *wirejson.FieldError
		if !errors.As(err, &e) || e.Code != want.code || e.Field != want.field || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: got %#v", raw, err)
		}
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{"1.5s": 1500 * time.Millisecond, "0s": 0, "-0.000000001s": -1, "10s": 10 * time.Second} {
		sec, nanos, ok := wirejson.ParseDuration(s)
		if got := time.Duration(sec)*time.Second + time.Duration(nanos); !ok || got != want {
			t.Errorf("%s: got %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "s", "1", "1m", ".5s", "1.s", "1.0000000001s", "--1s", "+1s", "999999999999999s"} {
		if _, _, ok := wirejson.ParseDuration(s); ok {
			t.Errorf("%q was read", s)
		}
	}
}

// BenchmarkVector is a memory with a vector of 768 numbers.
func BenchmarkVector(b *testing.B) {
	body := []byte(`{"text":"x","vector":[` + strings.TrimSuffix(strings.Repeat("0.12345678,", 768), ",") + `]}`)
	for name, read := range map[string]func([]byte, proto.Message) error{
		"wirejson":  func(b []byte, m proto.Message) error { return wirejson.Decode(b, m) },
		"protojson": protojson.Unmarshal,
	} {
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(body, &engramv1.MemoryInput{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	m := &engramv1.MemoryInput{}
	if err := wirejson.Decode(body, m); err != nil {
		b.Fatal(err)
	}
	b.Run("encode/wirejson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wirejson.Append(nil, m)
		}
	})
	b.Run("encode/protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = protojson.Marshal(m)
		}
	})
}
