package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/engramdb/engram/memory"
)

// A boundedBody is the body of a request under its bounds: so many bytes, and so
// much time from the first to the last of them.
type boundedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	read  int64
	timed bool
}

// boundBody puts the bounds on the body of a request.
func (s *Server) boundBody(w http.ResponseWriter, r *http.Request) *boundedBody {
	b := &boundedBody{}
	if r.Body == nil || r.Body == http.NoBody {
		return b
	}
	b.rc = http.NewResponseController(w)
	b.timed = b.rc.SetReadDeadline(time.Now().Add(s.o.BodyTimeout)) == nil
	b.ReadCloser = http.MaxBytesReader(w, r.Body, s.o.MaxBodyBytes)
	r.Body = b
	return b
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if err != nil {
		b.done(err)
	}
	return n, err
}

// done takes the deadline away once the body is there: the connection is read on
// in the background while the request is worked on, and its end is the client's.
func (b *boundedBody) done(err error) {
	if b.timed && errors.Is(err, io.EOF) {
		b.timed = false
		_ = b.rc.SetReadDeadline(time.Time{}) // it could be set, so it can be taken away
	}
}

// CheckListen refuses an address that other machines may reach, unless insecure
// says that this is meant.
//
// BUG(server): there are no API keys yet, which would be the other way to allow it.
func CheckListen(addr string, insecure bool) error {
	if insecure {
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
	return e.Hinted("listen on 127.0.0.1, or give --insecure when something else keeps strangers out")
}
