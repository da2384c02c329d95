package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
)

// The endpoint answers so soon that none of its events makes way for others'.
func TestWhatIsPublishedBehindTheBacklogOfAQuickEndpointDoesNotWaitForIt(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			b := setup(t)
			const backlog, before = 1300, 600
			goOn := b.quickUntil(before)
			quick, well := b.webhook(t, "quick", "nats"), b.webhook(t, "well", "nats")
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000 WHERE webhook_id = $1", quick)
			b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', 'quick-' || n)) FROM generate_series(1, $2) n", quick, backlog)
			move := b.shutQueue(t)
			for n := range workers {
				b.worker(t, fmt.Sprint("BATCH_SIZE=", 4/workers), fmt.Sprint("CONSUMER_NAME=worker-", n))
			}
			require.Eventually(t, func() bool { return b.deliveredTo(t, quick) == before }, 4*patience, 10*time.Millisecond,
				"each worker has to see whose backlog it is")

			open, err := b.Postgres.Connect(t, system.Database, system.Application).Begin(t.Context())
			require.NoError(t, err)
			publish(t, open, well, "open")
			back, err := b.application.Begin(t.Context())
			require.NoError(t, err)
			publish(t, back, well, "back")
			require.NoError(t, back.Rollback(t.Context()))
			events := append(names("well", 20), "open")
			for _, event := range events[:20] {
				publish(t, b.application, well, event)
			}
			require.Eventually(t, func() bool { return b.deliveredTo(t, well) == 20 }, patience, 10*time.Millisecond)
			require.NoError(t, open.Commit(t.Context()))
			require.Eventually(t, func() bool { return b.deliveredTo(t, well) == 21 }, patience, 10*time.Millisecond)
			require.Equal(t, before, b.deliveredTo(t, quick))

			close(goOn)
			move()
			require.Eventually(t, func() bool { return b.deliveredTo(t, quick) == backlog }, 3*patience, 50*time.Millisecond)
			b.settled(t)
			var others []string
			for _, id := range idsOf(b.Endpoint.Await(backlog+len(events), patience)) {
				if !strings.HasPrefix(id, "quick") {
					others = append(others, id)
				}
			}
			require.ElementsMatch(t, events, others)
			b.count(t, backlog+len(events), "SELECT count(*) FROM rule_webhook_attempts")
			// The consumer delivers what was read ahead once more, which is no second copy.
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_drops WHERE message_id = 'back' AND reason = 'rolled back'")
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_drops WHERE message_id <> 'back'")
		})
	}
}

