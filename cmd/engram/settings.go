package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	_ "github.com/engramdb/engram/embed/minilm" // the default model
	_ "github.com/engramdb/engram/embed/static" // the thesaurus, and a model
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/server/wirejson"
)

// A setting is one thing that a flag, the environment or the settings file can
// say. Its names follow from its key: log_level is --log-level and
// ENGRAM_LOG_LEVEL.
type setting struct {
	key, standard, doc string
	check              func(string) error
}

func (s *setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }
func (s *setting) env() string  { return "ENGRAM_" + strings.ToUpper(s.key) }

// isSwitch says whether the flag needs no value.
func (s *setting) isSwitch() bool { return s.standard == "false" }

// allSettings is the one list of settings; `engram config` shows it.
var allSettings = []setting{
	{"server", "127.0.0.1:7432", "address of the server that client commands talk to", checkAny},
	{"server_ca", "", "roots in PEM of the server's certificate, for an https address; empty: the system's", checkAny},
	{"client_cert", "", "certificate in PEM that is shown to a server that wants one (mutual TLS)", checkAny},
	{"client_key", "", "key of that certificate, in PEM", checkAny},
	{"space", "default", "space that client commands work in", checkAny},
	{"data", "", "directory that serve keeps the database in", checkAny},
	{"listen", "127.0.0.1:7432", "address that serve listens on; port 0 picks a free one", checkAny},
	{"insecure", "false", "let serve listen beyond this machine without API keys", checkBool},
	{"log_level", "info", "least level that is logged: debug, info, warn, error", checkWord("debug", "info", "warn", "error")},
	{"log_format", "text", "form of the log on stderr: text, json", checkWord("text", "json")},
	{"cache", "64MiB", "block cache", checkSize},
	{"reserve", "256MiB", "free disk below which writes are refused; none: write on", checkReserve},
	{"open_spaces", "512", "spaces that keep their indexes in memory", checkCount},
	{"vector_memory", "4GiB", "memory of the indexes of vectors; writes and openings beyond it are refused", checkSize},
	{"pasts", "4", "earlier states that keep indexes for questions as of then", checkCount},
	{"past_memories", "1000000", "memories of the largest earlier state that can be asked", checkCount},
	{"idle_close", "10m", "how long an unused space keeps its indexes in memory", checkDuration},
	{"max_requests", "1024", "requests worked on at the same time; more are refused as busy", checkCount},
	{"max_streams", "1000", "open streams of events; more are refused as busy", checkCount},
	{"max_body", "32MiB", "largest body of a request", checkSize},
	{"request_timeout", "30s", "time for a request that does not say", checkDuration},
	{"max_connections", "10000", "open connections, idle ones too; more are closed at once", checkCount},
	{"require_keys", "false", "want an API key of every caller, also while there is none yet", checkBool},
	{"metrics_open", "false", "give /metrics without a key, also when keys are wanted", checkBool},
	{"origins", "", "origins whose pages may use the API from a browser, with commas between; *: all", checkAny},
	{"hosts", "", "names that requests may be for beside addresses, localhost and that of listen, where there are neither keys nor TLS, with commas between; *: all", checkAny},
	{"tls_cert", "", "certificate in PEM; with it the server speaks TLS alone", checkAny},
	{"tls_key", "", "key of the certificate, in PEM", checkAny},
	{"tls_client_ca", "", "roots in PEM of the certificates that clients must have (mutual TLS)", checkAny},
	{"rate_per_key", "none", "requests a second of one API key; none: no bound", checkNumber},
	{"rate_per_space", "none", "requests a second to one space; none: no bound", checkNumber},
	{"quota_memories", "none", "memories that a space may hold; none: no bound", checkNumber},
	{"quota_bytes", "none", "bytes that a space may take on disk; none: no bound", checkReserve},
	{"slow_log", "500ms", "from when on a call is logged as slow, with the time of each of its stages", checkDuration},
	{"otlp_endpoint", "", "base URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; empty: $OTEL_EXPORTER_OTLP_ENDPOINT", checkURL},
	{"default_model", "minilm", "model of new spaces that say nothing about vectors: " + modelNames() + ", none", checkModel},
	{"thesaurus", "static", "what widens the words of cues by near ones: " + strings.Join(embed.Thesauri(), ", ") + ", none", checkWord(append(embed.Thesauri(), engram.ModelNone)...)},
	{"model_keys", "", "directory of the files that hold keys of remote models; callers over the network may name files in it alone", checkAny},
	{"links", "auto", "auto: the engine links memories by itself and recall uses the links; off: it does not", checkWord("auto", "off")},
	{"read_only", "false", "let serve open the database for reading alone; writes are refused", checkBool},
	{"stop_timeout", "25s", "how long a stop waits for running requests", checkDuration},
}

