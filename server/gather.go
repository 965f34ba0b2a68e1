package server

import (
	"context"
	"net"
	"sync"
)

// net/http writes an answer over HTTP/2 as a frame of headers, frames of data and a
// frame of trailers, each in a packet of its own, as it does not know that the next
// comes at once. Each costs a call of the system, and wakes the client to find that
// the answer is not there yet: of a small call that is a good part of its time.
//
// A gatherer stands between net/http and the connection. When a call says that its
// whole answer comes now, and how long it is, the gatherer keeps the frames until one
// ends a stream, and writes them together. It looks at the heads of frames alone and
// changes nothing of them. Data that is kept is all the data of the answer, behind
// which the trailers come without waiting for anything: data of which a part has to
// wait until the client opens its window is not kept, as the client would wait too.
type gatherer struct {
	net.Conn

	mu struct { // guards what follows, and the order of writes
		sync.Mutex
		frames
		plain     bool // no HTTP/2
		begun     bool
		gathering bool
		held      []byte
		err       error // of a write that nobody waited for
	}
}

// gatherMost is how much is kept.
const gatherMost = 32 << 10

// gather keeps what is written from here on, until a stream ends. The answer has so
// many bytes. It does not wait for a write that the client takes its time for.
func (g *gatherer) gather(size int) {
	if g.mu.TryLock() {
		g.mu.gathering = !g.mu.plain && g.mu.begun
		g.mu.data = size
		g.mu.Unlock()
	}
}

// Write writes b, or keeps it; then it says that b is written, and a later call
// returns the error if it could not be.
func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.begun && len(b) > 0 {
		// An answer of HTTP/1 begins with a word, the first frame of HTTP/2 with
		// its length, of which no settings need 16 MB.
		g.mu.begun, g.mu.plain = true, b[0] != 0
	}
	if g.mu.plain {
		return g.Conn.Write(b)
	}
	urgent := g.mu.pass(b)
	switch {
	case g.mu.err != nil:
		return 0, g.mu.err
	case g.mu.gathering && !urgent && len(g.mu.held)+len(b) <= gatherMost:
		g.mu.held = append(g.mu.held, b...)
		return len(b), nil
	}
	g.mu.gathering = false
	if len(g.mu.held) == 0 {
		return g.Conn.Write(b)
	}
	g.mu.held = append(g.mu.held, b...)
	if err := g.letLocked(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// let writes what is kept.
func (g *gatherer) let() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.gathering = false
	_ = g.letLocked() // the next write tells
}

func (g *gatherer) letLocked() error {
	if len(g.mu.held) == 0 {
		return g.mu.err
	}
	_, g.mu.err = g.Conn.Write(g.mu.held)
	g.mu.held = g.mu.held[:0]
	if cap(g.mu.held) > heldIdle {
		g.mu.held = nil
	}
	return g.mu.err
}

// heldIdle is how much room a connection keeps for its next answer.
const heldIdle = 16 << 10

// Close writes what is kept, and closes the connection. A write that hangs ends with it.
func (g *gatherer) Close() error {
	if g.mu.TryLock() {
		_ = g.letLocked() // the client is let go either way
		g.mu.Unlock()
	}
	return g.Conn.Close()
}

// CloseWrite is countedConn's.
func (g *gatherer) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return g.Close()
}

// frames follows the heads of frames through what is written, in pieces of any size.
type frames struct {
	rest int // bytes of the frame that are still to come
	data int // bytes of the answer's data that no frame has had yet
	n    int // bytes of the head that are there
	head [frameHead]byte
}

// A frame's head (RFC 9113, 4.1): its length in three bytes, its type, its flags, and
// its stream in four bytes.
const (
	frameHead    = 9
	frameData    = 0
	frameHeaders = 1
	flagEnd      = 1 // of data and headers: the stream's last frame
)

// pass says whether something begins in b that is not to wait: all but headers and
// data that more of the same stream follows, and of data a frame without the end of
// the answer.
func (f *frames) pass(b []byte) (urgent bool) {
	for len(b) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(b))
			f.rest -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.n:], b)
		f.n += n
		b = b[n:]
		if f.n < frameHead {
			return urgent
		}
		f.n = 0
		f.rest = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		kind, flags := f.head[3], f.head[4]
		if kind == frameData {
			f.data -= f.rest
		}
		urgent = urgent || kind > frameHeaders || flags&flagEnd != 0 || kind == frameData && f.data != 0
	}
	return urgent
}

// gathererKey is where the context of a request has its connection.
type gathererKey struct{}

func withGatherer(ctx context.Context, c net.Conn) context.Context {
	if g, ok := c.(*gatherer); ok {
		return context.WithValue(ctx, gathererKey{}, g)
	}
	return ctx
}

// gathererOf gives the connection of a request; nil when it has another kind.
func gathererOf(ctx context.Context) *gatherer {
	g, _ := ctx.Value(gathererKey{}).(*gatherer)
	return g
}
