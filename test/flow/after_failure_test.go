package flow

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

func TestRetryAfterIsHeededInBothForms(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			var refused atomic.Bool
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if refused.Swap(true) {
					return endpoint.Answer{}
				}
				after := "2"
				if mode == "queue" {
					// A date has no fractions, so that this asks for two seconds at least.
					after = time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
				}
				return endpoint.Answer{Status: 429, Header: http.Header{"Retry-After": {after}}}
			})
			b.worker(t)
			publish(t, b.application, id, "later")

			b.arrived(t, "later", "later")
			b.settled(t)
			require.GreaterOrEqual(t, b.gaps("later")[0], 2*time.Second-50*time.Millisecond)
		})
	}
}

func TestAnEndpointThatIsGoneIsHeldAndItsEventsWaitInTheQueue(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.Endpoint.Script(endpoint.Answer{Status: 410}, endpoint.Answer{})
	b.worker(t)
	published(t, b.application, id, "first")
	b.count(t, 1, "SELECT count(*) FROM webhook_status_summary WHERE held_reason = 'endpoint answered 410 Gone'")

	published(t, b.application, id, "second")
	b.count(t, 2, "SELECT count(*) FROM rule_webhook_undelivered() WHERE reason = 'held' AND queue_id IS NOT NULL")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_receipts")
	b.arrived(t, "first")

	b.must(t, "SELECT rule_webhook_resume($1)", id)
	b.arrived(t, "first", "first", "second")
	b.settled(t)
}

func TestABreakerHoldsForAllWorkersAndUsesNoTry(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			var back atomic.Bool
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if back.Load() {
					return endpoint.Answer{}
				}
				return endpoint.Answer{Status: 503}
			})
			b.worker(t, "CONSUMER_NAME=one")
			b.worker(t, "CONSUMER_NAME=two")
			const events = 10
			for n := range events {
				publish(t, b.application, id, fmt.Sprint("e", n))
			}

			openMS, tries := b.open(t, id, 0)
			thenMS, thenTries := b.open(t, id, max(openMS, 2000))
			// Each that is let through and fails doubles the time, while ten would have been sent every 50 ms.
			require.Equal(t, thenMS, openMS<<(thenTries-tries))
			back.Store(true)
			// Where this looked late, the breaker may stay open for a minute.
			require.Eventually(t, func() bool { return b.deliveredTo(t, id) == events }, 4*patience, 50*time.Millisecond)
			b.settled(t)
			b.count(t, 1, "SELECT count(*) FROM webhook_status_summary WHERE breaker_state = 'closed'")
			// Each try was a request.
			b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
			b.count(t, 0, `SELECT count(*) FROM (SELECT max(try) - count(*) AS missing FROM rule_webhook_attempts GROUP BY message_id) a
				WHERE missing <> 0`)
		})
	}
}

func TestADeadLetterIsRedeliveredUnderItsOwnID(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_webhooks SET max_retries = 0 WHERE webhook_id = $1", id)
	b.Endpoint.Script(endpoint.Answer{Status: 400}, endpoint.Answer{})
	b.worker(t)
	published(t, b.application, id, "refused")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'refused'")

	b.must(t, "SELECT rule_webhook_redeliver(p_webhook_id => $1)", id)
	b.arrived(t, "refused", "refused")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'refused' AND redelivery = 1 AND status = 'success'")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_undelivered()")
}

func TestATimeInWhichNothingCouldBeTriedIsNotCounted(t *testing.T) {
	pauses := map[string][2]string{
		"held":     {"SELECT rule_webhook_hold($1, 'maintenance')", "SELECT rule_webhook_resume($1)"},
		"disabled": {"UPDATE rule_webhooks SET enabled = false WHERE webhook_id = $1", "UPDATE rule_webhooks SET enabled = true WHERE webhook_id = $1"},
	}
	for _, mode := range []string{"nats", "queue"} {
		for name, pause := range pauses {
			t.Run(mode+" "+name, func(t *testing.T) {
				b := setup(t)
				id := b.webhook(t, "orders", mode)
				b.must(t, "UPDATE rule_webhooks SET retry_delay_ms = 3000, give_up_after = '30 minutes' WHERE webhook_id = $1", id)
				b.Endpoint.Script(endpoint.Answer{Status: 503}, endpoint.Answer{Status: 503}, endpoint.Answer{})
				w := b.worker(t)
				publish(t, b.application, id, "one")
				b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts")
				require.NoError(t, w.Stop())

				b.must(t, pause[0], id)
				// An hour passes.
				b.must(t, "UPDATE rule_webhooks SET paused_since = paused_since - interval '1 hour'")
				b.must(t, "UPDATE rule_webhook_queue SET first_tried_at = first_tried_at - interval '1 hour'")
				b.must(t, "UPDATE rule_webhook_receipts SET first_tried_at = first_tried_at - interval '1 hour'")
				b.must(t, pause[1], id)
				// So long was time to stop the worker in.
				b.must(t, "UPDATE rule_webhooks SET retry_delay_ms = 50 WHERE webhook_id = $1", id)
				b.worker(t)
				b.arrived(t, "one", "one", "one")
				b.settled(t)
				b.count(t, 0, "SELECT count(*) FROM rule_webhook_dead_letters")
			})
		}
	}
}
