package flow

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// againAtTen has events delivered and redelivers them at 10 a second. No worker runs then.
func (b *bundle) againAtTen(t *testing.T, id int32, events []string) {
	t.Helper()
	from := b.now(t)
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	first := b.worker(t)
	b.arrived(t, events...)
	b.settled(t)
	require.NoError(t, first.Stop())
	b.must(t, "SELECT rule_webhook_redeliver(p_webhook_id => $1, p_from => $2, p_per_second => 10)", id, from)
	b.count(t, len(events), "SELECT count(*) FROM rule_webhook_queue WHERE redelivery = 1 AND status = 'pending'")
}

// redeliveredAtTen looks at when workers took each redelivery for the last time.
func (b *bundle) redeliveredAtTen(t *testing.T, events int) {
	t.Helper()
	rows, err := b.admin.Query(t.Context(), "SELECT started_at FROM rule_webhook_queue WHERE redelivery = 1 AND status = 'success' ORDER BY 1")
	require.NoError(t, err)
	taken, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	require.NoError(t, err)
	require.Len(t, taken, events)
	// 12, and a little for a call that began before another and took its events after it.
	require.LessOrEqual(t, most(taken, time.Second), 15)
}

func TestARedeliverysRateHoldsAfterNoWorkerHasRunAndNothingElseWaitsForIt(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			events := names("e", 50)
			b.againAtTen(t, id, events)
			// A minute passes.
			b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = next_retry_at - interval '1 minute' WHERE redelivery = 1")
			// At this rate they take longer than anybody has patience for the new one.
			b.must(t, "UPDATE rule_webhooks SET redeliver_per_second = 1 WHERE webhook_id = $1", id)
			b.worker(t, "CONSUMER_NAME=first")
			b.worker(t, "CONSUMER_NAME=second")
			publish(t, b.application, id, "new")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'new'")
			require.Less(t, len(b.Endpoint.Requests()), 2*len(events))
			b.must(t, "UPDATE rule_webhooks SET redeliver_per_second = 10 WHERE webhook_id = $1", id)
			b.arrived(t, slices.Concat(events, events, []string{"new"})...)
			b.settled(t)
			b.redeliveredAtTen(t, len(events))
		})
	}
}

func TestARedeliverysRateHoldsWhenTheBreakerCloses(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	events := names("e", 50)
	b.againAtTen(t, id, events)
	var back atomic.Bool
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
		if back.Load() {
			return endpoint.Answer{}
		}
		return endpoint.Answer{Status: 503}
	})
	b.worker(t, "CONSUMER_NAME=first")
	b.worker(t, "CONSUMER_NAME=second")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state = 'open' AND open_ms >= 4000")
	back.Store(true)
	require.Eventually(t, func() bool {
		return b.sum(t, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'") == 2*len(events)
	}, 3*patience, 50*time.Millisecond)
	b.settled(t)
	b.redeliveredAtTen(t, len(events))
}
