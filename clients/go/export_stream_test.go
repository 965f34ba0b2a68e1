package engramclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func TestExport(t *testing.T) {
	c := dial(t, start(t), engramclient.Options{})
	for i := range 3 {
		_, err := c.Remember(context.Background(), &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Id: fmt.Sprint("m", i), Text: strings.Repeat("long ", 300_000)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	told := int64(0)
	end, err := c.Export(context.Background(), "default", &out, engramclient.ExportOptions{Vectors: "none", Moved: func(n int64) error { told = n; return nil }})
	if err != nil || end.Memories != 3 || !strings.HasPrefix(end.Digest, "sha256:") || strings.Count(out.String(), "\n") != 5 || told < 2 {
		t.Fatalf("%+v, %v, %d lines told", end, err, told)
	}
	if c.LSN("default") == 0 {
		t.Error("the state was not taken along")
	}
	enough := errors.New("enough")
	if _, err := c.Export(context.Background(), "default", io.Discard, engramclient.ExportOptions{Moved: func(int64) error { return enough }}); !errors.Is(err, enough) {
		t.Error(err)
	}
	_, err = c.Export(context.Background(), "no/where", io.Discard, engramclient.ExportOptions{})
	if memory.KindOf(err) != memory.KindInvalid {
		t.Error(err)
	}
	if _, err = c.Export(context.Background(), "nowhere", io.Discard, engramclient.ExportOptions{}); memory.KindOf(err) != memory.KindNotFound {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = c.Export(ctx, "default", io.Discard, engramclient.ExportOptions{}); memory.KindOf(err) != memory.KindCancelled {
		t.Error(err)
	}
}

// An export that does not come to its end is an error, whatever it looks like.
func TestExportCutOff(t *testing.T) {
	for _, c := range []struct{ name, body, code string }{
		{"nothing", "", "unreachable"},
		{"no end", "{\"engram\":{}}\n{\"text\":\"a\"}\n", "unreachable"},
		{"half a line", "{\"text\":\"a", "unreachable"},
		{"an error", "{\"text\":\"a\"}\n{\"error\":{\"kind\":\"busy\",\"code\":\"too_many_streams\",\"message\":\"m\",\"request_id\":\"r\"}}\n", "too_many_streams"},
		{"no error", "{\"error\":3}\n", "not_an_engram"},
		{"no number", "{\"end\":{\"memories\":\"x\"}}\n", "not_an_engram"},
	} {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) }))
		client := dial(t, ts.URL, engramclient.Options{})
		_, err := client.Export(context.Background(), "s", io.Discard, engramclient.ExportOptions{})
		var e *memory.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		client.Close()
		ts.Close()
	}
	foreign := httptest.NewServer(http.NotFoundHandler())
	client := dial(t, foreign.URL, engramclient.Options{})
	if _, err := client.Export(context.Background(), "s", io.Discard, engramclient.ExportOptions{}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	client.Close()
	foreign.Close()
	if _, err := client.Export(context.Background(), "s", io.Discard, engramclient.ExportOptions{}); memory.KindOf(err) != memory.KindUnavailable {
		t.Error(err)
	}
}
