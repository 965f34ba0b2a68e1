package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"unicode"
)

// polish makes the generated OpenAPI description say what the server does. The
// plugin writes names in lowerCamelCase and knows neither the headers nor the
// errors, which are the same for every path.
func polish(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	doc["info"] = map[string]any{
		"title":       "Engram",
		"version":     "v1",
		"description": "A memory database: remembers what happened, works out what it means, and recalls both by association.",
	}
	doc["security"] = []any{map[string]any{"key": []any{}}, map[string]any{}}
	delete(doc, "tags")
	polishSchemas(doc["components"].(map[string]any))
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if o, ok := op.(map[string]any); ok {
				polishOperation(path, method, o)
			}
		}
	}
	paths := doc["paths"].(map[string]any)
	for path, item := range besides() {
		if there, ok := paths[path].(map[string]any); ok {
			for method, op := range item.(map[string]any) {
				there[method] = op
			}
			continue
		}
		paths[path] = item
	}
	b, err = encode(doc)
	if err != nil {
		return err
	}
	b = bytes.ReplaceAll(b, []byte("#/components/schemas/engram.v1."), []byte("#/components/schemas/"))
	return os.WriteFile(file, b, 0o644)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(v)
	return b.Bytes(), err
}

func polishSchemas(components map[string]any) {
	renamed := map[string]any{}
	for name, s := range components["schemas"].(map[string]any) {
		snakeProperties(s)
		renamed[strings.TrimPrefix(name, "engram.v1.")] = s
	}
	renamed["ErrorResponse"] = map[string]any{
		"type":        "object",
		"description": "The body of every response that is not a success.",
		"properties":  map[string]any{"error": ref("schemas", "Error")},
		"required":    []string{"error"},
	}
	components["schemas"] = renamed
	components["responses"] = map[string]any{"Error": map[string]any{
		"description": "What went wrong.",
		"content":     map[string]any{"application/json": map[string]any{"schema": ref("schemas", "ErrorResponse")}},
	}}
	components["securitySchemes"] = map[string]any{"key": map[string]any{"type": "http", "scheme": "bearer",
		"description": "An API key; needed once there is one, see docs/operate/keys.md."}}
	components["parameters"] = map[string]any{
		"IdempotencyKey": header("Idempotency-Key", "The same key and body within 24 h give the first answer again, with Idempotent-Replayed: true."),
		"IfMatch":        header("If-Match", "The ETag that must stand; otherwise 412 version_mismatch."),
		"MinLsn":         header("Engram-Min-Lsn", "Read at least this state: the Engram-Lsn of an earlier answer."),
	}
}

func ref(kind, name string) map[string]any {
	return map[string]any{"$ref": "#/components/" + kind + "/" + name}
}

func header(name, description string) map[string]any {
	return map[string]any{"name": name, "in": "header", "description": description, "schema": map[string]any{"type": "string"}}
}

// snakeProperties renames properties at every depth of a schema.
func snakeProperties(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if p, ok := s["properties"].(map[string]any); ok {
			out := make(map[string]any, len(p))
			for k, v := range p {
				out[snake(k)] = v
			}
			s["properties"] = out
		}
		for _, v := range s {
			snakeProperties(v)
		}
	case []any:
		for _, v := range s {
			snakeProperties(v)
		}
	}
}

func snake(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func polishOperation(path, method string, o map[string]any) {
	delete(o, "tags")
	if id, ok := o["operationId"].(string); ok {
		o["operationId"] = strings.TrimPrefix(id, "EngramService_")
	}
	parameters, _ := o["parameters"].([]any)
	for _, p := range parameters {
		q := p.(map[string]any)
		q["name"] = snake(q["name"].(string))
		if s, ok := q["schema"].(map[string]any); ok && q["in"] == "query" && s["type"] == "array" {
			q["style"], q["explode"] = "form", false // tags=a,b
		}
	}
	for _, name := range headersOf(path, method) {
		parameters = append(parameters, ref("parameters", name))
	}
	if len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if body, ok := o["requestBody"].(map[string]any); ok {
		snakeProperties(body)
		if method == "patch" {
			content := body["content"].(map[string]any)
			content["application/merge-patch+json"] = content["application/json"]
		}
	}
	responses := o["responses"].(map[string]any)
	responses["default"] = ref("responses", "Error")
	if o["operationId"] == "ListEvents" {
		content := responses["200"].(map[string]any)["content"].(map[string]any)
		content["text/event-stream"] = map[string]any{"schema": map[string]any{"type": "string",
			"description": "Frames of id, event and data; data is an Event as JSON."}}
	}
	if s := firstStatus(o["operationId"].(string)); s != "" {
		responses[s] = responses["200"]
	}
}

// headersOf says which headers of a request mean something to an operation.
func headersOf(path, method string) []string {
	if !strings.HasPrefix(path, "/v1/spaces") {
		return nil
	}
	var hs []string
	last := path[strings.LastIndexByte(path, '/')+1:]
	reads := []string{"get", "list", "recall", "replay", "spread", "recognise", "complete", "match", "query"}
	if method == "get" || slices.Contains(reads, last) {
		hs = append(hs, "MinLsn")
	} else {
		hs = append(hs, "IdempotencyKey")
	}
	if method == "patch" || method == "delete" || method == "put" && last == "{id}" {
		hs = append(hs, "IfMatch")
	}
	return hs
}

// firstStatus is the status of a success that is not 200.
func firstStatus(operation string) string {
	switch operation {
	case "PutSpace", "Remember", "RememberBatch", "PutEntity", "CreateLink", "CreateLinks", "CreateKey":
		return "201"
	case "DeleteSpace", "DeleteMemory", "Forget", "Consolidate":
		return "202"
	}
	return ""
}
