// Package wirejson reads and writes protobuf messages as the JSON of the REST
// door.
//
// The protobuf library's own JSON does not say what the contract asks for: it
// names no path in an error and no nearest known field, it accepts two spellings
// of every name, and which empty fields it writes cannot be told apart by kind.
// So both directions are written here, over the same reflection:
//
//   - reading is strict: an unknown field, a field given twice, a wrong type, a
//     number that does not fit and broken UTF-8 are a *FieldError, which names
//     the place as memories[3].vector[7];
//   - writing is stable: fields in the order of the schema, maps by key; lists,
//     maps, numbers, booleans and next_page_token always, other fields only when
//     they hold something.
//
// What protojson reads and this package reads is the same message; the tests and
// the fuzzer compare the two.
package wirejson

import (
	"reflect"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A plan is what is known beforehand about a message type.
type plan struct {
	fields []field
	byName map[string]*field
	known  knownType
}

type field struct {
	fd       protoreflect.FieldDescriptor
	name     string
	key      []byte // "name": as it is written
	number   int    // place in plan.fields
	kind     protoreflect.Kind
	list     bool
	isMap    bool
	presence bool
	goIndex  []int // of a []float32 in the Go struct, which reflection reaches faster
	always   bool  // written when it is empty too
}

// maxFields is how many fields a message can have: the decoder keeps a bit for each.
const maxFields = 64

// A knownType is a message that JSON writes in a way of its own.
type knownType uint8

const (
	plain knownType = iota
	timestamp
	duration
	anyStruct
	anyValue
	anyList
)

var knownTypes = map[protoreflect.FullName]knownType{
	"google.protobuf.Timestamp": timestamp,
	"google.protobuf.Duration":  duration,
	"google.protobuf.Struct":    anyStruct,
	"google.protobuf.Value":     anyValue,
	"google.protobuf.ListValue": anyList,
}

var plans sync.Map // protoreflect.FullName -> *plan

// planOf gives the plan of a message type, made once.
func planOf(md protoreflect.MessageDescriptor) *plan {
	if p, ok := plans.Load(md.FullName()); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(md.FullName(), makePlan(md))
	return p.(*plan)
}

func makePlan(md protoreflect.MessageDescriptor) *plan {
	fds := md.Fields()
	if fds.Len() > maxFields {
		panic("wirejson: " + string(md.FullName()) + " has more fields than a decoder keeps count of")
	}
	p := &plan{known: knownTypes[md.FullName()], byName: make(map[string]*field, fds.Len()), fields: make([]field, fds.Len())}
	if p.known != plain {
		return p
	}
	for i := range fds.Len() {
		fd := fds.Get(i)
		name := string(fd.Name())
		f := &p.fields[i]
		*f = field{fd: fd, name: name, key: []byte(`"` + name + `":`), number: i, kind: fd.Kind(),
			list: fd.IsList(), isMap: fd.IsMap(), presence: fd.HasPresence()}
		if f.list && f.kind == protoreflect.FloatKind {
			f.goIndex = floatIndex(md.FullName(), name)
		}
		f.always = f.list || f.isMap || !f.presence && (f.kind != protoreflect.StringKind || name == "next_page_token")
		p.byName[name] = f
	}
	return p
}

// floatIndex finds the Go field of a repeated float: protobuf's own reflection
// boxes every number of a vector, which made reading one of 768 three times as
// slow. It is nil when the Go type is not one that protoc-gen-go made.
func floatIndex(message protoreflect.FullName, name string) []int {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(message)
	if err != nil {
		return nil
	}
	t := reflect.TypeOf(mt.Zero().Interface())
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	for i := range t.Elem().NumField() {
		sf := t.Elem().Field(i)
		if sf.Type == reflect.TypeFor[[]float32]() && strings.Contains(sf.Tag.Get("protobuf"), ",name="+name+",") {
			return sf.Index
		}
	}
	return nil
}

// floats gives the slice of a repeated float to be read or changed; nil when
// there is no way to it but reflection.
func (f *field) floats(m protoreflect.Message) *[]float32 {
	if f.goIndex == nil {
		return nil
	}
	v := reflect.ValueOf(m.Interface())
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	p, _ := v.Elem().FieldByIndex(f.goIndex).Addr().Interface().(*[]float32)
	return p
}

// sub is the plan of the field's message type, or of its map's values.
func (f *field) sub() *plan {
	if f.isMap {
		return planOf(f.fd.MapValue().Message())
	}
	return planOf(f.fd.Message())
}
