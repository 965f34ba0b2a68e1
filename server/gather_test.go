package server

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
)

// A tape is a connection that keeps what is written, write by write.
type tape struct {
	net.Conn
	writes [][]byte
	err    error
	closed bool
}

func (t *tape) Write(b []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	t.writes = append(t.writes, bytes.Clone(b))
	return len(b), nil
}

func (t *tape) Close() error {
	t.closed = true
	return nil
}

func (t *tape) all() []byte { return bytes.Join(t.writes, nil) }

// frameOf makes a frame of a stream.
func frameOf(kind, flags byte, size int) []byte {
	return append([]byte{byte(size >> 16), byte(size >> 8), byte(size), kind, flags, 0, 0, 0, 1}, bytes.Repeat([]byte{7}, size)...)
}

// Frames as net/http writes them.
var (
	settingsFrame = frameOf(4, 0, 12)
	headFrame     = frameOf(frameHeaders, 4, 60)
	dataFrame     = frameOf(frameData, 0, 3000)
	trailerFrame  = frameOf(frameHeaders, 4|flagEnd, 20)
	windowFrame   = frameOf(8, 0, 4)
)

// opened is a connection of HTTP/2 whose settings are written.
func opened(t *testing.T) (*gatherer, *tape) {
	to := &tape{}
	g := &gatherer{Conn: to}
	writeAll(t, g, settingsFrame)
	to.writes = nil
	return g, to
}

func writeAll(t *testing.T, g *gatherer, pieces ...[]byte) {
	t.Helper()
	for _, p := range pieces {
		if n, err := g.Write(p); err != nil || n != len(p) {
			t.Fatalf("wrote %d of %d: %v", n, len(p), err)
		}
	}
}

func TestGather(t *testing.T) {
	large := frameOf(frameData, 0, gatherMost)
	for _, c := range []struct {
		name   string
		gather bool
		pieces [][]byte
		writes []int // how many pieces each write has in it
	}{
		{"an answer", true, [][]byte{headFrame, dataFrame, trailerFrame}, []int{3}},
		{"data that ends it", true, [][]byte{headFrame, frameOf(frameData, flagEnd, 3000)}, []int{2}},
		{"no data", true, [][]byte{headFrame, trailerFrame}, []int{2}},
		{"data that waits for a window", true, [][]byte{headFrame, frameOf(frameData, 0, 2999), frameOf(frameData, 0, 1), trailerFrame}, []int{2, 1, 1}},
		{"data of another stream", true, [][]byte{headFrame, frameOf(frameData, 0, 5000), trailerFrame}, []int{2, 1}},
		{"two answers, the second not asked for", true, [][]byte{headFrame, trailerFrame, headFrame, trailerFrame}, []int{2, 1, 1}},
		{"a window on the way", true, [][]byte{headFrame, windowFrame, dataFrame, trailerFrame}, []int{2, 1, 1}},
		{"a reset", true, [][]byte{headFrame, frameOf(3, 0, 4)}, []int{2}},
		{"too much", true, [][]byte{headFrame, large, trailerFrame}, []int{2, 1}},
		{"not asked for", false, [][]byte{headFrame, dataFrame, trailerFrame}, []int{1, 1, 1}},
	} {
		g, to := opened(t)
		if c.gather {
			g.gather(3000)
		}
		writeAll(t, g, c.pieces...)
		from := 0
		for i, n := range c.writes {
			if i >= len(to.writes) || !bytes.Equal(to.writes[i], bytes.Join(c.pieces[from:from+n], nil)) {
				t.Errorf("%s: write %d of %d has not %d pieces", c.name, i, len(to.writes), n)
				break
			}
			from += n
		}
		if len(to.writes) != len(c.writes) {
			t.Errorf("%s: %d writes, want %d", c.name, len(to.writes), len(c.writes))
		}
	}
}

// TestGatherPlain: what is not HTTP/2 goes as it comes.
func TestGatherPlain(t *testing.T) {
	for _, first := range []string{"HTTP/1.1 200 OK\r\n", "\x16\x03\x03"} {
		to := &tape{}
		g := &gatherer{Conn: to}
		g.gather(3000) // nothing is known yet
		writeAll(t, g, []byte(first))
		g.gather(3000)
		writeAll(t, g, headFrame, dataFrame)
		if len(to.writes) != 3 {
			t.Errorf("%q: %d writes of 3", first, len(to.writes))
		}
	}
}

// TestGatherCloses: what is kept is written when the connection is closed, and when the
// call's time is over.
func TestGatherCloses(t *testing.T) {
	g, to := opened(t)
	g.gather(3000)
	writeAll(t, g, headFrame)
	g.let()
	if !bytes.Equal(to.all(), headFrame) {
		t.Errorf("%d bytes were written of %d", len(to.all()), len(headFrame))
	}
	writeAll(t, g, dataFrame, trailerFrame)
	g.gather(0)
	writeAll(t, g, headFrame)
	if err := g.Close(); err != nil || !to.closed || len(to.writes) != 4 {
		t.Errorf("closed: %v, %d writes", err, len(to.writes))
	}
}

// TestGatherFails: the error of a write that nobody waited for is the next one's.
func TestGatherFails(t *testing.T) {
	g, to := opened(t)
	g.gather(3000)
	writeAll(t, g, headFrame)
	to.err = errors.New("the client has gone")
	g.let()
	if _, err := g.Write(dataFrame); !errors.Is(err, to.err) {
		t.Errorf("got %v", err)
	}
}

// TestGatherAnyCut: however the frames are cut into writes, the same bytes arrive, and
// what ends a stream is not kept.
func TestGatherAnyCut(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g, to := opened(t)
		var want []byte
		for range 1 + r.IntN(5) {
			size := r.IntN(4000)
			g.gather(size - r.IntN(2)) // wrong now and then
			answer := bytes.Join([][]byte{headFrame, frameOf(frameData, 0, size), trailerFrame}, nil)
			want = append(want, answer...)
			for len(answer) > 0 {
				n := 1 + r.IntN(min(len(answer), 1+r.IntN(2000)))
				writeAll(t, g, answer[:n])
				answer = answer[n:]
			}
			if !bytes.Equal(to.all(), want) {
				t.Fatalf("seed %d: %d bytes arrived of %d", seed, len(to.all()), len(want))
			}
		}
	}
}
