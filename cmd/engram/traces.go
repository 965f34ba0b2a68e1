package main

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/engramdb/engram/internal/telemetry"
)

// tracer makes the tracer that the settings and OpenTelemetry's own variables ask
// for; nil when nobody wants traces. The variables are those of its specification,
// as other programs on the same machine read them.
func (s *settings) tracer(log *slog.Logger) (*telemetry.Tracer, error) {
	env := func(names ...string) string {
		for _, n := range names {
			if v := os.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	at := env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") // whole
	if base := cmp.Or(s.text("otlp_endpoint"), env("OTEL_EXPORTER_OTLP_ENDPOINT")); base != "" && (at == "" || s.text("otlp_endpoint") != "") {
		at = strings.TrimRight(base, "/") + "/v1/traces"
	}
	if at == "" || env("OTEL_SDK_DISABLED") == "true" || env("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	if p := env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		log.Warn("traces are sent as http/protobuf, the only way there is", "asked", p)
	}
	o := telemetry.Options{URL: at, Logger: log, Version: buildVersion().Version, Service: env("OTEL_SERVICE_NAME"),
		Header: otlpHeaders(env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"))}
	if ms, err := strconv.Atoi(env("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")); err == nil && ms > 0 {
		o.Timeout = time.Duration(ms) * time.Millisecond
	}
	if f, err := strconv.ParseFloat(env("OTEL_TRACES_SAMPLER_ARG"), 64); err == nil && f > 0 && strings.HasSuffix(env("OTEL_TRACES_SAMPLER"), "traceidratio") {
		o.Fraction = f
	}
	t, err := telemetry.NewTracer(o)
	if err != nil {
		return nil, usage("otlp_endpoint: %v", err)
	}
	return t, nil
}

// otlpHeaders reads "name=value,name=value" with percent signs, as W3C Baggage
// writes it.
func otlpHeaders(list string) http.Header {
	h := http.Header{}
	for pair := range strings.SplitSeq(list, ",") {
		name, v, ok := strings.Cut(pair, "=")
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if ok && err == nil {
			h.Set(strings.TrimSpace(name), v)
		}
	}
	return h
}
