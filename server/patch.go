package server

import (
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server/wirejson"
)

// patch applies a JSON merge patch (RFC 7396) to m. It goes by way of m's JSON,
// so that a patch can say exactly what a write can, and is refused in the same
// words; refused names fields of m that may not be patched.
func patch(m proto.Message, p *structpb.Struct, refused ...string) error {
	if err := checkNames(m, p, refused); err != nil {
		return err
	}
	var target map[string]any
	if err := json.Unmarshal(wirejson.Append(nil, m), &target); err != nil {
		return err
	}
	merge(target, p.AsMap())
	b, err := json.Marshal(target)
	if err != nil {
		return err
	}
	proto.Reset(m)
	if err := wirejson.Decode(b, m); err != nil {
		return fieldError(err.(*wirejson.FieldError))
	}
	return nil
}

// checkNames refuses names that m does not have, also those that the patch would
// only take away.
func checkNames(m proto.Message, p *structpb.Struct, refused []string) error {
	fields := m.ProtoReflect().Descriptor().Fields()
	known := make([]string, 0, fields.Len())
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); !slices.Contains(refused, name) {
			known = append(known, name)
		}
	}
	for _, name := range sortedKeys(p.GetFields()) {
		if slices.Contains(refused, name) {
			return memory.Invalid("field_fixed", name, "%s can not be patched", name)
		}
		if !slices.Contains(known, name) {
			return memory.Invalid("field_unknown", name, "%s is not a field that is known here", name).
				Hinted("%s", wirejson.DidYouMean(name, known))
		}
	}
	return nil
}

// merge is MergePatch of RFC 7396 on objects.
func merge(target, p map[string]any) {
	for k, v := range p {
		if v == nil {
			delete(target, k)
			continue
		}
		sub, ok := v.(map[string]any)
		if !ok {
			target[k] = v
			continue
		}
		into, ok := target[k].(map[string]any)
		if !ok {
			into = map[string]any{}
			target[k] = into
		}
		merge(into, sub)
	}
}

// vouched is what an idempotency key vouches for when a request is a patch: what
// it becomes depends on what stands.
func vouched(r proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil // not UTF-8, which no door lets in
	}
	return b
}
