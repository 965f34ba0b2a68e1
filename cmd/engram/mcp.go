package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/engramdb/engram/server/mcp"
)

func mcpCommand() *cobra.Command {
	var readOnly, choose bool
	c := &cobra.Command{
		Use:   "mcp",
		Short: "Give the memory to a language model, over the Model Context Protocol",
		Long: `Give the memory to a language model: a server of the Model Context Protocol on stdin and stdout, as the
programs that start one want it. It has the tools remember, recall, get, forget, link and list_spaces
in one space, or with --choose-space in any; with --read-only those that change nothing.

It talks to a server, or opens a directory itself with --data, which no other process may have then.
A server has the same by itself at /mcp, over HTTP.`,
		Example: `  engram mcp --data ~/memories
  engram mcp --space notes --read-only
  engram mcp --server 127.0.0.1:7432 --choose-space`,
		Args: takes(0, 0, ""),
	}
	client(c, makes, func(ctx context.Context, s *session, _ []string) error {
		srv, err := mcp.New(s, mcp.Options{Space: s.space, Choose: choose, ReadOnly: readOnly, Version: buildVersion().Version})
		if err != nil {
			return err
		}
		d := &dialogue{in: bufio.NewReader(s.in), out: s.out, answered: make(chan struct{}, 1)}
		context.AfterFunc(ctx, d.wake)
		err = srv.Run(ctx, &sdk.IOTransport{Reader: reading{d, ctx}, Writer: writing{d}})
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return nil // told to stop, or the client has gone: both are the usual end
		}
		return err
	})
	c.Flags().BoolVar(&readOnly, "read-only", false, "only the tools that change nothing")
	c.Flags().BoolVar(&choose, "choose-space", false, "let each call name a space")
	return c
}

// A dialogue is the two streams of the protocol. When the client says no more, its
// last questions are answered before that is passed on: the library drops them,
// and a script that pipes its questions in would get no answers.
type dialogue struct {
	in       *bufio.Reader
	rest     []byte // of a line, one goroutine's
	out      *bufio.Writer
	answered chan struct{} // has one when the number of open questions has changed

	mu   sync.Mutex // guards what follows
	open int        // questions without an answer
}

// ends are the parts of a message that say what it is.
type ends struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
}

// count counts a message: by is what it does to the open questions.
func (d *dialogue) count(line []byte, by int) {
	var e ends
	if json.Unmarshal(line, &e) != nil || len(e.ID) == 0 || (e.Method != "") != (by > 0) {
		return // a notification, or nothing of the protocol
	}
	d.mu.Lock()
	d.open += by
	d.mu.Unlock()
	d.wake()
}

func (d *dialogue) wake() {
	select {
	case d.answered <- struct{}{}:
	default:
	}
}

func (d *dialogue) isOpen() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open > 0
}

// reading is the side that reads.
type reading struct {
	*dialogue
	ctx context.Context
}

func (r reading) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		line, err := r.in.ReadBytes('\n')
		if len(line) == 0 {
			for err == io.EOF && r.isOpen() && r.ctx.Err() == nil {
				<-r.answered
			}
			return 0, err
		}
		r.count(line, 1)
		r.rest = line
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r reading) Close() error { return nil }

// writing is the side that writes, each message at once.
type writing struct{ *dialogue }

func (w writing) Write(b []byte) (int, error) {
	n, err := w.out.Write(b)
	if err == nil {
		err = w.out.Flush()
	}
	w.count(b, -1)
	return n, err
}

func (w writing) Close() error { return w.out.Flush() }
