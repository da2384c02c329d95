package flow

import (
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// graceEnds makes now the moment at which the queue steps in for the stream.
func (b *bundle) graceEnds(t *testing.T) {
	t.Helper()
	b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now() WHERE status = 'pending'")
}

func TestInModeBothEitherPathMayDieAndTheOtherDelivers(t *testing.T) {
	for _, dies := range []string{"stream", "queue"} {
		t.Run(dies+" dies", func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "both")
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000 WHERE webhook_id = $1", id)
			events := names("event", 6)
			lives := map[string]string{"stream": "queue", "queue": "stream"}[dies]

			// Before it has taken anything: the other delivers, and each event once.
			for _, event := range events[:2] {
				publish(t, b.application, id, event)
			}
			if lives == "queue" {
				b.graceEnds(t)
			}
			w := b.worker(t, "CONSUMER_NAME=alone", "WORKER_SOURCES="+lives)
			b.arrived(t, events[:2]...)
			b.count(t, 2, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND path = $1", lives)
			require.NoError(t, w.Stop())

			// While it sends: the other delivers, and what was sent comes again.
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
			for _, event := range events[2:4] {
				publish(t, b.application, id, event)
			}
			if dies == "queue" {
				b.graceEnds(t)
			}
			w = b.worker(t, "CONSUMER_NAME=dies", "WORKER_SOURCES="+dies)
			b.Endpoint.Wait(t, 4, patience)
			w.Kill()
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
			b.leasesRunOut(t)
			w = b.worker(t, "CONSUMER_NAME=heir", "WORKER_SOURCES="+lives)
			if lives == "queue" {
				b.count(t, 2, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending'")
				b.graceEnds(t)
			}
			b.arrived(t, "event-1", "event-2", "event-3", "event-4", "event-3", "event-4")
			b.count(t, 2, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND path = $1 AND worker = 'heir'", lives)

			// After it has delivered: nothing comes again, also where the other path has a copy left.
			require.NoError(t, w.Stop())
			for _, event := range events[4:] {
				publish(t, b.application, id, event)
			}
			if dies == "queue" {
				b.graceEnds(t)
			}
			w = b.worker(t, "CONSUMER_NAME=dies", "WORKER_SOURCES="+dies)
			b.count(t, 2, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND worker = 'dies'")
			w.Kill()
			b.leasesRunOut(t)
			b.worker(t)
			b.settled(t)
			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
			require.Len(t, b.Endpoint.Requests(), len(events)+2)
		})
	}
}
