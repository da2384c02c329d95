package publish

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestWhileNATSIsAwayAFullQueueTakesNothingAndTheAnswerSaysSo(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, b.admin, "UPDATE rule_webhooks SET queue_max_events = 2")
	require.Equal(t, true, b.publish(t, conn, "before")["success"])
	b.killed(t, conn)
	require.Equal(t, "queue", b.publish(t, conn, "first")["fallback"])
	require.Equal(t, "queue", b.publish(t, conn, "second")["fallback"])
	answer := b.publish(t, conn, "third")
	require.Equal(t, false, answer["success"], "%v", answer)
	require.Equal(t, "full", answer["fallback"], "%v", answer)
	require.Contains(t, answer, "queue_id")
	require.Nil(t, answer["queue_id"])
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_nats_publish_history WHERE message_id = 'third' AND NOT success`))
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
	// What is in the queue is there, also when it is full.
	require.Equal(t, "queue", b.publish(t, conn, "second")["fallback"])
	// A committed change of the limit is noticed.
	exec(t, b.admin, "UPDATE rule_webhooks SET queue_max_events = NULL")
	require.Equal(t, "queue", b.publish(t, conn, "fourth")["fallback"])
	exec(t, b.admin, "UPDATE rule_engine_settings SET queue_max_events = 3")
	require.Equal(t, "full", b.publish(t, conn, "fifth")["fallback"])
}

func TestATriggersRowsDoNotCommitWithoutTheEventsThatAFullQueueDoesNotTake(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "UPDATE rule_webhooks SET queue_max_events = 2")
	exec(t, b.admin, `CREATE TABLE made (n integer)`)
	exec(t, b.admin, `CREATE TRIGGER publish AFTER INSERT ON made REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders')`)
	require.NoError(t, b.nats.Kill())
	exec(t, b.admin, `INSERT INTO made VALUES (1)`)
	_, err := b.admin.Exec(t.Context(), `INSERT INTO made VALUES (2), (3)`)
	var full *pgconn.PgError
	require.ErrorAs(t, err, &full)
	require.Equal(t, "53400", full.Code, full.Message)
	require.NotEmpty(t, full.Hint)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM made"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
	// Whoever would rather have the rows says so.
	exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'record'")
	exec(t, b.admin, `INSERT INTO made VALUES (2), (3)`)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM rule_nats_publish_history WHERE NOT success AND message_id NOT IN
		(SELECT message_id FROM rule_webhook_queue)`))
}

func TestInModeBothTheStreamsCopyOfAnEventIsEnoughWhereTheQueueIsFull(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "UPDATE rule_webhooks SET publish_mode = 'both', queue_max_events = 1")
	exec(t, b.admin, `CREATE TABLE made (n integer)`)
	exec(t, b.admin, `CREATE TRIGGER publish AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders')`)
	exec(t, b.admin, `INSERT INTO made VALUES (1)`)
	exec(t, b.admin, `INSERT INTO made VALUES (2)`)
	var answer string
	require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT rule_webhook_call_unified($1, '{}', 'by hand')`, b.webhook).Scan(&answer))
	var both map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(answer), &both))
	require.Equal(t, "full", both["queue"]["status"], answer)
	require.Equal(t, true, both["nats"]["success"], answer)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
	require.EqualValues(t, 3, b.last(t))

	received := b.endpoint(t)
	b.worker(t)
	received.Wait(t, 3, patience)
	b.becomes(t, 2, "SELECT count(*) FROM rule_webhook_receipts WHERE state = 'done'")
	require.Len(t, received.Requests(), 3)
}

func TestWithPublishOffNothingIsSentQueuedOrRecorded(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, conn, `CREATE TABLE made (n integer)`)
	exec(t, conn, `CREATE TRIGGER publish AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders')`)
	exec(t, conn, "SET rule_engine.publish = off")
	answer := b.publish(t, conn, nil)
	require.Equal(t, map[string]any{"success": false, "skipped": true, "reason": "rule_engine.publish is off"}, answer)
	exec(t, conn, "UPDATE rule_webhooks SET publish_mode = 'both'")
	exec(t, conn, "INSERT INTO made VALUES (1)")
	exec(t, conn, "SELECT rule_webhook_enqueue($1, '{}')", b.webhook)
	require.Zero(t, b.count(t, "SELECT (SELECT count(*) FROM rule_webhook_queue) + (SELECT count(*) FROM rule_nats_publish_history)"))
	// The other session publishes, and its event is the first that the stream gets.
	require.EqualValues(t, 1, b.publish(t, b.admin, nil)["sequence"])
}
