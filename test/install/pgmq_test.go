package install

import (
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/pgmq"
)

func TestADumpCarriesAQueueInPgmqOver(t *testing.T) {
	pgmq.Offer(t, cluster.Tree)
	for _, c := range []struct{ name, format string }{{"as an extension", "custom"}, {"as SQL", "plain"}} {
		t.Run(c.name, func(t *testing.T) {
			from := filled(t, "rules")
			conn := connect(t, from)
			if c.name == "as an extension" {
				run(t, conn, "CREATE EXTENSION pgmq")
			} else {
				pgmq.Load(t, conn)
			}
			run(t, conn, "UPDATE rules.rule_engine_settings SET queue_backend = 'pgmq'",
				"SELECT rules.rule_webhook_enqueue(n % 3 + 1, to_jsonb(n)) FROM generate_series(21, 30) n")
			into := restored(t, from, c.format)

			there := contents(t, into, "rules")
			for table, lines := range contents(t, from, "rules") {
				require.Equal(t, lines, there[table], table)
			}
			conn = connect(t, into)
			const messages = `SELECT count(*) FROM rules.rule_webhook_queue q JOIN (
				SELECT 1 AS webhook_id, * FROM pgmq.q_rule_webhook_1 UNION ALL SELECT 2, * FROM pgmq.q_rule_webhook_2
				UNION ALL SELECT 3, * FROM pgmq.q_rule_webhook_3) m
				ON m.webhook_id = q.webhook_id AND m.msg_id = q.pgmq_msg_id AND m.message ->> 'queue_id' = q.queue_id::text`
			require.Equal(t, []string{"10"}, rows(t, conn, messages))
			// Until maintenance has looked at it, new rows have no message; none is lost.
			run(t, conn, "SELECT rules.rule_webhook_enqueue(1, '{}')")
			require.Equal(t, []string{"10"}, rows(t, conn, messages))
			run(t, conn, "SELECT rules.rule_engine_maintain()", "SELECT rules.rule_webhook_enqueue(2, '{}')")
			require.Equal(t, []string{"32"}, rows(t, conn, messages))
			require.Equal(t, []string{"32"}, rows(t, conn, "SELECT count(*) FROM rules.rule_worker_claim('w', 100, '{}')"))
			require.Equal(t, sorted(catalog(t, connect(t, from))), sorted(catalog(t, conn)))
		})
	}
}
