package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// build makes the binary once. While the command line does not compile there is
// nothing to kill.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engram")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/engram")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("cmd/engram does not build, so no server can be killed: %v\n%s", err, out)
	}
	return path
}

// child is a server as a process of its own.
type child struct {
	cmd    *exec.Cmd
	base   string // http://address
	client *http.Client
	log    *tail
}

// tail keeps the last words of a server, for the report of a failure.
type tail struct{ b bytes.Buffer }

func (w *tail) Write(p []byte) (int, error) {
	if w.b.Len() > 64<<10 {
		w.b.Reset()
	}
	return w.b.Write(p)
}

var readyLine = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start returns when the server says that it is ready.
func start(t *testing.T, binary, dir string) *child {
	t.Helper()
	// Without what follows a memory by itself: then every record is one that a
	// caller was answered, and their numbers can be counted.
	c := &child{cmd: exec.Command(binary, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--default-model", "none", "--links", "off"), log: new(tail)}
	c.cmd.Stderr = c.log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() }) // then its output ends
	defer overdue.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if c.base = readyLine.FindString(line); c.base == "" {
		c.kill()
		t.Fatalf("the server did not come up: %q, %v\n%s", line, err, c.log.b.String())
	}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	return c
}

// kill ends the process where it stands.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // a killed process has an exit status of its own
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
}

// reply is one answer; err is set when none came, as when the server was killed.
type reply struct {
	status int
	body   []byte
	err    error
}

func (r reply) into(t *testing.T, to any) {
	t.Helper()
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("%v %d %s", r.err, r.status, r.body)
	}
	if err := json.Unmarshal(r.body, to); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
}

func (r reply) String() string { return fmt.Sprintf("%d %s %v", r.status, r.body, r.err) }

func (c *child) call(method, path string, body any) reply {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return reply{err: err}
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.base+path, in)
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, body: b, err: err}
}

// refused says whether the server answered, and with an error.
func (r reply) refused() bool { return r.err == nil && r.status >= 400 }

// acked says whether the server answered that it is done.
func (r reply) acked() bool { return r.err == nil && r.status < 300 }

func spacePath(space string, rest ...string) string {
	return "/v1/spaces/" + space + "/" + strings.Join(rest, "/")
}
