package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/engramdb/engram/server"
)

// ndjsonOf gives the lines of an NDJSON answer.
func ndjsonOf(t testing.TB, body string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(body) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, m)
	}
	return out
}

// A space goes out and comes in again, the same.
func TestExportImport(t *testing.T) {
	s := newServer(t)
	do(t, s, "PUT", "/v1/spaces/notes", `{"settings":{"vector":{"dimension":2}}}`)
	do(t, s, "PUT", "/v1/spaces/notes/entities/mara", `{"name":"Mara","type":"person","aliases":["M."]}`)
	for i := range 5 {
		a := do(t, s, "POST", "/v1/spaces/notes/memories", fmt.Sprintf(`{"id":"m%d","text":"number %d","vector":[%d,1],"tags":["t"],"happened_at":"2026-01-0%dT00:00:00Z","entities":[{"id":"mara","role":"keeper"},{"type":"boat","name":"Gull"}],"metadata":{"n":[1,"a"]}}`, i, i, i, i+1))
		if a.status != http.StatusCreated {
			t.Fatal(a.body)
		}
	}
	do(t, s, "POST", "/v1/spaces/notes/links", `{"from":"m0","to":"m1","type":"causes","weight":0.5,"valid":{"from":"2026-01-01T00:00:00Z"}}`)
	do(t, s, "POST", "/v1/spaces/notes/links", `{"from":"mara","to":"m1","type":"wrote"}`)
	do(t, s, "POST", "/v1/spaces/notes/links", `{"from":"m0","to":"m4","type":"causes"}`)
	do(t, s, "DELETE", "/v1/spaces/notes/memories/m4?mode=suppress", "")

	out := do(t, s, "GET", "/v1/spaces/notes/export", "")
	if out.status != http.StatusOK || out.header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %s", out.status, out.body)
	}
	ls := ndjsonOf(t, out.body)
	end := ls[len(ls)-1]["end"].(map[string]any)
	if end["memories"] != 4.0 || end["entities"] != 2.0 || end["links"] != 2.0 {
		t.Fatalf("%v\n%s", end, out.body)
	}
	in := do(t, s, "POST", "/v1/spaces/copy/import", out.body)
	ls = ndjsonOf(t, in.body)
	done, _ := ls[len(ls)-1]["done"].(map[string]any)
	if in.status != http.StatusOK || done["created"] != 8.0 || done["rejected"] != 0.0 || len(ls) != 1 {
		t.Fatalf("%d %s", in.status, in.body)
	}
	again := do(t, s, "GET", "/v1/spaces/copy/export", "")
	ls = ndjsonOf(t, again.body)
	if got := ls[len(ls)-1]["end"].(map[string]any); got["digest"] != end["digest"] {
		t.Errorf("the digest was %v and is %v\n%s\n%s", end, got, out.body, again.body)
	}
	// Mentions are mentions again, not links of a caller.
	links := do(t, s, "GET", "/v1/spaces/copy/memories/m0/links", "")
	if !strings.Contains(links.body, `"mentions"`) || strings.Count(links.body, `"rule":"caller"`) != 1 {
		t.Error(links.body)
	}
	// The same again keeps everything.
	in = do(t, s, "POST", "/v1/spaces/copy/import", out.body)
	if !strings.Contains(in.body, `"kept":8`) {
		t.Error(in.body)
	}
}

func TestImportTellsWhatItRefuses(t *testing.T) {
	s := newServer(t)
	body := `{"text":"good"}` + "\n" + `{"text":" "}` + "\n" + `{"txt":"typo"}` + "\n" + `{"text":"good too"}` + "\n"
	in := do(t, s, "POST", "/v1/spaces/default/import?source=a", body)
	ls := ndjsonOf(t, in.body)
	if len(ls) != 3 || in.status != http.StatusOK {
		t.Fatal(in.body)
	}
	got := map[float64]string{}
	for _, l := range ls[:2] {
		r := l["rejected"].(map[string]any)
		got[r["line"].(float64)] = r["error"].(map[string]any)["code"].(string)
	}
	if got[2] != "text_blank" || got[3] != "field_unknown" || ls[2]["done"].(map[string]any)["created"] != 2.0 {
		t.Error(in.body)
	}
	if in := do(t, s, "POST", "/v1/spaces/default/import?source=b&dry_run=true", body); !strings.Contains(in.body, `"rejected":2`) {
		t.Error(in.body)
	}
	if a := do(t, s, "GET", "/v1/spaces/default", ""); a.json["counts"].(map[string]any)["episodes"] != "2" {
		t.Error(a.body)
	}
}

func TestTransferRefusals(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
		headers      []string
	}{
		{"GET", "/v1/spaces/nowhere/export", 404, "space_not_found", nil},
		{"GET", "/v1/spaces/No/export", 400, "space_name_invalid", nil},
		{"POST", "/v1/spaces/No/import", 400, "space_name_invalid", nil},
		{"POST", "/v1/spaces/nowhere/import", 404, "space_not_found", nil},
		{"GET", "/v1/spaces/default/import", 405, "method_not_allowed", nil},
		{"POST", "/v1/spaces/default/export", 405, "method_not_allowed", nil},
		{"GET", "/v1/spaces/default/export?vector=none", 400, "field_unknown", nil},
		{"GET", "/v1/spaces/default/export?vectors=no", 400, "word_unknown", nil},
		{"POST", "/v1/spaces/default/import?on_conflict=fight", 400, "word_unknown", nil},
		{"POST", "/v1/spaces/default/import?durability=never", 400, "word_unknown", nil},
		{"POST", "/v1/spaces/default/import?source=a&source=b", 400, "field_repeated", nil},
		{"POST", "/v1/spaces/default/import", 400, "encoding_unknown", []string{"Content-Encoding", "gzip"}},
	} {
		a := do(t, s, c.method, c.path, `{"text":"a"}`, c.headers...)
		if a.status != c.status || a.failure()["code"] != c.code {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
		}
	}
}

// A body beyond the bound of a request comes in, line by line; a client that
// reads the answer only at its end is no trouble.
func TestImportStreams(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxBodyBytes = 1 << 16 })
	address := listen(t, s)
	pr, pw := io.Pipe()
	go func() {
		w := bufio.NewWriter(pw)
		for i := range 3000 {
			_, _ = fmt.Fprintf(w, "{\"text\":\"memory %d %s\"}\n", i, strings.Repeat("word ", 20)) // the pipe tells
		}
		_ = pw.CloseWithError(w.Flush())
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r, err := client.Post("http://"+address+"/v1/spaces/default/import", "application/x-ndjson", pr)
	if err != nil {
		t.Fatal(err)
	}
	a := read(t, r)
	if !strings.Contains(a.body, `"created":3000`) {
		t.Error(a.body)
	}
	if r, err = client.Get("http://" + address + "/v1/spaces/default/export"); err != nil {
		t.Fatal(err)
	}
	if a := read(t, r); strings.Count(a.body, "\n") != 3002 {
		t.Errorf("%d lines", strings.Count(a.body, "\n"))
	}
}

// A client that hangs in the middle of a line is cut off, and what it sent whole
// stays.
func TestImportHangs(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.BodyTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", listen(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was cut off
	_, err = io.WriteString(conn, "POST /v1/spaces/default/import HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"text\":\"whole\"}\n{\"te")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "body_timeout") {
		t.Errorf("%v %s", err, answer)
	}
}
