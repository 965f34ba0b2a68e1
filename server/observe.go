package server

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/telemetry"
	"github.com/engramdb/engram/memory"
)

// latencyBuckets go from 50 us, below which nothing is durable, to 30 s.
var latencyBuckets = []float64{.00005, .0001, .0002, .0003, .0005, .00075, .001, .0015, .002, .003, .005, .0075, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// metrics are what Prometheus reads. Labels are bounded: verbs are the schema's,
// doors and outcomes are fixed words, and only so many spaces have their own.
type metrics struct {
	http.Handler
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	stages    *prometheus.HistogramVec
	bytesIn   *prometheus.CounterVec
	bytesOut  *prometheus.CounterVec
	perSpace  *prometheus.CounterVec
	refused   prometheus.Counter
	spaceMost int

	mu struct { // guards the names of spaces that have a label
		sync.RWMutex
		spaces map[string]bool
	}
}

func newMetrics(s *Server) *metrics {
	labels := []string{"verb", "door"}
	m := &metrics{
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "engram_requests_total", Help: "Requests, by verb, door and outcome: ok or the kind of the error."}, []string{"verb", "door", "outcome"}),
		seconds:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "engram_request_seconds", Help: "How long requests took, without streams.", Buckets: latencyBuckets}, labels),
		stages:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "engram_stage_seconds", Help: "How long the stages of requests took, without streams.", Buckets: latencyBuckets}, []string{"verb", "stage"}),
		bytesIn:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "engram_request_bytes_total", Help: "Bytes of request bodies."}, labels),
		bytesOut:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "engram_response_bytes_total", Help: "Bytes of response bodies."}, labels),
		perSpace:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "engram_space_requests_total", Help: "Requests by space; the spaces over the bound are counted as other."}, []string{"space", "outcome"}),
		refused:   prometheus.NewCounter(prometheus.CounterOpts{Name: "engram_connections_refused_total", Help: "Connections that were closed at once, as there were as many as may be."}),
		spaceMost: s.o.MaxSpaceLabels,
	}
	m.mu.spaces = map[string]bool{}
	r := prometheus.NewRegistry()
	build, since := aboutOf(s.service)
	r.MustRegister(m.requests, m.seconds, m.stages, m.bytesIn, m.bytesOut, m.perSpace, m.refused, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), dbCollector{s.db}, spaceCollector{s.db, m}, build, since, limitsOf(s.o),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "engram_requests_in_flight", Help: "Requests that are being worked on."}, func() float64 { return float64(s.inFlight.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "engram_streams", Help: "Streams of events that are open."}, func() float64 { return float64(s.streams.Load()) }))
	if s.o.Tracer != nil {
		r.MustRegister(traceCollector{s.o.Tracer})
	}
	m.Handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return m
}

// spaceLabel is the space's own name, or "other" when too many have one.
func (m *metrics) spaceLabel(name string) string {
	m.mu.RLock()
	known := m.mu.spaces[name]
	m.mu.RUnlock()
	if known {
		return name
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.spaces) >= m.spaceMost && !m.mu.spaces[name] {
		return "other"
	}
	m.mu.spaces[name] = true
	return name
}

// limitsOf shows the bounds, so that an alert can compare with them.
func limitsOf(o Options) prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "engram_limit", Help: "The server's bounds, by name."}, []string{"name"})
	for name, v := range map[string]float64{
		"connections": float64(o.MaxConnections), "body_bytes": float64(o.MaxBodyBytes), "header_bytes": float64(o.MaxHeaderBytes), "in_flight": float64(o.MaxInFlight),
		"streams": float64(o.MaxStreams), "space_labels": float64(o.MaxSpaceLabels), "header_seconds": o.HeaderTimeout.Seconds(),
		"body_seconds": o.BodyTimeout.Seconds(), "request_seconds": o.RequestTimeout.Seconds(), "max_request_seconds": o.MaxRequestTimeout.Seconds(),
	} {
		g.WithLabelValues(name).Set(v)
	}
	return g
}

