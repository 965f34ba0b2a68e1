package memory

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrorKind groups errors by what a caller can do about them. Every door
// (HTTP, gRPC, command line) reads the same kind.
type ErrorKind string

// The kinds of error.
const (
	KindInvalid         ErrorKind = "invalid"         // the request is wrong; mend it
	KindUnauthenticated ErrorKind = "unauthenticated" // no valid key
	KindDenied          ErrorKind = "denied"          // the key may not do this
	KindNotFound        ErrorKind = "not_found"       // what was named does not exist
	KindConflict        ErrorKind = "conflict"        // what stands is different
	KindGone            ErrorKind = "gone"            // it was there and is beyond reach
	KindPrecondition    ErrorKind = "precondition"    // If-Match did not match
	KindTooLarge        ErrorKind = "too_large"       // over a size limit
	KindBusy            ErrorKind = "busy"            // a bound is reached; try again later
	KindCancelled       ErrorKind = "cancelled"       // the caller went away
	KindInternal        ErrorKind = "internal"        // our fault
	KindCorrupt         ErrorKind = "corrupt"         // stored bytes are damaged
	KindUnimplemented   ErrorKind = "unimplemented"   // not built yet
	KindUnavailable     ErrorKind = "unavailable"     // not now: starting, stopping
	KindTimeout         ErrorKind = "timeout"         // the time allowed ran out
	KindDiskFull        ErrorKind = "disk_full"       // the reserve of free disk is reached
)

// Error is what every failure that a caller can act on looks like. Message says
// what was wrong and where, Hint what to do. It is immutable once returned.
type Error struct {
	Kind       ErrorKind
	Code       string // a stable word, listed in docs/guide/errors.md
	Message    string
	Op         string // the verb that failed
	Field      string // path of the field of the request, "" when none
	Hint       string
	Retriable  bool          // the same request may succeed later
	RetryAfter time.Duration // 0: no advice
	Details    map[string]any
	Cause      error
}

func (e *Error) Error() string {
	if e.Op == "" {
		return e.Message
	}
	return e.Op + ": " + e.Message
}

// Unwrap gives the cause, if any.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches another *Error with the same Code, so that errors.Is works with
// the sentinel errors of a package.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// With returns a copy that carries one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	for k, v := range e.Details {
		c.Details[k] = v
	}
	c.Details[key] = value
	return &c
}

// Hinted returns a copy with a hint of what to do.
func (e *Error) Hinted(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Errorf makes an Error of a kind.
func Errorf(kind ErrorKind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...),
		Retriable: kind == KindBusy || kind == KindUnavailable || kind == KindTimeout || kind == KindDiskFull}
}

// Invalid makes an Error of KindInvalid about a field.
func Invalid(code, field, format string, args ...any) *Error {
	e := Errorf(KindInvalid, code, format, args...)
	e.Field = field
	return e
}

// Unimplemented makes the error of a thing that is in the API and not built yet.
func Unimplemented(field, format string, args ...any) *Error {
	e := Errorf(KindUnimplemented, "unimplemented", format, args...)
	e.Field = field
	return e
}

// NotFound makes an Error of KindNotFound.
func NotFound(code, format string, args ...any) *Error {
	return Errorf(KindNotFound, code, format, args...)
}

// InOp names the verb in err: an *Error gets its Op when it has none, any other
// error becomes an internal one. nil stays nil.
func InOp(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		c := *e
		c.Op = op
		return &c
	}
	return &Error{Kind: KindInternal, Code: "internal", Op: op, Message: err.Error(), Cause: err}
}

// InField puts prefix before the field that err names, also in its message:
// "text is blank" inside "memories[3]" becomes "memories[3].text is blank".
func InField(prefix string, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Field == "" {
		return err
	}
	c := *e
	c.Field = prefix + "." + e.Field
	if rest, ok := strings.CutPrefix(e.Message, e.Field); ok {
		c.Message = c.Field + rest
	} else {
		c.Message = c.Field + ": " + e.Message
	}
	return &c
}

// KindOf gives the kind of an error; KindInternal for one that is not an *Error.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// quoted shows a caller's string in a message: short, and with no character
// that could break a log line.
func quoted(s string) string {
	const most = 48
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "\ufffd")) + "..."
	}
	return strconv.Quote(s)
}

// parseWord turns a word of the API into its constant.
func parseWord[T comparable](field, s string, names map[T]string) (T, error) {
	for k, name := range names {
		if name == s {
			return k, nil
		}
	}
	var zero T
	known := make([]string, 0, len(names))
	for _, name := range names {
		if name != "" {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	return zero, Invalid("word_unknown", field, "%s is %s; it can be %s", field, quoted(s), strings.Join(known, ", "))
}
