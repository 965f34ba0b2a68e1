package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scenarios that start their own servers.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/script", nil))
}

// TestBothDoors runs each scenario twice: on a server, and on a directory in
// process. $DOOR is the flag that says which.
func TestBothDoors(t *testing.T) {
	byWords := func(e *testscript.Env) { // so that what is not there is not found
		e.Setenv("ENGRAM_DEFAULT_MODEL", "none")
		e.Setenv("ENGRAM_LINKS", "off")
	}
	t.Run("data", func(t *testing.T) {
		testscript.Run(t, scripts("testdata/both", func(e *testscript.Env) error {
			byWords(e)
			e.Setenv("DOOR", "--data="+filepath.Join(e.WorkDir, "db"))
			return nil
		}))
	})
	t.Run("server", func(t *testing.T) {
		testscript.Run(t, scripts("testdata/both", func(e *testscript.Env) error {
			byWords(e)
			p, err := start(e.WorkDir, append(os.Environ(), e.Vars...), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(p.kill)
			e.Setenv("DOOR", "--server="+p.address)
			return nil
		}))
	})
}

func scripts(dir string, setup func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir: dir, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("GORACE", os.Getenv("GORACE"))                     // how the race detector ends, see the Makefile
			tiny, err := filepath.Abs("../../embed/bert/testdata/tiny") // a transformer of chance
			if err != nil {
				return err
			}
			e.Setenv("TINY", tiny)
			e.Values[running{}] = map[string]*process{}
			if setup != nil {
				return setup(e)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": startCmd, "stop": stopCmd, "kill": killCmd, "status": statusCmd, "damage": damageCmd,
		},
	}
}

// readyLine is what serve prints.
const readyLine = `^engram is ready on http://`

// A process is an engram that runs beside the test.
type process struct {
	cmd     *exec.Cmd
	address string
	stdout  bytes.Buffer
	stderr  bytes.Buffer
	ended   chan struct{} // stdout was read to its end
}

type running struct{}

var addressIn = regexp.MustCompile(`https?://(\S+)`)

// start starts engram and returns when a line of its stdout matches ready. There
// is no time limit of ours: go test has one.
func start(dir string, env []string, ready string, args ...string) (*process, error) {
	match, err := regexp.Compile(ready)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command("engram", args...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, env, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		p.stdout.WriteString(line)
		if a := addressIn.FindStringSubmatch(line); a != nil && p.address == "" {
			p.address = a[1]
		}
		if err != nil {
			_ = p.cmd.Wait()
			return nil, fmt.Errorf("engram %s ended before it was ready: %s%s", strings.Join(args, " "), &p.stdout, &p.stderr)
		}
		if match.MatchString(strings.TrimSuffix(line, "\n")) {
			break
		}
	}
	go func() {
		_, _ = io.Copy(&p.stdout, lines)
		close(p.ended)
	}()
	return p, nil
}

// signal sends a signal and waits for the end.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	<-p.ended // before Wait, which closes the pipe
	return p.cmd.Wait()
}

func (p *process) kill() { _ = p.signal(os.Kill) }

// startCmd: start NAME READY ARGS... sets $NAME to the address.
func startCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME READY ARGS...")
	}
	path, err := exec.LookPath("engram")
	ts.Check(err)
	env := []string{"PATH=" + filepath.Dir(path)}
	for _, name := range []string{"HOME", "TZ", "TMPDIR", "ENGRAM_SPACE", "GOCOVERDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	p, err := start(ts.Getenv("WORK"), env, args[1], args[2:]...)
	ts.Check(err)
	ts.Value(running{}).(map[string]*process)[args[0]] = p
	ts.Defer(p.kill)
	ts.Setenv(args[0], p.address)
}

func theProcess(ts *testscript.TestScript, args []string) *process {
	if len(args) != 1 {
		ts.Fatalf("which process?")
	}
	p := ts.Value(running{}).(map[string]*process)[args[0]]
	if p == nil {
		ts.Fatalf("there is no process %s", args[0])
	}
	return p
}

// stopCmd: stop NAME sends SIGTERM, which must end with 0; what was printed is in
// NAME.out and NAME.err.
func stopCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := theProcess(ts, args)
	err := p.signal(syscall.SIGTERM)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), p.stdout.Bytes(), 0o666))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), p.stderr.Bytes(), 0o666))
	if err != nil {
		ts.Fatalf("stop %s: %v: %s", args[0], err, &p.stderr)
	}
}

// killCmd: kill NAME sends SIGKILL.
func killCmd(ts *testscript.TestScript, _ bool, args []string) { theProcess(ts, args).kill() }

// statusCmd: status N ARGS... runs engram and wants this exit status.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N ARGS...")
	}
	err := ts.Exec("engram", args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("engram %s: status %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// damageCmd: damage DIR flips a bit in the middle of the largest table.
func damageCmd(ts *testscript.TestScript, _ bool, args []string) {
	var largest string
	var body []byte
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		b, err := os.ReadFile(path)
		if len(b) > len(body) {
			largest, body = path, b
		}
		return err
	}))
	if largest == "" {
		ts.Fatalf("there is no table in %s", args[0])
	}
	body[len(body)/2] ^= 1
	ts.Check(os.WriteFile(largest, body, 0o666))
}
