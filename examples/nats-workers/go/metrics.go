package main

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const metricPrefix = "webhook_worker_"

// metrics is what the process counts for Prometheus. No label has a value
// from outside (a webhook, a URL, a consumer): each is of a fixed set.
type metrics struct {
	registry *prometheus.Registry

	taken     *prometheus.CounterVec // by path
	requests  *prometheus.CounterVec // by status class
	verdicts  *prometheus.CounterVec // by path and verdict
	published *prometheus.CounterVec // by result
	duration  prometheus.Histogram
	turn      prometheus.Histogram
	calls     *prometheus.HistogramVec // by call
	failures  *prometheus.CounterVec   // by call

	// When Postgres last answered and last failed to, in ns since began; 0: never.
	answered, failed atomic.Int64
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricPrefix + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: metricPrefix + name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		taken:     counter("events_taken_total", "Events taken, from the stream or the queue.", "path"),
		requests:  counter("requests_total", "Tries: by the class of the answer's status, or failed where there was none.", "outcome"),
		verdicts:  counter("verdicts_total", "What the database decided about events.", "path", "verdict"),
		published: counter("republished_total", "Events of the queue that were to go to NATS again.", "result"),
		duration: prometheus.NewHistogram(histogram("request_duration_seconds", "Length of a try, from the look-up of the name to the end of the answer.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})),
		turn: prometheus.NewHistogram(histogram("request_wait_seconds", "How long an event waited for the right to be sent: for its webhook's window, and for one of BATCH_SIZE places.",
			[]float64{.001, .01, .1, 1, 10})),
		calls: prometheus.NewHistogramVec(histogram("database_call_duration_seconds", "Calls of the worker functions in Postgres, failed ones too.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15}), []string{"call"}),
		failures: counter("database_call_failures_total", "Calls of the worker functions in Postgres that failed.", "call"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricPrefix + "build_info", Help: "1, with the worker's version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.taken, m.requests, m.verdicts, m.published, m.duration, m.turn, m.calls, m.failures, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is read when somebody asks.
func (m *metrics) watch(w *worker) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricPrefix + name, Help: help}, read))
	}
	gauge("requests_in_flight", "Requests on the wire.", func() float64 { return float64(w.sender.inFlight.Load()) })
	gauge("events_held", "Events that are taken and not settled.", func() float64 { return float64(w.held.count()) })
	gauge("payload_bytes_held", "Bytes of their payloads.", func() float64 { return float64(w.load.bytes.Load()) })
	gauge("postgres_up", "1 while the database answers.", func() float64 { return bit(m.postgresUp()) })
	if w.cfg.natsURL != "" {
		gauge("nats_up", "1 while there is a connection to NATS.", func() float64 { return bit(w.link.connected()) })
		gauge("stream_up", "1 while the stream, and for a worker of the stream its consumer, is in reach.",
			func() float64 { return bit(w.link.connected() && w.link.there.Load()) })
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// called notes one call of a worker function. Being refused is an answer, too.
func (m *metrics) called(call string, start time.Time, err error) {
	m.calls.WithLabelValues(call).Observe(time.Since(start).Seconds())
	now := int64(time.Since(began))
	if err != nil {
		m.failures.WithLabelValues(call).Inc()
		if !atFault(err) {
			m.failed.Store(now)
			return
		}
	}
	m.answered.Store(now)
}

// silence is how long Postgres may go without an answer: the endpoints are
// asked for each second.
const silence = 5 * time.Second

func (m *metrics) postgresUp() bool {
	answered := m.answered.Load()
	return answered > 0 && answered >= m.failed.Load() && time.Since(began)-time.Duration(answered) < silence
}

// tried notes what became of a request.
func (m *metrics) tried(o outcome) {
	class := "failed"
	switch {
	case o.result != "answered":
	case o.status < 200:
		class = "1xx"
	case o.status < 300:
		class = "2xx"
	case o.status < 400:
		class = "3xx"
	case o.status < 500:
		class = "4xx"
	case o.status < 600:
		class = "5xx"
	default:
		class = "other"
	}
	m.requests.WithLabelValues(class).Inc()
	m.duration.Observe(o.duration.Seconds())
}

// judged notes a verdict; one that this worker does not know is 'other'.
func (m *metrics) judged(path, verdict string) {
	switch verdict {
	case "done", "drop", "queued", "dead", "again", "wait", "lost":
	case "not ours":
		verdict = "not_ours"
	default:
		verdict = "other"
	}
	m.verdicts.WithLabelValues(path, verdict).Inc()
}
