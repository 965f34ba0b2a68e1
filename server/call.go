package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/telemetry"
	"github.com/engramdb/engram/memory"
)

// A Call is what travels beside a message: how it is to be done, and what the
// answer's headers say. One goroutine, the request's, reads and writes it.
type Call struct {
	// Of the request.

	RequestID      string
	IdempotencyKey string
	IfMatch        string     // an ETag; "" for any
	MinLSN         memory.LSN // read at least this state
	Caller         string     // of the API key; "" without keys
	Door           string     // rest, connect, grpc, grpc-web or process
	tool           *Call      // the request to /mcp that a tool's call came in; nil for others

	// Of the answer.

	Verb     string     // the RPC's name, such as remember_batch
	Space    string     // the space that was named
	Status   int        // of HTTP, when it is not 200
	ETag     string     // with its quotes
	LSN      memory.LSN // read or written; 0: none
	Replayed bool       // the first answer of an idempotency key

	maxMemories uint64   // that the space may have after the call; 0: no bound
	ends        []func() // to be called when the call has ended

	key   *engram.Key   // that the caller has shown; nil when none is needed
	err   *memory.Error // what went wrong
	tools atomic.Int64  // calls of tools that came in this one, to /mcp; they count in its place
	began time.Time
	// The stages, as times since began; worked is 0 when the call came to no work.
	received, worked time.Duration
	parts            []stage // of the service, one after another

	trace  telemetry.TraceID // that the call is told of in; zero: in none
	parent telemetry.Parent

	timer *time.Timer              // ends the request; nil in process
	conn  *http.ResponseController // nil in process
	body  *boundedBody             // nil in process
	most  time.Duration
}

type callKey struct{}

// WithCall gives ctx a Call, for callers of the Service in the same process.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// callOf gives the Call of ctx, or a new one that nobody reads.
func callOf(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{Door: doorProcess}
}

// The doors, as metrics and logs name them.
const (
	doorREST    = "rest"
	doorConnect = "connect"
	doorGRPC    = "grpc"
	doorGRPCWeb = "grpc-web"
	doorProcess = "process"

	// As metrics and logs have it alone: /mcp itself is REST, and what its tools do Connect.
	doorMCP = "mcp"
)

// maxKey is the longest Idempotency-Key in bytes.
const maxKey = 255

// newCall reads the headers of a request. The error is about a header; the Call
// is good for answering it.
func newCall(r *http.Request, door string, now time.Time) (*Call, *memory.Error) {
	h := r.Header
	c := &Call{Door: door, began: now, RequestID: requestID(h.Get("Request-Id")), IfMatch: h.Get("If-Match"), IdempotencyKey: h.Get("Idempotency-Key")}
	if k := c.IdempotencyKey; len(k) > maxKey || !printable(k) {
		return c, memory.Invalid(codeHeaderInvalid, "Idempotency-Key", "Idempotency-Key is not 1-%d printable ASCII characters", maxKey)
	}
	if s := h.Get("Engram-Min-Lsn"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return c, memory.Invalid(codeHeaderInvalid, "Engram-Min-Lsn", "Engram-Min-Lsn is %.32q; it is a whole number, the Engram-Lsn of an earlier answer", s)
		}
		c.MinLSN = memory.LSN(n)
	}
	return c, nil
}

// requestID takes the caller's id when it is short and plain, which a log line
// can hold as it stands; else it makes one.
func requestID(given string) string {
	if given != "" && len(given) <= 128 && printable(given) && !strings.ContainsAny(given, `"\ `) {
		return given
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// after has f called when the call has ended.
func (c *Call) after(f func()) { c.ends = append(c.ends, f) }

// end says that the call has ended.
func (c *Call) end() {
	for _, f := range c.ends {
		f()
	}
	c.ends = nil
}

// writeHeaders sets the headers of the answer, whatever came out.
func (c *Call) writeHeaders(h http.Header) {
	h.Set("Request-Id", c.RequestID)
	if c.LSN != 0 {
		h.Set("Engram-Lsn", c.LSN.String())
	}
	if c.ETag != "" {
		h.Set("Etag", c.ETag)
	}
	if c.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
}

// allow gives the request another time than the default, at most the server's.
func (c *Call) allow(d time.Duration, field string) error {
	if d <= 0 {
		return memory.Invalid("timeout_out_of_range", field, "%s is %v; it is above 0", field, d)
	}
	if c.timer == nil {
		return nil
	}
	if d > c.most {
		return memory.Invalid("timeout_out_of_range", field, "%s is %v; this server gives a request at most %v", field, d, c.most)
	}
	c.timer.Reset(max(d-time.Since(c.began), 0))
	return nil
}

// untimed takes the request's deadlines away, for a stream, which has no end.
func (c *Call) untimed() {
	if c.timer == nil {
		return
	}
	c.timer.Stop()
	c.body.untimed()
	_ = c.conn.SetReadDeadline(time.Time{}) // not every connection has deadlines
	_ = c.conn.SetWriteDeadline(time.Time{})
}

// within gives a write of a stream its time: the client reads it or is cut off.
// Between two writes there is no deadline, as HTTP/2 ends a stream at one even
// when nothing is being written.
func (c *Call) within(patience time.Duration, write func() error) error {
	if c.conn == nil {
		return write()
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience)) // not every connection has deadlines
	err := write()
	_ = c.conn.SetWriteDeadline(time.Time{})
	return err
}

// mismatch is the error of an If-Match that no version can have.
func (c *Call) mismatch() error {
	return memory.Errorf(memory.KindPrecondition, "version_mismatch", "If-Match %.64q is not the version that stands", c.IfMatch).
		Hinted("read it again, and send the ETag of that answer")
}
