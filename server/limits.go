package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram/memory"
)

// A boundedBody is the body of a request under its bounds: so many bytes, and so
// much time from the first to the last of them. The time is kept by a timer that sets
// a deadline in the past when it is over, not by a deadline: over HTTP/2 setting one,
// and taking it away, are two messages to the goroutine of the connection, which cost
// a small call more than all else that the door does.
type boundedBody struct {
	io.ReadCloser
	read  int64
	timer *time.Timer // nil: no bound of time
	until time.Time   // what the timer is set to
}

// boundBody puts the bounds on the body of a request.
func (s *Server) boundBody(w http.ResponseWriter, conn *http.ResponseController, r *http.Request) *boundedBody {
	b := &boundedBody{}
	if r.Body == nil || r.Body == http.NoBody {
		return b
	}
	b.until = time.Now().Add(s.o.BodyTimeout)
	b.timer = time.AfterFunc(s.o.BodyTimeout, func() { _ = conn.SetReadDeadline(longAgo) }) // not every connection has deadlines
	b.ReadCloser = r.Body
	if !streamsBody(r) {
		b.ReadCloser = http.MaxBytesReader(w, r.Body, s.o.MaxBodyBytes)
	}
	r.Body = b
	return b
}

// declared refuses a body that is too large by its own header, before a byte of it is
// waited for.
func (s *Server) declared(r *http.Request) *memory.Error {
	if r.ContentLength <= s.o.MaxBodyBytes || streamsBody(r) {
		return nil
	}
	return asError(r.Context(), bodyError(&http.MaxBytesError{Limit: s.o.MaxBodyBytes}))
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) && !b.untimed() {
		err = os.ErrDeadlineExceeded // the deadline is set by now, or will be: nothing more can be read
	}
	return n, err
}

// longAgo is a time that is over.
var longAgo = time.Unix(1, 0)

// untimed takes the bound of time away: once the body is there, as the connection is
// read on in the background while the request is worked on, and its end is the
// client's; and of a stream, which has other bounds. It says false when the time was
// over first.
func (b *boundedBody) untimed() bool {
	if b == nil || b.timer == nil {
		return true
	}
	stopped := b.timer.Stop()
	b.timer = nil
	return stopped
}

// leave is for when the request has been answered. What of its body nobody has read
// is read by net/http, to keep the connection, in the time that is left.
func (b *boundedBody) leave(conn *http.ResponseController) {
	if b.timer != nil && b.untimed() {
		_ = conn.SetReadDeadline(b.until) // not every connection has deadlines
	}
}

// CheckListen refuses an address that other machines may reach, unless guarded:
// there are API keys, or the operator says that something else keeps strangers out.
func CheckListen(addr string, guarded bool) error {
	if guarded {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return memory.Invalid("listen_invalid", "listen", "the address %q is not HOST:PORT", addr)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	e := memory.Errorf(memory.KindDenied, "listen_insecure", "the address %q is not loopback, and there are no API keys: anybody who reaches it could read and change every memory", addr)
	return e.Hinted("make a key with engram key create --data DIR, listen on 127.0.0.1, or give --insecure when something else keeps strangers out")
}

// A boundedListener closes connections beyond its bound at once. To let them wait
// would let the first ten thousand keep everybody else out without a word.
type boundedListener struct {
	net.Listener
	most    int64
	open    atomic.Int64
	refused func()
}

// Accept waits for a connection that there is room for.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &countedConn{Conn: c, release: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		l.refused()
		_ = c.Close() // it was never used
	}
}

type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// CloseWrite lets net/http end its half first, so that a client that still sends
// reads why it was refused.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
