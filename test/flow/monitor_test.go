package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/process"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// becomes waits until the worker's monitor answers so.
func becomes(t *testing.T, w *worker.Process, path string, status int, parts ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got, body := w.Ask(t, path)
		missing := ""
		for _, part := range parts {
			if !strings.Contains(body, part) {
				missing = part
			}
		}
		if got == status && missing == "" {
			return
		}
		require.False(t, time.Now().After(deadline), "%s: %d instead of %d, without %q:\n%s", path, got, status, missing, body)
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	b := setup(t)
	stream, queue := b.webhook(t, "stream", "nats"), b.webhook(t, "queue", "queue")
	b.must(t, "UPDATE rule_webhooks SET max_retries = 0, give_up_after = '0' WHERE webhook_id = $1", queue)
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.Path == "/queue" {
			return endpoint.Answer{Status: 503}
		}
		return endpoint.Answer{}
	})
	// Before the worker, which takes a message twice whose transaction has not committed when it comes.
	for _, event := range names("well", 3) {
		published(t, b.application, stream, event)
	}
	publish(t, b.application, queue, "badly")
	w := b.worker(t, "METRICS_ADDR=127.0.0.1:0")

	becomes(t, w, "/metrics", http.StatusOK,
		"webhook_worker_events_taken_total{path=\"stream\"} 3\n",
		"webhook_worker_events_taken_total{path=\"queue\"} 1\n",
		"webhook_worker_requests_total{outcome=\"2xx\"} 3\n",
		"webhook_worker_requests_total{outcome=\"5xx\"} 1\n",
		"webhook_worker_verdicts_total{path=\"stream\",verdict=\"done\"} 3\n",
		"webhook_worker_verdicts_total{path=\"queue\",verdict=\"dead\"} 1\n",
		"webhook_worker_request_duration_seconds_count 4\n",
		"webhook_worker_request_wait_seconds_count 4\n",
		"webhook_worker_database_call_duration_seconds_count{call=\"report\"}",
		"webhook_worker_requests_in_flight 0\n",
		"webhook_worker_events_held 0\n",
		"webhook_worker_payload_bytes_held 0\n",
		"webhook_worker_postgres_up 1\n",
		"webhook_worker_nats_up 1\n",
		"webhook_worker_stream_up 1\n")
	_, metrics := w.Ask(t, "/metrics")
	require.NotContains(t, metrics, b.Endpoint.Addr().String())
}

func TestReadinessFollowsPostgresAndNATS(t *testing.T) {
	b := setup(t)
	published(t, b.application, b.webhook(t, "orders", "nats"), "first") // makes the stream
	w := b.worker(t, "METRICS_ADDR=127.0.0.1:0")
	becomes(t, w, "/readyz", http.StatusOK)

	require.NoError(t, b.Postgres.Stop())
	becomes(t, w, "/readyz", http.StatusServiceUnavailable, "the database does not answer\n")
	becomes(t, w, "/metrics", http.StatusOK, "webhook_worker_postgres_up 0\n", "webhook_worker_nats_up 1\n")
	status, _ := w.Ask(t, "/healthz")
	require.Equal(t, http.StatusOK, status, "a restart would mend nothing")
	require.NoError(t, b.Postgres.StartAgain())
	becomes(t, w, "/readyz", http.StatusOK)

	b.NATS.Stop()
	becomes(t, w, "/readyz", http.StatusServiceUnavailable, "nats is away\n")
	require.NoError(t, b.NATS.StartAgain())
	becomes(t, w, "/readyz", http.StatusOK)
}

func TestAFrozenPostgresIsNoReadyOne(t *testing.T) {
	b := setup(t)
	w := b.worker(t, "METRICS_ADDR=127.0.0.1:0", "WORKER_SOURCES=queue")
	becomes(t, w, "/readyz", http.StatusOK)
	thaw := b.freeze(t)
	becomes(t, w, "/readyz", http.StatusServiceUnavailable, "the database does not answer\n")
	thaw()
	becomes(t, w, "/readyz", http.StatusOK)
}

