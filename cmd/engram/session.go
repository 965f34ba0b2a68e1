package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram"
	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
	"github.com/engramdb/engram/server/wirejson"
)

// A session is what a client command works with: the API, of a server or of a
// directory, and where the answer goes.
type session struct {
	engramv1connect.EngramServiceClient // server.Service has the same methods

	upload func(ctx context.Context, name string, file io.Reader, size int64) (*engramv1.Model, error) // to a server; nil in process

	space string
	key   string // the API key's secret; "" for none
	json  bool
	in    io.Reader
	out   *bufio.Writer
	errs  io.Writer
}

// access says what a command needs of a directory that is not there.
type access int

const (
	reads  access = iota // it is an error
	makes                // the command may make the database
	feeds                // it may, and it does many calls
	copies               // it is an error; and nothing of it is changed, nor are vectors made meanwhile
)

// client makes c a client command: it has the flags of one, and run is called
// with an open session.
func client(c *cobra.Command, a access, run func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	var data, key string
	var asJSON bool
	addServerSettings(c)
	addSettings(c, "space")
	c.Flags().StringVar(&data, "data", "", "open this directory in process, without a server")
	c.Flags().StringVar(&key, "key", "", "API key that the server wants ($ENGRAM_KEY, which others on this machine do not see)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the API's JSON")
	_ = c.MarkFlagDirname("data")
	notBoth(c, "data", "server")
	c.RunE = func(c *cobra.Command, args []string) error {
		set, err := loadSettings(c.Flags())
		if err != nil {
			return err
		}
		s := &session{space: set.text("space"), json: asJSON, in: c.InOrStdin(), out: bufio.NewWriter(c.OutOrStdout()), errs: c.ErrOrStderr(), key: key}
		closeAPI, err := s.open(c.Context(), data, set, a)
		if err != nil {
			return err
		}
		// What was printed before a failure is true too: it is flushed anyhow.
		return errors.Join(run(c.Context(), s, args), s.out.Flush(), closeAPI())
	}
	return c
}

func (s *session) open(ctx context.Context, data string, set *settings, a access) (closeAPI func() error, err error) {
	if data == "" {
		dial := dialWith
		if a == feeds {
			dial = dialPatiently
		}
		t, err := set.clientTLS()
		if err != nil {
			return nil, err
		}
		s.upload = uploader(set.text("server"), cmp.Or(s.key, os.Getenv("ENGRAM_KEY")), t)
		s.EngramServiceClient, err = dial(set.text("server"), cmp.Or(s.key, os.Getenv("ENGRAM_KEY")), t)
		return func() error { return nil }, err
	}
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) && (a == reads || a == copies) {
		return nil, failed(exitNotFound, "there is no database in %s", data).hinted("engram serve --data %s makes one, and so does engram remember --data %s TEXT", data, data)
	}
	o := engram.Options{DefaultModel: set.text("default_model"), Thesaurus: set.text("thesaurus"), AutoLinks: set.text("links") == "auto", ReadOnly: a == copies, Logger: slog.New(slog.NewTextHandler(s.errs, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	db, err := openData(ctx, data, o, "talk to its server with --server ADDR instead of --data, or stop it first")
	if err != nil {
		return nil, err
	}
	s.EngramServiceClient = server.NewService(db, "")
	return db.Close, nil
}

// openData opens the database in a directory; hint is what to do when another
// process has it.
func openData(ctx context.Context, dir string, o engram.Options, hint string) (*engram.DB, error) {
	db, err := engram.Open(ctx, dir, o)
	return db, inUse(err, dir, hint)
}

// inUse makes the error of a directory that is taken say which it is and what to
// do; other errors stay as they are.
func inUse(err error, dir, hint string) error {
	var m *memory.Error
	if errors.As(err, &m) && m.Code == "data_in_use" {
		return failed(exitNotNow, "%s is in use by another process", dir).hinted("%s", hint)
	}
	return err
}

// dial makes the client of a server that wants no key. Nothing is sent yet.
func dial(address string) (engramv1connect.EngramServiceClient, error) {
	return dialWith(address, "", nil)
}

// dialWith is dial with a key to show, "" for none. A person at a terminal wants
// to know at once that there is no server, so nothing is repeated.
func dialWith(address, key string, t *tls.Config) (engramv1connect.EngramServiceClient, error) {
	return engramclient.New(address, engramclient.Options{Key: key, TLS: t, KeyInTheOpen: true, Retries: -1, Timeout: -1, NoIdempotencyKeys: true, UserAgent: "engram"})
}

// dialPatiently is dialWith for work of many calls, which goes on when the server
// is away for a while.
func dialPatiently(address, key string, t *tls.Config) (engramv1connect.EngramServiceClient, error) {
	return engramclient.New(address, engramclient.Options{Key: key, TLS: t, KeyInTheOpen: true, Retries: 12, Timeout: 2 * time.Minute, UserAgent: "engram"})
}

// keyed gives a call an idempotency key, for both doors: one reads the header,
// the other the Call.
func keyed(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Idempotency-Key", key)
	return server.WithCall(ctx, &server.Call{IdempotencyKey: key})
}

// answer prints an answer: the API's JSON, or what people says.
func (s *session) answer(m proto.Message, people func() error) error {
	if !s.json {
		return people()
	}
	_, err := s.out.Write(append(wirejson.Append(nil, m), '\n'))
	return err
}

// text is a command's text: its argument, or stdin where that is "-".
func (s *session) text(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	if args[0] != "-" {
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(s.in, memory.MaxTextBytes+1)) // one more, so that the API says that it is too large
	return strings.TrimRight(string(b), "\r\n"), err
}

// piped says whether stdin is a pipe or a file: something that ends.
func piped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return true
	}
	info, err := f.Stat()
	return err == nil && (info.Mode()&os.ModeNamedPipe != 0 || info.Mode().IsRegular())
}

// jobLook is how often a running job is looked at.
const jobLook = 100 * time.Millisecond

// finish waits until a job has ended: in process it would end with us, and
// people want to know that it is done. An interrupt leaves the job running.
func (s *session) finish(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	tick := time.NewTicker(jobLook)
	defer tick.Stop()
	for {
		job, err := s.GetJob(ctx, &engramv1.GetJobRequest{Id: id})
		if err != nil {
			return err
		}
		switch job.GetState() {
		case "done":
			return nil
		case "failed", "cancelled":
			return failed(exitFailed, "job %s %s: %s", id, job.GetState(), job.GetError().GetMessage())
		}
		select {
		case <-ctx.Done():
			return failed(exitInterrupted, "interrupted; job %s goes on in the server", id)
		case <-tick.C:
		}
	}
}
