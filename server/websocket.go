package server

import (
	"context"
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
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{eventProtocol}})
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }()
	ctx = conn.CloseRead(ctx) // answers pings, and ends ctx when the client goes
	out := &wsWriter{conn: conn, patience: s.o.WriteTimeout}
	err = f.run(ctx, out.send)
	if err == nil {
		_ = conn.Close(websocket.StatusGoingAway, "") // the stream ends either way
		return
	}
	if out.broken {
		return
	}
	c.err = asError(ctx, err)
	out.fail(ctx, c)
	_ = conn.Close(websocket.StatusPolicyViolation, c.err.Code)
}

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
	return o.write(context.Background())
}

// fail says as a last event why the stream ends.
func (o *wsWriter) fail(_ context.Context, c *Call) {
	b := append(o.buf[:0], `{"event":"error","data":`...)
	b = wirejson.Append(b, &engramv1.ErrorResponse{Error: wireError(c.err, c.Verb, c.RequestID)})
	o.buf = append(b, '}')
	_ = o.write(context.Background()) // the stream ends either way
}

// write takes no caller's context: one that ends in the middle of a message would
// break the connection, and the reason could not be told any more.
func (o *wsWriter) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	err := o.conn.Write(ctx, websocket.MessageText, o.buf)
	o.broken = o.broken || err != nil
	return err
}
