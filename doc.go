// Package engram is a memory database: it remembers what happened (episodes),
// and recalls it by likeness, association, time, place, people and tags, with the
// reasons for every answer. Nothing acknowledged is ever lost.
//
//	db, err := engram.Open(ctx, "data", engram.Options{})
//	space, err := db.Space("default")
//	w, err := space.Remember(ctx, memory.Episode{Text: "Ada fed the otters at the harbour"}, engram.WriteOptions{})
//	r, err := space.Recall(ctx, memory.Cue{Text: "who feeds otters?"})
//
// A DB, a Space and all their methods are safe for concurrent use. Errors that a
// caller can act on are a *memory.Error: its Kind says what to do, its Code is a
// stable word, its Field is where.
//
// # Reading the source
//
// From the bottom up; each package begins with what it holds and why it is made
// so.
//
//   - memory: the words. Episode, Entity, Link, Cue, Filter, Settings, Error, and
//     the one place where it is said what may be said.
//   - vector, text, facet, ann, graph: pure machinery. Distances; terms and BM25;
//     which memories have what; nearest vectors; links, spreading activation, and
//     the rules that make links (graph/rules). Each is a structure in memory that
//     knows no store.
//   - embed: text to vector. Models register by name when their package is
//     imported; embed/minilm has its weights in the binary.
//   - store: the durable part. Each space has one journal of records without gaps;
//     apply places what a record says and decides nothing; one goroutine commits.
//     Begin with doc.go, then commit.go (decide, write, sync, publish,
//     acknowledge), apply.go, view.go, erase.go. docs/format draws the bytes.
//   - recall: the pipeline from a cue to ranked slots. It reads indexes, and
//     writes nothing.
//   - engram, this package: the database. One file a verb. A write reads as
//     check, prepare, commit (remember.go); a read as view, load (read.go,
//     recall.go). tower.go is what a space has in memory while it is open: the
//     indexes, which follow the journal and can be thrown away; snapshot.go saves
//     and builds them.
//   - server: the doors (REST, Connect, gRPC, events) onto those verbs; it
//     translates and decides nothing about memory. proto/engram/v1 is the only
//     place where the API is written down.
//   - cmd/engram: the command line, one file a command.
//
// # The walks
//
// Remember: Space.Remember checks the episode, turns it into bytes and terms on
// the caller's goroutine, and hands a decision to store.Shard.Commit. The
// committer decides, syncs, shows the group to readers, passes the records to
// the open tower (DB.published), and acknowledges.
//
// Recall: Space.Recall takes the tower, moves its indexes on to all that is
// acknowledged (tower.catchUp), runs recall.Run under their lock, and reads the
// memories of the ranked slots from the newest durable state.
//
// What follows: while a space is open, vectors (embedding.go, passages.go) and
// links (associations.go) are made of what is in its indexes and committed as
// records of their own, so that Remember waits for neither. The index of vectors
// is linked beside the calls (nearest.go). A change of model (reembed.go) or of
// rules (relink.go) is work of the same kind, in steps that a restart takes up.
//
// Recover: Open opens the store, whose log holds all that was acknowledged. A
// space's tower is filled at its first use (tower.open): from its last snapshot
// and the journal after it, else from the state.
package engram
