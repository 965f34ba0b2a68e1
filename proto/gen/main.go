// Command gen generates everything that comes from the schema: the Go messages,
// the stubs of Connect (which speak gRPC too), and the OpenAPI description.
//
//	go run ./proto/gen              generate in place
//	go run ./proto/gen -out DIR     generate below DIR, to compare
//	go run ./proto/gen -check       lint, and refuse a breaking change
//	go run ./proto/gen -baseline    make today's schema the one that is not to be broken
//
// The tools are pinned by two modules of their own, proto/tools (the plugins)
// and proto/tools/buf (buf needs a newer protobuf than the plugins), so that the
// main module does not carry what they depend on. They are built once into the
// user's cache. It ends with 3 when they can not be had.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	openAPI  = "proto/engram/v1/engram.openapi.json"
	baseline = "proto/baseline.binpb"
	noTools  = 3 // exit code: the tools can not be built
)

var toolModules = []string{"proto/tools", "proto/tools/buf"}

func main() {
	out := flag.String("out", ".", "directory to generate below")
	check := flag.Bool("check", false, "lint, and compare with the baseline")
	base := flag.Bool("baseline", false, "write the baseline")
	flag.Parse()
	if err := run(*out, *check, *base); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		if errors.Is(err, errTools) {
			os.Exit(noTools)
		}
		os.Exit(1)
	}
}

var errTools = errors.New("build the tools")

func run(out string, check, base bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	tools, err := buildTools(root)
	if err != nil {
		return err
	}
	buf := func(args ...string) error { return tools.run(root, "buf", args...) }
	switch {
	case check:
		return errors.Join(buf("lint"), buf("breaking", "--against", baseline))
	case base:
		return buf("build", "--exclude-source-info", "-o", baseline)
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if out == mustAbs(".") {
		out = root
	}
	if err := buf("generate", "-o", out); err != nil {
		return err
	}
	return polish(filepath.Join(out, openAPI))
}

func mustAbs(p string) string {
	a, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	return a
}

// moduleRoot finds the directory of buf.yaml, upwards from here.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "buf.yaml")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no buf.yaml above the current directory")
		}
		dir = up
	}
}

// A toolbox is a directory of built tools.
type toolbox string

// buildTools builds the pinned tools into the cache, under a name that changes
// with their pins.
func buildTools(root string) (toolbox, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, m := range toolModules {
		for _, f := range []string{"go.mod", "go.sum"} {
			b, err := os.ReadFile(filepath.Join(root, m, f))
			if err != nil {
				return "", err
			}
			h.Write(b)
		}
	}
	dir := filepath.Join(cache, "engram-tools", hex.EncodeToString(h.Sum(nil)[:8]))
	done := filepath.Join(dir, "done")
	if _, err := os.Stat(done); err == nil {
		return toolbox(dir), nil
	}
	for _, m := range toolModules {
		cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "tool")
		cmd.Dir = filepath.Join(root, m)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%w of %s: %w", errTools, m, err)
		}
	}
	return toolbox(dir), os.WriteFile(done, nil, 0o644)
}

// run runs one tool in dir, with the others on its path.
func (t toolbox) run(dir, name string, args ...string) error {
	cmd := exec.Command(filepath.Join(string(t), name), args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "PATH="+string(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}
