package examples

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFirstExampleShowsAWebhookFromItsConfigurationToItsEvents(t *testing.T) {
	const script = "01_basic_setup.sql"
	t.Run("with NATS there", func(t *testing.T) {
		t.Parallel()
		b := withNATS(t)
		said := b.twice(t, script)
		require.NotContains(t, said, outage)
		require.Equal(t, 1, strings.Count(said, "whsec_"), "a secret is made once")
		require.Equal(t, "6|0", b.rows(t, published))
		// Two runs of four events, of which one has the same id in both.
		require.Equal(t, "7", b.rows(t, inStream))
		require.Equal(t, "0", b.rows(t, waiting))
		require.Equal(t, "nats|webhooks.example.basic", b.rows(t, `SELECT publish_mode, nats_subject FROM rule_webhooks`))
	})
	t.Run("with NATS away", func(t *testing.T) {
		t.Parallel()
		b := fresh(t, refused)
		require.Contains(t, b.twice(t, script), outage)
		require.Equal(t, "0|6", b.rows(t, published))
		require.Equal(t, "5", b.rows(t, waiting))
	})
}

func TestTheSecondExampleFansOut(t *testing.T) {
	const script = "02_fanout_pattern.sql"
	t.Run("with NATS there", func(t *testing.T) {
		t.Parallel()
		b := withNATS(t)
		require.NotContains(t, b.twice(t, script), outage)
		// One call, two rows of the table and three kinds of users tell 4, 2 * 4 and 4 + 2 + 1 webhooks.
		require.Equal(t, "38|0", b.rows(t, published))
		require.Equal(t, "27", b.rows(t, inStream), "those of the call and of the kinds have the same ids in both runs")

		require.Equal(t, "p_user_id integer, p_email text, p_name text, p_signup_date timestamp with time zone DEFAULT now()"+
			" -> TABLE(webhook_name text, result jsonb)", b.signature(t, "notify_user_registered"))
		require.Equal(t, "user_id integer, email text, name text, user_type text -> TABLE(webhook_name text, result jsonb)",
			b.signature(t, "notify_user_registered_conditional"))
		require.Equal(t, " -> trigger", b.signature(t, "trigger_user_registered"))

		require.Equal(t, "4", b.rows(t, `SELECT count(*) FROM notify_user_registered(7, 'a@example.com', 'A', '2020-01-02')
			WHERE result -> 'nats' ->> 'success' = 'true'`))
		require.Equal(t, "user.registered|7|a@example.com|A|2020-01-02T00:00:00+00:00|4", b.rows(t, `
			SELECT payload ->> 'event', payload ->> 'user_id', payload ->> 'email', payload ->> 'name', payload ->> 'signup_date', count(*)
			FROM rule_nats_publish_history WHERE message_id = 'user-7-registered' GROUP BY payload`))

		require.Equal(t, "4", b.rowsAs(t, "rule_engine_publisher", "SELECT count(*) FROM notify_user_registered(9, 'c@example.com', 'C')"))
		b.must(t, "SELECT rule_webhook_update(webhook_id, p_enabled => false) FROM rule_webhooks WHERE webhook_name = 'example_user_crm'")
		require.Equal(t, "example_user_analytics\nexample_user_email\nexample_user_slack", b.rows(t,
			`SELECT webhook_name FROM notify_user_registered_conditional(8, 'b@example.com', 'B', 'enterprise')`))
		require.Equal(t, "enterprise|3", b.rows(t, `SELECT payload ->> 'user_type', count(*) FROM rule_nats_publish_history
			WHERE message_id = 'user-8-registered' GROUP BY 1`))

		// Who writes to the table needs no right to publish, and cannot put a table of their own in the place of ours.
		b.must(t, "GRANT INSERT ON example_users TO writer")
		writer := cluster.Connect(t, b.name, "writer")
		_, err := writer.Exec(t.Context(), "CREATE TEMPORARY TABLE rule_webhooks (webhook_id int, webhook_name text, nats_subject text, enabled bool)")
		require.NoError(t, err)
		_, err = writer.Exec(t.Context(), "INSERT INTO example_users (email, name) VALUES ('w@example.com', 'W')")
		require.NoError(t, err)
		require.Equal(t, "3", b.rows(t, "SELECT count(*) FROM rule_nats_publish_history WHERE success AND payload ->> 'email' = 'w@example.com'"))
	})
	t.Run("with NATS away", func(t *testing.T) {
		t.Parallel()
		b := fresh(t, refused)
		require.Contains(t, b.twice(t, script), outage)
		require.Equal(t, "0|38", b.rows(t, published))
		require.Equal(t, "27", b.rows(t, waiting))
	})
}

