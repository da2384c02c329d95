package flow

import (
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
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
