// Package proto carries the schema of Engram: the .proto files below engram/v1,
// what is generated from them, and the tools that generate it (gen).
//
// The files are the only place where the API is written down. google/api holds
// the two files of the http annotations, as they are not to be had from a
// schema registry everywhere.
package proto

import _ "embed"

// OpenAPI describes the REST door in OpenAPI 3.1, as JSON. It is read only.
//
//go:embed engram/v1/engram.openapi.json
var OpenAPI []byte
