package flow

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// waitHeld publishes events to a webhook that is held, and resumes it at 10 a second.
func (b *bundle) waitHeld(t *testing.T, id int32, events []string) {
	t.Helper()
	b.must(t, "SELECT rule_webhook_hold($1, 'maintenance')", id)
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	b.must(t, "SELECT rule_webhook_resume($1, 10)", id)
}

// ratedTen looks at when workers took each event for the last time.
func (b *bundle) ratedTen(t *testing.T, events int) {
	t.Helper()
	rows, err := b.admin.Query(t.Context(), `SELECT started_at FROM rule_webhook_queue WHERE status = 'success'
		UNION ALL SELECT taken_at FROM rule_webhook_receipts WHERE state = 'done' ORDER BY 1`)
	require.NoError(t, err)
	taken, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	require.NoError(t, err)
	require.Len(t, taken, events)
	// 12, and a little for a call that began before another and took its events after it.
	require.LessOrEqual(t, most(taken, time.Second), 15)
}

func TestAResumesRateHoldsAfterNoWorkerHasRun(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			events := names("e", 50)
			b.waitHeld(t, b.webhook(t, "orders", mode), events)
			// A minute passes.
			b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = next_retry_at - interval '1 minute'")
			b.worker(t, "CONSUMER_NAME=first")
			b.worker(t, "CONSUMER_NAME=second")
			b.arrived(t, events...)
			b.settled(t)
			b.ratedTen(t, len(events))
		})
	}
}

func TestAResumesRateHoldsWhenTheBreakerCloses(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			var back atomic.Bool
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
				if back.Load() {
					return endpoint.Answer{}
				}
				return endpoint.Answer{Status: 503}
			})
			events := names("e", 50)
			b.waitHeld(t, id, events)
			b.worker(t, "CONSUMER_NAME=first")
			b.worker(t, "CONSUMER_NAME=second")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state = 'open' AND open_ms >= 4000")
			back.Store(true)
			require.Eventually(t, func() bool { return b.deliveredTo(t, id) == len(events) }, 3*patience, 50*time.Millisecond)
			b.settled(t)
			b.ratedTen(t, len(events))
		})
	}
}

func TestANewEventOfTheStreamDoesNotWaitForWhatAResumeSends(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	events := names("e", 300)
	b.waitHeld(t, id, events)
	b.worker(t)
	// What is published a few seconds after the resume may be taken for what waited.
	b.count(t, 1, "SELECT count(*) FROM rule_webhooks WHERE resumed_at < now() - interval '5 seconds'")
	published(t, b.application, id, "new")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'new'")
	require.Less(t, len(b.Endpoint.Requests()), len(events)/2)
}
