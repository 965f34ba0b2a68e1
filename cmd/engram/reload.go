package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/engramdb/engram/server"
)

// reloadable are the settings that SIGHUP puts in force. Of the others it says
// that they need a restart.
var reloadable = []string{"log_level", "slow_log", "rate_per_key", "rate_per_space", "quota_memories", "quota_bytes"}

// setLevel puts the log level of the settings in force.
func (s *settings) setLevel() {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.text("log_level"))) // checked when it was set
	s.level.Set(level)
}

// reload reads the settings again, and the files for TLS. What cannot be read
// changes nothing: a server that runs goes on as it was.
func (s *settings) reload(srv *server.Server, tls *server.TLS, log *slog.Logger) {
	if tls != nil {
		if err := tls.Reload(); err != nil {
			log.Error("the files for TLS cannot be used; the old certificate stays", "error", err)
		} else {
			log.Info("the files for TLS were read again", "cert", s.text("tls_cert"))
		}
	}
	next, err := s.again()
	if err != nil {
		log.Error("the settings cannot be read; the old ones stay", "error", err)
		return
	}
	changed, waiting := s.take(next)
	s.setLevel()
	srv.SetSlow(s.duration("slow_log"))
	if slices.ContainsFunc(changed, func(c string) bool { return strings.HasPrefix(c, "rate_") || strings.HasPrefix(c, "quota_") }) {
		srv.SetLimits(s.limits()) // only then: it fills all buckets
	}
	log.Info("the settings were read again", "file", next.file, "changed", strings.Join(changed, ", "))
	if len(waiting) > 0 {
		log.Warn("some settings have changed that need a restart", "settings", strings.Join(waiting, ", "))
	}
}

// take takes over what has changed and may, and names it; waiting are the names
// of those that may not.
func (s *settings) take(next *settings) (changed, waiting []string) {
	for _, key := range settingKeys() {
		was, is := s.values[key], next.values[key]
		switch {
		case was.text == is.text || !slices.Contains(serveSettings, key):
		case strings.HasPrefix(was.origin, "socket"): // its address was not a setting
		case slices.Contains(reloadable, key):
			s.values[key] = is
			changed = append(changed, fmt.Sprintf("%s=%s", key, is.text))
		default:
			waiting = append(waiting, key)
		}
	}
	return changed, waiting
}