func TestAFrozenNATSIsNoReadyOne(t *testing.T) {
	t.Parallel()
	nats := natsserver.RunProcess(t)
	b := begun(t, system.RunWith(t, nats.URL()))
	published(t, b.application, b.webhook(t, "orders", "nats"), "first") // makes the stream
	w := b.worker(t, "METRICS_ADDR=127.0.0.1:0")
	becomes(t, w, "/readyz", http.StatusOK)
	require.NoError(t, nats.Freeze())
	becomes(t, w, "/readyz", http.StatusServiceUnavailable, "the stream WEBHOOKS is out of reach\n")
	require.NoError(t, nats.Thaw())
	becomes(t, w, "/readyz", http.StatusOK)
}

func TestAMonitorListensOnlyWhereItWasAskedTo(t *testing.T) {
	b := setup(t)
	off, on := b.worker(t, "CONSUMER_NAME=off"), b.worker(t, "CONSUMER_NAME=on", "METRICS_ADDR=127.0.0.1:0")
	becomes(t, on, "/healthz", http.StatusOK)
	b.count(t, 2, "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'webhook-worker o%'")
	require.Len(t, listening(t, on.Pid()), 1)
	require.Empty(t, listening(t, off.Pid()))
}

// listening are the TCP sockets of a process that take connections.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	open := map[string]bool{}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, descriptors)
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err == nil {
			open[target] = true
		}
	}
	var all []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && open["socket:["+f[9]+"]"] {
				all = append(all, f[1])
			}
		}
	}
	return all
}

func TestAWrongConfigurationEndsTheStartInOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, c := range [][]string{
		{"METRICS_ADDR", "METRICS_ADDR=" + taken.Addr().String()},
		{"METRICS_ADDR", "METRICS_ADDR=everywhere"},
		{"LOG_FORMAT", "LOG_FORMAT=xml"},
		{"LOG_LEVEL", "LOG_LEVEL=loud"},
		{"DATABASE_URL", "DATABASE_URL=postgres://u:hunter2%zz@h/d"},
		{"NATS_URL", "NATS_URL=nats://u:hunter2@:1"},
		{"BATCH_SIZE", "BATCH_SIZE=0"},
		{"DATABASE_URL", "DATABASE_URL="},
		{"STREAM_NAME", "STREAM_NAME=web.hooks"},
		{"QUEUE_GROUP", "QUEUE_GROUP=every*one"},
		{"CONSUMER_NAME", "CONSUMER_NAME=" + strings.Repeat("x", 256)},
		{"SUBJECT", "SUBJECT=webhooks..orders"},
		{"WORKER_SOURCES", "WORKER_SOURCES=stream,cache"},
		{"WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS=10.0.0.0/8,intranet"},
		{"NATS_PASS", "NATS_USER=hunter2"},
		{"NATS_USER", "NATS_PASS=hunter2"},
		{"NATS_TOKEN", "NATS_TOKEN=hunter2", "NATS_USER=u", "NATS_PASS=hunter2"},
		{"NATS_CREDS", "NATS_CREDS=/nowhere"},
		{"NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED_FILE=/nowhere"},
		{"NATS_CA", "NATS_CA=/nowhere"},
		{"NATS_KEY", "NATS_CERT=/nowhere"},
		{"NATS_CERT", "NATS_KEY=/nowhere"},
	} {
		p := worker.Run(t, append([]string{"DATABASE_URL=postgres://worker:hunter2@127.0.0.1:1/app"}, c[1:]...)...)
		require.ErrorContains(t, p.Wait(patience), "exit status 2", c)
		log := p.Log()
		require.True(t, strings.HasPrefix(log, c[0]+": "), log)
		require.NotContains(t, log, "\n")
		require.NotContains(t, log, "hunter2")
	}
}

