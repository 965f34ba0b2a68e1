package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A notifySocket is what systemd listens at.
type notifySocket struct {
	*net.UnixConn
	path string
}

func newNotifySocket(t *testing.T) *notifySocket {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // t.TempDir may be longer than a socket's name can be
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close(), os.RemoveAll(dir) })
	return &notifySocket{conn, path}
}

// next gives the next state, without signs of life when they are not asked for.
func (n *notifySocket) next(t *testing.T, alive bool) string {
	t.Helper()
	buf := make([]byte, 256)
	for {
		k, err := n.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if s := string(buf[:k]); alive || s != "WATCHDOG=1" {
			return s
		}
	}
}

// TestSupervisor: the states reach systemd's socket, the watchdog gets its signs,
// and SIGHUP puts the named settings in force and no others.
func TestSupervisor(t *testing.T) {
	n, dir := newNotifySocket(t), t.TempDir()
	file := filepath.Join(dir, "set.yaml")
	put(t, file, "slow_log: 2s\nlog_level: info\n")
	env := append(os.Environ(), "NOTIFY_SOCKET="+n.path, "WATCHDOG_USEC=100000")
	p, err := start(dir, env, readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	expect := func(want string) {
		t.Helper()
		if got := n.next(t, want == "WATCHDOG=1"); got != want {
			t.Fatalf("the supervisor was told %q, want %q", got, want)
		}
	}
	expect("READY=1")
	expect("WATCHDOG=1")
	hup := func(settings string) {
		t.Helper()
		put(t, file, settings)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		expect("RELOADING=1")
		expect("READY=1")
	}
	hup("slow_log: [")
	hup("slow_log: 1ns\nlog_level: warn\nrate_per_key: 1000\nmax_streams: 7\n")
	if _, err := fetch("http://" + p.address + "/v1/spaces"); err != nil {
		t.Fatal(err)
	}
	hup("slow_log: 1ns\nlog_level: error\nrate_per_key: 1000\nmax_streams: 7\n")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	log := p.stderr.String()
	for _, want := range []string{"the old ones stay", `msg="some settings have changed that need a restart" settings=max_streams`,
		`level=WARN msg="slow request"`, "verb=list_spaces", "stages.receive=", "stages.work=", "stages.answer="} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, `"the settings were read again" file=`+file+` changed="log_level=error`) || strings.Contains(log, "msg=stopping") {
		t.Errorf("the log level was not taken over:\n%s", log)
	}
}

// TestSocketActivation: the server answers on the socket that it was given, and
// judges its address as any other.
func TestSocketActivation(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("sh", "-c", "LISTEN_PID=$$ exec engram serve --data db --listen 192.0.2.1:1")
		c.Dir, c.ExtraFiles, c.Env = t.TempDir(), []*os.File{f}, append(os.Environ(), "LISTEN_FDS=1")
		if address != "127.0.0.1:0" {
			out, err := c.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "API keys") {
				t.Errorf("an open socket was not refused: %v %s", err, out)
			}
		} else {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			// The kernel lets the request wait until the server is there.
			if body, err := fetch("http://" + ln.Addr().String() + "/readyz"); err != nil || !strings.Contains(body, "ready") {
				t.Errorf("readyz: %v %s", err, body)
			}
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("the server ended with %v", err)
			}
		}
		_, _ = f.Close(), ln.Close()
	}
}

// TestStopHasADeadline: a request that hangs is cut off at stop_timeout, and the
// stop is no failure.
func TestStopHasADeadline(t *testing.T) {
	p, err := start(t.TempDir(), os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0", "--stop-timeout", "50ms")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("POST /v1/spaces/default/memories HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")); err != nil {
		t.Fatal(err)
	}
	for working := false; !working; { // go test has a time limit
		body, err := fetch("http://" + p.address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		working = strings.Contains(body, "\nengram_requests_in_flight 1\n")
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if !strings.Contains(p.stderr.String(), "stopped with requests running") {
		t.Errorf("the log does not say so:\n%s", &p.stderr)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fetch(url string) (string, error) {
	r, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, b)
	}
	return string(b), err
}
