package server_test

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/server"
)

// TestReadOnly: writes are answered 503 read_only, reads as ever, and the server
// is ready.
func TestReadOnly(t *testing.T) {
	fs := vfs.NewMem()
	open := func(readOnly bool) (*server.Server, func()) {
		db, err := engram.Open(context.Background(), "data", engram.Options{FS: fs, ReserveBytes: -1, ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.New(db, server.Options{Hosts: []string{"example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	s, end := open(false)
	remember(t, s, `{"id":"a","text":"words that stay"}`)
	remember(t, s, `{"id":"b","text":"others"}`)
	end()
	s, end = open(true)
	defer end()
	for _, w := range [][3]string{
		{"POST", "/v1/spaces/default/memories", `{"text":"new"}`},
		{"POST", "/v1/spaces/default/memories/batch", `{"memories":[{"text":"new"}]}`},
		{"PATCH", "/v1/spaces/default/memories/a", `{"title":"new"}`},
		{"DELETE", "/v1/spaces/default/memories/a", ""},
		{"POST", "/v1/spaces/default/memories/forget", `{"ids":["a"]}`},
		{"POST", "/v1/spaces/default/memories/forget", `{"ids":["a"],"mode":"erase"}`},
		{"POST", "/v1/spaces/default/links", `{"from":"a","to":"b","type":"t"}`},
		{"PUT", "/v1/spaces/default/entities/e", `{"name":"e"}`},
		{"PUT", "/v1/spaces/other", `{}`},
		{"DELETE", "/v1/spaces/default?confirm=default", ""},
		{"POST", "/v1/keys", `{"name":"k","scopes":["read"]}`},
	} {
		if a := do(t, s, w[0], w[1], w[2]); a.status != 503 || a.failure()["code"] != "read_only" {
			t.Errorf("%s %s: %d %s", w[0], w[1], a.status, a.body)
		}
	}
	for _, r := range [][3]string{
		{"GET", "/readyz", ""}, {"GET", "/metrics", ""}, {"GET", "/v1/spaces", ""}, {"GET", "/v1/spaces/default/memories/a", ""}, {"GET", "/v1/spaces/default/memories", ""},
		{"POST", "/v1/spaces/default/recall", `{"text":"words"}`},
	} {
		if a := do(t, s, r[0], r[1], r[2]); a.status != 200 {
			t.Errorf("%s %s: %d %s", r[0], r[1], a.status, a.body)
		}
	}
}
