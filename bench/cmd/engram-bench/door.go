package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/bench/prose"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server"
)

const dimension = 768

// pool is a stock of memories made up before the clock starts, so that making
// them is not measured. A memory of the pool has no id: it can be stored often.
type pool struct {
	episodes []memory.Episode
	single   [][]byte // the same as REST bodies
	batches  [][]byte // of perBatch memories each
	bytes    int      // of an average memory: text and vector
}

const perBatch = 100

func newPool(seed uint64, n int) (*pool, error) {
	src := prose.New(seed)
	var centres [][]float32
	for range 64 {
		centres = append(centres, src.Centre(dimension))
	}
	p := &pool{}
	total := 0
	var objects []json.RawMessage
	for range n {
		topic := src.Topic()
		e := memory.Episode{Text: src.Passage(topic, 150), Vector: src.Near(centres[topic%len(centres)], 0.4)}
		total += len(e.Text) + 4*len(e.Vector)
		body, err := json.Marshal(map[string]any{"text": e.Text, "vector": e.Vector})
		if err != nil {
			return nil, err
		}
		p.episodes = append(p.episodes, e)
		p.single = append(p.single, body)
		objects = append(objects, body)
		if len(objects) == perBatch {
			batch, err := json.Marshal(map[string]any{"memories": objects})
			if err != nil {
				return nil, err
			}
			p.batches = append(p.batches, batch)
			objects = nil
		}
	}
	p.bytes = total / n
	return p, nil
}

// batch gives the i-th hundred of the pool, copied: the engine fills in ids.
func (p *pool) batch(i int) []memory.Episode {
	from := i % len(p.batches) * perBatch
	return append([]memory.Episode(nil), p.episodes[from:from+perBatch]...)
}

// A door is a way of writing to a database; i chooses the memory of the pool.
type door interface {
	makeSpace(ctx context.Context, name string) error
	remember(ctx context.Context, space string, i int) error
	rememberBatch(ctx context.Context, space string, i int) error
}

// library is the database in the same process.
type library struct {
	db *engram.DB
	*pool
}

func (l *library) makeSpace(ctx context.Context, name string) error {
	_, _, err := l.db.CreateSpace(ctx, memory.SpaceName(name), memory.Settings{Vector: memory.VectorSettings{Dimension: dimension}})
	return err
}

func (l *library) remember(ctx context.Context, space string, i int) error {
	s, err := l.db.Space(memory.SpaceName(space))
	if err != nil {
		return err
	}
	_, err = s.Remember(ctx, l.episodes[i%len(l.episodes)], engram.WriteOptions{})
	return err
}

func (l *library) rememberBatch(ctx context.Context, space string, i int) error {
	s, err := l.db.Space(memory.SpaceName(space))
	if err != nil {
		return err
	}
	_, err = s.RememberBatch(ctx, l.batch(i), false, engram.WriteOptions{})
	return err
}

// rest is a server in the same process, over loopback. Bodies are encoded
// beforehand: the client shares the machine, and its work is not the server's.
type rest struct {
	url    string
	client *http.Client
	*pool
}

// serveREST starts a server; the function that it returns stops it.
func serveREST(db *engram.DB, p *pool) (*rest, func() error, error) {
	srv, err := server.New(db, server.Options{})
	if err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }() // ends with Shutdown, in stop
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return errors.Join(srv.Shutdown(ctx), <-ended)
	}
	return restAt(ln.Addr().String(), p), stop, nil
}

// requestBuffer has room for a request with a vector, which other clients send at once
// too: net/http's own 4 KB would cut it in two.
const requestBuffer = 16 << 10

func restAt(address string, p *pool) *rest {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, WriteBufferSize: requestBuffer}
	return &rest{"http://" + address + "/v1/spaces/", &http.Client{Transport: transport}, p}
}

func (r *rest) call(ctx context.Context, method, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return nil
}

func (r *rest) makeSpace(ctx context.Context, name string) error {
	return r.call(ctx, http.MethodPut, name, fmt.Appendf(nil, `{"settings": {"vector": {"dimension": %d}}}`, dimension))
}

func (r *rest) remember(ctx context.Context, space string, i int) error {
	return r.call(ctx, http.MethodPost, space+"/memories", r.single[i%len(r.single)])
}

func (r *rest) rememberBatch(ctx context.Context, space string, i int) error {
	return r.call(ctx, http.MethodPost, space+"/memories/batch", r.batches[i%len(r.batches)])
}
