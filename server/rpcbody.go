package server

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"strings"

	"github.com/engramdb/engram/memory"
)

// Connect's handlers answer what is wrong with a body in their own words, without
// our details, and unpack all of a bomb before they say that it is too large. So
// the body of a call is read here, whole and under its bound, taken out of its
// compression, and handed on plain.

// plainBody reads the body of a call into buf, which the body then stands in.
func (s *Server) plainBody(r *http.Request, door string, buf *bytes.Buffer) error {
	size := int64(frameBytes)
	if n := r.ContentLength; n >= 0 && n < maxPooled {
		size = n
	}
	buf.Grow(int(size) + bytes.MinRead) // each read is a message to the connection's goroutine: few, large ones
	if _, err := buf.ReadFrom(r.Body); err != nil {
		return bodyError(err)
	}
	raw, err := buf.Bytes(), error(nil)
	switch {
	case door == doorGRPC, door == doorGRPCWeb:
		raw, err = s.plainEnvelope(raw, r.Header.Get("Grpc-Encoding"))
	case door == doorConnect && strings.HasPrefix(r.Header.Get("Content-Type"), "application/connect+"):
		raw, err = s.plainEnvelope(raw, r.Header.Get("Connect-Content-Encoding"))
	case door == doorConnect:
		raw, err = s.unpack(raw, r.Header.Get("Content-Encoding"), "Content-Encoding")
		r.Header.Del("Content-Encoding")
	}
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return nil
}

// frameBytes is how much of a body comes at once over HTTP/2, at most, unless it is
// agreed on otherwise (RFC 9113, 6.5.2).
const frameBytes = 16 << 10

// An envelope of gRPC and of Connect's streams: a byte of flags, of which the
// first says that the message is compressed, and its length in four bytes.
const envelopeHead = 5

// plainEnvelope takes the one message of a call out of its compression.
func (s *Server) plainEnvelope(raw []byte, encoding string) ([]byte, error) {
	if len(raw) < envelopeHead {
		return nil, memory.Invalid(codeBodyUnreadable, "", "the body has no message in it")
	}
	n := binary.BigEndian.Uint32(raw[1:envelopeHead])
	switch rest := len(raw) - envelopeHead; {
	case uint64(n) > uint64(rest):
		return nil, memory.Invalid(codeBodyUnreadable, "", "the message says that it has %d bytes, and %d came", n, rest)
	case uint64(n) < uint64(rest):
		return nil, memory.Invalid(codeBodyUnreadable, "", "something follows the message; the call takes one")
	case raw[0]&1 == 0:
		return raw, nil
	}
	message, err := s.unpack(raw[envelopeHead:], encoding, "Grpc-Encoding")
	if err != nil {
		return nil, err
	}
	out := make([]byte, envelopeHead, envelopeHead+len(message))
	out[0] = raw[0] &^ 1
	binary.BigEndian.PutUint32(out[1:], uint32(len(message)))
	return append(out, message...), nil
}

// unpack takes data out of its compression, at most as much as a body may have.
func (s *Server) unpack(data []byte, encoding, header string) ([]byte, error) {
	switch encoding {
	case "", "identity":
		return data, nil
	case "gzip":
	default:
		return nil, encodingUnknown(encoding, header, "gzip, or none")
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, memory.Invalid(codeBodyUnreadable, "", "the body is not gzip, which %s says it is", header)
	}
	out, err := io.ReadAll(io.LimitReader(z, s.o.MaxBodyBytes+1))
	switch {
	case int64(len(out)) > s.o.MaxBodyBytes:
		return nil, bodyError(&http.MaxBytesError{Limit: s.o.MaxBodyBytes})
	case err != nil:
		return nil, memory.Invalid(codeBodyUnreadable, "", "the body's gzip is damaged")
	}
	return out, nil
}

func encodingUnknown(encoding, header, known string) error {
	return memory.Invalid(codeEncodingUnknown, header, "%s is %.32q; the server takes %s", header, encoding, known)
}