// modelNames are the models in this program.
func modelNames() string { return strings.Join(embed.Names(), ", ") }

// checkModel lets a name through that is none in the program: it may be of a model
// that was added to the database. Spaces are refused while it is not.
func checkModel(s string) error {
	if s == engram.ModelNone || slices.Contains(embed.Names(), s) || memory.CheckModelName("default_model", s) == nil {
		return nil
	}
	return fmt.Errorf("it can be %s, none, or the name of a model that was added", modelNames())
}

// serveSettings are those that a server reads.
var serveSettings = []string{"data", "listen", "insecure", "log_level", "log_format", "cache", "reserve", "open_spaces", "vector_memory", "pasts", "past_memories", "idle_close",
	"max_requests", "max_streams", "max_body", "request_timeout", "slow_log", "otlp_endpoint", "default_model", "model_keys", "thesaurus", "links", "read_only", "stop_timeout", "max_connections", "require_keys", "metrics_open", "origins", "hosts",
	"tls_cert", "tls_key", "tls_client_ca", "rate_per_key", "rate_per_space", "quota_memories", "quota_bytes"}

func settingOf(key string) *setting {
	i := slices.IndexFunc(allSettings, func(s setting) bool { return s.key == key })
	if i < 0 {
		panic("no setting " + key)
	}
	return &allSettings[i]
}

func settingKeys() []string {
	keys := make([]string, len(allSettings))
	for i := range allSettings {
		keys[i] = allSettings[i].key
	}
	return keys
}

// addSettings gives a command the flags of some settings.
func addSettings(c *cobra.Command, keys ...string) {
	for _, key := range keys {
		s := settingOf(key)
		doc := s.doc + " ($" + s.env() + ")"
		if s.isSwitch() {
			c.Flags().Bool(s.flag(), false, doc)
		} else {
			c.Flags().String(s.flag(), s.standard, doc)
		}
	}
}

// A value is what a setting says and who said it.
type value struct {
	text, origin string
}

// settings are the values of all settings by key.
type settings struct {
	values map[string]value
	file   string                    // that was read, "" when there is none
	level  slog.LevelVar             // of the log, which a reload changes
	again  func() (*settings, error) // reads all layers anew
}

// loadSettings puts the layers over each other: defaults, file, environment,
// flags. What a layer says is checked even when a later one hides it.
func loadSettings(flags *pflag.FlagSet) (*settings, error) {
	s := &settings{values: map[string]value{}, again: func() (*settings, error) { return loadSettings(flags) }}
	for i := range allSettings {
		s.values[allSettings[i].key] = value{allSettings[i].standard, "default"}
	}
	given, _ := flags.GetString("config") // missing in tests alone
	if err := s.readFile(given); err != nil {
		return nil, err
	}
	for i := range allSettings {
		d := &allSettings[i]
		if text, ok := os.LookupEnv(d.env()); ok && text != "" {
			if err := s.set(d, text, "env "+d.env()); err != nil {
				return nil, err
			}
		}
		if f := flags.Lookup(d.flag()); f != nil && f.Changed {
			if err := s.set(d, f.Value.String(), "flag --"+d.flag()); err != nil {
				return nil, err
			}
		}
	}
	s.setLevel()
	return s, nil
}

func (s *settings) set(d *setting, text, origin string) error {
	if err := d.check(text); err != nil {
		return usage("%s: %s %s", origin, d.key, err)
	}
	s.values[d.key] = value{text, origin}
	return nil
}

