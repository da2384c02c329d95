package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestAPublishThatIsNotAnsweredIsUnknownAndGoesToTheQueueUnderItsID(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 300")
	b.publish(t, conn, nil)
	require.NoError(t, b.nats.Freeze())

	answer := b.publish(t, conn, "unanswered")
	require.Equal(t, false, answer["success"])
	require.Equal(t, true, answer["unknown"])
	require.Equal(t, "no_answer", answer["error_code"])
	require.Equal(t, "queue", answer["fallback"])
	require.NoError(t, b.nats.Thaw())

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_webhook_queue
		WHERE message_id = 'unanswered' AND route = 'publish' AND status = 'pending'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_nats_publish_history
		WHERE message_id = 'unanswered' AND unknown AND NOT success`))
	// Both tries bore one id, so the stream has it once.
	require.Eventually(t, func() bool { return b.stored(t) == 2 }, 5*time.Second, 10*time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	require.EqualValues(t, 2, b.stored(t))
}

func TestWhatWasReportedAsFailedIsNeverSentLater(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	b.publish(t, conn, "before")
	require.NoError(t, b.nats.Kill())
	for _, id := range []string{"ghost-1", "ghost-2", "ghost-3"} {
		answer := b.publish(t, conn, id)
		require.Equal(t, "nats_away", answer["error_code"], "%v", answer)
		require.Equal(t, false, answer["unknown"])
	}
	require.NoError(t, b.nats.StartAgain())
	require.Eventually(t, func() bool { return b.publish(t, conn, "back")["success"] == true },
		15*time.Second, 100*time.Millisecond, "the session publishes again by itself")

	stream := b.stream(t)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	for sequence := info.State.FirstSeq; sequence <= info.State.LastSeq; sequence++ {
		message, err := stream.GetMsg(t.Context(), sequence)
		require.NoError(t, err)
		require.False(t, strings.HasPrefix(message.Header.Get("Rule-Engine-Message-Id"), "ghost"), "%v", message.Header)
	}
}

func TestTheInsertThatPublishesGoesOnWhileNATSIsAway(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, `CREATE TABLE orders (id int);
		CREATE FUNCTION publish_order() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM rule_webhook_call_unified(1, to_jsonb(NEW)); RETURN NEW; END $$;
		CREATE TRIGGER publish AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION publish_order()`)
	require.NoError(t, b.nats.Kill())
	exec(t, b.admin, "INSERT INTO orders SELECT generate_series(1, 100)")
	require.Equal(t, 100, b.count(t, "SELECT count(*) FROM orders"))
	require.Equal(t, 100, b.count(t, "SELECT count(*) FROM rule_webhook_queue WHERE route = 'publish'"))
	require.Equal(t, 100, b.count(t, `SELECT count(*) FROM rule_nats_publish_history
		WHERE NOT success AND triggered_by = 'postgres (trigger)'`))
}

func TestFallbackRecordKeepsAnEventOutOfTheQueueAndErrorRaises(t *testing.T) {
	b := setup(t)
	require.NoError(t, b.nats.Kill())

	exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'record'")
	answer := b.publish(t, b.admin, "recorded")
	require.Equal(t, "record", answer["fallback"])
	require.Zero(t, b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id = 'recorded' AND NOT success"))

	exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'error'")
	_, err := b.admin.Exec(t.Context(), `SELECT rule_webhook_publish_nats($1, '{}')`, b.webhook)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "08000", pg.Code)
	require.NotEmpty(t, pg.Hint)
}

func TestAFullStreamIsAnOutage(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "UPDATE rule_nats_streams SET max_messages = 2")
	b.publish(t, b.admin, nil)
	b.publish(t, b.admin, nil)
	answer := b.publish(t, b.admin, "over")
	require.Equal(t, "stream_full", answer["error_code"], "%v", answer)
	require.Equal(t, "queue", answer["fallback"])
	require.EqualValues(t, 2, b.stored(t))
}

func TestASubjectThatNoStreamTakesIsAnOutage(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "SELECT rule_webhook_enable_nats($1, 'elsewhere.orders', 'nats')", b.webhook)
	answer := b.publish(t, b.admin, "nowhere")
	require.Equal(t, "no_stream", answer["error_code"], "%v", answer)
	require.Equal(t, "queue", answer["fallback"])
}
