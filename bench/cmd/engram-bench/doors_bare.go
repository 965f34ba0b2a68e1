package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/engramdb/engram"
	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// A bare server is what the libraries below the doors cost alone: the same protocols
// of net/http on loopback, the handlers that Connect generates with no codec and no
// interceptor of ours, and plain handlers of net/http, which read a body and do not
// look into it. Requests are those of the doors, answers are as large as theirs, and
// the clients are the same.
type bare struct {
	w    *entries
	verb bool // do the operation too, else only answer

	grpc       *engramclient.Client
	rest       *rest
	stop       func() error
	remembered *engramv1.RememberResponse
	recalled   *engramv1.RecallResponse
	plain      map[string][]byte // answers of the REST door, by the last part of their path
}

func newBare(ctx context.Context, w *entries, verb bool) (x *bare, err error) {
	x = &bare{w: w, verb: verb, plain: map[string][]byte{}}
	if err := x.learn(ctx); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(engramv1connect.NewEngramServiceHandler(bareService{bare: x}, connect.WithCompressMinBytes(64<<10)))
	mux.HandleFunc("/v1/spaces/{space}/{call}", x.serve)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: &protocols}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }() // ends with Shutdown, in stop
	x.rest = restAt(ln.Addr().String(), w.pool)
	x.grpc, err = engramclient.New(ln.Addr().String(), w.options())
	x.stop = func() error {
		if x.grpc != nil {
			x.grpc.Close()
		}
		x.rest.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := srv.Shutdown(ctx)
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
	if err != nil {
		return nil, errors.Join(err, x.stop())
	}
	return x, nil
}

// learn asks each door once what an answer looks like.
func (x *bare) learn(ctx context.Context) (err error) {
	e := &x.w.pool.episodes[0]
	if x.remembered, err = x.w.grpc.Remember(ctx, &engramv1.RememberRequest{Space: doorsSpace, Memory: &engramv1.MemoryInput{Text: e.Text, Vector: e.Vector}}); err != nil {
		return err
	}
	if x.recalled, err = x.w.grpc.Recall(ctx, &engramv1.RecallRequest{Space: doorsSpace, Cue: &engramv1.Cue{Vector: x.w.queries[0]}}); err != nil {
		return err
	}
	for call, body := range map[string][]byte{"memories": x.w.pool.single[0], "recall": x.w.cues[0]} {
		resp, err := x.w.rest.client.Post(x.w.rest.url+doorsSpace+"/"+call, "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if resp.StatusCode >= 300 {
			return fmt.Errorf("%s: %s", call, answer)
		}
		x.plain[call] = answer
	}
	return nil
}

// serve is the plain handler. What is remembered or asked is chosen by the caller,
// beside the body that nobody reads.
func (x *bare) serve(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(r.URL.Query().Get("i"))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	call := r.PathValue("call")
	if err == nil && x.verb {
		do := x.w.all()[0].recall
		if call == "memories" {
			do = x.w.all()[0].remember
		}
		err = do(r.Context(), i)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(x.plain[call])))
	_, _ = w.Write(x.plain[call]) // the client says what is wrong
}

// entry are the calls through the bare server, over gRPC and over REST.
func (x *bare) entries() (grpc, rest entry) {
	post := func(call string, bodies [][]byte) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			return x.rest.call(ctx, http.MethodPost, doorsSpace+"/"+call+"?i="+strconv.Itoa(i), bodies[i%len(bodies)])
		}
	}
	return x.w.over(x.grpc), entry{post("memories", x.w.pool.single), post("recall", x.w.cues)}
}

// bareService has the two calls that are measured.
type bareService struct {
	engramv1connect.UnimplementedEngramServiceHandler
	*bare
}

func (s bareService) Remember(ctx context.Context, r *engramv1.RememberRequest) (*engramv1.RememberResponse, error) {
	if s.verb {
		if _, err := s.w.space.Remember(ctx, memory.Episode{Text: r.Memory.Text, Vector: r.Memory.Vector}, engram.WriteOptions{}); err != nil {
			return nil, err
		}
	}
	return s.remembered, nil
}

func (s bareService) Recall(ctx context.Context, r *engramv1.RecallRequest) (*engramv1.RecallResponse, error) {
	if s.verb {
		if _, err := s.w.space.Recall(ctx, memory.Cue{Vector: r.Cue.Vector}); err != nil {
			return nil, err
		}
	}
	return s.recalled, nil
}
