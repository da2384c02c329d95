package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// monitored answers a worker that has not begun, and a function that asks its monitor.
func monitored(t *testing.T, ctx context.Context, pairs ...string) (*worker, func(path string) (int, string)) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	cfg, err := readConfig(environment(append(pairs, "METRICS_ADDR", addr)...))
	require.NoError(t, err)
	w := newWorker(cfg)
	m, err := startMonitor(ctx, w)
	require.NoError(t, err)
	t.Cleanup(m.close)
	return w, func(path string) (int, string) {
		t.Helper()
		res, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
}

func TestAWorkerIsReadyWhileTheDatabaseAnswersAndItIsNotTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	w, ask := monitored(t, ctx, "WORKER_SOURCES", "queue")
	status, body := ask("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "the database does not answer\n", body)

	w.metrics.called("hello", time.Now(), nil)
	status, _ = ask("/readyz")
	require.Equal(t, http.StatusOK, status)
	w.metrics.called("report", time.Now(), &pgconn.PgError{Code: "22023"})
	status, _ = ask("/readyz")
	require.Equal(t, http.StatusOK, status, "a refusal is an answer")
	w.metrics.called("claim", time.Now(), errors.New("connection refused"))
	status, _ = ask("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)

	w.metrics.called("claim", time.Now(), nil)
	stop()
	status, body = ask("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "stopping\n", body)
	status, _ = ask("/healthz")
	require.Equal(t, http.StatusOK, status)
}

func TestADatabaseThatIsSilentIsAway(t *testing.T) {
	// A process that has run for long enough to have been answered that long ago.
	began = began.Add(-2 * silence)
	defer func() { began = began.Add(2 * silence) }()
	m := newMetrics()
	m.called("hello", time.Now(), nil)
	require.True(t, m.postgresUp())
	m.answered.Add(-int64(silence))
	require.False(t, m.postgresUp())
}

func TestAWorkerOfTheStreamNeedsNATS(t *testing.T) {
	w, ask := monitored(t, t.Context())
	w.metrics.called("hello", time.Now(), nil)
	status, body := ask("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "nats is away\n", body)
}

func TestLabelsAreOfAFixedSet(t *testing.T) {
	w, ask := monitored(t, t.Context())
	for _, status := range []int{101, 200, 302, 404, 503, 799} {
		w.metrics.tried(outcome{result: "answered", status: status})
	}
	w.metrics.tried(outcome{result: "failed"})
	for _, verdict := range []string{"done", "not ours", "hunter2", "hunter3"} {
		w.metrics.judged("stream", verdict)
	}
	_, body := ask("/metrics")
	require.NotContains(t, body, "hunter2")
	for _, line := range []string{
		`webhook_worker_requests_total{outcome="1xx"} 1`,
		`webhook_worker_requests_total{outcome="2xx"} 1`,
		`webhook_worker_requests_total{outcome="3xx"} 1`,
		`webhook_worker_requests_total{outcome="4xx"} 1`,
		`webhook_worker_requests_total{outcome="5xx"} 1`,
		`webhook_worker_requests_total{outcome="other"} 1`,
		`webhook_worker_requests_total{outcome="failed"} 1`,
		`webhook_worker_request_duration_seconds_count 7`,
		`webhook_worker_verdicts_total{path="stream",verdict="done"} 1`,
		`webhook_worker_verdicts_total{path="stream",verdict="not_ours"} 1`,
		`webhook_worker_verdicts_total{path="stream",verdict="other"} 2`,
		`webhook_worker_postgres_up 0`,
		`webhook_worker_nats_up 0`,
		`webhook_worker_stream_up 0`,
		`webhook_worker_events_held 0`,
	} {
		require.Contains(t, body, line+"\n")
	}
}

func TestAnAddressWithoutAHostIsLoopback(t *testing.T) {
	c, err := readConfig(environment("METRICS_ADDR", ":9464"))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:9464", c.metricsAddr)
	c, err = readConfig(environment("METRICS_ADDR", "0.0.0.0:9464"))
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:9464", c.metricsAddr)
}

func TestAnAddressInUseEndsTheStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	env := environment("METRICS_ADDR", listener.Addr().String())
	cfg, err := readConfig(env)
	require.NoError(t, err)
	_, err = startMonitor(t.Context(), newWorker(cfg))
	require.True(t, strings.HasPrefix(err.Error(), "METRICS_ADDR: "), err)
	require.Equal(t, 2, run(env))
}
