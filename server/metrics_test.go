package server_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/engramdb/engram/server"
)

// busy is a server that has seen each kind of thing that has a metric.
func busy(t *testing.T, change ...func(*server.Options)) *server.Server {
	t.Helper()
	s := newServer(t, change...)
	do(t, s, "POST", "/v1/models", `{"name":"far","remote":{"url":"http://127.0.0.1:1/v1","model":"m","dimension":8}}`)
	do(t, s, "PUT", "/v1/spaces/far", `{"settings":{"vector":{"model":"far"}}}`)
	remember(t, s, `{"text":"a zanzibar of words","tags":["a"]}`)
	do(t, s, "POST", "/v1/spaces/default/recall", `{"text":"zanzibar"}`)
	do(t, s, "POST", "/v1/spaces/default/recall", `{"wrong":1}`)
	return s
}

// TestMetricsPage: docs/operate/metrics.md lists what /metrics shows, and nothing
// else; the labels too.
func TestMetricsPage(t *testing.T) {
	_, tracer := collector(t)
	s := busy(t, func(o *server.Options) { o.Tracer = tracer })
	page, err := os.ReadFile("../docs/operate/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{} // kind and labels by name
	for _, row := range regexp.MustCompile("(?m)^\\| `(engram_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, `]*)\\|").FindAllStringSubmatch(string(page), -1) {
		listed[row[1]] = row[2] + " " + strings.NewReplacer("`", "", " ", "").Replace(row[3])
	}
	body := do(t, s, "GET", "/metrics", "").body
	shown := map[string]string{}
	for _, kind := range regexp.MustCompile(`(?m)^# TYPE (engram_\S+) (\S+)`).FindAllStringSubmatch(body, -1) {
		labels := []string{}
		one := regexp.MustCompile(`(?m)^` + kind[1] + `(?:_count)?\{(.*)\}`).FindStringSubmatch(body)
		if one != nil {
			for _, l := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(one[1], -1) {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		shown[kind[1]] = kind[2] + " " + strings.Join(labels, ",")
	}
	if len(shown) < 30 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
	for name, is := range shown {
		if listed[name] != is {
			t.Errorf("%s is %q; docs/operate/metrics.md has %q", name, is, listed[name])
		}
	}
	for name := range listed {
		if shown[name] == "" {
			t.Errorf("docs/operate/metrics.md lists %s, which is not shown", name)
		}
	}
}

// TestMetricsByStage: a recall has the stages of its pipeline, also in metrics.
func TestMetricsByStage(t *testing.T) {
	s := busy(t)
	if a := do(t, s, "POST", "/engram.v1.EngramService/Recall", `{"space":"default","cue":{"text":"zanzibar"}}`, "Content-Type", "application/json"); a.status != 200 {
		t.Fatalf("recall: %d %s", a.status, a.body)
	}
	body := do(t, s, "GET", "/metrics", "").body
	for _, want := range []string{`engram_stage_seconds_count{stage="text",verb="recall"} 2`, `engram_stage_seconds_count{stage="answer",verb="recall"} 2`,
		`engram_request_seconds_count{door="connect",verb="recall"} 1`, `engram_stage_seconds_count{stage="work",verb="remember"} 1`,
		`engram_requests_total{door="rest",outcome="invalid",verb="recall"} 1`, `engram_space_lsn{space="default"} `, `engram_jobs{kind="erase"} 0`,
		"engram_erasures_pending 0", "engram_ready 1"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestPromtool lets Prometheus's own tool judge the names and the format.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (the Debian package prometheus has it)")
	}
	c := exec.Command(tool, "check", "metrics")
	c.Stdin = strings.NewReader(do(t, busy(t), "GET", "/metrics", "").body)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSlowLog: a slow call is one line with its stages, request id, space and
// LSN, and none of its words.
func TestSlowLog(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(o *server.Options) { o.Logger, o.SlowRequest = slog.New(slog.NewTextHandler(&log, nil)), 1 })
	remember(t, s, `{"text":"a zanzibar of words","tags":["a"]}`)
	log.Reset()
	do(t, s, "POST", "/v1/spaces/default/recall", `{"text":"zanzibar"}`, "Request-Id", "r1")
	for _, want := range []string{"level=WARN", `msg="slow request"`, "request_id=r1", "verb=recall", "space=default", "lsn=", "took=",
		"stages.receive=", "stages.work=", "stages.filter=", "stages.text=", "stages.vector=", "stages.load=", "stages.answer="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the line lacks %s", want)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || strings.Contains(log.String(), "zanzibar") {
		t.Errorf("the log is %s", &log)
	}
	log.Reset()
	s.SetSlow(1 << 60)
	do(t, s, "POST", "/v1/spaces/default/recall", `{"text":"zanzibar"}`)
	if log.Len() != 0 {
		t.Errorf("after SetSlow the log is %s", &log)
	}
}

// TestTracerEnds: the tracer leaves no goroutine behind.
func TestTracerEnds(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	_, tracer := collector(t)
	busy(t, func(o *server.Options) { o.Tracer = tracer })
}
