// Package load drives a system with operations and measures how long each took.
//
// A Plan says which operation comes when; it is made from a seed before the
// run, is the same on every platform, and has a digest to prove it. Run follows
// a plan whatever the system does: the time of an operation counts from the
// moment it was due, not from the moment a worker was free. A system that
// stands still for a second is therefore charged with every operation that was
// due in that second; a loop that waits for each answer before it asks again
// would be charged with one ("coordinated omission"). Repeat is such a loop,
// for the cases where the question is how fast one caller can go.
package load
