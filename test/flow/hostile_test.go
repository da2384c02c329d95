package flow

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// What others do, on purpose or not, that must not keep anybody else's events.

func TestAnEndpointThatSwitchesProtocolsHoldsUpNobody(t *testing.T) {
	b := setup(t)
	bad := b.webhook(t, "bad", "nats")
	good := b.webhook(t, "good", "nats")
	b.must(t, "UPDATE rule_webhooks SET webhook_url = $1, timeout_ms = 30000, max_retries = 1, give_up_after = '0' WHERE webhook_id = $2", switching(t), bad)
	for _, event := range names("bad", 4) {
		published(t, b.application, bad, event)
	}
	w := b.worker(t, "BATCH_SIZE=2")
	b.count(t, 4, "SELECT count(*) FROM rule_webhook_dead_letters WHERE response_status = 101")
	published(t, b.application, good, "good")

	b.arrived(t, "good")
	b.settled(t)
	require.NoError(t, w.Stop())
}

// switching is the URL of a server that answers 101 and keeps the connection open.
func switching(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
					_, _ = io.Copy(io.Discard, c)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

// A gigabyte, of which Postgres can make no text, takes a core for seconds, and a worker waits 15 s for a claim: the SQL
// tests have that.
func TestAPayloadThatIsTooLongAsTextHoldsUpNobody(t *testing.T) {
	b := setup(t)
	bad := b.webhook(t, "bad", "queue")
	good := b.webhook(t, "good", "queue")
	// Few bytes as it is stored, 79 MB as text.
	b.must(t, `INSERT INTO rule_webhook_queue (webhook_id, message_id, payload)
		VALUES ($1, 'bad', ('[' || rtrim(repeat('1e131071,', 600), ',') || ']')::jsonb)`, bad)
	publish(t, b.application, good, "good")
	b.worker(t)

	b.arrived(t, "good")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'bad' AND error_message LIKE 'the payload has more than%'")
	b.settled(t)
}

func TestARowThatNATSRefusesIsPostedAndHoldsUpNobody(t *testing.T) {
	b := setup(t)
	odd := b.webhook(t, "odd", "nats")
	good := b.webhook(t, "good", "nats")
	published(t, b.application, good, "first") // makes the stream
	b.must(t, "UPDATE rule_webhooks SET nats_subject = 'elsewhere.odd' WHERE webhook_id = $1", odd)
	b.must(t, "UPDATE rule_nats_config SET enabled = false")
	publish(t, b.application, odd, "odd")
	publish(t, b.application, good, "good")
	b.must(t, "UPDATE rule_nats_config SET enabled = true")
	b.must(t, "UPDATE rule_webhook_queue SET created_at = now() - interval '2 minutes' WHERE message_id = 'odd'")
	// The worker has reached the stream of late, so the rows are left to it.
	b.must(t, `INSERT INTO rule_nats_consumer_stats (stream_name, consumer_name, reached_at) VALUES ('WEBHOOKS', 'other', now())`)
	b.worker(t)

	b.arrived(t, "first", "odd", "good")
	b.count(t, 1, `SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'odd' AND path = 'queue' AND outcome = 'delivered'`)
	b.count(t, 1, `SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'good' AND path = 'stream' AND outcome = 'delivered'`)
}

func TestAnOpenTransactionThatDeletesAWebhookHoldsUpNoOther(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			slow := b.webhook(t, "slow", mode)
			good := b.webhook(t, "good", mode)
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000 WHERE webhook_id = $1", slow)
			answers := make(chan struct{})
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if r.Path == "/slow" {
					return endpoint.Answer{Until: answers}
				}
				return endpoint.Answer{}
			})
			b.worker(t, "BATCH_SIZE=2")
			for _, event := range names("slow", 2) {
				publish(t, b.application, slow, event)
			}
			b.Endpoint.Wait(t, 2, patience)
			// Their reports meet locked rows.
			tx, err := b.Postgres.Connect(t, system.Database, system.Administrator).Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "SELECT rule_webhook_delete($1)", slow)
			require.NoError(t, err)
			close(answers)

			events := names("good", 10)
			for _, event := range events {
				publish(t, b.application, good, event)
			}
			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1 AND outcome = 'delivered'", good)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1", slow)
			require.NoError(t, tx.Rollback(t.Context()))
			b.count(t, 2, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1 AND outcome = 'delivered'", slow)
			b.settled(t)
			b.arrived(t, append(events, "slow-1", "slow-2")...)
		})
	}
}

