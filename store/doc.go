// Package store is the durable journal, payloads and state of many spaces on
// one Pebble: a shard.
//
// Each space has one totally ordered journal of records, numbered from 1
// without gaps (memory.LSN). A record says what was decided; apply only places
// it. So state = apply(apply(base, record 1), record 2) ..., and recovery,
// verification and every follower are the same act: reading the journal.
//
// One goroutine a shard commits (commit.go). It takes all writes that wait,
// lets each decide against the state that the ones before it made, gives their
// records LSNs, applies them, syncs once, publishes to readers and followers in
// LSN order, and acknowledges. A write that fails to decide leaves no trace:
// its changes lie in a layer of its own, which is dropped. Drawing numbers
// before the commit and letting Pebble group the syncs was tried and left: its
// order within a group is its own, so numbers could land with holes.
//
// Readers see the state of the last synced group (view.go): a record is
// visible when, and only when, it would survive a power cut.
//
// The payload of a memory (its words and its vector) lies once, under keys of
// its own; records and state hold ids, digests and outcomes. So erasing is
// taking the payload away, and replay treats a missing payload as erased
// (erase.go).
//
// The journal reaches back to a horizon. Records that fall below it are applied
// to the base, a second copy of the state as it stood at the horizon
// (horizon.go); verification replays from there (verify.go, verify_space.go).
//
// Damage is found before it is served: tables by their checksums, when a block is
// read; logs and the history of versions when the store is opened, where Pebble
// alone would pass over some of it (note.go, logscan.go); and a directory that
// does not open by VerifyDir, file by file.
//
// Pebble is used crash-only: a write that fails ends the process. What lies under
// which key is drawn in docs/format/store.md; why things are as they are is said
// in docs/decisions/0002-what-the-store-keeps.md.
package store
