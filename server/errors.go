package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// A wireKind is how one kind of error looks on the wire.
type wireKind struct {
	status int
	code   connect.Code
}

// statusCancelled is what nginx calls "client closed request"; nobody reads it.
const statusCancelled = 499

// wireKinds is the table of API.md. A kind that is not here is internal.
var wireKinds = map[memory.ErrorKind]wireKind{
	memory.KindInvalid:         {http.StatusBadRequest, connect.CodeInvalidArgument},
	memory.KindUnauthenticated: {http.StatusUnauthorized, connect.CodeUnauthenticated},
	memory.KindDenied:          {http.StatusForbidden, connect.CodePermissionDenied},
	memory.KindNotFound:        {http.StatusNotFound, connect.CodeNotFound},
	memory.KindConflict:        {http.StatusConflict, connect.CodeAlreadyExists},
	memory.KindGone:            {http.StatusGone, connect.CodeOutOfRange},
	memory.KindPrecondition:    {http.StatusPreconditionFailed, connect.CodeFailedPrecondition},
	memory.KindTooLarge:        {http.StatusRequestEntityTooLarge, connect.CodeOutOfRange},
	memory.KindBusy:            {http.StatusTooManyRequests, connect.CodeResourceExhausted},
	memory.KindCancelled:       {statusCancelled, connect.CodeCanceled},
	memory.KindInternal:        {http.StatusInternalServerError, connect.CodeInternal},
	memory.KindCorrupt:         {http.StatusInternalServerError, connect.CodeDataLoss},
	memory.KindUnimplemented:   {http.StatusNotImplemented, connect.CodeUnimplemented},
	memory.KindUnavailable:     {http.StatusServiceUnavailable, connect.CodeUnavailable},
	memory.KindTimeout:         {http.StatusGatewayTimeout, connect.CodeDeadlineExceeded},
	memory.KindDiskFull:        {http.StatusInsufficientStorage, connect.CodeResourceExhausted},
}

func wireKindOf(k memory.ErrorKind) wireKind {
	if w, ok := wireKinds[k]; ok {
		return w
	}
	return wireKinds[memory.KindInternal]
}

// statusOf is the HTTP status of an error: its kind's, but for a wrong method.
func statusOf(e *memory.Error) int {
	if e.Code == codeMethodNotAllowed {
		return http.StatusMethodNotAllowed
	}
	return wireKindOf(e.Kind).status
}

// Codes that the server itself gives; docs/guide/errors.md lists them all.
const (
	codePathUnknown      = "path_unknown"
	codeMethodNotAllowed = "method_not_allowed"
	codeBodyTooLarge     = "body_too_large"
	codeBodyTimeout      = "body_timeout"
	codeBodyUnreadable   = "body_unreadable"
	codeHeaderInvalid    = "header_invalid"
	codeTooManyRequests  = "too_many_requests"
	codeTooManyStreams   = "too_many_streams"
	codeRequestTimeout   = "request_timeout"
	codeStopping         = "stopping"
	codeInternal         = "internal"
	codeRateLimited      = "rate_limited"
	codeOriginDenied     = "origin_denied"
	codeHostDenied       = "host_denied"
	codeEncodingUnknown  = "encoding_unknown"
	codeMessageInvalid   = "message_invalid"
)

// errRequestTimeout is the cause with which a request's context ends when its
// time is over.
var errRequestTimeout = errors.New("the time for the request is over")

var errUnknownService = errors.New("there is no such service")

// asError gives the *memory.Error in err, or makes one: of ours when the context
// says so, else internal. ctx is the request's.
func asError(ctx context.Context, err error) *memory.Error {
	timedOut := errors.Is(context.Cause(ctx), errRequestTimeout) || errors.Is(ctx.Err(), context.DeadlineExceeded)
	var e *memory.Error
	if errors.As(err, &e) {
		if e.Kind == memory.KindCancelled && timedOut {
			return requestTimeout(err)
		}
		return e
	}
	var f *wirejson.FieldError
	switch {
	case errors.As(err, &f):
		return fieldError(f)
	case timedOut && ctxError(err), errors.Is(err, context.DeadlineExceeded):
		return requestTimeout(err)
	case ctxError(err):
		return &memory.Error{Kind: memory.KindCancelled, Code: "cancelled", Message: "the caller went away", Cause: err}
	}
	return &memory.Error{Kind: memory.KindInternal, Code: codeInternal, Message: "something went wrong inside the server; its log says more", Cause: err}
}

