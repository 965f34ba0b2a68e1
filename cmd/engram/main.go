// Command engram is a memory database: it serves one, and talks to one.
//
// There is one file per command. A client command speaks through one interface,
// the client that is generated from the schema: over HTTP to a server, or in
// process to the same service on a directory (session.go).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run gives the exit status; exit.go lists them.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once

	root := newRoot()
	if err := execute(ctx, root, args); err != nil {
		return report(root.ErrOrStderr(), err)
	}
	return exitOK
}
