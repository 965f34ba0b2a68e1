// Package server is the network's way into a database: REST/JSON, Connect, gRPC
// and gRPC-Web on one port, server-sent events, health and metrics. It translates
// between the schema (proto/engram/v1) and package engram, bounds what a client
// may take, and decides nothing about memory: what may be said is checked in
// package memory, and what happens is done in package engram.
//
// A request goes through these rooms:
//
//	ServeHTTP   the Call (request id, headers), the bound on requests in flight,
//	            the body's bound and deadline, the time for the request
//	rest.go     or Connect's generated handlers: from bytes to a message
//	Service     the call itself, once for every door: message in, message out
//	rest.go     or Connect: from a message, or an error, to bytes
//	observe     metrics and one log line
//
// What travels beside a message (an idempotency key, an ETag, the LSN that was
// read) is in the Call of the context, so that the Service's methods have the
// plain signature func(ctx, *Request) (*Response, error) for every door, also for
// a caller in the same process.
//
// The REST door is a table made at start from the http annotations of the schema.
// A generated gateway was tried and left: it turns every error of decoding into
// text, so that the field and the hint have to be smuggled past it; its parser of
// query parameters is one for the whole process; it needs the code of a second
// gRPC library; and it took longer (see BenchmarkREST).
//
// Goroutines: those of net/http, and one for each WebSocket that hears when the
// client goes. Shutdown ends the streams, waits for the requests, and closes the
// connections.
package server
