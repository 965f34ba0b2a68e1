package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/server"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve a database over REST, gRPC and Connect on one address",
		Long: `Serve the database in a directory over REST, gRPC and Connect on one address. An empty or missing
directory gets the space "default". When it is ready it prints one line, with the address, on stdout;
the log goes to stderr.

An address that other machines can reach is refused without API keys, unless --insecure says that
something else keeps strangers out. SIGTERM and SIGINT stop it gracefully; SIGKILL loses nothing that
was acknowledged.`,
		Example: `  engram serve --data ./memories
  engram serve --data ./memories --listen 127.0.0.1:0 --log-format json`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := loadSettings(c.Flags())
			if err != nil {
				return err
			}
			if set.text("data") == "" {
				return usage("serve needs the directory of the database").hinted("engram serve --data DIR; an empty one will do")
			}
			return serve(c.Context(), set, newLogger(c.ErrOrStderr(), set), func(address string) error {
				_, err := fmt.Fprintf(c.OutOrStdout(), "engram is ready on http://%s\n", address)
				return err
			})
		},
	}
	addSettings(c, serveSettings...)
	_ = c.MarkFlagDirname("data")
	return c
}

func newLogger(w io.Writer, set *settings) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(set.text("log_level"))) // checked when it was set
	o := &slog.HandlerOptions{Level: level}
	if set.text("log_format") == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve serves a database until ctx ends, and calls ready once it takes
// requests. What must not be is refused before the directory is touched. The
// directory is opened before the address: of two servers on one directory the
// second is told that, not that the port is taken.
func serve(ctx context.Context, set *settings, log *slog.Logger, ready func(address string) error) error {
	if err := server.CheckListen(set.text("listen"), set.is("insecure")); err != nil {
		return err
	}
	began := time.Now()
	db, err := openData(ctx, set.text("data"), set.database(log), "stop that process, or give another directory with --data")
	if err != nil {
		return err
	}
	log.Info("opened", "data", set.text("data"), "took", time.Since(began))
	return errors.Join(serveDB(ctx, db, set, log, ready), db.Close())
}

func serveDB(ctx context.Context, db *engram.DB, set *settings, log *slog.Logger, ready func(address string) error) error {
	srv, err := server.New(db, set.server(log))
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", set.text("listen"))
	if err != nil {
		return failed(exitFailed, "%v", err).hinted("give another address with --listen; port 0 picks a free one")
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }() // ends with Shutdown, which is below on every path
	err = ready(ln.Addr().String())
	if err == nil {
		select {
		case err = <-ended:
			return err
		case <-ctx.Done():
		}
	}
	return errors.Join(err, shutdown(srv, log), <-ended)
}

// stopTime is how long running requests are waited for; orchestrators send
// SIGKILL after 30 s.
const stopTime = 25 * time.Second

func shutdown(srv *server.Server, log *slog.Logger) error {
	log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		// Clients that hang must not make a stop a failure: what was acknowledged is safe.
		log.Warn("stopped with requests running", "error", err)
	}
	return nil
}

// database gives the settings to the engine.
func (s *settings) database(log *slog.Logger) engram.Options {
	return engram.Options{
		Logger: log, CacheBytes: s.bytes("cache"), ReserveBytes: s.bytes("reserve"),
		MaxOpenSpaces: s.count("open_spaces"), IdleClose: s.duration("idle_close"),
	}
}

// server gives the settings to the server.
func (s *settings) server(log *slog.Logger) server.Options {
	return server.Options{
		Logger: log, Version: buildVersion().Version, MaxBodyBytes: s.bytes("max_body"), MaxInFlight: s.count("max_requests"),
		MaxStreams: s.count("max_streams"), RequestTimeout: s.duration("request_timeout"), SlowRequest: s.duration("slow_request"),
	}
}
