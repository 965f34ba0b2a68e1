package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	engramclient "github.com/engramdb/engram/clients/go"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// An operator is who looks at a running server: its API, and the pages beside it.
type operator struct {
	api  engramv1connect.EngramServiceClient
	base string
	key  string
	http *http.Client
	set  *settings
}

// operate makes c a command for operators: run is called with a server's address
// and key, and nothing sent yet.
func operate(c *cobra.Command, run func(ctx context.Context, o *operator) error) *cobra.Command {
	var key string
	addServerSettings(c)
	c.Flags().StringVar(&key, "key", "", "API key that the server wants ($ENGRAM_KEY, which others on this machine do not see)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		set, err := loadSettings(c.Flags())
		if err != nil {
			return err
		}
		t, err := set.clientTLS()
		if err != nil {
			return err
		}
		o := &operator{key: cmp.Or(key, os.Getenv("ENGRAM_KEY")), http: httpClient(t), set: set}
		if o.base, err = engramclient.BaseURL(set.text("server")); err != nil {
			return err
		}
		if o.api, err = dialWith(set.text("server"), o.key, t); err != nil {
			return err
		}
		defer o.http.CloseIdleConnections()
		return run(c.Context(), o)
	}
	return c
}

// pageMax bounds what is read of a page; a heap profile has a few MiB.
const pageMax = 256 << 20

// page reads what stands at a path beside the API.
func (o *operator) page(ctx context.Context, path string) (status int, body []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if o.key != "" {
		q.Header.Set("Authorization", "Bearer "+o.key)
	}
	a, err := o.http.Do(q)
	if err != nil {
		return 0, nil, failed(exitNotNow, "no server answers at %s: %v", o.set.text("server"), unwrapped(err)).hinted("%s", unreachableHint(err))
	}
	defer func() { _ = a.Body.Close() }() // nothing is written to it
	body, err = io.ReadAll(io.LimitReader(a.Body, pageMax))
	return a.StatusCode, body, err
}

// unwrapped is the innermost of a chain of errors: the dialler's own words.
func unwrapped(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}

// refusal makes an error of a page that was not given.
func refusal(path string, status int, body []byte) error {
	var e struct {
		Error struct{ Message, Hint string } `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		return failed(exitFailed, "%s answers with status %d", path, status)
	}
	f := failed(exitFailed, "%s: %s", path, e.Error.Message)
	f.hint = e.Error.Hint
	return f
}

// spaces lists spaces by name, at most n.
func (o *operator) spaces(ctx context.Context, n int) ([]*engramv1.Space, error) {
	var all []*engramv1.Space
	for r := (&engramv1.ListSpacesRequest{}); ; {
		a, err := o.api.ListSpaces(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, a.GetSpaces()...)
		if r.PageToken = a.GetNextPageToken(); r.PageToken == "" || len(all) >= n {
			return all[:min(n, len(all))], nil
		}
	}
}

// figures are the metrics of one moment.
type figures struct {
	families map[string]*dto.MetricFamily
	at       time.Time
}

func (o *operator) figures(ctx context.Context) (*figures, error) {
	status, body, err := o.page(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal("/metrics", status, body)
	}
	return parseFigures(body, time.Now())
}

func parseFigures(body []byte, at time.Time) (*figures, error) {
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read /metrics: %w", err)
	}
	return &figures{families, at}, nil
}

// each visits the metrics of a name with their labels.
func (f *figures) each(name string, visit func(labels map[string]string, m *dto.Metric)) {
	for _, m := range f.families[name].GetMetric() {
		labels := make(map[string]string, len(m.GetLabel()))
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		visit(labels, m)
	}
}

// sum adds the values of a name over all labels; 0 when it is not there.
func (f *figures) sum(name string) (v float64) {
	f.each(name, func(_ map[string]string, m *dto.Metric) { v += valueOf(m) })
	return v
}

// by adds the values of a name for each value of a label.
func (f *figures) by(name, label string) map[string]float64 {
	out := map[string]float64{}
	f.each(name, func(labels map[string]string, m *dto.Metric) { out[labels[label]] += valueOf(m) })
	return out
}

func valueOf(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() // two are nil
}

// A spread is a histogram without its sum: how many are at most so large.
type spread map[float64]float64

// spreads adds the histograms of a name for each value of a label; "" adds all.
func (f *figures) spreads(name, label string) map[string]spread {
	out := map[string]spread{}
	f.each(name, func(labels map[string]string, m *dto.Metric) {
		s := out[labels[label]]
		if s == nil {
			s = spread{}
			out[labels[label]] = s
		}
		for _, b := range m.GetHistogram().GetBucket() {
			s[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
		s[math.Inf(1)] = max(s[math.Inf(1)], 0) + infinite(m)
	})
	return out
}

// infinite is what the last bucket lacks when the text does not have it.
func infinite(m *dto.Metric) float64 {
	bs := m.GetHistogram().GetBucket()
	if len(bs) > 0 && math.IsInf(bs[len(bs)-1].GetUpperBound(), 1) {
		return 0
	}
	return float64(m.GetHistogram().GetSampleCount())
}

// less takes away what an earlier one had.
func (s spread) less(before spread) spread {
	out := make(spread, len(s))
	for le, n := range s {
		out[le] = max(n-before[le], 0)
	}
	return out
}

func (s spread) count() float64 { return s[math.Inf(1)] }

// quantile is the time below which a part of all lie, even inside of a bucket;
// NaN for none at all.
func (s spread) quantile(part float64) float64 {
	total := s.count()
	if total == 0 {
		return math.NaN()
	}
	lower, below := 0.0, 0.0
	for _, le := range slices.Sorted(maps.Keys(s)) {
		n := s[le]
		if n < part*total {
			lower, below = le, n
			continue
		}
		if math.IsInf(le, 1) || n == below {
			return lower
		}
		return lower + (le-lower)*(part*total-below)/(n-below)
	}
	return lower
}

// timeText shows seconds in three digits.
func timeText(seconds float64) string {
	switch {
	case math.IsNaN(seconds):
		return "-"
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f us", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", seconds*1e3)
	}
	return fmt.Sprintf("%.3g s", seconds)
}

// bytesText shows a number of bytes in the largest unit that is not above it.
func bytesText(n float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", n)
}

func countText(n float64) string { return strconv.FormatFloat(n, 'f', 0, 64) }