// Each worker reads its part of what is behind a backlog; one that is there and does not read must not keep it from others.
func TestAWorkerThatCannotReadPastABacklogLeavesItsPartToTheOthers(t *testing.T) {
	b := setup(t)
	const backlog, before = 1200, 500
	b.quickUntil(before)
	quick, well := b.webhook(t, "quick", "nats"), b.webhook(t, "well", "nats")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000 WHERE webhook_id = $1", quick)
	b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', 'quick-' || n)) FROM generate_series(1, $2) n", quick, backlog)
	line := proxy.Run(t, b.NATS.URL())
	b.shutQueue(t)
	b.worker(t, "BATCH_SIZE=1", "CONSUMER_NAME=worker-0")
	// It lives and tells Postgres so.
	b.worker(t, "BATCH_SIZE=1", "CONSUMER_NAME=worker-1", "NATS_URL="+line.URL())
	require.Eventually(t, func() bool {
		var heard int
		require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT count(*) FROM rule_nats_consumer_stats
			WHERE last_active_at > (SELECT max(created_at) FROM rule_nats_consumer_stats)`).Scan(&heard))
		return heard == 2
	}, 2*patience, 20*time.Millisecond, "both have to know of each other")
	require.Eventually(t, func() bool { return b.deliveredTo(t, quick) == before }, 4*patience, 20*time.Millisecond,
		"it has to see whose backlog it is")
	line.Refuse(true)
	line.Cut()

	events := names("well", 20)
	for _, event := range events {
		publish(t, b.application, well, event)
	}
	require.Eventually(t, func() bool { return b.deliveredTo(t, well) == len(events) }, patience, 10*time.Millisecond)
	require.Equal(t, before, b.deliveredTo(t, quick))
}

// Their events move to the queue, which takes longer than a fresh one may wait. Of a hundred each has but a small part of them.
func TestTheBacklogsOfDeadEndpointsHoldUpNobodyElse(t *testing.T) {
	for _, endpoints := range []int{24, 100} {
		t.Run(fmt.Sprintf("%d endpoints", endpoints), func(t *testing.T) {
			b := setup(t)
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				return endpoint.Answer{Hang: strings.HasPrefix(r.Path, "/dead")}
			})
			const backlog = 24_000
			well := b.webhook(t, "well", "nats")
			published(t, b.application, well, "before") // makes the stream
			var dead []int32
			for n := range endpoints {
				dead = append(dead, b.webhook(t, fmt.Sprint("dead-", n), "nats"))
			}
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000 WHERE webhook_id = ANY ($1)", dead)
			b.wait(t, "nats", dead, backlog/endpoints)
			events := names("well", 10)
			for _, event := range events[:5] {
				publish(t, b.application, well, event)
			}
			b.worker(t)
			require.Eventually(t, func() bool {
				var moved int
				require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT count(*) FROM rule_webhook_queue").Scan(&moved))
				return moved > 1100 // more than it looks at
			}, 4*patience, 10*time.Millisecond, "it has to see whose backlog it is")
			// It goes on, and takes more than a minute: a worker reads past these only while some of each are moved every 5 s.
			b.must(t, `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN new; END $$;
				CREATE TRIGGER slowly BEFORE INSERT ON rule_webhook_queue FOR EACH ROW EXECUTE FUNCTION slowly()`)
			for _, event := range events[5:] {
				publish(t, b.application, well, event)
			}
			require.Eventually(t, func() bool { return b.deliveredTo(t, well) == 11 }, 2*patience, 10*time.Millisecond)
		})
	}
}

// A stream that keeps its messages, and a database that has forgotten what became of some.
func TestWhatTheConsumerIsDoneWithIsNotReadPastABacklog(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		forget string
	}{
		{"receipts that were cleaned away", 200, "DELETE FROM rule_webhook_receipts"},
		{"dead letters that were thrown away", 400, "DELETE FROM rule_webhook_queue WHERE status = 'failed'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t)
			b.retains(t, "limits")
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Status: c.status} })
			known, other := b.webhook(t, "known", "nats"), b.webhook(t, "other", "nats")
			b.must(t, "UPDATE rule_webhooks SET max_retries = 0")
			events := names("known", 5)
			for _, event := range events {
				published(t, b.application, known, event)
			}
			first := b.worker(t)
			b.arrived(t, events...)
			require.Eventually(t, func() bool {
				_, pending := b.consumer(t, b.NATS.URL())
				return pending == 0
			}, patience, 10*time.Millisecond)
			require.NoError(t, first.Stop())
			b.must(t, c.forget)

			// So many come again that what is behind them is read.
			open, err := b.Postgres.Connect(t, system.Database, system.Application).Begin(t.Context())
			require.NoError(t, err)
			_, err = open.Exec(t.Context(), "SELECT count(rule_webhook_call_unified($1, '{}', 'other-' || n)) FROM generate_series(1, 300) n", other)
			require.NoError(t, err)
			nc, _ := natsserver.Connect(t, b.NATS.URL())
			reads, err := nc.SubscribeSync("$JS.API.STREAM.MSG.GET.>")
			require.NoError(t, err)
			require.NoError(t, nc.Flush())
			b.worker(t)
			_, err = reads.NextMsg(2 * patience)
			require.NoError(t, err, "nothing is read")
			publish(t, b.application, known, "fresh")
			b.arrived(t, append(events, "fresh")...)
			require.NoError(t, open.Rollback(t.Context()))
		})
	}
}

// quickUntil lets so many of the events for /quick be answered soon, and the others when the channel is closed.
func (b *bundle) quickUntil(events int) (goOn chan struct{}) {
	goOn = make(chan struct{})
	came := 0
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if !strings.HasPrefix(r.Path, "/quick") {
			return endpoint.Answer{}
		}
		if came++; came <= events {
			return endpoint.Answer{Delay: 5 * time.Millisecond}
		}
		return endpoint.Answer{Until: goOn}
	})
	return goOn
}

// shutQueue keeps anything from moving to the queue until open is called or the test ends.
func (b *bundle) shutQueue(t *testing.T) (open func()) {
	t.Helper()
	b.must(t, `CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN new; END $$;
		CREATE TRIGGER gate BEFORE INSERT ON rule_webhook_queue FOR EACH ROW EXECUTE FUNCTION gate()`)
	gate := b.Postgres.Connect(t, system.Database, system.Administrator)
	_, err := gate.Exec(t.Context(), "SELECT pg_advisory_lock(1)")
	require.NoError(t, err)
	return func() {
		_, err := gate.Exec(t.Context(), "SELECT pg_advisory_unlock(1)")
		require.NoError(t, err)
	}
}

// So many that their messages fill the consumer (max_ack_pending), come again before any that is new, and would keep
// it for as long as the transaction is open.
func TestALargeOpenTransactionStallsNobodyElse(t *testing.T) {
	b := setup(t)
	large, other := b.webhook(t, "large", "nats"), b.webhook(t, "other", "nats")
	published(t, b.application, other, "before") // makes the stream
	var transaction string
	source := b.sourceID(t)
	open, err := b.Postgres.Connect(t, system.Database, system.Administrator).Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, open.QueryRow(t.Context(), "SELECT pg_current_xact_id()").Scan(&transaction))
	nc, _ := natsserver.Connect(t, b.NATS.URL())
	for n := range 100_100 {
		// As publishes leave them there.
		require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "webhooks.large", Data: []byte("{}"), Header: nats.Header{
			"Rule-Engine-Source": {source}, "Rule-Engine-Webhook-Id": {fmt.Sprint(large)},
			"Rule-Engine-Message-Id": {fmt.Sprint("large-", n)}, "Rule-Engine-Transaction": {transaction}}}))
	}
	require.NoError(t, nc.Flush())
	b.worker(t)
	b.arrived(t, "before")
	time.Sleep(3 * time.Second) // until as many wait as come again before the next new ones

	events := names("other", 20)
	for _, event := range events {
		publish(t, b.application, other, event)
	}
	b.arrived(t, append(events, "before")...)
	require.NoError(t, open.Rollback(t.Context()))
}

// Nobody may ack another database's messages, and so many of them leave the consumer no place for ours.
func TestMessagesOfAnotherDatabaseThatFillTheConsumerStopNobody(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	first := b.worker(t)
	published(t, b.application, id, "before") // makes the stream
	b.arrived(t, "before")
	require.NoError(t, first.Stop())
	nc, js := natsserver.Connect(t, b.NATS.URL())
	// Behind those that fill it are more than a worker keeps in mind to read once more.
	for n := range 105_000 {
		require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "webhooks.orders", Data: []byte("{}"), Header: nats.Header{
			"Rule-Engine-Source": {"00000000-0000-0000-0000-000000000001"}, "Rule-Engine-Webhook-Id": {fmt.Sprint(id)},
			"Rule-Engine-Message-Id": {fmt.Sprint("foreign-", n)}}}))
	}
	require.NoError(t, nc.Flush())
	// As a worker does, only sooner.
	consumer, err := js.Consumer(t.Context(), "WEBHOOKS", "webhook-workers")
	require.NoError(t, err)
	for taken := 0; taken < 100_000; {
		batch, err := consumer.Fetch(5000, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		for msg := range batch.Messages() {
			taken++
			require.NoError(t, msg.NakWithDelay(time.Minute))
		}
	}

	events := names("orders", 20)
	publish(t, b.application, id, events[0])
	open, err := b.Postgres.Connect(t, system.Database, system.Application).Begin(t.Context())
	require.NoError(t, err)
	publish(t, open, id, "open")
	b.worker(t)
	for _, event := range events[1:] {
		publish(t, b.application, id, event)
	}
	b.arrived(t, append(events, "before")...)
	// It was read before them, and has to be read again.
	require.NoError(t, open.Commit(t.Context()))
	b.arrived(t, append(events, "before", "open")...)
}

func (b *bundle) sourceID(t *testing.T) (id string) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT source_id FROM rule_engine_source").Scan(&id))
	return id
}

// deliveredTo is how many events of a webhook have arrived.
func (b *bundle) deliveredTo(t *testing.T, webhook int32) (n int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT count(DISTINCT message_id) FROM rule_webhook_attempts
		WHERE outcome = 'delivered' AND webhook_id = $1`, webhook).Scan(&n))
	return n
}
