package main

// besides are the paths that stand beside the schema, whose messages are whole:
// streams of lines, files, and the protocol of MCP. server/transfer.go,
// service_model.go and mcp.go answer them.
func besides() map[string]any {
	lines := func(says string) map[string]any {
		return map[string]any{"application/x-ndjson": map[string]any{"schema": map[string]any{"type": "string", "description": says}}}
	}
	space := map[string]any{"name": "space", "in": "path", "required": true, "description": "The space's name.", "schema": map[string]any{"type": "string"}}
	words := func(name, says string, words ...any) map[string]any {
		return map[string]any{"name": name, "in": "query", "description": says, "schema": map[string]any{"type": "string", "enum": words}}
	}
	text := func(name, says string) map[string]any {
		return map[string]any{"name": name, "in": "query", "description": says, "schema": map[string]any{"type": "string"}}
	}
	truth := func(name, says string) map[string]any {
		return map[string]any{"name": name, "in": "query", "description": says, "schema": map[string]any{"type": "boolean"}}
	}
	answers := func(ok map[string]any) map[string]any {
		return map[string]any{"200": ok, "default": ref("responses", "Error")}
	}
	message := map[string]any{"application/json": map[string]any{"schema": map[string]any{"type": "object", "description": "A message of JSON-RPC 2.0."}}}
	return map[string]any{
		"/v1/spaces/{space}/export": map[string]any{"get": map[string]any{
			"operationId": "Export",
			"description": "A space as JSONL: a header, the entities, the memories, the links, and an end with counts and digest. A last line {\"error\": ...} says that it is not whole.",
			"parameters":  []any{space, words("vectors", "Which vectors are written; given by callers when left out.", "given", "all", "none"), ref("parameters", "MinLsn")},
			"responses":   answers(map[string]any{"description": "The lines.", "content": lines("One JSON object a line, as docs/format/jsonl.md draws them.")}),
		}},
		"/v1/spaces/{space}/import": map[string]any{"post": map[string]any{
			"operationId": "Import",
			"description": "Stores what is sent, line by line, whatever its length. The same body again stores nothing twice.",
			"parameters": []any{space, words("on_conflict", "When an id stands with other content.", "error", "keep", "replace"), words("durability", "When a batch is acknowledged.", "disk", "process"),
				text("source", "What the lines are of: it is part of the ids that are made."), truth("dry_run", "Read and check, store nothing.")},
			"requestBody": map[string]any{"required": true, "content": lines("One memory, entity or link a line, as an export has them.")},
			"responses": answers(map[string]any{"description": "What became of it.",
				"content": lines("{\"rejected\": {\"line\", \"error\"}} for each refusal, {\"progress\": ...} now and then, and last {\"done\": ...} or {\"error\": ...}.")}),
		}},
		"/v1/models/{name}": map[string]any{"put": map[string]any{
			"operationId": "UploadModel",
			"description": "Stores a local model from its file, whatever its length up to the bound.",
			"parameters":  []any{map[string]any{"name": "name", "in": "path", "required": true, "description": "The model's name.", "schema": map[string]any{"type": "string"}}},
			"requestBody": map[string]any{"required": true, "content": map[string]any{"application/octet-stream": map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}}}},
			"responses": map[string]any{"201": map[string]any{"description": "Stored.", "content": map[string]any{"application/json": map[string]any{"schema": ref("schemas", "Model")}}},
				"200": map[string]any{"description": "It stands the same.", "content": map[string]any{"application/json": map[string]any{"schema": ref("schemas", "Model")}}}, "default": ref("responses", "Error")},
		}},
		"/mcp": map[string]any{"post": map[string]any{
			"operationId": "MCP",
			"description": "The Model Context Protocol over streamable HTTP; docs/guide/mcp.md says which tools there are.",
			"parameters":  []any{text("space", "The space of all calls; the tools then take none."), truth("read_only", "Only tools that change nothing.")},
			"requestBody": map[string]any{"required": true, "content": message},
			"responses":   map[string]any{"200": map[string]any{"description": "The answer.", "content": message}, "202": map[string]any{"description": "A notification was taken."}, "default": ref("responses", "Error")},
		}},
	}
}
