package flow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsThatNATSRefusesKeepNoOtherWebhooksWaitingForNATS(t *testing.T) {
	b, account := setupRights(t, "webhooks.taken")
	refused, taken := b.webhook(t, "refused", "nats"), b.webhook(t, "taken", "nats")
	published(t, b.application, taken, "first") // makes the stream
	b.must(t, "UPDATE rule_nats_config SET enabled = false")
	// More than a claim takes.
	b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', 'refused-' || n)) FROM generate_series(1, 300) n", refused)
	events := names("taken", 5)
	for _, event := range events {
		require.Equal(t, "queue", publish(t, b.application, taken, event)["nats"]["fallback"])
	}
	// They are tried with NATS alone for as long as this takes.
	b.must(t, "UPDATE rule_webhook_queue SET created_at = now() + interval '1 hour'")
	b.must(t, "UPDATE rule_nats_config SET enabled = true")
	b.worker(t, account)

	b.arrived(t, append(events, "first")...)
	b.count(t, len(events)+1, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'stream' AND outcome = 'delivered'")
	b.count(t, 300, "SELECT count(*) FROM rule_webhook_queue WHERE webhook_id = $1 AND route = 'publish'", refused)

	b.must(t, "UPDATE rule_webhook_queue SET created_at = now() - interval '61 s' WHERE webhook_id = $1", refused)
	b.count(t, 300, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'queue' AND outcome = 'delivered' AND webhook_id = $1", refused)
	b.settled(t)
}

func TestWhatWaitedForNATSReachesTheStreamOfItsSubject(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "cpu", "nats")
	b.must(t, "SELECT rule_webhook_enable_nats($1, 'metrics.cpu', p_publish_mode => 'nats')", id)
	b.must(t, "SELECT rule_nats_stream_create('METRICS', '{metrics.>}', p_retention_policy => 'workqueue', p_max_age_seconds => 0)")
	published(t, b.application, id, "first")
	published(t, b.application, b.webhook(t, "orders", "nats"), "other") // makes the worker's own stream
	b.must(t, "UPDATE rule_nats_config SET enabled = false")
	require.Equal(t, "queue", publish(t, b.application, id, "second")["nats"]["fallback"])
	b.must(t, "UPDATE rule_nats_config SET enabled = true")
	b.worker(t)
	b.arrived(t, "other")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'second' AND route = 'stream'")

	b.worker(t, "STREAM_NAME=METRICS", "SUBJECT=metrics.>", "QUEUE_GROUP=metrics")
	b.arrived(t, "other", "first", "second")
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'stream' AND outcome = 'delivered'")
	b.settled(t)
}
