package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/engramdb/engram"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

func debugCommand() *cobra.Command {
	return group(&cobra.Command{Use: "debug", Short: "Gather what is needed to look into a problem"}, debugBundleCommand())
}

// bundle is what engram debug bundle gathers.
type bundle struct {
	*operator
	log     string        // file, "" for none
	seconds time.Duration // of the profile of the processor
	tar     *tar.Writer
	now     time.Time
	clean   *strings.Replacer // takes out secrets that are known
	lacks   []string          // what could not be had, and why
}

func debugBundleCommand() *cobra.Command {
	b := &bundle{}
	var out string
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Write settings, version, metrics, spaces, profiles and log into one archive",
		Long: `Write one archive (tar.gz) for whoever looks into a problem: the settings as this command finds them, so that
it is best run as the server's user; versions, metrics, the spaces with their counts, profiles of goroutines,
heap and processor, and the end of the log. What cannot be had is listed in missing.txt.

It has the names of spaces and keys, but no secrets and none of the words of a memory. Where keys are wanted, the
key has the scope admin.`,
		Example: `  engram debug bundle
  engram debug bundle --log /var/log/engram.log --out problem.tar.gz`,
		Args: takes(0, 0, ""),
	}
	operate(c, func(ctx context.Context, o *operator) error {
		b.operator, b.now = o, time.Now().UTC()
		if b.seconds < time.Second || b.seconds > time.Minute {
			return usage("--profile is %v; it lies between 1s and 1m", b.seconds)
		}
		if out == "" {
			out = "engram-debug-" + b.now.Format("20060102T150405Z") + ".tar.gz"
		}
		if out == "-" {
			return b.write(ctx, c.OutOrStdout())
		}
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(b.write(ctx, f), f.Close()); err != nil {
			return errors.Join(err, os.Remove(out))
		}
		for _, m := range b.lacks {
			_, _ = fmt.Fprintf(c.ErrOrStderr(), "without %s\n", oneLine(m)) // without a stderr there is nobody to tell
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), out)
		return err
	})
	c.Flags().StringVar(&out, "out", "", "file to write, which is not there yet; -: stdout (default engram-debug-TIME.tar.gz)")
	c.Flags().StringVar(&b.log, "log", "", "file with the server's log, the end of which is taken")
	c.Flags().DurationVar(&b.seconds, "profile", 5*time.Second, "how long the processor is watched")
	return c
}

// write gathers everything. That the server gives one thing not, or nothing at
// all, leaves the rest.
func (b *bundle) write(ctx context.Context, w io.Writer) error {
	b.clean = secrets(b.key)
	z := gzip.NewWriter(w)
	b.tar = tar.NewWriter(z)
	steps := []struct {
		name   string
		gather func(ctx context.Context) ([]byte, error)
		text   bool
	}{
		{"config.json", b.config, true},
		{"environment.txt", environment, true},
		{"client-version.json", func(context.Context) ([]byte, error) { return json.Marshal(buildVersion()) }, true},
		{"server-version.json", b.version, true},
		{"ready.json", b.ready, true},
		{"spaces.jsonl", b.spaceList, true},
		{"metrics.txt", b.get("/metrics"), true},
		{"goroutines.txt", b.get("/debug/pprof/goroutine?debug=2"), true},
		{"heap.pprof", b.get("/debug/pprof/heap"), false},
		{"cpu.pprof", b.get(fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(b.seconds.Seconds()))), false},
		{"log.txt", b.logEnd, true},
	}
	for _, s := range steps {
		body, err := s.gather(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.lacks = append(b.lacks, s.name+": "+explain(err).message)
			continue
		}
		if s.text {
			body = []byte(redact(b.clean.Replace(string(body))))
		}
		if err := b.add(s.name, body); err != nil {
			return err
		}
	}
	if len(b.lacks) > 0 {
		if err := b.add("missing.txt", []byte(redact(b.clean.Replace(strings.Join(b.lacks, "\n")+"\n")))); err != nil {
			return err
		}
	}
	return errors.Join(b.tar.Close(), z.Close())
}

func (b *bundle) add(name string, body []byte) error {
	if err := b.tar.WriteHeader(&tar.Header{Name: "engram-debug/" + name, Mode: 0o600, Size: int64(len(body)), ModTime: b.now.Truncate(time.Second)}); err != nil {
		return err
	}
	_, err := b.tar.Write(body)
	return err
}

func (b *bundle) config(context.Context) ([]byte, error) {
	var buf bytes.Buffer
	err := printSettingsJSON(&buf, b.set)
	return buf.Bytes(), err
}

// environment names the variables that are set and matter. What they say stands in
// config.json when it is a setting; else it may be a secret.
func environment(context.Context) ([]byte, error) {
	var b strings.Builder
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"ENGRAM_", "OTEL_", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG"} {
			if strings.HasPrefix(name, prefix) {
				b.WriteString(name + " is set\n")
			}
		}
	}
	return []byte(b.String()), nil
}

func (b *bundle) version(ctx context.Context) ([]byte, error) {
	v, err := b.api.GetVersion(ctx, &engramv1.GetVersionRequest{})
	return wirejson.Append(nil, v), err
}

func (b *bundle) ready(ctx context.Context) ([]byte, error) {
	_, body, err := b.page(ctx, "/readyz")
	return body, err
}

// bundleSpaces bounds how many spaces are listed.
const bundleSpaces = 1000

func (b *bundle) spaceList(ctx context.Context) ([]byte, error) {
	spaces, err := b.spaces(ctx, bundleSpaces)
	var out []byte
	for _, sp := range spaces {
		out = append(wirejson.Append(out, sp), '\n')
	}
	return out, err
}

// get reads a page of the server.
func (b *bundle) get(path string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		code, body, err := b.page(ctx, path)
		if err == nil && code != http.StatusOK {
			err = refusal(path, code, body)
		}
		return body, err
	}
}

// logMax is how much of the log's end is taken.
const logMax = 4 << 20

func (b *bundle) logEnd(context.Context) ([]byte, error) {
	if b.log == "" {
		return nil, errors.New("no file was named with --log")
	}
	f, err := os.Open(b.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if at := info.Size() - logMax; at > 0 {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, logMax))
}

// secrets makes what takes the secrets out that this process knows: the key, and
// the headers that a collector of traces wants.
func secrets(key string) *strings.Replacer {
	var pairs []string
	for _, s := range []string{key, os.Getenv("ENGRAM_KEY"), os.Getenv("OTEL_EXPORTER_OTLP_HEADERS"), os.Getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS")} {
		if s != "" {
			pairs = append(pairs, s, removed)
		}
	}
	return strings.NewReplacer(pairs...)
}

const removed = "(removed)"

// The forms of secrets that may stand in a text: keys of Engram, passwords in
// URLs, the header that shows a key, private keys in PEM.
var secretForms = []struct{ form, by string }{
	{engram.SecretPrefix + `[a-z2-7]{16}_[A-Za-z0-9]+`, removed},
	{`(://)[^/\s"@]+@`, "${1}" + removed + "@"},
	{`(?i)(bearer\s+)[^\s"]+`, "${1}" + removed},
	{`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`, removed},
}

// redact takes out what has the form of a secret.
func redact(s string) string {
	for _, f := range secretForms {
		s = regexp.MustCompile(f.form).ReplaceAllString(s, f.by)
	}
	return s
}
