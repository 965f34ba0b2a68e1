package server

import (
	"context"
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// ListEvents reads a page of the journal.
func (s *Service) ListEvents(ctx context.Context, r *engramv1.ListEventsRequest) (*engramv1.ListEventsResponse, error) {
	sp, _, err := s.read(ctx, "list_events", r.GetSpace())
	if err != nil {
		return nil, err
	}
	q := engram.EventQuery{After: memory.LSN(r.GetAfter()), Types: r.GetTypes()}
	if q.Limit, err = pageSize(r.PageSize, defaultPage); err != nil {
		return nil, err
	}
	if q.Filter, err = filterOf(r); err != nil {
		return nil, err
	}
	es, next, err := sp.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListEventsResponse{NextAfter: uint64(next), Events: make([]*engramv1.Event, len(es))}
	for i := range es {
		out.Events[i] = eventPB(&es[i])
	}
	return out, nil
}

// A feed follows the journal of one space for one subscriber. It reads a page,
// hands it on, and waits for the journal to grow; nothing is kept for a
// subscriber that does not read, who only falls behind, and is told of the gap
// when it has fallen behind the horizon.
type feed struct {
	space *engram.Space
	query engram.EventQuery
	ping  time.Duration // the longest silence
	now   func() time.Time
}

// feedPage is how many events are read at once.
const feedPage = 100

// feed opens a space to be followed.
func (s *Service) feed(ctx context.Context, r *engramv1.SubscribeRequest, ping time.Duration) (*feed, error) {
	sp, c, err := s.read(ctx, "subscribe", r.GetSpace())
	if err != nil {
		return nil, err
	}
	f := &feed{space: sp, ping: ping, now: s.db.Now, query: engram.EventQuery{After: c.LSN, Types: r.GetTypes(), Limit: feedPage}}
	if r.After != nil {
		f.query.After = memory.LSN(*r.After)
	}
	f.query.Filter, err = filterOf(r)
	return f, err
}

// A sender hands an event on. resume says that a subscriber that has seen it may
// go on behind its LSN: one record can give several events, and only with the
// last of them it has seen the record.
type sender func(e *engramv1.Event, resume bool) error

// run sends events until ctx ends (nil), send fails, or the space can not be
// read any more.
func (f *feed) run(ctx context.Context, send sender) error {
	for {
		moved, err := f.page(ctx, send)
		if err != nil {
			return ended(ctx, err)
		}
		if moved {
			continue
		}
		if err := f.await(ctx, send); err != nil {
			return ended(ctx, err)
		}
	}
}

// ended makes a subscriber's own leaving no error; the end of its key is one.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); isOurs(cause) && memory.KindOf(cause) == memory.KindUnauthenticated {
		return cause
	}
	return nil
}

// page sends the events of one page, and says whether there may be more.
func (f *feed) page(ctx context.Context, send sender) (moved bool, err error) {
	es, next, err := f.space.Events(ctx, f.query)
	if gap, ok := f.gap(err); ok {
		return true, send(gap, true)
	}
	if err != nil {
		return false, err
	}
	for i := range es {
		last := i+1 == len(es) || es[i+1].LSN != es[i].LSN
		if err := send(eventPB(&es[i]), last); err != nil {
			return false, err
		}
	}
	moved = next > f.query.After
	f.query.After = next
	return moved, nil
}

// gap makes of the error "beyond the horizon" the event that says so, and goes
// on behind the horizon.
func (f *feed) gap(err error) (*engramv1.Event, bool) {
	var e *memory.Error
	if !errors.As(err, &e) || e.Code != "beyond_horizon" {
		return nil, false
	}
	horizon, ok := horizonOf(e)
	if !ok || horizon <= f.query.After {
		return nil, false
	}
	f.query.After = horizon
	n := uint64(horizon)
	return &engramv1.Event{Type: "gap", Lsn: n, Horizon: &n, Time: timestamppb.New(f.now())}, true
}

func horizonOf(e *memory.Error) (memory.LSN, bool) {
	switch h := e.Details["horizon"].(type) {
	case memory.LSN:
		return h, true
	case uint64:
		return memory.LSN(h), true
	case string:
		n, err := strconv.ParseUint(h, 10, 64)
		return memory.LSN(n), err == nil
	}
	return 0, false
}

// await waits until the journal has grown; after a silence it sends a ping.
func (f *feed) await(ctx context.Context, send sender) error {
	wait, cancel := context.WithTimeout(ctx, f.ping)
	defer cancel()
	err := f.space.WaitFor(wait, f.query.After+1)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return send(&engramv1.Event{Type: "ping", Lsn: uint64(f.query.After), Time: timestamppb.New(f.now())}, true)
	}
	return err
}

// A subscriber is the Service of streams, for Connect and gRPC.
type subscriber struct{ s *Server }

// Subscribe streams the events of a space.
func (b subscriber) Subscribe(ctx context.Context, r *engramv1.SubscribeRequest, out *connect.ServerStream[engramv1.Event]) error {
	err := faultOf(r)
	if err == nil {
		err = b.s.authorize(callOf(ctx), "subscribe", r)
	}
	if err != nil {
		return err
	}
	ctx, release, err := b.s.stream(ctx)
	if err != nil {
		return err
	}
	defer release()
	f, err := b.s.service.feed(ctx, r, b.s.o.PingEvery)
	if err != nil {
		return err
	}
	c := callOf(ctx)
	send := func(e *engramv1.Event, _ bool) error {
		return c.within(b.s.o.WriteTimeout, func() error { return out.Send(e) })
	}
	if err := send(nil, false); err != nil { // the headers, before there is an event
		return err
	}
	return f.run(ctx, send)
}