func TestAnEventThatIsTooLargeForNATSIsPostedAfterTheOutage(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first")
	b.worker(t)
	b.arrived(t, "first")
	b.settled(t)
	b.NATS.Stop()
	var answer map[string]map[string]any
	// A connection of its own does not know the server's max_payload.
	other := b.Postgres.Connect(t, system.Database, system.Application)
	require.NoError(t, other.QueryRow(t.Context(),
		"SELECT rule_webhook_call_unified($1, to_jsonb(repeat('x', 1500000)), 'large')", id).Scan(&answer))
	publish(t, other, id, "after")
	require.NoError(t, b.NATS.StartAgain())

	b.arrived(t, "first", "large", "after")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'large' AND try = 1 AND path = 'queue' AND outcome = 'delivered'")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'large'")
}

func TestASubjectThatTheStreamCannotHoldEndsTheWorker(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first")
	w := b.worker(t, "SUBJECT=nothere.>")
	require.ErrorContains(t, w.Wait(patience), "exit status 2")
	require.Contains(t, w.Log(), "SUBJECT: ")
}

func TestAMessageIDThatNoPublishTakesIsADeadLetterAtOnce(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first") // makes the stream
	var source string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT source_id::text FROM rule_engine_source").Scan(&source))
	nc, js := natsserver.Connect(t, b.NATS.URL())
	ids := []string{"a\u0081b", "m\xff", "\u00a0nbsp", "thin\u2009", "d\u007fel", strings.Repeat("m", 256)}
	for _, messageID := range ids {
		require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "webhooks.orders", Data: []byte("{}"), Header: nats.Header{
			"Rule-Engine-Source": {source}, "Rule-Engine-Webhook-Id": {fmt.Sprint(id)}, "Rule-Engine-Message-Id": {messageID},
		}}))
	}
	_, err := js.Stream(t.Context(), system.Stream) // answered after all of them
	require.NoError(t, err)
	b.worker(t)

	b.count(t, len(ids), "SELECT count(*) FROM rule_webhook_dead_letters WHERE error_message LIKE 'message id is malformed; message % of stream WEBHOOKS'")
	b.settled(t)
	b.arrived(t, "first")
}

func TestARolesEncodingChangesNoPayload(t *testing.T) {
	b := setup(t)
	b.must(t, "ALTER ROLE carrier SET client_encoding = 'LATIN1'")
	for _, mode := range []string{"nats", "queue"} {
		id := b.webhook(t, mode, mode)
		publish(t, b.application, id, mode+" é日")
	}
	b.worker(t)

	b.arrived(t, "b64_bmF0cyDDqeaXpQ", "b64_cXVldWUgw6nml6U")
	for _, r := range b.Endpoint.Requests() {
		require.Contains(t, string(r.Body), " é日")
	}
}

func TestALockThatAnApplicationHoldsKeepsNoEventBack(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			other := b.Postgres.Connect(t, system.Database, system.Application)
			_, err := other.Exec(t.Context(), "SELECT pg_advisory_lock(1919247717, hashtext(concat_ws(':', $1::int, 0, 'event')))", id)
			require.NoError(t, err)
			b.worker(t)
			publish(t, b.application, id, "event")

			b.arrived(t, "event")
			b.settled(t)
			b.arrived(t, "event")
		})
	}
}

// More than NATS sends to a connection at once, and than a worker should hold.
func TestManyLargeMessagesOfAStrangerAreHandledInParts(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first")
	_, js := natsserver.Connect(t, b.NATS.URL())
	for range 100 {
		// Each is stored before the next: no publish waits for all of them.
		_, err := js.Publish(t.Context(), "webhooks.stranger", bytes.Repeat([]byte("x"), 1000*1000))
		require.NoError(t, err)
	}
	published(t, b.application, id, "last")
	b.worker(t, "BATCH_SIZE=1000")

	// A busy machine takes its time over 100 MB.
	b.Endpoint.Await(2, 3*patience)
	b.arrived(t, "first", "last")
	require.Eventually(t, func() bool { return b.sum(t, "SELECT count(*) FROM rule_webhook_dead_letters") == 100 }, 3*patience, 50*time.Millisecond)
	b.settled(t)
}

func TestMessageIDsThatAnOpenTransactionUsesHoldUpNoOther(t *testing.T) {
	b := setup(t)
	held, other := b.webhook(t, "held", "nats"), b.webhook(t, "other", "nats")
	ids := names("event", 200)
	for _, id := range ids {
		published(t, b.application, held, id)
	}
	b.must(t, "SELECT rule_webhook_hold($1, 'maintenance')", held)
	// As a publish of the same events leaves them while NATS is away.
	tx, err := b.admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route)
		SELECT $1, id, '{}', 'publish' FROM unnest($2::text[]) id`, held, ids)
	require.NoError(t, err)

	b.worker(t, "BATCH_SIZE=200")
	b.count(t, 1, "SELECT (count(*) > 0)::integer FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
	published(t, b.application, other, "other")
	b.arrived(t, "other")
	require.NoError(t, tx.Rollback(t.Context()))
	b.inStream(t, 0)
	b.count(t, len(ids), "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND route = 'post'")
}
