// Package text holds tokens, passages and the BM25 index: what finds memories by their words.
//
// # The problem
//
// A space holds from ten to a few million short texts. A cue of some ten words must find the best of them in about a
// millisecond, what was put must be found at once, what was deleted must be gone from the scores as well as from the
// hits, and ten thousand small spaces must cost next to nothing while they wait. Words must meet across inflection,
// case, accents and scripts.
//
// # From text to terms
//
// An [Analyzer] cuts text at the word boundaries of Unicode (UAX #29), brings each word into one form, drops what
// carries no meaning and stems the rest, by the rules of one language. In order:
//
//   - Compatibility forms, case, and digits of other scripts are unified (NFKC, lower case, 0-9); invisible runes,
//     variation selectors and skin tones are dropped.
//   - Scripts without usable word boundaries (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) are indexed by single
//     characters and by pairs of neighbours; a cue asks for the pairs, or for a character that stands alone.
//   - An emoji is a word. Other punctuation and symbols are not.
//   - What UAX #29 holds together but people search apart is split (snake_case, example.com); what is one word is
//     closed up (U.S.A. is usa, 1,000,000 is 1000000, O'Brien is obrien). English clitics are dropped (Ada's is ada); in
//     other languages an apostrophe parts two words (l'amour).
//   - Stop words are kept apart from other terms behind an underscore. They count in no length, and a cue asks for them
//     only if it has nothing else.
//   - The stem is Snowball's. Accents of Latin, Greek, Arabic and Hebrew letters are folded: before the stemmer where it
//     knows plain letters only (English), after it where accents are letters to it.
//   - A term is at most 64 bytes; what is longer is cut.
//
// All of this is a function of the single word, so its outcome is kept in a bounded cache, and most words cost a look.
//
// # From terms to hits
//
// An [Index] gives each Put a slot, one beyond the last, and appends the slot to the postings of each term. Replacing and
// deleting only marks the old slot as dead; when a quarter of the slots are dead, the living are copied together. So
// postings are byte slices that only grow, one or two bytes each, and a snapshot is little more than writing them out.
// The numbers in the formula (documents, average length, in how many documents a term occurs) are at all times those of
// the living, counted in whole numbers: the score of a document depends on what is there, not on what was. See [Params]
// for the formula, [Index.Search] for the walk.
//
// # Near terms
//
// A [Query] may name for each of its terms others that are near to it; package recall takes them from a thesaurus. A
// document then counts for the term by whichever of them it holds most, weighted ([Near]). It takes one more array for a
// window, of what has been counted for the term so far, and the postings of neighbours are bounded (nearPostings): over
// 100,000 paragraphs of Wikipedia a question of HotpotQA takes 0.43 ms with 10 neighbours a word, 0.19 ms without.
//
// # What was left out, and why
//
//   - bleve, SQLite's FTS5: 20 and 300 times slower on ten-word questions, and goroutines and files for each index.
//   - Dynamic pruning (MaxScore, block-max WAND): scores depend on averages that each Put changes, so bounds would have
//     to be loose or rewritten, and a question of ten words over 100,000 passages takes 0.1 ms without.
//   - A list of terms for each document, to correct counts when it dies: doubles the memory. Instead a term counts its
//     dead when it is next asked for.
//   - A filter tested at each posting, or walked along with the postings where it allows more than one document in a
//     hundred (tried: up to three times slower than no filter). It is asked only about scores good enough to matter; see
//     breadth in search.go.
//   - Snowball's English stop list: with fewer stop words, only those of grammar, questions find more of what answers
//     them (LoCoMo turns in the first ten 64.3 % against 63.4 %); see stop/en.txt.
//
// # Known holes
//
// There is one language to an analyzer: text in another is found by its words as they stand. Compounds are not taken
// apart, misspelt words not found. Deleted text stays in memory, out of reach, until compaction ([Index.Compact]); the
// cache of an analyzer may keep single words of it for longer. A cue of many stop words and nothing else reads the
// longest postings there are: nine of them over 100,000 passages take 3 ms. A broad filter that forbids just what the
// cue finds best makes a search slower, up to twice.
package text
