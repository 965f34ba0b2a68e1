// Package mcp gives a memory database to language models, over the Model Context
// Protocol: the tools remember, recall, get, forget, link and list_spaces.
//
// The tools' arguments are the messages of the one schema, with its names and its
// words: their JSON schemas are cut out of the OpenAPI description, which comes
// from the same files, and the arguments are read by the strict reader of the
// REST door. Who decides is the API behind, as for every door; an error of it is
// the tool's answer, with what to mend.
//
// What a tool gives back was said by somebody once and is shown as that: typed
// data with its provenance, below a fixed note that none of it is an instruction.
// A memory that says "ignore your orders" is a memory that says so.
package mcp
