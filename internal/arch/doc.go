// Package arch holds the rules of the house as tests: which package may import
// which and why not, which libraries stand where, and what every file owes its
// reader (format, docs, names). It has no code of its own.
//
// The tables are in tower_test.go. A new package or library is one line there,
// with its reason; a rule that makes the code worse is changed there too.
package arch
