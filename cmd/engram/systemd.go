package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// A supervisor is whoever started the server and wants to be told how it is:
// systemd, by the socket in $NOTIFY_SOCKET. Without one nothing is said.
type supervisor struct {
	log  *slog.Logger
	look *time.Ticker // when it wants a sign of life; nil: never
}

// newSupervisor asks the environment. Stop ends what it began.
func newSupervisor(log *slog.Logger) *supervisor {
	v := &supervisor{log: log}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog's time cannot be read; it gets no signs of life", "error", err)
	}
	if err == nil && every > 0 {
		v.look = time.NewTicker(every / 2) // half of it, as systemd advises
	}
	return v
}

func (v *supervisor) stop() {
	if v.look != nil {
		v.look.Stop()
	}
}

// watch ticks when a sign of life is due.
func (v *supervisor) watch() <-chan time.Time {
	if v.look == nil {
		return nil
	}
	return v.look.C
}

// say sends a state. A supervisor that does not hear is no reason to stop.
func (v *supervisor) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		v.log.Warn("the supervisor was not told", "state", state, "error", err)
	}
}

// inherited gives the socket that systemd has opened for the server; nil when
// there is none. It is taken out of the environment: nobody else is to use it.
func inherited() (net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if len(all) == 1 && all[0] != nil && all[0].Addr().Network() == "tcp" {
		return all[0], nil
	}
	for _, ln := range all {
		if ln != nil {
			_ = ln.Close() // none is used
		}
	}
	return nil, usage("the service manager passed %d sockets", len(all)).hinted("serve takes one, of TCP: one ListenStream=ADDRESS:PORT")
}

// listenAt makes the setting say where an inherited socket listens, so that it
// is judged as any other address.
func (s *settings) listenAt(ln net.Listener) {
	s.values["listen"] = value{ln.Addr().String(), fmt.Sprintf("socket of the service manager (%s)", ln.Addr().Network())}
}
