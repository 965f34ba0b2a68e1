package telemetry

import (
	"strings"
	"testing"
)

func TestParseParent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for header, ok := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                    true,
		"00-" + trace + "-" + span + "-00":                    true,
		"cc-" + trace + "-" + span + "-01-what-will-be":       true, // a later version may say more
		"00-" + trace + "-" + span + "-01-more":               false,
		"cc-" + trace + "-" + span + "-01x":                   false,
		"ff-" + trace + "-" + span + "-01":                    false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":   false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":  false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01": false,
		"00-" + trace + "-" + span + "-1":                     false,
		"00-" + trace + "-" + span + "-0g":                    false,
		"00" + trace + span + "01":                            false,
		"":                                                    false,
		"0g-" + trace + "-" + span + "-01":                    false,
		"00-" + trace[1:] + "--" + span + "-01":               false,
	} {
		p := ParseParent(header, "a=b")
		if got := p.Trace != (TraceID{}); got != ok {
			t.Errorf("%q is a parent: %v, want %v", header, got, ok)
		}
		if ok && (p.Trace.String() != trace || p.State != "a=b" || p.Sampled != (!strings.HasSuffix(header, "-00"))) {
			t.Errorf("%q is read as %+v", header, p)
		}
	}
	if p := ParseParent("00-"+trace+"-"+span+"-01", "a=\n"); p.State != "" || !p.Sampled {
		t.Errorf("a broken tracestate is handed on: %+v", p)
	}
}

// TestFraction: so many of the traces without a parent are kept, each always or
// never.
func TestFraction(t *testing.T) {
	kept := 0
	for range 4000 {
		id := newTraceID()
		if id.falls(0.25) {
			kept++
		}
		if !id.falls(1) || id.falls(0) {
			t.Fatal("all and none are not all and none")
		}
	}
	if kept < 800 || kept > 1200 {
		t.Errorf("%d of 4000 were kept, want about 1000", kept)
	}
}

func FuzzParseParent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b")
	f.Fuzz(func(t *testing.T, parent, state string) {
		p := ParseParent(parent, state)
		if (p.Trace == TraceID{}) != (p.Span == SpanID{}) {
			t.Errorf("half a parent: %+v", p)
		}
	})
}
