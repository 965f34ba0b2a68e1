package server

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// wsEvents answers with a stream of events by WebSocket. A message of it is a
// frame of the server-sent events as JSON: {"id", "event", "data"}.
func (s *Server) wsEvents(w http.ResponseWriter, r *http.Request, c *Call, f *feed, ctx context.Context) {
	// Which pages may is decided before (cors); compression is off, as its window
	// would cost more memory than a stream.
	wire := &hijacked{ResponseWriter: w}
	conn, err := websocket.Accept(wire, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{eventProtocol}})
	if err != nil {
		return // it has answered
	}
	ctx, cancel := context.WithCancelCause(ctx)
	heard := make(chan struct{})
	go func() { // ends when the client closes or speaks, or with CloseNow below
		defer close(heard)
		_, _, err := conn.Reader(context.Background()) // answers pings; an end of ctx would break the connection
		if err == nil {
			err = errSpoke
		}
		cancel(err)
	}()
	defer func() {
		_ = conn.CloseNow()
		<-heard
	}()
	out := &wsWriter{conn: conn, patience: s.o.WriteTimeout}
	err = f.run(ctx, out.send)
	status, reason := websocket.StatusGoingAway, ""
	switch {
	case out.broken:
		return
	case err != nil:
		c.err = asError(ctx, err)
		out.fail(c)
		status, reason = websocket.StatusPolicyViolation, c.err.Code
	case errors.Is(context.Cause(ctx), errSpoke):
		status, reason = websocket.StatusPolicyViolation, "nothing is read here"
	}
	// The client has a moment to say goodbye. The library would give it five
	// seconds, and Shutdown waits for us.
	hangUp := time.AfterFunc(goodbye, func() { _ = wire.conn.Close() })
	defer hangUp.Stop()
	_ = conn.Close(status, reason) // the stream ends either way
}

// hijacked keeps the connection that a WebSocket takes over.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack takes the connection over.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// errSpoke ends the stream of a client that sends something.
var errSpoke = errors.New("the client sent a message")

// goodbye is how long a client may take to answer that the stream ends.
const goodbye = 500 * time.Millisecond

// A wsWriter writes events to a WebSocket, each within patience.
type wsWriter struct {
	conn     *websocket.Conn
	patience time.Duration
	buf      []byte
	broken   bool
}

func (o *wsWriter) send(e *engramv1.Event, resume bool) error {
	b := append(o.buf[:0], '{')
	if resume {
		b = append(b, `"id":"`...)
		b = strconv.AppendUint(b, e.Lsn, 10)
		b = append(b, `",`...)
	}
	b = append(b, `"event":"`...)
	b = append(b, e.Type...) // a word of ours
	b = append(b, `","data":`...)
	b = wirejson.Append(b, e)
	o.buf = append(b, '}')
	return o.write()
}

// fail says as a last event why the stream ends.
func (o *wsWriter) fail(c *Call) {
	b := append(o.buf[:0], `{"event":"error","data":`...)
	b = wirejson.Append(b, &engramv1.ErrorResponse{Error: wireError(c.err, c.Verb, c.RequestID)})
	o.buf = append(b, '}')
	_ = o.write() // the stream ends either way
}

// write takes no caller's context: one that ends in the middle of a message would
// break the connection, and the reason could not be told any more.
func (o *wsWriter) write() error {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience)
	defer cancel()
	err := o.conn.Write(ctx, websocket.MessageText, o.buf)
	o.broken = o.broken || err != nil
	return err
}
