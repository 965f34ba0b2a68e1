package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/telemetry"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/proto"
)

// Options of a server. The zero value of each field means its default; New fills
// them in and checks them once.
type Options struct {
	// Logger gets one line for each request that failed inside (error), was slow
	// (warn), or at all (debug), and never the words of a memory. Default none.
	Logger *slog.Logger
	// Version is what GET /v1/version says; default what the build knows.
	Version string

	// MaxBodyBytes bounds the body of a request; default 32 MiB: a text of 8 MiB
	// in the widest JSON that is usual (\u escapes treble it), and a vector.
	MaxBodyBytes int64
	// MaxHeaderBytes bounds the headers of a request; default 64 KiB.
	MaxHeaderBytes int
	// HeaderTimeout is how long the headers of a request may take; default 10 s.
	HeaderTimeout time.Duration
	// BodyTimeout is how long the body of a request may take, so that a client
	// that hangs is cut off; default 60 s.
	BodyTimeout time.Duration
	// WriteTimeout is how long a client may take to read what is written to it:
	// an answer, or one event of a stream; default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may be silent between two requests;
	// default 2 minutes.
	IdleTimeout time.Duration
	// RequestTimeout is the time for a request that does not say; default 30 s.
	RequestTimeout time.Duration
	// MaxRequestTimeout is the most that a request may ask for; default 5 minutes.
	MaxRequestTimeout time.Duration
	// MaxInFlight bounds the requests that are worked on at the same time; more
	// are refused as busy. Default 1,024.
	MaxInFlight int
	// MaxStreams bounds the streams of events; more are refused as busy.
	// Default 1,000.
	MaxStreams int
	// PingEvery is the longest silence of a stream of events; default 15 s.
	PingEvery time.Duration
	// SlowRequest is from when on a request is logged as slow, with the time of each
	// of its stages; default 500 ms. SetSlow changes it.
	SlowRequest time.Duration
	// Tracer, when it is set, is told of each call. It stays the caller's to close,
	// after Shutdown.
	Tracer *telemetry.Tracer
	// RequireKeys wants an API key of every caller also while there is none yet;
	// without it a key is needed from the first on.
	RequireKeys bool
	// MetricsOpen gives /metrics to everybody, also when keys are needed.
	MetricsOpen bool
	// Origins are the origins, such as https://console.example.org, whose pages may
	// use the API from a browser; "*" is all. Default none but the server's own.
	Origins []string
	// ModelKeys is the directory of the files that hold keys of remote models: callers
	// over the network may name files in it alone. Default none.
	ModelKeys string
	// Hosts are names that requests may be for, beside addresses and localhost, such
	// as that of a container; "*" is all. They matter to a server without keys and
	// without TLS alone. Default none.
	Hosts []string
	// TLS, when it is set, is the only way to speak with the server.
	TLS *TLS
	// MaxConnections bounds the connections that are open, idle ones too; more are
	// closed at once. Default 10,000.
	MaxConnections int
	// Limits are those that are in force at the start.
	Limits Limits
	// MaxSpaceLabels bounds how many spaces have metrics of their own; the others
	// are counted together as "other". Default 100.
	MaxSpaceLabels int
}

func (o Options) withDefaults() (Options, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"HeaderTimeout", &o.HeaderTimeout, 10 * time.Second}, {"BodyTimeout", &o.BodyTimeout, time.Minute},
		{"WriteTimeout", &o.WriteTimeout, 30 * time.Second}, {"IdleTimeout", &o.IdleTimeout, 2 * time.Minute},
		{"RequestTimeout", &o.RequestTimeout, 30 * time.Second}, {"MaxRequestTimeout", &o.MaxRequestTimeout, 5 * time.Minute},
		{"PingEvery", &o.PingEvery, 15 * time.Second}, {"SlowRequest", &o.SlowRequest, 500 * time.Millisecond},
	} {
		if *d.value < 0 {
			return o, fmt.Errorf("server: %s is %v; it is at least 0", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	for _, n := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"MaxHeaderBytes", &o.MaxHeaderBytes, 64 << 10}, {"MaxInFlight", &o.MaxInFlight, 1024},
		{"MaxStreams", &o.MaxStreams, 1000}, {"MaxSpaceLabels", &o.MaxSpaceLabels, 100}, {"MaxConnections", &o.MaxConnections, 10_000},
	} {
		if *n.value < 0 {
			return o, fmt.Errorf("server: %s is %d; it is at least 0", n.name, *n.value)
		}
		if *n.value == 0 {
			*n.value = n.zero
		}
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 32 << 20
	}
	o.MaxRequestTimeout = max(o.MaxRequestTimeout, o.RequestTimeout)
	return o, nil
}

