package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// newRPC mounts the handlers that Connect generates: one for Connect, gRPC and
// gRPC-Web; and gRPC's own services of reflection and health.
func newRPC(s *Server) http.Handler {
	options := []connect.HandlerOption{
		connect.WithInterceptors(&edge{s}),
		connect.WithReadMaxBytes(int(s.o.MaxBodyBytes)),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithRecover(s.rpcPanic),
	}
	mux := http.NewServeMux()
	mux.Handle(engramv1connect.NewEngramServiceHandler(s.service, append(options, codecs)...))
	mux.Handle(engramv1connect.NewEventServiceHandler(subscriber{s}, append(options, codecs)...))
	mux.Handle(grpchealth.NewHandler(health{s}, options...))
	reflector := grpcreflect.NewStaticReflector(append(serviceNames, grpchealth.HealthV1ServiceName)...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, options...))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, options...))
	known := procedures()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		verb, ok := known[r.URL.Path]
		if c.Verb = verb; !ok {
			s.fail(w, r, c, noProcedure(w, r))
			return
		}
		err := rpcForm(w, r, c)
		if err == nil && verb != verbReflection { // which is a conversation
			buf := buffers.Get().(*bytes.Buffer)
			defer release(buf) // the handler has ended by then, and with it who reads
			err = s.plainBody(r, c.Door, buf)
		}
		if err != nil {
			s.fail(w, r, c, err)
			return
		}
		if rec, ok := w.(*recorder); ok && !isStream(verb) {
			rec.hold()
		}
		mux.ServeHTTP(w, r)
	})
}

// compressFrom is from how many bytes on an answer is compressed, for clients that
// take that. Of 1 KB gzip costs 30 us, which is as much as all else that the door
// does, and saves nothing: it goes into one packet either way.
const compressFrom = 64 << 10

// noProcedure is the error of a call that is none. A gRPC client expects
// UNIMPLEMENTED, from which it sees that it is to try an older name.
func noProcedure(w http.ResponseWriter, r *http.Request) error {
	err := asError(r.Context(), noRoute(w, r, nil))
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" {
		err.Kind = memory.KindUnimplemented
	}
	return err
}

const verbReflection = "server_reflection_info"

// standard are the procedures of gRPC's own services.
var standard = map[string]string{
	"/grpc.health.v1.Health/Check":                                   "health_check",
	"/grpc.health.v1.Health/Watch":                                   "health_watch",
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      verbReflection,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": verbReflection,
}

// procedures are the paths of the schema's calls, with the verb of each.
func procedures() map[string]string {
	known := maps.Clone(standard)
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
		return grpcForm(r)
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

// grpcForm refuses forms of a message that there is no codec for.
func grpcForm(r *http.Request) error {
	t := r.Header.Get("Content-Type")
	base, form, _ := strings.Cut(t, "+")
	switch {
	case (base == "application/grpc" || base == "application/grpc-web") && (form == "" || form == "proto" || form == "json"):
		return nil
	}
	return memory.Invalid(codeHeaderInvalid, "Content-Type", "Content-Type is %.64q; a call has application/grpc or application/grpc-web, with +proto or +json", t)
}

// rpcPanic is what Connect makes of a panic; the log gets the stack.
func (s *Server) rpcPanic(ctx context.Context, spec connect.Spec, _ http.Header, p any) error {
	c := callOf(ctx)
	s.o.Logger.Error("panic", "request_id", c.RequestID, "verb", verbOf(spec), "space", c.Space, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	c.err = memory.Errorf(memory.KindInternal, codeInternal, "something went wrong inside the server; its log says more")
	return connectError(c.err, verbOf(spec), c.RequestID)
}

// verbIn is the verb of a call of ours, or of gRPC's own services.
func verbIn(spec connect.Spec) string {
	if verb, ok := standard[spec.Procedure]; ok {
		return verb
	}
	return verbOf(spec)
}

func verbOf(spec connect.Spec) string {
	return snake(spec.Procedure[strings.LastIndexByte(spec.Procedure, '/')+1:])
}

// An edge asks whether the caller may, and turns the Service's errors into
// Connect's, as the outermost of a call. A stream is asked for in Subscribe, where
// its message is; reflection needs the key that admit has seen.
type edge struct{ s *Server }

func (e *edge) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, q connect.AnyRequest) (connect.AnyResponse, error) {
		m, _ := q.Any().(proto.Message)
		c := callOf(ctx)
		err := faultOf(m)
		if err == nil {
			err = e.s.authorize(c, c.Verb, m) // the verb of the path, as newRPC has found it
		}
		if err != nil {
			return nil, e.translate(ctx, q.Spec(), err)
		}
		worked := c.working()
		a, err := next(ctx, q)
		worked()
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
		rc.Verb = verbIn(conn.Spec())
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
