package flow

import (
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
	"rule_engine/test/system"
)

// After a crash Postgres gives the id of a transaction that never reached the disk to another one,
// whose commit proves nothing about the event that the first had published.
func TestAnEventWhoseTransactionsIDWasGivenAgainAfterACrashIsNotDelivered(t *testing.T) {
	b := setup(t, postgres.Conf("wal_writer_delay = 10s", "synchronous_commit = off", "autovacuum = off"))
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first") // makes the stream
	for round, phantom := range names("phantom", 10) {
		require.Less(t, round, 9, "no crash made an id come again, so this test shows nothing")
		b.must(t, "CHECKPOINT")
		var transaction, next int64
		tx := begin(t, b.application)
		published(t, tx, id, phantom)
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&transaction))
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, b.Postgres.Crash())
		require.NoError(t, b.Postgres.StartAgain())
		b.reconnect(t)
		for next < transaction {
			require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&next))
		}
		if next == transaction {
			break
		}
	}
	b.count(t, 0, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id LIKE 'phantom%' AND pg_xact_status(transaction) IS DISTINCT FROM 'committed'")
	published(t, b.application, id, "last")
	b.worker(t)
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_drops WHERE reason = 'rolled back' AND pg_xact_status(transaction) = 'committed'")
	b.settled(t)
	for _, arrived := range idsOf(b.Endpoint.Requests()) {
		b.count(t, 1, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id = $1", arrived)
	}
	require.Contains(t, idsOf(b.Endpoint.Requests()), "last")
}

// A worker's mark tells nothing of ids that are given again, also where the postmaster lived on.
func TestAnEndpointThatChangedUnderAnIDThatWasGivenAgainIsNoticed(t *testing.T) {
	b := setup(t, postgres.Conf("wal_writer_delay = 10s", "synchronous_commit = off", "autovacuum = off"))
	id := b.webhook(t, "orders", "queue")
	line, env := b.databaseLine(t)
	b.worker(t, env)
	for round := range 10 {
		require.Less(t, round, 9, "no crash made ids come again, so this test shows nothing")
		b.must(t, "CHECKPOINT")
		b.passes(t, b.next(t)+50)
		b.told(t, 1)
		known := b.next(t)
		line.Refuse(true)
		line.Cut()
		b.crashOfASession(t)
		if b.next(t) < known-10 {
			b.must(t, "SELECT rule_webhook_update($1, p_url => $2)", id, b.Endpoint.URL()+"/moved")
			require.Less(t, b.next(t), known)
			b.passes(t, known)
			break
		}
		line.Heal()
	}
	line.Heal()
	b.told(t, 1)
	publish(t, b.application, id, "event")
	require.Equal(t, "/moved", b.Endpoint.Wait(t, 1, patience)[0].Path)
}

// crashOfASession makes the server end all sessions and recover.
func (b *bundle) crashOfASession(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Kill(int(b.admin.PgConn().PID()), syscall.SIGKILL))
	require.Eventually(t, func() bool { return b.application.Ping(t.Context()) != nil }, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), b.Postgres.DSN(system.Database, system.Administrator))
		return err == nil && conn.Close(t.Context()) == nil
	}, patience, 20*time.Millisecond)
	b.reconnect(t)
}
