package telemetry

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// TraceID names a trace; zero is none.
type TraceID [16]byte

// SpanID names a span of a trace; zero is none.
type SpanID [8]byte

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// A Parent is the span of somebody else below which a call belongs, as W3C's
// traceparent and tracestate say it. The zero Parent is none.
type Parent struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool   // whether the caller keeps the trace
	State   string // of tracestate, handed on as it is
}

// ParseParent reads the headers. What is not as W3C Trace Context wants it is no
// parent: a caller's mistake in them is no reason to refuse its call.
func ParseParent(traceparent, tracestate string) Parent {
	version, rest, ok := strings.Cut(traceparent, "-")
	if !ok || len(version) != 2 || version == "ff" || !isHex(version) {
		return Parent{}
	}
	if len(rest) < 52 || len(rest) > 52 && (version == "00" || rest[52] != '-') || rest[32] != '-' || rest[49] != '-' {
		return Parent{}
	}
	trace, span, flags := rest[:32], rest[33:49], rest[50:52]
	if !isHex(trace) || !isHex(span) || !isHex(flags) {
		return Parent{}
	}
	var p Parent
	_, _ = hex.Decode(p.Trace[:], []byte(trace)) // both were looked at
	_, _ = hex.Decode(p.Span[:], []byte(span))
	if p.Trace == (TraceID{}) || p.Span == (SpanID{}) {
		return Parent{}
	}
	f, _ := hex.DecodeString(flags)
	p.Sampled = f[0]&1 != 0
	if len(tracestate) <= maxState && isPlain(tracestate) {
		p.State = tracestate
	}
	return p
}

// maxState is the longest tracestate that is handed on, in bytes; W3C asks for
// that much.
const maxState = 512

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == "" // in lower case alone, says W3C
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func newTraceID() (t TraceID) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

func newSpanID() (s SpanID) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// falls says whether a trace without a parent is among those that are kept.
func (t TraceID) falls(fraction float64) bool {
	return fraction >= 1 || float64(binary.BigEndian.Uint64(t[8:])>>11)/(1<<53) < fraction
}
