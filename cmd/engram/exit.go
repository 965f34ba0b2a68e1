package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/engramdb/engram/memory"
)

// The exit statuses. They are part of the contract: docs/guide/cli.md.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitNotNow      = 5
	exitDamaged     = 6
	exitInterrupted = 130
)

const exitHelp = "0 done, 1 failed, 2 wrong usage or request, 3 not found, 4 conflict, 5 not now (try again), 6 damaged data, 130 interrupted"

// kindExits says with which status an error of a kind ends; others are exitFailed.
var kindExits = map[memory.ErrorKind]int{
	memory.KindInvalid:      exitUsage,
	memory.KindTooLarge:     exitUsage,
	memory.KindNotFound:     exitNotFound,
	memory.KindGone:         exitNotFound,
	memory.KindConflict:     exitConflict,
	memory.KindPrecondition: exitConflict,
	memory.KindBusy:         exitNotNow,
	memory.KindUnavailable:  exitNotNow,
	memory.KindTimeout:      exitNotNow,
	memory.KindDiskFull:     exitNotNow,
	memory.KindCorrupt:      exitDamaged,
	memory.KindCancelled:    exitInterrupted,
}

// A failure is an error as a person at a terminal sees it.
type failure struct {
	message, hint string
	code          string // the API's word, "" for one of ours
	status        int
}

func (f *failure) Error() string { return f.message }

// hinted adds what to do; it changes f, which nobody else has seen yet.
func (f *failure) hinted(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

func failed(status int, format string, args ...any) *failure {
	return &failure{message: fmt.Sprintf(format, args...), status: status}
}

// usage is the failure of a command line that cannot be run.
func usage(format string, args ...any) *failure { return failed(exitUsage, format, args...) }

// report prints an error and gives the exit status.
func report(w io.Writer, err error) int {
	f := explain(err)
	_, _ = fmt.Fprintf(w, "engram: %s\n", oneLine(f.message)) // without a stderr there is nobody to tell
	if f.hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", oneLine(f.hint))
	}
	return f.status
}

// explain makes a failure of any error: of the engine in this process, of a
// server, or of the system.
func explain(err error) *failure {
	var f *failure
	var m *memory.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &m) && m.Code == "unreachable":
		return &failure{message: m.Message, hint: unreachableHint(err), code: m.Code, status: exitOf(m.Kind)}
	case errors.As(err, &m):
		return &failure{message: m.Message, hint: cmp.Or(hints[m.Code], m.Hint), code: m.Code, status: exitOf(m.Kind)}
	case errors.Is(err, context.Canceled):
		return failed(exitInterrupted, "interrupted")
	}
	return failed(exitFailed, "%s", err)
}

func exitOf(k memory.ErrorKind) int {
	if status, ok := kindExits[k]; ok {
		return status
	}
	return exitFailed
}

// hints are what to do about failures that only the command line can know how to
// mend: the client's, which have come from no server.
var hints = map[string]string{
	"unreachable":   "start one with engram serve --data DIR, name another with --server ADDR, or open a directory with --data DIR",
	"not_an_engram": "is this an Engram server? --server names another; the address of one with TLS begins with https://",
}

// oneLine makes s fit on a line: no control characters, which could also speak
// to the terminal, and single spaces.
func oneLine(s string) string {
	return strings.Join(strings.Fields(plain(s)), " ")
}

// plain replaces the control characters of a text but newline and tab: stored
// text must not move the cursor of who reads it. What turns the direction of letters
// around it is left out, as it could turn ours too.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		if r == '\n' || r == '\t' || r >= 0x20 && r != 0x7f && !(r >= 0x80 && r < 0xa0) {
			return r
		}
		return ' '
	}, s)
}
