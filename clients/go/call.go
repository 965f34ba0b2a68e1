package engramclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// writes are the calls that change something and take an idempotency key; the
// others change nothing, or the same when they are repeated.
var writes = map[string]bool{
	"Remember": true, "RememberBatch": true, "UpdateMemory": true, "DeleteMemory": true, "Forget": true, "Restore": true,
	"PutEntity": true, "UpdateEntity": true, "DeleteEntity": true, "MergeEntities": true, "UnmergeEntities": true,
	"CreateLink": true, "CreateLinks": true, "UpdateLink": true, "DeleteLink": true,
	"Feedback": true, "Consolidate": true, "RevertPlan": true,
}

// The headers of the API.
const (
	keyHeader    = "Idempotency-Key"
	minLSNHeader = "Engram-Min-Lsn"
	lsnHeader    = "Engram-Lsn"
)

// A door is where each call goes through, in both directions.
type door struct{ c *Client }

// WrapUnary is a call from beginning to end, with all its repetitions.
func (d *door) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		c := d.c
		if _, has := ctx.Deadline(); !has && c.o.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
			defer cancel()
		}
		name, space := methodOf(r.Spec()), spaceOf(r.Any())
		a := &attempt{}
		ctx = context.WithValue(ctx, attemptKey{}, a)
		c.dress(r.Header())
		c.key(r.Header(), name)
		for n := 0; ; n++ {
			c.minLSN(r.Header(), space)
			*a = attempt{}
			answer, err := next(ctx, r)
			if err == nil {
				c.saw(space, name, answer.Header())
				return answer, nil
			}
			failure := c.errorOf(err, name, a)
			if failure.Code == "space_not_found" {
				c.seen.drop(space) // a name that is made again counts from 1
			}
			if !c.again(ctx, r.Header(), name, failure, n) {
				return nil, failure
			}
		}
	}
}

// An attempt is what HTTP itself has answered: a proxy on the way says when to come
// back in words that Connect drops.
type attempt struct {
	status int // 0: no answer came
	after  time.Duration
}

type attemptKey struct{}

// heard notes the answers that come.
type heard struct{ http *http.Client }

func (h heard) Do(r *http.Request) (*http.Response, error) {
	answer, err := h.http.Do(r)
	if a, ok := r.Context().Value(attemptKey{}).(*attempt); ok && err == nil {
		a.status, a.after = answer.StatusCode, retryAfter(answer.Header)
	}
	return answer, err
}

// WrapStreamingClient dresses a stream; events.go takes it up again.
func (d *door) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		d.c.dress(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler is for servers.
func (d *door) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// dress sets the headers of every request.
func (c *Client) dress(h http.Header) {
	if c.o.Key != "" {
		h.Set("Authorization", "Bearer "+c.o.Key)
	}
	h.Set("User-Agent", c.o.userAgent())
}

// key gives a write an idempotency key, unless the caller has given one with
// WithIdempotencyKey: one for the whole call, before its first attempt.
func (c *Client) key(h http.Header, name string) {
	if writes[name] && !c.o.NoIdempotencyKeys && h.Get(keyHeader) == "" {
		h.Set(keyHeader, newKey())
	}
}

func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// WithIdempotencyKey gives the next call with ctx a key of the caller's, such as
// the number of an order: a repetition of it within a day, by another process
// too, gives the first answer. The context is for one call at a time.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return WithHeader(ctx, keyHeader, key)
}

// WithIfMatch makes the next write with ctx depend on the version that stands;
// etag is a version in quotes, or * for any.
func WithIfMatch(ctx context.Context, etag string) context.Context {
	return WithHeader(ctx, "If-Match", etag)
}

// WithHeader adds a header to the next call with ctx. The context is for one call
// at a time.
func WithHeader(ctx context.Context, name, value string) context.Context {
	ctx, own := connect.NewClientContext(ctx)
	own.RequestHeader().Set(name, value)
	return ctx
}

// methodOf is the call's name in the schema.
func methodOf(s connect.Spec) string {
	return s.Procedure[strings.LastIndexByte(s.Procedure, '/')+1:]
}

// spaceOf is the space that a request names, "" for none.
func spaceOf(message any) string {
	if m, ok := message.(interface{ GetSpace() string }); ok {
		return m.GetSpace()
	}
	return ""
}

// maxSeen bounds how many spaces a client remembers the state of. Of more, some
// are forgotten: reads of these may be older.
const maxSeen = 10_000

// seen is the newest LSN that was seen of each space.
type seen struct {
	mu   sync.Mutex
	lsns map[string]uint64 // guarded by mu
}

func (s *seen) get(space string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lsns[space]
}

func (s *seen) raise(space string, lsn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lsn <= s.lsns[space] {
		return
	}
	if s.lsns == nil {
		s.lsns = map[string]uint64{}
	}
	if _, known := s.lsns[space]; !known && len(s.lsns) >= maxSeen {
		for any := range s.lsns {
			delete(s.lsns, any)
			break
		}
	}
	s.lsns[space] = lsn
}

func (s *seen) drop(space string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lsns, space)
}

// LSN is the newest state of a space that this client has seen; 0 for none. Hand
// it to another process, whose client reads at least that after Saw.
func (c *Client) LSN(space string) uint64 { return c.seen.get(space) }

// Saw says that a state of a space has been seen, by somebody else.
func (c *Client) Saw(space string, lsn uint64) { c.seen.raise(space, lsn) }

func (c *Client) minLSN(h http.Header, space string) {
	if lsn := c.seen.get(space); lsn > 0 && !c.o.StaleReads {
		h.Set(minLSNHeader, strconv.FormatUint(lsn, 10))
	} else {
		h.Del(minLSNHeader)
	}
}

// saw takes the state that an answer names.
func (c *Client) saw(space, name string, h http.Header) {
	if name == "DeleteSpace" {
		c.seen.drop(space)
		return
	}
	if lsn, err := strconv.ParseUint(h.Get(lsnHeader), 10, 64); err == nil && space != "" {
		c.seen.raise(space, lsn)
	}
}

// isContext says whether an error is a context's.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