// A Server serves one database. It is safe for concurrent use.
type Server struct {
	o       Options
	db      *engram.DB
	service *Service
	router  *router
	rpc     http.Handler
	mcp     func() (http.Handler, error)
	metrics *metrics
	http    *http.Server

	slow       atomic.Int64 // nanoseconds from which on a request is slow
	limits     atomic.Pointer[Limits]
	keyRates   buckets
	spaceRates buckets
	quotas     quotas
	rpcErrors  *connect.ErrorWriter

	inFlight atomic.Int64
	streams  atomic.Int64
	stopping atomic.Bool
	stop     context.CancelCauseFunc // ends the streams
	stopped  context.Context
	open     sync.WaitGroup // streams, which Shutdown waits for
}

// New makes the server of a database, which stays the caller's to close, after
// Shutdown.
func New(db *engram.DB, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, db: db, service: NewService(db, o.Version)}
	s.service.modelKeys = o.ModelKeys
	s.SetLimits(o.Limits)
	s.SetSlow(o.SlowRequest)
	s.rpcErrors = connect.NewErrorWriter()
	s.metrics = newMetrics(s)
	if s.router, err = newRouter(s.service); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.rpc = newRPC(s)
	s.mcp = newMCP(s)
	s.stopped, s.stop = context.WithCancelCause(context.Background())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	if o.TLS == nil {
		protocols.SetUnencryptedHTTP2(true) // gRPC without TLS on the same port
	} else {
		protocols.SetHTTP2(true)
	}
	s.http = &http.Server{
		Handler: s, Protocols: &protocols, MaxHeaderBytes: o.MaxHeaderBytes, ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout: o.IdleTimeout, WriteTimeout: o.MaxRequestTimeout + o.WriteTimeout,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	if o.TLS != nil {
		s.http.TLSConfig = o.TLS.config()
	}
	return s, nil
}

// Service gives the API itself, for callers in the same process.
func (s *Server) Service() *Service { return s.service }

// Serve answers on ln until Shutdown, and returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	ln = &boundedListener{Listener: ln, most: int64(s.o.MaxConnections), refused: s.metrics.refused.Inc}
	serve := s.http.Serve
	if s.o.TLS != nil {
		serve = func(ln net.Listener) error { return s.http.ServeTLS(ln, "", "") } // the certificate is in its settings
	}
	err := serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops taking connections, ends the streams, and waits for the requests
// that are worked on. When ctx ends first it cuts them off and says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	s.stop(errStopping) // before the wait: a stream would never end by itself
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("server: requests were cut off: %w", err), s.http.Close())
	}
	s.open.Wait()
	return err
}

var errStopping = errors.New("the server is stopping")

// stream counts a stream of events in, and gives a context that also ends with
// the server; release counts it out.
func (s *Server) stream(ctx context.Context) (_ context.Context, release func(), err error) {
	if s.stopping.Load() {
		return nil, nil, memory.Errorf(memory.KindUnavailable, codeStopping, "the server is stopping")
	}
	if n := s.streams.Add(1); n > int64(s.o.MaxStreams) {
		s.streams.Add(-1)
		return nil, nil, memory.Errorf(memory.KindBusy, codeTooManyStreams, "%d streams are open, which is the most", s.o.MaxStreams)
	}
	s.open.Add(1)
	s.inFlight.Add(-1) // it waits, mostly; it has a bound of its own
	callOf(ctx).untimed()
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(s.stopped, func() { cancel(errStopping) })
	unwatch := func() {}
	if k := callOf(ctx).key; k != nil {
		ctx, unwatch = s.db.WithKey(ctx, *k)
	}
	return ctx, func() {
		unhook()
		unwatch()
		cancel(nil)
		s.inFlight.Add(1) // which ServeHTTP counts out
		s.streams.Add(-1)
		s.open.Done()
	}, nil
}

