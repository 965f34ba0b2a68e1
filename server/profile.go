package server

import (
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/engramdb/engram/memory"
)

const profilePath = "/debug/pprof/"

// profiles are those that pprof takes over some time; the others are named after
// what runtime/pprof knows.
var profiles = map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace}

// named are the profiles of a moment. The command line is not shown: it may have
// secrets on it.
var named = map[string]bool{"allocs": true, "block": true, "goroutine": true, "heap": true, "mutex": true, "threadcreate": true}

// profile answers with a profile of the process, for administrators.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, profilePath)
	serve, ok := profiles[name]
	if named[name] {
		serve, ok = pprof.Handler(name).ServeHTTP, true
	}
	if !ok {
		return memory.NotFound(codePathUnknown, "there is no profile %.32q", name)
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.o.MaxRequestTimeout)) // not every connection has deadlines
	serve(w, r)
	return nil
}
