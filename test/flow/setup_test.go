// Package flow follows events the whole way: from a row through NATS or the queue and a worker to
// an endpoint, and back into SQL.
package flow

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/postgres"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// patience is far longer than anything takes here, and bounds a test that waits in vain. It is shorter than a lease and an
// ack wait, whose ends would bring about what a test waits for.
const patience = 40 * time.Second

// A bundle is a system of one test's own, with a connection for each who talks to the database.
type bundle struct {
	*system.System
	admin       *pgx.Conn
	application *pgx.Conn
}

func setup(t *testing.T, opts ...postgres.Option) *bundle {
	t.Helper()
	t.Parallel()
	return begun(t, system.Run(t, opts...))
}

// begun is the bundle of a system that has just begun. Its sessions wait for a NATS server that stands still for a while
// on a busy machine.
func begun(t *testing.T, s *system.System) *bundle {
	t.Helper()
	b := bundleOf(t, s)
	b.must(t, "UPDATE rule_nats_config SET connection_timeout_ms = 20000, publish_timeout_ms = 20000")
	return b
}

func bundleOf(t *testing.T, s *system.System) *bundle {
	t.Helper()
	return &bundle{
		System:      s,
		admin:       s.Postgres.Connect(t, system.Database, system.Administrator),
		application: s.Postgres.Connect(t, system.Database, system.Application),
	}
}

// webhook registers a webhook that retries quickly, and waits for an endpoint that stands still for a while.
func (b *bundle) webhook(t *testing.T, name, mode string) int32 {
	t.Helper()
	id, err := b.Register(t.Context(), b.admin, name, mode)
	require.NoError(t, err)
	b.must(t, "UPDATE rule_webhooks SET retry_delay_ms = 50, timeout_ms = 30000 WHERE webhook_id = $1", id)
	return id
}

func (b *bundle) worker(t *testing.T, env ...string) *worker.Process {
	t.Helper()
	return worker.Run(t, b.WorkerEnv(env...)...)
}

// databaseLine lets a worker reach Postgres over a line that a test can spoil.
func (b *bundle) databaseLine(t *testing.T) (line *proxy.Proxy, env string) {
	t.Helper()
	line = proxy.Run(t, fmt.Sprintf("127.0.0.1:%d", b.Postgres.Port))
	return line, "DATABASE_URL=" + b.databaseAt(line.Addr)
}

// databaseAt is the workers' URL of the database with another address in it.
func (b *bundle) databaseAt(address string) string {
	there := fmt.Sprintf("127.0.0.1:%d", b.Postgres.Port)
	return strings.Replace(b.Postgres.URL(system.Database, system.Carrier), there, address, 1)
}

// must runs a statement as the administrator.
func (b *bundle) must(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.admin.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// executor is a connection or a transaction.
type executor interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// publish calls rule_webhook_call_unified and returns its answer. The body says the id.
func publish(t *testing.T, by executor, webhook int32, messageID string) map[string]map[string]any {
	t.Helper()
	return publishBody(t, by, webhook, messageID, bodyOf(messageID))
}

func bodyOf(messageID string) string { return fmt.Sprintf(`{"id": %q}`, messageID) }

func publishBody(t *testing.T, by executor, webhook int32, messageID, body string) map[string]map[string]any {
	t.Helper()
	var answer map[string]map[string]any
	err := by.QueryRow(t.Context(), "SELECT rule_webhook_call_unified($1, $2::text::jsonb, $3)",
		webhook, body, messageID).Scan(&answer)
	require.NoError(t, err)
	return answer
}

// published is publish for an event that reached the stream.
func published(t *testing.T, by executor, webhook int32, messageID string) map[string]any {
	t.Helper()
	return publishedBody(t, by, webhook, messageID, bodyOf(messageID))
}

func publishedBody(t *testing.T, by executor, webhook int32, messageID, body string) map[string]any {
	t.Helper()
	answer := publishBody(t, by, webhook, messageID, body)["nats"]
	require.Equal(t, true, answer["success"], "%v", answer)
	return answer
}

// count waits until a query gives this number.
func (b *bundle) count(t *testing.T, want int, sql string, args ...any) {
	t.Helper()
	var got int
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		require.NoError(t, b.admin.QueryRow(t.Context(), sql, args...).Scan(&got), sql)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(t, want, got, sql)
		}
	}
}

// arrived waits until these events have arrived, in any order, and checks that nothing else has
// and that each was signed.
func (b *bundle) arrived(t *testing.T, ids ...string) {
	t.Helper()
	requests := b.Endpoint.Await(len(ids), patience)
	require.ElementsMatch(t, ids, idsOf(requests))
	for _, r := range requests {
		require.NoError(t, r.Signature, r.ID())
	}
}

// bodies are those that arrived under a message id.
func (b *bundle) bodies(id string) []string {
	all := []string{}
	for _, r := range b.Endpoint.Requests() {
		if r.ID() == id {
			all = append(all, string(r.Body))
		}
	}
	return all
}

func idsOf(requests []endpoint.Request) []string {
	ids := []string{}
	for _, r := range requests {
		ids = append(ids, r.ID())
	}
	return ids
}

// settled waits until nothing is left to deliver: no message in the stream, no row in the queue.
func (b *bundle) settled(t *testing.T) {
	t.Helper()
	b.inStream(t, 0)
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_queue WHERE status IN ('pending', 'processing')")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_receipts WHERE state <> 'done'")
}

func names(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%s-%d", prefix, i+1))
	}
	return all
}
