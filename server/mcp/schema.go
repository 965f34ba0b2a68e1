package mcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/engramdb/engram/proto"
)

// object is a JSON object, as a schema is one.
type object = map[string]any

// A description is the OpenAPI document, of which the parts are schemas.
type description struct {
	Components struct {
		Schemas map[string]object `json:"schemas"`
	} `json:"components"`
	Paths map[string]map[string]struct {
		RequestBody struct {
			Content map[string]struct {
				Schema object `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
	} `json:"paths"`
}

var openAPI = sync.OnceValues(func() (*description, error) {
	d := &description{}
	return d, json.Unmarshal(proto.OpenAPI, d)
})

// messageSchema gives the schema of a message, or of the body of "METHOD /path".
func (d *description) messageSchema(name string) (object, error) {
	method, path, isCall := strings.Cut(name, " ")
	s := d.Components.Schemas[name]
	if isCall {
		s = d.Paths[path][strings.ToLower(method)].RequestBody.Content["application/json"].Schema
	}
	if s == nil {
		return nil, fmt.Errorf("mcp: the schema has no %s", name)
	}
	return s, nil
}

const refPrefix = "#/components/schemas/"

// whole copies a schema with what it refers to put in its place: not every client
// follows references. strict refuses unknown names; bare leaves the words away.
func (d *description) whole(s object, strict, bare bool) object {
	if ref, ok := s["$ref"].(string); ok {
		out := d.whole(d.Components.Schemas[strings.TrimPrefix(ref, refPrefix)], strict, bare)
		if says, ok := s["description"]; ok && !bare {
			out["description"] = strings.ReplaceAll(says.(string), "\n", " ") // at this place it means more than in general
		}
		return out
	}
	out := make(object, len(s)+1)
	for k, v := range s {
		switch {
		case k == "properties":
			fields := object{}
			for name, f := range v.(object) {
				fields[name] = d.whole(f.(object), strict, bare)
			}
			out[k] = fields
			if strict {
				out["additionalProperties"] = false
			}
		case k == "items":
			out[k] = d.whole(v.(object), strict, bare)
		case k == "description":
			if !bare {
				out[k] = strings.ReplaceAll(v.(string), "\n", " ")
			}
		default:
			out[k] = v
		}
	}
	return out
}

// input makes the schema of a tool's arguments. choose says that the space is one
// of them.
func (d *description) input(t *tool, choose bool, standard string) (object, error) {
	out := object{"type": "object", "properties": object{}, "additionalProperties": false}
	if t.message != "" {
		m, err := d.messageSchema(t.message)
		if err != nil {
			return nil, err
		}
		out = d.whole(m, true, false)
		delete(out, "description") // the tool says it in its own words
	}
	fields := out["properties"].(object)
	for _, name := range t.leaves {
		delete(fields, name)
	}
	if choose && !t.spaceless {
		fields["space"] = object{"type": "string", "description": "The space to work in; \"" + standard + "\" when left out. list_spaces says which there are."}
	}
	if t.name == "remember" {
		fields["on_conflict"] = object{"type": "string", "enum": []string{"error", "keep", "replace"},
			"description": "When the id stands with other content: error (the default), keep what stands, or replace it by a new version."}
	}
	for _, name := range t.needs {
		if fields[name] == nil {
			return nil, fmt.Errorf("mcp: %s has no field %s", t.message, name)
		}
	}
	if len(t.needs) > 0 {
		out["required"] = t.needs
	}
	return out, nil
}

// output makes the schema of a tool's answer.
func (d *description) output(t *tool) (object, error) {
	m, err := d.messageSchema(t.answers)
	if err != nil {
		return nil, err
	}
	out := d.whole(m, false, true)
	out["properties"].(object)["note"] = object{"type": "string"}
	return out, nil
}

// known are the names of a schema's fields, sorted.
func known(schema object) []string {
	return slices.Sorted(maps.Keys(schema["properties"].(object)))
}