// readFile reads the file that is named by the flag or the environment, which
// must be there; else the first of the usual ones that is.
func (s *settings) readFile(given string) error {
	if given == "" {
		given = os.Getenv("ENGRAM_CONFIG")
	}
	if given != "" {
		body, err := os.ReadFile(given)
		if err != nil {
			return usage("settings file: %v", err)
		}
		return s.parseFile(given, body)
	}
	for _, path := range usualFiles() {
		body, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return usage("settings file: %v", err)
		}
		return s.parseFile(path, body)
	}
	return nil
}

func usualFiles() []string {
	home := os.Getenv("XDG_CONFIG_HOME")
	if home == "" {
		if dir, err := os.UserHomeDir(); err == nil {
			home = filepath.Join(dir, ".config")
		}
	}
	var paths []string
	for _, dir := range []string{home, "/etc"} {
		if dir == "" {
			continue
		}
		for _, ext := range []string{".yaml", ".yml", ".toml"} {
			paths = append(paths, filepath.Join(dir, "engram", "config"+ext))
		}
	}
	return paths
}

func (s *settings) parseFile(path string, body []byte) error {
	var parser koanf.Parser = yaml.Parser()
	if filepath.Ext(path) == ".toml" {
		parser = toml.Parser()
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(body), parser); err != nil {
		return usage("settings file %s: %v", path, err)
	}
	s.file = path
	known := settingKeys()
	for _, key := range k.Keys() { // in the order of the alphabet, so that the same mistake gives the same error
		if !slices.Contains(known, key) {
			return usage("settings file %s: unknown key %q", path, key).hinted("%s", wirejson.DidYouMean(key, known))
		}
		text, ok := scalar(k.Get(key))
		if !ok {
			return usage("settings file %s: %s is not a single value", path, key)
		}
		if err := s.set(settingOf(key), text, "file "+path); err != nil {
			return err
		}
	}
	return nil
}

func scalar(v any) (string, bool) {
	switch v.(type) {
	case string, bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// The readers below are for values that were checked when they were set.

func (s *settings) text(key string) string { return s.values[key].text }

func (s *settings) is(key string) bool {
	b, _ := strconv.ParseBool(s.text(key))
	return b
}

func (s *settings) count(key string) int {
	n, _ := strconv.Atoi(s.text(key))
	return n
}

func (s *settings) duration(key string) time.Duration {
	d, _ := time.ParseDuration(s.text(key))
	return d
}

// bytes is -1 for none.
func (s *settings) bytes(key string) int64 {
	if s.text(key) == "none" {
		return -1
	}
	n, _ := parseSize(s.text(key))
	return n
}

// number is 0 for none.
func (s *settings) number(key string) float64 {
	n, _ := strconv.ParseFloat(s.text(key), 64)
	return n
}

// list is what stands between commas.
func (s *settings) list(key string) []string {
	return strings.FieldsFunc(s.text(key), func(r rune) bool { return r == ',' || r == ' ' })
}

func checkAny(string) error { return nil }

func checkBool(s string) error {
	if _, err := strconv.ParseBool(s); err != nil {
		return fmt.Errorf("is %q; it can be true or false", s)
	}
	return nil
}

func checkWord(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("is %q; it can be %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

func checkCount(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return fmt.Errorf("is %q; it is a whole number above 0", s)
	}
	return nil
}

func checkNumber(s string) error {
	if n, err := strconv.ParseFloat(s, 64); s != "none" && (err != nil || !(n > 0 && n < 1e15)) {
		return fmt.Errorf("is %q; it is a number above 0, or none", s)
	}
	return nil
}

func checkDuration(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d <= 0 {
		return fmt.Errorf("is %q; it is a time such as 90s, 10m or 2h", s)
	}
	return nil
}

func checkURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("is not a URL such as http://127.0.0.1:4318") // which is not repeated: it may have a password
	}
	return nil
}

func checkSize(s string) error {
	_, err := parseSize(s)
	return err
}

func checkReserve(s string) error {
	if s == "none" {
		return nil
	}
	return checkSize(s)
}

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}

// parseSize reads a number of bytes such as 512MiB; above 0.
func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n*u.bytes >= 1 && n*u.bytes < math.MaxInt64) {
			break
		}
		return int64(n * u.bytes), nil
	}
	return 0, fmt.Errorf("is %q; it is a size such as 512MiB or 2GiB", s)
}