// ServeHTTP answers one request, of any protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.secure(w.Header(), r)
	refused := s.forUs(r)
	done := false
	if refused == nil {
		done, refused = s.cors(w, r)
	}
	if done || s.plain(w, r, refused) {
		return
	}
	c, wrong := newCall(r, doorOf(r), time.Now())
	if r.URL.Path == mcpPath {
		c.Verb = verbMCP
	} else if c.tool, _ = r.Context().Value(callKey{}).(*Call); c.tool != nil { // no request from outside has one
		c.tool.tools.Add(1)
	}
	s.joinTrace(r, c)
	rec := &recorder{ResponseWriter: w, call: c}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), callKey{}, c))
	defer cancel(nil)
	c.most, c.conn = s.o.MaxRequestTimeout, http.NewResponseController(w)
	c.timer = time.AfterFunc(s.timeFor(r, c.Door), func() { cancel(errRequestTimeout) })
	defer c.timer.Stop()
	c.body = s.boundBody(rec, c.conn, r)
	defer c.body.leave(c.conn)
	r = r.WithContext(ctx)
	defer s.observe(rec)
	defer c.end()
	defer s.recovered(rec, r, c)
	n := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	if refused = firstOf(refused, s.enter(r, c), wrong, s.declared(r)); refused == nil && n > int64(s.o.MaxInFlight) {
		refused = memory.Errorf(memory.KindBusy, codeTooManyRequests, "%d requests are being worked on, which is the most", s.o.MaxInFlight)
	}
	switch {
	case refused != nil:
		s.fail(rec, r, c, refused)
	case r.URL.Path == mcpPath:
		s.serveMCP(rec, r, c)
	case c.Door == doorREST:
		s.rest(rec, r, c)
	default:
		s.rpc.ServeHTTP(rec, r)
		rec.end()
	}
}

// firstOf gives the first of some errors.
func firstOf(errs ...*memory.Error) *memory.Error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// enter finds the key of a call, in whose name it is done.
func (s *Server) enter(r *http.Request, c *Call) (refused *memory.Error) {
	if c.key, refused = s.admit(r, isOpen(r)); refused == nil && c.key != nil {
		c.Caller = c.key.ID
	}
	return refused
}

// isOpen says whether a request is for a call that everybody may make.
func isOpen(r *http.Request) bool {
	p := r.URL.Path
	return p == "/v1/version" || strings.HasSuffix(p, "/GetVersion") && strings.HasPrefix(p, "/engram.v1.") || strings.HasPrefix(p, "/grpc.health.v1.Health/")
}

// timeFor is the time for a request: what a gRPC or Connect client asks for in its
// headers, up to the most there is, else the default. A call of the REST door
// that may ask for more does so in its own fields.
func (s *Server) timeFor(r *http.Request, door string) time.Duration {
	d := time.Duration(0)
	switch door {
	case doorGRPC, doorGRPCWeb:
		d = grpcTimeout(r.Header.Get("Grpc-Timeout"))
	case doorConnect:
		n, err := strconv.ParseUint(r.Header.Get("Connect-Timeout-Ms"), 10, 40)
		if err == nil {
			d = time.Duration(n) * time.Millisecond
		}
	}
	if d <= 0 {
		return s.o.RequestTimeout
	}
	return min(d, s.o.MaxRequestTimeout)
}

var grpcUnits = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// grpcTimeout reads gRPC's own form, at most eight digits and a unit; 0 for none.
// One that is wrong is refused later by Connect.
func grpcTimeout(s string) time.Duration {
	if len(s) < 2 || len(s) > 9 {
		return 0
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil {
		return 0
	}
	unit := grpcUnits[s[len(s)-1]]
	if unit != 0 && time.Duration(n) > time.Duration(1<<62)/unit {
		return 1 << 62
	}
	return time.Duration(n) * unit
}

// doorOf says which protocol a request speaks. The paths of gRPC and Connect
// begin with the schema's package.
func doorOf(r *http.Request) string {
	if !strings.HasPrefix(r.URL.Path, "/engram.v1.") && !strings.HasPrefix(r.URL.Path, "/grpc.") {
		return doorREST
	}
	switch t := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(t, "application/grpc-web"):
		return doorGRPCWeb
	case strings.HasPrefix(t, "application/grpc"):
		return doorGRPC
	}
	return doorConnect
}

// recovered makes a panic the answer "internal"; the log gets the stack. The
// panics of one request take no other with them.
func (s *Server) recovered(rec *recorder, r *http.Request, c *Call) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http cuts the connection
	}
	s.o.Logger.Error("panic", "request_id", c.RequestID, "verb", c.Verb, "space", c.Space, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	err := memory.Errorf(memory.KindInternal, codeInternal, "something went wrong inside the server; its log says more")
	if rec.status != 0 {
		c.err = err // the answer has begun; there is no way to say it any more
		return
	}
	s.fail(rec, r, c, err)
}

// plain answers what is not a call of the API. Of it, only metrics and profiles
// want a key.
func (s *Server) plain(w http.ResponseWriter, r *http.Request, refused *memory.Error) bool {
	answer, n := s.page(r.URL.Path)
	if answer == nil {
		return false
	}
	id := requestID(r.Header.Get("Request-Id"))
	w.Header().Set("Request-Id", id)
	fail := func(err error) bool {
		e := asError(r.Context(), err)
		challenge(w, e)
		writeError(w, e, "", id)
		return true
	}
	if refused != nil {
		return fail(refused)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return fail(noRoute(w, r, []string{http.MethodGet}))
	}
	k, err := s.admit(r, n == needNothing)
	if err != nil {
		return fail(err)
	}
	if k != nil && !k.May(engram.Scope(n)) {
		return fail(denied(k, n))
	}
	if k != nil && len(k.Spaces) > 0 { // both tell of all spaces
		return fail(memory.Errorf(memory.KindDenied, "key_of_some_spaces", "this tells of all spaces, and the key sees some of them").
			Hinted("use a key that was made without spaces"))
	}
	if err := answer(w, r); err != nil {
		return fail(err)
	}
	return true
}

