// Package publish tests the publish functions against a real NATS server in every state that a
// server can be in, seen from SQL.
package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/worker"
)

const (
	// ample is the time-out of NATS that nothing runs into by being slow.
	ample = time.Minute
	// served is how long Postgres may take to serve an interrupt during a publish, which waits far longer: 100 ms are
	// promised, and measured by TestWhateverTheWeatherAWaitIsInterruptible.
	served = ample / 2
	// patience is for a machine on which a process may stand still for a long time.
	patience = time.Minute
)

// cluster is shared: a test has a database of its own in it.
var cluster *postgres.Cluster

func TestMain(m *testing.M) {
	// A time-out of the server's own would hide what the wait does.
	os.Exit(postgres.Main(m, &cluster, postgres.Conf("client_connection_check_interval = 0")))
}

// bundle is a database with the extension, a NATS server in a process of its own, and a webhook.
type bundle struct {
	database string
	nats     *natsserver.Process
	admin    *pgx.Conn
	webhook  int32
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupWith(t, natsserver.RunProcess(t))
}

func setupWith(t *testing.T, nats *natsserver.Process) *bundle {
	t.Helper()
	b := &bundle{nats: nats, database: fmt.Sprintf("publish_%d", time.Now().UnixNano())}
	root := cluster.Connect(t, "postgres", "postgres")
	exec(t, root, "CREATE DATABASE "+b.database)
	b.admin = cluster.Connect(t, b.database, "postgres")
	exec(t, b.admin, "CREATE EXTENSION rule_engine")
	exec(t, b.admin, "SELECT rule_nats_configure(p_nats_url => $1)", b.nats.URL())
	exec(t, b.admin, "UPDATE rule_nats_config SET connection_timeout_ms = $1, publish_timeout_ms = $1", ample.Milliseconds())
	b.webhook = b.register(t, "orders")
	return b
}

func (b *bundle) register(t *testing.T, name string) (id int32) {
	t.Helper()
	err := b.admin.QueryRow(t.Context(), "SELECT rule_webhook_register($1, 'https://example.com/')", name).Scan(&id)
	require.NoError(t, err)
	exec(t, b.admin, "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats')", id)
	return id
}

// session is a backend of its own.
func (b *bundle) session(t *testing.T) *pgx.Conn {
	t.Helper()
	return cluster.Connect(t, b.database, "postgres")
}

func (b *bundle) stream(t *testing.T) jetstream.Stream {
	t.Helper()
	_, js := natsserver.Connect(t, b.nats.URL())
	stream, err := js.Stream(t.Context(), "WEBHOOKS")
	require.NoError(t, err)
	return stream
}

func (b *bundle) stored(t *testing.T) uint64 {
	t.Helper()
	info, err := b.stream(t).Info(t.Context())
	require.NoError(t, err)
	return info.State.Msgs
}

// last counts the messages that the stream has ever taken.
func (b *bundle) last(t *testing.T) uint64 {
	t.Helper()
	info, err := b.stream(t).Info(t.Context())
	require.NoError(t, err)
	return info.State.LastSeq
}

// endpoint receives the webhook's events from now on.
func (b *bundle) endpoint(t *testing.T) *endpoint.Endpoint {
	t.Helper()
	e := endpoint.Run(t)
	exec(t, b.admin, "UPDATE rule_webhooks SET webhook_url = $1 WHERE webhook_id = $2", e.URL(), b.webhook)
	return e
}

func (b *bundle) worker(t *testing.T, env ...string) {
	t.Helper()
	worker.Run(t, append([]string{"DATABASE_URL=" + cluster.URL(b.database, "postgres"), "NATS_URL=" + b.nats.URL(),
		"WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8"}, env...)...)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// publish publishes one event and answers the function's result.
func (b *bundle) publish(t *testing.T, in querier, id any) map[string]any {
	t.Helper()
	var answer string
	err := in.QueryRow(t.Context(), `SELECT rule_webhook_publish_nats($1, '{"n": 1}', $2)`, b.webhook, id).Scan(&answer)
	require.NoError(t, err)
	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(answer), &result))
	return result
}

func (b *bundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// becomes waits until a query gives this number.
func (b *bundle) becomes(t *testing.T, want int, sql string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return b.count(t, sql, args...) == want }, patience, 20*time.Millisecond, sql)
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// publishing starts a publish that NATS, frozen, will not answer, and returns once its backend waits.
func (b *bundle) publishing(t *testing.T, conn *pgx.Conn) <-chan error {
	t.Helper()
	b.frozen(t, conn)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `SELECT rule_webhook_publish_nats($1, '{"n": 2}', 'unanswered')`, b.webhook)
		done <- err
	}()
	b.waiting(t, conn.PgConn().PID())
	return done
}

// frozen freezes NATS under the connection of a session, whose next publish waits for minutes.
func (b *bundle) frozen(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 600000")
	require.Equal(t, true, b.publish(t, conn, nil)["success"])
	require.NoError(t, b.nats.Freeze())
	t.Cleanup(func() { _ = b.nats.Thaw() })
}

// killed kills NATS, and returns once a session has noticed that its connection is gone.
func (b *bundle) killed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	require.NoError(t, b.nats.Kill())
	require.Eventually(t, func() bool { return held(t, conn.PgConn().PID(), b.nats.Port) == 0 }, patience, time.Millisecond)
}

// waiting returns once a backend waits for NATS.
func (b *bundle) waiting(t *testing.T, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'
			AND wait_event_type = 'Extension'`, pid) == 1
	}, patience, 5*time.Millisecond, "the wait shows in pg_stat_activity")
}
