package main

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// filterFlags are the one vocabulary of filters, as flags.
type filterFlags struct {
	kinds, tags, anyTags, notTags, people, where          []string
	stream, from, to, storedFrom, storedTo, place, nearby string
}

func (f *filterFlags) add(c *cobra.Command) {
	fs := c.Flags()
	fs.StringSliceVar(&f.tags, "tag", nil, "with all of these tags")
	fs.StringSliceVar(&f.anyTags, "any-tag", nil, "with at least one of these tags")
	fs.StringSliceVar(&f.notTags, "not-tag", nil, "with none of these tags")
	fs.StringSliceVar(&f.people, "person", nil, "with all of these people")
	fs.StringVar(&f.stream, "stream", "", "of this conversation, document or feed")
	fs.StringVar(&f.from, "from", "", "that happened at or after this time")
	fs.StringVar(&f.to, "to", "", "that happened before this time")
	fs.StringVar(&f.storedFrom, "stored-from", "", "stored at or after this time")
	fs.StringVar(&f.storedTo, "stored-to", "", "stored before this time")
	fs.StringVar(&f.place, "place", "", "at the place of this name")
	fs.StringVar(&f.nearby, "near", "", "within a circle: LAT,LON,RADIUS, the radius in metres or as 2km")
	fs.StringArrayVar(&f.where, "where", nil, "by metadata: k=v, k>=v, k>v, k<=v, k<v, k=[v,w] (any of), k (is there), !k (is not)")
	fs.StringSliceVar(&f.kinds, "kind", nil, "of these kinds: episode, concept, entity")
}

// filter reads the flags. It checks only how things are written; what may be
// asked is the API's affair.
func (f *filterFlags) filter() (*engramv1.Filter, error) {
	out := &engramv1.Filter{Kinds: f.kinds, Tags: f.tags, AnyTags: f.anyTags, NotTags: f.notTags, People: f.people, Stream: f.stream}
	var err error
	if out.Happened, err = timeRange("from", f.from, "to", f.to); err != nil {
		return nil, err
	}
	if out.Stored, err = timeRange("stored-from", f.storedFrom, "stored-to", f.storedTo); err != nil {
		return nil, err
	}
	if out.Place, err = placeFilter(f.place, f.nearby); err != nil {
		return nil, err
	}
	out.Metadata, err = conditions(f.where)
	return out, err
}

func isEmpty(m proto.Message) bool { return proto.Size(m) == 0 }

// copyFilter puts a filter into a message that has the same fields, as cues and
// lists do. By name, so that a new kind of filter is not forgotten here.
func copyFilter(dst proto.Message, f *engramv1.Filter) {
	d := dst.ProtoReflect()
	f.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		d.Set(d.Descriptor().Fields().ByName(field.Name()), v)
		return true
	})
}

func placeFilter(name, near string) (*engramv1.PlaceFilter, error) {
	if name == "" && near == "" {
		return nil, nil
	}
	p := &engramv1.PlaceFilter{Name: name}
	if near == "" {
		return p, nil
	}
	bad := usage("--near: %q is not LAT,LON,RADIUS", near).hinted("write degrees and metres, such as 47.37,8.54,500 or 47.37,8.54,2km")
	parts := strings.Split(near, ",")
	if len(parts) != 3 {
		return nil, bad
	}
	lat, ok1 := number(parts[0])
	lon, ok2 := number(parts[1])
	radius, ok3 := metres(parts[2])
	if !ok1 || !ok2 || !ok3 {
		return nil, bad
	}
	p.Lat, p.Lon, p.RadiusM = &lat, &lon, radius
	return p, nil
}

func number(s string) (float64, bool) {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
}

func metres(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if km, ok := strings.CutSuffix(s, "km"); ok {
		x, ok := number(km)
		return 1000 * x, ok
	}
	return number(strings.TrimSuffix(s, "m"))
}

// comparisons are the operators of --where and what the API calls them, the
// longer ones first: ">=" must not be read as ">".
var comparisons = []struct{ sign, name string }{{">=", "gte"}, {"<=", "lte"}, {">", "gt"}, {"<", "lt"}, {"=", "in"}}

// conditions reads --where flags. Several about one key must all hold.
func conditions(where []string) (*structpb.Struct, error) {
	if len(where) == 0 {
		return nil, nil
	}
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, w := range where {
		key, op, v, err := condition(w)
		if err != nil {
			return nil, err
		}
		asked := out.Fields[key].GetStructValue()
		if asked == nil {
			asked = &structpb.Struct{Fields: map[string]*structpb.Value{}}
			out.Fields[key] = structpb.NewStructValue(asked)
		}
		if _, twice := asked.Fields[op]; twice {
			return nil, usage("--where: %q asks the same of %s again", w, key)
		}
		asked.Fields[op] = v
	}
	return out, nil
}

func condition(w string) (key, op string, v *structpb.Value, err error) {
	at, op, sign := len(w), "", ""
	for _, c := range comparisons {
		if i := strings.Index(w, c.sign); i >= 0 && i < at {
			at, op, sign = i, c.name, c.sign
		}
	}
	key = strings.TrimSpace(w[:at])
	if op == "" {
		bare, not := strings.CutPrefix(key, "!")
		key, op, v = bare, "exists", structpb.NewBoolValue(!not)
	} else {
		v = looseValue(strings.TrimSpace(w[at+len(sign):]))
	}
	if key == "" {
		return "", "", nil, usage("--where: %q names no key", w).hinted("write k=v, k>=v, k>v, k<=v, k<v, k or !k")
	}
	if op == "in" && v.GetListValue() == nil {
		v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
	}
	return key, op, v, nil
}

// looseValue reads a number, a boolean, a JSON string or a JSON list; all else is
// a string as it stands.
func looseValue(s string) *structpb.Value {
	var x any
	if json.Unmarshal([]byte(s), &x) != nil || x == nil {
		return structpb.NewStringValue(s)
	}
	v, err := structpb.NewValue(x)
	if _, isObject := x.(map[string]any); err != nil || isObject {
		return structpb.NewStringValue(s)
	}
	return v
}

// keyValues reads flags such as --metadata mood=calm.
func keyValues(flag string, pairs []string) (*structpb.Struct, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return nil, usage("--%s: %q is not KEY=VALUE", flag, p)
		}
		if _, twice := out.Fields[k]; twice {
			return nil, usage("--%s: %s is given twice", flag, k).hinted("a list is written %s='[\"a\", \"b\"]'", k)
		}
		out.Fields[k] = looseValue(v)
	}
	return out, nil
}

// parseVector reads a JSON array of numbers, or one from @FILE.
func parseVector(s string) ([]float32, error) {
	if s == "" {
		return nil, nil
	}
	body := []byte(s)
	if path, ok := strings.CutPrefix(s, "@"); ok {
		var err error
		if body, err = os.ReadFile(path); err != nil {
			return nil, usage("--vector: %v", err)
		}
	}
	var v []float32
	if err := json.Unmarshal(body, &v); err != nil || len(v) == 0 {
		return nil, usage("--vector is not a JSON array of numbers").hinted("write --vector '[0.1, 0.2]' or --vector @file.json")
	}
	return v, nil
}
