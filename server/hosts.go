package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/engramdb/engram/memory"
)

// A page can have its own name point at 127.0.0.1, once it has been loaded (DNS
// rebinding): it is then of the same origin as a server there, and what keeps other
// pages out does not see it. But it cannot choose the Host that the browser names. So
// where nothing else stands in the way, a request has to be for a name that is known
// to be the server's: an address, localhost, or one of Options.Hosts. API keys stand
// in the way, as a browser adds none by itself, and so does TLS, as the name must be
// in the certificate.

// forUs refuses a request for a host that is not this server's.
func (s *Server) forUs(r *http.Request) *memory.Error {
	if s.o.TLS != nil || s.ourName(r.Host) || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || s.keysNeeded() {
		return nil
	}
	return memory.Errorf(memory.KindDenied, codeHostDenied, "the request is for the host %.128q, which is not a name of this server", r.Host).
		Hinted("use its address, or name the host in the setting hosts")
}

// ourName says whether a Host is an address or a name of this server. One that is
// empty is of HTTP/1.0, which no browser speaks.
func (s *Server) ourName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.ContainsFunc(s.o.Hosts, func(h string) bool { return h == "*" || strings.EqualFold(strings.TrimSuffix(h, "."), name) })
}