func TestARoleThatNoWorkerCanServeUnderEndsTheStartInOneLine(t *testing.T) {
	b := setup(t)
	for _, c := range []struct{ statement, says string }{
		{"ALTER ROLE " + system.Carrier + " SET default_transaction_isolation = 'repeatable read'", "default_transaction_isolation = 'read committed'"},
		{"REVOKE rule_engine_worker FROM " + system.Carrier, "grant it rule_engine_worker"},
	} {
		b.must(t, c.statement)
		p := b.worker(t)
		require.ErrorContains(t, p.Wait(patience), "exit status 2", c)
		log := p.Log()
		require.True(t, strings.HasPrefix(log, "DATABASE_URL: "), log)
		require.Contains(t, log, c.says)
		require.NotContains(t, log, "\n")
		b.must(t, "ALTER ROLE "+system.Carrier+" RESET ALL")
	}
}

func TestALogHasNeitherPayloadNorSecret(t *testing.T) {
	for _, level := range []string{"info", "debug"} {
		t.Run(level, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "nats")
			b.must(t, `UPDATE rule_webhooks SET webhook_url = webhook_url || '?token=hunter1',
				headers = '{"Authorization": "Bearer hunter2"}' WHERE webhook_id = $1`, id)
			b.Endpoint.Script(endpoint.Answer{Status: 503}, endpoint.Answer{})
			w := b.worker(t, "LOG_FORMAT=json", "LOG_LEVEL="+level)
			publishedBody(t, b.application, id, "first", `{"card": "hunter3"}`)
			b.arrived(t, "first", "first")
			b.settled(t)
			require.NoError(t, w.Stop())

			words := map[string]int{}
			for line := range strings.Lines(w.Log()) {
				var entry struct {
					Time       time.Time
					Level, Msg string
				}
				require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
				require.False(t, entry.Time.IsZero(), line)
				words[entry.Msg]++
			}
			require.Equal(t, 1, words["started"])
			require.Equal(t, map[string]int{"info": 0, "debug": 2}[level], words["tried"])
			require.NotContains(t, w.Log(), "hunter")
			require.NotContains(t, w.Log(), "whsec_")
		})
	}
}

func TestAWorkerOfTheQueueAloneIsSeen(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	published(t, b.application, b.webhook(t, "other", "nats"), "other") // makes the stream
	b.Endpoint.Script(endpoint.Answer{Status: 503}, endpoint.Answer{})
	w := b.worker(t, "CONSUMER_NAME=clerk", "WORKER_SOURCES=queue", "NATS_URL="+b.NATSURL())
	publish(t, b.application, id, "first")
	b.Endpoint.Wait(t, 2, patience)
	b.count(t, 1, `SELECT count(*) FROM rule_nats_consumer_stats WHERE consumer_name = 'clerk'
		AND stream_name = 'rule_webhook_queue' AND queue_group = 'webhook-workers' AND messages_delivered = 2
		AND messages_redelivered = 1 AND messages_acknowledged = 1 AND avg_processing_time_ms > 0 AND active`)
	b.count(t, 1, `SELECT count(*) FROM rule_nats_consumer_stats WHERE consumer_name = 'clerk'
		AND stream_name = 'WEBHOOKS' AND messages_delivered = 0 AND active`)
	require.NoError(t, w.Stop())
	b.count(t, 0, "SELECT count(*) FROM rule_nats_consumer_stats WHERE consumer_name = 'clerk' AND active")
}

// freeze stops Postgres as a hung disk would; what it answers sets it going again.
func (b *bundle) freeze(t *testing.T) (thaw func()) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(b.Postgres.Data, "postmaster.pid"))
	require.NoError(t, err)
	postmaster, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(file), "\n", 2)[0]))
	require.NoError(t, err)
	pids := []int{postmaster}
	thaw = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(thaw)
	// The postmaster first, so that nothing new comes, and then all that it has begun.
	require.NoError(t, process.Freeze(postmaster))
	for _, pid := range process.Below(b.Postgres.Data) {
		if pid == postmaster {
			continue
		}
		pids = append(pids, pid)
		if err := process.Freeze(pid); !errors.Is(err, syscall.ESRCH) {
			require.NoError(t, err)
		}
	}
	return thaw
}
