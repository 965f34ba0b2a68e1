package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/telemetry"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// names gives the spaces that have labels.
func (m *metrics) names() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := make([]string, 0, len(m.mu.spaces))
	for n := range m.mu.spaces {
		names = append(names, n)
	}
	return names
}

// A spaceCollector shows the spaces that have labels: those that were asked for
// first, so many as may be.
type spaceCollector struct {
	db *engram.DB
	m  *metrics
}

// Describe says nothing beforehand: the figures are made when they are read.
func (spaceCollector) Describe(chan<- *prometheus.Desc) {}

var (
	spaceLSN    = prometheus.NewDesc("engram_space_lsn", "The newest record of a space.", []string{"space"}, nil)
	spaceTail   = prometheus.NewDesc("engram_space_index_tail", "Changes of a space that wait for its indexes.", []string{"space"}, nil)
	spaceNodes  = prometheus.NewDesc("engram_space_nodes", "Memories and entities of a space.", []string{"space"}, nil)
	spaceBytes  = prometheus.NewDesc("engram_space_bytes", "Bytes of a space on disk, estimated from the store's tables.", []string{"space"}, nil)
	jobsRunning = prometheus.NewDesc("engram_jobs", "Jobs that run, by kind.", []string{"kind"}, nil)
	erasing     = prometheus.NewDesc("engram_erasures_pending", "Erasures that are acknowledged and whose bytes are not wiped from disk yet.", nil, nil)
	spansTotal  = prometheus.NewDesc("engram_traces_total", "Calls told to the collector of traces: sent, dropped because too many waited, failed because it did not take them.", []string{"outcome"}, nil)
	readiness   = prometheus.NewDesc("engram_ready", "1 while the server takes requests.", nil, nil)
)

// Collect reads the figures.
func (c spaceCollector) Collect(out chan<- prometheus.Metric) {
	for _, name := range c.m.names() {
		sp, err := c.db.Space(memory.SpaceName(name))
		if err != nil {
			continue // it was dropped
		}
		i, err := sp.Info(context.Background())
		if err != nil {
			continue
		}
		tail := 0
		for _, x := range i.Indexes {
			tail = max(tail, x.Tail)
		}
		gauge(out, spaceLSN, float64(i.LSN), name)
		gauge(out, spaceTail, float64(tail), name)
		gauge(out, spaceNodes, float64(i.Counts.Episodes+i.Counts.Concepts+i.Counts.Entities), name)
		gauge(out, spaceBytes, float64(i.Bytes), name)
	}
	gauge(out, readiness, truth(c.db.Ready() == nil))
	w, err := c.db.Work()
	if err != nil {
		return // the database closes
	}
	for kind, n := range w.Jobs {
		gauge(out, jobsRunning, float64(n), kind)
	}
	gauge(out, erasing, float64(w.Erasures))
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// A traceCollector shows what became of the traces.
type traceCollector struct{ t *telemetry.Tracer }

// Describe says nothing beforehand.
func (traceCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures.
func (c traceCollector) Collect(out chan<- prometheus.Metric) {
	sent, dropped, failed := c.t.Counts()
	for outcome, n := range map[string]uint64{"sent": sent, "dropped": dropped, "failed": failed} {
		out <- prometheus.MustNewConstMetric(spansTotal, prometheus.CounterValue, float64(n), outcome)
	}
}

// aboutOf shows what runs and since when.
func aboutOf(s *Service) (build, since prometheus.Collector) {
	v, _ := s.GetVersion(context.Background(), &engramv1.GetVersionRequest{}) // it has no error
	b := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "engram_build_info", Help: "1; the labels say what runs."}, []string{"version", "commit", "go"})
	b.WithLabelValues(v.GetVersion(), v.GetCommit(), v.GetGo()).Set(1)
	start := prometheus.NewGauge(prometheus.GaugeOpts{Name: "engram_start_time_seconds", Help: "When the server was made, in Unix seconds."})
	start.Set(float64(s.db.Now().UnixMilli()) / 1000)
	return b, start
}
