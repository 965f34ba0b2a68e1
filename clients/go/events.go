package engramclient

import (
	"context"
	"errors"
	"iter"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// Events follows a space: it yields its events in the order of their LSNs, each
// once, until ctx ends (which yields no error), the caller stops, or the server
// says something that does not go by itself. Behind r.After, else from now on. A
// stream that breaks, or is silent too long, is taken up where it stood, with
// the waits of a retry; Options.Retries bounds how often in a row. An event of
// type "gap" says that some are out of reach. Pings are not yielded.
func (c *Client) Events(ctx context.Context, r *engramv1.SubscribeRequest) iter.Seq2[*engramv1.Event, error] {
	return func(yield func(*engramv1.Event, error) bool) {
		f := &follower{c: c, r: proto.CloneOf(r)}
		for n := 0; ; n++ {
			before := f.heard
			err := f.follow(ctx, yield)
			if f.stopped || ctx.Err() != nil {
				return
			}
			if f.heard > before {
				n = 0
			}
			e := c.errorOf(err, "Subscribe", &attempt{})
			if !c.again(ctx, nil, "Subscribe", e, n) {
				if ctx.Err() == nil {
					yield(nil, e)
				}
				return
			}
		}
	}
}

// A follower is where a subscriber stands. One record can give several events,
// which have its LSN: it stands behind the record at, of whose events it has
// yielded some, and perhaps not all.
type follower struct {
	c       *Client
	r       *engramv1.SubscribeRequest
	at      uint64
	some    int    // events of at that were yielded
	heard   uint64 // messages that came
	stopped bool   // the caller has had enough
}

// errSilent is why a stream that says nothing is given up.
var errSilent = errors.New("the stream has been silent for too long")

// follow follows one stream to its end, which is always an error.
func (f *follower) follow(ctx context.Context, yield func(*engramv1.Event, error) bool) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.c.o.Silence, func() { cancel(errSilent) })
	defer silence.Stop()
	stream, err := f.c.events.Subscribe(ctx, f.request())
	if err != nil {
		return f.broken(ctx, err)
	}
	defer stream.Close() //nolint:errcheck // it is over either way
	skip := f.some
	for stream.Receive() {
		silence.Reset(f.c.o.Silence)
		f.heard++
		e := stream.Msg()
		if skip > 0 && e.GetLsn() == f.at && e.GetType() != "ping" && e.GetType() != "gap" {
			skip-- // yielded before the stream broke
			continue
		}
		skip = 0
		if !f.take(e, yield) {
			f.stopped = true
			return nil
		}
	}
	return f.broken(ctx, stream.Err())
}

// begin names the place to begin at when the caller has not: a stream that broke
// before its first event could not be taken up again from "now".
func (f *follower) begin(ctx context.Context) error {
	if f.r.After != nil || f.at > 0 {
		return nil
	}
	sp, err := f.c.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: f.r.GetSpace()})
	if err == nil {
		f.r.After = proto.Uint64(sp.GetLsn())
	}
	return err
}

// request asks for what is behind the last whole record; of one of which some
// events were yielded, for all of them again.
func (f *follower) request() *engramv1.SubscribeRequest {
	r := proto.CloneOf(f.r)
	switch {
	case f.at == 0:
	case f.some > 0:
		r.After = proto.Uint64(f.at - 1)
	default:
		r.After = proto.Uint64(f.at)
	}
	return r
}

// take moves on by an event and yields it.
func (f *follower) take(e *engramv1.Event, yield func(*engramv1.Event, error) bool) bool {
	switch e.GetType() {
	case "ping":
		f.at, f.some = max(f.at, e.GetLsn()), 0 // all up to here was sent
		return true
	case "gap":
		f.at, f.some = e.GetLsn(), 0
		return yield(e, nil)
	}
	if e.GetLsn() != f.at {
		f.at, f.some = e.GetLsn(), 0
	}
	f.some++
	return yield(e, nil)
}

// broken is why a stream ended; the server's own end is that too.
func (f *follower) broken(ctx context.Context, err error) error {
	var wire *connect.Error
	if errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	} else if errors.As(err, &wire) && told(wire) != nil {
		return err
	} else if err == nil {
		err = errors.New("the server has ended the stream")
	}
	e := memory.Errorf(memory.KindUnavailable, codeUnreachable, "the stream of events broke: %v", err)
	e.Cause = err
	return e
}