// page finds what stands at a path that is not the API's, and what it needs.
func (s *Server) page(path string) (answer func(http.ResponseWriter, *http.Request) error, n need) {
	always := func(f func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			f(w, r)
			return nil
		}
	}
	switch {
	case path == "/healthz":
		return always(s.healthz), needNothing
	case path == "/readyz":
		return always(s.readyz), needNothing
	case path == "/openapi.json":
		return always(openAPI), needNothing
	case path == "/docs":
		return always(docs), needNothing
	case path == "/metrics" && s.o.MetricsOpen:
		return always(s.metrics.ServeHTTP), needNothing
	case path == "/metrics":
		return always(s.metrics.ServeHTTP), needOf("metrics")
	case strings.HasPrefix(path, profilePath):
		return s.profile, needOf("profile")
	}
	return nil, ""
}

// challenge says how to show a key, as HTTP wants it of a 401.
func challenge(w http.ResponseWriter, e *memory.Error) {
	if e.Kind == memory.KindUnauthenticated {
		w.Header().Set("Www-Authenticate", `Bearer realm="engram"`)
	}
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write([]byte("{\"status\":\"alive\"}\n"))
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	err := s.db.Ready()
	if s.stopping.Load() {
		err = memory.Errorf(memory.KindUnavailable, codeStopping, "the server is stopping")
	}
	if err != nil {
		e := *asError(r.Context(), err)
		e.Kind, e.Retriable = memory.KindUnavailable, true // whatever the reason, it is not ready
		writeError(w, &e, "ready", w.Header().Get("Request-Id"))
		return
	}
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write([]byte("{\"status\":\"ready\"}\n"))
}

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(proto.OpenAPI)
}

// A recorder passes an answer on, sets the Call's headers before it begins, and
// remembers what it was.
type recorder struct {
	http.ResponseWriter
	call   *Call
	status int
	bytes  int64
	held   *bytes.Buffer // see hold; nil: everything is passed on at once
}

// hold keeps the answer back until its end, which the caller says with end. Connect
// writes an answer in pieces and flushes each, and over HTTP/2 each is a frame that
// several goroutines hand on and a packet that wakes the client. To keep the frames of
// headers, data and trailers back too and write them together was tried and left: what
// two packets less save one caller, a client that does not begin before the last loses,
// and many callers on one connection, whose frames net/http gathers itself, lose more.
func (r *recorder) hold() { r.held = buffers.Get().(*bytes.Buffer) }

// heldMost is how much of an answer is kept back; what is larger is passed on in
// the pieces that come.
const heldMost = 64 << 10

// let passes on what is held, and holds nothing any more.
func (r *recorder) let() error {
	held := r.held
	if held == nil {
		return nil
	}
	r.held = nil
	defer release(held)
	if held.Len() == 0 {
		return nil
	}
	_, err := r.ResponseWriter.Write(held.Bytes())
	return err
}

// end passes on what is held, and begins an answer that has no bytes.
func (r *recorder) end() {
	_ = r.let() // the client may be gone, which is its own affair
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
}

// WriteHeader begins the answer. A success of the REST door has the status that
// the Call says.
func (r *recorder) WriteHeader(status int) {
	if r.status != 0 {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		r.ResponseWriter.WriteHeader(status)
		return
	}
	if status == http.StatusOK && r.call.Door == doorREST && r.call.Status != 0 {
		status = r.call.Status
	}
	r.status = status
	r.call.writeHeaders(r.Header())
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.held != nil && r.held.Len()+len(b) <= heldMost {
		r.bytes += int64(len(b))
		return r.held.Write(b)
	}
	if err := r.let(); err != nil {
		return 0, err
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap is how http.ResponseController reaches deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush sends what is buffered, for the streams of Connect; but not what is held.
func (r *recorder) Flush() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.held == nil {
		_ = http.NewResponseController(r.ResponseWriter).Flush() // not every writer can
	}
}

// FlushError is Flush that says what went wrong.
func (r *recorder) FlushError() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.held != nil {
		return nil
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

var _ interface {
	http.Flusher
	http.ResponseWriter
} = (*recorder)(nil)
