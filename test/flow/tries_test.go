package flow

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

func TestEachTryIsOneRequestAndOneRecordAcrossBreakerSIGTERMAndRestart(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			var back atomic.Bool
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
				if back.Load() {
					return endpoint.Answer{}
				}
				return endpoint.Answer{Status: 503, Delay: 300 * time.Millisecond}
			})
			events := names("event", 6)
			for _, event := range events {
				publish(t, b.application, id, event)
			}
			// It ends with one under way and others that wait for their turn.
			short := b.worker(t, "CONSUMER_NAME=short", "BATCH_SIZE=1")
			b.Endpoint.Wait(t, 1, patience)
			require.NoError(t, short.Stop())
			b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")

			first := b.worker(t, "CONSUMER_NAME=first")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state <> 'closed'")
			// One that the breaker lets through. Each of these takes twice as long as the last.
			b.Endpoint.Wait(t, len(b.Endpoint.Requests())+1, patience)
			require.NoError(t, first.Stop())
			atStop := len(b.Endpoint.Requests())
			b.count(t, atStop, "SELECT count(*) FROM rule_webhook_attempts")

			second := b.worker(t, "CONSUMER_NAME=second")
			b.Endpoint.Wait(t, atStop+1, patience)
			require.NoError(t, b.Postgres.Restart())
			b.reconnect(t)
			b.Endpoint.Wait(t, len(b.Endpoint.Requests())+1, 2*patience)
			require.NoError(t, second.Stop())
			back.Store(true)
			b.worker(t, "CONSUMER_NAME=third")

			// It may be a minute until the breaker lets the next one through.
			require.Eventually(t, func() bool { return b.deliveredTo(t, id) == len(events) }, 4*patience, 50*time.Millisecond)
			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
			b.settled(t)
			b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
			b.count(t, len(events), `SELECT count(*) FROM (
				SELECT FROM rule_webhook_attempts GROUP BY message_id
				HAVING min(try) = 1 AND max(try) = count(*) AND count(DISTINCT try) = count(*)) a`)
			requests := map[string]int{}
			for _, id := range idsOf(b.Endpoint.Requests()) {
				requests[id]++
			}
			for event, n := range requests {
				b.count(t, n, "SELECT max(try) FROM rule_webhook_attempts WHERE message_id = $1", event)
			}
		})
	}
}
