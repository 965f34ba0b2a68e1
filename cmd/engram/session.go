package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram"
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
	reads access = iota // it is an error
	makes               // the command may make the database
)

// client makes c a client command: it has the flags of one, and run is called
// with an open session.
func client(c *cobra.Command, a access, run func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	var data, key string
	var asJSON bool
	addSettings(c, "server", "space")
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
		closeAPI, err := s.open(c.Context(), data, set.text("server"), a)
		if err != nil {
			return err
		}
		// What was printed before a failure is true too: it is flushed anyhow.
		return errors.Join(run(c.Context(), s, args), s.out.Flush(), closeAPI())
	}
	return c
}

func (s *session) open(ctx context.Context, data, address string, a access) (closeAPI func() error, err error) {
	if data == "" {
		s.EngramServiceClient, err = dialWith(address, cmp.Or(s.key, os.Getenv("ENGRAM_KEY")))
		return func() error { return nil }, err
	}
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) && a == reads {
		return nil, failed(exitNotFound, "there is no database in %s", data).hinted("engram serve --data %s makes one, and so does engram remember --data %s TEXT", data, data)
	}
	o := engram.Options{Logger: slog.New(slog.NewTextHandler(s.errs, &slog.HandlerOptions{Level: slog.LevelWarn}))}
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
func dial(address string) (engramv1connect.EngramServiceClient, error) { return dialWith(address, "") }

// dialWith is dial with a key to show, "" for none.
func dialWith(address, key string) (engramv1connect.EngramServiceClient, error) {
	base, err := baseURL(address)
	if err != nil {
		return nil, err
	}
	return engramv1connect.NewEngramServiceClient(&http.Client{Transport: http.DefaultTransport}, base,
		connect.WithInterceptors(unreachable(address), bearer(key))), nil
}

// baseURL makes a URL of HOST:PORT, HOST, :PORT or a URL.
func baseURL(address string) (string, error) {
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		return address, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), "7432"
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, "/ ?#@") || port == "" {
		return "", usage("%q is not the address of a server", address).hinted("give HOST:PORT, such as 127.0.0.1:7432")
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// unreachable says in plain words that nobody answers at the address.
func unreachable(address string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			answer, err := next(ctx, r)
			var dialing *net.OpError
			if errors.As(err, &dialing) && dialing.Op == "dial" {
				return nil, failed(exitNotNow, "no server answers at %s: %s", address, dialing.Err).
					hinted("start one with engram serve --data DIR, name another with --server ADDR, or open a directory with --data DIR")
			}
			return answer, err
		}
	}
}

// bearer shows a key with each call.
func bearer(key string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			if key != "" {
				r.Header().Set("Authorization", "Bearer "+key)
			}
			return next(ctx, r)
		}
	}
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
