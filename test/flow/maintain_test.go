package flow

import (
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
)

func TestAWorkerMaintainsTheDatabase(t *testing.T) {
	b := setup(t, postgres.Conf("autovacuum = off")) // maintenance leaves a table alone that somebody has locked
	id := b.webhook(t, "orders", "nats")
	for _, days := range []int{1, 9} {
		b.must(t, `INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at, expires_at, slot)
			SELECT $1, 's', n::text, true, now() - make_interval(days => $2), now(), (extract(epoch FROM now())::bigint / 86400 - $2) % 10
			FROM generate_series(1, 100) n`, id, days)
	}
	first := b.worker(t, "CONSUMER_NAME=first")
	b.count(t, 0, "SELECT count(*) FROM rule_engine_upkeep WHERE maintained_at IS NULL")
	b.count(t, 100, "SELECT count(*) FROM rule_nats_publish_history")
	b.count(t, 100, "SELECT coalesce(sum(publishes), 0) FROM rule_nats_publish_hours")

	// It delivers beside it, ends at once, and the next one does not begin anew.
	published(t, b.application, id, "event")
	b.arrived(t, "event")
	require.NoError(t, first.Stop())
	b.must(t, "CREATE TABLE before AS SELECT * FROM rule_engine_upkeep")
	b.worker(t, "CONSUMER_NAME=second")
	published(t, b.application, id, "next")
	b.arrived(t, "event", "next")
	b.count(t, 2, "SELECT count(*) FROM rule_engine_upkeep JOIN before USING (table_name, maintained_at)")
}
