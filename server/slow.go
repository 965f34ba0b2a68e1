package server

import (
	"log/slog"
	"time"
)

// SetSlow says from when on a request is logged as slow.
func (s *Server) SetSlow(d time.Duration) { s.slow.Store(int64(d)) }

// isSlow says whether a request is worth a line for its time alone. A stream has
// no end that it could be late for.
func (s *Server) isSlow(verb string, took time.Duration) bool {
	return took >= time.Duration(s.slow.Load()) && !isStream(verb)
}

// isStream says whether the time of a verb is up to the client, or to how much it
// sends.
func isStream(verb string) bool {
	switch verb {
	case "subscribe", "health_watch", verbReflection, "import", "export":
		return true
	}
	return false
}

// A stage is a part of a call: when it began after the call did, and its time.
type stage struct {
	name  string
	after time.Duration
	took  time.Duration
	ours  bool // a part of work
}

// The stages that every call has. Recall has those of its pipeline inside of work.
const (
	stageReceive = "receive" // the request is read and allowed
	stageWork    = "work"    // the service does it
	stageAnswer  = "answer"  // the answer is written
)

// workIndex is where work stands among the stages of a call.
const workIndex = 1

// working marks the end of receive; worked, which it gives, that of work.
func (c *Call) working() (worked func()) {
	c.received = time.Since(c.began)
	return func() { c.worked = time.Since(c.began) }
}

// part notes a stage of the service's own; such stages follow one another.
func (c *Call) part(name string, took time.Duration) {
	c.parts = append(c.parts, stage{name: name, took: took, ours: true})
}

// stages lists the stages of a call that took so long, in their order. Those of
// the service are put at the end of work, where its last one ended.
func (c *Call) stages(took time.Duration) []stage {
	if c.worked == 0 {
		return nil // it came to no work
	}
	all := make([]stage, 0, 3+len(c.parts))
	all = append(all, stage{name: stageReceive, took: c.received}, stage{name: stageWork, after: c.received, took: c.worked - c.received})
	after := c.worked
	for _, p := range c.parts {
		after -= p.took
	}
	after = max(after, c.received)
	for _, p := range c.parts {
		p.after = after
		after += p.took
		all = append(all, p)
	}
	return append(all, stage{name: stageAnswer, after: c.worked, took: max(took-c.worked, 0)})
}

// stagesAttr is how the log shows stages.
func stagesAttr(stages []stage) slog.Attr {
	attrs := make([]any, len(stages))
	for i, st := range stages {
		attrs[i] = slog.Duration(st.name, st.took)
	}
	return slog.Group("stages", attrs...)
}
