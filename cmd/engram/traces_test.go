package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// TestServeSendsTraces: what the variables say is done, and the last traces are
// sent before the end.
func TestServeSendsTraces(t *testing.T) {
	type post struct{ path, key, body string }
	posts := make(chan post, 10)
	c := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m tracepb.TracesData
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Error(err)
		}
		posts <- post{r.URL.Path, r.Header.Get("X-Key"), prototext.Format(&m)}
	}))
	defer c.Close()
	env := append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL+"/base/", "OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20b", "OTEL_SERVICE_NAME=memories")
	p, err := start(t.TempDir(), env, readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if _, err := fetch("http://" + p.address + "/v1/spaces"); err != nil {
		t.Fatal(err)
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	got := <-posts
	if got.path != "/base/v1/traces" || got.key != "a b" || !strings.Contains(got.body, `"list_spaces"`) || !strings.Contains(got.body, `"memories"`) {
		t.Errorf("the collector got %+v", got)
	}
}