func TestTheThirdExampleSharesWorkAndMeasures(t *testing.T) {
	const script = "03_load_balancing.sql"
	t.Run("with NATS there", func(t *testing.T) {
		t.Parallel()
		b := withNATS(t)
		require.NotContains(t, b.twice(t, script), outage)
		// 300 orders, and 2 * 120 events of two modes, a run.
		require.Equal(t, "1080|0", b.rows(t, published))
		require.Equal(t, "1080", b.rows(t, inStream))

		require.Equal(t, "p_count integer DEFAULT 100, p_batch_size integer DEFAULT 10 -> jsonb", b.signature(t, "generate_order_events"))
		require.Equal(t, "duration_seconds,failed,messages_per_second,published|7|0|t", b.rows(t, `
			SELECT (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(e) k), e ->> 'published', e ->> 'failed',
				(e ->> 'messages_per_second')::numeric > 0 FROM generate_order_events(7, 3) AS e`))
		require.Equal(t, "3", b.rowsAs(t, "rule_engine_publisher", "SELECT count(*) FROM compare_publish_modes() WHERE messages = 100"))
		_, err := b.conn.Exec(t.Context(), "SELECT generate_order_events(10, 0)")
		require.ErrorContains(t, err, "SQLSTATE 22023")

		require.Equal(t, " -> TABLE(mode text, messages bigint, duration_seconds numeric, messages_per_second numeric)",
			b.signature(t, "compare_publish_modes"))
		require.Equal(t, "both|100|t|t\nnats|100|t|t\nqueue|100|t|t", b.rows(t,
			`SELECT mode, messages, duration_seconds > 0, messages_per_second > 0 FROM compare_publish_modes()`))
	})
	t.Run("with NATS away", func(t *testing.T) {
		t.Parallel()
		b := fresh(t, refused)
		require.Contains(t, b.twice(t, script), outage)
		require.Equal(t, "0|1080", b.rows(t, published))
		require.Equal(t, "1080", b.rows(t, waiting))
		require.Equal(t, "0|5", b.rows(t, "SELECT e ->> 'published', e ->> 'failed' FROM generate_order_events(5) AS e"))
		require.Equal(t, "both|0|0.0\nnats|0|0.0\nqueue|100|t", b.rows(t, `SELECT mode, messages,
			CASE mode WHEN 'queue' THEN (messages_per_second > 0)::text::char ELSE messages_per_second::text END FROM compare_publish_modes()`))
	})
}

func TestTheThirdExampleTellsTheTruthAboutWorkers(t *testing.T) {
	t.Parallel()
	b := fresh(t, refused)
	b.twice(t, "03_load_balancing.sql")
	require.Equal(t, " -> TABLE(consumer_name text, status text, messages_processed bigint, avg_latency_ms numeric, health_score numeric, recommendation text)",
		b.signature(t, "monitor_worker_health"))
	require.Equal(t, "consumer_name, messages_acknowledged, avg_processing_time_ms, max_msg_per_second, last_active_at, seconds_since_active",
		b.columns(t, "worker_throughput"))
	require.Empty(t, b.rows(t, "SELECT * FROM monitor_worker_health()"))

	b.must(t, `SELECT rule_nats_consumer_update_stats('WEBHOOKS', c.name, c.delivered, c.acknowledged, c.pending, c.ms,
			p_messages_redelivered => c.again, p_active => c.active)
		FROM (VALUES ('behind', 200, 190, 5000, 20.0, 10, true), ('fine', 100, 100, 0, 25.0, 5, true), ('idle', 0, 0, 0, NULL, 0, true),
			('killed', 80, 70, 0, 30.0, 0, true), ('repeating', 100, 50, 0, 30.0, 50, true), ('slow', 10, 10, 0, 4000.0, 0, true),
			('stopped', 60, 60, 0, 40.0, 0, false)) AS c (name, delivered, acknowledged, pending, ms, again, active)`)
	b.must(t, "UPDATE rule_nats_consumer_stats SET last_active_at = now() - interval '2 minutes' WHERE consumer_name = 'killed'")
	require.Equal(t, strings.Join([]string{
		"behind|active|190|20.00|95.0|5000 messages wait: start more workers of this group",
		"fine|active|100|25.00|95.0|none",
		"idle|active|0||100.0|none",
		"killed|silent|70|30.00|0|see whether the process runs and reaches the database; others take over what it had",
		"repeating|active|50|30.00|50.0|many messages come again: see webhook_recent_failures",
		"slow|active|10|4000.00|100.0|endpoints are slow: see webhook_performance_stats",
		"stopped|stopped|60|40.00|0|none: it was stopped, and gave back what it had",
	}, "\n"), b.rowsAs(t, "rule_engine_monitor", "SELECT * FROM monitor_worker_health()"))
	require.Equal(t, "behind|50.0\nfine|40.0\nidle|\nkilled|33.3\nrepeating|33.3\nslow|0.3", b.rows(t,
		"SELECT consumer_name, max_msg_per_second FROM worker_throughput ORDER BY consumer_name"))
	require.Equal(t, "killed", b.rows(t, "SELECT consumer_name FROM worker_throughput WHERE seconds_since_active >= 120"))
}

