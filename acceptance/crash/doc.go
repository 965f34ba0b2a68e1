// Package crash kills a server with SIGKILL at random moments while many write
// over HTTP, starts it again and looks for everything that it had acknowledged.
// It has no code of its own, only the test.
package crash
