package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/engramdb/engram/server"
)

// wsEvents is a stream of events by WebSocket.
type wsEvents struct{ conn *websocket.Conn }

func dialEvents(t *testing.T, addr, path string, header http.Header, subprotocols ...string) *wsEvents {
	t.Helper()
	ws, _, err := tryEvents(t, addr, path, header, subprotocols...)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func tryEvents(t *testing.T, addr, path string, header http.Header, subprotocols ...string) (*wsEvents, *http.Response, error) {
	conn, answer, err := websocket.Dial(context.Background(), "ws://"+addr+path, &websocket.DialOptions{HTTPHeader: header, Subprotocols: subprotocols, HTTPClient: client(t, false)})
	if err != nil {
		return nil, answer, err
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &wsEvents{conn}, answer, nil
}

func (ws *wsEvents) next(t *testing.T) frame {
	t.Helper()
	f, err := ws.read()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (ws *wsEvents) read() (f frame, err error) {
	_, b, err := ws.conn.Read(context.Background())
	if err != nil {
		return f, err
	}
	var m struct {
		ID, Event string
		Data      map[string]any
	}
	err = json.Unmarshal(b, &m)
	return frame{m.ID, m.Event, m.Data}, err
}

// closedWith gives the status and reason with which the server ended the stream.
func closedWith(err error) (websocket.StatusCode, string) {
	var c websocket.CloseError
	if errors.As(err, &c) {
		return c.Code, c.Reason
	}
	return -1, ""
}

func TestWebSocketLife(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.PingEvery = time.Millisecond; o.MaxStreams = 1 })
	addr := listen(t, s)
	ws := dialEvents(t, addr, space+"/events", nil, "engram.events")
	if ws.conn.Subprotocol() != "engram.events" {
		t.Errorf("subprotocol %q", ws.conn.Subprotocol())
	}
	if f := ws.next(t); f.event != "ping" {
		t.Errorf("%+v", f)
	}
	_, answer, err := tryEvents(t, addr, space+"/events", nil)
	if err == nil || answer.StatusCode != 429 {
		t.Errorf("a stream too many: %v", err)
	} else if a := read(t, answer); a.failure()["code"] != "too_many_streams" {
		t.Errorf("%s", a.body)
	}
	// Who speaks is not listened to.
	if err := ws.conn.Write(context.Background(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for err = error(nil); err == nil; {
		_, err = ws.read()
	}
	if code, _ := closedWith(err); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", err)
	}
}

func TestWebSocketEndsWithTheServer(t *testing.T) {
	s := newServer(t)
	addr := listen(t, s)
	ws := dialEvents(t, addr, space+"/events", nil)
	done := make(chan error, 1)
	go func() {
		_, err := ws.read()
		done <- err
	}()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if code, _ := closedWith(<-done); code != websocket.StatusGoingAway {
		t.Errorf("closed with %v", code)
	}
}
