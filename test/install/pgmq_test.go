package install

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/pgmq"
)

func TestADumpCarriesAQueueInPgmqOver(t *testing.T) {
	pgmq.Offer(t, cluster.Tree)
	for _, c := range []struct{ name, format string }{{"as an extension", "custom"}, {"as SQL", "plain"}} {
		t.Run(c.name, func(t *testing.T) {
			const schema = "100% rules"
			from := filled(t, schema)
			conn := connect(t, from)
			if c.name == "as an extension" {
				run(t, conn, "CREATE EXTENSION pgmq")
			} else {
				pgmq.Load(t, conn)
			}
			run(t, conn, fmt.Sprintf("SET search_path = %q", schema), "UPDATE rule_engine_settings SET queue_backend = 'pgmq'",
				"SELECT rule_webhook_enqueue(n % 3 + 1, to_jsonb(n)) FROM generate_series(21, 30) n")
			into := restored(t, from, c.format)

			there := contents(t, into, schema)
			for table, lines := range contents(t, from, schema) {
				require.Equal(t, lines, there[table], table)
			}
			conn = connect(t, into)
			run(t, conn, fmt.Sprintf("SET search_path = %q", schema))
			const messages = `SELECT count(*) FROM rule_webhook_queue q JOIN (
				SELECT 1 AS webhook_id, * FROM pgmq.q_rule_webhook_1 UNION ALL SELECT 2, * FROM pgmq.q_rule_webhook_2
				UNION ALL SELECT 3, * FROM pgmq.q_rule_webhook_3) m
				ON m.webhook_id = q.webhook_id AND m.msg_id = q.pgmq_msg_id AND m.message ->> 'queue_id' = q.queue_id::text`
			require.Equal(t, []string{"10"}, rows(t, conn, messages))
			// Until maintenance has looked at it, new rows have no message; none is lost.
			run(t, conn, "SELECT rule_webhook_enqueue(1, '{}')")
			require.Equal(t, []string{"10"}, rows(t, conn, messages))
			run(t, conn, "SELECT rule_engine_maintain()", "SELECT rule_webhook_enqueue(2, '{}')")
			require.Equal(t, []string{"32"}, rows(t, conn, messages))
			require.Equal(t, []string{"32"}, rows(t, conn, "SELECT count(*) FROM rule_worker_claim('w', 100, '{}')"))
			require.Equal(t, sorted(catalog(t, connect(t, from))), sorted(catalog(t, connect(t, into))))
		})
	}
}
