// Package transfer brings memories in from files of several formats, and takes a
// space out as JSONL and in again.
//
// A reader (JSONL, CSV, Text, Markdown, Chat, Locomo) turns a file into a walk of
// Items, one memory, entity or link each; what it can not read is an Item with
// an error, and the walk goes on. Import sends the items in batches to an API,
// which is a server's client or the service of a directory in this process, and
// Export writes what an API holds. docs/format/jsonl.md draws the lines.
//
// Nothing comes in twice: an item that has no id gets one that is made of its
// file's name, its place there and its content, so that the same file again, or
// the rest of it after a kill, finds its memories standing and keeps them.
//
// A walk holds one item, an import its open batches, an export two pages and 32
// bytes for each line, for the digest; none of them the file.
package transfer
