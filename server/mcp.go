package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server/mcp"
)

// /mcp is the Model Context Protocol over streamable HTTP, without state: each
// request stands for itself, nothing is kept between two. A tool's call goes
// through ServeHTTP again, as a call of Connect in the caller's name, so that
// keys, limits and metrics are those of every door; it is counted once, as one of "mcp". Parameters of the address fix
// what its users may do: /mcp?space=notes&read_only=true.

const mcpPath = "/mcp"

// verbMCP is the verb of a request to it in which no tool is called, such as the list of
// tools. Of one in which tools are, each tool's call is seen, under its own verb.
const verbMCP = "mcp"

// spaceHeader carries the space that the address fixes to the tool's call; one
// that a client sends is dropped.
const spaceHeader = "Engram-Mcp-Space"

// newMCP makes the handler at the first request: at start it would cost every
// server a few milliseconds.
func newMCP(s *Server) func() (http.Handler, error) {
	return sync.OnceValues(func() (http.Handler, error) {
		api := engramv1connect.NewEngramServiceClient(&http.Client{Transport: inward{s}}, "http://localhost",
			connect.WithInterceptors(connect.UnaryInterceptorFunc(inTheNameOf)))
		o := mcp.Options{Choose: true, Version: s.o.Version, With: withHeaders, SpaceOf: func(h http.Header) string { return h.Get(spaceHeader) }}
		all, err := mcp.New(api, o)
		if err != nil {
			return nil, err
		}
		o.ReadOnly = true
		reading, err := mcp.New(api, o)
		if err != nil {
			return nil, err
		}
		choose := func(r *http.Request) *sdk.Server {
			if r.URL.Query().Get("read_only") == "true" {
				return reading
			}
			return all
		}
		// No logger: the library has three lines for each request, and the server its
		// own for each call.
		return sdk.NewStreamableHTTPHandler(choose, &sdk.StreamableHTTPOptions{
			Stateless: true, JSONResponse: true, MaxRequestBodyBytes: s.o.MaxBodyBytes,
		}), nil
	})
}

// seenDoor is the door as metrics, logs and traces have it.
func (c *Call) seenDoor() string {
	if c.tool != nil || c.Verb == verbMCP {
		return doorMCP
	}
	return c.Door
}

// serveMCP answers a request of the protocol.
func (s *Server) serveMCP(w http.ResponseWriter, r *http.Request, c *Call) {
	given, err := transferQuery(r.URL, "space", "read_only")
	if t := r.Header.Get("Content-Encoding"); t != "" && t != "identity" && err == nil {
		err = encodingUnknown(t, "Content-Encoding", "no compression here")
	}
	if err == nil {
		_, err = truthOf(given, "read_only", false)
	}
	if err == nil && given["space"] != "" {
		err = memory.SpaceName(given["space"]).Check()
	}
	var h http.Handler
	if err == nil {
		h, err = s.mcp()
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	r.Header.Del(spaceHeader)
	if given["space"] != "" {
		r.Header.Set(spaceHeader, given["space"])
	}
	h.ServeHTTP(w, r)
}

type headersKey struct{}

func withHeaders(ctx context.Context, h http.Header) (context.Context, error) {
	return context.WithValue(ctx, headersKey{}, h), nil
}

// inTheNameOf shows the key that came with the tool's call.
func inTheNameOf(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, q connect.AnyRequest) (connect.AnyResponse, error) {
		h, _ := ctx.Value(headersKey{}).(http.Header)
		for _, name := range []string{"Authorization", "Request-Id", "Traceparent", "Tracestate"} {
			if v := h.Get(name); v != "" {
				q.Header().Set(name, v)
			}
		}
		return next(ctx, q)
	}
}

// inward sends requests to the server that it is in.
type inward struct{ s *Server }

// RoundTrip answers a request by ServeHTTP.
func (i inward) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	w := &kept{header: http.Header{}}
	i.s.ServeHTTP(w, r)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, r.Context().Err()
}

// kept is an answer that is kept.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header { return k.header }

func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(b)
}
