// Package facet knows which memories have what: the bitmaps and columns from
// which filters are answered, and the order in which memories are listed.
//
// # What is here
//
// An Index has one entry for each slot: a slot is a stored version of a node,
// numbered upwards by the database and never used again. The entry says which
// node and version it is, from which LSN to which it stands, and what a
// memory.Filter can ask for. Select answers a filter for a view (an LSN) as a set
// of slots, which the text and vector indexes then search inside; Page lists
// such a set in order, a piece at a time.
//
// # Design
//
// The problem: every recall asks for the visible slots, many with a filter, and
// the filter must cost little beside the search itself, whether it lets through
// everything or nothing; and thousands of spaces are open, most of them small.
//
//   - Words (tags, people, stream, place name, metadata keys and their string
//     and boolean values) are terms: one number for each in a dictionary, and the
//     set of slots that have it. A set is a number, a sorted list or a roaring
//     bitmap, as it grows.
//   - What has an order (times, positions, numbers) is a column. Columns of the
//     slots lie in blocks of 1024, each with the least and greatest it holds: a
//     block that is wholly in or out is decided at once, otherwise it is scanned
//     64 slots to a word. Columns that a block does not need it does not have.
//     Numbers of metadata are one column for each key. Strings in a range are
//     found through the sorted values of the key.
//   - A selection is made on a plain bitset: the cheap parts first (terms, kinds),
//     then times, places and numbers for what is left.
//   - The slots visible now are kept as a bitset. A view of the past is made from
//     it by the births and deaths since, so it costs what has changed and not
//     what there is.
//
// Considered and left: sorted numbers instead of columns (a wide range costs the
// same, a Put several times more); one roaring bitmap for each value (200 bytes
// each, which an id in metadata makes a million of); roaring as the result (to
// test a bit in it, as the vector scan does, is slow).
//
// # Time and erasure
//
// A slot whose node was replaced or ended is dead, but stays for older views
// until Purge. Erase forgets a node at once: its slots, and every word that no
// other slot has, are gone from memory and from what Save writes.
//
// BUG(facet): a block stays whole while one of its 1024 slots is in use. A space
// where nearly all slots die and a few live for ever takes up to 40 bytes for
// each slot that was ever given, until it is rebuilt.
//
// # Concurrency
//
// An Index holds no lock. Its owner holds one sync.RWMutex (the same for the
// text, vector and facet index of a space): for reading round Select, Visible,
// Page, Live, At, Stats and Save, which may run at the same time, and for writing
// round the others. A set that Select or Visible returned is read only and valid
// while the lock is held.
package facet
