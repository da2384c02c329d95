package publish

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func TestAPublishThatIsNotAnsweredIsUnknownAndGoesToTheQueueUnderItsID(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 4000")
	require.Equal(t, true, b.publish(t, conn, "before")["success"])
	answer := b.unanswered(t, conn, "unanswered")
	require.Equal(t, "queue", answer["fallback"])

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_webhook_queue
		WHERE message_id = 'unanswered' AND route = 'publish' AND status = 'pending'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_nats_publish_history
		WHERE message_id = 'unanswered' AND unknown AND NOT success`))
	// Waits until the thawed server has answered, as nothing is sent to it before.
	var healthy bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT (rule_nats_health_check() ->> 'connected')::boolean").Scan(&healthy))
	require.True(t, healthy)
	// On the same connection, so NATS has read by then what it was sent before.
	require.Equal(t, true, b.publish(t, conn, "after")["success"])
	require.EqualValues(t, 3, b.last(t))

	// Nor does the try out of the queue become a message of its own. The stream's copies are taken
	// only afterwards: they would tell that there is nothing left to publish.
	received := b.endpoint(t)
	b.worker(t, "WORKER_SOURCES=queue")
	b.becomes(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'unanswered' AND route = 'stream'")
	require.EqualValues(t, 3, b.last(t))
	b.worker(t, "WORKER_SOURCES=stream")
	b.becomes(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'unanswered' AND status = 'success'")
	received.Wait(t, 3, patience)
	require.Eventually(t, func() bool { return b.stored(t) == 0 }, patience, 10*time.Millisecond)
	ids := []string{}
	for _, r := range received.Requests() {
		ids = append(ids, r.ID())
	}
	require.ElementsMatch(t, []string{"before", "unanswered", "after"}, ids)
}

// unanswered publishes while NATS is frozen, until the publish gives up.
func (b *bundle) unanswered(t *testing.T, conn querier, id string) map[string]any {
	t.Helper()
	require.NoError(t, b.nats.Freeze())
	defer func() { require.NoError(t, b.nats.Thaw()) }()
	answer := b.publish(t, conn, id)
	require.Equal(t, false, answer["success"], "%v", answer)
	require.Equal(t, true, answer["unknown"], "%v", answer)
	require.Equal(t, "no_answer", answer["error_code"], "%v", answer)
	return answer
}

// What is in the stream is the rolled-back transaction's: an unknown publish is no sign that a
// message of a transaction that committed is there, too.
func TestAnUnknownPublishDoesNotExplainADuplicate(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'record'")
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 4000")
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	require.Equal(t, true, b.publish(t, tx, "X")["success"])
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, "record", b.unanswered(t, conn, "X")["fallback"])

	// Until the thawed server has answered, nothing is sent to it.
	var answer map[string]any
	require.Eventually(t, func() bool {
		answer = b.publish(t, conn, "X")
		return answer["success"] == true
	}, patience, 20*time.Millisecond)
	require.Equal(t, true, answer["republished"], "%v", answer)
	require.Equal(t, "rolled back", b.fate(t, 1))
	require.Equal(t, "committed", b.fate(t, b.last(t)))
	require.EqualValues(t, 2, b.last(t))
}

// fate is what a consumer of the stream learns about a message.
func (b *bundle) fate(t *testing.T, sequence uint64) (status string) {
	t.Helper()
	message, err := b.stream(t).GetMsg(t.Context(), sequence)
	require.NoError(t, err)
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_event_status($1, $2, $3::text::xid8)", b.webhook,
		message.Header.Get("Rule-Engine-Message-Id"), message.Header.Get("Rule-Engine-Transaction")).Scan(&status))
	return status
}

func TestAPublishWhoseAckComesLateIsOneMessageAndNoDuplicate(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 12000")
	b.publish(t, conn, nil)
	require.NoError(t, b.nats.Freeze())
	t.Cleanup(func() { _ = b.nats.Thaw() })
	answers := make(chan string, 1)
	go func() {
		var answer string
		_ = conn.QueryRow(context.Background(), `SELECT rule_webhook_publish_nats($1, '{"n": 1}', 'late')`, b.webhook).Scan(&answer)
		answers <- answer
	}()
	// After half of its time the server is asked whether it is there, which shows in what it has not read; the
	// event is sent again when it answers.
	once := 0
	require.Eventually(t, func() bool { once = unread(t, b.nats.Port); return once > 0 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return unread(t, b.nats.Port) > once }, 10*time.Second, time.Millisecond)
	require.NoError(t, b.nats.Thaw())

	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(<-answers), &answer))
	require.Equal(t, true, answer["success"], "%v", answer)
	require.Equal(t, false, answer["duplicate"], "%v", answer)
	require.NotContains(t, answer, "republished")
	require.GreaterOrEqual(t, answer["latency_ms"], 5900.0)
	require.EqualValues(t, 2, b.last(t))
	require.Equal(t, "committed", b.fate(t, 2))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rule_nats_publish_history
		WHERE message_id = 'late' AND success AND NOT duplicate AND latency_ms >= 5900`))
}

// The server counts the headers, too.
func TestAPayloadThatFitsOnlyWithoutItsHeadersIsAnErrorAndNoOutage(t *testing.T) {
	b := setup(t)
	nc, _ := natsserver.Connect(t, b.nats.URL())
	payload := `"` + strings.Repeat("x", int(nc.MaxPayload())-10) + `"`
	_, err := b.admin.Exec(t.Context(), "SELECT rule_webhook_publish_nats($1, $2::text::jsonb)", b.webhook, payload)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "54000", pg.Code, pg.Message)
	require.Regexp(t, `payload of \d+ bytes and its headers are over the server.s max_payload of \d+`, pg.Message)
	require.NotEmpty(t, pg.Hint)
	require.Zero(t, b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
}

func TestAReconnectDelayOfZeroBurnsNoCore(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET reconnect_delay_ms = 0")
	conn := b.session(t)
	require.Equal(t, true, b.publish(t, conn, nil)["success"])
	b.killed(t, conn)
	require.Equal(t, "nats_away", b.publish(t, conn, nil)["error_code"])
	before := cpu(t, conn.PgConn().PID())
	time.Sleep(2 * time.Second) // what is measured
	used := cpu(t, conn.PgConn().PID()) - before
	t.Logf("%s of CPU", used)
	require.Less(t, used, 200*time.Millisecond)
}

func TestWhatWasReportedAsFailedIsNeverSentLater(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	b.publish(t, conn, "before")
	b.killed(t, conn)
	for _, id := range []string{"ghost-1", "ghost-2", "ghost-3"} {
		answer := b.publish(t, conn, id)
		require.Equal(t, "nats_away", answer["error_code"], "%v", answer)
		require.Equal(t, false, answer["unknown"])
	}
	require.NoError(t, b.nats.StartAgain())
	require.Eventually(t, func() bool { return b.publish(t, conn, "back")["success"] == true },
		patience, 100*time.Millisecond, "the session publishes again by itself")

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
