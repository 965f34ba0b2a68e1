// Package memory holds the words of Engram: the plain values that every other
// package speaks in, and the one place where it is said what may be said.
//
// Three kinds of node (Episode, Concept, Entity), two kinds of edge (Link and
// Binding), and the Cue that recalls them. The package does no I/O, starts no
// goroutine and holds no lock; a value may be shared once it is no longer
// changed. Normalize brings a value into its one canonical form or says in an
// Error which field is wrong, what it holds, what the limit is and what to do.
//
// The cbor tags are the field numbers under which a value lies on disk
// (docs/format/payload.md). A number is never used again for another meaning.
package memory
