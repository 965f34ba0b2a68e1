// Package engramclient talks to an Engram server: the client that is generated
// from the schema, and around it what every caller would otherwise write again.
//
// A [Client] has each call of the API under its own name, message in, message
// out. Beside that it
//
//   - gives a call that has no deadline one;
//   - gives each write an idempotency key, which stays the same over retries, so
//     that a write whose answer was lost is done once;
//   - repeats what may succeed later (busy, unavailable, timeout), after the time
//     that the server asks for, else with exponential backoff and full jitter;
//   - remembers the newest state of each space that it has seen, and reads at
//     least that: its own writes are always there, also behind a load balancer;
//   - answers every failure as a *memory.Error, with the kind, the code, the
//     field and the hint that the server gave;
//   - walks over pages and events with range, and takes a broken stream of events
//     up again where it stood.
//
// It imports the schema, package memory and Connect: nothing of the engine.
package engramclient
