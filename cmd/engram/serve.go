package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/telemetry"
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
was acknowledged. SIGHUP reads the settings and the files for TLS again. Under systemd it says when it is
ready, gives signs of life, and takes a socket.`,
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
				scheme := "http"
				if set.text("tls_cert") != "" {
					scheme = "https"
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "engram is ready on %s://%s\n", scheme, address)
				return err
			})
		},
	}
	addSettings(c, serveSettings...)
	_ = c.MarkFlagDirname("data")
	return c
}

func newLogger(w io.Writer, set *settings) *slog.Logger {
	set.setLevel()
	o := &slog.HandlerOptions{Level: &set.level}
	if set.text("log_format") == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve serves a database until ctx ends, and calls ready once it takes
// requests. What must not be is refused before the directory is touched. The
// directory is opened before the address: of two servers on one directory the
// second is told that, not that the port is taken.
func serve(ctx context.Context, set *settings, log *slog.Logger, ready func(address string) error) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before all else, or one that comes early ends the process
	defer signal.Stop(hangups)
	ln, err := inherited()
	if err != nil {
		return err
	}
	if ln != nil {
		set.listenAt(ln)
		defer func() { _ = ln.Close() }() // a second time, mostly
	}
	if _, _, err := net.SplitHostPort(set.text("listen")); err != nil {
		return usage("listen is %q; it is HOST:PORT", set.text("listen")).hinted("such as 127.0.0.1:7432; port 0 picks a free one")
	}
	certificates, err := set.certificates(log)
	if err != nil {
		return err
	}
	open := server.CheckListen(set.text("listen"), set.is("insecure"))
	if open != nil && !isDatabase(set.text("data")) {
		return open // it has no keys
	}
	began := time.Now()
	db, err := openData(ctx, set.text("data"), set.database(log), "stop that process, or give another directory with --data")
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		log.Info("stopped before it was ready")
		return nil
	}
	if err != nil {
		return err
	}
	log.Info("opened", "data", set.text("data"), "took", time.Since(began))
	if open != nil && !db.KeysDefined() {
		return errors.Join(open, db.Close())
	}
	return errors.Join(serveDB(ctx, db, set, certificates, log, ln, hangups, ready), db.Close())
}

// certificates reads the files for TLS; nil when there are none.
func (s *settings) certificates(log *slog.Logger) (*server.TLS, error) {
	files := server.TLSFiles{Cert: s.text("tls_cert"), Key: s.text("tls_key"), ClientCA: s.text("tls_client_ca")}
	if files == (server.TLSFiles{}) {
		return nil, nil
	}
	return server.LoadTLS(files, log)
}

// isDatabase says whether there is something in a directory.
func isDatabase(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}

// serveDB serves on ln, or on the address of the settings when it is nil.
func serveDB(ctx context.Context, db *engram.DB, set *settings, certificates *server.TLS, log *slog.Logger, ln net.Listener, hangups <-chan os.Signal, ready func(address string) error) error {
	options := set.server(log)
	options.TLS = certificates
	tracer, err := set.tracer(log)
	if err != nil {
		return err
	}
	if options.Tracer = tracer; tracer != nil {
		defer closeTracer(tracer)
	}
	srv, err := server.New(db, options)
	if err != nil {
		return err
	}
	if options.TLS == nil && db.KeysDefined() && server.CheckListen(set.text("listen"), false) != nil {
		log.Warn("API keys travel in clear text; set tls_cert and tls_key, or put something that speaks TLS in front", "listen", set.text("listen"))
	}
	if ln == nil {
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", set.text("listen")); err != nil {
			return failed(exitFailed, "%v", err).hinted("give another address with --listen; port 0 picks a free one")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }() // ends with Shutdown, which is below on every path
	boss := newSupervisor(log)
	defer boss.stop()
	if err = ready(ln.Addr().String()); err == nil {
		boss.say(daemon.SdNotifyReady)
		reload := func() { set.reload(srv, options.TLS, log) }
		if err, gone := attend(ctx, db, boss, hangups, ended, reload); gone {
			return err
		}
	}
	boss.say(daemon.SdNotifyStopping)
	return errors.Join(err, shutdown(srv, set.duration("stop_timeout"), log), <-ended)
}

// closeTracer sends the last traces, of a server that has stopped.
func closeTracer(t *telemetry.Tracer) {
	ctx, cancel := context.WithTimeout(context.Background(), tracesTime)
	defer cancel()
	t.Close(ctx)
}

// tracesTime is how long the collector may take for them: with stop_timeout it
// stays below the 30 s of orchestrators.
const tracesTime = 3 * time.Second

// attend does what a running server is asked for until ctx ends; gone says that
// the server ended by itself.
func attend(ctx context.Context, db *engram.DB, boss *supervisor, hangups <-chan os.Signal, ended <-chan error, reload func()) (err error, gone bool) {
	for {
		select {
		case err := <-ended:
			return err, true
		case <-ctx.Done():
			return nil, false
		case <-hangups:
			boss.say(daemon.SdNotifyReloading)
			reload()
			boss.say(daemon.SdNotifyReady)
		case <-boss.watch():
			db.Stats() // it takes the locks that matter: a database that hangs gives no sign
			if db.Ready() == nil {
				boss.say(daemon.SdNotifyWatchdog)
			}
		}
	}
}

// shutdown waits for running requests, at most so long; orchestrators send
// SIGKILL after 30 s.
func shutdown(srv *server.Server, patience time.Duration, log *slog.Logger) error {
	log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
		MaxOpenSpaces: s.count("open_spaces"), VectorMemory: s.bytes("vector_memory"), IdleClose: s.duration("idle_close"),
		Pasts: s.count("pasts"), PastMemories: s.count("past_memories"),
		DefaultModel: s.text("default_model"), Thesaurus: s.text("thesaurus"), AutoLinks: s.text("links") == "auto", ReadOnly: s.is("read_only"),
	}
}

// server gives the settings to the server.
func (s *settings) server(log *slog.Logger) server.Options {
	return server.Options{
		Logger: log, Version: buildVersion().Version, MaxBodyBytes: s.bytes("max_body"), MaxInFlight: s.count("max_requests"),
		MaxStreams: s.count("max_streams"), RequestTimeout: s.duration("request_timeout"), SlowRequest: s.duration("slow_log"),
		MaxConnections: s.count("max_connections"), RequireKeys: s.is("require_keys"), MetricsOpen: s.is("metrics_open"), Origins: s.list("origins"), ModelKeys: s.text("model_keys"),
		Hosts:  append(s.list("hosts"), hostOf(s.text("listen"))),
		Limits: s.limits(),
	}
}

// limits gives the bounds that a running server can be given anew.
func (s *settings) limits() server.Limits {
	return server.Limits{
		PerKey: server.Rate{PerSecond: s.number("rate_per_key")}, PerSpace: server.Rate{PerSecond: s.number("rate_per_space")},
		SpaceMemories: uint64(s.number("quota_memories")), SpaceBytes: uint64(max(s.bytes("quota_bytes"), 0)),
	}
}

// hostOf is the name in an address to listen on, which requests are for.
func hostOf(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	return host
}
