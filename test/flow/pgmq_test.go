package flow

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/pgmq"
)

// setupPgmq is setup with pgmq as the queue's backend.
func setupPgmq(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	pgmq.Load(t, b.admin)
	b.must(t, "UPDATE rule_engine_settings SET queue_backend = 'pgmq'")
	return b
}

func TestAQueueInPgmqDeliversTriesAgainAndKeepsDeadLetters(t *testing.T) {
	for _, mode := range []string{"queue", "both"} {
		t.Run(mode, func(t *testing.T) {
			b := setupPgmq(t)
			id := b.webhook(t, "orders", mode)
			b.must(t, "UPDATE rule_webhooks SET max_retries = 2, give_up_after = '0'")
			var refused atomic.Bool
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if r.ID() == "bad" || r.ID() == "late" && !refused.Swap(true) {
					return endpoint.Answer{Status: 500}
				}
				return endpoint.Answer{}
			})
			publish(t, b.application, id, "good")
			publish(t, b.application, id, "late")
			publish(t, b.application, id, "bad")
			b.count(t, 3, "SELECT count(*) FROM rule_webhook_queue q JOIN pgmq.q_rule_webhook_1 m ON m.msg_id = q.pgmq_msg_id")

			b.worker(t)
			b.settled(t)
			b.arrived(t, "good", "late", "late", "bad", "bad", "bad")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'bad' AND retry_count = 3")
			b.noMessages(t)
		})
	}
}

func TestAKilledWorkersLeaseInPgmqEnds(t *testing.T) {
	b := setupPgmq(t)
	id := b.webhook(t, "orders", "queue")
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
	events := names("event", 12)
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	first := b.worker(t, "BATCH_SIZE=4", "CONSUMER_NAME=first")
	b.Endpoint.Wait(t, 4, patience)
	first.Kill()
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
	// pgmq hides what is leased until the lease ends.
	b.count(t, 0, `SELECT count(*) FROM rule_webhook_queue q JOIN pgmq.q_rule_webhook_1 m ON m.msg_id = q.pgmq_msg_id
		WHERE q.status = 'processing' AND m.vt <> q.lease_until`)
	b.leasesRunOut(t)

	b.worker(t, "CONSUMER_NAME=second")
	b.count(t, len(events), `SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND worker = 'second'`)
	b.settled(t)
	require.Subset(t, idsOf(b.Endpoint.Requests()), events)
	b.noMessages(t)
}

// noMessages waits until nothing is left in pgmq. A message that a worker had read in the moment of the delivery is hidden
// until its lease is over, and then maintenance deletes it.
func (b *bundle) noMessages(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.must(t, "UPDATE pgmq.q_rule_webhook_1 SET vt = clock_timestamp()")
		b.must(t, "SELECT rule_engine_maintain()")
		return b.sum(t, "SELECT count(*) FROM pgmq.q_rule_webhook_1") == 0
	}, patience, 50*time.Millisecond)
}
