// Package python keeps a virtual environment with what the benchmarks compare with: packages
// of PyPI, installed by pip when they are first wanted.
package python

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Env is a virtual environment.
type Env struct {
	Python string // its interpreter
	say    func(string, ...any)
}

// Open makes the virtual environment in a folder that is kept, if it is not there. say tells
// who waits what is done.
func Open(ctx context.Context, cache string, say func(string, ...any)) (*Env, error) {
	venv, err := filepath.Abs(filepath.Join(cache, "venv"))
	if err != nil {
		return nil, err
	}
	e := &Env{Python: filepath.Join(venv, "bin", "python"), say: say}
	if _, err := os.Stat(e.Python); errors.Is(err, os.ErrNotExist) {
		say("making a virtual environment in %s", venv)
		if out, err := exec.CommandContext(ctx, "python3", "-m", "venv", venv).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("python3 -m venv: %w: %s", err, out)
		}
	}
	return e, nil
}

// Install says why a package, "name" or "name==version", could not be installed; "" when it
// is there. Arguments are pip's.
func (e *Env) Install(ctx context.Context, pip string, args ...string) (why string) {
	name, _, _ := strings.Cut(pip, "==")
	look := "import importlib.metadata as m, sys; m.version(sys.argv[1])"
	if exec.CommandContext(ctx, e.Python, "-c", look, name).Run() == nil {
		return ""
	}
	e.say("installing %s", pip)
	// A wheel where there is one; hnswlib has none and is compiled, which wants a C++ compiler.
	args = append([]string{"-m", "pip", "install", "-q", "--prefer-binary", pip}, args...)
	out, err := exec.CommandContext(ctx, e.Python, args...).CombinedOutput()
	if err == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Sprintf("%v: %s", err, lines[len(lines)-1])
}

// Run runs Python and gives what it prints.
func (e *Env) Run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, e.Python, args...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		lines := strings.Split(strings.TrimSpace(string(failed.Stderr)), "\n")
		err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return strings.TrimSpace(string(out)), err
}
