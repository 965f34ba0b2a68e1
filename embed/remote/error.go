package remote

import (
	"fmt"
	"time"
)

// Kind says what can be done about an error.
type Kind int

// The kinds.
const (
	// Unavailable: no connection, a timeout, 5xx, too many calls, or not asked because of those. Try again later.
	Unavailable Kind = iota
	// Refused: the key, the model or the request is not accepted. Trying again does not help; a person must look.
	Refused
	// BadAnswer: the server answered with something other than the vectors that were asked for. It may be another model
	// than before, or not the server at all.
	BadAnswer
)

func (k Kind) String() string {
	return [...]string{"unavailable", "refused", "bad answer"}[k]
}

// Error says what a server did. It holds neither the key nor the texts, nor what the server wrote beyond a short excerpt
// of a refusal.
type Error struct {
	Kind       Kind
	Server     string        // host and port
	Status     int           // of HTTP; 0 if there was no answer
	RetryAfter time.Duration // when to try again, if that is known
	Reason     string
	Err        error // what was below, if anything
}

func (e *Error) Error() string {
	status := ""
	if e.Status != 0 {
		status = fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	return fmt.Sprintf("embedding server %s: %s%s: %s", e.Server, e.Kind, status, e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }

// again says whether the same call may succeed in a moment.
func (e *Error) again() bool { return e.Kind == Unavailable }

func (c *Client) errorf(k Kind, after time.Duration, format string, args ...any) *Error {
	return &Error{Kind: k, Server: c.host(), RetryAfter: after, Reason: fmt.Sprintf(format, args...)}
}
