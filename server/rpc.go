package server

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"

	"connectrpc.com/connect"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// newRPC mounts the handlers that Connect generates: one for Connect, gRPC and
// gRPC-Web.
func newRPC(s *Server) http.Handler {
	options := []connect.HandlerOption{
		connect.WithInterceptors(&edge{s}),
		connect.WithReadMaxBytes(int(s.o.MaxBodyBytes)),
		connect.WithRecover(s.rpcPanic),
	}
	mux := http.NewServeMux()
	mux.Handle(engramv1connect.NewEngramServiceHandler(s.service, options...))
	mux.Handle(engramv1connect.NewEventServiceHandler(subscriber{s}, options...))
	known := procedures()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		verb, ok := known[r.URL.Path]
		if c.Verb = verb; !ok {
			s.fail(w, r, c, noRoute(w, r, nil))
			return
		}
		if err := rpcForm(w, r, c); err != nil {
			s.fail(w, r, c, err)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// procedures are the paths of the schema's calls, with the verb of each.
func procedures() map[string]string {
	known := map[string]string{}
	services := engramv1.File_engram_v1_engram_proto.Services()
	for i := range services.Len() {
		s := services.Get(i)
		for j := range s.Methods().Len() {
			name := s.Methods().Get(j).Name()
			known["/"+string(s.FullName())+"/"+string(name)] = snake(string(name))
		}
	}
	return known
}

// rpcForm refuses what Connect would refuse without a body that says why.
func rpcForm(w http.ResponseWriter, r *http.Request, c *Call) error {
	if r.Method != http.MethodPost {
		return noRoute(w, r, []string{http.MethodPost})
	}
	if c.Door != doorConnect {
		return nil
	}
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch t {
	case "application/json", "application/proto", "application/connect+json", "application/connect+proto":
		if err == nil {
			return nil
		}
	}
	return memory.Invalid(codeHeaderInvalid, "Content-Type", "Content-Type is %.64q; a call has application/json or application/proto", r.Header.Get("Content-Type"))
}

// rpcPanic is what Connect makes of a panic; the log gets the stack.
func (s *Server) rpcPanic(ctx context.Context, spec connect.Spec, _ http.Header, p any) error {
	c := callOf(ctx)
	s.o.Logger.Error("panic", "request_id", c.RequestID, "verb", verbOf(spec), "space", c.Space, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	c.err = memory.Errorf(memory.KindInternal, codeInternal, "something went wrong inside the server; its log says more")
	return connectError(c.err, verbOf(spec), c.RequestID)
}

func verbOf(spec connect.Spec) string {
	return snake(spec.Procedure[strings.LastIndexByte(spec.Procedure, '/')+1:])
}

// An edge turns the Service's errors into Connect's, as the outermost of a call.
type edge struct{ s *Server }

func (e *edge) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, q connect.AnyRequest) (connect.AnyResponse, error) {
		a, err := next(ctx, q)
		if err != nil {
			return nil, e.translate(ctx, q.Spec(), err)
		}
		return a, nil
	}
}

func (e *edge) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (e *edge) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		rc := callOf(ctx)
		rc.Verb = verbOf(conn.Spec())
		if err := next(ctx, conn); err != nil {
			return e.translate(ctx, conn.Spec(), err)
		}
		return nil
	}
}

// translate keeps an error of Connect's own, such as a message that is too large.
func (e *edge) translate(ctx context.Context, spec connect.Spec, err error) error {
	c := callOf(ctx)
	var own *connect.Error
	if errors.As(err, &own) && !isOurs(err) {
		c.err = &memory.Error{Kind: kindOfCode(own.Code()), Code: "rpc_" + own.Code().String(), Message: own.Message()}
		return err
	}
	c.err = asError(ctx, err)
	return connectError(c.err, verbOf(spec), c.RequestID)
}

func isOurs(err error) bool {
	var e *memory.Error
	return errors.As(err, &e)
}

func kindOfCode(code connect.Code) memory.ErrorKind {
	for kind, w := range wireKinds {
		if w.code == code && kind != memory.KindTooLarge && kind != memory.KindDiskFull {
			return kind
		}
	}
	return memory.KindInternal
}