// observe counts and logs a request that has been answered.
func (s *Server) observe(rec *recorder) {
	c := rec.call
	if c.tools.Load() > 0 && c.err == nil {
		return // each of them has been observed
	}
	if memory.SpaceName(c.Space).Check() != nil {
		c.Space = "" // it names none, and could have anything in it
	}
	took := time.Since(c.began)
	verb, outcome := c.Verb, "ok"
	if verb == "" {
		verb = "unknown"
	}
	if c.err != nil {
		outcome = string(c.err.Kind)
	}
	m, door := s.metrics, c.seenDoor()
	m.requests.WithLabelValues(verb, door, outcome).Inc()
	if !isStream(verb) {
		m.seconds.WithLabelValues(verb, door).Observe(took.Seconds())
	}
	if c.body.read > 0 {
		m.bytesIn.WithLabelValues(verb, door).Add(float64(c.body.read))
	}
	m.bytesOut.WithLabelValues(verb, door).Add(float64(rec.bytes))
	if c.Space != "" && (c.err == nil || c.LSN != 0) { // not for names that somebody made up
		m.perSpace.WithLabelValues(m.spaceLabel(c.Space), outcome).Inc()
	}
	stages := c.stages(took)
	if !isStream(verb) {
		for _, st := range stages {
			m.stages.WithLabelValues(verb, st.name).Observe(st.took.Seconds())
		}
	}
	s.trace(rec, verb, outcome, took, stages)
	s.log(rec, verb, outcome, took, stages)
}

// log writes one line about a request. It has names and numbers, never the words
// of a memory: of an error the code and the field, and the message only when the
// fault is the server's.
func (s *Server) log(rec *recorder, verb, outcome string, took time.Duration, stages []stage) {
	c := rec.call
	level := slog.LevelDebug
	switch {
	case c.err != nil && statusOf(c.err) >= 500 && c.err.Code != "unimplemented":
		level = slog.LevelError
	case s.isSlow(verb, took):
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !s.o.Logger.Enabled(ctx, level) {
		return
	}
	message := "request"
	attrs := []slog.Attr{slog.String("request_id", c.RequestID), slog.String("verb", verb), slog.String("door", c.seenDoor()),
		slog.String("outcome", outcome), slog.Int("status", rec.status), slog.Duration("took", took), slog.Int64("bytes_out", rec.bytes)}
	if c.Space != "" {
		attrs = append(attrs, slog.String("space", c.Space))
	}
	if c.Caller != "" {
		attrs = append(attrs, slog.String("key", c.Caller))
	}
	if c.LSN != 0 {
		attrs = append(attrs, slog.Uint64("lsn", uint64(c.LSN)))
	}
	if c.trace != (telemetry.TraceID{}) {
		attrs = append(attrs, slog.String("trace_id", c.trace.String()))
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("code", c.err.Code), slog.String("field", c.err.Field))
		if level == slog.LevelError {
			attrs = append(attrs, slog.Any("error", causeOf(c)))
		}
	}
	if s.isSlow(verb, took) {
		message = "slow request"
		attrs = append(attrs, stagesAttr(stages))
	}
	s.o.Logger.LogAttrs(ctx, level, message, attrs...)
}

func causeOf(c *Call) error {
	if c.err.Cause != nil {
		return c.err.Cause
	}
	return c.err
}

// A dbCollector shows the database's own figures.
type dbCollector struct{ db *engram.DB }