func TestTheFourthExampleUsesStreamAndQueueTogether(t *testing.T) {
	const script = "04_hybrid_mode.sql"
	signatures := func(t *testing.T, b *base) {
		require.Equal(t, "p_webhook_id integer, p_payload jsonb, p_is_critical boolean DEFAULT false -> jsonb", b.signature(t, "smart_webhook_publish"))
		require.Equal(t, "system, config_name, workers_active, health_percentage", b.columns(t, "webhook_system_health"))
		require.Equal(t, "webhook_name, nats_messages, queue_messages, nats_storage, queue_storage, nats_avg_latency, queue_avg_latency",
			b.columns(t, "hybrid_mode_costs"))
	}
	t.Run("with NATS there", func(t *testing.T) {
		t.Parallel()
		b := withNATS(t)
		require.NotContains(t, b.twice(t, script), outage)
		signatures(t, b)
		// Payments: one to both, one to NATS alone, one critical to both. The other: one in each mode.
		require.Equal(t, "10|0", b.rows(t, published))
		require.Equal(t, "10", b.rows(t, inStream))
		require.Equal(t, "example_legacy|4|4|t|t|\nexample_payments|6|4|t|t|", b.rows(t, `SELECT webhook_name, nats_messages, queue_messages,
			nats_storage > 0, nats_avg_latency > 0, queue_avg_latency FROM hybrid_mode_costs WHERE queue_storage > 0 ORDER BY webhook_name`))
		require.Equal(t, "nats|default|0|100\nqueue|native|0|100.0", b.rows(t, "SELECT * FROM webhook_system_health"))

		require.Equal(t, "t", b.rowsAs(t, "rule_engine_publisher", `SELECT smart_webhook_publish(webhook_id, '{}', true) ?& '{nats,queue}'
			FROM rule_webhooks WHERE webhook_name = 'example_payments'`))
		b.must(t, "GRANT SELECT ON webhook_system_health TO rule_engine_monitor")
		require.Equal(t, "100", b.rowsAs(t, "rule_engine_monitor", "SELECT health_percentage FROM webhook_system_health WHERE system = 'nats'"))
		_, err := b.conn.Exec(t.Context(), "SELECT smart_webhook_publish(99, '{}')")
		require.ErrorContains(t, err, "SQLSTATE 42704")
		b.must(t, "UPDATE rule_webhooks SET publish_mode = 'queue', nats_enabled = false WHERE webhook_name = 'example_legacy'")
		require.Equal(t, "queue", b.rows(t, `SELECT jsonb_object_keys(smart_webhook_publish(webhook_id, '{}'))
			FROM rule_webhooks WHERE webhook_name = 'example_legacy'`))

		// A worker that lives, one that was killed, an event that failed and one that is overdue.
		b.must(t, "SELECT rule_nats_consumer_update_stats('WEBHOOKS', name, 1, 1, 0) FROM unnest('{one,two,killed}'::text[]) AS name")
		b.must(t, "UPDATE rule_nats_consumer_stats SET last_active_at = now() - interval '2 minutes' WHERE consumer_name = 'killed'")
		b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now() - interval '2 minutes' WHERE queue_id = (SELECT min(queue_id) FROM rule_webhook_queue)")
		b.must(t, "UPDATE rule_webhook_queue SET status = 'failed' WHERE queue_id = (SELECT max(queue_id) FROM rule_webhook_queue)")
		b.must(t, "DELETE FROM rule_webhook_queue WHERE queue_id IN (SELECT queue_id FROM rule_webhook_queue ORDER BY queue_id OFFSET 1 LIMIT 6)")
		require.Equal(t, "nats|default|2|100\nqueue|native|0|50.0", b.rows(t, "SELECT * FROM webhook_system_health"))
	})
	t.Run("with NATS away", func(t *testing.T) {
		t.Parallel()
		b := fresh(t, refused)
		require.Contains(t, b.twice(t, script), outage)
		signatures(t, b)
		require.Equal(t, "0|10", b.rows(t, published))
		require.Equal(t, "10", b.rows(t, waiting))
		require.Equal(t, "nats|default|0|0\nqueue|native|0|100.0", b.rows(t, "SELECT * FROM webhook_system_health"))
	})
}
