package main

import (
	"context"
	"errors"
	"io"

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
		err = srv.Run(ctx, &sdk.IOTransport{Reader: io.NopCloser(s.in), Writer: flushed{s}})
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return nil // told to stop, or the client has gone: both are the usual end
		}
		return err
	})
	c.Flags().BoolVar(&readOnly, "read-only", false, "only the tools that change nothing")
	c.Flags().BoolVar(&choose, "choose-space", false, "let each call name a space")
	return c
}

// flushed writes each message at once.
type flushed struct{ s *session }

func (f flushed) Write(b []byte) (int, error) {
	n, err := f.s.out.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.s.out.Flush()
}

func (f flushed) Close() error { return f.s.out.Flush() }
