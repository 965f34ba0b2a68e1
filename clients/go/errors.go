package engramclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// Codes of failures that no server has told.
const (
	codeUnreachable = "unreachable"   // no connection, or it broke
	codeDeadline    = "deadline"      // the caller's own time is over
	codeCancelled   = "cancelled"     // the caller has given up
	codeForeign     = "not_an_engram" // an answer of something else
)

// kinds are the kinds of errors that a server has told without the schema's own
// Error, as a proxy on the way does.
var kinds = map[connect.Code]memory.ErrorKind{
	connect.CodeCanceled: memory.KindCancelled, connect.CodeInvalidArgument: memory.KindInvalid, connect.CodeDeadlineExceeded: memory.KindTimeout,
	connect.CodeNotFound: memory.KindNotFound, connect.CodeAlreadyExists: memory.KindConflict, connect.CodePermissionDenied: memory.KindDenied,
	connect.CodeResourceExhausted: memory.KindBusy, connect.CodeFailedPrecondition: memory.KindPrecondition, connect.CodeOutOfRange: memory.KindGone,
	connect.CodeUnimplemented: memory.KindUnimplemented, connect.CodeInternal: memory.KindInternal, connect.CodeUnavailable: memory.KindUnavailable,
	connect.CodeDataLoss: memory.KindCorrupt, connect.CodeUnauthenticated: memory.KindUnauthenticated,
}

// errorOf makes the *memory.Error of a failed call: the server's own, word for
// word, when it has told one. The cause is Connect's error.
func (c *Client) errorOf(err error, name string, a *attempt) *memory.Error {
	var own *memory.Error
	var wire *connect.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &wire):
		if e := told(wire); e != nil {
			e.Cause = err
			return e
		}
		return c.untold(wire, name, a)
	case isContext(err):
		return ended(err, name)
	}
	return &memory.Error{Kind: memory.KindInternal, Code: codeForeign, Message: err.Error(), Op: name, Cause: err}
}

// ended is the error of a call whose context has ended.
func ended(err error, name string) *memory.Error {
	e := &memory.Error{Kind: memory.KindCancelled, Code: codeCancelled, Message: "the call was given up", Op: name, Cause: err}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Kind, e.Code, e.Message = memory.KindTimeout, codeDeadline, "no answer came in the time for the call"
	}
	return e
}

// told reads the schema's Error out of what the server sent; nil when there is
// none.
func told(wire *connect.Error) *memory.Error {
	var out *memory.Error
	var after time.Duration
	for _, d := range wire.Details() {
		v, err := d.Value()
		if err != nil {
			continue
		}
		switch x := v.(type) {
		case *engramv1.Error:
			out = &memory.Error{Kind: memory.ErrorKind(x.GetKind()), Code: x.GetCode(), Message: x.GetMessage(), Op: x.GetOp(),
				Field: x.GetField(), Hint: x.GetHint(), Retriable: x.GetRetriable()}
			if x.GetDetails() != nil {
				out.Details = x.GetDetails().AsMap()
			}
			if id := x.GetRequestId(); id != "" {
				out = out.With("request_id", id)
			}
		case *errdetails.RetryInfo:
			after = x.GetRetryDelay().AsDuration()
		}
	}
	if out != nil {
		out.RetryAfter = max(after, retryAfter(wire.Meta()))
	}
	return out
}

// untold is an error that no server of ours has worded: the connection's, or of
// something between.
func (c *Client) untold(wire *connect.Error, name string, a *attempt) *memory.Error {
	if isContext(wire) {
		return ended(wire, name)
	}
	e := &memory.Error{Kind: kinds[wire.Code()], Code: codeForeign, Message: wire.Message(), Op: name, Cause: wire, RetryAfter: max(a.after, retryAfter(wire.Meta()))}
	switch {
	case e.Kind == "":
		e.Kind = memory.KindInternal
	case a.status == http.StatusTooManyRequests:
		e.Kind = memory.KindBusy // which Connect takes for unavailable
	}
	cut := broke(wire)
	if cut {
		e.Kind = memory.KindUnavailable
	}
	e.Retriable = e.Kind == memory.KindBusy || e.Kind == memory.KindUnavailable || e.Kind == memory.KindTimeout
	if e.Kind == memory.KindUnavailable && !connect.IsWireError(wire) && (a.status == 0 || cut) {
		e.Code, e.Message = codeUnreachable, "the connection to "+c.host()+" broke: "+wire.Message()
		var dialing *net.OpError
		if errors.As(wire, &dialing) && dialing.Op == "dial" {
			e.Message = "no server answers at " + c.host() + ": " + dialing.Err.Error()
		}
		return e
	}
	return e.Hinted("is there an Engram server at %s, and does it speak %s?", c.base, c.o.Protocol)
}

// broke says whether the connection ended in the middle of a call or its answer, which Connect
// takes for a call that was given up when it ends while the call is being sent.
func broke(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// host is the server as people say it.
func (c *Client) host() string { return strings.TrimPrefix(c.base, "http://") }

// retryAfter reads the header that a server or a proxy has set, in seconds.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.ParseFloat(h.Get("Retry-After"), 64)
	if err != nil || !(s > 0 && s < 24*60*60) {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}
