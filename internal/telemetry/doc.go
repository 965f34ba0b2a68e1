// Package telemetry sends traces to an OpenTelemetry collector: a span for each
// call, with one below it for each of its stages.
//
// It speaks OTLP over HTTP, in protobuf, and nothing else of OpenTelemetry: calls
// are told after they have ended, by one caller, so that neither contexts nor
// samplers nor processors are needed.
package telemetry
