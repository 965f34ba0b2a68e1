package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/internal/clock"
)

// Options of a Tracer. The zero value of each field but URL means its default.
type Options struct {
	// URL is where traces are posted, such as http://127.0.0.1:4318/v1/traces.
	URL string
	// Header is sent with each request, such as a collector's key.
	Header http.Header
	// Service and Version are how the sender names itself; default engram.
	Service, Version string
	// Fraction is how many of the traces that have no parent are kept; default 1.
	// Those with one are kept when their parent is.
	Fraction float64
	// Timeout is for one request; default 10 s.
	Timeout time.Duration
	// Every is how long a call may wait to be sent with others; default 1 s.
	Every time.Duration
	// Clock tells when Every is over; default the system's.
	Clock clock.Clock
	// Logger is told when the collector stops answering, and when it does again;
	// default none.
	Logger *slog.Logger
}

// Bounds of what waits. Calls beyond queueMax are dropped and counted: traces are
// worth less than the calls that they tell of.
const (
	queueMax = 2048 // calls
	batchMax = 256  // calls in one request
	triesMax = 3
)

// A Tracer sends calls to a collector, in batches, from a goroutine that ends in
// Close. It is safe for concurrent use.
type Tracer struct {
	o      Options
	client *http.Client
	queue  chan *Call
	stop   chan struct{} // closed by Close
	once   sync.Once
	ended  chan struct{} // closed when the goroutine has ended
	ctx    context.Context
	cancel context.CancelFunc // cuts a request off
	deaf   bool               // the goroutine's: the collector does not answer

	sent, dropped, failed atomic.Uint64
}

// NewTracer starts a Tracer. The URL is checked; whether somebody is there is not.
func NewTracer(o Options) (*Tracer, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the collector's URL is not one such as http://127.0.0.1:4318/v1/traces")
	}
	if o.Service == "" {
		o.Service = "engram"
	}
	if o.Fraction == 0 {
		o.Fraction = 1
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // its own, so that Close closes its connections
	t := &Tracer{o: o, client: &http.Client{Timeout: o.Timeout, Transport: transport},
		queue: make(chan *Call, queueMax), stop: make(chan struct{}), ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go t.run()
	return t, nil
}

// Keeps says whether a call is to be traced, and in which trace.
func (t *Tracer) Keeps(p Parent) (TraceID, bool) {
	if p.Trace != (TraceID{}) {
		return p.Trace, p.Sampled
	}
	id := newTraceID()
	return id, id.falls(t.o.Fraction)
}

// Tell takes a call that has ended, which is the Tracer's from then on. It never
// waits.
func (t *Tracer) Tell(c *Call) {
	select {
	case t.queue <- c:
	default:
		t.dropped.Add(1)
	}
}

// Counts says how many calls were sent, dropped because too many waited, and lost
// because the collector did not take them.
func (t *Tracer) Counts() (sent, dropped, failed uint64) {
	return t.sent.Load(), t.dropped.Load(), t.failed.Load()
}

// Close sends what waits, until ctx ends, and stops. What is told later is lost.
func (t *Tracer) Close(ctx context.Context) {
	t.once.Do(func() { close(t.stop) })
	unhook := context.AfterFunc(ctx, t.cancel)
	defer unhook()
	<-t.ended
	t.cancel()
	t.client.CloseIdleConnections()
}

// run gathers calls and sends them: when there are enough, or the first has
// waited long enough, or it is the end.
func (t *Tracer) run() {
	defer close(t.ended)
	var batch []*Call
	var due <-chan time.Time
	flush := func() {
		t.send(batch)
		batch, due = nil, nil
	}
	for {
		select {
		case c := <-t.queue:
			if batch = append(batch, c); len(batch) == 1 {
				due = t.o.Clock.After(t.o.Every)
			}
			if len(batch) == batchMax {
				flush()
			}
		case <-due:
			flush()
		case <-t.stop:
			for len(t.queue) > 0 {
				if batch = append(batch, <-t.queue); len(batch) == batchMax {
					flush()
				}
			}
			flush()
			return
		}
	}
}

// send posts a batch, and again when the collector asks for it.
func (t *Tracer) send(batch []*Call) {
	if len(batch) == 0 {
		return
	}
	body, err := proto.Marshal(tracesOf(&t.o, batch))
	for try := 0; err == nil; try++ {
		var again bool
		var wait time.Duration
		again, wait, err = t.post(body)
		if err == nil || !again || try+1 == triesMax {
			break
		}
		select {
		case <-t.o.Clock.After(wait):
			err = nil
		case <-t.stop: // the last try is now
			try, err = triesMax-2, nil
		case <-t.ctx.Done():
		}
	}
	t.account(len(batch), err)
}

func (t *Tracer) account(n int, err error) {
	if err == nil {
		t.sent.Add(uint64(n))
		if t.deaf {
			t.o.Logger.Info("the collector takes traces again")
		}
		t.deaf = false
		return
	}
	t.failed.Add(uint64(n))
	if !t.deaf { // once, not at each batch
		t.o.Logger.Warn("the collector does not take traces; they are lost until it does", "error", err)
	}
	t.deaf = true
}

// Waits before another try.
const (
	waitLeast = time.Second
	waitMost  = 10 * time.Second
)

// post sends one request. again says that the same may succeed later, as OTLP
// lists it, and after which time.
func (t *Tracer) post(body []byte) (again bool, wait time.Duration, err error) {
	q, err := http.NewRequestWithContext(t.ctx, http.MethodPost, t.o.URL, strings.NewReader(string(body)))
	if err != nil {
		return false, 0, withoutURL(err)
	}
	for name, values := range t.o.Header {
		q.Header[name] = values
	}
	q.Header.Set("Content-Type", "application/x-protobuf")
	q.Header.Set("User-Agent", "engram")
	a, err := t.client.Do(q)
	if err != nil {
		return true, waitLeast, withoutURL(err)
	}
	defer func() { _ = a.Body.Close() }()                      // nothing is written to it
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // so that the connection can be used again
	switch a.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
	wait = min(max(time.Duration(seconds)*time.Second, waitLeast), waitMost)
	return again, wait, fmt.Errorf("the collector answers %s", a.Status)
}

// withoutURL takes the address away from an error: it may have a password in it.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
