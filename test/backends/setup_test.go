// Package backends tests what many backends at once do to NATS and to the machine, and NATS behind a
// pooler that hands backends around.
package backends

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/system"
)

// patience is for a machine on which a process may stand still for a long time.
const patience = time.Minute

// ample is a time-out that nothing runs into by being slow.
const ample = "connection_timeout_ms = 60000, publish_timeout_ms = 60000"

// bundle is a system whose NATS is a process of its own.
type bundle struct {
	*system.System
	nats    *natsserver.Process
	admin   *pgx.Conn
	webhook int32
}

func setup(t *testing.T, opts ...postgres.Option) *bundle {
	t.Helper()
	b := &bundle{nats: natsserver.RunProcess(t)}
	b.System = system.RunWith(t, b.nats.URL(), append(opts, postgres.Conf("max_connections = 250"))...)
	b.admin = b.Postgres.Connect(t, system.Database, system.Administrator)
	var err error
	b.webhook, err = b.Register(t.Context(), b.admin, "orders", "nats")
	require.NoError(t, err)
	return b
}

func (b *bundle) must(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.admin.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func (b *bundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), sql, args...).Scan(&n), sql)
	return n
}

// becomes waits until a query gives this number.
func (b *bundle) becomes(t *testing.T, want int, sql string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return b.count(t, sql, args...) == want }, patience, 20*time.Millisecond, sql)
}

// stored counts the messages in the stream.
func (b *bundle) stored(t *testing.T) int {
	t.Helper()
	_, js := natsserver.Connect(t, b.nats.URL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	return int(stream.CachedInfo().State.Msgs)
}

// sessions are n backends of the application's, which end with the test.
func (b *bundle) sessions(t *testing.T, n int) []*pgx.Conn {
	t.Helper()
	all := make([]*pgx.Conn, n)
	for i := range all {
		all[i] = b.Postgres.Connect(t, system.Database, system.Application)
	}
	return all
}

// each calls f for every session at once, and fails the test with the first error.
func each(t *testing.T, sessions []*pgx.Conn, f func(i int, conn *pgx.Conn) error) {
	t.Helper()
	failed := make([]error, len(sessions))
	var all sync.WaitGroup
	for i, conn := range sessions {
		all.Go(func() { failed[i] = f(i, conn) })
	}
	all.Wait()
	for _, err := range failed {
		require.NoError(t, err)
	}
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// publish publishes one event and answers what NATS' part of the answer says.
func (b *bundle) publish(ctx context.Context, by querier, id string) (map[string]any, error) {
	var answer map[string]map[string]any
	err := by.QueryRow(ctx, `SELECT rule_webhook_call_unified($1, '{"n": 1}', $2)`, b.webhook, id).Scan(&answer)
	return answer["nats"], err
}