// Describe says nothing beforehand: the figures are made when they are read.
func (dbCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures.
func (c dbCollector) Collect(out chan<- prometheus.Metric) {
	st := c.db.Stats()
	gauge := func(name, help string, v float64) { constant(out, prometheus.GaugeValue, name, help, v) }
	counter := func(name, help string, v float64) { constant(out, prometheus.CounterValue, name, help, v) }
	gauge("engram_spaces", "Spaces that stand.", float64(st.Spaces))
	gauge("engram_open_spaces", "Spaces whose indexes are in memory.", float64(st.OpenSpaces))
	gauge("engram_open_spaces_bound", "How many spaces may have their indexes in memory.", float64(st.OpenBound))
	gauge("engram_index_tail", "Changes that wait for an index, over the open spaces.", float64(st.Tail))
	gauge("engram_index_tail_bound", "How many changes of one space may wait before a writer indexes them itself.", float64(st.TailBound))
	gauge("engram_vector_tail", "Vectors that wait for links, over the open spaces; each search compares those of its space.", float64(st.Vectors.Tail))
	gauge("engram_vector_memory_bytes", "What the indexes of vectors take in memory.", float64(st.Vectors.Bytes))
	gauge("engram_vector_memory_bound_bytes", "How much memory the indexes of vectors may take.", float64(st.Vectors.Bound))
	counter("engram_vector_links_total", "Vectors whose links were made.", float64(st.Vectors.Linked))
	counter("engram_vector_links_seconds_total", "How long making links took.", st.Vectors.LinkSeconds)
	counter("engram_vector_writers_slowed_total", "Writes that made links first, as too many vectors waited for them.", float64(st.Vectors.Slowed))
	counter("engram_vector_refused_total", "Writes and openings of spaces for whose vectors there was no memory.", float64(st.Vectors.Refused))
	gauge("engram_vector_delayed", "Texts of open spaces that get their vectors when there is memory for them.", float64(st.Vectors.Delayed))
	gauge("engram_vector_recall", "Recall@10 of the index of vectors when it was last checked (check_recall); 0: not yet.", st.Vectors.Recall)
	gauge("engram_vector_recall_checked_seconds", "When recall was last checked, in Unix seconds; 0: not yet.", st.Vectors.RecallChecked)
	gauge("engram_pasts", "Earlier states whose indexes are in memory, for questions as of then.", float64(st.Pasts.Kept))
	gauge("engram_pasts_bound", "How many earlier states may have their indexes in memory.", float64(st.Pasts.Bound))
	counter("engram_pasts_built_total", "Earlier states that were put together.", float64(st.Pasts.Built))
	counter("engram_pasts_seconds_total", "How long putting earlier states together took.", st.Pasts.Seconds)
	gauge("engram_index_bytes", "Indexes in memory.", float64(st.IndexBytes))
	counter("engram_commits_total", "Groups of records that were synced.", float64(st.Groups))
	counter("engram_records_total", "Records that were committed.", float64(st.Records))
	gauge("engram_commit_queue", "Writes that wait for the committer.", float64(st.Waiting))
	gauge("engram_commit_queue_bound", "How many writes may wait.", float64(st.Bound))
	gauge("engram_disk_free_bytes", "Free bytes of the disk.", float64(st.DiskFree))
	gauge("engram_disk_used_bytes", "Bytes of the data directory.", float64(st.DiskUsed))
	gauge("engram_disk_reserve_bytes", "Free bytes below which writes are refused.", float64(st.ReserveBytes))
	counter("engram_cache_hits_total", "Blocks found in the cache.", float64(st.CacheHits))
	counter("engram_cache_misses_total", "Blocks read from disk.", float64(st.CacheMisses))
	counter("engram_compactions_total", "Compactions of the store.", float64(st.Compactions))
	gauge("engram_tables", "Tables of the store.", float64(st.Tables))
	gauge("engram_memtable_bytes", "Bytes that wait to be flushed to a table.", float64(st.MemTableBytes))
	gauge("engram_open_snapshots", "Views that hold old versions.", float64(st.OpenSnapshots))
	gauge("engram_write_amplification", "Bytes written by flushes and compactions for each byte given.", st.WriteAmplifyPart)
	gauge("engram_write_stalled", "1 while the store holds writes back.", truth(st.Stalled))
	out <- syncHistogram(st.SyncCounts, st.SyncSeconds)
	c.models(out)
}

// models shows what the models did.
func (c dbCollector) models(out chan<- prometheus.Metric) {
	for _, m := range c.db.ModelStats() {
		out <- prometheus.MustNewConstMetric(modelVectors, prometheus.CounterValue, float64(m.Work.Texts), m.Name, "text")
		out <- prometheus.MustNewConstMetric(modelVectors, prometheus.CounterValue, float64(m.Work.Cues), m.Name, "cue")
		out <- prometheus.MustNewConstMetric(modelFailures, prometheus.CounterValue, float64(m.Work.Failures), m.Name)
		gauge(out, modelWaiting, float64(m.Waiting), m.Name)
		gauge(out, modelResting, truth(m.Resting), m.Name)
	}
}

// Of the models that open spaces use, or that were asked: at most those in the
// program and engram.MaxModels.
var (
	modelVectors  = prometheus.NewDesc("engram_model_vectors_total", "Vectors that a model made, of texts and of cues.", []string{"model", "of"}, nil)
	modelFailures = prometheus.NewDesc("engram_model_failures_total", "Calls of a model that failed.", []string{"model"}, nil)
	modelWaiting  = prometheus.NewDesc("engram_model_waiting", "Texts of open spaces that wait for a model's vectors.", []string{"model"}, nil)
	modelResting  = prometheus.NewDesc("engram_model_resting", "1 while a remote model is not asked, as it failed several times in a row.", []string{"model"}, nil)
)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// syncHistogram shows how long the syncs of the commit took. counts has one
// number for each of the store's buckets, and one for the rest.
func syncHistogram(counts []uint64, sum float64) prometheus.Metric {
	desc := prometheus.NewDesc("engram_sync_seconds", "How long a group of records took to sync.", nil, nil)
	buckets := make(map[float64]uint64, len(engram.SyncBuckets))
	var all uint64
	for i, n := range counts {
		all += n
		if i < len(engram.SyncBuckets) {
			buckets[engram.SyncBuckets[i]] = all
		}
	}
	return prometheus.MustNewConstHistogram(desc, all, sum, buckets)
}

func constant(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64) {
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), kind, v)
}
