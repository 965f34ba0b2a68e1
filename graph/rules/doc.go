// Package rules proposes the links that the engine makes by itself: pure
// functions from a new memory and a look at its space to links, each with the
// rule that made it and the words that decided it.
//
// # The problem
//
// Memories come without links. What belongs together must be found from what
// they say, in the time of a write, without a language model, and so that a person
// can read why; and a text that says everything must not be linked to everything.
//
// # The rules
//
//   - next: from the last memory of the stream to this one.
//   - answer: a second link beside next, when the last memory of the stream asks
//     something (it has a question mark).
//   - mentions: from the memory to what it names, by literal match of known names
//     (entities, their aliases, titles of memories), the rarest first, at most 4;
//     and from older memories that say this one's title to it, at most 3. Without
//     the second half it would matter which of two was stored first.
//   - people, place: to the latest memory with the same person, or at the same
//     place, if nothing else links the two.
//   - shares: to the latest memory before it that holds the same rare name or id, though
//     nothing is called so. Off by default.
//   - similar: to the memories before it whose vectors are nearest. The caller proposes
//     it, once there is a vector. Off by default.
//   - patterns, which a space has of its own: to the latest memory before it with the
//     same words where the pattern matches.
//
// An entity that comes after the texts that say its names is linked to by them: the
// latest, at most 64 ([Set.ProposeEntity]), and none that has its links already.
//
// A memory gets 8 at most. They are proposals: the caller puts into the record
// what it takes of them, with the rule's name, and [Version] says which rules these
// were.
//
// # When a name is a common word
//
// Something may be called "It", "May" or "The Room". One word counts as a name in
// a text only where it has a capital letter or a digit (letters of scripts without
// case always do). Words that stand in more than 20 memories and in more than one
// of fifty link nothing ([Common]), and a name that more than 8 nodes have is none.
// A name has at least two letters, or is one character of a script without spaces.
//
// # Matching
//
// [Names] is a trie whose nodes are hashes: an entry for each beginning of a name.
// At each word of a text one look says that no name begins there, nearly always.
//
//   - 100,000 names of two words: 28 bytes a beginning, 4.7 MB; see BenchmarkFind
//     for its speed.
//   - Tried and left: Aho-Corasick over bytes finds names inside words ("art" in
//     "party"), needs failure links that a removed name rebuilds, and took 40 bytes
//     a byte of every name; a suffix automaton likewise. Over words, failure links
//     save looks only where names overlap much, and names are short.
//   - Words are letters, digits and marks, case folded, apostrophes dropped; Han,
//     Kana, Thai, Lao, Khmer and Burmese one character a word.
//
// # Known holes
//
// Case is folded rune by rune (ß is not ss), and text is not normalised: a letter
// with its accent apart is another than the composed one, without the accent.
// Names are matched as they are said: "Ada" does not find "Ada Lovelace" unless it
// is an alias. A number or a date links nothing by itself.
package rules
