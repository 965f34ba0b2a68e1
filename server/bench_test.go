package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A sink is a ResponseWriter that keeps nothing.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkREST is what the door costs, with the smallest work behind it.
func BenchmarkREST(b *testing.B) {
	s := newServer(b)
	id := remember(b, s, `{"text":"the otters at the harbour","tags":["animals"],"people":["Ada"],"stream":"diary"}`)
	vector := `{"text":"x","vector":[` + strings.TrimSuffix(strings.Repeat("0.12345678,", 768), ",") + `]}`
	for _, c := range []struct{ name, method, path, body string }{
		{"version", "GET", "/v1/version", ""},
		{"get", "GET", "/v1/spaces/default/memories/" + id, ""},
		{"recall", "POST", "/v1/spaces/default/recall", `{"ids":["` + id + `"],"limit":1,"mode":"similar"}`},
		{"refused-vector-768", "POST", "/v1/spaces/default/memories", vector},
		{"unknown-field", "POST", "/v1/spaces/default/recall", `{"text":"x","limt":3}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				s.ServeHTTP(&sink{h: http.Header{}}, r)
			}
		})
	}
}

// BenchmarkLoopback is requests over TCP, the client on the same cores.
func BenchmarkLoopback(b *testing.B) {
	s := newServer(b)
	id := remember(b, s, `{"text":"the otters at the harbour"}`)
	ts := httptest.NewServer(s)
	defer ts.Close()
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	defer tr.CloseIdleConnections()
	for _, c := range []struct{ name, method, path, body string }{
		{"version", "GET", "/v1/version", ""},
		{"get", "GET", "/v1/spaces/default/memories/" + id, ""},
		{"recall", "POST", "/v1/spaces/default/recall", `{"text":"otters","limit":1,"mode":"similar"}`},
		{"remember", "POST", "/v1/spaces/default/memories", `{"text":"a cat sat on the mat"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequest(c.method, ts.URL+c.path, strings.NewReader(c.body))
					if err != nil {
						b.Error(err)
						return
					}
					a, err := tr.RoundTrip(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, a.Body)
					_ = a.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