func ctxError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func requestTimeout(cause error) *memory.Error {
	e := memory.Errorf(memory.KindTimeout, codeRequestTimeout, "the request took longer than it may")
	e.Cause = cause
	return e.Hinted("ask for less, or give a longer timeout where the call has one")
}

func fieldError(f *wirejson.FieldError) *memory.Error {
	e := memory.Invalid(f.Code, f.Field, "%s", f.Message)
	e.Hint = f.Hint
	return e
}

// wireError puts an error into the schema's words.
func wireError(e *memory.Error, op, requestID string) *engramv1.Error {
	if e.Op != "" {
		op = e.Op
	}
	return &engramv1.Error{
		Kind: string(e.Kind), Code: e.Code, Message: e.Message, Op: op, Field: e.Field, Hint: e.Hint,
		Retriable: e.Retriable, Details: details(e.Details), RequestId: requestID,
	}
}

// details puts what an error carries into JSON's words; what has none is left out.
func details(m map[string]any) *structpb.Struct {
	if len(m) == 0 {
		return nil
	}
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(m))}
	for k, v := range m {
		if x := looseValue(v); x != nil {
			s.Fields[k] = x
		}
	}
	return s
}

// looseValue is v as JSON knows it; nil when it does not.
func looseValue(v any) *structpb.Value {
	switch x := v.(type) {
	case memory.LSN:
		return structpb.NewStringValue(x.String())
	case memory.ID:
		return structpb.NewStringValue(string(x))
	case memory.SpaceName:
		return structpb.NewStringValue(string(x))
	case time.Duration:
		return structpb.NewStringValue(strconv.FormatFloat(x.Seconds(), 'f', -1, 64) + "s")
	case uint64:
		return structpb.NewStringValue(strconv.FormatUint(x, 10))
	case []string:
		return looseList(x)
	case []map[string]any:
		return looseList(x)
	case []any:
		return looseList(x)
	case []memory.ID:
		return looseList(x)
	case map[string]any:
		return structpb.NewStructValue(details(x))
	}
	x, err := structpb.NewValue(v)
	if err != nil {
		return nil
	}
	return x
}

func looseList[T any](list []T) *structpb.Value {
	l := &structpb.ListValue{}
	for _, v := range list {
		if x := looseValue(v); x != nil {
			l.Values = append(l.Values, x)
		}
	}
	return structpb.NewListValue(l)
}

// errorDomain is the domain of ErrorInfo's reasons.
const errorDomain = "engramdb.github.com"

// connectError puts an error into google.rpc.Status: ErrorInfo with the code,
// BadRequest with the field, RetryInfo with the time to wait, and the schema's
// own Error with everything.
func connectError(e *memory.Error, op, requestID string) *connect.Error {
	w := wireError(e, op, requestID)
	out := connect.NewError(wireKindOf(e.Kind).code, errors.New(w.Message))
	info := &errdetails.ErrorInfo{Reason: w.Code, Domain: errorDomain, Metadata: map[string]string{"kind": w.Kind, "op": w.Op, "request_id": requestID}}
	attach(out, info)
	if w.Field != "" {
		attach(out, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: w.Field, Description: w.Message}}})
	}
	if e.Retriable {
		attach(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter(e))})
	}
	attach(out, w)
	return out
}

// attach adds a detail; one that can not be marshalled is left out, as the code
// and the message stand without it.
func attach(e *connect.Error, m proto.Message) {
	if d, err := connect.NewErrorDetail(m); err == nil {
		e.AddDetail(d)
	}
}

// retryAfter is when to try again: what the error advises, or a second.
func retryAfter(e *memory.Error) time.Duration {
	if e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return time.Second
}

// hasRetryAfter says whether the kind's answers carry Retry-After.
func hasRetryAfter(k memory.ErrorKind) bool {
	return k == memory.KindBusy || k == memory.KindUnavailable
}

// writeError answers with an error over HTTP. It does nothing when the answer
// has begun already.
func writeError(w http.ResponseWriter, e *memory.Error, op, requestID string) {
	body := append(wirejson.Append(make([]byte, 0, 512), &engramv1.ErrorResponse{Error: wireError(e, op, requestID)}), '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if hasRetryAfter(e.Kind) {
		h.Set("Retry-After", strconv.Itoa(int((retryAfter(e)+time.Second-1)/time.Second)))
	}
	w.WriteHeader(statusOf(e))
	_, _ = w.Write(body) // the client may be gone, which is its own affair
}
