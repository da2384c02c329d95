package flow

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARowBecomesASignedWebhookAndIsKnownInSQL(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, `CREATE TABLE orders (id int PRIMARY KEY, item text)`)
	b.must(t, `GRANT INSERT ON orders TO application`)
	b.must(t, `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM rule_webhook_call_unified(TG_ARGV[0]::int, to_jsonb(NEW), 'order-' || NEW.id);
			RETURN NEW;
		END $$`)
	b.must(t, `CREATE TRIGGER tell AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tell('1')`)
	require.EqualValues(t, 1, id)

	_, err := b.application.Exec(t.Context(), "INSERT INTO orders SELECT n, 'thing ' || n FROM generate_series(1, 3) n")
	require.NoError(t, err)
	b.inStream(t, 3)

	b.worker(t)
	b.arrived(t, "order-1", "order-2", "order-3")
	b.settled(t)

	first := b.Endpoint.Requests()[0]
	require.Equal(t, "POST", first.Method)
	require.Equal(t, "/orders", first.Path)
	require.Equal(t, "application/json", first.Header.Get("Content-Type"))
	var body map[string]any
	require.NoError(t, json.Unmarshal(first.Body, &body))
	require.Contains(t, body["item"], "thing")

	b.count(t, 3, `SELECT count(*) FROM rule_nats_publish_history
		WHERE success AND subject = 'webhooks.orders' AND sequence_number > 0
		AND triggered_by LIKE 'application%trigger%'`)
	b.count(t, 3, `SELECT count(*) FROM rule_webhook_attempts
		WHERE outcome = 'delivered' AND status = 200 AND path = 'stream' AND try = 1`)
	b.count(t, 3, "SELECT successful_calls::int FROM webhook_status_summary WHERE webhook_name = 'orders'")
}

func TestQueueModeDeliversWithoutNATS(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "plain", "queue")
	b.NATS.Stop()

	answer := publish(t, b.application, id, "queued")["queue"]
	require.Equal(t, true, answer["success"], "%v", answer)
	require.NotNil(t, answer["queue_id"])

	b.worker(t, "NATS_URL=", "WORKER_SOURCES=queue")
	b.arrived(t, "queued")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'success' AND response_status = 200")
}

func TestBothModeDeliversOnce(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "both", "both")
	for _, event := range names("event", 10) {
		answer := publish(t, b.application, id, event)
		require.Equal(t, true, answer["queue"]["success"], "%v", answer)
		require.Equal(t, true, answer["nats"]["success"], "%v", answer)
	}
	// The queue's copies are due now, as if the stream had been slow.
	b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now()")

	b.worker(t)
	b.worker(t)
	b.arrived(t, names("event", 10)...)
	b.settled(t)
	b.arrived(t, names("event", 10)...)
}

func TestOneMessageIDIsOneDelivery(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "once", "nats")
	// The stream itself drops doubles for only so long.
	b.must(t, "UPDATE rule_nats_streams SET duplicate_window_seconds = 1")
	// One that is not acked within half of that is sent again, and would be stored again.
	b.must(t, "UPDATE rule_nats_config SET publish_timeout_ms = 60000")
	published(t, b.application, id, "same")
	b.publishUntilStored(t, id, "same")
	published(t, b.application, id, "another")
	b.inStream(t, 3)

	b.worker(t)
	b.arrived(t, "same", "another")
	b.settled(t)
	// A copy that comes after the delivery.
	b.publishUntilStored(t, id, "same")
	b.count(t, 2, `SELECT count(*) FROM rule_webhook_drops
		WHERE message_id = 'same' AND reason = 'delivered already'`)
	b.settled(t)
	b.arrived(t, "same", "another")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'same'")
}

// publishUntilStored publishes an event that the stream has had already until it takes one more copy.
func (b *bundle) publishUntilStored(t *testing.T, webhook int32, messageID string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return published(t, b.application, webhook, messageID)["duplicate"] == false
	}, patience, 100*time.Millisecond)
}
