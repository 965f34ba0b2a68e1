package server

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/engramdb/engram/memory"
)

// What only browsers mind: which pages may use the API (CORS), and headers that
// keep an answer from being taken for something else. A page of another origin is
// refused, also where a browser would only hide the answer from it: without keys
// the server of somebody's own machine is open to every page they visit.
// A page whose name is made to point here is kept out in hosts.go.

// securityHeaders are in every answer. The values are shared by all.
var securityHeaders = []struct {
	name  string
	value []string
}{
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"Content-Security-Policy", []string{"default-src 'none'; frame-ancestors 'none'"}},
	{"Referrer-Policy", []string{"no-referrer"}},
	{"Cache-Control", []string{"no-store"}},
}

var hsts = []string{"max-age=31536000"}

func (s *Server) secure(h http.Header, r *http.Request) {
	for _, x := range securityHeaders {
		h[x.name] = x.value
	}
	if r.TLS != nil {
		h["Strict-Transport-Security"] = hsts
	}
}

// corsHeaders and corsMethods are what a page of an allowed origin may send;
// corsExposed what of the answer it may read.
const (
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, If-Match, Engram-Min-Lsn, Request-Id, Last-Event-ID, Connect-Protocol-Version, Connect-Timeout-Ms, X-Grpc-Web, X-User-Agent, Grpc-Timeout"
	corsMethods = "GET, POST, PUT, PATCH, DELETE"
	corsExposed = "Request-Id, Engram-Lsn, ETag, Idempotent-Replayed, Retry-After, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"
)

// cors answers a preflight (done), or says in the answer's headers that the page
// may read it. A page that may not is refused.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) (done bool, err *memory.Error) {
	origin := r.Header.Get("Origin")
	if origin == "" || sameOrigin(origin, r) {
		return false, nil
	}
	h := w.Header()
	h["Vary"] = []string{"Origin"}
	if !slices.Contains(s.o.Origins, origin) && !slices.Contains(s.o.Origins, "*") {
		return false, memory.Errorf(memory.KindDenied, codeOriginDenied, "pages of the origin %.128q may not use this server", origin).
			Hinted("name the origin in the setting origins")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

// sameOrigin says whether a page comes from this server: from the host and port
// that the request names.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// docsPage shows the OpenAPI description. It is one file that loads nothing but
// /openapi.json.
//
//go:embed docs.html
var docsPage []byte

// docsPolicy lets the page run its own script and style, known by their digests,
// and talk to its own server; nothing else.
var docsPolicy = []string{"default-src 'none'; script-src " + digestIn(docsPage, "script") + "; style-src " + digestIn(docsPage, "style") +
	"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}

// digestIn is the source expression of what stands in the page's element.
func digestIn(page []byte, element string) string {
	_, rest, _ := strings.Cut(string(page), "<"+element+">")
	body, _, ok := strings.Cut(rest, "</"+element+">")
	if !ok {
		panic("docs.html has no " + element)
	}
	sum := sha256.Sum256([]byte(body))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func docs(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Content-Security-Policy"] = docsPolicy
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(docsPage) // the client may be gone, which is its own affair
}
